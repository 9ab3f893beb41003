//! The innermost loops: a tile of sums in registers, written once over [`Vector`].

use crate::prefetch;

/// A register of FP32 sums, and how it takes products of units.
///
/// A *unit* is 32 bits of packed operand: one f32, or two bf16, of which the upper one comes first in k.
pub(super) trait Vector: Copy {
    /// Sums in the register.
    const LANES: usize;
    /// A register of units.
    type Units: Copy;

    /// # Safety
    /// The CPU has the instruction set.
    unsafe fn zero() -> Self;

    /// # Safety
    /// The CPU has the instruction set; [`Self::LANES`] sums at `from`.
    unsafe fn load(from: *const f32) -> Self;

    /// # Safety
    /// The CPU has the instruction set; room for [`Self::LANES`] sums at `to`.
    unsafe fn store(self, to: *mut f32);

    /// # Safety
    /// The CPU has the instruction set.
    unsafe fn add(self, other: Self) -> Self;

    /// # Safety
    /// The CPU has the instruction set; [`Self::LANES`] units at `from`.
    unsafe fn units(from: *const u32) -> Self::Units;

    /// One unit in every lane.
    ///
    /// # Safety
    /// The CPU has the instruction set; a unit at `from`.
    unsafe fn broadcast(from: *const u32) -> Self::Units;

    /// self + a b, lane by lane, each product added with one rounding.
    ///
    /// # Safety
    /// The CPU has the instruction set.
    unsafe fn multiply_add(self, a: Self::Units, b: Self::Units) -> Self;
}

/// Computes one tile: C (rows, columns) = A B when `first`, else C + A B; every element of A B is summed in ascending order
/// from zero. The arguments: how many units, A, B, C, the distance of C's rows, whether this is the first block, and where
/// [`FAR`] units for each of the units lie that may be asked for meanwhile.
///
/// # Safety
/// As for [`tile`].
pub(super) type TileFn = unsafe fn(usize, *const u32, *const u32, *mut f32, usize, bool, *const u32);

/// Units that a tile asks for ahead of others, for each of its own.
pub(super) const FAR: usize = 8;

/// A [`TileFn`] of ROWS rows and COLUMNS registers of columns.
///
/// A: row `i` starts at `a + i * STRIDE`. B: unit `u` of all columns starts at `b + u * COLUMNS * LANES`. Where ASKS, C and what lies far are
/// asked for.
///
/// # Safety
/// The instruction set of `V`; `units` units of ROWS rows at `a` and of all columns at `b`; ROWS rows of C at `c`.
#[inline(always)]
pub(super) unsafe fn tile<V: Vector, const ROWS: usize, const COLUMNS: usize, const STRIDE: usize, const ASKS: bool>(
    units: usize,
    a: *const u32,
    b: *const u32,
    c: *mut f32,
    c_stride: usize,
    first: bool,
    far: *const u32,
) {
    // SAFETY: the caller's promises cover every pointer below.
    unsafe {
        let mut sums = [[V::zero(); COLUMNS]; ROWS];
        if ASKS {
            (0..ROWS).for_each(|i| prefetch::to_first_level(c.wrapping_add(i * c_stride), COLUMNS * V::LANES));
        }
        let together = if ASKS { TOGETHER } else { 1 };
        let whole = units - units % together;
        for u in (0..whole).step_by(together) {
            if ASKS {
                prefetch::to_second_level(far.wrapping_add(FAR * u), FAR * together);
            }
            (u..u + together).for_each(|u| step::<V, ROWS, COLUMNS, STRIDE>(&mut sums, a.add(u), b, u));
        }
        (whole..units).for_each(|u| step::<V, ROWS, COLUMNS, STRIDE>(&mut sums, a.add(u), b, u));
        for (i, sums) in sums.into_iter().enumerate() {
            for (j, sum) in sums.into_iter().enumerate() {
                let at = c.add(i * c_stride + j * V::LANES);
                let sum = if first { sum } else { V::load(at).add(sum) };
                sum.store(at);
            }
        }
    }
}

/// Units of k without a branch between them, where lines are asked for.
const TOGETHER: usize = 4;

/// Adds the products of unit `u` of B and that of A at `a`.
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
unsafe fn step<V: Vector, const ROWS: usize, const COLUMNS: usize, const STRIDE: usize>(
    sums: &mut [[V; COLUMNS]; ROWS],
    a: *const u32,
    b: *const u32,
    u: usize,
) {
    // SAFETY: the caller's promises cover every pointer below.
    unsafe {
        let columns: [V::Units; COLUMNS] = std::array::from_fn(|j| V::units(b.add((u * COLUMNS + j) * V::LANES)));
        for (i, sums) in sums.iter_mut().enumerate() {
            let row = V::broadcast(a.add(i * STRIDE));
            for (sum, column) in sums.iter_mut().zip(columns) {
                *sum = sum.multiply_add(row, column);
            }
        }
    }
}

/// A table of [`TileFn`]s, the tallest first, compiled for an instruction set: `(rows, tile)`.
macro_rules! tiles {
    (#[$attribute:meta] $vector:ty, columns: $columns:literal, stride: $stride:expr, asks: $asks:literal, rows: $($rows:literal),+) => {
        &[$(($rows, {
            #[$attribute]
            // SAFETY: promised by the caller, as `tile` asks.
            unsafe fn rows(units: usize, a: *const u32, b: *const u32, c: *mut f32, c_stride: usize, first: bool, far: *const u32) {
                // SAFETY: the caller's promises.
                unsafe { $crate::gemm::tile::tile::<$vector, $rows, $columns, { $stride }, $asks>(units, a, b, c, c_stride, first, far) }
            }
            rows
        })),+]
    };
}

/// A [`Vector`] from what its functions are on this instruction set.
macro_rules! vector {
    ($(#[$doc:meta])* $name:ident: [$sums:ty; $lanes:literal], units: $units:ty,
     zero: $zero:expr,
     load: |$load_from:ident| $load:expr,
     store: |$store_to:ident, $stored:ident| $store:expr,
     add: |$add_a:ident, $add_b:ident| $add:expr,
     read: |$read_from:ident| $read:expr,
     broadcast: |$unit:ident| $broadcast:expr,
     multiply_add: |$sum:ident, $a:ident, $b:ident| $multiply_add:expr $(,)?) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        struct $name($sums);

        #[allow(unused_unsafe)]
        impl $crate::gemm::tile::Vector for $name {
            const LANES: usize = $lanes;
            type Units = $units;

            // SAFETY: promised by the caller, as the trait asks.
            #[inline(always)]
            unsafe fn zero() -> Self {
                // SAFETY: the caller has the instruction set.
                Self(unsafe { $zero })
            }

            // SAFETY: promised by the caller, as the trait asks.
            #[inline(always)]
            unsafe fn load($load_from: *const f32) -> Self {
                // SAFETY: the caller has the instruction set and the memory.
                Self(unsafe { $load })
            }

            // SAFETY: promised by the caller, as the trait asks.
            #[inline(always)]
            unsafe fn store(self, $store_to: *mut f32) {
                let $stored = self.0;
                // SAFETY: the caller has the instruction set and the memory.
                unsafe { $store }
            }

            // SAFETY: promised by the caller, as the trait asks.
            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                let ($add_a, $add_b) = (self.0, other.0);
                // SAFETY: the caller has the instruction set.
                Self(unsafe { $add })
            }

            // SAFETY: promised by the caller, as the trait asks.
            #[inline(always)]
            unsafe fn units($read_from: *const u32) -> $units {
                // SAFETY: the caller has the instruction set and the memory.
                unsafe { $read }
            }

            // SAFETY: promised by the caller, as the trait asks.
            #[inline(always)]
            unsafe fn broadcast(from: *const u32) -> $units {
                // SAFETY: the caller has the memory.
                let $unit = unsafe { from.read() };
                // SAFETY: the caller has the instruction set.
                unsafe { $broadcast }
            }

            // SAFETY: promised by the caller, as the trait asks.
            #[inline(always)]
            unsafe fn multiply_add(self, $a: $units, $b: $units) -> Self {
                let $sum = self.0;
                // SAFETY: the caller has the instruction set.
                Self(unsafe { $multiply_add })
            }
        }
    };
}

pub(super) use {tiles, vector};
