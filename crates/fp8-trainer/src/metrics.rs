//! What a run measures: one JSON object a line in `metrics.jsonl`.

use serde::{Deserialize, Serialize};

/// A line of metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    /// After a training step.
    Step(StepRecord),
    /// After an epoch and its validation.
    Epoch(EpochRecord),
}

/// A training step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// From 0.
    pub step: u64,
    /// The epoch that it belongs to, from 1.
    pub epoch: u32,
    /// Mean loss over the batch; absent when it is Inf or NaN.
    pub loss: Option<f32>,
    /// Learning rate.
    pub learning_rate: f32,
    /// What the loss was multiplied by.
    pub loss_scale: f32,
    /// L2 norm of all gradients together, un-scaled; absent in a skipped step.
    pub gradient_norm: Option<f32>,
    /// Names of the tensors with Inf or NaN; when there are any, the step was skipped.
    pub overflowed: Vec<String>,
    /// Speed of this step.
    pub images_per_second: f64,
}

impl StepRecord {
    /// Whether nothing was updated.
    pub fn skipped(&self) -> bool {
        !self.overflowed.is_empty()
    }
}

/// An epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// From 1.
    pub epoch: u32,
    /// Steps done since the start of the run.
    pub steps: u64,
    /// Over the training batches as they came.
    pub training: Score,
    /// Over the validation images, after the epoch.
    pub validation: Score,
    /// Learning rate of the last step.
    pub learning_rate: f32,
    /// Loss scale after the last step.
    pub loss_scale: f32,
    /// Steps of this epoch that were skipped.
    pub skipped: u64,
    /// Images that could not be read and were left out.
    pub unreadable: u64,
    /// Training speed: median over the steps since the run was started or resumed.
    pub images_per_second: f64,
    /// Most device memory held at once since the run was started or resumed.
    pub peak_bytes: u64,
    /// Time spent since the start of the run, validation included, interruptions not.
    pub seconds: f64,
}

/// Loss and accuracy over some images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Mean loss.
    pub loss: f64,
    /// Share of the images whose class has the largest logit, percent.
    pub top1: f64,
    /// Share of the images whose class is among the five largest logits, percent.
    pub top5: f64,
    /// Number of images.
    pub images: u64,
}

/// Sums from which a [`Score`] is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    loss: f64,
    top1: u64,
    top5: u64,
    images: u64,
}

impl Tally {
    /// Adds a batch: its mean loss, its logits (images, classes) and its targets.
    pub fn add(&mut self, loss: f32, logits: &[f32], targets: &[u32]) {
        let classes = logits.len() / targets.len().max(1);
        self.loss += f64::from(loss) * targets.len() as f64;
        for (row, &target) in logits.chunks_exact(classes.max(1)).zip(targets) {
            let rank = rank(row, target as usize);
            self.top1 += u64::from(rank < 1);
            self.top5 += u64::from(rank < 5);
        }
        self.images += targets.len() as u64;
    }

    /// The means; zeros when nothing was added.
    pub fn score(&self) -> Score {
        let images = self.images.max(1) as f64;
        let percent = |count: u64| 100.0 * count as f64 / images;
        Score { loss: self.loss / images, top1: percent(self.top1), top5: percent(self.top5), images: self.images }
    }
}

/// How many classes stand before `target`: those with a larger logit, and among equals the earlier ones. NaN is last.
fn rank(logits: &[f32], target: usize) -> usize {
    let own = logits[target];
    let before = |(class, &logit): (usize, &f32)| logit > own || (logit == own && class < target) || own.is_nan();
    logits.iter().enumerate().filter(|&(class, logit)| class != target && before((class, logit))).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks() {
        let logits = [0.5, 2.0, -1.0, 2.0, f32::NAN, 0.0];
        let ranks: Vec<usize> = (0..6).map(|target| rank(&logits, target)).collect();
        assert_eq!(ranks, [2, 0, 4, 1, 5, 3]);
    }

    #[test]
    fn scores() {
        let mut tally = Tally::default();
        assert_eq!(tally.score(), Score::default());
        let row = |best: usize| (0..6).map(move |class| if class == best { 1.0 } else { -(class as f32) });
        let logits: Vec<f32> = row(0).chain(row(1)).collect();
        tally.add(1.0, &logits, &[0, 5]);
        tally.add(4.0, &logits[..6], &[2]);
        let score = tally.score();
        assert_eq!((score.loss, score.images), (2.0, 3));
        assert_eq!((score.top1 * 3.0, score.top5 * 3.0), (100.0, 200.0));
    }

    #[test]
    fn lines_read_back() {
        let step = StepRecord {
            step: 3,
            epoch: 1,
            loss: None,
            learning_rate: 0.1,
            loss_scale: 1e4,
            gradient_norm: None,
            overflowed: vec!["loss".into()],
            images_per_second: 12.5,
        };
        let line = serde_json::to_string(&Record::Step(step.clone())).unwrap();
        assert!(line.starts_with(r#"{"kind":"step","step":3,"epoch":1,"loss":null,"#), "{line}");
        assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), Record::Step(step));
    }
}
