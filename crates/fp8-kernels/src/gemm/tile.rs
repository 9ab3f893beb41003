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

/// A tile of some height, in all forms in which its factors may lie. In all of them every element of A B is summed in ascending order from zero.
pub(super) struct Tile {
    pub rows: usize,
    /// Of packed rows and columns.
    pub packed: PackedFn,
    /// Of rows of A that lie anywhere, and packed columns.
    pub rows_apart: RowsApartFn,
    /// Of packed rows, and units of B that lie apart, as single elements may.
    pub units_apart: Option<UnitsApartFn>,
}

/// C of a tile.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub at: *mut f32,
    /// From one row to the next.
    pub stride: usize,
    /// Whether C becomes A B; else A B is added.
    pub first: bool,
}

/// The arguments: how many units, A, B, C, and where [`FAR`] units for each of the units lie that may be asked for meanwhile.
///
/// # Safety
/// As for [`tile`].
pub(super) type PackedFn = unsafe fn(usize, *const u32, *const u32, Target, *const u32);

/// The arguments: runs, where each row of A begins, then as for [`PackedFn`].
///
/// # Safety
/// As for [`tile`].
pub(super) type RowsApartFn = unsafe fn(&[Run], &[*const u32], *const u32, Target, *const u32);

/// The arguments: runs, A, B, the distance from one unit of all columns to the next, then as for [`PackedFn`].
///
/// # Safety
/// As for [`tile`].
pub(super) type UnitsApartFn = unsafe fn(&[Run], *const u32, *const u32, usize, Target, *const u32);

/// Units of k at even distances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Run {
    /// Where they begin, in each row of A and in B.
    pub a: usize,
    pub b: usize,
    pub units: usize,
}

/// Units that a tile asks for ahead of others, for each of its own.
pub(super) const FAR: usize = 8;

/// Where rows of A begin.
pub(super) trait Rows: Copy {
    /// # Safety
    /// There is a row `i`.
    unsafe fn row(self, i: usize) -> *const u32;

    /// All of them `units` further on.
    ///
    /// # Safety
    /// There are so many units in each.
    unsafe fn after(self, units: usize) -> Self;
}

/// Rows that are STRIDE apart.
#[derive(Clone, Copy)]
pub(super) struct Strided<const STRIDE: usize>(pub *const u32);

impl<const STRIDE: usize> Rows for Strided<STRIDE> {
    // SAFETY: promised by the caller, as the trait asks.
    #[inline(always)]
    unsafe fn row(self, i: usize) -> *const u32 {
        // SAFETY: there is such a row.
        unsafe { self.0.add(i * STRIDE) }
    }

    // SAFETY: promised by the caller, as the trait asks.
    #[inline(always)]
    unsafe fn after(self, units: usize) -> Self {
        // SAFETY: there are so many.
        Self(unsafe { self.0.add(units) })
    }
}

/// Rows that lie anywhere.
#[derive(Clone, Copy)]
pub(super) struct Apart<const ROWS: usize>(pub [*const u32; ROWS]);

impl<const ROWS: usize> Rows for Apart<ROWS> {
    // SAFETY: promised by the caller, as the trait asks.
    #[inline(always)]
    unsafe fn row(self, i: usize) -> *const u32 {
        self.0[i]
    }

    // SAFETY: promised by the caller, as the trait asks.
    #[inline(always)]
    unsafe fn after(self, units: usize) -> Self {
        let mut rows = self.0;
        for row in &mut rows {
            // SAFETY: there are so many.
            *row = unsafe { row.add(units) };
        }
        Self(rows)
    }
}

/// A tile of ROWS rows and COLUMNS registers of columns.
///
/// B: units of all columns are `distance` apart. Where ASKS, C and what lies far are asked for.
///
/// # Safety
/// The instruction set of `V`; the units of all runs in each of ROWS rows of A, and of all columns at `b`; ROWS rows of C at `c`.
#[inline(always)]
// A closure that a compiler does not inline has not the instruction set, so there are loops over numbers.
#[allow(clippy::needless_range_loop)]
pub(super) unsafe fn tile<V: Vector, const ROWS: usize, const COLUMNS: usize, const ASKS: bool>(
    runs: &[Run],
    a: impl Rows,
    b: *const u32,
    distance: usize,
    c: Target,
    mut far: *const u32,
) {
    // SAFETY: the caller's promises cover every pointer below.
    unsafe {
        let mut sums = [[V::zero(); COLUMNS]; ROWS];
        if ASKS {
            for i in 0..ROWS {
                prefetch::to_first_level(c.at.wrapping_add(i * c.stride), COLUMNS * V::LANES);
            }
        }
        let together = if ASKS { TOGETHER } else { 1 };
        for run in runs {
            let (a, b) = (a.after(run.a), b.add(run.b));
            let whole = run.units - run.units % together;
            for u in (0..whole).step_by(together) {
                if ASKS {
                    prefetch::to_second_level(far.wrapping_add(FAR * u), FAR * together);
                }
                for u in u..u + together {
                    step::<V, ROWS, COLUMNS>(&mut sums, a, b.add(u * distance), u);
                }
            }
            for u in whole..run.units {
                step::<V, ROWS, COLUMNS>(&mut sums, a, b.add(u * distance), u);
            }
            far = far.wrapping_add(FAR * run.units);
        }
        for i in 0..ROWS {
            for j in 0..COLUMNS {
                let at = c.at.add(i * c.stride + j * V::LANES);
                let sum = if c.first { sums[i][j] } else { V::load(at).add(sums[i][j]) };
                sum.store(at);
            }
        }
    }
}

/// Units of k without a branch between them, where lines are asked for.
const TOGETHER: usize = 4;

/// Adds the products of unit `u` of the rows of A and that at `b`.
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
#[allow(clippy::needless_range_loop)]
unsafe fn step<V: Vector, const ROWS: usize, const COLUMNS: usize>(
    sums: &mut [[V; COLUMNS]; ROWS],
    a: impl Rows,
    b: *const u32,
    u: usize,
) {
    // SAFETY: the caller's promises cover every pointer below.
    unsafe {
        let mut columns = [V::units(b); COLUMNS];
        for j in 1..COLUMNS {
            columns[j] = V::units(b.add(j * V::LANES));
        }
        for i in 0..ROWS {
            let row = V::broadcast(a.row(i).add(u));
            for j in 0..COLUMNS {
                sums[i][j] = sums[i][j].multiply_add(row, columns[j]);
            }
        }
    }
}

/// A table of [`Tile`]s, the tallest first, compiled for an instruction set.
macro_rules! tiles {
    (#[$attribute:meta] $vector:ty, columns: $columns:literal, stride: $stride:expr, singles: $singles:literal, asks: $asks:literal, rows: $($rows:literal),+) => {
        &[$({
            use $crate::gemm::tile::{Apart, Run, Strided, Target, Tile, Vector, tile};

            const WIDTH: usize = $columns * <$vector as Vector>::LANES;

            #[$attribute]
            // SAFETY: promised by the caller, as `tile` asks.
            unsafe fn packed(units: usize, a: *const u32, b: *const u32, c: Target, far: *const u32) {
                let (runs, a) = ([Run { a: 0, b: 0, units }], Strided::<{ $stride }>(a));
                // SAFETY: the caller's promises.
                unsafe { tile::<$vector, $rows, $columns, $asks>(&runs, a, b, WIDTH, c, far) }
            }

            #[$attribute]
            // SAFETY: promised by the caller, as `tile` asks.
            unsafe fn rows_apart(runs: &[Run], a: &[*const u32], b: *const u32, c: Target, far: *const u32) {
                let mut rows = [a[0]; $rows];
                rows.copy_from_slice(&a[..$rows]);
                let a = Apart::<$rows>(rows);
                // SAFETY: the caller's promises.
                unsafe { tile::<$vector, $rows, $columns, $asks>(runs, a, b, WIDTH, c, far) }
            }

            #[$attribute]
            // SAFETY: promised by the caller, as `tile` asks.
            unsafe fn units_apart(runs: &[Run], a: *const u32, b: *const u32, distance: usize, c: Target, far: *const u32) {
                // SAFETY: the caller's promises.
                unsafe { tile::<$vector, $rows, $columns, $asks>(runs, Strided::<{ $stride }>(a), b, distance, c, far) }
            }

            Tile { rows: $rows, packed, rows_apart, units_apart: if $singles { Some(units_apart) } else { None } }
        }),+]
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
