//! `cargo xtask reproduce wmt16`: the paper's comparison of FP32 and FP8 on GNMT and the Transformer, and of ways of loss scaling on GNMT.

use std::process::ExitCode;

use anyhow::Result;

use super::data::Choice;
use super::reproduction::Reproduction;
use super::results::DataSet;
use super::scale::{Asked, Scale};
use super::{Making, experiment, texts};

/// Options of `cargo xtask reproduce wmt16`.
#[derive(clap::Args)]
pub struct Arguments {
    /// auto (WMT16 where it is found, else synthetic), synthetic, multi30k, wmt16, or a folder with files named as theirs
    #[arg(long, default_value = "auto")]
    pub data: Choice,
    /// How much to train
    #[arg(long, value_enum, default_value_t = Scale::Quick)]
    pub scale: Scale,
    /// Recipes: built-in names (fp32, bf16, fp8, fp8-rne, …) or files; loss scaling is compared in the first that has one
    #[arg(long, value_delimiter = ',', default_value = "fp32,fp8")]
    pub recipes: Vec<String>,
    /// Networks
    #[arg(long, value_enum, value_delimiter = ',', default_value = "gnmt,transformer")]
    pub models: Vec<Network>,
    #[command(flatten)]
    pub making: Making,
}

/// The networks that translate.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Network {
    Gnmt,
    Transformer,
}

impl Network {
    /// Its name in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gnmt => "gnmt",
            Self::Transformer => "transformer",
        }
    }
}

/// The files of the scales: quick, small, card, paper.
pub const SCALES: [&str; 4] = [
    include_str!("scales/wmt16/quick.toml"),
    include_str!("scales/wmt16/small.toml"),
    include_str!("scales/wmt16/card.toml"),
    include_str!("scales/wmt16/paper.toml"),
];

/// Runs what is missing in the output folder, and reports.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    reproduction(arguments, SCALES)?.make(&arguments.making)
}

/// What is to be run, by the files of the scales.
pub fn reproduction(arguments: &Arguments, scales: [&str; 4]) -> Result<Reproduction> {
    let setting = arguments.scale.setting(scales)?;
    let source = texts::source(&arguments.data, &setting.generated)?;
    let models = arguments.models.iter().map(|model| model.name().into()).collect();
    let asked = Asked { models, recipes: &arguments.recipes, seeds: arguments.making.seeds };
    let plans = setting.plans(&source, texts::is_generated(&source), &asked)?;
    let data = plans.first().map(|plan| DataSet::of_text(&plan.config)).transpose()?.unwrap_or_default();
    let (scale, kind) = (arguments.scale.to_string(), texts::kind(&source));
    Ok(Reproduction { experiment: &experiment::WMT16, data, scale, about: setting.about, kind, plans })
}
