//! How a product is cut into tasks, and which factors they share.

use std::ops::Range;

use super::kernel::{BLOCK, Kernel};
use super::packed::{self, PackedFactor};
use super::room::ROWS_AT_ONCE;

/// A cut of C (rows, columns) into tasks.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    rows: usize,
    columns: usize,
    /// Rows and columns of a task.
    step: [usize; 2],
    /// Whether A and B are packed once for all tasks.
    pub shared: [bool; 2],
    /// Whether columns of B that a task has packed, for all blocks of k, are kept for the next task.
    pub keeps_b: bool,
}

/// Most columns of a task, and most sums: these stay in the second-level cache with a block of k of its columns and rows. Of a B that is packed
/// already it may be twice as many columns, where so many take no more room.
const MOST_COLUMNS: usize = 576;
const MOST_SUMS: usize = 256 * 256;
/// Most units of B that a thread keeps for its next task, in the second-level cache: 1.5 MiB.
const MOST_KEPT: usize = 384 << 10;
/// What packing an element costs, in multiply-adds, and what it costs that threads wait for each other.
const PACKING: usize = 20;
const WAITING: usize = 4 << 20;
/// Threads that pack factors for all as fast as they would for themselves: more are no faster, as each writes what others have read.
const PACKERS: usize = 4;

/// What is cut: C (rows, columns) over k.
struct Whole<'a> {
    kernel: &'a Kernel,
    rows: usize,
    columns: usize,
    k: usize,
    threads: usize,
    /// What packing an element of A and B costs, in multiply-adds: less where it is part of several lines that tasks read in place.
    packing: [usize; 2],
    /// Whether A and B may be packed once for all tasks.
    fits: [bool; 2],
    /// Whether lines of B are read in place.
    b_in_place: bool,
    /// Whether B has been packed before.
    has_b: bool,
}

impl Cut {
    /// The cut of `rows` by `columns`, over k, whose slowest thread has the least to do. Every element of a factor that tasks read in place is part of
    /// so many lines as `overlaps` says. `has_b`: B is packed already.
    pub fn new(
        kernel: &Kernel,
        [rows, columns, k]: [usize; 3],
        overlaps: [Option<usize>; 2],
        has_b: bool,
        threads: usize,
    ) -> Self {
        let lines = [rows, columns];
        let whole = Whole {
            kernel,
            rows: rows.max(1),
            columns: columns.max(1),
            k,
            threads,
            packing: overlaps.map(|overlap| PACKING / overlap.unwrap_or(1).max(1)),
            fits: [0, 1].map(|i| overlaps[i].is_none() && PackedFactor::fits(kernel, [lines[i], k])),
            b_in_place: overlaps[1].is_some(),
            has_b,
        };
        let step = [kernel.rows(), kernel.columns];
        let smallest = Self { rows, columns, step, shared: [false; 2], keeps_b: false };
        whole
            .steps()
            .flat_map(|step| whole.sharings(step).map(|shared| (step, shared)))
            .map(|(step, shared)| {
                let keeps_b = whole.keeps_b(step, shared);
                (whole.cost(step, shared, keeps_b), Self { step, shared, keeps_b, ..smallest })
            })
            .min_by_key(|(cost, _)| *cost)
            .map_or(smallest, |(_, cut)| cut)
    }

    pub fn tasks(&self) -> usize {
        self.rows.div_ceil(self.step[0]) * self.columns.div_ceil(self.step[1])
    }

    /// Rows and columns of a task. Tasks that follow each other have the same columns.
    pub fn task(&self, index: usize) -> [Range<usize>; 2] {
        let down = self.rows.div_ceil(self.step[0]);
        let range = |i: usize, step: usize, end: usize| i * step..end.min((i + 1) * step);
        [range(index % down, self.step[0], self.rows), range(index / down, self.step[1], self.columns)]
    }
}

impl Whole<'_> {
    /// Rows and columns of a task that are worth trying.
    fn steps(&self) -> impl Iterator<Item = [usize; 2]> {
        let &Self { kernel, rows, columns, k, threads, has_b, .. } = self;
        // Few rows may be cut anywhere.
        let multiple =
            if rows > ROWS_AT_ONCE { kernel.rows() } else { kernel.tiles.last().map_or(1, |tile| tile.rows) };
        let fewest_across = columns.div_ceil(if has_b && 2 * k <= BLOCK { 2 * MOST_COLUMNS } else { MOST_COLUMNS });
        let most_across = columns.div_ceil(kernel.columns).min(fewest_across + 4 * threads);
        (fewest_across..=most_across).flat_map(move |across| {
            let width = columns.div_ceil(across).next_multiple_of(kernel.columns);
            let (fewest, most) = (rows.div_ceil(MOST_SUMS / width), rows.div_ceil(kernel.rows()));
            // As many tasks as threads, or some times that: trying more would take longer than it saves.
            [1, 2, 4, 8]
                .map(|times| (times * threads).div_ceil(across).clamp(fewest, most.max(fewest)))
                .map(|down| [rows.div_ceil(down).next_multiple_of(multiple), width])
        })
    }

    /// How many tasks there are of that size, down and across.
    fn tasks(&self, step: [usize; 2]) -> [usize; 2] {
        [self.rows.div_ceil(step[0]), self.columns.div_ceil(step[1])]
    }

    /// Which factors may be packed once for all tasks: each that several need, or none, as many threads pack faster for themselves.
    fn sharings(&self, step: [usize; 2]) -> [[bool; 2]; 2] {
        let tasks = self.tasks(step);
        let shared = [tasks[1] > 1 && self.fits[0], tasks[0] > 1 && self.fits[1] && !self.has_b];
        [if self.has_b || self.threads > PACKERS { [false; 2] } else { shared }, shared]
    }

    /// Tasks of one thread that have the same columns.
    fn run(&self, step: [usize; 2]) -> usize {
        let [down, across] = self.tasks(step);
        (down * across).div_ceil(self.threads).min(down)
    }

    /// Whether a task's columns of B are kept for the next.
    fn keeps_b(&self, step: [usize; 2], shared: [bool; 2]) -> bool {
        let may_keep = !self.b_in_place && !shared[1] && !self.has_b;
        may_keep && self.run(step) > 1 && packed::units(self.kernel, step[1], self.k) <= MOST_KEPT
    }

    /// What the slowest thread has to do, in multiply-adds.
    fn cost(&self, step: [usize; 2], shared: [bool; 2], keeps_b: bool) -> usize {
        let &Self { kernel, rows, columns, k, threads, has_b, .. } = self;
        // Packed memory is read from the cores that have written it; small B that has been packed before lies in the second-level cache of each.
        let b_is_near = has_b && columns.saturating_mul(k) <= MOST_KEPT * kernel.per_unit;
        let reading = [threads, if b_is_near { 0 } else { threads }];
        let each = |i: usize| step[i] * if shared[i] || (i == 1 && has_b) { reading[i] } else { self.packing[i] };
        let once = |i: usize| if shared[i] { [rows, columns][i] * PACKING } else { 0 };
        let run = if keeps_b { self.run(step) } else { 1 };
        let task = step[0].next_multiple_of(kernel.rows()) * step[1] + each(0) + each(1) / run;
        // Threads are not equally fast: many of them wait for the last one, by half a task. Two share what is left.
        let uneven = (task / 2).saturating_sub(task / threads);
        let slowest = self.tasks(step).iter().product::<usize>().div_ceil(threads) * task + uneven;
        let waiting = if shared[0] || shared[1] { WAITING } else { 0 };
        (slowest + (once(0) + once(1)).div_ceil(threads.min(PACKERS))).saturating_mul(k) + waiting
    }
}
