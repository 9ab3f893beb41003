//! Networks for translation, and their batches of tokens.

use fp8_autograd::{Graph, Loss, Parameters, Var};
use fp8_data::text::{self, BOS, Dropped, EOS, PAD, Side};
use fp8_kernels::CrossEntropy;
use fp8_models::{Gnmt, GnmtConfig, Search, Sentences, SequenceModel, Transformer, TransformerConfig};

use crate::Result;
use crate::config;
use crate::metrics::Counted;
use crate::task::Network;
use crate::translate;

/// Sentences side by side, time-major: token `t` of sentence `row` stands at `t * batch + row`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenBatch {
    /// Sentences.
    pub batch: usize,
    /// What is translated.
    pub source: Vec<u32>,
    /// Tokens of each source that are not PAD.
    pub lengths: Vec<u32>,
    /// What the decoder reads.
    pub target: Vec<u32>,
    /// What it is to say; IGNORED past the end.
    pub labels: Vec<u32>,
    /// Pairs that were left out since the batch before.
    pub dropped: Dropped,
}

impl From<text::Batch> for TokenBatch {
    fn from(batch: text::Batch) -> Self {
        let labels = time_major(&batch.labels);
        Self {
            batch: batch.source.lengths.len(),
            lengths: batch.source.lengths.iter().map(|&length| length as u32).collect(),
            source: time_major(&batch.source),
            target: time_major(&batch.target),
            labels: labels.into_iter().map(ignoring_padding).collect(),
            dropped: batch.dropped,
        }
    }
}

/// Nothing is to be said where a batch is filled up.
pub fn ignoring_padding(label: u32) -> u32 {
    if label == PAD { CrossEntropy::IGNORED } else { label }
}

fn time_major(side: &Side) -> Vec<u32> {
    let rows = side.lengths.len();
    (0..side.longest).flat_map(|step| (0..rows).map(move |row| side.tokens[row * side.longest + step])).collect()
}

impl TokenBatch {
    fn sentences<'a>(&self, tokens: &'a [u32]) -> Sentences<'a> {
        Sentences { tokens, batch: self.batch }
    }
}

/// A network of any architecture.
pub enum SequenceNetwork {
    Gnmt(Gnmt),
    Transformer(Transformer),
}

impl SequenceNetwork {
    /// Of a vocabulary of so many tokens.
    pub fn new(
        model: &config::SequenceModel,
        vocabulary: usize,
        seed: u64,
        parameters: &mut Parameters,
    ) -> Result<Self> {
        match *model {
            config::SequenceModel::Gnmt { hidden, encoder_layers, decoder_layers, dropout } => {
                let config = GnmtConfig { vocabulary, hidden, encoder_layers, decoder_layers, dropout, padding: PAD };
                Ok(Self::Gnmt(Gnmt::new(&config, parameters, seed)?))
            }
            config::SequenceModel::Transformer(ref model) => {
                let &config::TransformerModel { width, heads, feed_forward, encoder_layers, decoder_layers, .. } =
                    model;
                let config = TransformerConfig {
                    vocabulary,
                    width,
                    heads,
                    feed_forward,
                    encoder_layers,
                    decoder_layers,
                    dropout: model.dropout,
                    norm: model.norm,
                    tied: model.tied,
                    padding: PAD,
                };
                Ok(Self::Transformer(Transformer::new(&config, parameters, seed)?))
            }
        }
    }

    /// Translations of sentences that end with EOS; `limits` gives the most tokens of each.
    pub fn translate(
        &self,
        graph: &mut Graph<'_>,
        sentences: &[&[u32]],
        limits: &[usize],
        options: &translate::Options,
    ) -> fp8_models::Result<Vec<Vec<u32>>> {
        let longest = sentences.iter().map(|sentence| sentence.len()).max().unwrap_or(0);
        let token = |step: usize| move |sentence: &&[u32]| sentence.get(step).copied().unwrap_or(PAD);
        let tokens: Vec<u32> = (0..longest).flat_map(|step| sentences.iter().map(token(step))).collect();
        let lengths: Vec<u32> = sentences.iter().map(|sentence| sentence.len() as u32).collect();
        let source = Sentences { tokens: &tokens, batch: sentences.len() };
        let translate::Options { beam, length_penalty, coverage_penalty, .. } = *options;
        let search = Search { beam, length_penalty, coverage_penalty, start: BOS, end: EOS, padding: PAD };
        match self {
            Self::Gnmt(gnmt) => search.translate(gnmt, graph, source, &lengths, limits),
            Self::Transformer(transformer) => search.translate(transformer, graph, source, &lengths, limits),
        }
    }
}

impl Network for SequenceNetwork {
    type Batch = TokenBatch;

    fn logits(&self, graph: &mut Graph<'_>, batch: &TokenBatch) -> fp8_models::Result<Var> {
        let (source, target) = (batch.sentences(&batch.source), batch.sentences(&batch.target));
        match self {
            Self::Gnmt(gnmt) => gnmt.forward(graph, source, &batch.lengths, target),
            Self::Transformer(transformer) => transformer.forward(graph, source, &batch.lengths, target),
        }
    }

    fn targets(batch: &TokenBatch) -> &[u32] {
        &batch.labels
    }

    fn loss(&self, graph: &mut Graph<'_>, batch: &TokenBatch, smoothing: f32) -> Result<(Loss, Counted)> {
        let (source, target) = (batch.sentences(&batch.source), batch.sentences(&batch.target));
        let (lengths, labels) = (&batch.lengths, &batch.labels);
        let loss = match self {
            Self::Gnmt(gnmt) => gnmt.loss(graph, source, lengths, target, labels, smoothing)?,
            Self::Transformer(transformer) => transformer.loss(graph, source, lengths, target, labels, smoothing)?,
        };
        let counted = Counted::tokens(loss.rows as u64);
        Ok((loss, counted))
    }
}
