//! Lines of the cache that are asked for before they are needed. They need not be memory of ours: nothing is read or written.

/// Bytes of a line.
pub(crate) const LINE: usize = 64;

/// Asks for a line, to be in the first-level cache.
#[inline(always)]
pub(crate) fn near<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: no address is wrong.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Asks for a line, to be in the second-level cache.
#[inline(always)]
pub(crate) fn nearer<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: no address is wrong.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}
