//! Slices of floating-point codes, to and from f32: the only place that knows how elements lie in memory.
//!
//! Other kernels compute in f32 on blocks of a few hundred elements that stay in the L1 cache, and call [`decode`] and
//! [`encode`] at both ends; so none of them is written or compiled per element type. The paths of all instruction
//! sets equal the scalar oracle, [`fp8_core::encode`] and [`fp8_core::decode`], bit by bit.

mod decode;
mod draws;
#[cfg(target_arch = "x86_64")]
mod e5m2;
mod encode;
#[cfg(target_arch = "x86_64")]
mod half;
#[cfg(target_arch = "x86_64")]
pub(crate) mod lookup;
#[cfg(target_arch = "x86_64")]
mod philox;
mod target;
#[cfg(test)]
mod tests;

pub use decode::decode;
pub(crate) use decode::decode_each;
pub(crate) use draws::draws16;
pub use encode::encode;
