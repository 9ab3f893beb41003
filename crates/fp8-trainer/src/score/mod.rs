//! How good translations are: BLEU and chrF, equal to those of sacreBLEU 2.6.0 (`tools/reference/score.py` compares them).
//!
//! ```
//! use fp8_trainer::score::{Bleu, Chrf};
//!
//! let translations = ["The cat sat on the mat.", "It was raining, said she."];
//! let references = [vec!["The cat sat on the mat.", "It rained, she said."]];
//! let bleu = Bleu::default();
//! let score = bleu.corpus(&translations, &references)?;
//! assert_eq!(format!("{score:.1}").split(' ').next(), Some("57.2"));
//! assert!(bleu.signature(1).starts_with("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|"));
//! assert_eq!(Chrf::default().corpus(&translations, &references)?.to_string(), "65.98");
//! # Ok::<(), fp8_trainer::Error>(())
//! ```

mod bleu;
mod chrf;
mod ngrams;
mod tokenizer;

pub use bleu::{Bleu, BleuScore, ORDER, Smoothing, Statistics};
pub use chrf::{Chrf, ChrfScore, Order};
pub use tokenizer::Tokenizer;

use crate::{Error, Result};

/// The end of every signature: who computed the score.
const SIGNED: &str = concat!("version:fp8-", env!("CARGO_PKG_VERSION"));

fn case(lowercase: bool) -> &'static str {
    if lowercase { "lc" } else { "mixed" }
}

/// Whether there is something to score, and a reference for every line in every set.
fn check<T>(translations: &[T], references: &[Vec<T>]) -> Result<()> {
    let lines = translations.len();
    let wrong = |reference_lines| Err(Error::References { lines, reference_lines });
    match references.iter().map(Vec::len).find(|&len| len != lines) {
        Some(reference_lines) => wrong(reference_lines),
        None if lines == 0 || references.is_empty() => wrong(0),
        None => Ok(()),
    }
}
