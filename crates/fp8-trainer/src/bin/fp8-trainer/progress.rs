//! What a run shows on the standard error: a bar on a terminal, else a line an epoch.

use fp8_trainer::Event;
use fp8_trainer::metrics::{EpochRecord, StepRecord};
use indicatif::{ProgressBar, ProgressStyle};

/// On one line of whatever width: of the message there is what has room.
const STYLE: &str = "{prefix} {bar:16} {pos}/{len} eta {eta} {wide_msg}";

/// Turns events into what is shown.
pub struct Progress {
    bar: ProgressBar,
    epochs: u32,
    unit: &'static str,
    skipped: u64,
    /// Mean over some dozen steps.
    speed: Option<f64>,
}

impl Default for Progress {
    fn default() -> Self {
        let style = ProgressStyle::with_template(STYLE).unwrap_or_else(|_| ProgressStyle::default_bar());
        Self { bar: ProgressBar::no_length().with_style(style), epochs: 0, unit: "", skipped: 0, speed: None }
    }
}

impl Progress {
    /// Shows an event.
    pub fn show(&mut self, event: &Event<'_>) {
        match *event {
            Event::Start { steps, steps_per_epoch, epochs, unit } => {
                (self.epochs, self.unit) = (epochs, unit);
                self.bar.set_length(steps_per_epoch * u64::from(epochs));
                self.bar.set_position(steps);
                self.bar.reset_eta();
            }
            Event::Step(record) => self.step(record),
            Event::Validation { done, of } => self.bar.set_message(format!("validating {done}/{of}")),
            Event::Epoch(record) => self.line(&epoch_line(record, self.epochs, self.unit)),
        }
    }

    /// The bar, for lines that are said beside it.
    pub fn bar(&self) -> ProgressBar {
        self.bar.clone()
    }

    /// Removes the bar.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }

    fn step(&mut self, record: &StepRecord) {
        self.skipped += u64::from(record.skipped());
        let speed = self.speed.map_or(record.per_second, |old| old + (record.per_second - old) / 16.0);
        self.speed = Some(speed);
        let loss = record.loss.map_or("not finite".into(), |loss| format!("{loss:.4}"));
        let (scale, skipped, unit) = (record.loss_scale, self.skipped, self.unit);
        self.bar.set_prefix(format!("epoch {}/{}", record.epoch, self.epochs));
        self.bar.set_message(format!("loss {loss}  {speed:.0} {unit}/s  scale {scale}  overflows {skipped}"));
        self.bar.set_position(record.step + 1);
    }

    fn line(&self, line: &str) {
        if self.bar.is_hidden() {
            crate::note(line);
        } else {
            self.bar.println(line);
        }
    }
}

fn epoch_line(record: &EpochRecord, epochs: u32, unit: &str) -> String {
    let left_out = left_out(record.left_out);
    let EpochRecord { epoch, training, validation, loss_scale, skipped, .. } = record;
    let speed = record.speed();
    format!(
        "epoch {epoch}/{epochs}: {training}; validation {validation}; scale {loss_scale}, {skipped} overflows, {speed} \
         {unit}/s{left_out}"
    )
}

/// What is said of so many examples.
fn left_out(count: u64) -> String {
    match count {
        0 => String::new(),
        1 => ", 1 example left out".into(),
        count => format!(", {count} examples left out"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        assert_eq!([0, 1, 2].map(left_out), ["", ", 1 example left out", ", 2 examples left out"]);
    }
}
