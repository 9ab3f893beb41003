//! Sentences of about the same length, side by side.

use super::{BOS, Dropped, EOS, PAD};
use crate::random::Random;

/// A pair as tokens, without BOS and EOS.
#[derive(Clone, Debug)]
pub(super) struct Encoded {
    pub source: Vec<u32>,
    pub target: Vec<u32>,
}

impl Encoded {
    /// Positions that it takes in a batch.
    fn longer(&self) -> usize {
        self.source.len().max(self.target.len()) + 1
    }
}

/// Sentences as a matrix of tokens, `(N, T)`, row after row, filled with PAD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// The tokens.
    pub tokens: Vec<u32>,
    /// Tokens of each sentence that are not PAD, `(N)`.
    pub lengths: Vec<usize>,
    /// T: the longest of them.
    pub longest: usize,
}

impl Side {
    fn new(rows: impl ExactSizeIterator<Item = Vec<u32>> + Clone) -> Self {
        let lengths: Vec<usize> = rows.clone().map(|row| row.len()).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let mut tokens = vec![PAD; rows.len() * longest];
        for (place, row) in tokens.chunks_mut(longest.max(1)).zip(rows) {
            place[..row.len()].copy_from_slice(&row);
        }
        Self { tokens, lengths, longest }
    }

    /// Tokens with PAD: N * T.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }
}

/// What a model is given at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Number of the batch in its epoch, from 0.
    pub number: usize,
    /// What is translated, EOS at the end: `(N, S)`.
    pub source: Side,
    /// The translation after BOS, which the decoder reads: `(N, T)`.
    pub target: Side,
    /// The translation before EOS, which the decoder is to say: `(N, T)`, of the lengths of `target`.
    pub labels: Side,
    /// What was left out since the batch before; of the last batch, until the end of the epoch.
    pub dropped: Dropped,
}

impl Batch {
    fn new(pairs: &[&Encoded]) -> Self {
        let before = |first: u32, rest: &[u32]| [&[first], rest].concat();
        let after = |rest: &[u32], last: u32| [rest, &[last]].concat();
        Self {
            number: 0,
            source: Side::new(pairs.iter().map(|pair| after(&pair.source, EOS))),
            target: Side::new(pairs.iter().map(|pair| before(BOS, &pair.target))),
            labels: Side::new(pairs.iter().map(|pair| after(&pair.target, EOS))),
            dropped: Dropped::default(),
        }
    }
}

/// Batches of pairs of about the same length, each side of at most `tokens` tokens with PAD (one pair at least): in the order of their lengths, or in
/// a random order.
pub(super) fn batches(pairs: &[Encoded], tokens: usize, random: Option<&mut Random>) -> Vec<Batch> {
    let mut sorted: Vec<&Encoded> = pairs.iter().collect();
    sorted.sort_by_key(|pair| (pair.longer(), pair.source.len()));
    let mut batches = Vec::new();
    let mut rest = &sorted[..];
    while !rest.is_empty() {
        // Ascending: the last of the first n is the longest of them.
        let fits = (1..=rest.len()).take_while(|&n| n * rest[n - 1].longer() <= tokens).last().unwrap_or(1);
        batches.push(Batch::new(&rest[..fits]));
        rest = &rest[fits..];
    }
    let Some(random) = random else { return batches };
    let order = random.permutation(batches.len());
    order.into_iter().map(|place| batches[place].clone()).collect()
}
