//! What every type of numbers has of the standard library's traits, by way of its `to_f32`, `to_f64` and `from_f64`.

use core::cmp::Ordering;

/// Text, and conversions to and from wider types, of the type `$name` of a format with the name `$format`.
macro_rules! numbers {
    ($name:ident, $format:expr) => {
        numbers! { @text $name: Debug, Display, LowerExp }
        numbers! { @try_from $name: f32, half::f16, half::bf16 }

        impl From<$name> for f64 {
            fn from(x: $name) -> f64 {
                x.to_f64()
            }
        }

        impl From<$name> for f32 {
            fn from(x: $name) -> f32 {
                x.to_f32()
            }
        }

        /// The f64 nearest to the text (as Rust parses f64), rounded by [`Self::from_f64`]. An error where the text is no
        /// number.
        impl core::str::FromStr for $name {
            type Err = crate::ParseError;

            fn from_str(text: &str) -> Result<Self, crate::ParseError> {
                let value = text.parse::<f64>();
                value.map(Self::from_f64).map_err(|source| crate::ParseError { format: $format, source })
            }
        }

        /// Only values of the format; NaN is one. An error, which tells what [`Self::from_f64`] makes of it, for others.
        impl TryFrom<f64> for $name {
            type Error = crate::InexactError;

            fn try_from(value: f64) -> Result<Self, crate::InexactError> {
                let rounded = Self::from_f64(value);
                let nearest = rounded.to_f64();
                if nearest == value || value.is_nan() {
                    Ok(rounded)
                } else {
                    Err(crate::InexactError { format: $format, value, nearest })
                }
            }
        }
    };
    (@text $name:ident: $($how:ident),+) => {$(
        /// As the f32 of the same value.
        impl core::fmt::$how for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::$how::fmt(&self.to_f32(), f)
            }
        }
    )+};
    (@try_from $name:ident: $($narrower:ty),+) => {$(
        /// As from the f64 of the same value.
        impl TryFrom<$narrower> for $name {
            type Error = crate::InexactError;

            fn try_from(value: $narrower) -> Result<Self, crate::InexactError> {
                Self::try_from(f64::from(value))
            }
        }
    )+};
}
pub(crate) use numbers;

/// `a.cmp(&b)`, which is not const yet.
pub(crate) const fn compare(a: i16, b: i16) -> Ordering {
    if a < b {
        Ordering::Less
    } else if a > b {
        Ordering::Greater
    } else {
        Ordering::Equal
    }
}
