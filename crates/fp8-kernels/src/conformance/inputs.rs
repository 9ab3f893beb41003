//! Operands.

use fp8_core::{Overflow, Rounding, Stream};

use crate::isa::Isa;
use crate::{Backend, Buffer, DType, Result, Store, codec};

/// Makes operands on a backend, each from a seed.
pub(super) struct Inputs<'a>(pub &'a dyn Backend);

impl Inputs<'_> {
    /// Numbers in -2..2 that look random, some of them equal, to nearest even.
    pub fn float(&self, dtype: DType, seed: u32, len: usize) -> Result<Buffer> {
        self.of(dtype, &numbers(seed, len))
    }

    /// Everything special among them: NaN, infinities, zeros, the ends of FP32.
    pub fn special(&self, dtype: DType, seed: u32, len: usize) -> Result<Buffer> {
        let specials = [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 1e-45, 3e38, -6e-5];
        let special = |i: usize| specials[(i / 5 * 3 + seed as usize) % specials.len()];
        let numbers = numbers(seed, len).into_iter().enumerate();
        self.of(dtype, &numbers.map(|(i, x)| if i % 5 == 3 { special(i) } else { x }).collect::<Vec<_>>())
    }

    /// Positive numbers, to nearest even.
    pub fn positive(&self, dtype: DType, seed: u32, len: usize) -> Result<Buffer> {
        self.of(dtype, &numbers(seed, len).iter().map(|x| 0.1 + x.abs()).collect::<Vec<_>>())
    }

    /// These values, to nearest even.
    pub fn of(&self, dtype: DType, values: &[f32]) -> Result<Buffer> {
        let mut bytes = vec![0; values.len() * dtype.size()];
        codec::encode(Isa::Scalar, &Store::nearest(dtype), 0, values, &mut bytes);
        self.uploaded(dtype, &bytes)
    }

    /// U32 below `end`.
    pub fn below(&self, end: u32, seed: u32, len: usize) -> Result<Buffer> {
        let stream = Stream { seed: 5, step: 0, id: seed };
        self.numbers(&(0..len as u64).map(|i| stream.draw(i, 32) % end).collect::<Vec<_>>())
    }

    /// U32.
    pub fn numbers(&self, numbers: &[u32]) -> Result<Buffer> {
        self.uploaded(DType::U32, &numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>())
    }

    /// Elements as they lie in memory.
    pub fn uploaded(&self, dtype: DType, bytes: &[u8]) -> Result<Buffer> {
        let mut buffer = self.0.alloc(dtype, bytes.len() / dtype.size())?;
        self.0.upload(bytes, &mut buffer)?;
        Ok(buffer)
    }

    /// Memory for an output.
    pub fn output(&self, dtype: DType, len: usize) -> Result<Buffer> {
        self.0.alloc(dtype, len)
    }
}

fn numbers(seed: u32, len: usize) -> Vec<f32> {
    let stream = Stream { seed: 11, step: 0, id: seed };
    let number = |i: usize| stream.draw(i as u64, 24) as f32 / (1 << 22) as f32 - 2.0;
    (0..len).map(|i| if i % 7 == 0 { number(i).round() } else { number(i) }).collect()
}

/// FP32; the paper's Q node, scaled; 16 bits; the other rule for overflow.
pub(super) fn stores() -> [Store; 4] {
    let random = Stream { seed: 0x0123_4567_89AB_CDEF, step: 4, id: 5 };
    let stochastic = |dtype, scale| Store { rounding: Rounding::STOCHASTIC, random, scale, ..Store::nearest(dtype) };
    [
        Store::F32,
        stochastic(DType::E5M2, 4.0),
        stochastic(DType::F16, 1.0),
        Store { overflow: Overflow::Saturate, scale: 300.0, ..Store::nearest(DType::E4M3) },
    ]
}

/// One of the stores, without rounding at random twice in the same stream.
pub(super) fn store(n: usize) -> Store {
    let store = stores()[n % 4];
    Store { random: Stream { id: 100 + n as u32, ..store.random }, ..store }
}
