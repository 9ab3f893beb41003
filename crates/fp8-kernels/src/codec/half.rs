//! binary16 by the conversions of the CPU (F16C, AVX-512). E5M2 is its upper byte.

use std::arch::x86_64::*;

use fp8_core::Overflow;

use crate::Store;

/// out = the exact values of `codes`, as [`super::decode`] promises.
#[target_feature(enable = "avx2,f16c")]
pub(super) fn decode_e5m2(codes: &[u8], out: &mut [f32]) {
    let (eights, rest) = codes.as_chunks::<8>();
    let (outs, last) = out.as_chunks_mut::<8>();
    for (out, codes) in outs.iter_mut().zip(eights) {
        *out = values(upper_bytes(*codes));
    }
    let mut codes = [0; 8];
    codes[..rest.len()].copy_from_slice(rest);
    last.copy_from_slice(&values(upper_bytes(codes))[..last.len()]);
}

/// out = the exact values of `codes` (little-endian), as [`super::decode`] promises.
#[target_feature(enable = "avx2,f16c")]
pub(super) fn decode_f16(codes: &[[u8; 2]], out: &mut [f32]) {
    let (eights, rest) = codes.as_chunks::<8>();
    let (outs, last) = out.as_chunks_mut::<8>();
    // SAFETY: 16 bytes.
    let load = |codes: &[[u8; 2]; 8]| unsafe { _mm_loadu_si128(codes.as_ptr().cast()) };
    for (out, codes) in outs.iter_mut().zip(eights) {
        *out = values(load(codes));
    }
    let mut codes = [[0; 2]; 8];
    codes[..rest.len()].copy_from_slice(rest);
    last.copy_from_slice(&values(load(&codes))[..last.len()]);
}

/// The same, 16 at a time.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,f16c")]
pub(super) fn decode_f16_by_16(codes: &[[u8; 2]], out: &mut [f32]) {
    let (blocks, rest) = codes.as_chunks::<16>();
    let (outs, last) = out.as_chunks_mut::<16>();
    for (out, codes) in outs.iter_mut().zip(blocks) {
        // SAFETY: 32 bytes.
        let x = _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(codes.as_ptr().cast()) });
        let sign = _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(i32::MIN));
        // The payload of a NaN goes, its sign stays.
        let nan = _mm512_castsi512_ps(_mm512_or_si512(sign, _mm512_set1_epi32(f32::NAN.to_bits() as i32)));
        let x = _mm512_mask_mov_ps(x, _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x), nan);
        // SAFETY: room for 16.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), x) };
    }
    decode_f16(rest, last);
}

/// The codes of `store.scale * x` to nearest even, as [`super::encode`] promises.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,f16c")]
pub(super) fn encode_f16(store: &Store, x: &[f32], out: &mut [[u8; 2]]) {
    let (blocks, rest) = x.as_chunks::<16>();
    let (outs, last) = out.as_chunks_mut::<16>();
    for (x, out) in blocks.iter().zip(outs) {
        // SAFETY: 16 elements, and room for 16 codes.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), halves(store, _mm512_loadu_ps(x.as_ptr()))) };
    }
    let mask = (1 << rest.len()) - 1;
    // SAFETY: the masks keep both inside the slices.
    unsafe {
        let codes = halves(store, _mm512_maskz_loadu_ps(mask, rest.as_ptr()));
        _mm256_mask_storeu_epi16(last.as_mut_ptr().cast(), mask, codes);
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,f16c")]
fn halves(store: &Store, x: __m512) -> __m256i {
    let largest = match store.overflow {
        Overflow::Infinity => 0x7c00,
        Overflow::Saturate => 0x7bff,
    };
    let x = _mm512_mul_ps(_mm512_set1_ps(store.scale), x);
    let codes = _mm512_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x);
    let sign = _mm256_set1_epi16(i16::MIN);
    let magnitude = _mm256_min_epu16(_mm256_andnot_si256(sign, codes), _mm256_set1_epi16(largest));
    let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x);
    let magnitude = _mm256_mask_mov_epi16(magnitude, nan, _mm256_set1_epi16(0x7e00));
    _mm256_or_si256(magnitude, _mm256_and_si256(sign, codes))
}

/// Each code, and a byte of zeros below it.
#[inline]
#[target_feature(enable = "avx2")]
fn upper_bytes(codes: [u8; 8]) -> __m128i {
    _mm_unpacklo_epi8(_mm_setzero_si128(), _mm_cvtsi64_si128(i64::from_le_bytes(codes)))
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn values(codes: __m128i) -> [f32; 8] {
    let x = _mm256_cvtph_ps(codes);
    // The payload of a NaN goes, its sign stays.
    let nan = _mm256_or_ps(_mm256_and_ps(x, _mm256_set1_ps(-0.0)), _mm256_set1_ps(f32::NAN));
    let x = _mm256_blendv_ps(x, nan, _mm256_cmp_ps::<_CMP_UNORD_Q>(x, x));
    let mut out = [0.0; 8];
    // SAFETY: room for 8.
    unsafe { _mm256_storeu_ps(out.as_mut_ptr(), x) };
    out
}
