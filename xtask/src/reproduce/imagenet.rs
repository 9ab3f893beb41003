//! `cargo xtask reproduce imagenet`: the paper's comparison of FP32 and FP8 on ResNets.

use std::process::ExitCode;

use anyhow::Result;
use fp8_models::Architecture;

use super::data::Choice;
use super::reproduction::Reproduction;
use super::results::DataSet;
use super::scale::{Asked, Scale};
use super::{Making, experiment, images};

/// Options of `cargo xtask reproduce imagenet`.
#[derive(clap::Args)]
pub struct Arguments {
    /// auto (ImageNet where it is found, else synthetic), synthetic, cifar10, imagenet, or a folder
    #[arg(long, default_value = "auto")]
    data: Choice,
    /// How much to train
    #[arg(long, value_enum, default_value_t = Scale::Quick)]
    scale: Scale,
    /// Recipes: built-in names (fp32, bf16, fp8, fp8-rne, …) or files
    #[arg(long, value_delimiter = ',', default_value = "fp32,fp8")]
    recipes: Vec<String>,
    /// Networks
    #[arg(long, value_delimiter = ',', default_value = "resnet18,resnet34,resnet50")]
    models: Vec<Architecture>,
    #[command(flatten)]
    making: Making,
}

/// The files of the scales: quick, small, card, paper.
pub const SCALES: [&str; 4] = [
    include_str!("scales/imagenet/quick.toml"),
    include_str!("scales/imagenet/small.toml"),
    include_str!("scales/imagenet/card.toml"),
    include_str!("scales/imagenet/paper.toml"),
];

/// Runs what is missing in the output folder, and reports.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let setting = arguments.scale.setting(SCALES)?;
    let source = images::source(&arguments.data, &setting)?;
    let models = arguments.models.iter().map(Architecture::to_string).collect();
    let asked = Asked { models, recipes: &arguments.recipes, seeds: arguments.making.seeds };
    let plans = setting.plans(&source, source.size().is_some(), &asked)?;
    let data = plans.first().map(|plan| DataSet::of_images(&plan.config)).transpose()?.unwrap_or_default();
    let (scale, kind) = (arguments.scale.to_string(), images::kind(&source));
    let experiment = &experiment::IMAGENET;
    Reproduction { experiment, data, scale, about: setting.about, kind, plans }.make(&arguments.making)
}
