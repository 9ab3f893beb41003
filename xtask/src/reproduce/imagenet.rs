//! `cargo xtask reproduce imagenet`: the paper's comparison of FP32 and FP8 on ResNets.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use fp8_data::Source;
use fp8_models::Architecture;

use super::images::Choice;
use super::results::{DataSet, Results};
use super::scale::{Scale, Setting};
use crate::provenance::Provenance;
use crate::runs::{self, Device, Outcome, Plan, Run, count, spoken};
use crate::{report, repository};

/// Options of `cargo xtask reproduce imagenet`.
#[derive(clap::Args)]
pub struct Arguments {
    /// auto (ImageNet where it is found, else synthetic), synthetic, cifar10, or a folder
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
    /// Runs of each network and recipe, with seeds 1, 2, …
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// Where to compute
    #[arg(long, value_enum, default_value_t = Device::Cpu)]
    device: Device,
    /// Folder of the results; a reproduction that was begun there goes on [default: runs/imagenet/SCALE-DATA]
    #[arg(long)]
    output: Option<PathBuf>,
}

/// Runs what is missing in the output folder, and reports.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let setting = arguments.scale.setting()?;
    let source = arguments.data.source(&setting.generated)?;
    let plans = plans(arguments, &setting, &source)?;
    let Some(first) = plans.first() else { bail!("--models and --recipes name no run") };
    let backend = arguments.device.backend()?;
    let folder = arguments.output.clone().unwrap_or_else(|| default_folder(arguments.scale, &source));
    let fresh = Results {
        provenance: Provenance::here(backend.name()),
        data: DataSet::of(&first.config)?,
        scale: arguments.scale.to_string(),
        setting: setting.about.clone(),
        planned: plans.len(),
        runs: Vec::new(),
        failures: Vec::new(),
    };
    let mut results = continued(fresh, &folder, &plans)?;
    println!("{}", introduction(&results, &folder));
    let start = Instant::now();
    results.write(&folder)?;
    let there = results.runs.clone();
    let finished = runs::make(&plans, &there, &backend, &folder, |outcome| {
        match outcome {
            Outcome::Run(run) => results.runs.push(run),
            Outcome::Failure(failure) => results.failures.push(failure),
        }
        results.write(&folder)?;
        report::write(&results, &folder)
    })?;
    print!("{}", report::terminal(&results));
    if !finished {
        println!("Interrupted. The same command goes on from here: {}", results.provenance.command);
        return Ok(ExitCode::from(130));
    }
    println!("\n{} in {}; open {}.", count(plans.len(), "run"), spoken(start.elapsed()), shown(&folder, "report.html"));
    Ok(if results.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All runs asked for, in an order that fills the table early: seed by seed.
fn plans(arguments: &Arguments, setting: &Setting, source: &Source) -> Result<Vec<Plan>> {
    let mut plans = Vec::new();
    for seed in 1..=arguments.seeds {
        for &model in &arguments.models {
            for recipe in &arguments.recipes {
                let config = setting.config(source, model, recipe, seed)?;
                let name = format!("{model}-{}-seed{seed}", config.recipe.recipe().name);
                plans.push(Plan { name, config });
            }
        }
    }
    Ok(plans)
}

fn default_folder(scale: Scale, source: &Source) -> PathBuf {
    let kind = match source {
        Source::Generated(_) => "synthetic".into(),
        Source::Cifar10 { .. } => "cifar10".into(),
        Source::Cifar100 { folder }
        | Source::Mnist { folder }
        | Source::FashionMnist { folder }
        | Source::Folder { folder } => folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    };
    repository::root().join("runs/imagenet").join(format!("{scale}-{kind}"))
}

/// What the folder holds already of the same reproduction, or nothing.
///
/// # Errors
/// When the folder holds one of other images or another scale.
fn continued(fresh: Results, folder: &Path, plans: &[Plan]) -> Result<Results> {
    if !folder.join("results.json").exists() {
        return Ok(fresh);
    }
    let mut earlier = Results::read(folder)?;
    if (&earlier.data, &earlier.scale) != (&fresh.data, &fresh.scale) {
        bail!(
            "{} holds a reproduction at {} scale on {}: choose another --output",
            folder.display(),
            earlier.scale,
            earlier.data.name
        );
    }
    let same = |run: &Run| plans.iter().any(|plan| plan.made(run));
    earlier.runs.retain(same);
    Ok(Results { runs: earlier.runs, ..fresh })
}

fn introduction(results: &Results, folder: &Path) -> String {
    let name = &results.data.name;
    let mut text = format!("{}: {}.\n", results.scale, results.setting);
    if !results.data.is_imagenet {
        text +=
            &format!("ImageNet is not used here: these runs train on {name}, and their figures are not ImageNet's.\n");
    }
    text += &format!("{}.\n", results.data.counts());
    text += &format!("{} on {}, into {}", count(results.planned, "run"), results.provenance.backend, folder.display());
    match results.runs.len() {
        0 => text + ".",
        done => text + &format!("; {done} of them there already."),
    }
}

fn shown(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}
