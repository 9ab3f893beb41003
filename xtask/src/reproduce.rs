//! `cargo xtask reproduce`: the paper's experiments, run and reported.

mod imagenet;
mod images;
pub mod results;
mod scale;

use std::process::ExitCode;

use anyhow::Result;

/// Options of `cargo xtask reproduce`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    experiment: Experiment,
}

#[derive(clap::Subcommand)]
enum Experiment {
    /// ResNet-18, -34 and -50 in FP32 and in FP8: on ImageNet where it is found, else on images made by arithmetic
    Imagenet(imagenet::Arguments),
}

/// Runs an experiment. Exits with 130 when it was interrupted.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    match &arguments.experiment {
        Experiment::Imagenet(arguments) => imagenet::run(arguments),
    }
}
