//! The Transformer (Vaswani et al. 2017): translation by attention alone.
//!
//! Everything is time-major: (steps, batch, width). Embeddings are multiplied by the root of the width and get sinusoidal positions added. Sublayers are
//! residual; dropout stands after the embeddings, after the ReLU and before each residual addition, none on the shares of attention. Names of
//! parameters are those of torch.nn.Transformer, where D is the width, F that of the feed-forward layers and V the vocabulary:
//!
//! | name | shape |
//! |---|---|
//! | `embedder.weight`; `decoder.embedder.weight` unless all tables are tied | V, D |
//! | `{encoder,decoder}.layers.N.self_attn.{q_proj,k_proj,v_proj}.weight`: thirds of `in_proj_weight` | D, D |
//! | `….self_attn.{q_proj,v_proj}.bias`: thirds of `in_proj_bias`, whose third for keys changes nothing | D |
//! | `….self_attn.out_proj.{weight,bias}` | D, D; D |
//! | `decoder.layers.N.multihead_attn.…` | the same |
//! | `….linear1.{weight,bias}`, `….linear2.{weight,bias}` | F, D; F; D, F; D |
//! | `….norm1.{weight,bias}`, `….norm2.…`, of the decoder `….norm3.…` | D; D |
//! | `{encoder,decoder}.norm.{weight,bias}`, of a pre-norm network | D; D |
//! | `classifier.weight` unless tied, `classifier.bias` | V, D; V |

mod config;
mod layers;
mod positions;

use std::sync::Arc;

pub use config::{NormPlace, Tied, TransformerConfig};
use fp8_autograd::{EmbeddingLayer, Graph, Kind, LayerNormLayer, Loss, ParameterId, Parameters, Role, Var};

use self::layers::{Attention, FeedForward, KeysAndValues, norm};
use self::positions::Positions;
use crate::builder::Builder;
use crate::rows::select_columns;
use crate::{Result, Sentences, SequenceModel};

/// The network. Its parameters live in [`Parameters`].
#[derive(Clone, Debug)]
pub struct Transformer {
    config: TransformerConfig,
    source: ParameterId,
    target: ParameterId,
    encoder: Vec<EncoderLayer>,
    decoder: Vec<DecoderLayer>,
    /// After the last layer of encoder and decoder, of a pre-norm network.
    last: Option<[LayerNormLayer; 2]>,
    classifier: (ParameterId, ParameterId),
    positions: Arc<Positions>,
}

#[derive(Clone, Debug)]
struct EncoderLayer {
    name: String,
    own: Attention,
    feed_forward: FeedForward,
    norms: [LayerNormLayer; 2],
}

#[derive(Clone, Debug)]
struct DecoderLayer {
    name: String,
    own: Attention,
    other: Attention,
    feed_forward: FeedForward,
    norms: [LayerNormLayer; 3],
}

/// What the decoder reads of the source: of each of its layers, keys and values.
#[derive(Clone, Debug)]
pub struct TransformerSource {
    layers: Vec<KeysAndValues>,
    lengths: Vec<u32>,
}

/// What the decoder has read of the target: of each layer, keys and values of the steps so far.
#[derive(Clone, Debug)]
pub struct TransformerState(Vec<KeysAndValues>);

impl Transformer {
    /// A network with first weights from `seed`, added to `parameters`: uniform after Glorot, embeddings uniform with deviation
    /// width^-1/2, biases zero.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for no layers, an odd width or one that heads cannot share, and padding outside of the vocabulary.
    pub fn new(config: &TransformerConfig, parameters: &mut Parameters, seed: u64) -> Result<Self> {
        config.check()?;
        let &TransformerConfig { vocabulary, width, heads, feed_forward, norm: place, tied, .. } = config;
        let mut builder = Builder { parameters, seed };
        let deviation = (3.0 / width as f64).sqrt();
        let table = |builder: &mut Builder<'_>, name: &str| {
            builder.uniform(&format!("{name}.weight"), Kind::Weight, &[vocabulary, width], deviation)
        };
        let source = table(&mut builder, "embedder")?;
        let target = if tied == Tied::All { source } else { table(&mut builder, "decoder.embedder")? };
        let encoder = (0..config.encoder_layers).map(|layer| {
            let name = format!("encoder.layers.{layer}");
            let own = Attention::new(&mut builder, format!("{name}.self_attn"), width, heads)?;
            let feed_forward = FeedForward::new(&mut builder, &name, width, feed_forward)?;
            let mut norm = |number| norm(&mut builder, &format!("{name}.norm{number}"), width);
            Ok(EncoderLayer { norms: [norm(1)?, norm(2)?], name, own, feed_forward })
        });
        let encoder = encoder.collect::<Result<_>>()?;
        let decoder = (0..config.decoder_layers).map(|layer| {
            let name = format!("decoder.layers.{layer}");
            let own = Attention::new(&mut builder, format!("{name}.self_attn"), width, heads)?;
            let other = Attention::new(&mut builder, format!("{name}.multihead_attn"), width, heads)?;
            let feed_forward = FeedForward::new(&mut builder, &name, width, feed_forward)?;
            let mut norm = |number| norm(&mut builder, &format!("{name}.norm{number}"), width);
            Ok(DecoderLayer { norms: [norm(1)?, norm(2)?, norm(3)?], name, own, other, feed_forward })
        });
        let decoder = decoder.collect::<Result<_>>()?;
        let last = match place {
            NormPlace::Post => None,
            NormPlace::Pre => {
                Some([norm(&mut builder, "encoder.norm", width)?, norm(&mut builder, "decoder.norm", width)?])
            }
        };
        let weight = if tied == Tied::Nothing { table(&mut builder, "classifier")? } else { target };
        let classifier = (weight, builder.constant("classifier.bias", Kind::Bias, &[vocabulary], 0.0)?);
        let (config, positions) = (config.clone(), Arc::new(Positions::new(width)));
        Ok(Self { config, source, target, encoder, decoder, last, classifier, positions })
    }

    /// Embeddings of tokens that stand at positions from `first` on.
    fn embed(
        &self,
        graph: &mut Graph<'_>,
        sentences: Sentences<'_>,
        weight: ParameterId,
        first: usize,
        part: &str,
    ) -> Result<Var> {
        let (steps, width) = (sentences.steps(), self.config.width);
        let positions = self.positions.from(first, steps, graph.backend())?;
        let layer = EmbeddingLayer {
            weight,
            factor: (width as f32).sqrt(),
            padding: Some(self.config.padding),
            positions: Some(positions),
            repeat: sentences.batch,
        };
        let x = graph.embedding(&[steps, sentences.batch], sentences.tokens, &layer)?;
        Ok(graph.dropout(&format!("{part}.embedder.dropout"), &x, self.config.dropout, None)?)
    }

    /// A residual sublayer with its normalisation.
    fn sublayer(
        &self,
        graph: &mut Graph<'_>,
        name: &str,
        norm: &LayerNormLayer,
        x: &Var,
        f: impl FnOnce(&mut Graph<'_>, &Var) -> Result<Var>,
    ) -> Result<Var> {
        let input = match self.config.norm {
            NormPlace::Pre => graph.layer_norm(x, norm)?,
            NormPlace::Post => x.clone(),
        };
        let y = f(graph, &input)?;
        let sum = graph.dropout(&format!("{name}.residual"), &y, self.config.dropout, Some(x))?;
        match self.config.norm {
            NormPlace::Pre => Ok(sum),
            NormPlace::Post => Ok(graph.layer_norm(&sum, norm)?),
        }
    }

    fn finish(&self, graph: &mut Graph<'_>, x: Var, part: usize) -> Result<Var> {
        match &self.last {
            Some(last) => Ok(graph.layer_norm(&x, &last[part])?),
            None => Ok(x),
        }
    }

    /// What the classifier reads of each token of `target`, which stands after what `before` has read.
    fn decode(
        &self,
        graph: &mut Graph<'_>,
        source: &TransformerSource,
        target: Sentences<'_>,
        before: Option<&TransformerState>,
    ) -> Result<(Var, TransformerState)> {
        let first = before.map_or(0, |before| before.0[0][0].shape()[0]);
        let mut x = self.embed(graph, target, self.target, first, "decoder")?;
        let mut state = Vec::with_capacity(self.decoder.len());
        for (index, layer) in self.decoder.iter().enumerate() {
            let [own, other, last] = ["self_attn", "multihead_attn", "feed_forward"];
            let name = |sublayer: &str| format!("{}.{sublayer}", layer.name);
            x = self.sublayer(graph, &name(own), &layer.norms[0], &x, |graph, x| {
                let mut seen = layer.own.project(graph, x)?;
                if let Some(before) = before {
                    let [keys, values] = &before.0[index];
                    seen = [graph.append(keys, &seen[0])?, graph.append(values, &seen[1])?];
                }
                let y = layer.own.attend(graph, x, &seen, true, None);
                state.push(seen);
                y
            })?;
            x = self.sublayer(graph, &name(other), &layer.norms[1], &x, |graph, x| {
                layer.other.attend(graph, x, &source.layers[index], false, Some(&source.lengths))
            })?;
            x = self.sublayer(graph, &name(last), &layer.norms[2], &x, |graph, x| {
                layer.feed_forward.apply(graph, x, self.config.dropout)
            })?;
        }
        Ok((self.finish(graph, x, 1)?, TransformerState(state)))
    }

    fn logits(&self, graph: &mut Graph<'_>, x: &Var) -> Result<Var> {
        Ok(graph.linear(x, self.classifier.0, Some(self.classifier.1), Role::Logits)?)
    }
}

/// As the network's documentation says; lengths must be 1 to the number of steps.
impl SequenceModel for Transformer {
    type Source = TransformerSource;
    type State = TransformerState;

    fn forward(
        &self,
        graph: &mut Graph<'_>,
        source: Sentences<'_>,
        lengths: &[u32],
        target: Sentences<'_>,
    ) -> Result<Var> {
        let encoded = self.encode(graph, source, lengths)?;
        let (x, _) = self.decode(graph, &encoded, target, None)?;
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
        let encoded = self.encode(graph, source, lengths)?;
        let (x, _) = self.decode(graph, &encoded, target, None)?;
        let (weight, bias) = self.classifier;
        Ok(graph.linear_cross_entropy(&x, weight, Some(bias), labels, smoothing)?)
    }

    fn encode(&self, graph: &mut Graph<'_>, source: Sentences<'_>, lengths: &[u32]) -> Result<TransformerSource> {
        let mut x = self.embed(graph, source, self.source, 0, "encoder")?;
        for layer in &self.encoder {
            x = self.sublayer(graph, &format!("{}.self_attn", layer.name), &layer.norms[0], &x, |graph, x| {
                let own = layer.own.project(graph, x)?;
                layer.own.attend(graph, x, &own, false, Some(lengths))
            })?;
            x = self.sublayer(graph, &format!("{}.feed_forward", layer.name), &layer.norms[1], &x, |graph, x| {
                layer.feed_forward.apply(graph, x, self.config.dropout)
            })?;
        }
        let x = self.finish(graph, x, 0)?;
        let layers = self.decoder.iter().map(|layer| layer.other.project(graph, &x)).collect::<Result<_>>()?;
        Ok(TransformerSource { layers, lengths: lengths.to_vec() })
    }

    fn step(
        &self,
        graph: &mut Graph<'_>,
        source: &TransformerSource,
        tokens: &[u32],
        before: Option<&TransformerState>,
    ) -> Result<(Var, TransformerState)> {
        let (x, state) = self.decode(graph, source, Sentences { tokens, batch: source.lengths.len() }, before)?;
        Ok((self.logits(graph, &x)?, state))
    }

    /// None: each head of each layer attends in its own way.
    fn attention(&self, _: &mut Graph<'_>, _: &TransformerSource, _: &TransformerState) -> Result<Option<Var>> {
        Ok(None)
    }

    fn select_source(
        &self,
        graph: &mut Graph<'_>,
        source: &TransformerSource,
        rows: &[u32],
    ) -> Result<TransformerSource> {
        let lengths = rows.iter().map(|&row| source.lengths[row as usize]).collect();
        Ok(TransformerSource { layers: select(graph, &source.layers, rows)?, lengths })
    }

    fn select_state(&self, graph: &mut Graph<'_>, state: &TransformerState, rows: &[u32]) -> Result<TransformerState> {
        Ok(TransformerState(select(graph, &state.0, rows)?))
    }
}

fn select(graph: &mut Graph<'_>, layers: &[KeysAndValues], rows: &[u32]) -> Result<Vec<KeysAndValues>> {
    let mut part = |x: &Var| select_columns(graph, x, rows);
    layers.iter().map(|[keys, values]| Ok([part(keys)?, part(values)?])).collect()
}
