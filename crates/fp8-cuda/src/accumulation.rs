//! How sums of products are made on a card.

use std::fmt;
use std::str::FromStr;

/// The order and the precision of the sums of products. docs/numerics.md, section 9.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Accumulation {
    /// The CPU's order in FP32, and so its bits: plain arithmetic, no tensor cores.
    Ordered,
    /// Tensor cores; what one of their instructions adds up, 32 products of FP8, is added to an FP32 register.
    Exact,
    /// Tensor cores; their own sums of 128 products of FP8 are added to an FP32 register.
    #[default]
    Promoted,
    /// The tensor cores' own sums, which keep some 14 bits of FP8 products.
    Fast,
}

impl Accumulation {
    const NAMED: [(&'static str, Self); 4] =
        [("ordered", Self::Ordered), ("exact", Self::Exact), ("promoted", Self::Promoted), ("fast", Self::Fast)];

    /// Names, as they are read and written.
    pub const NAMES: [&'static str; 4] = ["ordered", "exact", "promoted", "fast"];

    /// Whether results are the CPU's to the bit, which rules tensor cores out.
    pub fn is_ordered(self) -> bool {
        self == Self::Ordered
    }
}

impl fmt::Display for Accumulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(Self::NAMED.iter().find(|(_, value)| value == self).map_or("", |(name, _)| name))
    }
}

impl FromStr for Accumulation {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::NAMED.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| *value).ok_or_else(|| format!("{name:?} is none of {}", Self::NAMES.join(", ")))
    }
}
