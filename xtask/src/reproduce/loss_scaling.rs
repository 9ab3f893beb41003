//! `cargo xtask reproduce loss-scaling`: back-off driven into underflow by overflows without cause, and the rising floor that prevents it.

use std::process::ExitCode;

use anyhow::{Result, ensure};

use super::data::Choice;
use super::reproduction::Reproduction;
use super::results::DataSet;
use super::scale::{Asked, Setting};
use super::{Making, experiment, texts};

/// Options of `cargo xtask reproduce loss-scaling`.
#[derive(clap::Args)]
pub struct Arguments {
    /// A built-in name (fp8, fp8-rne, fp16, …) or a file
    #[arg(long, default_value = "fp8")]
    pub recipe: String,
    #[command(flatten)]
    pub making: Making,
}

/// What is run.
pub const SETTING: &str = include_str!("scales/loss-scaling.toml");

/// Runs what is missing in the output folder, and reports.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    reproduction(arguments, SETTING)?.make(&arguments.making)
}

/// What is to be run, by the text of a setting.
pub fn reproduction(arguments: &Arguments, setting: &str) -> Result<Reproduction> {
    let setting = Setting::parse(setting)?;
    let source = texts::source(&Choice::Synthetic, &setting.generated)?;
    let recipes = std::slice::from_ref(&arguments.recipe);
    let asked = Asked { models: vec!["gnmt".into()], recipes, seeds: arguments.making.seeds };
    let plans = setting.plans(&source, true, &asked)?;
    ensure!(plans.len() as u64 > asked.seeds, "--recipe {}: it has no loss scale to disturb", arguments.recipe);
    let data = plans.first().map(|plan| DataSet::of_text(&plan.config)).transpose()?.unwrap_or_default();
    let recipe = plans.first().map(|plan| plan.variant.clone()).unwrap_or_default();
    let (scale, kind) = ("quick".into(), format!("{}-{recipe}", texts::kind(&source)));
    Ok(Reproduction { experiment: &experiment::LOSS_SCALING, data, scale, about: setting.about, kind, plans })
}
