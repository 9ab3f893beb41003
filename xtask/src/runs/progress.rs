//! How far a set of runs has come: lines that stay and, in a terminal, bars beneath them.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use fp8_models::Architecture;
use fp8_trainer::config::{SequenceModel, Task};
use fp8_trainer::{Config, Event};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Where bars are drawn: one place, so that whoever has a line to say can take them away for it.
static BARS: LazyLock<MultiProgress> =
    LazyLock::new(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(4)));

/// A line that stays, above bars where there are any.
pub fn say(line: &str) {
    BARS.suspend(|| crate::note(line));
}

/// The progress of several runs, of which one is under way.
pub struct Progress {
    all: ProgressBar,
    run: ProgressBar,
    start: Instant,
    /// Work in all; work of the runs before this one; work done here, not before an interruption.
    total: f64,
    before: f64,
    done: f64,
    /// Steps and work of the run under way.
    steps: u64,
    work: f64,
    title: String,
    /// What is counted.
    unit: &'static str,
    skipped: u64,
}

/// Arithmetic of a network by another's of its task, for the time left. Of images: multiply-adds of a 224x224 image, in 1e9.
fn cost(task: &Task) -> f64 {
    match task {
        Task::Images(images) => match images.model.architecture {
            Architecture::ResNet18 => 1.8,
            Architecture::ResNet34 => 3.7,
            Architecture::ResNet50 => 4.1,
        },
        // The times of an epoch, measured.
        Task::Translation(translation) => match translation.model {
            SequenceModel::Gnmt { .. } => 1.0,
            SequenceModel::Transformer(_) => 3.0,
        },
    }
}

/// Work of a run, in units of no meaning.
pub fn work(config: &Config) -> f64 {
    cost(&config.task) * f64::from(config.training.epochs)
}

impl Progress {
    /// Of runs with so much work together, of which some is done already.
    pub fn new(total: f64, done_before: f64) -> Self {
        let bar = |template: &str| {
            // A template that cannot be read is the default one.
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            BARS.add(ProgressBar::new(1000).with_style(style.progress_chars("━╸─")))
        };
        // Each on one line of whatever width: of messages there is what has room.
        let run = bar("{prefix:<22} {bar:18} step {pos}/{len}  {wide_msg}");
        let all = bar("{prefix:<22} {bar:18} {wide_msg}");
        let start = Instant::now();
        let (title, steps, work, done, skipped) = (String::new(), 1, 0.0, 0.0, 0);
        Self { all, run, start, total, before: done_before, done, steps, work, title, unit: "", skipped }
    }

    /// A run begins.
    pub fn begin(&mut self, name: &str, number: usize, of: usize, work: f64) {
        (self.title, self.work, self.skipped) = (format!("[{number}/{of}] {name}"), work, 0);
        self.run.set_prefix(name.to_string());
        self.run.set_message("");
        self.all.set_prefix(format!("run {number} of {of}"));
    }

    /// A run has ended.
    pub fn end(&mut self) {
        self.before += self.work;
        self.work = 0.0;
    }

    /// Takes the bars away.
    pub fn finish(&self) {
        self.run.finish_and_clear();
        self.all.finish_and_clear();
    }

    /// Something happens in the run under way.
    pub fn tell(&mut self, event: &Event<'_>) {
        match event {
            Event::Start { steps, steps_per_epoch, epochs, unit } => {
                self.unit = unit;
                self.steps = (steps_per_epoch * u64::from(*epochs)).max(1);
                self.run.set_length(self.steps);
                self.run.set_position(*steps);
                if *steps > 0 {
                    say(&format!("{}: goes on after step {steps}", self.title));
                }
                self.moved(*steps);
            }
            Event::Step(record) => {
                self.skipped += u64::from(record.skipped());
                let loss = record.loss.map_or("Inf or NaN".into(), |loss| format!("{loss:.3}"));
                self.run.set_message(format!(
                    "loss {loss}  {:.0} {}/s  scale {}  skipped {}",
                    record.per_second, self.unit, record.loss_scale, self.skipped
                ));
                self.run.inc(1);
                self.done += self.work / self.steps as f64;
                self.moved(record.step + 1);
            }
            Event::Validation { done, of } => self.run.set_message(format!("validation {done}/{of}")),
            Event::Epoch(record) => {
                let left = self.left().map_or(String::new(), |left| format!("; {left}"));
                say(&format!(
                    "{}: epoch {}: {}; validation {}; {} {}/s{left}",
                    self.title,
                    record.epoch,
                    record.training,
                    record.validation,
                    record.speed(),
                    self.unit
                ));
            }
        }
    }

    fn moved(&self, steps: u64) {
        let done = self.before + self.work * steps as f64 / self.steps as f64;
        self.all.set_position((1000.0 * done / self.total) as u64);
        self.all.set_message(self.left().unwrap_or_default());
    }

    /// The time left, from the work done since the start.
    fn left(&self) -> Option<String> {
        let left = self.total - self.before - self.work * self.run.position() as f64 / self.steps as f64;
        let seconds = self.start.elapsed().as_secs_f64() / self.done * left;
        (self.done > 0.0).then(|| format!("about {} left", spoken(Duration::from_secs_f64(seconds.max(0.0)))))
    }
}

/// A line for each epoch of a run that is made beside others.
pub fn tell_line(title: &str, event: &Event<'_>) {
    match event {
        Event::Start { steps: steps @ 1.., .. } => say(&format!("{title}: goes on after step {steps}")),
        Event::Epoch(record) => {
            let (training, validation, speed) = (&record.training, &record.validation, record.speed());
            say(&format!("{title}: epoch {}: {training}; validation {validation}; {speed}/s", record.epoch));
        }
        _ => {}
    }
}

/// `40 s`, `5 min`, `3.5 h`.
pub fn spoken(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 100.0 => format!("{seconds:.0} s"),
        seconds if seconds < 6000.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.1} h", seconds / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_spoken() {
        for (seconds, text) in [(3.4, "3 s"), (300.0, "5 min"), (9000.0, "2.5 h")] {
            assert_eq!(spoken(Duration::from_secs_f64(seconds)), text);
        }
    }
}
