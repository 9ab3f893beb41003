//! `fp8-trainer eval`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use fp8_trainer::{Config, single};

use crate::missing::told;
use crate::progress::Progress;
use crate::{Place, say};

/// Measures weights on the validation data, in the precision of the recipe
#[derive(clap::Args)]
#[command(after_help = "Examples:
  fp8-trainer eval runs/r50
  fp8-trainer eval runs/r50 --set recipe=fp32
  fp8-trainer eval configs/imagenet.toml --set model.architecture=resnet50 \\
      --weights resnet50.safetensors")]
pub struct Arguments {
    /// Folder of a run, or a configuration
    run: PathBuf,
    /// State dict, safetensors [default: the run's]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Sets a field of the configuration
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    #[command(flatten)]
    place: Place,
}

/// Prints loss and accuracy, or BLEU.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { run, weights, .. } = arguments;
    let is_run = run.is_dir();
    let file = if is_run { run.join("config.toml") } else { run.clone() };
    let config = Config::load(&file, &arguments.overrides)?;
    let weights = weights.clone().or(is_run.then(|| run.join("weights.safetensors")));
    let weights = weights.context("--weights is needed with a configuration; the folder of a run has its own")?;
    let mut progress = Progress::default();
    let backend = arguments.place.open()?;
    let score = single::evaluate(&config, backend, &weights, &mut |event| progress.show(event));
    progress.clear();
    let score = score.map_err(|error| told(error.of_configuration(&file)))?;
    say(&format!("{score}  of {} {}", score.count, config.task.unit()))
}
