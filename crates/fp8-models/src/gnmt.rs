//! GNMT (Wu et al. 2016): recurrent translation with additive attention.
//!
//! | part | |
//! |---|---|
//! | encoder | an LSTM in both directions; then LSTMs, residual from the third layer on |
//! | attention | of the first decoder layer's output to the encoder's, normalised; its context goes into every further layer |
//! | decoder | LSTMs over (state, context), residual from the third layer on; a linear layer to the vocabulary |
//!
//! Source and target share one table of embeddings. Everything is time-major: (steps, batch, …). Names of parameters, H the hidden size, V the
//! vocabulary:
//!
//! | name | shape |
//! |---|---|
//! | `embedder.weight` | V, H |
//! | `encoder.rnn_layers.N.{weight_ih,weight_hh,bias_ih,bias_hh}_l0`, for N = 0 also with `_reverse` | 4H, inputs; 4H, H; 4H; 4H |
//! | `decoder.att_rnn.rnn.…`, `decoder.rnn_layers.N.…` | the same |
//! | `decoder.att_rnn.attn.linear_q.weight`, `…linear_k.weight` | H, H |
//! | `decoder.att_rnn.attn.{linear_att,normalize_scalar,normalize_bias}` | H; 1; H |
//! | `decoder.classifier.{weight,bias}` | V, H; V |

use fp8_autograd::{
    AdditiveAttentionLayer, EmbeddingLayer, Graph, Kind, Loss, LstmCarry, LstmLayer, ParameterId, Parameters, Role,
    Tensor, Var,
};
use serde::{Deserialize, Serialize};

use crate::builder::Builder;
use crate::rows::select_columns;
use crate::{Error, Result, SequenceModel};

/// A GNMT's shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GnmtConfig {
    /// Tokens that there are.
    pub vocabulary: usize,
    /// Width of embeddings and states.
    pub hidden: usize,
    /// Layers of the encoder, the one in both directions included; at least 2.
    pub encoder_layers: usize,
    /// Layers of the decoder, the one with attention included; at least 2.
    pub decoder_layers: usize,
    /// Share of the inputs of LSTMs that is dropped in training.
    pub dropout: f32,
    /// The token that fills batches up.
    pub padding: u32,
}

impl GnmtConfig {
    /// The paper's: 8 layers each, 1024 wide.
    pub const fn large(vocabulary: usize) -> Self {
        Self { vocabulary, hidden: 1024, encoder_layers: 8, decoder_layers: 8, dropout: 0.2, padding: 0 }
    }

    /// For a CPU: 2 layers each, 256 wide.
    pub const fn small(vocabulary: usize) -> Self {
        Self { hidden: 256, encoder_layers: 2, decoder_layers: 2, ..Self::large(vocabulary) }
    }
}

/// Sentences of one batch, time-major.
#[derive(Clone, Copy, Debug)]
pub struct Sentences<'a> {
    /// Token `t * batch + row` is the `t`-th of sentence `row`.
    pub tokens: &'a [u32],
    /// Sentences.
    pub batch: usize,
}

impl Sentences<'_> {
    /// Tokens of the longest.
    pub fn steps(&self) -> usize {
        self.tokens.len() / self.batch.max(1)
    }
}

/// What the decoder reads of the source.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// (steps, batch, hidden).
    values: Var,
    /// The same, projected for scores.
    keys: Var,
    lengths: Vec<u32>,
}

/// The states of the decoder's layers after a step.
#[derive(Clone, Debug)]
pub struct GnmtState(Vec<LstmCarry>);

/// The network. Its parameters live in [`Parameters`].
#[derive(Clone, Debug)]
pub struct Gnmt {
    embedding: EmbeddingLayer,
    /// The first layer, forward and reverse.
    both_ways: [LstmLayer; 2],
    encoder: Vec<Recurrent>,
    first: LstmLayer,
    queries: ParameterId,
    keys: ParameterId,
    attention: AdditiveAttentionLayer,
    decoder: Vec<Recurrent>,
    classifier: (ParameterId, ParameterId),
    dropout: f32,
}

/// An LSTM with dropout before it and, where it is residual, its input added to its output.
#[derive(Clone, Debug)]
struct Recurrent {
    name: String,
    lstm: LstmLayer,
    residual: bool,
}

impl Gnmt {
    /// A network with first weights from `seed`, uniform within 0.1, added to `parameters`.
    ///
    /// # Errors
    /// [`Error::Config`] for fewer than two layers, an empty vocabulary or state, and padding outside of the vocabulary.
    pub fn new(config: &GnmtConfig, parameters: &mut Parameters, seed: u64) -> Result<Self> {
        let &GnmtConfig { vocabulary, hidden, encoder_layers, decoder_layers, dropout, padding } = config;
        let refuse = |reason: String| Err(Error::Config { model: "gnmt", reason });
        if encoder_layers < 2 || decoder_layers < 2 {
            return refuse(format!("{encoder_layers} and {decoder_layers} layers; each needs 2 at least"));
        }
        if hidden == 0 || padding as usize >= vocabulary {
            return refuse(format!("a state of {hidden}, {vocabulary} tokens of which padding is {padding}"));
        }
        let mut builder = Builder { parameters, seed };
        let weight = builder.uniform("embedder.weight", Kind::Weight, &[vocabulary, hidden], LIMIT)?;
        let recurrent = |builder: &mut Builder<'_>, name: String, inputs, residual| {
            let lstm = lstm(builder, &name, "", [inputs, hidden], false)?;
            Ok(Recurrent { name, lstm, residual })
        };
        let first = "encoder.rnn_layers.0";
        let both_ways = [
            lstm(&mut builder, first, "", [hidden, hidden], false)?,
            lstm(&mut builder, first, "_reverse", [hidden, hidden], true)?,
        ];
        let encoder = (1..encoder_layers).map(|layer| {
            let inputs = if layer == 1 { 2 * hidden } else { hidden };
            recurrent(&mut builder, format!("encoder.rnn_layers.{layer}"), inputs, layer > 1)
        });
        let encoder = encoder.collect::<Result<_>>()?;
        let attn = |name: &str| format!("decoder.att_rnn.attn.{name}");
        let first = lstm(&mut builder, "decoder.att_rnn.rnn", "", [hidden, hidden], false)?;
        let queries = builder.uniform(&attn("linear_q.weight"), Kind::Weight, &[hidden, hidden], LIMIT)?;
        let keys = builder.uniform(&attn("linear_k.weight"), Kind::Weight, &[hidden, hidden], LIMIT)?;
        let gain = (1.0 / hidden as f64).sqrt() as f32;
        let attention = AdditiveAttentionLayer {
            v: builder.uniform(&attn("linear_att"), Kind::Norm, &[hidden], LIMIT)?,
            normalized: Some([
                builder.constant(&attn("normalize_scalar"), Kind::Norm, &[1], gain)?,
                builder.constant(&attn("normalize_bias"), Kind::Norm, &[hidden], 0.0)?,
            ]),
        };
        let decoder = (1..decoder_layers)
            .map(|layer| recurrent(&mut builder, format!("decoder.rnn_layers.{}", layer - 1), 2 * hidden, layer > 1));
        let decoder = decoder.collect::<Result<_>>()?;
        let classifier = builder.linear("decoder.classifier", hidden, vocabulary, LIMIT)?;
        let embedding = EmbeddingLayer { weight, factor: 1.0, padding: Some(padding), positions: None, repeat: 1 };
        Ok(Self { embedding, both_ways, encoder, first, queries, keys, attention, decoder, classifier, dropout })
    }

    /// Embeddings with dropout before the first LSTM of `part`.
    fn embed(&self, graph: &mut Graph<'_>, sentences: Sentences<'_>, part: &str) -> Result<Var> {
        let shape = [sentences.steps(), sentences.batch];
        let x = graph.embedding(&shape, sentences.tokens, &self.embedding)?;
        Ok(graph.dropout(&format!("{part}.embedder.dropout"), &x, self.dropout, None)?)
    }

    fn context(&self, graph: &mut Graph<'_>, state: &Var, encoded: &Encoded) -> Result<Var> {
        let queries = graph.linear(state, self.queries, None, Role::Activation)?;
        let Encoded { values, keys, lengths } = encoded;
        Ok(graph.additive_attention(&queries, keys, values, &self.attention, Some(lengths))?)
    }

    fn decoder_input(&self, graph: &mut Graph<'_>, layer: &Recurrent, x: &Var, context: &Var) -> Result<Var> {
        let both = graph.join_columns(&format!("{}.input", layer.name), &[x, context])?;
        Ok(graph.dropout(&format!("{}.dropout", layer.name), &both, self.dropout, None)?)
    }

    /// What the classifier reads.
    fn hidden(
        &self,
        graph: &mut Graph<'_>,
        source: Sentences<'_>,
        lengths: &[u32],
        target: Sentences<'_>,
    ) -> Result<Var> {
        let encoded = self.encode(graph, source, lengths)?;
        let x = self.embed(graph, target, "decoder")?;
        let state = graph.lstm(&x, &self.first, None)?;
        let context = self.context(graph, &state, &encoded)?;
        let mut x = state;
        for layer in &self.decoder {
            let input = self.decoder_input(graph, layer, &x, &context)?;
            let y = graph.lstm(&input, &layer.lstm, None)?;
            x = layer.finish(graph, x, y)?;
        }
        Ok(x)
    }

    fn logits(&self, graph: &mut Graph<'_>, x: &Var) -> Result<Var> {
        Ok(graph.linear(x, self.classifier.0, Some(self.classifier.1), Role::Logits)?)
    }
}

/// As the network's documentation says; lengths must be 1 to the number of steps.
impl SequenceModel for Gnmt {
    type Source = Encoded;
    type State = GnmtState;

    fn forward(
        &self,
        graph: &mut Graph<'_>,
        source: Sentences<'_>,
        lengths: &[u32],
        target: Sentences<'_>,
    ) -> Result<Var> {
        let x = self.hidden(graph, source, lengths, target)?;
        self.logits(graph, &x)
    }

    fn loss(
        &self,
        graph: &mut Graph<'_>,
        source: Sentences<'_>,
        lengths: &[u32],
        target: Sentences<'_>,
        labels: &[u32],
        smoothing: f32,
    ) -> Result<Loss> {
        let x = self.hidden(graph, source, lengths, target)?;
        let (weight, bias) = self.classifier;
        Ok(graph.linear_cross_entropy(&x, weight, Some(bias), labels, smoothing)?)
    }

    fn encode(&self, graph: &mut Graph<'_>, source: Sentences<'_>, lengths: &[u32]) -> Result<Encoded> {
        let x = self.embed(graph, source, "encoder")?;
        let [forward, reverse] = &self.both_ways;
        let forward = graph.lstm(&x, forward, Some(lengths))?;
        let reverse = graph.lstm(&x, reverse, Some(lengths))?;
        let mut x = graph.join_columns("encoder.rnn_layers.0.both", &[&forward, &reverse])?;
        for layer in &self.encoder {
            let input = graph.dropout(&format!("{}.dropout", layer.name), &x, self.dropout, None)?;
            let y = graph.lstm(&input, &layer.lstm, Some(lengths))?;
            x = layer.finish(graph, x, y)?;
        }
        let keys = graph.linear(&x, self.keys, None, Role::Activation)?;
        Ok(Encoded { values: x, keys, lengths: lengths.to_vec() })
    }

    fn step(
        &self,
        graph: &mut Graph<'_>,
        encoded: &Encoded,
        tokens: &[u32],
        before: Option<&GnmtState>,
    ) -> Result<(Var, GnmtState)> {
        let carry = |layer: usize| before.map(|before| &before.0[layer]);
        let x = self.embed(graph, Sentences { tokens, batch: encoded.lengths.len() }, "decoder")?;
        let (state, after) = graph.lstm_step(&x, &self.first, carry(0))?;
        let mut states = vec![after];
        let context = self.context(graph, &state, encoded)?;
        let mut x = state;
        for (index, layer) in (1..).zip(&self.decoder) {
            let input = self.decoder_input(graph, layer, &x, &context)?;
            let (y, after) = graph.lstm_step(&input, &layer.lstm, carry(index))?;
            states.push(after);
            x = layer.finish(graph, x, y)?;
        }
        Ok((self.logits(graph, &x)?, GnmtState(states)))
    }

    /// Computed once more, with the tokens' numbers in unary for values.
    fn attention(&self, graph: &mut Graph<'_>, source: &Encoded, state: &GnmtState) -> Result<Option<Var>> {
        let Encoded { values, keys, lengths } = source;
        let (steps, batch) = (values.shape()[0], lengths.len());
        let unary: Vec<f32> =
            (0..steps * batch * steps).map(|i| f32::from(u8::from(i / (steps * batch) == i % steps))).collect();
        let unary = Tensor::from_f32(&**graph.backend(), vec![steps, batch, steps], &unary)?;
        let unary = graph.constant(unary);
        let h = &state.0[0].h;
        let state = graph.constant(Tensor { shape: [&[1], &h.shape[..]].concat(), ..h.clone() });
        let queries = graph.linear(&state, self.queries, None, Role::Activation)?;
        Ok(Some(graph.additive_attention(&queries, keys, &unary, &self.attention, Some(lengths))?))
    }

    fn select_source(&self, graph: &mut Graph<'_>, source: &Encoded, rows: &[u32]) -> Result<Encoded> {
        let lengths = &source.lengths;
        let (values, keys) = (select_columns(graph, &source.values, rows)?, select_columns(graph, &source.keys, rows)?);
        Ok(Encoded { values, keys, lengths: rows.iter().map(|&row| lengths[row as usize]).collect() })
    }

    fn select_state(&self, graph: &mut Graph<'_>, state: &GnmtState, rows: &[u32]) -> Result<GnmtState> {
        let backend = &**graph.backend();
        let states = state.0.iter().map(|carry| carry.select(backend, rows));
        Ok(GnmtState(states.collect::<fp8_autograd::Result<_>>()?))
    }
}

impl Recurrent {
    fn finish(&self, graph: &mut Graph<'_>, x: Var, y: Var) -> Result<Var> {
        match self.residual {
            true => Ok(graph.add(&format!("{}.residual", self.name), &x, &y, false)?),
            false => Ok(y),
        }
    }
}

/// The paper's first weights are uniform within this.
const LIMIT: f64 = 0.1;

fn lstm(
    builder: &mut Builder<'_>,
    name: &str,
    suffix: &str,
    [inputs, hidden]: [usize; 2],
    reverse: bool,
) -> Result<LstmLayer> {
    let mut add = |tensor: &str, kind, shape: &[usize]| {
        builder.uniform(&format!("{name}.{tensor}_l0{suffix}"), kind, shape, LIMIT)
    };
    Ok(LstmLayer {
        w_input: add("weight_ih", Kind::Weight, &[4 * hidden, inputs])?,
        w_hidden: add("weight_hh", Kind::Weight, &[4 * hidden, hidden])?,
        b_input: add("bias_ih", Kind::Bias, &[4 * hidden])?,
        b_hidden: add("bias_hh", Kind::Bias, &[4 * hidden])?,
        reverse,
    })
}
