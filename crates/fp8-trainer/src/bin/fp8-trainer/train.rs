//! `fp8-trainer train`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use fp8_trainer::{Config, Device, RunOptions, RunResult, provenance, train};
use indicatif::ProgressBar;

use crate::missing::told;
use crate::progress::Progress;
use crate::{Place, note, say};

/// Trains as a configuration says, into a folder of its own
#[derive(clap::Args)]
#[command(after_help = "Examples:
  fp8-trainer train configs/quick.toml
  fp8-trainer train configs/cifar10.toml --set recipe=fp8-rne --set training.epochs=3
  fp8-trainer train configs/generated-language.toml
  fp8-trainer train configs/imagenet.toml --set model.architecture=resnet50 --output runs/r50
  fp8-trainer train runs/r50/config.toml --output runs/r50 --resume

The folder then holds config.toml (resolved), provenance.toml, metrics.jsonl, checkpoint and weights.safetensors, which \
PyTorch loads; of translation also tokenizer.json. Ctrl-C ends the run after the step under way, with a checkpoint; the exit status is then 130.")]
pub struct Arguments {
    /// Configuration, TOML; every field is in configs/README.md
    config: PathBuf,
    /// Sets a field of the configuration, e.g. training.batch=128
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Folder of the run [default: runs/CONFIG-RECIPE-seedSEED]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Goes on from the folder's checkpoint, if there is one
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    place: Place,
}

/// Exit status of a run that was stopped: 128 and the number of SIGINT.
const STOPPED: u8 = 130;

static STOP: AtomicBool = AtomicBool::new(false);

/// Trains, and says what came of it.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let config = Config::load(&arguments.config, &arguments.overrides)?;
    let folder = arguments.output.clone().unwrap_or_else(|| default_folder(&arguments.config, &config));
    let backend = arguments.place.open()?;
    let mut progress = Progress::default();
    let bar = progress.bar();
    ctrlc::set_handler(move || stop(&bar)).context("listening for Ctrl-C")?;
    let options = RunOptions {
        backend,
        folder: Some(folder.clone()),
        resume: arguments.resume,
        stop: &STOP,
        observer: &mut |event| progress.show(event),
    };
    let result = train(&config, options);
    progress.clear();
    let result = result.map_err(|error| told(error.of_configuration(&arguments.config)))?;
    if !result.finished {
        let to_go_on = resuming(&folder, arguments.place.device);
        note(&format!("stopped after {} steps; to go on:\n  {to_go_on}", result.steps));
        return Ok(ExitCode::from(STOPPED));
    }
    say(&summary(&result, &folder, config.task.unit()))?;
    Ok(ExitCode::SUCCESS)
}

/// The command that goes on with a run.
fn resuming(folder: &Path, device: Device) -> String {
    let [config, folder] = [&folder.join("config.toml"), folder].map(|path| path.display().to_string());
    let mut words = vec!["train".into(), config, "--output".into(), folder, "--resume".into()];
    if device != Device::default() {
        words.extend(["--device".into(), device.to_string()]);
    }
    provenance::command("fp8-trainer", words)
}

/// The first time: after the step under way. The second time: now.
fn stop(bar: &ProgressBar) {
    if STOP.swap(true, Ordering::Relaxed) {
        std::process::exit(STOPPED.into());
    }
    bar.suspend(|| note("stopping after this step; once more to stop at once"));
}

fn default_folder(file: &Path, config: &Config) -> PathBuf {
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    PathBuf::from(format!("runs/{name}-{}-seed{}", config.recipe.recipe().name, config.seed))
}

fn summary(result: &RunResult, folder: &Path, unit: &str) -> String {
    let score = result.epochs.last().map(|epoch| format!("validation {}\n", epoch.validation));
    // Of a run that had been finished before, nothing is known.
    let speed = (result.per_second > 0.0).then(|| format!("{:.0} {unit}/s, ", result.per_second));
    format!(
        "{}{} steps, {} skipped, {:.0} s, {}{:.0} MiB of device memory at most\n{}\nsha256 {}",
        score.unwrap_or_default(),
        result.steps,
        result.skipped,
        result.seconds,
        speed.unwrap_or_default(),
        result.peak_bytes as f64 / f64::from(1 << 20),
        folder.join("weights.safetensors").display(),
        result.weights_digest,
    )
}
