//! `cargo xtask sweep`: a run for each combination of values of some fields of a configuration.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use fp8_trainer::{Config, FolderLock};
use serde::{Deserialize, Serialize};

use crate::provenance::Provenance;
use crate::report::Estimate;
use crate::repository;
use crate::runs::{self, Device, Effort, Failure, List, Outcome, Plan, Run, count, inherit, sources};
use crate::table::Table;
use crate::terminal::{say, width};

/// Options of `cargo xtask sweep`.
#[derive(clap::Args)]
#[command(after_help = "Example, the loss scales that the paper compares:
  cargo xtask sweep configs/quick.toml --set loss_scaling.kind=constant \\
      --vary loss_scaling.scale=1,1000,10000 --seeds 3")]
pub struct Arguments {
    /// Configuration that the runs share, TOML
    config: PathBuf,
    /// A field and its values; given more than once, every combination is run
    #[arg(long, value_name = "KEY=A,B,...", required = true)]
    vary: Vec<Axis>,
    /// Sets a field for all runs
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Runs of each combination, with seeds 1, 2, …
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// Where to compute: cpu, cuda, or cuda:N for card N; `cuda,MODE` says how products are summed: ordered, exact, promoted, fast
    #[arg(long, default_value_t)]
    device: Device,
    #[command(flatten)]
    effort: Effort,
    /// Folder of the results; a sweep that was begun there goes on [default: runs/sweep/CONFIG]
    #[arg(long)]
    output: Option<PathBuf>,
}

/// A field and the values that it takes.
#[derive(Clone, Debug, PartialEq)]
struct Axis {
    key: String,
    values: Vec<String>,
}

impl std::str::FromStr for Axis {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (key, values) = text.split_once('=').ok_or("KEY=A,B,... is wanted")?;
        let values = split(values);
        if key.trim().is_empty() || values.iter().any(String::is_empty) {
            return Err("KEY=A,B,... is wanted, nothing empty".into());
        }
        Ok(Self { key: key.trim().into(), values })
    }
}

/// The parts between commas; those within brackets belong to a value.
fn split(values: &str) -> Vec<String> {
    let mut depth = 0;
    let parts = values.split(|letter| {
        depth += i32::from("[{".contains(letter)) - i32::from("]}".contains(letter));
        letter == ',' && depth == 0
    });
    parts.map(|part| part.trim().to_string()).collect()
}

/// A combination of values, one for each axis, and the names of its runs, one for each seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Combination {
    values: Vec<String>,
    runs: Vec<String>,
}

/// The content of `results.json`.
#[derive(Serialize, Deserialize)]
struct Results {
    /// Of the command that wrote this last; each run has its own.
    provenance: Provenance,
    keys: Vec<String>,
    combinations: Vec<Combination>,
    runs: Vec<Run>,
    failures: Vec<Failure>,
}

/// Makes the runs that are missing in the output folder, and prints a table.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let stem = arguments.config.file_stem().unwrap_or_default();
    let folder = repository::output(arguments.output.as_deref(), Path::new("runs/sweep").join(stem))?;
    let (combinations, plans) = plans(arguments)?;
    let stop = runs::stop_after(arguments.effort.minutes)?;
    let backends = arguments.effort.backends(&arguments.device)?;
    let _lock = FolderLock::take(&folder)?;
    let keys: Vec<String> = arguments.vary.iter().map(|axis| axis.key.clone()).collect();
    let (made, diverged) = earlier(&folder, &keys, &plans)?;
    let mut results = Results {
        provenance: Provenance::here(backends.first().map(|backend| backend.name()).unwrap_or_default()),
        keys,
        combinations,
        runs: made.clone(),
        failures: diverged.clone(),
    };
    say(&format!("{} on {}, into {}.", count(plans.len(), "run"), results.provenance.backend, folder.display()))?;
    let (backends, folder, provenance) = (&backends[..], &folder, &results.provenance.clone());
    let list = List { plans: &plans, made: &made, failures: &diverged, backends, folder, provenance };
    let finished = runs::make_until(stop, &list, |outcome| {
        match outcome {
            Outcome::Run(run) => results.runs.push(*run),
            Outcome::Failure(failure) => results.failures.push(*failure),
        }
        write(&results, folder)
    })?;
    say(&format!("\n{}", table(&results).within(width())))?;
    if !finished {
        say(&format!("Interrupted. The same command goes on from here: {}", results.provenance.command))?;
        return Ok(ExitCode::from(130));
    }
    Ok(if results.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Sees to it that each field is set in one place.
fn check_keys(arguments: &Arguments) -> Result<()> {
    let keys = || arguments.vary.iter().map(|axis| axis.key.as_str());
    let set = || arguments.overrides.iter().map(|assignment| assignment.split('=').next().unwrap_or_default().trim());
    if keys().chain(set()).any(|key| key == "seed") {
        bail!("seeds are chosen by --seeds N, which runs each combination with the seeds 1 to N");
    }
    for (at, key) in keys().enumerate() {
        if keys().take(at).any(|other| other == key) {
            bail!("--vary names `{key}` twice: give all its values at once, --vary {key}=A,B,...");
        }
        if set().any(|other| other == key) {
            bail!("`{key}` is in --vary and in --set: leave out one of them");
        }
    }
    Ok(())
}

/// Every combination of the axes' values, the last axis fastest.
fn grid(axes: &[Axis]) -> Vec<Vec<String>> {
    axes.iter().fold(vec![Vec::new()], |begun, axis| {
        let longer = |start: &Vec<String>| {
            let start = start.clone();
            axis.values.iter().map(move |value| [&start[..], std::slice::from_ref(value)].concat())
        };
        begun.iter().flat_map(longer).collect()
    })
}

fn plans(arguments: &Arguments) -> Result<(Vec<Combination>, Vec<Plan>)> {
    check_keys(arguments)?;
    let (mut combinations, mut plans) = (Vec::new(), Vec::new());
    for values in grid(&arguments.vary) {
        let chosen: Vec<String> =
            arguments.vary.iter().zip(&values).map(|(axis, value)| format!("{}={value}", axis.key)).collect();
        let mut runs = Vec::new();
        for seed in 1..=arguments.seeds {
            let all = [&arguments.overrides[..], &chosen, &[format!("seed={seed}")]].concat();
            let config = Config::load(&arguments.config, &all)?;
            let name = format!("{}-seed{seed}", file_name(&chosen.join("-")));
            runs.push(name.clone());
            let variant = config.recipe.recipe().name.clone();
            plans.push(Plan { name, variant, config });
        }
        combinations.push(Combination { values, runs });
    }
    if plans.iter().enumerate().any(|(at, plan)| plans[..at].iter().any(|other| other.config == plan.config)) {
        bail!("two combinations are the same run: --vary names a value twice");
    }
    runs::tell_apart(&plans)?;
    Ok((combinations, plans))
}

/// `text` with an underscore for whatever a file name had better not hold.
fn file_name(text: &str) -> String {
    text.chars().map(|letter| if letter.is_alphanumeric() || "=.-".contains(letter) { letter } else { '_' }).collect()
}

/// The planned runs that the folder holds already.
///
/// # Errors
/// When the folder holds a sweep over other fields.
fn earlier(folder: &Path, wanted: &[String], plans: &[Plan]) -> Result<(Vec<Run>, Vec<Failure>)> {
    let path = folder.join("results.json");
    if !path.exists() {
        return Ok((Vec::new(), Vec::new()));
    }
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let Results { provenance, keys, mut runs, mut failures, .. } =
        serde_json::from_str(&text).with_context(|| format!("{} is not a sweep's", path.display()))?;
    if keys != wanted {
        bail!("{} holds a sweep over {}: choose another --output", folder.display(), keys.join(", "));
    }
    inherit(&provenance, &mut runs, &mut failures);
    runs.retain(|run| plans.iter().any(|plan| plan.made(run)));
    failures.retain(|failure| plans.iter().any(|plan| plan.failed(failure)));
    Ok((runs, failures))
}

fn write(results: &Results, folder: &Path) -> Result<()> {
    repository::write_json(&folder.join("results.json"), results)?;
    let path = folder.join("report.md");
    let lines = sources(&results.provenance, &results.runs, &results.failures);
    let lines: String = lines.into_iter().map(|(name, value)| format!("- {name}: {value}\n")).collect();
    fs::write(&path, format!("{}\n{lines}", table(results).markdown()))
        .with_context(|| format!("writing {}", path.display()))
}

/// A figure of a run.
type Figure = (&'static str, fn(&Run) -> f64);

/// A row for each combination: means over its seeds.
fn table(results: &Results) -> Table {
    let translates = results.runs.iter().any(|run| run.bleu().is_finite());
    let own: &[Figure] = match translates {
        true => &[("BLEU", Run::bleu)],
        false => &[("top-1, %", Run::top1), ("top-5, %", Run::top5)],
    };
    let figures: Vec<Figure> = [own, &[("training loss", Run::training_loss)]].concat();
    let names = figures.iter().map(|(name, _)| *name).chain(["skipped steps", "runs", "diverged"]);
    let mut table = Table::new(results.keys.iter().map(String::as_str).chain(names));
    for Combination { values, runs } in &results.combinations {
        let made: Vec<&Run> = results.runs.iter().filter(|run| runs.contains(&run.name)).collect();
        let mean = |figure: fn(&Run) -> f64| {
            let figures: Vec<f64> = made.iter().map(|run| figure(run)).collect();
            Estimate::of(&figures).map_or("–".into(), |estimate| estimate.to_string())
        };
        let diverged = results.failures.iter().filter(|failure| runs.contains(&failure.run)).count();
        let counts =
            [made.iter().map(|run| run.skipped).sum::<u64>().to_string(), made.len().to_string(), diverged.to_string()];
        let means = figures.iter().map(|(_, figure)| mean(*figure));
        table.push(values.iter().cloned().chain(means).chain(counts));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: &str = "recipe = 'fp8'\n[model]\nwidth = 4\n[data]\nkind = 'generated'\nsize = 8\ntraining = 32\n\
                        validation = 16\n[training]\nepochs = 1\nbatch = 16\n";

    fn arguments(folder: &Path, vary: &[&str]) -> Arguments {
        let config = folder.join("tiny.toml");
        fs::write(&config, TINY).unwrap();
        let vary = vary.iter().map(|axis| axis.parse().unwrap()).collect();
        let output = Some(folder.join("sweep"));
        Arguments { config, vary, overrides: Vec::new(), seeds: 1, device: Device::Cpu, effort: Effort::ALONE, output }
    }

    #[test]
    fn axes() {
        let axis: Axis = "schedule={kind = 'step', milestones = [1, 2]},{kind = 'cosine'}".parse().unwrap();
        assert_eq!(axis.values, ["{kind = 'step', milestones = [1, 2]}", "{kind = 'cosine'}"]);
        for wrong in ["seed", "=1", "a=1,,2", "a="] {
            assert!(wrong.parse::<Axis>().is_err(), "{wrong}");
        }
        let axes = ["a=1,2", "b=x,y"].map(|axis| axis.parse().unwrap());
        assert_eq!(grid(&axes), [["1", "x"], ["1", "y"], ["2", "x"], ["2", "y"]]);
    }

    #[test]
    fn mistakes_are_named_before_anything_runs() {
        let folder = tempfile::tempdir().unwrap();
        let message = |vary: &[&str]| format!("{:#}", plans(&arguments(folder.path(), vary)).err().unwrap());
        assert!(message(&["training.epoch=1,2"]).contains("did you mean `epochs`?"));
        assert!(message(&["training.epochs=1,1"]).contains("names a value twice"));
        assert!(message(&["seed=3,4"]).contains("seeds are chosen by --seeds"));
        assert!(message(&["training.epochs=1", "training.epochs=2"]).contains("names `training.epochs` twice"));
        let overrides = vec!["training.batch=8".into()];
        let both = Arguments { overrides, ..arguments(folder.path(), &["training.batch=16"]) };
        assert!(plans(&both).err().unwrap().to_string().contains("`training.batch` is in --vary and in --set"));
    }

    /// Stopped after a step of the first run, then gone on with, then asked for again: the figures are those of a sweep that was left
    /// alone, and nothing is trained twice. So are those of runs that are made at a time.
    #[test]
    fn a_sweep_goes_on_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (combinations, plans) = plans(&Arguments {
            overrides: vec!["loss_scaling.kind=constant".into()],
            ..arguments(folder.path(), &["loss_scaling.scale=1,10000"])
        })
        .unwrap();
        let backend = Device::Cpu.open(None).unwrap();
        let provenance = Provenance::here(backend.name());
        let make_by = |backends: &[_], stop: bool, name: &str, made: &[Run]| {
            let (mut runs, own) = (made.to_vec(), folder.path().join(name));
            let list = List { plans: &plans, made, failures: &[], backends, folder: &own, provenance: &provenance };
            let finished = runs::make_until(&stop.into(), &list, |outcome| {
                match outcome {
                    Outcome::Run(run) => runs.push(*run),
                    Outcome::Failure(failure) => bail!("{}", failure.reason),
                }
                Ok(())
            });
            runs.sort_by_key(|run| plans.iter().position(|plan| plan.name == run.name));
            (finished.unwrap(), runs)
        };
        let make = |stop, name: &str, made: &[Run]| make_by(std::slice::from_ref(&backend), stop, name, made);
        let (finished, none) = make(true, "stopped", &[]);
        assert!(!finished && none.is_empty());
        let (_, resumed) = make(false, "stopped", &[]);
        let (finished, straight) = make(false, "straight", &[]);
        assert!(finished && straight.len() == 2);
        let losses = |runs: &[Run]| runs.iter().map(Run::training_loss).collect::<Vec<_>>();
        assert_eq!(losses(&resumed), losses(&straight));
        let two = [backend.clone(), Device::Cpu.open(None).unwrap()];
        assert!(!make_by(&two, true, "together", &[]).0);
        let (finished, together) = make_by(&two, false, "together", &[]);
        assert!(finished && losses(&together) == losses(&straight));
        assert_eq!(make(true, "elsewhere", &straight).1.len(), 2, "made already");

        let keys = vec!["loss_scaling.scale".into()];
        let results = Results { provenance, keys, combinations, runs: straight, failures: Vec::new() };
        write(&results, folder.path()).unwrap();
        assert_eq!(earlier(folder.path(), &results.keys, &plans).unwrap().0.len(), 2);
        let refused = earlier(folder.path(), &["seed".into()], &plans).unwrap_err().to_string();
        assert!(refused.contains("holds a sweep over loss_scaling.scale: choose another --output"), "{refused}");
        let rows = table(&results).rows;
        assert_eq!((rows.len(), rows[1][0].as_str(), rows[1][5].as_str()), (2, "10000", "1"));
    }

    /// Its accuracy is that of the first weights: it must not stand beside those of others.
    #[test]
    fn a_run_without_an_update_has_no_figures() {
        let folder = tempfile::tempdir().unwrap();
        let vary = ["loss_scaling={kind = 'constant', scale = 1e30},{kind = 'constant', scale = 1}"];
        let arguments = arguments(folder.path(), &vary);
        let (combinations, plans) = plans(&arguments).unwrap();
        let backends = [Device::Cpu.open(None).unwrap()];
        let provenance = Provenance::here(backends[0].name());
        let keys = vec!["loss_scaling".into()];
        let mut results =
            Results { provenance: provenance.clone(), keys, combinations, runs: Vec::new(), failures: Vec::new() };
        let (backends, folder, provenance) = (&backends[..], folder.path(), &provenance);
        let list = List { plans: &plans, made: &[], failures: &[], backends, folder, provenance };
        let keep = |outcome| {
            match outcome {
                Outcome::Run(run) => results.runs.push(*run),
                Outcome::Failure(failure) => results.failures.push(*failure),
            }
            Ok(())
        };
        assert!(runs::make_until(&false.into(), &list, keep).unwrap());
        assert!(results.failures[0].reason.contains("every step was skipped"), "{}", results.failures[0].reason);
        let rows = table(&results).rows;
        assert_eq!([&rows[0][1], &rows[0][5], &rows[0][6]], ["–", "0", "1"]);
        assert_eq!([&rows[1][5], &rows[1][6]], ["1", "0"]);
    }
}
