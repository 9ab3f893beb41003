//! f32 to E5M2 by way of binary16, 64 at a time (AVX-512). E5M2 is the upper byte of binary16.
//!
//! To nearest even: a conversion toward zero whose last bit is set where anything was cut off ("to odd") is on the same side of every tie as the value itself, so that a second
//! rounding gives what one would (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008). Stochastically: random bits are added below the last place, and everything from there on is cut off: by the
//! addition, which rounds toward zero, by the conversion, and by taking the upper byte.

use std::arch::x86_64::*;

use fp8_core::Overflow;

use crate::Store;

/// Elements at a time.
const BLOCK: usize = 64;

/// The codes of `store.scale * x`, as [`super::encode`] promises. Blocks with a NaN, and what is left, go to `otherwise`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
pub(super) fn nearest(store: &Store, x: &[f32], out: &mut [u8], otherwise: impl Fn(&[f32], &mut [u8])) {
    let (scale, largest) = (_mm512_set1_ps(store.scale), _mm512_set1_epi8(largest(store.overflow)));
    let (blocks, rest) = x.as_chunks::<BLOCK>();
    let (outs, last) = out.as_chunks_mut::<BLOCK>();
    for (x, out) in blocks.iter().zip(outs) {
        match nearest_codes(scale, x) {
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
fn nearest_codes(scale: __m512, x: &[f32; BLOCK]) -> Option<__m512i> {
    let [a, b, c, d] = scaled(scale, x);
    let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, b) | _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(c, d);
    if nan != 0 {
        return None;
    }
    Some(upper_bytes(rounded(a, b), rounded(c, d)))
}

/// The codes of `store.scale * x`, rounded by as many bits of 16-bit draws as `mask` has, as [`super::encode`] promises. Blocks with a magnitude of 2^15 or
/// more, or a NaN, and what is left, go to `otherwise`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
pub(super) fn stochastic(
    store: &Store,
    mask: u16,
    x: &[f32],
    random: &[[u8; 2]],
    out: &mut [u8],
    otherwise: impl Fn(&[f32], &[[u8; 2]], &mut [u8]),
) {
    let (scale, mask) = (_mm512_set1_ps(store.scale), _mm256_set1_epi16(mask as i16));
    let ((blocks, rest), (draws, last_draws)) = (x.as_chunks::<BLOCK>(), random.as_chunks::<BLOCK>());
    let (outs, last) = out.as_chunks_mut::<BLOCK>();
    for ((x, random), out) in blocks.iter().zip(draws).zip(outs) {
        match stochastic_codes(scale, mask, x, random) {
            // SAFETY: the block has room for 64 codes.
            Some(codes) => unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), codes) },
            None => otherwise(x, random, out),
        }
    }
    otherwise(rest, last_draws, last);
}

/// None: there is a magnitude of 2^15 or more, or a NaN.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
fn stochastic_codes(scale: __m512, mask: __m256i, x: &[f32; BLOCK], random: &[[u8; 2]; BLOCK]) -> Option<__m512i> {
    let x = scaled(scale, x);
    let exponents = x.map(|x| _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(power(128))));
    let [a, b, c, d] = exponents;
    let largest = _mm512_max_epu32(_mm512_max_epu32(a, b), _mm512_max_epu32(c, d));
    if _mm512_cmpge_epu32_mask(largest, _mm512_set1_epi32(power(15))) != 0 {
        return None;
    }
    // Not `map`: a closure that is not inlined would go by way of memory.
    let random = random.as_chunks().0;
    let a = cut(x[0], exponents[0], mask, &random[0]);
    let b = cut(x[1], exponents[1], mask, &random[1]);
    let c = cut(x[2], exponents[2], mask, &random[2]);
    let d = cut(x[3], exponents[3], mask, &random[3]);
    Some(upper_bytes(halves(a, b), halves(c, d)))
}

/// x and a draw of as many bits as `mask` has, in 2^-16 of the last place (of subnormals: that of 2^-14); what lies below it in f32 is cut off.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn cut(x: __m512, exponent: __m512i, mask: __m256i, random: &[[u8; 2]; 16]) -> __m256i {
    // SAFETY: 32 bytes.
    let draws = unsafe { _mm256_loadu_si256(random.as_ptr().cast()) };
    let draws = _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(_mm256_and_si256(draws, mask)));
    let unit = _mm512_max_epu32(exponent, _mm512_set1_epi32(power(-14)));
    let unit = _mm512_sub_epi32(unit, _mm512_set1_epi32(18 << 23));
    let sign = _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(i32::MIN));
    let unit = _mm512_castsi512_ps(_mm512_or_si512(unit, sign));
    toward_zero(_mm512_fmadd_round_ps::<{ _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC }>(draws, unit, x))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn halves(lower: __m256i, upper: __m256i) -> __m512i {
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(lower), upper)
}

/// The bits of 2^e in f32; of infinity, where `e` is 128.
const fn power(e: i32) -> i32 {
    (127 + e) << 23
}

#[inline]
#[target_feature(enable = "avx512f")]
fn scaled(scale: __m512, x: &[f32; BLOCK]) -> [__m512; 4] {
    // SAFETY: 16 elements from each of four places on.
    [0, 16, 32, 48].map(|at| _mm512_mul_ps(scale, unsafe { _mm512_loadu_ps(x[at..].as_ptr()) }))
}

/// Those of 64 halves.
#[inline]
#[target_feature(enable = "avx512f,avx512vbmi")]
fn upper_bytes(lower: __m512i, upper: __m512i) -> __m512i {
    // SAFETY: 64 bytes.
    _mm512_permutex2var_epi8(lower, unsafe { _mm512_loadu_si512(UPPER_BYTES.as_ptr().cast()) }, upper)
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
    let (halves, one) = (halves(lower, upper), _mm512_set1_epi16(1));
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
