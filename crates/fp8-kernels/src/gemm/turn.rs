//! Matrices of codes, turned: what lay in a line lies across.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use crate::isa::Isa;
use crate::per_isa;

/// Lines of bytes, `pitch` apart: any number, such as the pitch of a dense matrix that is read where it lies.
pub(super) struct Matrix<B> {
    pub bytes: B,
    pub pitch: usize,
}

/// Bytes of a side of the blocks that are turned at once.
pub(super) const ALIGN: usize = 16;

/// `to` (len, lines) = `from` (lines, len), of elements of 1, 2 or 4 bytes. Both are read and written in whole blocks: up to the next
/// multiple of [`ALIGN`] bytes on both sides.
///
/// # Panics
/// Where a block passes the end of one of them.
pub(super) fn turn(isa: Isa, size: usize, from: &Matrix<&[u8]>, to: &mut Matrix<&mut [u8]>, [lines, len]: [usize; 2]) {
    let side = ALIGN / size;
    let blocks = [lines.div_ceil(side), len.div_ceil(side)];
    let needed =
        |lines: usize, len: usize, pitch: usize| if lines > 0 { (lines * side - 1) * pitch + len * ALIGN } else { 0 };
    assert!(needed(blocks[0], blocks[1], from.pitch) <= from.bytes.len(), "lines to turn");
    assert!(needed(blocks[1], blocks[0], to.pitch) <= to.bytes.len(), "room for turned lines");
    let turn = match size {
        1 => turn_blocks::<Bytes>,
        2 => turn_blocks::<Pairs>,
        _ => turn_blocks::<Fours>,
    };
    turn(isa, from, to, blocks);
}

per_isa! {
    fn turn_blocks<E: Element>(from: &Matrix<&[u8]>, to: &mut Matrix<&mut [u8]>, blocks: [usize; 2]) {
        let side = ALIGN / E::SIZE;
        for line in 0..blocks[0] {
            for at in 0..blocks[1] {
                let (from_pitch, to_pitch) = (from.pitch, to.pitch);
                let from = &from.bytes[line * side * from_pitch + at * ALIGN..];
                let to = &mut to.bytes[at * side * to_pitch + line * ALIGN..];
                // SAFETY: `turn` has seen to it that both hold all blocks.
                unsafe { turn_block::<E>(from.as_ptr(), from_pitch, to.as_mut_ptr(), to_pitch) };
            }
        }
    }
}

/// What is turned: so many bytes stay together.
trait Element {
    const SIZE: usize;

    /// The elements of the lower halves of two registers alternating, and those of the upper ones.
    ///
    /// # Safety
    /// None is needed: SSE2 is part of the architecture.
    #[cfg(target_arch = "x86_64")]
    unsafe fn alternating(a: __m128i, b: __m128i) -> [__m128i; 2];
}

macro_rules! elements {
    ($($(#[$doc:meta])* $name:ident: $size:literal, $low:ident, $high:ident;)+) => {$(
        $(#[$doc])*
        struct $name;

        impl Element for $name {
            const SIZE: usize = $size;

            // SAFETY: as the trait says.
            #[cfg(target_arch = "x86_64")]
            #[inline(always)]
            #[allow(unused_unsafe)]
            unsafe fn alternating(a: __m128i, b: __m128i) -> [__m128i; 2] {
                // SAFETY: SSE2 is part of the architecture.
                unsafe { [$low(a, b), $high(a, b)] }
            }
        }
    )+};
}

elements! {
    /// Codes of 8 bits.
    Bytes: 1, _mm_unpacklo_epi8, _mm_unpackhi_epi8;
    /// Codes of 16 bits, or two of 8 that share a unit.
    Pairs: 2, _mm_unpacklo_epi16, _mm_unpackhi_epi16;
    /// Codes of 32 bits.
    Fours: 4, _mm_unpacklo_epi32, _mm_unpackhi_epi32;
}

/// One block: as many lines as elements of a line. Line `i` alternating with line `i + half` moves one bit of an element's column to its
/// line; after as many rounds as that number has bits all are there.
///
/// # Safety
/// So many lines of [`ALIGN`] bytes at both pointers, at their pitches.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn turn_block<E: Element>(from: *const u8, from_pitch: usize, to: *mut u8, to_pitch: usize) {
    let side = ALIGN / E::SIZE;
    // SAFETY: the caller's lines.
    unsafe {
        let mut lines = [_mm_setzero_si128(); ALIGN];
        for (i, line) in lines[..side].iter_mut().enumerate() {
            *line = _mm_loadu_si128(from.add(i * from_pitch).cast());
        }
        for _ in 0..side.ilog2() {
            let before = lines;
            for i in 0..side / 2 {
                [lines[2 * i], lines[2 * i + 1]] = E::alternating(before[i], before[i + side / 2]);
            }
        }
        for (i, line) in lines[..side].iter().enumerate() {
            _mm_storeu_si128(to.add(i * to_pitch).cast(), *line);
        }
    }
}

/// The same, element by element.
///
/// # Safety
/// So many lines of [`ALIGN`] bytes at both pointers, at their pitches.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
unsafe fn turn_block<E: Element>(from: *const u8, from_pitch: usize, to: *mut u8, to_pitch: usize) {
    let side = ALIGN / E::SIZE;
    for i in 0..side {
        for j in 0..side {
            // SAFETY: the caller's lines, which are apart.
            unsafe {
                let from = from.add(i * from_pitch + j * E::SIZE);
                to.add(j * to_pitch + i * E::SIZE).copy_from_nonoverlapping(from, E::SIZE);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_columns() {
        for isa in Isa::available() {
            for (size, lines, len) in
                [(1, 16, 16), (1, 37, 70), (2, 5, 33), (2, 24, 8), (4, 9, 13), (4, 4, 4), (1, 0, 3)]
            {
                let round = |count: usize| (count * size).next_multiple_of(ALIGN);
                let (from_pitch, to_pitch) = (round(len) + ALIGN, round(lines) + 2 * ALIGN);
                let from: Vec<u8> = (0..round(lines).max(ALIGN) * from_pitch).map(|i| (i * 37 % 251) as u8).collect();
                let mut to = vec![0; round(len) * to_pitch];
                let (bytes, pitch) = (to.as_mut_slice(), to_pitch);
                turn(
                    isa,
                    size,
                    &Matrix { bytes: &from, pitch: from_pitch },
                    &mut Matrix { bytes, pitch },
                    [lines, len],
                );
                for (line, at) in (0..lines).flat_map(|line| (0..len).map(move |at| (line, at))) {
                    let expected = &from[line * from_pitch + at * size..][..size];
                    assert_eq!(
                        &to[at * to_pitch + line * size..][..size],
                        expected,
                        "{isa}, {size} bytes: {line}, {at}"
                    );
                }
            }
        }
    }
}
