//! Where the packing reads its operands: matrices of codes as lines of contiguous elements.

use super::windows::Windows;
use crate::{View, prefetch};

/// Longest part of a line that is asked for at once, in elements.
pub(crate) const LONGEST: usize = 768;

/// Room for a part of a line that has to be put together: [`LONGEST`] elements of the largest type.
pub(crate) type Scratch = [u8; 4 * LONGEST];

/// A matrix of codes, made of lines.
pub(crate) trait Lines: Sync {
    /// Elements `first .. first + len` of a line, `len <= LONGEST`; put together in `scratch` where they do not lie in one piece.
    fn part<'a>(&'a self, line: usize, first: usize, len: usize, scratch: &'a mut Scratch) -> &'a [u8];

    /// Asks for the same elements, which will be read soon; the line need not exist.
    fn ask(&self, _line: usize, _first: usize, _len: usize) {}

    /// All lines, and bytes of one, where they lie one after the other.
    fn matrix(&self) -> Option<(&[u8], usize)> {
        None
    }

    /// The lines as windows, where they overlap by so much that this pays.
    fn windows(&self) -> Option<&dyn Windows> {
        None
    }
}

/// Lines one after the other in memory.
pub(crate) struct Dense<'a> {
    /// All of it.
    pub view: View<'a>,
    /// Elements of a line.
    pub len: usize,
}

impl Lines for Dense<'_> {
    fn part<'a>(&'a self, line: usize, first: usize, len: usize, _: &'a mut Scratch) -> &'a [u8] {
        self.view.part(line * self.len + first, len).bytes
    }

    fn matrix(&self) -> Option<(&[u8], usize)> {
        Some((self.view.bytes, self.len * self.view.dtype.size()))
    }

    fn ask(&self, line: usize, first: usize, len: usize) {
        let size = self.view.dtype.size();
        let from = self.view.bytes.as_ptr().wrapping_add((line * self.len + first) * size);
        prefetch::to_first_level(from, len * size);
    }
}
