//! Random bits of elements, many at a time.

use fp8_core::{Philox, Stream};

#[cfg(target_arch = "x86_64")]
use super::philox;
use crate::isa::Isa;
use crate::per_isa;

/// Elements that share one block of Philox, at 16 bits each.
pub(super) const PER_BLOCK: usize = 8;

/// The bytes of one block of Philox, in the form of stores that vectorise.
pub(super) type PhiloxBlock = [[u8; 8]; 2];

/// The 16-bit draws (little-endian) of elements `PER_BLOCK * block` and following, as [`Stream::draw`] gives them.
pub(super) fn draws(isa: Isa, stream: &Stream, block: u64, out: &mut [PhiloxBlock]) {
    #[cfg(target_arch = "x86_64")]
    if matches!(isa, Isa::Avx512 | Isa::Amx) {
        let (whole, rest) = out.as_chunks_mut();
        // SAFETY: a value of `Isa` exists only where the CPU has that instruction set.
        unsafe { philox::blocks(stream, block, whole) };
        return blocks(isa, stream, block + (whole.len() * philox::BLOCKS) as u64, rest);
    }
    blocks(isa, stream, block, out);
}

per_isa! {
    fn blocks(stream: &Stream, block: u64, out: &mut [PhiloxBlock]) {
        let philox = Philox::new(stream.seed);
        for (out, block) in out.iter_mut().zip(block..) {
            let [a, b, c, d] = philox.block([block as u32, (block >> 32) as u32, stream.step, stream.id]).map(u64::from);
            *out = [(a | b << 32).to_le_bytes(), (c | d << 32).to_le_bytes()];
        }
    }
}

/// The 16-bit draws of elements `first` and following; `first` is a multiple of [`PER_BLOCK`].
pub(crate) fn draws16(isa: Isa, stream: &Stream, first: u64, out: &mut [u16]) {
    debug_assert_eq!(first % PER_BLOCK as u64, 0);
    const TOGETHER: usize = 32;
    let mut blocks = [PhiloxBlock::default(); TOGETHER];
    for (i, out) in out.chunks_mut(TOGETHER * PER_BLOCK).enumerate() {
        let block = first / PER_BLOCK as u64 + (TOGETHER * i) as u64;
        draws(isa, stream, block, &mut blocks[..out.len().div_ceil(PER_BLOCK)]);
        for (out, draw) in out.iter_mut().zip(blocks.as_flattened().as_flattened().as_chunks().0) {
            *out = u16::from_le_bytes(*draw);
        }
    }
}
