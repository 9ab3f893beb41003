//! Rounding and overflow, the two independent choices of a conversion.

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
        /// Random bits, 1 to 32.
        bits: u8,
    },
}

impl Rounding {
    /// Stochastic rounding with the default of 16 random bits.
    pub const STOCHASTIC: Self = Self::Stochastic { bits: 16 };
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
