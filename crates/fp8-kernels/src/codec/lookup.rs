//! Codes of 8 bits to bf16 by tables in registers, 64 at a time (AVX-512 VBMI). Every value of an 8-bit format is exact in bf16, and a
//! bf16 is the upper half of an f32.

use std::arch::x86_64::*;

use crate::DType;

/// Each out = the exact values of its codes, as [`super::decode`] promises.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
pub(super) fn decode_each<'a>(dtype: DType, pieces: impl Iterator<Item = (&'a [u8], &'a mut [f32])>) {
    let lookup = Lookup::new(dtype);
    for (codes, out) in pieces {
        assert_eq!(codes.len(), out.len(), "decode: codes of {} elements of {dtype}", out.len());
        decode(&lookup, codes, out);
    }
}

/// out = the exact values of `codes`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
fn decode(lookup: &Lookup, codes: &[u8], out: &mut [f32]) {
    // Lane i of quarter q: two bytes of zeros, the lower byte of code 16 q + i, the upper one.
    let lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let places = _mm512_or_si512(_mm512_slli_epi32::<24>(lane), _mm512_slli_epi32::<16>(lane));
    let orders =
        [0, 1, 2, 3].map(|quarter| _mm512_add_epi32(places, _mm512_set1_epi32(0x4000_0000 + quarter * 0x1010_0000)));
    let (blocks, rest) = codes.as_chunks::<64>();
    let (outs, last) = out.as_chunks_mut::<64>();
    for (codes, out) in blocks.iter().zip(outs) {
        // SAFETY: 64 codes.
        let [upper, lower] = lookup.bytes(unsafe { _mm512_loadu_si512(codes.as_ptr().cast()) });
        for (out, order) in out.as_chunks_mut::<16>().0.iter_mut().zip(orders) {
            // SAFETY: room for 16.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), values(upper, lower, order)) };
        }
    }
    if rest.is_empty() {
        return;
    }
    let [upper, lower] = lookup.bytes(load(rest, 0, 64));
    for (out, order) in last.chunks_mut(16).zip(orders) {
        // SAFETY: the same memory, in which every bit pattern is valid as both types.
        let out = unsafe { std::slice::from_raw_parts_mut(out.as_mut_ptr().cast(), out.len()) };
        store(out, values(upper, lower, order));
    }
}

/// The f32 of 16 codes from their upper and lower bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512vbmi")]
fn values(upper: __m512i, lower: __m512i, order: __m512i) -> __m512i {
    _mm512_maskz_permutex2var_epi8(0xcccc_cccc_cccc_cccc, lower, order, upper)
}

/// The bf16 of the non-negative codes of a format, upper and lower bytes apart.
struct Table {
    upper: [u8; 128],
    lower: [u8; 128],
    /// The code of the only NaN, where that is negative zero.
    negative_zero_is_nan: bool,
}

impl Table {
    const fn new(dtype: DType) -> Self {
        let Some(format) = dtype.format() else { panic!("only formats of 8 bits have tables") };
        let (mut upper, mut lower) = ([0; 128], [0; 128]);
        let mut code = 0;
        while code < 128 {
            // Exact: at most 5 significant bits, and exponents of at least -17.
            let bits = (fp8_core::decode(format, code) as f32).to_bits() >> 16;
            (upper[code as usize], lower[code as usize]) = ((bits >> 8) as u8, bits as u8);
            code += 1;
        }
        Self { upper, lower, negative_zero_is_nan: matches!(format.specials, fp8_core::Specials::Fnuz) }
    }

    fn of(dtype: DType) -> &'static Self {
        static E5M2: Table = Table::new(DType::E5M2);
        static E4M3: Table = Table::new(DType::E4M3);
        static E5M2_FNUZ: Table = Table::new(DType::E5M2Fnuz);
        static E4M3_FNUZ: Table = Table::new(DType::E4M3Fnuz);
        static E3M4: Table = Table::new(DType::E3M4);
        match dtype {
            DType::E5M2 => &E5M2,
            DType::E4M3 => &E4M3,
            DType::E5M2Fnuz => &E5M2_FNUZ,
            DType::E4M3Fnuz => &E4M3_FNUZ,
            DType::E3M4 => &E3M4,
            _ => unreachable!("this kernel is chosen for operands of 8 bits only"),
        }
    }
}

/// A [`Table`] in registers.
pub(crate) struct Lookup {
    upper: [__m512i; 2],
    lower: [__m512i; 2],
    /// Whether the code of negative zero is the only NaN.
    negative_zero_is_nan: bool,
}

impl Lookup {
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn new(dtype: DType) -> Self {
        let table = Table::of(dtype);
        // SAFETY: 64 bytes from `at` on.
        let part = |bytes: &[u8; 128], at| unsafe { _mm512_loadu_si512(bytes[at..at + 64].as_ptr().cast()) };
        let parts = |bytes| [part(bytes, 0), part(bytes, 64)];
        Self {
            upper: parts(&table.upper),
            lower: parts(&table.lower),
            negative_zero_is_nan: table.negative_zero_is_nan,
        }
    }

    /// The upper and the lower bytes of the bf16 of 64 codes: found by the code without its sign.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    pub fn bytes(&self, codes: __m512i) -> [__m512i; 2] {
        let sign = _mm512_set1_epi8(i8::MIN);
        let upper = _mm512_permutex2var_epi8(self.upper[0], codes, self.upper[1]);
        let upper = _mm512_or_si512(upper, _mm512_and_si512(codes, sign));
        let lower = _mm512_permutex2var_epi8(self.lower[0], codes, self.lower[1]);
        if !self.negative_zero_is_nan {
            return [upper, lower];
        }
        let nan = _mm512_cmpeq_epi8_mask(codes, sign);
        [(upper, 0x7f), (lower, 0xc0_u8 as i8)].map(|(bytes, byte)| _mm512_mask_set1_epi8(bytes, nan, byte))
    }
}

/// Up to `len` codes (at most 64) from `at` on, then zeros.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(crate) fn load(codes: &[u8], at: usize, len: usize) -> __m512i {
    let rest = codes.get(at..).unwrap_or(&[]);
    if len == 64 && rest.len() >= 64 {
        // SAFETY: 64 codes are there.
        return unsafe { _mm512_loadu_si512(rest.as_ptr().cast()) };
    }
    // SAFETY: the mask keeps the load inside the slice.
    unsafe {
        _mm512_maskz_loadu_epi8(
            u64::MAX.checked_shr(64 - rest.len().min(len) as u32).unwrap_or(0),
            rest.as_ptr().cast(),
        )
    }
}

/// Up to 16 units; a whole line without a mask, which costs more on some CPUs.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn store(units: &mut [u32], values: __m512i) {
    if let Ok(line) = <&mut [u32; 16]>::try_from(&mut *units) {
        // SAFETY: the line has room for 16 units.
        return unsafe { _mm512_storeu_si512(line.as_mut_ptr().cast(), values) };
    }
    let mask = u16::MAX >> (16 - units.len());
    // SAFETY: the mask keeps the store inside the slice, which is not empty and shorter than 16.
    unsafe { _mm512_mask_storeu_epi32(units.as_mut_ptr().cast(), mask, values) };
}
