//! The configuration as written: every field may be missing, none may be unknown.

use fp8_data::Unreadable;
use fp8_models::{Architecture, Stem};
use serde::{Deserialize, Serialize};
use toml::Table;

use super::Diagnostics;

/// Sections whose fields depend on one of them, or on the task, are tables as yet.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub seed: Option<u64>,
    pub recipe: Option<Recipe>,
    #[serde(default)]
    pub task: Task,
    #[serde(default)]
    pub model: Table,
    pub data: Option<Table>,
    #[serde(default)]
    pub loader: Table,
    #[serde(default)]
    pub training: Training,
    pub schedule: Option<Table>,
    pub optimizer: Option<Table>,
    pub loss_scaling: Option<Table>,
    #[serde(default)]
    pub diagnostics: Diagnostics,
    #[serde(default)]
    pub log: Log,
}

/// It says what the sections model, data and loader hold.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    #[default]
    Images,
    Translation,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a recipe is a name, the path of a file or a table")]
pub enum Recipe {
    /// A name, or the path of a file.
    Name(String),
    /// The fields of a recipe.
    Own(Table),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub architecture: Option<Architecture>,
    pub stem: Option<Stem>,
    pub width: Option<usize>,
    pub zero_init_residual: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loader {
    pub size: Option<usize>,
    pub training_images: Option<usize>,
    pub validation_images: Option<usize>,
    pub augment: Option<bool>,
    pub unreadable: Option<Unreadable>,
    pub workers: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    pub epochs: Option<u32>,
    pub batch: Option<usize>,
    pub validation_batch: Option<usize>,
    pub learning_rate: Option<f64>,
    pub warmup_epochs: Option<f64>,
    pub label_smoothing: Option<f32>,
    pub decay_weights_only: Option<bool>,
    pub clip_norm: Option<f32>,
    pub skipped_in_a_row: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub every_steps: Option<u64>,
    pub checkpoint_every_steps: Option<u64>,
    pub checkpoint_every_epochs: Option<u32>,
}
