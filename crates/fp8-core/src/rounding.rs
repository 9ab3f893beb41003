//! Rounding and overflow, the two independent choices of a conversion.

use core::fmt;
use core::str::FromStr;

use crate::UnknownName;

/// How a value between two neighbours of the target format is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// To the nearest, ties to the even code (`rne`).
    NearestEven,
    /// To the nearest, ties away from zero (`rna`).
    NearestAway,
    /// Toward zero (`rtz`).
    TowardZero,
    /// Toward positive infinity (`rtp`).
    TowardPositive,
    /// Toward negative infinity (`rtn`).
    TowardNegative,
    /// Stochastic with `bits` random bits, 1 to 32 (`sr`): let `f` be the exact position of `|x|` between its two
    /// neighbours and `r` uniform on `0..2^bits`; away from zero iff `floor(f * 2^bits) + r >= 2^bits`.
    Stochastic {
        /// Random bits, 1 to 32; [`Rounding::stochastic`] checks them.
        bits: u8,
    },
}

impl Rounding {
    /// Stochastic rounding with the default of 16 random bits.
    pub const STOCHASTIC: Self = Self::Stochastic { bits: 16 };

    /// Stochastic rounding with `bits` random bits; `None` unless there are 1 to 32.
    pub const fn stochastic(bits: u8) -> Option<Self> {
        match bits {
            1..=32 => Some(Self::Stochastic { bits }),
            _ => None,
        }
    }
}

/// What becomes of a value that rounds past the largest finite one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Overflow {
    /// IEEE 754: infinity, or NaN in formats without one. (Rounding toward zero, and the directed rounding that points
    /// back, give the largest finite value instead, as in IEEE 754 section 7.4.)
    #[default]
    Infinity,
    /// The largest finite value; infinities saturate too, NaN stays NaN.
    Saturate,
}

/// `rne`, `rna`, `rtz`, `rtp`, `rtn`, `sr`; stochastic rounding with other than 16 random bits as `sr8`.
impl fmt::Display for Rounding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NearestEven => f.pad("rne"),
            Self::NearestAway => f.pad("rna"),
            Self::TowardZero => f.pad("rtz"),
            Self::TowardPositive => f.pad("rtp"),
            Self::TowardNegative => f.pad("rtn"),
            &Self::STOCHASTIC => f.pad("sr"),
            Self::Stochastic { bits } => write!(f, "sr{bits}"),
        }
    }
}

impl FromStr for Rounding {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let known = match name {
            "rne" => Some(Self::NearestEven),
            "rna" => Some(Self::NearestAway),
            "rtz" => Some(Self::TowardZero),
            "rtp" => Some(Self::TowardPositive),
            "rtn" => Some(Self::TowardNegative),
            "sr" => Some(Self::STOCHASTIC),
            _ => name.strip_prefix("sr").and_then(|bits| bits.parse().ok()).and_then(Self::stochastic),
        };
        known.ok_or(UnknownName { what: "rounding", choices: "rne, rna, rtz, rtp, rtn, sr, sr1 to sr32" })
    }
}

/// `infinity`, `saturate`.
impl fmt::Display for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Infinity => "infinity",
            Self::Saturate => "saturate",
        })
    }
}

impl FromStr for Overflow {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        match name {
            "infinity" => Ok(Self::Infinity),
            "saturate" => Ok(Self::Saturate),
            _ => Err(UnknownName { what: "overflow policy", choices: "infinity, saturate" }),
        }
    }
}
