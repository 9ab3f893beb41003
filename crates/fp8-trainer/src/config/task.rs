//! What a run learns, with the sections that differ between tasks: `[model]`, `[data]`, `[loader]`.

use std::sync::Arc;

use fp8_data::text;
use fp8_data::{Dataset, Source, Split, Subset, Unreadable};
use fp8_models::{Architecture, GnmtConfig, NormPlace, Stem, Tied, TransformerConfig};
use serde::{Deserialize, Serialize};

/// `task = "images"`, which it is unless given, or `task = "translation"`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "task", rename_all = "lowercase")]
pub enum Task {
    /// Which class an image belongs to.
    Images(Images),
    /// Sentences from one language into another.
    Translation(Translation),
}

impl Task {
    /// What is counted: `images`, or `tokens` of translations.
    pub const fn unit(&self) -> &'static str {
        match self {
            Self::Images(_) => "images",
            Self::Translation(_) => "tokens",
        }
    }

    /// Name of the network.
    pub fn model(&self) -> String {
        match self {
            Self::Images(images) => images.model.architecture.to_string(),
            Self::Translation(translation) => translation.model.name().into(),
        }
    }

    /// Threads that prepare batches; their number changes no result.
    pub const fn workers_mut(&mut self) -> &mut usize {
        match self {
            Self::Images(images) => &mut images.loader.workers,
            Self::Translation(translation) => &mut translation.loader.workers,
        }
    }
}

/// Classification of images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Images {
    /// `[model]`
    pub model: Model,
    /// `[data]`: where images come from, by `kind`; generated unless given.
    pub data: Source,
    /// `[loader]`
    pub loader: Loader,
}

impl Images {
    /// The images of a part, as many as the configuration wants.
    ///
    /// # Errors
    /// Names the file that cannot be read.
    pub fn dataset(&self, split: Split) -> fp8_data::Result<Arc<dyn Dataset>> {
        let whole = self.data.open(split)?;
        let count = match split {
            Split::Training => self.loader.training_images,
            Split::Validation => self.loader.validation_images,
        };
        Ok(Subset::draw(whole.clone(), count.unwrap_or(whole.len()), 0))
    }
}

/// `[model]` of images: the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Model {
    /// `resnet18`, `resnet34` or `resnet50`; `resnet18` unless given.
    pub architecture: Architecture,
    /// `cifar` (3x3) or `imagenet` (7x7, stride 2, pooling); by the images' size unless given: `imagenet` above 64.
    pub stem: Stem,
    /// Channels of the first stage; 64 unless given. Another width is another network than the paper's.
    pub width: usize,
    /// Whether each block starts as the identity; no unless given.
    pub zero_init_residual: bool,
}

/// `[loader]` of images: how they come. The number of workers changes no result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Loader {
    /// Height and width that images are brought to; their own unless given, 224 where they have many.
    pub size: usize,
    /// Training images that are used, drawn from all there are by the data set's length alone: the same in every run; all unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training_images: Option<usize>,
    /// As `training_images`, of the validation images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_images: Option<usize>,
    /// Whether training images are cropped and mirrored at random; yes unless given.
    pub augment: bool,
    /// What happens when an image cannot be read: `fail`, or `skip` it, which is logged and counted; `fail` unless given.
    pub unreadable: Unreadable,
    /// Threads that prepare batches; one per core unless given.
    pub workers: usize,
}

/// Translation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Translation {
    /// `[model]`
    pub model: SequenceModel,
    /// `[data]`: where pairs of sentences come from, by `kind`: `generated`, or the files of `parallel`; generated unless given.
    pub data: text::Source,
    /// `[loader]`
    pub loader: TextLoader,
}

/// `[model]` of translation, by `architecture`: `gnmt`, which it is unless given, or `transformer`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "architecture", rename_all = "lowercase", deny_unknown_fields)]
pub enum SequenceModel {
    /// LSTMs with additive attention; the paper's has 8 layers each, 1024 wide.
    Gnmt {
        /// Width of embeddings and states; 256 unless given.
        #[serde(default = "hidden")]
        hidden: usize,
        /// Layers of the encoder; 2 unless given.
        #[serde(default = "layers")]
        encoder_layers: usize,
        /// Layers of the decoder; 2 unless given.
        #[serde(default = "layers")]
        decoder_layers: usize,
        /// Share of the inputs of layers that is dropped in training; 0.2 unless given.
        #[serde(default = "dropout")]
        dropout: f32,
    },
    /// Attention alone.
    Transformer(TransformerModel),
}

/// `[model]` of a Transformer; the paper's has 6 layers each and is 512 wide with 8 heads (base), or 1024 with 16 (big).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransformerModel {
    /// Width of embeddings and layers; 256 unless given.
    pub width: usize,
    /// Heads of each attention; 4 unless given.
    pub heads: usize,
    /// Width between the two linear layers; 1024 unless given.
    pub feed_forward: usize,
    /// Layers of the encoder; 3 unless given.
    pub encoder_layers: usize,
    /// Layers of the decoder; 3 unless given.
    pub decoder_layers: usize,
    /// Share of embeddings and of sublayers' outputs that is dropped in training; 0.1 unless given.
    pub dropout: f32,
    /// `post` (after each sublayer, as in the paper) or `pre`; `post` unless given.
    pub norm: NormPlace,
    /// Which tables are one: `all` unless given.
    pub tied: Tied,
}

impl Default for TransformerModel {
    fn default() -> Self {
        let TransformerConfig {
            width, heads, feed_forward, encoder_layers, decoder_layers, dropout, norm, tied, ..
        } = TransformerConfig::small(0);
        Self { width, heads, feed_forward, encoder_layers, decoder_layers, dropout, norm, tied }
    }
}

impl SequenceModel {
    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Gnmt { .. } => "gnmt",
            Self::Transformer(_) => "transformer",
        }
    }

    /// Width of embeddings.
    pub const fn width(&self) -> usize {
        match self {
            Self::Gnmt { hidden, .. } => *hidden,
            Self::Transformer(model) => model.width,
        }
    }
}

const SMALL: GnmtConfig = GnmtConfig::small(0);

const fn hidden() -> usize {
    SMALL.hidden
}

const fn layers() -> usize {
    SMALL.encoder_layers
}

const fn dropout() -> f32 {
    SMALL.dropout
}

/// `[loader]` of translation: how sentences become batches of `training.batch` tokens. The number of workers changes no result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TextLoader {
    /// Pieces of words that are learned, common to both languages; 8,000 unless given. All characters are among them, so there may be more.
    pub vocabulary: usize,
    /// Most tokens of a sentence, its end among them: longer ones are left out, and are an error where a line is to be translated; 128 unless given.
    pub longest: usize,
    /// The longer sentence of a pair has at most this many times the tokens of the shorter, or is left out; 3 unless given.
    pub ratio: f64,
    /// Pairs in memory at a time: as many are shuffled with each other, and as many sorted by length; 65,536 unless given.
    pub window: usize,
    /// Threads that prepare batches; one per core unless given.
    pub workers: usize,
}

impl Default for TextLoader {
    fn default() -> Self {
        let text::Options { limits, window, .. } = text::Options::default();
        Self { vocabulary: 8000, longest: limits.tokens, ratio: limits.ratio, window, workers: super::cores() }
    }
}
