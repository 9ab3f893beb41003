//! Which pairs are of use for training.

use std::fmt;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// What a pair must keep to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Most tokens of a sentence, EOS or BOS among them: what the model has positions for. Default 128.
    pub tokens: usize,
    /// The longer sentence has at most this many times the tokens of the shorter; infinite to keep all. Default 3.
    pub ratio: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { tokens: 128, ratio: 3.0 }
    }
}

/// How many pairs were left out, and why: each is counted once, for the first reason that holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// A sentence without a word.
    pub empty: usize,
    /// A sentence of too many tokens.
    pub long: usize,
    /// Sentences of too different lengths.
    pub ratio: usize,
}

impl Dropped {
    /// All of them.
    pub fn total(&self) -> usize {
        self.empty + self.long + self.ratio
    }
}

impl AddAssign for Dropped {
    fn add_assign(&mut self, other: Self) {
        self.empty += other.empty;
        self.long += other.long;
        self.ratio += other.ratio;
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { empty, long, ratio } = self;
        write!(
            f,
            "{empty} pairs have an empty sentence, {long} too long a one, {ratio} sentences of too different lengths"
        )
    }
}

impl Limits {
    /// Whether a pair of so many tokens (without BOS and EOS) is kept; if not, it is counted in `dropped`.
    pub(super) fn keep(&self, source: usize, target: usize, dropped: &mut Dropped) -> bool {
        let (shorter, longer) = (source.min(target), source.max(target));
        let reason = if shorter == 0 {
            &mut dropped.empty
        } else if longer + 1 > self.tokens {
            &mut dropped.long
        } else if longer as f64 > self.ratio * shorter as f64 {
            &mut dropped.ratio
        } else {
            return true;
        };
        *reason += 1;
        false
    }
}
