//! Configuration: TOML, read twice. First as text: unknown fields are refused with the nearest known name. Then as a whole:
//! defaults filled in, numbers checked, the recipe read. What results is saved beside every run and reads back as itself.

mod differences;
mod document;
mod overrides;
mod raw;
mod resolve;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use fp8_autograd::{LossScaling, OptimizerRule, Recipe, nearest};
use fp8_data::{Dataset, Source, Split, Subset, Unreadable};
use fp8_models::{Architecture, Stem};
use serde::{Deserialize, Serialize, Serializer};
use toml::Table;

pub(crate) use differences::differences;

use crate::{Error, Result};

/// A training run, complete.
///
/// As TOML it has the same fields; all may be left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    /// Of first weights, data order, augmentation and stochastic rounding. 0 unless given.
    pub seed: u64,
    /// The precision: `recipe = "fp8"`, or the path of a recipe's file, or a table with the fields of one. `fp8` unless given.
    pub recipe: RecipeSource,
    /// `[model]`
    pub model: Model,
    /// `[data]`: where images come from, by `kind`; generated unless given.
    pub data: Source,
    /// `[loader]`
    pub loader: Loader,
    /// `[training]`
    pub training: Training,
    /// `[schedule]`; constant unless given.
    pub schedule: Schedule,
    /// `[optimizer]`; SGD with momentum 0.9 and no decay unless given.
    pub optimizer: OptimizerRule,
    /// `[loss_scaling]`; the recipe's unless given.
    pub loss_scaling: LossScaling,
    /// `[log]`
    pub log: Log,
}

/// A recipe, and how the configuration gave it.
#[derive(Clone, Debug, PartialEq)]
pub struct RecipeSource {
    source: raw::Recipe,
    recipe: Arc<Recipe>,
}

impl RecipeSource {
    /// The recipe.
    pub fn recipe(&self) -> &Arc<Recipe> {
        &self.recipe
    }
}

impl Serialize for RecipeSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.source.serialize(serializer)
    }
}

/// `[model]`: the network.
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

/// `[loader]`: how images come. The number of workers changes no result.
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

/// `[training]`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Training {
    /// Passes over the training images; 10 unless given.
    pub epochs: u32,
    /// Images in a step; 64 unless given. What is left over at the end of an epoch is left out.
    pub batch: usize,
    /// Images in a validation batch; `batch` unless given.
    pub validation_batch: usize,
    /// The largest learning rate; 0.1 unless given.
    pub learning_rate: f64,
    /// Epochs (or parts) in which the learning rate rises linearly from 0; 0 unless given.
    pub warmup_epochs: f64,
    /// Label smoothing; 0 unless given.
    pub label_smoothing: f32,
    /// Whether biases and normalisation are left out of weight decay; no unless given.
    pub decay_weights_only: bool,
    /// Gradients are shortened to this norm; not unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f32>,
    /// The run ends when so many steps in a row were skipped at the same loss scale; 20 unless given.
    pub skipped_in_a_row: u32,
}

/// `[schedule]`: the learning rate over a run, times `training.learning_rate`. Epochs count from the start of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// 1.
    Constant {},
    /// `factor` to the power of the milestones passed.
    Step {
        /// Epochs, rising.
        milestones: Vec<u32>,
        /// 0.1 unless given.
        #[serde(default = "tenth")]
        factor: f64,
    },
    /// (1 + cos(pi t)) / 2, with t from 0 at the end of warm-up to 1 at the end of the run.
    Cosine {},
}

fn tenth() -> f64 {
    0.1
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Log {
    /// Steps from one line of metrics to the next; 10 unless given. Skipped steps always have a line.
    pub every_steps: u64,
    /// Steps from one checkpoint to the next, besides those at the end of epochs; none unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_every_steps: Option<u64>,
}

impl Config {
    /// Reads TOML text, sets the fields of `overrides` (`KEY=VALUE` with dotted keys), resolves.
    ///
    /// # Errors
    /// [`Error::Config`] names the field.
    pub fn parse(text: &str, overrides: &[impl AsRef<str>]) -> Result<Self> {
        Self::read_text(text, overrides).map_err(|source| Error::Config { origin: "configuration".into(), source })
    }

    /// As [`Config::parse`], from a file.
    ///
    /// # Errors
    /// [`Error::Config`] names the file and the field, [`Error::File`] the file that cannot be read.
    pub fn load(path: &Path, overrides: &[impl AsRef<str>]) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::file("reading", path))?;
        Self::read_text(&text, overrides).map_err(|source| Error::Config { origin: path.display().to_string(), source })
    }

    fn read_text(text: &str, overrides: &[impl AsRef<str>]) -> std::result::Result<Self, FieldError> {
        let mut table: Table = text.parse().map_err(FieldError::Syntax)?;
        overrides.iter().try_for_each(|assignment| overrides::set(&mut table, assignment.as_ref()))?;
        resolve::resolve(document::read(toml::Value::Table(table))?)
    }

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

    /// The text that [`Config::parse`] reads as this.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a configuration has text keys and finite numbers only")
    }
}

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FieldError {
    /// Not TOML.
    #[error("{}", .0.to_string().trim_end())]
    Syntax(toml::de::Error),
    /// A field that there is not.
    #[error("unknown field `{field}`{}; the fields here are: {}", suggestion(last(.field), .known), .known.join(", "))]
    Unknown {
        /// Its path.
        field: String,
        /// The fields that there are beside it.
        known: Vec<String>,
    },
    /// A value that cannot be used.
    #[error("`{field}`: {reason}")]
    Invalid {
        /// The path of the field.
        field: String,
        /// What is wrong.
        reason: String,
    },
}

impl FieldError {
    fn within(mut self, section: &str) -> Self {
        if let Self::Unknown { field, .. } | Self::Invalid { field, .. } = &mut self {
            *field = if field.is_empty() { section.into() } else { format!("{section}.{field}") };
        }
        self
    }
}

fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// ` (did you mean …?)`, or nothing.
fn suggestion<S: AsRef<str>>(asked: &str, known: &[S]) -> impl fmt::Display {
    nearest(asked, known).map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"))
}
