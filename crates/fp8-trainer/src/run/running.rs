//! The loop over epochs and steps.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

use fp8_autograd::LossScaling;
use fp8_models::state_dict;
use sha2::{Digest, Sha256};

use super::folder::RunFolder;
use super::{Event, RunOptions, RunResult};
use crate::checkpoint::{self, Checkpoint, Progress};
use crate::config::{self, Config};
use crate::metrics::{EpochRecord, Record, Score, StepRecord, Tally};
use crate::provenance::Provenance;
use crate::schedule::learning_rate;
use crate::state::{Outcome, State};
use crate::task::{BatchOf, Keepsake, Network, Task};
use crate::{Error, FolderLock, Result};

/// A run under way.
pub struct Running<'a, 'o, T: Task> {
    config: &'a Config,
    task: &'a T,
    options: RunOptions<'o>,
    folder: Option<RunFolder>,
    state: State<T::Network>,
    progress: Progress,
    /// What has been logged.
    records: Vec<Record>,
    /// Images or tokens per second of each step made here.
    speeds: Vec<f64>,
    /// When time was last added to the progress.
    clock: Instant,
}

impl<'a, 'o, T: Task> Running<'a, 'o, T> {
    /// A new run, or one that goes on from the folder's checkpoint.
    pub fn start(config: &'a Config, task: &'a T, options: RunOptions<'o>) -> Result<Self> {
        options.backend.reset_peak();
        let mut state = State::new(config, options.backend.clone(), |parameters| task.network(config, parameters))?;
        let lock = options.folder.as_deref().map(FolderLock::take).transpose()?;
        let found = match &options.folder {
            Some(folder) if options.resume => checkpoint::load(folder)?,
            _ => None,
        };
        let (mut progress, mut records, mut folder) = (Progress::default(), Vec::new(), None);
        if let (Some(path), Some(lock)) = (&options.folder, lock) {
            folder = Some(match &found {
                Some(checkpoint) => {
                    same_run(path, checkpoint, &identity(config, task.keepsake()))?;
                    state.restore(checkpoint)?;
                    progress = checkpoint.progress;
                    let (folder, before) = RunFolder::resume(path, lock, state.steps(), progress.epoch)?;
                    records = before;
                    folder
                }
                None => RunFolder::create(path, lock, options.resume, config)?,
            });
        }
        let (speeds, clock) = (Vec::new(), Instant::now());
        let mut run = Self { config, task, options, folder, state, progress, records, speeds, clock };
        run.describe()?;
        Ok(run)
    }

    /// Writes down what is run, and where.
    fn describe(&mut self) -> Result<()> {
        if let Some(folder) = &self.folder {
            folder.write("config.toml", self.config.to_toml().as_bytes())?;
            // Nothing is trained of a run that is finished: it was made by another process.
            if self.progress.epoch < self.config.training.epochs {
                let provenance = Provenance::here(self.state.parameters.backend().name(), self.config.seed);
                let text = toml::to_string(&provenance).map_err(|error| Error::content(folder.path(), error))?;
                folder.write("provenance.toml", text.as_bytes())?;
            }
            if let Some(keepsake) = self.task.keepsake() {
                folder.write(keepsake.name, keepsake.content.as_bytes())?;
            }
        }
        self.tell(Event::Start {
            steps: self.state.steps(),
            steps_per_epoch: self.task.batches(),
            epochs: self.config.training.epochs,
            unit: self.config.task.unit(),
        });
        Ok(())
    }

    /// Trains to the end, or until it is stopped.
    pub fn finish(mut self) -> Result<RunResult> {
        let mut finished = true;
        while finished && self.progress.epoch < self.config.training.epochs {
            finished = self.epoch()?;
        }
        if finished {
            self.check_learned()?;
        }
        let belongs_to = self.task.keepsake().map(|keepsake| (keepsake.name, keepsake.digest));
        let weights = state_dict::save_with(&self.state.parameters, belongs_to)?;
        if finished && let Some(folder) = &self.folder {
            folder.write("weights.safetensors", &weights)?;
        }
        Ok(self.result(finished, &weights))
    }

    /// Refuses a finished run that has not made one update: its weights are the first ones.
    fn check_learned(&self) -> Result<()> {
        let skipped = self.records.iter().filter_map(|record| match record {
            Record::Step(record) if record.skipped() => Some(record),
            _ => None,
        });
        let skipped: Vec<&StepRecord> = skipped.collect();
        let Some(last) = skipped.last().filter(|_| skipped.len() as u64 == self.state.steps()) else { return Ok(()) };
        let reason = format!(
            "every step was skipped, so nothing was learned and no weights are written; Inf or NaN in this one, at loss scale {}: \
             {}; {}",
            last.loss_scale,
            list(&last.overflowed),
            advice(last.loss_scale)
        );
        Err(Error::Diverged { step: last.step, reason })
    }

    /// The rest of the epoch under way, and its validation; false when stopped.
    fn epoch(&mut self) -> Result<bool> {
        let task = self.task;
        let mut batches = task.training(self.progress.epoch, self.progress.batch)?;
        let mut next = batches.next().map(|batch| batch.map_err(Error::from));
        while let Some(batch) = next.take() {
            let batch = batch?;
            let backend = self.options.backend.clone();
            self.step(&batch, || {
                let stage = |batch: Result<_>| T::Network::stage(batch?, &*backend);
                next = batches.next().map(|batch| batch.map_err(Error::from)).map(stage);
            })?;
            let stopped = self.stopped();
            if stopped || self.checkpoint_is_due() {
                self.save()?;
            }
            if stopped {
                return Ok(false);
            }
        }
        let Some(validation) = self.validate()? else {
            self.save()?;
            return Ok(false);
        };
        let record = self.epoch_record(validation);
        let Progress { stuck, seconds, .. } = self.progress;
        self.progress = Progress { epoch: record.epoch, stuck, seconds, ..Progress::default() };
        self.log(Record::Epoch(record.clone()))?;
        let ended = record.epoch == self.config.training.epochs;
        let due = ended || record.epoch.is_multiple_of(self.config.log.checkpoint_every_epochs);
        if due {
            self.save()?;
        }
        self.tell(Event::Epoch(&record));
        if self.stopped() && !due {
            self.save()?;
        }
        Ok(!self.stopped() || ended)
    }

    /// A step; `meanwhile` is what the host has to do while the device is at it.
    fn step(&mut self, batch: &BatchOf<T>, meanwhile: impl FnOnce()) -> Result<()> {
        let start = Instant::now();
        self.progress.left_out += T::left_out(batch);
        let (step, steps_per_epoch) = (self.state.steps(), self.task.batches());
        let learning_rate = learning_rate(&self.config.training, &self.config.schedule, step, steps_per_epoch);
        let (outcome, counted) = self.state.step(
            learning_rate,
            |network, graph, smoothing| network.loss(graph, batch, smoothing),
            meanwhile,
        )?;
        self.progress.batch += 1;
        let tally = counted.tally(outcome.loss)?;
        self.account(step, &outcome, tally)?;
        let per_second = tally.score().count as f64 / start.elapsed().as_secs_f64();
        self.speeds.push(per_second);
        let finite = |value: f32| value.is_finite().then_some(value);
        let record = StepRecord {
            step,
            epoch: self.progress.epoch + 1,
            loss: finite(outcome.loss),
            learning_rate,
            loss_scale: outcome.loss_scale,
            gradient_norm: finite(outcome.gradient_norm),
            overflowed: outcome.overflowed,
            flushed: outcome.flushed,
            per_second,
        };
        self.tell(Event::Step(&record));
        if record.skipped() || !record.flushed.is_empty() || step.is_multiple_of(self.config.log.every_steps) {
            self.log(Record::Step(record))?;
        }
        Ok(())
    }

    /// Counts a step, and ends a run that leads nowhere.
    fn account(&mut self, step: u64, outcome: &Outcome, tally: Tally) -> Result<()> {
        let diverged = |reason| Err(Error::Diverged { step, reason });
        if outcome.loss.is_finite() {
            self.progress.tally += tally;
        } else {
            let damaged = self.state.damaged_weights()?;
            if !damaged.is_empty() {
                return diverged(format!(
                    "the loss is {} and so are weights, which an earlier step overflowed: {}; a smaller learning rate or a \
                     longer warm-up may help",
                    outcome.loss,
                    list(&damaged)
                ));
            }
        }
        let skipped = !outcome.overflowed.is_empty();
        self.progress.skipped += u64::from(skipped);
        self.progress.stuck = match skipped {
            true if outcome.scale_moved => self.progress.stuck,
            true => self.progress.stuck + 1,
            false => 0,
        };
        if self.progress.stuck >= self.config.training.skipped_in_a_row {
            return diverged(format!(
                "the last {} steps were skipped at loss scale {}, which {}; Inf or NaN in this one: {}; {}",
                self.progress.stuck,
                outcome.loss_scale,
                match self.config.loss_scaling {
                    LossScaling::Constant { .. } => "is constant",
                    LossScaling::BackOff { .. } | LossScaling::Enhanced { .. } => "is as low as it goes",
                },
                list(&outcome.overflowed),
                advice(outcome.loss_scale)
            ));
        }
        Ok(())
    }

    /// `None` when stopped; then it begins anew, and what it has counted does not count.
    fn validate(&mut self) -> Result<Option<Score>> {
        let Self { task, state, options, .. } = self;
        let mut left_out = 0;
        let of = task.validation_batches();
        let batches = task.validation()?.map(|batch| {
            let batch = batch?;
            left_out += T::left_out(&batch);
            Ok(batch)
        });
        let tally = state.evaluate(batches, |done| {
            (options.observer)(&Event::Validation { done, of });
            !options.stop.load(Ordering::Relaxed)
        })?;
        let (Some(tally), task) = (tally, self.task) else { return Ok(None) };
        self.progress.left_out += left_out;
        let bleu = task.bleu(self.config, &self.state)?;
        Ok(Some(Score { bleu, ..tally.score() }))
    }

    fn epoch_record(&mut self, validation: Score) -> EpochRecord {
        let Self { config, state, task, .. } = self;
        let last = state.steps().saturating_sub(1);
        EpochRecord {
            epoch: self.progress.epoch + 1,
            steps: state.steps(),
            training: self.progress.tally.score(),
            validation,
            learning_rate: learning_rate(&config.training, &config.schedule, last, task.batches()),
            loss_scale: state.loss_scale(),
            skipped: self.progress.skipped,
            left_out: self.progress.left_out,
            per_second: median(&self.speeds),
            peak_bytes: state.parameters.backend().memory().peak as u64,
            seconds: self.seconds(),
        }
    }

    fn result(mut self, finished: bool, weights: &[u8]) -> RunResult {
        let (seconds, steps) = (self.seconds(), self.state.steps());
        let peak_bytes = self.state.parameters.backend().memory().peak as u64;
        let (mut curve, mut epochs) = (Vec::new(), Vec::new());
        for record in self.records {
            match record {
                Record::Step(record) => curve.push(record),
                Record::Epoch(record) => epochs.push(record),
            }
        }
        let skipped = curve.iter().filter(|record| record.skipped()).count() as u64;
        let per_second = median(&self.speeds);
        let weights_digest = Sha256::digest(weights).iter().map(|byte| format!("{byte:02x}")).collect();
        RunResult { finished, steps, skipped, curve, epochs, per_second, peak_bytes, seconds, weights_digest }
    }

    fn stopped(&self) -> bool {
        self.options.stop.load(Ordering::Relaxed)
    }

    fn checkpoint_is_due(&self) -> bool {
        let every = self.config.log.checkpoint_every_steps;
        every.is_some_and(|every| self.state.steps().is_multiple_of(every))
    }

    fn save(&mut self) -> Result<()> {
        self.progress.seconds = self.seconds();
        match &self.folder {
            Some(folder) => {
                let checkpoint = self.state.checkpoint(identity(self.config, self.task.keepsake()), self.progress)?;
                checkpoint::save(folder.path(), &checkpoint)
            }
            None => Ok(()),
        }
    }

    /// Time spent so far.
    fn seconds(&mut self) -> f64 {
        self.progress.seconds += std::mem::replace(&mut self.clock, Instant::now()).elapsed().as_secs_f64();
        self.progress.seconds
    }

    fn log(&mut self, record: Record) -> Result<()> {
        if let Some(folder) = &mut self.folder {
            folder.log(&record)?;
        }
        self.records.push(record);
        Ok(())
    }

    fn tell(&mut self, event: Event<'_>) {
        (self.options.observer)(&event);
    }
}

/// The configuration as far as it changes the result, and the digest of what belongs to the weights.
fn identity(config: &Config, keepsake: Option<Keepsake<'_>>) -> String {
    let mut config = config.clone();
    config.log = config::Log { every_steps: 1, checkpoint_every_steps: None, checkpoint_every_epochs: 1 };
    config.diagnostics.count_flushed_every = None;
    *config.task.workers_mut() = 1;
    let keepsake = keepsake.map(|Keepsake { name, digest, .. }| format!("\n[sha256]\n\"{name}\" = \"{digest}\"\n"));
    config.to_toml() + &keepsake.unwrap_or_default()
}

/// Refuses to go on with another run than the checkpoint's.
fn same_run(folder: &Path, checkpoint: &Checkpoint, identity: &str) -> Result<()> {
    let differing = config::differences(&checkpoint.config, identity);
    if differing.is_empty() {
        return Ok(());
    }
    let reason = format!("its checkpoint is of another configuration: {}", list(&differing));
    Err(Error::Folder { folder: folder.into(), reason })
}

/// What may help where steps overflow. A scale of 1 or less is not what makes errors large.
const fn advice(loss_scale: f32) -> &'static str {
    match loss_scale > 1.0 {
        true => "a smaller learning rate, a longer warm-up or a lower loss scale may help",
        false => "a smaller learning rate or a longer warm-up may help",
    }
}

/// The first names, and how many more.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 4;
    match names.len() {
        0..=SHOWN => names.join(", "),
        more => format!("{} and {} more", names[..SHOWN].join(", "), more - SHOWN),
    }
}

/// 0 of nothing.
fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
