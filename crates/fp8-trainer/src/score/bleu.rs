//! BLEU (Papineni et al. 2002), to the digit as sacreBLEU (Post 2018) computes it.

use std::collections::HashMap;
use std::fmt;
use std::iter::Sum;
use std::ops::Add;

use super::ngrams::count;
use super::tokenizer::{Tokenizer, is_space, words};
use super::{SIGNED, case, check};
use crate::Result;

/// Longest n-grams.
pub const ORDER: usize = 4;

/// What takes the place of a precision of nothing, whose logarithm would make the score 0 (Chen and Cherry 2014).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Smoothing {
    /// Nothing: the score is 0.
    None,
    /// This many matches are taken for none; usually 0.1.
    Floor(f64),
    /// This much is added to matches and totals of n-grams longer than 1; usually 1.
    AddK(f64),
    /// 1/2, 1/4, 1/8 of a match for the first, second, third order without one.
    #[default]
    Exponential,
}

impl fmt::Display for Smoothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Floor(value) => write!(f, "floor[{value:.2}]"),
            Self::AddK(value) => write!(f, "add-k[{value:.2}]"),
            Self::Exponential => f.write_str("exp"),
        }
    }
}

/// How BLEU is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bleu {
    /// How lines become words.
    pub tokenizer: Tokenizer,
    /// What becomes of orders without a match.
    pub smoothing: Smoothing,
    /// Whether orders longer than the translation are left out; sensible for single sentences.
    pub effective_order: bool,
    /// Whether everything is put in lower case first.
    pub lowercase: bool,
}

/// What BLEU is made of; those of a corpus are the sum of its sentences'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Words of the translation.
    pub words: u64,
    /// Words of the reference that is nearest in length, the shorter of two.
    pub reference_words: u64,
    /// n-grams of the translation that stand in a reference, by n - 1; one counts as often as in the reference that has it most often.
    pub matches: [u64; ORDER],
    /// n-grams of the translation.
    pub totals: [u64; ORDER],
}

impl Add for Statistics {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            words: self.words + other.words,
            reference_words: self.reference_words + other.reference_words,
            matches: std::array::from_fn(|n| self.matches[n] + other.matches[n]),
            totals: std::array::from_fn(|n| self.totals[n] + other.totals[n]),
        }
    }
}

impl Sum for Statistics {
    fn sum<I: Iterator<Item = Self>>(statistics: I) -> Self {
        statistics.fold(Self::default(), Self::add)
    }
}

/// BLEU with what it is made of. Displayed, it reads `24.60 57.1/30.2/18.5/11.8 (BP = 1.000 ratio = 1.020 hyp_len = 999 ref_len = 979)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BleuScore {
    /// 0 to 100.
    pub score: f64,
    /// Percent of the n-grams that match, by n - 1, smoothed.
    pub precisions: [f64; ORDER],
    /// exp(1 - reference words / words), at most 1.
    pub brevity_penalty: f64,
    /// Words of the translation.
    pub words: u64,
    /// Words of the references.
    pub reference_words: u64,
}

impl fmt::Display for BleuScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ratio = if self.reference_words == 0 { 0.0 } else { self.words as f64 / self.reference_words as f64 };
        let precisions = self.precisions.map(|precision| format!("{precision:.1}")).join("/");
        let (score, digits) = (self.score, f.precision().unwrap_or(2));
        let (penalty, words, reference_words) = (self.brevity_penalty, self.words, self.reference_words);
        write!(
            f,
            "{score:.digits$} {precisions} (BP = {penalty:.3} ratio = {ratio:.3} hyp_len = {words} ref_len = {reference_words})"
        )
    }
}

impl Bleu {
    /// How it is computed, as sacreBLEU says it, for `references` references of each line.
    pub fn signature(&self, references: usize) -> String {
        let (case, effective) = (case(self.lowercase), if self.effective_order { "yes" } else { "no" });
        let (tokenizer, smoothing) = (self.tokenizer, self.smoothing);
        format!("nrefs:{references}|case:{case}|eff:{effective}|tok:{tokenizer}|smooth:{smoothing}|{SIGNED}")
    }

    /// The score of `translations` against one or more complete sets of `references`.
    pub fn corpus<T: AsRef<str>>(&self, translations: &[T], references: &[Vec<T>]) -> Result<BleuScore> {
        check(translations, references)?;
        let sentences = translations.iter().enumerate().map(|(line, translation)| {
            let references: Vec<&str> = references.iter().map(|set| set[line].as_ref()).collect();
            self.statistics(translation.as_ref(), &references)
        });
        Ok(self.score(&sentences.sum()))
    }

    /// What one translation adds to the score of a corpus.
    pub fn statistics(&self, translation: &str, references: &[&str]) -> Statistics {
        let translation = self.prepare(translation);
        let references: Vec<String> = references.iter().map(|reference| self.prepare(reference)).collect();
        let translation: Vec<&str> = words(&translation).collect();
        let references: Vec<Vec<&str>> = references.iter().map(|reference| words(reference).collect()).collect();

        let words = translation.len() as u64;
        let lengths = references.iter().map(|reference| reference.len() as u64);
        let reference_words = lengths.min_by_key(|&length| (length.abs_diff(words), length)).unwrap_or(0);
        let mut statistics = Statistics { words, reference_words, ..Statistics::default() };
        for order in 1..=ORDER {
            let mut most: HashMap<&[&str], u64> = HashMap::new();
            for (ngram, times) in references.iter().flat_map(|reference| count(reference, order)) {
                let known = most.entry(ngram).or_default();
                *known = times.max(*known);
            }
            statistics.matches[order - 1] = super::ngrams::matches(&count(&translation, order), &most);
            statistics.totals[order - 1] = (translation.len() + 1).saturating_sub(order) as u64;
        }
        statistics
    }

    fn prepare(&self, line: &str) -> String {
        let lowered = self.lowercase.then(|| line.to_lowercase());
        self.tokenizer.apply(lowered.as_deref().unwrap_or(line).trim_end_matches(is_space))
    }

    /// The score that statistics make: the brevity penalty times the geometric mean of the precisions.
    pub fn score(&self, statistics: &Statistics) -> BleuScore {
        let Statistics { words, reference_words, matches, totals } = *statistics;
        let brevity_penalty = match words {
            words if words >= reference_words => 1.0,
            0 => 0.0,
            words => (1.0 - reference_words as f64 / words as f64).exp(),
        };
        let mut score = BleuScore { score: 0.0, precisions: [0.0; ORDER], brevity_penalty, words, reference_words };
        if matches == [0; ORDER] {
            return score;
        }
        let known = self.precisions(matches, totals, &mut score.precisions);
        let orders = if self.effective_order { known } else { ORDER };
        let logarithm = |precision: &f64| if *precision == 0.0 { f64::NEG_INFINITY } else { precision.ln() };
        let logarithms: f64 = score.precisions[..orders].iter().map(logarithm).sum();
        score.score = brevity_penalty * (logarithms / orders as f64).exp();
        score
    }

    /// Writes the precisions; returns up to which order there are n-grams.
    fn precisions(&self, matches: [u64; ORDER], totals: [u64; ORDER], precisions: &mut [f64; ORDER]) -> usize {
        let mut halves = 1.0;
        for (n, precision) in precisions.iter_mut().enumerate() {
            let (mut matches, mut total) = (matches[n] as f64, totals[n] as f64);
            if let Smoothing::AddK(k) = self.smoothing
                && n > 0
            {
                (matches, total) = (matches + k, total + k);
            }
            if total == 0.0 {
                return n;
            }
            *precision = match self.smoothing {
                _ if matches != 0.0 => 100.0 * matches / total,
                Smoothing::Exponential => {
                    halves *= 2.0;
                    100.0 / (halves * total)
                }
                Smoothing::Floor(floor) => 100.0 * floor / total,
                Smoothing::None | Smoothing::AddK(_) => 0.0,
            };
        }
        ORDER
    }
}
