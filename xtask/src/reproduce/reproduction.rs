//! Makes the runs of an experiment, and reports.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Result, anyhow, bail};
use fp8_trainer::FolderLock;

use super::Making;
use super::experiment::Experiment;
use super::results::{DataSet, Results};
use crate::provenance::Provenance;
use crate::runs::{self, List, Outcome, Plan, Run, count, spoken};
use crate::terminal::{say, width, within};
use crate::{report, repository};

/// An experiment on some data, at some scale.
pub struct Reproduction {
    pub experiment: &'static Experiment,
    pub data: DataSet,
    pub scale: String,
    /// What the scale means, in words.
    pub about: String,
    /// Name of the data in that of the folder.
    pub kind: String,
    pub plans: Vec<Plan>,
}

impl Reproduction {
    /// Runs what is missing in the output folder, and reports.
    pub fn make(self, making: &Making) -> Result<ExitCode> {
        self.make_until(runs::stop_after(making.effort.minutes)?, making)
    }

    /// As [`Reproduction::make`], until `stop` is true.
    pub fn make_until(self, stop: &AtomicBool, making: &Making) -> Result<ExitCode> {
        if self.plans.is_empty() {
            bail!("--models and --recipes name no run");
        }
        runs::tell_apart(&self.plans)?;
        let backends = making.effort.backends(&making.device)?;
        let folder = repository::output(making.output.as_deref(), self.usual_folder())?;
        let _lock = FolderLock::take(&folder)?;
        let Self { experiment, data, scale, about, plans, .. } = self;
        let fresh = Results {
            experiment: experiment.name.into(),
            provenance: Provenance::here(backends.first().map(|backend| backend.name()).unwrap_or_default()),
            data,
            scale,
            setting: about,
            planned: plans.len(),
            runs: Vec::new(),
            failures: Vec::new(),
            compared: Vec::new(),
        };
        let mut results = continued(fresh, &folder, &plans)?;
        say(&within(width(), &introduction(experiment, &results, &folder)))?;
        let start = Instant::now();
        // What is there is replaced when a run has ended, not before.
        if !folder.join("results.json").exists() {
            results.write(&folder)?;
        }
        let (made, failures) = (results.runs.clone(), results.failures.clone());
        let (backends, folder, provenance) = (&backends[..], &folder, &results.provenance.clone());
        let list = List { plans: &plans, made: &made, failures: &failures, backends, folder, provenance };
        let finished = runs::make_until(stop, &list, |outcome| {
            match outcome {
                Outcome::Run(run) => results.runs.push(*run),
                Outcome::Failure(failure) => results.failures.push(*failure),
            }
            // Those that are made at a time end in any order.
            let place = |run: &Run| plans.iter().position(|plan| plan.name == run.name);
            results.runs.sort_by_key(|run| place(run).map_or((0, 0), |place| (1, place)));
            results.write(folder)?;
            report::write(&results, folder)
        })?;
        if finished {
            report::write(&results, folder)?;
        }
        say(&report::terminal(&results, width())?)?;
        if !finished {
            say(&format!("Interrupted. The same command goes on from here: {}", results.provenance.command))?;
            return Ok(ExitCode::from(130));
        }
        let page = folder.join("report.html");
        say(&format!("\n{} in {}; open {}.", count(plans.len(), "run"), spoken(start.elapsed()), page.display()))?;
        Ok(if results.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// From the checkout's root.
    fn usual_folder(&self) -> PathBuf {
        let Self { experiment, scale, kind, .. } = self;
        Path::new("runs").join(experiment.name).join(format!("{scale}-{kind}"))
    }
}

/// What the folder holds already of the same reproduction, or nothing: runs that are asked for, and those of other models, recipes or seeds in the same
/// setting.
///
/// # Errors
/// When the folder holds another experiment, or one on other data or at another scale.
fn continued(fresh: Results, folder: &Path, plans: &[Plan]) -> Result<Results> {
    if !folder.join("results.json").exists() {
        return Ok(fresh);
    }
    let mut earlier = Results::read(folder).map_err(|error| {
        anyhow!("{error:#}; move it away, and the runs beside it are gone on with, or choose another --output")
    })?;
    if (&earlier.experiment, &earlier.data, &earlier.scale) != (&fresh.experiment, &fresh.data, &fresh.scale) {
        bail!(
            "{} holds a reproduction of {} at {} scale on {}: choose another --output",
            folder.display(),
            earlier.experiment,
            earlier.scale,
            earlier.data.name
        );
    }
    let is_others = |name: &str| earlier.setting == fresh.setting && plans.iter().all(|plan| plan.name != name);
    earlier.runs.retain(|run| is_others(&run.name) || plans.iter().any(|plan| plan.made(run)));
    earlier.failures.retain(|failure| is_others(&failure.run) || plans.iter().any(|plan| plan.failed(failure)));
    let names = earlier.runs.iter().map(|run| &run.name).chain(earlier.failures.iter().map(|failure| &failure.run));
    let planned = fresh.planned + names.filter(|name| is_others(name)).count();
    Ok(Results { planned, runs: earlier.runs, failures: earlier.failures, ..fresh })
}

fn introduction(experiment: &Experiment, results: &Results, folder: &Path) -> String {
    let name = &results.data.name;
    let mut text = format!("{}: {}.\n", results.scale, results.setting);
    if !results.data.is_papers {
        let papers = experiment.papers_data;
        text +=
            &format!("{papers} is not used here: these runs train on {name}, and their figures are not {papers}'s.\n");
    }
    text += &format!("{}.\n", results.data.counts);
    text += &format!("{} on {}, into {}", count(results.planned, "run"), results.provenance.backend, folder.display());
    match results.runs.len() + results.failures.len() {
        0 => text + ".",
        done => text + &format!("; {done} of them there already."),
    }
}
