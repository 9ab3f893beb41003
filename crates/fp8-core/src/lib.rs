//! 8-bit floating-point formats, exact to the bit.
//!
//! | type | exponent, mantissa bits | bias | largest | smallest normal | smallest | specials |
//! |---|---|---|---|---|---|---|
//! | [`E5M2`] | 5, 2 | 15 | 57344 | 2^-14 | 2^-16 | infinities, NaNs |
//! | [`E4M3`] | 4, 3 | 7 | 448 | 2^-6 | 2^-9 | two NaNs |
//! | [`E5M2Fnuz`] | 5, 2 | 16 | 57344 | 2^-15 | 2^-17 | one NaN, no -0 |
//! | [`E4M3Fnuz`] | 4, 3 | 8 | 240 | 2^-7 | 2^-10 | one NaN, no -0 |
//! | [`E3M4`] | 3, 4 | 3 | 15.5 | 2^-2 | 2^-6 | infinities, NaNs |
//! | [`E8M0`] | 8, 0 | 127 | 2^127 | 2^-127 | 2^-127 | one NaN; powers of two only, no sign |
//!
//! A conversion rounds once, from the exact value, by a [`Rounding`] and an [`Overflow`] policy; the random bits of
//! stochastic rounding come from a [`Stream`], a function of the seed, the step, the tensor and the element alone.
//!
//! Everything here is a pure function of its arguments: no allocation, no I/O, no CPU detection, `no_std`; nearly all of
//! it is `const`. The generic scalar conversion ([`encode`], [`decode`]) driven by one descriptor ([`Format`]) is the
//! oracle that every faster path of the workspace must equal on every input.
//!
//! ```
//! use fp8_core::{E5M2, Format, Overflow, Rounding, Stream};
//!
//! // Once, not by way of f16: that would give 1.
//! assert_eq!(E5M2::from_f32(1.125 + 1.0 / 4096.0).to_f32(), 1.25);
//! assert_eq!(E5M2::round(1e9, Rounding::NearestEven, Overflow::Saturate, 0), E5M2::MAX);
//!
//! // Stochastic rounding is right on average.
//! let stream = Stream { seed: 1, step: 0, id: Stream::id("layer1.weight/gradient") };
//! let sr = |i| E5M2::round(1.1, Rounding::STOCHASTIC, Overflow::Infinity, stream.draw(i, 16)).to_f64();
//! let mean = (0..10_000).map(sr).sum::<f64>() / 1e4;
//! assert!((mean - 1.1).abs() < 0.005);
//!
//! // Formats are data too.
//! let format: Format = "e4m3".parse()?;
//! assert_eq!(fp8_core::decode(format, format.max_code()), 448.0);
//! # Ok::<(), fp8_core::UnknownName>(())
//! ```
#![no_std]

pub mod convert;
pub mod e8m0;
pub mod error;
pub mod float8;
pub mod format;
pub mod philox;
pub mod rounding;
mod traits;

pub use convert::{decode, encode};
pub use e8m0::E8M0;
pub use error::{InexactError, ParseError, UnknownName};
pub use float8::{E3M4, E4M3, E4M3Fnuz, E5M2, E5M2Fnuz};
pub use format::{Format, Specials};
pub use philox::{Philox, Stream};
pub use rounding::{Overflow, Rounding};
