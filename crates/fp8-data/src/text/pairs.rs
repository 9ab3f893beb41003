//! Sentences with their translations.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Lines;
use crate::generated::language;
use crate::{Error, Result, Split};

/// A sentence and its translation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pair {
    /// What is translated.
    pub source: String,
    /// Its translation.
    pub target: String,
}

/// Two files that belong together line by line; gzip where a name ends in `.gz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// What is translated.
    pub source: PathBuf,
    /// The translations.
    pub target: PathBuf,
}

/// Where pairs come from, as a configuration says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Source {
    /// Two languages made by a grammar: needs no files.
    Generated(language::Options),
    /// Text files.
    Parallel {
        /// For training, one after the other.
        training: Vec<Files>,
        /// For validation.
        validation: Vec<Files>,
        /// Only so many of the training pairs, the first; all unless given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        training_pairs: Option<usize>,
        /// As `training_pairs`, of those for validation.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        validation_pairs: Option<usize>,
    },
}

impl Default for Source {
    fn default() -> Self {
        Self::Generated(language::Options::default())
    }
}

/// Pairs one after the other. After an error nothing more comes.
pub type Pairs = Box<dyn Iterator<Item = Result<Pair>> + Send>;

impl Source {
    /// The pairs of a part, in order, read as they are asked for.
    pub fn pairs(&self, split: Split) -> Result<Pairs> {
        let (files, limit) = match (self, split) {
            (Self::Generated(options), _) => return Ok(Box::new(options.pairs(split).map(Ok))),
            (Self::Parallel { training, training_pairs, .. }, Split::Training) => (training, training_pairs),
            (Self::Parallel { validation, validation_pairs, .. }, Split::Validation) => (validation, validation_pairs),
        };
        Ok(Box::new(Parallel::new(files.clone()).take(limit.unwrap_or(usize::MAX))))
    }

    /// All pairs of these files.
    pub const fn parallel(training: Vec<Files>, validation: Vec<Files>) -> Self {
        Self::Parallel { training, validation, training_pairs: None, validation_pairs: None }
    }
}

/// The pairs of files, one after the other.
struct Parallel {
    /// Those that were not opened yet.
    files: std::vec::IntoIter<Files>,
    open: Option<(Lines, Lines)>,
}

impl Parallel {
    fn new(files: Vec<Files>) -> Self {
        Self { files: files.into_iter(), open: None }
    }

    fn pair(&mut self) -> Result<Option<Pair>> {
        loop {
            let Some((source, target)) = &mut self.open else {
                let Some(files) = self.files.next() else { return Ok(None) };
                self.open = Some((Lines::open(&files.source)?, Lines::open(&files.target)?));
                continue;
            };
            match (source.next().transpose()?, target.next().transpose()?) {
                (Some(source), Some(target)) => return Ok(Some(Pair { source, target })),
                (None, None) if source.read() == 0 => return Err(Error::NoText { path: source.path().into() }),
                (None, None) => self.open = None,
                _ => return Err(unequal(source, target)?),
            }
        }
    }
}

impl Iterator for Parallel {
    type Item = Result<Pair>;

    fn next(&mut self) -> Option<Result<Pair>> {
        let pair = self.pair().transpose();
        if matches!(pair, Some(Err(_))) {
            *self = Self::new(Vec::new());
        }
        pair
    }
}

/// The error of files of which one has ended: the other is read to its end.
fn unequal(source: &mut Lines, target: &mut Lines) -> Result<Error> {
    for lines in [&mut *source, &mut *target] {
        lines.try_for_each(|line| line.map(|_| ()))?;
    }
    Ok(Error::LineCounts {
        first: source.path().into(),
        first_lines: source.read(),
        second: target.path().into(),
        second_lines: target.read(),
    })
}
