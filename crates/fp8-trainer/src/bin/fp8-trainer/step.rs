//! `fp8-trainer step`.

use std::path::PathBuf;

use anyhow::Result;
use fp8_trainer::Config;
use fp8_trainer::single::{self, StepFiles};

use crate::{Place, note, say_of};

/// Makes exactly one training step on given weights and a given batch, and writes all that it computed
#[derive(clap::Args)]
#[command(after_help = "Example:
  fp8-trainer step --config configs/imagenet.toml --weights w.safetensors \\
      --batch b.safetensors --output o.safetensors \\
      --set recipe=fp8-rne --set training.learning_rate=0.1

The batch holds `input` (F32, N C H W, normalised) and `target` (I64, N); of translation `source` (I64, N S, each sentence ends with 2) \
and `target` (I64, N T+1, each begins with 1 and ends with 2), both filled up with 0. Written are `loss`, `logits`, `grad.NAME` (un-scaled), \
`param.NAME` (after the update) and `buffer.NAME` (running statistics), with the names and shapes of the weights. The learning \
rate is training.learning_rate, without schedule and warm-up; momentum starts at nothing.")]
pub struct Arguments {
    /// Configuration, TOML
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// State dict, safetensors
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// Images and classes, or sentences, safetensors
    #[arg(long, value_name = "FILE")]
    batch: PathBuf,
    /// Is written, safetensors
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Sets a field of the configuration
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Number of the step: chooses the random bits of stochastic rounding
    #[arg(long, value_name = "N", default_value_t = 0)]
    number: u32,
    #[command(flatten)]
    place: Place,
}

/// Makes the step.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { weights, batch, output, .. } = arguments;
    let config = Config::load(&arguments.config, &arguments.overrides)?;
    let backend = arguments.place.open()?;
    let summary = single::step(&config, backend, &StepFiles { weights, batch, output }, arguments.number)?;
    if !summary.overflowed.is_empty() {
        note(&format!("nothing was updated: Inf or NaN in the gradients of {}", summary.overflowed.join(", ")));
    }
    say_of(output, &format!("loss {}\n{}", summary.loss, output.display()))
}
