//! Configuration: TOML, read twice. First as text: unknown fields are refused with the nearest known name. Then as a whole:
//! defaults filled in, numbers checked, the recipe read. What results is saved beside every run and reads back as itself.

mod differences;
mod document;
mod overrides;
mod raw;
mod resolve;
mod sizes;
mod task;
#[cfg(test)]
mod tests;
mod words;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use fp8_autograd::{Exempt, LossScaling, OptimizerRule, Recipe, nearest};
use serde::{Deserialize, Serialize, Serializer};
use toml::Table;

pub(crate) use differences::differences;
pub use task::{Images, Loader, Model, SequenceModel, Task, TextLoader, TransformerModel, Translation};

use crate::error::UNNAMED;
use crate::{Error, Result};

/// A training run, complete.
///
/// As TOML it has the same fields; all may be left out, but for the `kind` of a section that has other fields.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    /// Of first weights, data order, augmentation and stochastic rounding. 0 unless given.
    pub seed: u64,
    /// The precision: `recipe = "fp8"`, or the path of a recipe's file, or a table with the fields of one. `fp8` unless given.
    pub recipe: RecipeSource,
    /// What is learned, with `[model]`, `[data]` and `[loader]`.
    #[serde(flatten)]
    pub task: Task,
    /// `[training]`
    pub training: Training,
    /// `[schedule]`; constant unless given.
    pub schedule: Schedule,
    /// `[optimizer]`; SGD with momentum 0.9 and no decay unless given.
    pub optimizer: OptimizerRule,
    /// `[loss_scaling]`; the recipe's unless given.
    pub loss_scaling: LossScaling,
    /// `[diagnostics]`; none unless given.
    #[serde(skip_serializing_if = "Diagnostics::are_off")]
    pub diagnostics: Diagnostics,
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

    /// The exempt layers that a recipe of one's own names, but for those that its base names too: the lists of built-in recipes are for several
    /// kinds of networks.
    pub(crate) fn own_exempt(&self) -> Exempt {
        let mut exempt = self.recipe.exempt.clone();
        let base = match &self.source {
            raw::Recipe::Name(_) => Some(&*self.recipe.name),
            raw::Recipe::Own(table) => table.get("base").and_then(toml::Value::as_str),
        };
        let of_base = base.and_then(|base| Recipe::named(base).ok()).map_or_else(Vec::new, |base| base.exempt.layers);
        exempt.layers.retain(|name| !of_base.contains(name));
        exempt
    }
}

impl Serialize for RecipeSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.source.serialize(serializer)
    }
}

/// `[training]`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Training {
    /// Passes over the training data; 10 unless given.
    pub epochs: u32,
    /// Images in a step, 64 unless given; what is left over at the end of an epoch is left out. In translation the most tokens of a step on each
    /// side, 4096 unless given.
    pub batch: usize,
    /// As `batch`, in validation; `batch` unless given.
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
        /// Epochs, or parts of them, rising. GNMT's schedule halves the rate four times in the last third of a run.
        milestones: Vec<f64>,
        /// 0.1 unless given.
        #[serde(default = "tenth")]
        factor: f64,
    },
    /// (1 + cos(pi t)) / 2, with t from 0 at the end of warm-up to 1 at the end of the run.
    Cosine {},
    /// sqrt(steps of warm-up / step) after warm-up, as for the Transformer (Vaswani et al. 2017); it needs a warm-up.
    InverseSquareRoot {},
}

fn tenth() -> f64 {
    0.1
}

/// `[diagnostics]`: experiments with a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Diagnostics {
    /// Steps from one to the next in which it is counted, layer by layer, how many errors and gradients rounding flushes to zero; none unless given. It
    /// changes nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count_flushed_every: Option<u64>,
    /// The last of so many steps in a row overflows without cause: its errors are multiplied by infinity in place of the loss scale; none unless
    /// given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spurious_overflow_every: Option<u64>,
}

impl Diagnostics {
    fn are_off(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it is counted in this step, from 0, what is flushed to zero.
    pub(crate) fn counts_flushed(&self, step: u64) -> bool {
        self.count_flushed_every.is_some_and(|every| step.is_multiple_of(every))
    }

    /// Whether this step, from 0, overflows without cause.
    pub(crate) fn overflows(&self, step: u64) -> bool {
        self.spurious_overflow_every.is_some_and(|every| (step + 1).is_multiple_of(every))
    }
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Log {
    /// Steps from one line of metrics to the next; 10 unless given. Skipped steps always have a line.
    pub every_steps: u64,
    /// Steps from one checkpoint to the next, besides those at the end of epochs; none unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_every_steps: Option<u64>,
    /// Epochs from one checkpoint at their ends to the next; 1 unless given. A run that is stopped, and one that ends, has one in any case.
    #[serde(skip_serializing_if = "is_one")]
    pub checkpoint_every_epochs: u32,
}

fn is_one(number: &u32) -> bool {
    *number == 1
}

impl Config {
    /// Reads TOML text, sets the fields of `overrides` (`KEY=VALUE` with dotted keys), resolves.
    ///
    /// # Errors
    /// [`Error::Config`] names the field.
    pub fn parse(text: &str, overrides: &[impl AsRef<str>]) -> Result<Self> {
        Self::read_text(text, overrides).map_err(|source| source.at(UNNAMED))
    }

    /// As [`Config::parse`], from a file.
    ///
    /// # Errors
    /// [`Error::Config`] names the file and the field, [`Error::File`] the file that cannot be read.
    pub fn load(path: &Path, overrides: &[impl AsRef<str>]) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::file("reading", path))?;
        Self::read_text(&text, overrides).map_err(|source| source.at(path.display()))
    }

    fn read_text(text: &str, overrides: &[impl AsRef<str>]) -> std::result::Result<Self, FieldError> {
        let mut table: Table = text.parse().map_err(FieldError::Syntax)?;
        overrides.iter().try_for_each(|assignment| overrides::set(&mut table, assignment.as_ref()))?;
        resolve::resolve(document::read(toml::Value::Table(table))?)
    }

    /// What is particular to images, where the run is about them.
    pub const fn images(&self) -> Option<&Images> {
        match &self.task {
            Task::Images(images) => Some(images),
            Task::Translation(_) => None,
        }
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
    /// What is wrong with another file that the configuration names.
    #[error("{file}: {source}")]
    Elsewhere {
        /// The file.
        file: String,
        /// What is wrong with it.
        source: Box<FieldError>,
    },
}

impl FieldError {
    /// The error of a configuration that stands in `origin`; of the other file, where it is that file's.
    fn at(self, origin: impl fmt::Display) -> Error {
        match self {
            Self::Elsewhere { file, source } => Error::Config { origin: file, source: *source },
            source => Error::Config { origin: origin.to_string(), source },
        }
    }

    fn within(mut self, section: &str) -> Self {
        if let Self::Unknown { field, .. } | Self::Invalid { field, .. } = &mut self
            && !section.is_empty()
        {
            *field = if field.is_empty() { section.into() } else { format!("{section}.{field}") };
        }
        self
    }
}

/// One thread per core.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// ` (did you mean …?)`, or nothing.
fn suggestion<S: AsRef<str>>(asked: &str, known: &[S]) -> impl fmt::Display {
    nearest(asked, known).map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"))
}
