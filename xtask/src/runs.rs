//! A list of training runs, made one after the other or some at a time: with progress, into a folder each, to be stopped and gone on with.
//! `reproduce` and `sweep` are lists of runs.

mod progress;
mod run;
mod sources;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fp8_kernels::Backend;
pub use fp8_trainer::Device;
use fp8_trainer::{Config, Error, Event, RunOptions, train};

use crate::provenance::Provenance;
use crate::repository;
pub use progress::spoken;
use progress::{Progress, say, work};
pub use run::{Epoch, Failure, Point, Run};
#[cfg(test)]
pub use run::{Flushed, LayerFlushed};
pub use sources::{inherit, sources};

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
        run.name == self.name && run.config == self.settings()
    }

    /// Whether it is this one that failed.
    pub fn failed(&self, failure: &Failure) -> bool {
        failure.run == self.name && failure.config == self.settings()
    }

    /// The resolved configuration, TOML, with paths from the checkout's root: the same in every one.
    pub fn settings(&self) -> String {
        let text = self.config.to_toml();
        repository::root().map_or_else(|_| text.clone(), |root| text.replace(&format!("{}/", root.display()), ""))
    }
}

/// Sees to it that each plan has a name, and so a folder, of its own.
///
/// # Errors
/// Names the run that is asked for twice.
pub fn tell_apart(plans: &[Plan]) -> Result<()> {
    let mut names = BTreeSet::new();
    match plans.iter().find(|plan| !names.insert(&plan.name)) {
        Some(plan) => bail!("the run {} is asked for twice: a recipe or a model is named twice", plan.name),
        None => Ok(()),
    }
}

/// Runs to be made, and what is there of them already.
pub struct List<'a> {
    pub plans: &'a [Plan],
    pub made: &'a [Run],
    pub failures: &'a [Failure],
    /// One for each run that is made at a time.
    pub backends: &'a [Arc<dyn Backend>],
    /// The runs' own folders are in `runs` within it.
    pub folder: &'a Path,
    /// Of those that are made now.
    pub provenance: &'a Provenance,
}

impl<'a> List<'a> {
    /// Whether a plan leads nowhere new.
    fn is_there(&self, plan: &Plan) -> bool {
        self.made.iter().any(|run| plan.made(run)) || self.failures.iter().any(|failure| plan.failed(failure))
    }

    /// A plan's outcome; nothing where it was stopped.
    fn make(
        &self,
        plan: &Plan,
        backend: &Arc<dyn Backend>,
        stop: &AtomicBool,
        observer: &mut (dyn FnMut(&Event<'_>) + Send),
    ) -> Result<Option<Outcome>> {
        let folder = Some(self.folder.join("runs").join(&plan.name));
        let options = RunOptions { backend: backend.clone(), folder, resume: true, stop, observer };
        match train(&plan.config, options) {
            Ok(result) => Ok(result.finished.then(|| Outcome::Run(Box::new(Run::of(plan, &result, self.provenance))))),
            Err(Error::Diverged { step, reason }) => {
                let (run, config) = (plan.name.clone(), plan.settings());
                let provenance = Some(self.provenance.clone());
                Ok(Some(Outcome::Failure(Box::new(Failure {
                    run,
                    config,
                    reason: format!("step {step}: {reason}"),
                    provenance,
                }))))
            }
            Err(error) => Err(error).with_context(|| plan.name.clone()),
        }
    }
}

/// What came of a plan.
pub enum Outcome {
    /// It is finished.
    Run(Box<Run>),
    /// It led nowhere.
    Failure(Box<Failure>),
}

/// Makes what is missing of a list; `keep` is given what came of each run at once. False when stopped: then each run under way has a checkpoint,
/// and the same call goes on.
///
/// # Errors
/// When a run fails otherwise than by diverging.
pub fn make_until(stop: &AtomicBool, list: &List<'_>, mut keep: impl FnMut(Outcome) -> Result<()>) -> Result<bool> {
    let List { plans, backends, .. } = *list;
    let (there, missing): (Vec<_>, Vec<_>) = plans.iter().enumerate().partition(|(_, plan)| list.is_there(plan));
    let [backend] = backends else { return together(stop, list, &missing, keep) };
    let effort = |plans: &[(usize, &Plan)]| plans.iter().map(|(_, plan)| work(&plan.config)).sum::<f64>();
    let mut progress = Progress::new(effort(&there) + effort(&missing), effort(&there));
    for (at, plan) in missing {
        progress.begin(&plan.name, at + 1, plans.len(), work(&plan.config));
        let Some(outcome) = list.make(plan, backend, stop, &mut |event| progress.tell(event))? else {
            progress.finish();
            return Ok(false);
        };
        if let Outcome::Failure(failure) = &outcome {
            say(&format!("{} diverged at {}", plan.name, failure.reason));
        }
        keep(outcome)?;
        progress.end();
    }
    progress.finish();
    Ok(true)
}

/// The same with a thread for each backend: each takes the next plan that nobody has. An error stops all.
fn together(
    stop: &AtomicBool,
    list: &List<'_>,
    missing: &[(usize, &Plan)],
    mut keep: impl FnMut(Outcome) -> Result<()>,
) -> Result<bool> {
    let (next, of) = (AtomicUsize::new(0), list.plans.len());
    let (sender, outcomes) = channel();
    let work = |backend: &Arc<dyn Backend>, sender: Sender<Result<Option<Outcome>>>| {
        while let Some((at, plan)) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
            let title = format!("[{}/{of}] {}", at + 1, plan.name);
            let outcome = list.make(plan, backend, stop, &mut |event| progress::tell_line(&title, event));
            if let Ok(Some(Outcome::Failure(failure))) = &outcome {
                say(&format!("{title} diverged at {}", failure.reason));
            }
            let goes_on = matches!(outcome, Ok(Some(_)));
            if sender.send(outcome).is_err() || !goes_on {
                return;
            }
        }
    };
    thread::scope(|scope| {
        for backend in list.backends {
            let (work, sender) = (&work, sender.clone());
            scope.spawn(move || work(backend, sender));
        }
        drop(sender);
        let mut finished = Ok(true);
        for outcome in outcomes {
            let kept = match outcome {
                Ok(Some(outcome)) => keep(outcome).map(|()| true),
                Ok(None) => Ok(false),
                Err(error) => Err(error),
            };
            match kept {
                Ok(true) => {}
                Ok(false) => finished = finished.map(|_| false),
                Err(error) => {
                    stop.store(true, Ordering::Relaxed);
                    finished = finished.and(Err(error));
                }
            }
        }
        finished
    })
}

/// What the first Ctrl-C sets; the second ends the process.
pub fn stop_at_interrupt() -> Result<&'static AtomicBool> {
    static STOP: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        say("\nStopping after this step; once more: at once.");
    })
    .context("watching for Ctrl-C")?;
    Ok(&STOP)
}

/// The same, and what the clock sets after so many minutes.
pub fn stop_after(minutes: Option<f64>) -> Result<&'static AtomicBool> {
    let stop = stop_at_interrupt()?;
    if let Some(minutes) = minutes {
        let time = Duration::try_from_secs_f64(60.0 * minutes).context("--minutes")?;
        thread::spawn(move || {
            thread::sleep(time);
            say("\nThe time is up: stopping after this step.");
            stop.store(true, Ordering::Relaxed);
        });
    }
    Ok(stop)
}

/// A time that a clock can be set to.
fn minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse().ok().filter(|minutes| Duration::try_from_secs_f64(60.0 * minutes).is_ok());
    minutes.ok_or_else(|| "a number of minutes is wanted, 0 or more".into())
}

/// How runs are made at a time and for how long.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Effort {
    /// Runs that are made at a time; on a card each has its own stream and memory, and their speeds are not those of a run alone
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub jobs: u8,
    /// Stops after so many minutes, as Ctrl-C does: the same command goes on from there
    #[arg(long, value_parser = minutes, allow_negative_numbers = true)]
    pub minutes: Option<f64>,
}

impl Effort {
    /// One after the other, to the end.
    #[cfg(test)]
    pub const ALONE: Self = Self { jobs: 1, minutes: None };

    /// A backend for each run at a time.
    ///
    /// # Errors
    /// Where the device cannot be opened.
    pub fn backends(self, device: &Device) -> Result<Vec<Arc<dyn Backend>>> {
        (0..self.jobs).map(|_| Ok(device.open(None)?)).collect()
    }
}

/// `1 run`, `6 runs`.
pub fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
