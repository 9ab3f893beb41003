//! What a run measures: one JSON object a line in `metrics.jsonl`.

use std::fmt;
use std::ops::AddAssign;

use fp8_autograd::{Flushed, LaterValues};
use serde::{Deserialize, Serialize};

use crate::Result;

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
    /// What rounding flushed to zero, layer by layer, where it was counted (`diagnostics.count_flushed_every`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flushed: Vec<Flushed>,
    /// Speed of this step: images or tokens of translations in a second.
    #[serde(alias = "images_per_second")]
    pub per_second: f64,
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
    /// Over the validation data, after the epoch.
    pub validation: Score,
    /// Learning rate of the last step.
    pub learning_rate: f32,
    /// Loss scale after the last step.
    pub loss_scale: f32,
    /// Steps of this epoch that were skipped.
    pub skipped: u64,
    /// Examples that were left out: images that could not be read, pairs of sentences that are empty, too long or of too different lengths.
    #[serde(alias = "unreadable")]
    pub left_out: u64,
    /// Training speed, images or tokens of translations in a second: median over the steps since the run was started or resumed.
    #[serde(alias = "images_per_second")]
    pub per_second: f64,
    /// Most device memory held at once since the run was started or resumed.
    pub peak_bytes: u64,
    /// Time spent since the start of the run, validation included, interruptions not.
    pub seconds: f64,
}

impl EpochRecord {
    /// The speed as it is shown, a whole number; a dash where the run has made no step since it was resumed.
    pub fn speed(&self) -> String {
        if self.per_second > 0.0 { format!("{:.0}", self.per_second) } else { "–".into() }
    }
}

/// How well a network does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Mean loss; absent when it is Inf or NaN, and when nothing was counted.
    pub loss: Option<f64>,
    /// Share of the images whose class has the largest logit, percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top1: Option<f64>,
    /// Share of the images whose class is among the five largest logits, percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top5: Option<f64>,
    /// BLEU of greedy translations, 0 to 100, as sacreBLEU's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bleu: Option<f64>,
    /// Number of images, or of tokens of translations, their ends among them.
    #[serde(alias = "images")]
    pub count: u64,
}

/// `loss 1.2345, top-1 56.78 %, top-5 90.12 %`, or `loss 1.2345, BLEU 23.45`; of training steps without a finite loss `loss –`.
impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.loss {
            Some(loss) => write!(f, "loss {loss:.4}")?,
            None if self.count == 0 => write!(f, "loss –")?,
            None => write!(f, "loss Inf or NaN")?,
        }
        for (name, percent) in [("top-1", self.top1), ("top-5", self.top5)] {
            percent.map_or(Ok(()), |percent| write!(f, ", {name} {percent:.2} %"))?;
        }
        self.bleu.map_or(Ok(()), |bleu| write!(f, ", BLEU {bleu:.2}"))
    }
}

/// What is counted of a batch, once its loss, and of images its logits, have been computed.
pub struct Counted {
    count: u64,
    /// Logits of images and their targets.
    ranked: Option<(LaterValues, Vec<u32>)>,
}

impl Counted {
    /// Tokens.
    pub fn tokens(count: u64) -> Self {
        Self { count, ranked: None }
    }

    /// Images: logits (images, classes) and targets.
    pub fn images(logits: LaterValues, targets: &[u32]) -> Self {
        Self { count: targets.len() as u64, ranked: Some((logits, targets.to_vec())) }
    }

    /// What it is, with the mean loss; waits for the device.
    ///
    /// # Errors
    /// Where the device has failed.
    pub fn tally(self, loss: f32) -> Result<Tally> {
        Ok(match self.ranked {
            Some((logits, targets)) => Tally::images(loss, &logits.values()?, &targets),
            None => Tally::tokens(loss, self.count),
        })
    }
}

/// Sums from which a [`Score`] is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    loss: f64,
    /// Images whose class is the first, and among the first five.
    top: Option<[u64; 2]>,
    count: u64,
}

impl Tally {
    /// Of `count` tokens with this mean loss.
    pub fn tokens(loss: f32, count: u64) -> Self {
        Self { loss: f64::from(loss) * count as f64, top: None, count }
    }

    /// Of images: their mean loss, logits (images, classes) and targets.
    pub fn images(loss: f32, logits: &[f32], targets: &[u32]) -> Self {
        let classes = logits.len() / targets.len().max(1);
        let ranks: Vec<usize> =
            logits.chunks_exact(classes.max(1)).zip(targets).map(|(row, &target)| rank(row, target as usize)).collect();
        let within = |first: usize| ranks.iter().filter(|&&rank| rank < first).count() as u64;
        Self { top: Some([within(1), within(5)]), ..Self::tokens(loss, targets.len() as u64) }
    }

    /// The means; none when nothing was added.
    pub fn score(&self) -> Score {
        let count = self.count as f64;
        let [top1, top5] = [0, 1].map(|place| self.top.map(|top| 100.0 * top[place] as f64 / count));
        // Of nothing it is 0 / 0.
        let loss = Some(self.loss / count).filter(|loss| loss.is_finite());
        Score { loss, top1, top5, bleu: None, count: self.count }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.loss += other.loss;
        self.count += other.count;
        self.top = match (self.top, other.top) {
            (Some(a), Some(b)) => Some([a[0] + b[0], a[1] + b[1]]),
            (a, b) => a.or(b),
        };
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
        tally += Tally::images(1.0, &logits, &[0, 5]);
        tally += Tally::images(4.0, &logits[..6], &[2]);
        let score = tally.score();
        assert_eq!((score.loss, score.count), (Some(2.0), 3));
        assert_eq!([score.top1, score.top5].map(|percent| percent.unwrap() * 3.0), [100.0, 200.0]);
        assert_eq!(score.to_string(), "loss 2.0000, top-1 33.33 %, top-5 66.67 %");
        let mut tally = Tally::tokens(3.0, 10);
        tally += Tally::tokens(1.0, 30);
        let score = Score { bleu: Some(12.345), ..tally.score() };
        assert_eq!((score.to_string().as_str(), score.count), ("loss 1.5000, BLEU 12.35", 40));
    }

    /// A mean of nothing is not 0, and JSON has neither Inf nor NaN.
    #[test]
    fn scores_without_a_loss() {
        for (tally, shown) in [(Tally::default(), "loss –"), (Tally::tokens(f32::NAN, 7), "loss Inf or NaN")] {
            let score = tally.score();
            assert_eq!(score.to_string(), shown);
            let line = serde_json::to_string(&score).unwrap();
            assert_eq!(line, format!(r#"{{"loss":null,"count":{}}}"#, score.count));
            assert_eq!(serde_json::from_str::<Score>(&line).unwrap(), score);
        }
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
            flushed: Vec::new(),
            per_second: 12.5,
        };
        let line = serde_json::to_string(&Record::Step(step.clone())).unwrap();
        assert!(line.starts_with(r#"{"kind":"step","step":3,"epoch":1,"loss":null,"#), "{line}");
        assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), Record::Step(step));
    }
}
