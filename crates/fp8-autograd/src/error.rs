//! What can go wrong above the kernels.

use crate::names::suggestion;

/// A call that cannot be carried out.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// A kernel refused.
    #[error(transparent)]
    Kernel(#[from] fp8_kernels::Error),
    /// Shapes that do not go together.
    #[error("{op}: {reason}")]
    Shape {
        /// Operation.
        op: &'static str,
        /// What is wrong, with the numbers.
        reason: String,
    },
    /// Inf or NaN where there must be none.
    #[error("{what}: element {index} is {value}")]
    NonFinite {
        /// What was given.
        what: &'static str,
        /// Where it stands.
        index: usize,
        /// What stands there.
        value: f32,
    },
    /// A recipe's name that stands for none.
    #[error("unknown recipe {asked:?}{}; the recipes are: {}", suggestion(.asked, .known), .known.join(", "))]
    UnknownRecipe {
        /// The name asked for.
        asked: String,
        /// The names that would do.
        known: Vec<String>,
    },
    /// A field that recipes do not have.
    #[error("recipe: unknown field {field:?}{}; the fields here are: {}", suggestion(.field, .known), .known.join(", "))]
    UnknownField {
        /// The field, with its section.
        field: String,
        /// The fields of that section.
        known: Vec<String>,
    },
    /// A recipe whose field makes no sense, or that is not TOML.
    #[error("recipe: {field}: {reason}")]
    Recipe {
        /// The field, with its section.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A parameter or statistic that cannot be used as asked.
    #[error("{name}: {reason}")]
    Parameter {
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A state (of weights, optimiser, loss scaler) of something else.
    #[error("state: {0}")]
    State(String),
}

/// Result of a call.
pub type Result<T> = std::result::Result<T, Error>;
