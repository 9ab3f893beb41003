//! What can be wrong with a text or a value. No allocation: the caller, who holds the text, adds it.

use core::num::ParseFloatError;

/// A name that stands for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what}: choose one of {choices}")]
pub struct UnknownName {
    /// What was to be named.
    pub what: &'static str,
    /// The names that would do.
    pub choices: &'static str,
}

/// A value that a format does not have.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{value:?} is not a value of {format}; it rounds to {nearest:?}")]
pub struct InexactError {
    /// Name of the format.
    pub format: &'static str,
    /// The value.
    pub value: f64,
    /// What it rounds to.
    pub nearest: f64,
}

/// A text that is no number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a number of format {format}")]
pub struct ParseError {
    /// Name of the format.
    pub format: &'static str,
    /// What is wrong with it.
    pub source: ParseFloatError,
}
