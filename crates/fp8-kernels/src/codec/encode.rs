//! f32 to codes, slice by slice.

use fp8_core::{Format, Rounding, Specials, Stream};

use super::draws::{PER_BLOCK, PhiloxBlock, draws};
use super::target::{Bf16, Code, Directed, Narrow, NearestEven, Round, Stochastic, Target, Units};
#[cfg(target_arch = "x86_64")]
use super::{e5m2, half};
use crate::isa::Isa;
use crate::{Store, per_isa};

/// out = the codes of `store.scale * x` (a product in f32), rounded once as `store` says; `out` holds `x.len()` elements
/// of `store.dtype` (little-endian). Under stochastic rounding element `i` takes draw `first_index + i` of
/// `store.random`.
///
/// # Panics
/// Where `store.dtype` is not floating, or the lengths disagree, or there are more than 32 random bits.
pub fn encode(isa: Isa, store: &Store, first_index: u64, x: &[f32], out: &mut [u8]) {
    let dtype = store.dtype;
    assert!(dtype.is_float(), "encode: {dtype} is not floating");
    assert_eq!(out.len(), x.len() * dtype.size(), "encode: bytes of {} elements of {dtype}", x.len());
    #[cfg(target_arch = "x86_64")]
    let rounding_by_avx512 = matches!(isa, Isa::Avx512 | Isa::Amx).then_some(store.rounding);
    match dtype.format().map(|format| (format, dtype.size())) {
        None => encode_f32(isa, store.scale, x, out.as_chunks_mut().0),
        #[cfg(target_arch = "x86_64")]
        Some((Format::E5M2, 1)) if rounding_by_avx512 == Some(Rounding::NearestEven) => {
            let otherwise = |x: &[f32], out: &mut [u8]| {
                let (target, out) = (Target::new(Format::E5M2, store), out.as_chunks_mut().0);
                deterministic::<[u8; 1], Narrow<true>, NearestEven>(isa, target, x, out);
            };
            // SAFETY: a value of `Isa` exists only where the CPU has that instruction set.
            unsafe { e5m2::nearest(store, x, out, otherwise) }
        }
        #[cfg(target_arch = "x86_64")]
        Some((Format::E5M2, 1)) if matches!(rounding_by_avx512, Some(Rounding::Stochastic { bits: 1..=16 })) => {
            let target = Target::new(Format::E5M2, store);
            let otherwise = |x: &[f32], random: &[[u8; 2]], out: &mut [u8]| {
                stochastic::<[u8; 1], Narrow<true>>(isa, target, x, random, out.as_chunks_mut().0);
            };
            drawn(isa, &store.random, first_index, x, out, |x, random, out| {
                // SAFETY: as above.
                unsafe { e5m2::stochastic(store, target.random_mask, x, random, out, otherwise) };
            });
        }
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Some((Format::F16, _)) if rounding_by_avx512 == Some(Rounding::NearestEven) => unsafe {
            half::encode_f16(store, x, out.as_chunks_mut().0)
        },
        Some((format, 1)) => {
            let codes = match format.specials {
                Specials::Fnuz => encode_codes::<[u8; 1], Narrow<false>>,
                _ => encode_codes::<[u8; 1], Narrow<true>>,
            };
            codes(isa, format, store, first_index, x, out.as_chunks_mut().0);
        }
        Some((Format::BF16, _)) => {
            encode_codes::<[u8; 2], Bf16>(isa, Format::BF16, store, first_index, x, out.as_chunks_mut().0);
        }
        Some((format, _)) => {
            encode_codes::<[u8; 2], Narrow<true>>(isa, format, store, first_index, x, out.as_chunks_mut().0)
        }
    }
}

fn encode_codes<C: Code, U: Units>(
    isa: Isa,
    format: Format,
    store: &Store,
    first_index: u64,
    x: &[f32],
    out: &mut [C],
) {
    let target = Target::new(format, store);
    match store.rounding {
        Rounding::NearestEven => deterministic::<C, U, NearestEven>(isa, target, x, out),
        Rounding::Stochastic { bits: 1..=16 } => {
            let round = |x: &[f32], random: &[[u8; 2]], out: &mut [C]| stochastic::<C, U>(isa, target, x, random, out);
            drawn(isa, &store.random, first_index, x, out, round);
        }
        // More random bits than f32 arithmetic can use: rare, so the oracle itself.
        Rounding::Stochastic { bits } => {
            for ((x, out), index) in x.iter().zip(out).zip(first_index..) {
                let (x, random) = (f64::from(store.scale * x), store.random.draw(index, bits));
                *out = C::new(u32::from(fp8_core::encode(format, x, store.rounding, store.overflow, random)));
            }
        }
        _ => deterministic::<C, U, Directed>(isa, target, x, out),
    }
}

/// Rounds elements with their 16-bit draws, in runs of some blocks of Philox; the first run starts inside a block where `first_index` does.
fn drawn<C>(
    isa: Isa,
    stream: &Stream,
    first_index: u64,
    mut x: &[f32],
    mut out: &mut [C],
    round: impl Fn(&[f32], &[[u8; 2]], &mut [C]),
) {
    let mut block = first_index / PER_BLOCK as u64;
    let mut skip = (first_index % PER_BLOCK as u64) as usize;
    let mut blocks = [PhiloxBlock::default(); 64];
    while !x.is_empty() {
        let count = (skip + x.len()).div_ceil(PER_BLOCK).min(blocks.len());
        draws(isa, stream, block, &mut blocks[..count]);
        let random = &blocks[..count].as_flattened().as_flattened().as_chunks().0[skip..];
        let n = random.len().min(x.len());
        round(&x[..n], &random[..n], &mut out[..n]);
        (x, out) = (&x[n..], &mut out[n..]);
        (block, skip) = (block + count as u64, 0);
    }
}

per_isa! {
    fn encode_f32(scale: f32, x: &[f32], out: &mut [[u8; 4]]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = (scale * x).to_le_bytes();
        }
    }

    fn deterministic<C: Code, U: Units, R: Round>(target: Target, x: &[f32], out: &mut [C]) {
        for (x, out) in x.iter().zip(out) {
            *out = C::new(target.code::<U, R>(*x, 0));
        }
    }

    fn stochastic<C: Code, U: Units>(target: Target, x: &[f32], random: &[[u8; 2]], out: &mut [C]) {
        for ((x, out), random) in x.iter().zip(out).zip(random) {
            *out = C::new(target.code::<U, Stochastic>(*x, u16::from_le_bytes(*random)));
        }
    }
}
