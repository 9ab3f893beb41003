//! Philox4x32-10 (AVX-512), 32 blocks at a time: one after the other waits for the multiplications of each round.

use std::arch::x86_64::*;

use fp8_core::{Philox, Stream};

use super::draws::PhiloxBlock;

/// Blocks in a register, of which each word has the lower half of a lane; what the upper half holds plays no part.
const LANES: usize = 8;
/// Registers of each word: of blocks whose rounds do not wait for each other.
const CHAINS: usize = 4;
/// Blocks at a time.
pub(super) const BLOCKS: usize = CHAINS * LANES;

/// The blocks `block` and following, as [`super::draws::draws`] gives them.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
pub(super) fn blocks(stream: &Stream, block: u64, out: &mut [[PhiloxBlock; BLOCKS]]) {
    let keys = keys(stream.seed);
    let multipliers = Philox::MULTIPLIERS.map(|multiplier| _mm512_set1_epi64(i64::from(multiplier)));
    let fixed = [stream.step, stream.id].map(|word| _mm512_set1_epi64(i64::from(word)));
    for (out, first) in out.iter_mut().zip((block..).step_by(BLOCKS)) {
        let mut words = [[_mm512_setzero_si512(); 4]; CHAINS];
        for (chain, words) in words.iter_mut().enumerate() {
            let numbers = _mm512_set1_epi64(first.wrapping_add((chain * LANES) as u64) as i64);
            let numbers = _mm512_add_epi64(numbers, _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0));
            *words = [numbers, _mm512_srli_epi64::<32>(numbers), fixed[0], fixed[1]];
        }
        for key in &keys {
            for words in &mut words {
                *words = round(*words, multipliers, *key);
            }
        }
        for (words, out) in words.iter().zip(out.as_chunks_mut().0) {
            store(words, out);
        }
    }
}

/// Those of the ten rounds.
#[inline]
#[target_feature(enable = "avx512f")]
fn keys(seed: u64) -> [[__m512i; 2]; 10] {
    let mut key = [seed as u32, (seed >> 32) as u32];
    let mut keys = [[_mm512_setzero_si512(); 2]; 10];
    for lanes in &mut keys {
        *lanes = key.map(|half| _mm512_set1_epi64(i64::from(half)));
        key = [key[0].wrapping_add(Philox::WEYL[0]), key[1].wrapping_add(Philox::WEYL[1])];
    }
    keys
}

/// A round of [`Philox::block`].
#[inline]
#[target_feature(enable = "avx512f")]
fn round([a, b, c, d]: [__m512i; 4], multipliers: [__m512i; 2], key: [__m512i; 2]) -> [__m512i; 4] {
    const EXCLUSIVE_OR: i32 = 0x96;
    let (first, second) = (_mm512_mul_epu32(a, multipliers[0]), _mm512_mul_epu32(c, multipliers[1]));
    let upper = |product: __m512i| _mm512_srli_epi64::<32>(product);
    [
        _mm512_ternarylogic_epi64::<EXCLUSIVE_OR>(upper(second), b, key[0]),
        second,
        _mm512_ternarylogic_epi64::<EXCLUSIVE_OR>(upper(first), d, key[1]),
        first,
    ]
}

/// The words of each block one after the other.
#[inline]
#[target_feature(enable = "avx512f")]
fn store(&[a, b, c, d]: &[__m512i; 4], out: &mut [PhiloxBlock; LANES]) {
    let pairs = |low, high| _mm512_mask_blend_epi32(0xAAAA, low, _mm512_slli_epi64::<32>(high));
    let (first, second) = (pairs(a, b), pairs(c, d));
    let (lower, upper) = out.split_at_mut(LANES / 2);
    for (out, order) in
        [(lower, _mm512_set_epi64(11, 3, 10, 2, 9, 1, 8, 0)), (upper, _mm512_set_epi64(15, 7, 14, 6, 13, 5, 12, 4))]
    {
        // SAFETY: half of the blocks are 64 bytes.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), _mm512_permutex2var_epi64(first, order, second)) };
    }
}
