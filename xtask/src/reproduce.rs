//! `cargo xtask reproduce`: the paper's experiments, run and reported. An experiment is data: a row of `experiment.rs`, the files of `scales/`.

mod data;
pub mod experiment;
mod imagenet;
mod images;
mod loss_scaling;
mod reproduction;
pub mod results;
mod scale;
#[cfg(test)]
mod tests;
mod texts;
mod wmt16;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::runs::{Device, Effort};

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
    /// GNMT and Transformer in FP32 and in FP8, and GNMT under three ways of loss scaling: on WMT16 where it is found, else on a generated pair of
    /// languages
    Wmt16(wmt16::Arguments),
    /// Back-off driven into underflow by overflows without cause, and the rising floor that prevents it: with counts of what is flushed to zero
    LossScaling(loss_scaling::Arguments),
}

/// How an experiment is made.
#[derive(clap::Args)]
pub struct Making {
    /// Runs of each row and column, with seeds 1, 2, …
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub seeds: u64,
    /// Where to compute: cpu, cuda, or cuda:N for card N; `cuda,MODE` says how products are summed: ordered, exact, promoted, fast
    #[arg(long, default_value_t)]
    pub device: Device,
    #[command(flatten)]
    pub effort: Effort,
    /// Folder of the results; a reproduction that was begun there goes on [default: runs/EXPERIMENT/SCALE-DATA]
    #[arg(long)]
    pub output: Option<PathBuf>,
}

/// Runs an experiment. Exits with 130 when it was interrupted.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    match &arguments.experiment {
        Experiment::Imagenet(arguments) => imagenet::run(arguments),
        Experiment::Wmt16(arguments) => wmt16::run(arguments),
        Experiment::LossScaling(arguments) => loss_scaling::run(arguments),
    }
}
