//! binary16 to f32 by F16C. E5M2 is its upper byte.

use std::arch::x86_64::*;

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
