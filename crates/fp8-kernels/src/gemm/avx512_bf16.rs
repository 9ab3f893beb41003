//! AVX-512 BF16: two products a lane and instruction. Every value of an 8-bit format is exact in bf16.
//!
//! `vdpbf16ps` adds the product of the upper halves, then that of the lower ones, each with one rounding to nearest
//! even; it flushes subnormals, which sums of products of 8-bit values never are (they are multiples of 2^-34 at least).
//! So with ascending k in upper, lower, upper, … it makes the very sums of the other kernels. As the manuals are silent about
//! intermediate rounding, [`usable`] tries it once before it is used.

use std::arch::x86_64::*;
use std::mem::transmute;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::kernel::{BLOCK, Kernel, Panels, nothing};
use super::tile::{Target, tiles, vector};
use super::{avx512, portable};
use crate::DType;
use crate::codec::lookup::{Lookup, load, store};
use crate::isa::Isa;

vector! {
    /// 16 sums, two bf16 a unit.
    Sums: [__m512; 16], units: __m512i,
    zero: _mm512_setzero_ps(),
    load: |from| _mm512_loadu_ps(from),
    store: |to, sums| _mm512_storeu_ps(to, sums),
    add: |a, b| _mm512_add_ps(a, b),
    read: |from| _mm512_loadu_si512(from.cast()),
    broadcast: |unit| _mm512_set1_epi32(unit as i32),
    multiply_add: |sums, a, b| _mm512_dpbf16_ps(sums, transmute::<__m512i, __m512bh>(a), transmute::<__m512i, __m512bh>(b)),
}

/// Of a panel.
const COLUMNS: usize = 32;

pub(super) static KERNEL: Kernel = Kernel {
    per_unit: 2,
    columns: COLUMNS,
    tiles: tiles!(
        #[target_feature(enable = "avx512f,avx512bf16")] Sums, columns: 2, stride: BLOCK / 2, singles: false, asks: false, rows: 12, 8, 4, 2
    ),
    even: 1,
    decode_lines,
    decode_across,
    around: [nothing; 2],
};

/// Whether this CPU has the instruction, it rounds as told above, and it is faster than two fused multiply-adds (on some CPUs
/// it takes four times as long as one). The results have the same bits either way.
pub(super) fn usable(isa: Isa) -> bool {
    static USABLE: OnceLock<bool> = OnceLock::new();
    isa.has_avx512_bf16()
        && *USABLE.get_or_init(|| {
            if !sums_as_portable(isa) {
                tracing::warn!("vdpbf16ps of this CPU rounds otherwise than documented: not used");
                return false;
            }
            let [pairs, singles] = [&KERNEL, &avx512::KERNEL].map(tile_time);
            tracing::debug!(?pairs, ?singles, "time of a tile by vdpbf16ps and by vfmadd");
            pairs < singles
        })
}

/// The shortest of many times that the tallest tile takes over a block of k; those of AVX-512 have 384 sums each.
fn tile_time(kernel: &Kernel) -> Duration {
    let tile = &kernel.tiles[0];
    let (a, b) = (vec![0; tile.rows * kernel.stride()], vec![0; kernel.columns * kernel.stride()]);
    let mut sums = vec![0.0; tile.rows * kernel.columns];
    let once = || {
        let start = Instant::now();
        for _ in 0..4 {
            let c = Target { at: sums.as_mut_ptr(), stride: kernel.columns, first: true };
            // SAFETY: the instruction set is there, and all lengths are those of one tile.
            unsafe { (tile.packed)(kernel.stride(), a.as_ptr(), b.as_ptr(), c, b.as_ptr()) };
        }
        start.elapsed()
    };
    std::iter::repeat_with(once).take(50).min().unwrap_or(Duration::MAX)
}

/// One tile of pseudo-random E5M2 codes, all finite, by both kernels.
fn sums_as_portable(isa: Isa) -> bool {
    let codes: Vec<u8> = (0..(2 + 32) * BLOCK as u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .map(|code| if code & 0x7c == 0x7c { code ^ 0x40 } else { code })
        .collect();
    let sums = |kernel: &Kernel| {
        let stride = kernel.stride();
        let mut rows = vec![0; (2 + 32) * stride];
        for (codes, units) in codes.chunks_exact(BLOCK).zip(rows.chunks_exact_mut(stride)) {
            (kernel.decode_lines)(isa, DType::E5M2, BLOCK, codes, units, [BLOCK, stride]);
        }
        let (a, columns) = rows.split_at(2 * stride);
        let mut sums = vec![0.0; 2 * 32];
        for (panel, columns) in columns.chunks_exact(kernel.columns * stride).enumerate() {
            let b: Vec<u32> = (0..stride * kernel.columns)
                .map(|at| columns[at % kernel.columns * stride + at / kernel.columns])
                .collect();
            let c = Target { at: sums[panel * kernel.columns..].as_mut_ptr(), stride: 32, first: true };
            // SAFETY: the instruction set is there, and all lengths are those of two rows and one panel.
            unsafe { (kernel.tile(2).packed)(stride, a.as_ptr(), b.as_ptr(), c, b.as_ptr()) };
        }
        sums.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    sums(&KERNEL) == sums(&portable::EXACT)
}

/// [`super::kernel::DecodeLines`]: an even k to the upper half of its unit, the odd one after it to the lower half.
fn decode_lines(_: Isa, dtype: DType, len: usize, codes: &[u8], units: &mut [u32], apart: [usize; 2]) {
    // SAFETY: this kernel is chosen only where the CPU has its instruction set.
    unsafe { lines(dtype, len, codes, units, apart) }
}

/// [`super::kernel::DecodeAcross`]: an even k to the upper halves of its units, the odd one after it to the lower halves.
fn decode_across(_: Isa, dtype: DType, lines: &[&[u8]], panels: Panels<'_>) {
    // SAFETY: this kernel is chosen only where the CPU has its instruction set.
    unsafe { across(dtype, lines, panels) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
fn lines(dtype: DType, len: usize, codes: &[u8], units: &mut [u32], [pitch, stride]: [usize; 2]) {
    let (lookup, order) = (Lookup::new(dtype), in_registers(&NEIGHBOURS));
    for (codes, units) in codes.chunks(pitch).zip(units.chunks_mut(stride)) {
        let (codes, units) = (&codes[..len], &mut units[..len.div_ceil(2)]);
        for (i, units) in units.chunks_mut(32).enumerate() {
            to_units(&lookup, order, load(codes, 64 * i, 64), units);
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
fn across(dtype: DType, lines: &[&[u8]], panels: Panels<'_>) {
    assert_eq!(panels.width, COLUMNS, "columns of a panel");
    let (lookup, order) = (Lookup::new(dtype), in_registers(&HALVES));
    let len = lines.first().map_or(0, |line| line.len());
    for (at, panel) in (0..len).step_by(COLUMNS).zip(panels.units.chunks_mut(panels.distance)) {
        for (pair, units) in lines.chunks(2).zip(panel.chunks_mut(COLUMNS)) {
            let second = pair.get(1).copied().unwrap_or_default();
            to_units(&lookup, order, beside(pair[0], second, at), &mut units[..(len - at).min(COLUMNS)]);
        }
    }
}

/// Up to 32 codes of two lines from `at` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn beside(first: &[u8], second: &[u8], at: usize) -> __m512i {
    if first.len().min(second.len()) >= at + COLUMNS {
        // SAFETY: 32 codes of each are there.
        return unsafe {
            let second = _mm256_loadu_si256(second.as_ptr().add(at).cast());
            _mm512_inserti64x4::<1>(_mm512_castsi256_si512(_mm256_loadu_si256(first.as_ptr().add(at).cast())), second)
        };
    }
    let second = _mm512_castsi512_si256(load(second, at, COLUMNS));
    _mm512_inserti64x4::<1>(load(first, at, COLUMNS), second)
}

/// Where the bytes of 32 units stand among the 64 upper (0..) and 64 lower bytes (64..) of codes.
type Order = [u8; 128];

/// A unit is two neighbouring codes.
static NEIGHBOURS: Order = order(2, 1);
/// A unit is a code of the first half and its like of the second.
static HALVES: Order = order(1, 32);

/// Unit `u` is codes `step * u` (upper half) and `step * u + other`.
const fn order(step: u8, other: u8) -> Order {
    let mut order = [0; 128];
    let mut unit = 0;
    while unit < 32 {
        let (first, second) = (step * unit, step * unit + other);
        let bytes = [second + 64, second, first + 64, first];
        let mut byte = 0;
        while byte < 4 {
            order[4 * unit as usize + byte] = bytes[byte];
            byte += 1;
        }
        unit += 1;
    }
    order
}

#[inline]
#[target_feature(enable = "avx512f")]
fn in_registers(order: &Order) -> [__m512i; 2] {
    // SAFETY: 64 bytes from `at` on.
    [0, 64].map(|at| unsafe { _mm512_loadu_si512(order[at..at + 64].as_ptr().cast()) })
}

/// Up to 32 units of 64 codes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn to_units(lookup: &Lookup, order: [__m512i; 2], codes: __m512i, units: &mut [u32]) {
    let [upper, lower] = lookup.bytes(codes);
    let first = _mm512_permutex2var_epi8(upper, order[0], lower);
    let second = _mm512_permutex2var_epi8(upper, order[1], lower);
    let (first_units, second_units) = units.split_at_mut(units.len().min(16));
    store(first_units, first);
    if !second_units.is_empty() {
        store(second_units, second);
    }
}
