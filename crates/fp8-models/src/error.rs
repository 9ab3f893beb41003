//! What can be wrong with models and weights.

use std::fmt;

/// A model that cannot be, or weights that it cannot take. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a safetensors file, or a damaged one.
    #[error("not a valid safetensors file")]
    Format(#[from] safetensors::SafeTensorError),
    /// Names or shapes of another model.
    #[error("weights of another model:{0}")]
    Mismatch(Mismatch),
    /// An element type that weights do not have.
    #[error("{name}: weights of type {dtype} cannot be read; f32, f16 and bf16 can, i64 for counters")]
    Type {
        /// Name of the tensor.
        name: String,
        /// Its type.
        dtype: String,
    },
    /// A weight that is Inf or NaN.
    #[error("{name}: element {index} is {value}")]
    NonFinite {
        /// Name of the tensor.
        name: String,
        /// Where it stands.
        index: usize,
        /// What stands there.
        value: f32,
    },
    /// A shape that the model cannot have.
    #[error("{model}: {reason}")]
    Config {
        /// Which model.
        model: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A call below failed.
    #[error(transparent)]
    Autograd(#[from] fp8_autograd::Error),
}

/// How weights differ from what a model has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// Names that the model has and the weights lack.
    pub missing: Vec<String>,
    /// Names that the model lacks.
    pub unexpected: Vec<String>,
    /// Name, shape in the weights, shape in the model.
    pub shapes: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl Mismatch {
    /// Whether there is no difference.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Names shown of each kind; the rest is counted.
const SHOWN: usize = 8;

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = |(name, found, expected): &(String, Vec<usize>, Vec<usize>)| {
            format!("{name} is {found:?} where the model has {expected:?}")
        };
        for (what, names) in [
            ("missing", self.missing.clone()),
            ("unexpected", self.unexpected.clone()),
            ("of another shape", self.shapes.iter().map(shape).collect()),
        ] {
            if !names.is_empty() {
                write!(f, "\n  {what}: {}", names[..names.len().min(SHOWN)].join(", "))?;
            }
            if names.len() > SHOWN {
                write!(f, " and {} more", names.len() - SHOWN)?;
            }
        }
        Ok(())
    }
}

/// Result of a call.
pub type Result<T> = std::result::Result<T, Error>;
