//! 8-bit floating-point formats, exact to the bit.
//!
//! Everything here is a pure function of its arguments: no allocation, no I/O, no CPU detection, `no_std`.
//! The generic scalar conversion ([`encode`], [`decode`]) driven by one descriptor ([`Format`]) is the oracle that
//! every faster path of the workspace must equal on every input.
#![no_std]

pub mod convert;
pub mod format;
pub mod philox;
pub mod rounding;

pub use convert::{decode, encode};
pub use format::{Format, Specials};
pub use philox::{Philox, Stream};
pub use rounding::{Overflow, Rounding};
