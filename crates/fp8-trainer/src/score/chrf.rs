//! chrF (Popović 2015) and chrF++ (Popović 2017), to the digit as sacreBLEU (Post 2018) computes them.

use std::fmt;
use std::hash::Hash;

use super::ngrams::{count, matches};
use super::tokenizer::{is_space, words};
use super::{SIGNED, case, check};
use crate::Result;

/// Recall counts this many times as much as precision.
const BETA: usize = 2;

/// How chrF is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chrf {
    /// Longest n-grams of characters, white space left out; usually 6.
    pub characters: usize,
    /// Longest n-grams of words, punctuation taken off; 0 for chrF, 2 for chrF++.
    pub words: usize,
    /// Whether everything is put in lower case first.
    pub lowercase: bool,
}

impl Default for Chrf {
    fn default() -> Self {
        Self { characters: 6, words: 0, lowercase: false }
    }
}

/// n-grams of one order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// n-grams of the translation; 0 where the reference has none.
    pub translation: u64,
    /// n-grams of the reference.
    pub reference: u64,
    /// n-grams of both.
    pub matches: u64,
}

/// chrF. Displayed, it reads `58.61`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChrfScore {
    /// 0 to 100.
    pub score: f64,
}

impl fmt::Display for ChrfScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.*}", f.precision().unwrap_or(2), self.score)
    }
}

impl Chrf {
    /// `chrF2`, with a plus for every order of words.
    pub fn name(&self) -> String {
        format!("chrF{BETA}{}", "+".repeat(self.words))
    }

    /// How it is computed, as sacreBLEU says it, for `references` references of each line.
    pub fn signature(&self, references: usize) -> String {
        let Self { characters, words, lowercase } = *self;
        format!("nrefs:{references}|case:{}|eff:yes|nc:{characters}|nw:{words}|space:no|{SIGNED}", case(lowercase))
    }

    /// The score of `translations` against one or more complete sets of `references`.
    pub fn corpus<T: AsRef<str>>(&self, translations: &[T], references: &[Vec<T>]) -> Result<ChrfScore> {
        check(translations, references)?;
        let mut sums = vec![Order::default(); self.characters + self.words];
        for (line, translation) in translations.iter().enumerate() {
            let references: Vec<&str> = references.iter().map(|set| set[line].as_ref()).collect();
            for (sum, order) in sums.iter_mut().zip(self.statistics(translation.as_ref(), &references)) {
                sum.translation += order.translation;
                sum.reference += order.reference;
                sum.matches += order.matches;
            }
        }
        Ok(self.score(&sums))
    }

    /// What one translation adds to the score of a corpus, order by order, those of characters first: compared with the reference that gives it the
    /// highest score.
    pub fn statistics(&self, translation: &str, references: &[&str]) -> Vec<Order> {
        let translation = self.prepare(translation);
        let mut best: Option<(f64, Vec<Order>)> = None;
        for reference in references {
            let orders = self.compare(&translation, &self.prepare(reference));
            let score = self.score(&orders).score;
            if best.as_ref().is_none_or(|(highest, _)| score > *highest) {
                best = Some((score, orders));
            }
        }
        best.map_or_else(Vec::new, |(_, orders)| orders)
    }

    fn compare(&self, translation: &Segment, reference: &Segment) -> Vec<Order> {
        let characters = (1..=self.characters).map(|n| compare(&translation.characters, &reference.characters, n));
        let words = (1..=self.words).map(|n| compare(&translation.words, &reference.words, n));
        characters.chain(words).collect()
    }

    fn prepare(&self, line: &str) -> Segment {
        let line = if self.lowercase { line.to_lowercase() } else { line.to_string() };
        let characters = line.chars().filter(|&c| !is_space(c)).collect();
        let words = words(&line).flat_map(without_punctuation).filter(|part| !part.is_empty()).map(String::from);
        Segment { characters, words: words.collect() }
    }

    /// The score that statistics make: F of the means of precision and recall over the orders that both sides have.
    pub fn score(&self, orders: &[Order]) -> ChrfScore {
        let (mut precision, mut recall, mut known) = (0.0, 0.0, 0.0);
        for order in orders.iter().filter(|order| order.translation > 0 && order.reference > 0) {
            precision += order.matches as f64 / order.translation as f64;
            recall += order.matches as f64 / order.reference as f64;
            known += 1.0;
        }
        if precision + recall == 0.0 {
            return ChrfScore { score: 0.0 };
        }
        let (precision, recall, weight) = (precision / known, recall / known, (BETA * BETA) as f64);
        ChrfScore { score: 100.0 * ((1.0 + weight) * precision * recall / (weight * precision + recall)) }
    }
}

/// A line as chrF sees it.
struct Segment {
    characters: Vec<char>,
    words: Vec<String>,
}

fn compare<T: Eq + Hash>(translation: &[T], reference: &[T], n: usize) -> Order {
    let len = |items: &[T]| (items.len() + 1).saturating_sub(n) as u64;
    let reference_len = len(reference);
    Order {
        translation: if reference_len == 0 { 0 } else { len(translation) },
        reference: reference_len,
        matches: matches(&count(translation, n), &count(reference, n)),
    }
}

/// A word and one sign of ASCII punctuation at its end, or else at its beginning; one of the two parts may be empty.
fn without_punctuation(word: &str) -> [&str; 2] {
    let sign = |c: char| c.is_ascii_punctuation();
    let mut inner = word.chars();
    match (inner.next(), inner.next_back()) {
        (Some(_), Some(last)) if sign(last) => word.split_at(word.len() - last.len_utf8()).into(),
        (Some(first), Some(_)) if sign(first) => word.split_at(first.len_utf8()).into(),
        _ => [word, ""],
    }
}
