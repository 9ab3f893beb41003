//! Windows of an image as lines of a matrix.

use crate::View;
use crate::gemm::{ALIGN, Lines, Scratch, Shape, Windows};

/// Line (n, gy, gx) of a grid holds the window of image n with its corner at `step * (gy, gx) + corner`, row-major,
/// channels innermost; zeros outside the image.
pub(super) struct Patches<'a> {
    /// (N, height, width, channels).
    pub image: View<'a>,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    /// Lines per image, down and across.
    pub grid: [Divisor; 2],
    /// Distance of neighbouring windows.
    pub step: usize,
    /// Corner of the first window; negative in the padding.
    pub corner: [isize; 2],
    /// Height and width of the window.
    pub window: [usize; 2],
}

impl Patches<'_> {
    /// Elements of a line.
    pub fn len(&self) -> usize {
        self.window[0] * self.window[1] * self.channels
    }
}

impl Lines for Patches<'_> {
    fn part<'a>(&'a self, line: usize, first: usize, len: usize, scratch: &'a mut Scratch) -> &'a [u8] {
        let size = self.image.dtype.size();
        let [image, gy, gx] = self.place(line);
        let corner = |axis: usize, at: usize| (self.step * at) as isize + self.corner[axis];
        let (top, left) = (corner(0, gy), corner(1, gx) * self.channels as isize);

        // All lengths from here on are in elements: the window is `window[0]` runs, each the same piece of a row of the image.
        let (run, row_len) = (self.window[1] * self.channels, self.width * self.channels);
        let row_of = |row: usize| {
            let y = usize::try_from(top + row as isize).ok().filter(|y| *y < self.height)?;
            Some(self.image.part((image * self.height + y) * row_len, row_len).bytes)
        };
        let (mut row, mut skip) = (first / run, first % run);
        if skip + len <= run
            && let Some(piece) =
                row_of(row).and_then(|row| inside(row, (left + skip as isize) * size as isize, len * size))
        {
            return piece;
        }
        let out = &mut scratch[..len * size];
        let mut rest = &mut *out;
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at_mut(rest.len().min((run - skip) * size));
            match row_of(row) {
                Some(row) => copy_clipped(row, (left + skip as isize) * size as isize, piece),
                None => piece.fill(0),
            }
            (row, skip, rest) = (row + 1, 0, tail);
        }
        out
    }

    /// Where each pixel is in two windows at least, on average, and channels allow it.
    fn windows(&self) -> Option<&dyn Windows> {
        let aligned = self.channels > 0 && self.channels.is_multiple_of(ALIGN);
        (aligned && self.len() > 0 && self.shape().overlap > 1).then_some(self)
    }
}

impl Patches<'_> {
    /// Rows and columns of pixels of a padded image: all that some window has.
    fn padded(&self) -> [usize; 2] {
        [0, 1].map(|axis| self.step * (self.grid[axis].divisor - 1) + self.window[axis])
    }

    /// Image, and place in the grid, down and across.
    fn place(&self, line: usize) -> [usize; 3] {
        let (pixel, gx) = self.grid[1].divide(line);
        let (image, gy) = self.grid[0].divide(pixel);
        [image, gy, gx]
    }
}

impl Windows for Patches<'_> {
    fn shape(&self) -> Shape {
        let [height, width] = self.padded();
        let [down, across] = self.grid.map(|grid| grid.divisor);
        Shape {
            pitch: width * self.channels,
            run: self.window[1] * self.channels,
            runs: self.window[0],
            step: self.step * self.channels,
            even: across,
            overlap: down * across * self.window[0] * self.window[1] / (height * width),
        }
    }

    fn first(&self, line: usize) -> usize {
        let ([height, width], [image, gy, gx]) = (self.padded(), self.place(line));
        ((image * height + gy * self.step) * width + gx * self.step) * self.channels
    }

    fn row(&self, row: usize) -> (usize, &[u8]) {
        let [height, width] = self.padded();
        let (image, y) = (row / height, (row % height) as isize + self.corner[0]);
        let Some(y) = usize::try_from(y).ok().filter(|y| *y < self.height) else { return (0, &[]) };
        // Columns of the image that the padded one has.
        let left = self.corner[1];
        let first = left.max(0).unsigned_abs().min(self.width);
        let end = (left + width as isize).clamp(first as isize, self.width as isize).unsigned_abs();
        let before = (left.min(0).unsigned_abs().min(width)) * self.channels;
        let codes = ((image * self.height + y) * self.width + first) * self.channels;
        (before, self.image.part(codes, (end - first) * self.channels).bytes)
    }
}

/// row[first ..][.. len], where all of it is in the row.
fn inside(row: &[u8], first: isize, len: usize) -> Option<&[u8]> {
    row.get(usize::try_from(first).ok()?..)?.get(..len)
}

/// out = row[first ..], zeros where that is outside the row.
fn copy_clipped(row: &[u8], first: isize, out: &mut [u8]) {
    if let Some(source) = inside(row, first, out.len()) {
        return copy(source, out);
    }
    let before = first.min(0).unsigned_abs().min(out.len());
    let (zeros, rest) = out.split_at_mut(before);
    zeros.fill(0);
    let source = row.get(first.max(0) as usize..).unwrap_or(&[]);
    let (copied, after) = rest.split_at_mut(rest.len().min(source.len()));
    copied.copy_from_slice(&source[..copied.len()]);
    after.fill(0);
}

/// `copy_from_slice` for pieces so short that a call would cost more than the copy.
fn copy(from: &[u8], to: &mut [u8]) {
    let (from, from_rest) = from.as_chunks::<64>();
    let (to, to_rest) = to.as_chunks_mut::<64>();
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
    if !to_rest.is_empty() {
        to_rest.copy_from_slice(from_rest);
    }
}

/// Division by a fixed number below 2^32 of numbers below 2^32, by one multiplication: with M = ceil(2^64 / d), n / d = floor(M n / 2^64)
/// (Lemire, Kaser and Kurz 2019).
#[derive(Clone, Copy)]
pub(super) struct Divisor {
    divisor: usize,
    /// Zero for division by one.
    reciprocal: u64,
}

impl Divisor {
    /// # Panics
    /// Where `divisor` is zero.
    pub fn new(divisor: usize) -> Self {
        Self { divisor, reciprocal: (u64::MAX / divisor as u64).wrapping_add(1) }
    }

    /// Quotient and remainder.
    pub fn divide(self, n: usize) -> (usize, usize) {
        if self.reciprocal == 0 {
            return (n, 0);
        }
        let quotient = ((u128::from(self.reciprocal) * n as u128) >> 64) as usize;
        (quotient, n - quotient * self.divisor)
    }
}
