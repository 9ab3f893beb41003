//! How a product is cut into tasks, and which factors they share.

use std::ops::Range;

use super::kernel::{BLOCK, Kernel};
use super::packed::{self, Packed};
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
        let fits = [0, 1].map(|i| overlaps[i].is_none() && Packed::fits(kernel, [lines[i], k]));
        let packers = threads.min(PACKERS);
        // Packed memory is read from the cores that have written it; small B that has been packed before lies in the second-level cache of each.
        let reading = [0, 1].map(|i| {
            if i == 1 && has_b && columns.saturating_mul(k) <= MOST_KEPT * kernel.per_unit { 0 } else { threads }
        });
        let may_pack_alone = has_b || threads > PACKERS;
        let packing = overlaps.map(|overlap| PACKING / overlap.unwrap_or(1).max(1));
        let (some_rows, some_columns) = (rows.max(1), columns.max(1));
        // Few rows may be cut anywhere.
        let multiple =
            if rows > ROWS_AT_ONCE { kernel.rows() } else { kernel.tiles.last().map_or(1, |tile| tile.rows) };
        let fewest = some_columns.div_ceil(if has_b && 2 * k <= BLOCK { 2 * MOST_COLUMNS } else { MOST_COLUMNS });
        (fewest..=some_columns.div_ceil(kernel.columns).min(fewest + 4 * threads))
            .flat_map(|across| {
                let width = some_columns.div_ceil(across).next_multiple_of(kernel.columns);
                let (fewest, most) = (some_rows.div_ceil(MOST_SUMS / width), some_rows.div_ceil(kernel.rows()));
                // As many tasks as threads, or some times that: trying more would take longer than it saves.
                [1, 2, 4, 8]
                    .into_iter()
                    .map(move |times| (times * threads).div_ceil(across).clamp(fewest, most.max(fewest)))
                    .map(move |down| [some_rows.div_ceil(down).next_multiple_of(multiple), width])
            })
            .flat_map(|step| {
                let tasks = [some_rows.div_ceil(step[0]), some_columns.div_ceil(step[1])];
                let shared = [tasks[1] > 1 && fits[0], tasks[0] > 1 && fits[1] && !has_b];
                [if may_pack_alone { [false; 2] } else { shared }, shared].map(|shared| (step, tasks, shared))
            })
            .map(|(step, tasks, shared)| {
                let each = |i: usize| step[i] * if shared[i] || (i == 1 && has_b) { reading[i] } else { packing[i] };
                let once = |i: usize| if shared[i] { [some_rows, some_columns][i] * PACKING } else { 0 };
                // Tasks of one thread that have the same columns.
                let run = (tasks[0] * tasks[1]).div_ceil(threads).min(tasks[0]);
                let may_keep = overlaps[1].is_none() && !shared[1] && !has_b;
                let keeps_b = may_keep && run > 1 && packed::units(kernel, step[1], k) <= MOST_KEPT;
                let run = if keeps_b { run } else { 1 };
                let task = step[0].next_multiple_of(kernel.rows()) * step[1] + each(0) + each(1) / run;
                // Threads are not equally fast: many of them wait for the last one, by half a task. Two share what is left.
                let uneven = (task / 2).saturating_sub(task / threads);
                let slowest = (tasks[0] * tasks[1]).div_ceil(threads) * task + uneven;
                let waiting = if shared[0] || shared[1] { WAITING } else { 0 };
                (
                    (slowest + (once(0) + once(1)).div_ceil(packers)) * k + waiting,
                    Self { rows, columns, step, shared, keeps_b },
                )
            })
            .min_by_key(|(cost, _)| *cost)
            .map(|(_, cut)| cut)
            .unwrap_or(Self {
                rows,
                columns,
                step: [kernel.rows(), kernel.columns],
                shared: [false; 2],
                keeps_b: false,
            })
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
