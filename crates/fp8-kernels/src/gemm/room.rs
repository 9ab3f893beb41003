//! Memory for packed factors and sums, kept from call to call.

use std::cell::RefCell;
use std::ops::Range;

use super::pack::PackScratch;

/// Rows of A that a thread packs at once, to stay in the caches of its core beside a panel of B; a multiple of every tile's.
pub(super) const ROWS_AT_ONCE: usize = 96;

thread_local! {
    /// What a task needs.
    pub(super) static ROOM: RefCell<Room> = RefCell::new(Room::new());
    /// What is not in use.
    static SPARE: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// Memory for a whole packed factor. The thread that drops it keeps it for the next.
pub(crate) struct FactorRoom(Vec<Line>);

impl FactorRoom {
    pub fn take() -> Self {
        Self(SPARE.with_borrow_mut(Vec::pop).unwrap_or_default())
    }

    /// So many units at least.
    pub(super) fn units(&mut self, count: usize) -> &mut [u32] {
        units(grown(&mut self.0, count))
    }
}

impl Drop for FactorRoom {
    fn drop(&mut self) {
        let room = std::mem::take(&mut self.0);
        // Where the thread is ending, it keeps nothing.
        let _ = SPARE.try_with(|spare| spare.borrow_mut().push(room));
    }
}

/// Memory of a thread for packed factors, or rows of images, and sums: some 2 MB.
pub(super) struct Room {
    a: Vec<Line>,
    b: Vec<Line>,
    sums: Vec<Line>,
    /// What `b` holds, where it is all of it.
    held: Option<Held>,
    pub scratch: PackScratch,
}

/// Columns of the B of a product, packed for all blocks of k.
#[derive(PartialEq, Eq)]
pub(super) struct Held {
    pub product: u64,
    pub columns: Range<usize>,
}

/// The parts of a [`Room`].
pub(super) struct Parts<'a> {
    pub a: &'a mut [u32],
    pub b: &'a mut [u32],
    pub sums: &'a mut [f32],
    pub scratch: &'a mut PackScratch,
}

impl Room {
    fn new() -> Self {
        Self { a: Vec::new(), b: Vec::new(), sums: Vec::new(), held: None, scratch: PackScratch::new() }
    }

    /// What `b` is going to hold: whether it does already.
    pub fn hold(&mut self, next: Option<Held>) -> bool {
        let held = next.is_some() && self.held == next;
        self.held = next;
        held
    }

    /// Room for a task of `rows` by `width`, and for units of factors that it packs or decodes.
    pub fn parts(&mut self, [rows, width]: [usize; 2], [a, b]: [usize; 2]) -> Parts<'_> {
        Parts {
            a: units(grown(&mut self.a, a)),
            b: units(grown(&mut self.b, b)),
            sums: floats(grown(&mut self.sums, padded(rows) * width)),
            scratch: &mut self.scratch,
        }
    }
}

/// Rows up to the next multiple of 32, which covers transposition and the tile at the end.
pub(super) fn padded(rows: usize) -> usize {
    rows.next_multiple_of(32)
}

/// A line of the cache, so that rows of units are aligned.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u32; 16]);

/// Memory for so many units at least.
fn grown(lines: &mut Vec<Line>, units: usize) -> &mut [Line] {
    let needed = units.div_ceil(16);
    if lines.len() < needed {
        lines.resize(needed, Line([0; 16]));
    }
    lines
}

fn units(lines: &mut [Line]) -> &mut [u32] {
    // SAFETY: a line is 16 units and nothing else.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * 16) }
}

fn floats(lines: &mut [Line]) -> &mut [f32] {
    // SAFETY: a line is 64 bytes, and every bit pattern is an f32.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * 16) }
}
