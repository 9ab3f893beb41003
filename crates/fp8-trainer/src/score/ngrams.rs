//! Counts of n-grams.

use std::collections::HashMap;
use std::hash::Hash;

/// How often each run of `n` items stands in a sequence.
pub type Counts<'a, T> = HashMap<&'a [T], u64>;

/// The n-grams of `items`. `n` is at least 1.
pub fn count<T: Eq + Hash>(items: &[T], n: usize) -> Counts<'_, T> {
    let mut counts = Counts::new();
    for ngram in items.windows(n) {
        *counts.entry(ngram).or_default() += 1;
    }
    counts
}

/// Sum over the n-grams of the lesser of their two counts.
pub fn matches<T: Eq + Hash>(left: &Counts<'_, T>, right: &Counts<'_, T>) -> u64 {
    left.iter().map(|(ngram, &count)| right.get(ngram).map_or(0, |&other| count.min(other))).sum()
}
