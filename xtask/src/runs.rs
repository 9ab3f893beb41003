//! A list of training runs, made one after the other: with progress, into a folder each, to be stopped and gone on with.
//! `reproduce` and `sweep` are lists of runs.

mod progress;
mod run;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use fp8_kernels::Backend;
pub use fp8_trainer::Device;
use fp8_trainer::{Config, Error, RunOptions, train};

pub use progress::spoken;
use progress::{Progress, work};
pub use run::{Epoch, Failure, Point, Run};
#[cfg(test)]
pub use run::{Flushed, LayerFlushed};

/// A run to be made; its name is that of its folder, too.
pub struct Plan {
    pub name: String,
    /// What sets it apart from others of its model: the recipe, and what else.
    pub variant: String,
    pub config: Config,
}

impl Plan {
    /// Whether `run` is this one.
    pub fn made(&self, run: &Run) -> bool {
        run.name == self.name && run.config == self.config.to_toml()
    }
}

/// What came of a plan.
pub enum Outcome {
    /// It is finished.
    Run(Box<Run>),
    /// It led nowhere.
    Failure(Failure),
}

/// [`make_until`] the user interrupts.
pub fn make(
    plans: &[Plan],
    made: &[Run],
    backend: &Arc<dyn Backend>,
    folder: &Path,
    keep: impl FnMut(Outcome) -> Result<()>,
) -> Result<bool> {
    make_until(stop_at_interrupt()?, plans, made, backend, folder, keep)
}

/// Makes the plans that `made` has not, in folders within `folder/runs`; `keep` is given what came of each at once. False when stopped:
/// then the run under way has a checkpoint, and the same call goes on.
///
/// # Errors
/// When two plans have one name, and when a run fails otherwise than by diverging.
pub fn make_until(
    stop: &AtomicBool,
    plans: &[Plan],
    made: &[Run],
    backend: &Arc<dyn Backend>,
    folder: &Path,
    mut keep: impl FnMut(Outcome) -> Result<()>,
) -> Result<bool> {
    if plans.iter().map(|plan| &plan.name).collect::<BTreeSet<_>>().len() < plans.len() {
        bail!("a run is asked for twice");
    }
    let (there, missing): (Vec<_>, Vec<_>) =
        plans.iter().enumerate().partition(|(_, plan)| made.iter().any(|run| plan.made(run)));
    let effort = |plans: &[(usize, &Plan)]| plans.iter().map(|(_, plan)| work(&plan.config)).sum::<f64>();
    let mut progress = Progress::new(effort(&there) + effort(&missing), effort(&there));
    for (at, plan) in missing {
        progress.begin(&plan.name, at + 1, plans.len(), work(&plan.config));
        let options = RunOptions {
            backend: backend.clone(),
            folder: Some(folder.join("runs").join(&plan.name)),
            resume: true,
            stop,
            observer: &mut |event| progress.tell(event),
        };
        keep(match train(&plan.config, options) {
            Ok(result) if !result.finished => return Ok(false),
            Ok(result) => Outcome::Run(Box::new(Run::of(plan, &result))),
            Err(Error::Diverged { step, reason }) => {
                progress.say(&format!("{} diverged at step {step}: {reason}", plan.name));
                Outcome::Failure(Failure { run: plan.name.clone(), reason: format!("step {step}: {reason}") })
            }
            Err(error) => return Err(error).with_context(|| plan.name.clone()),
        })?;
        progress.end();
    }
    progress.finish();
    Ok(true)
}

/// What the first Ctrl-C sets; the second ends the process.
pub fn stop_at_interrupt() -> Result<&'static AtomicBool> {
    static STOP: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("\nStopping after this step; once more: at once.");
    })
    .context("watching for Ctrl-C")?;
    Ok(&STOP)
}

/// `1 run`, `6 runs`.
pub fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
