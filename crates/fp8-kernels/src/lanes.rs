//! Sixteen sums side by side, which take the elements in turn and are added as a tree: an order that vectorises and is the same for all paths
//! (docs/numerics.md, section 6).
//!
//! ```text
//! x:     0   1   2   3   4   5   6   7   8   9  10  11  12  13  14  15
//!       16  17  18  19  20  21  22  23  24  25  26  27  28  29  30  31     a column is a lane: it adds downwards
//!       32  33  34                                                         the end of x; the other lanes are done
//!       ──────────────────────────────────────────────────────────────
//! tree:  0   1   2   3   4   5   6   7   8   9  10  11  12  13  14  15     lanes
//!        0   1   2   3   4   5   6   7                                     lane i += lane i + 8
//!        0   1   2   3                                                     lane i += lane i + 4
//!        0   1                                                             lane i += lane i + 2
//!        0                                                                 lane 0 += lane 1: the sum
//! ```

use std::ops::AddAssign;

/// One sum, or whatever is kept, for every sixteenth element.
pub(crate) type Lanes<T> = [T; 16];

/// Calls `take` with each lane and its next element.
#[inline(always)]
pub(crate) fn each_lane<T>(lanes: &mut Lanes<T>, x: &[f32], mut take: impl FnMut(&mut T, f32)) {
    let (lines, rest) = x.as_chunks::<16>();
    for line in lines {
        for (lane, x) in lanes.iter_mut().zip(line) {
            take(lane, *x);
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        take(lane, *x);
    }
}

/// The sum of the lanes: i and i + 8, then i and i + 4, + 2, + 1.
#[inline(always)]
pub(crate) fn tree<T: Copy + AddAssign>(mut lanes: Lanes<T>) -> T {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            let upper = lanes[i + half];
            lanes[i] += upper;
        }
    }
    lanes[0]
}
