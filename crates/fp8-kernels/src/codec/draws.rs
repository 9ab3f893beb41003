//! The random bits of stochastic rounding, many elements at a time.

use fp8_core::{Philox, Stream};

use crate::per_isa;

/// Elements that share one block of Philox, at 16 bits each.
pub(super) const PER_BLOCK: usize = 8;

per_isa! {
    /// The 16-bit draws of elements `PER_BLOCK * block` and following, as [`Stream::draw`] gives them.
    pub(super) fn draws(stream: &Stream, block: u64, out: &mut [[u16; PER_BLOCK]]) {
        let philox = Philox::new(stream.seed);
        for (out, block) in out.iter_mut().zip(block..) {
            let [a, b, c, d] = philox.block([block as u32, (block >> 32) as u32, stream.step, stream.id]);
            *out = [a, a >> 16, b, b >> 16, c, c >> 16, d, d >> 16].map(|word| word as u16);
        }
    }
}
