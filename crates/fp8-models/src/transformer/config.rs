//! The shape of a Transformer.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Where layer normalisation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NormPlace {
    /// norm(x + f(x)), as in the paper.
    Post,
    /// x + f(norm(x)), and one more normalisation at the end of encoder and decoder.
    Pre,
}

/// Which tables of (vocabulary, width) are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tied {
    /// None: source, target and output have their own.
    Nothing,
    /// Target and output.
    Output,
    /// All three, as in the paper.
    All,
}

/// A Transformer's shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransformerConfig {
    /// Tokens that there are.
    pub vocabulary: usize,
    /// Width of embeddings and of every layer's output; even.
    pub width: usize,
    /// Heads of each attention; they share the width.
    pub heads: usize,
    /// Width between the two linear layers.
    pub feed_forward: usize,
    /// Layers of the encoder.
    pub encoder_layers: usize,
    /// Layers of the decoder.
    pub decoder_layers: usize,
    /// Share of embeddings and of sublayers' outputs that is dropped in training.
    pub dropout: f32,
    /// Where layer normalisation stands.
    pub norm: NormPlace,
    /// Which tables are one.
    pub tied: Tied,
    /// The token that fills batches up.
    pub padding: u32,
}

impl TransformerConfig {
    /// The paper's base model.
    pub const fn base(vocabulary: usize) -> Self {
        Self {
            vocabulary,
            width: 512,
            heads: 8,
            feed_forward: 2048,
            encoder_layers: 6,
            decoder_layers: 6,
            dropout: 0.1,
            norm: NormPlace::Post,
            tied: Tied::All,
            padding: 0,
        }
    }

    /// The paper's big model.
    pub const fn big(vocabulary: usize) -> Self {
        Self { width: 1024, heads: 16, feed_forward: 4096, dropout: 0.3, ..Self::base(vocabulary) }
    }

    /// For a CPU: 3 layers each, 256 wide.
    pub const fn small(vocabulary: usize) -> Self {
        let base = Self::base(vocabulary);
        Self { width: 256, heads: 4, feed_forward: 1024, encoder_layers: 3, decoder_layers: 3, ..base }
    }

    pub(super) fn check(&self) -> Result<()> {
        let &Self { vocabulary, width, heads, feed_forward, encoder_layers, decoder_layers, padding, .. } = self;
        let reason = if encoder_layers == 0 || decoder_layers == 0 {
            format!("{encoder_layers} and {decoder_layers} layers; each needs 1 at least")
        } else if width == 0 || !width.is_multiple_of(2) || heads == 0 || !width.is_multiple_of(heads) {
            format!("a width of {width} for {heads} heads; it must be even and a multiple of their number")
        } else if feed_forward == 0 || padding as usize >= vocabulary {
            format!("{feed_forward} between linear layers, {vocabulary} tokens of which padding is {padding}")
        } else {
            return Ok(());
        };
        Err(Error::Config { model: "transformer", reason })
    }
}
