//! Lines of the cache that are asked for before they are needed. They need not be memory of ours: nothing is read or written.

/// Bytes of a line.
const LINE: usize = 64;

/// The levels of cache, as x86-64 numbers them (`_MM_HINT_T0`, `_MM_HINT_T1`).
const FIRST: i32 = 3;
const SECOND: i32 = 2;

/// Asks for `count` elements, to be in the first-level cache.
#[inline(always)]
pub(crate) fn to_first_level<T>(from: *const T, count: usize) {
    ask::<FIRST, T>(from, count);
}

/// Asks for `count` elements, to be in the second-level cache.
#[inline(always)]
pub(crate) fn to_second_level<T>(from: *const T, count: usize) {
    ask::<SECOND, T>(from, count);
}

#[inline(always)]
fn ask<const LEVEL: i32, T>(from: *const T, count: usize) {
    for at in (0..count).step_by(LINE / size_of::<T>()) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: no address is wrong.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<LEVEL>(from.wrapping_add(at).cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (from, at);
    }
}
