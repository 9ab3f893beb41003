//! f32 to E5M2 by way of binary16, to nearest even, 64 at a time (AVX-512). E5M2 is the upper byte of binary16.
//!
//! A conversion toward zero whose last bit is set where anything was cut off ("to odd") is on the same side of every tie as the value itself, so that a second
//! rounding gives what one would (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008).

use std::arch::x86_64::*;

use fp8_core::Overflow;

use crate::Store;

/// Elements at a time.
const BLOCK: usize = 64;

/// The codes of `store.scale * x`, as [`super::encode`] promises. Blocks with a NaN, and what is left, go to `otherwise`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
pub(super) fn encode(store: &Store, x: &[f32], out: &mut [u8], otherwise: impl Fn(&[f32], &mut [u8])) {
    let (scale, largest) = (_mm512_set1_ps(store.scale), _mm512_set1_epi8(largest(store.overflow)));
    let (blocks, rest) = x.as_chunks::<BLOCK>();
    let (outs, last) = out.as_chunks_mut::<BLOCK>();
    for (x, out) in blocks.iter().zip(outs) {
        match codes(scale, x) {
            Some(codes) => {
                let sign = _mm512_set1_epi8(i8::MIN);
                let magnitude = _mm512_min_epu8(_mm512_andnot_si512(sign, codes), largest);
                let codes = _mm512_or_si512(magnitude, _mm512_and_si512(sign, codes));
                // SAFETY: the block has room for 64 codes.
                unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), codes) };
            }
            None => otherwise(x, out),
        }
    }
    otherwise(rest, last);
}

/// The largest code that is stored: infinity, or the largest number.
const fn largest(overflow: Overflow) -> i8 {
    match overflow {
        Overflow::Infinity => 0x7c,
        Overflow::Saturate => 0x7b,
    }
}

/// None: there is a NaN.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
fn codes(scale: __m512, x: &[f32; BLOCK]) -> Option<__m512i> {
    // SAFETY: 16 elements from each of four places on.
    let [a, b, c, d] = [0, 16, 32, 48].map(|at| _mm512_mul_ps(scale, unsafe { _mm512_loadu_ps(x[at..].as_ptr()) }));
    let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, b) | _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(c, d);
    if nan != 0 {
        return None;
    }
    // SAFETY: 64 bytes.
    let upper = unsafe { _mm512_loadu_si512(UPPER_BYTES.as_ptr().cast()) };
    Some(_mm512_permutex2var_epi8(rounded(a, b), upper, rounded(c, d)))
}

/// Where the upper bytes of 64 halves are.
static UPPER_BYTES: [u8; BLOCK] = {
    let (mut places, mut i) = ([0; BLOCK], 0);
    while i < BLOCK {
        places[i] = 2 * i as u8 + 1;
        i += 1;
    }
    places
};

/// Halves (binary16) whose upper bytes are the codes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn rounded(low: __m512, high: __m512) -> __m512i {
    let [lower, upper] = [toward_zero(low), toward_zero(high)];
    let cut = [cut_off(lower, low), cut_off(upper, high)];
    let halves = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(lower), upper);
    let one = _mm512_set1_epi16(1);
    let odd = _mm512_or_si512(halves, _mm512_maskz_mov_epi16(u32::from(cut[1]) << 16 | u32::from(cut[0]), one));
    let last = _mm512_and_si512(_mm512_srli_epi16::<8>(odd), one);
    _mm512_add_epi16(_mm512_add_epi16(odd, _mm512_set1_epi16(0x7f)), last)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn toward_zero(x: __m512) -> __m256i {
    _mm512_cvtps_ph::<{ _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC }>(x)
}

/// Which halves are not what they were made of.
#[inline]
#[target_feature(enable = "avx512f")]
fn cut_off(halves: __m256i, x: __m512) -> u16 {
    _mm512_cmp_ps_mask::<_CMP_NEQ_OQ>(_mm512_cvtph_ps(halves), x)
}
