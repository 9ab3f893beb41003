//! Where the factors of a product come from, as [lines.cuh](lines.cuh) has it.

use crate::kernels::Argument;

/// Division by a number that does not change.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub(crate) struct Divisor {
    divisor: u32,
    factor: u32,
    shift: u32,
}

impl Divisor {
    /// By `divisor`, or by 1 where that is 0: nothing is divided then.
    pub fn new(divisor: usize) -> Self {
        let divisor = u32::try_from(divisor).unwrap_or(u32::MAX).max(1);
        let shift = u32::BITS - (divisor - 1).leading_zeros();
        // 2^32 (2^shift - divisor) / divisor + 1, below 2^32.
        let factor = (((1_u64 << shift) - u64::from(divisor)) << 32) / u64::from(divisor) + 1;
        Self { divisor, factor: factor as u32, shift }
    }

    /// By a multiple of this.
    pub fn times(&self, times: usize) -> Self {
        Self::new(self.divisor() * times)
    }

    /// What it divides by.
    pub fn divisor(&self) -> usize {
        self.divisor as usize
    }
}

/// A kind of lines.
pub(crate) trait Lines: Argument + Copy {
    /// Its type in lines.cuh.
    const NAME: &'static str;

    /// What they are, to those who do not take them one element at a time.
    fn source(&self) -> Source<'_>;

    /// Elements of the tensor that holds `lines` lines of `k`.
    fn elements(&self, lines: usize, k: usize) -> usize;

    /// The same lines over a tensor that has each run along k, or the tensor itself where lines lie across k, so many times.
    fn repeated(&self, times: usize, along_k: bool) -> Self;

    /// Elements that lie beside each other in memory, of `len` that follow each other in its direction.
    fn run(&self, len: usize) -> usize {
        match self.source() {
            Source::Matrix => len,
            Source::Windows(patches) | Source::WindowElements(patches) => patches.channels.divisor(),
        }
    }
}

/// What lines are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    /// Places in memory that can be copied.
    Matrix,
    /// Windows of images.
    Windows(&'a Patches),
    /// Elements of such windows.
    WindowElements(&'a Patches),
}

/// A matrix whose element (line, k) stands at `line * line_step + k * k_step`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Dense {
    pub line_step: u32,
    pub k_step: u32,
}

impl Dense {
    /// Lines of `k` elements after each other.
    pub fn rows(k: usize) -> Self {
        Self { line_step: k as u32, k_step: 1 }
    }

    /// `lines` lines beside each other.
    pub fn columns(lines: usize) -> Self {
        Self { line_step: 1, k_step: lines as u32 }
    }
}

/// Windows of images.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Patches {
    /// Of pixels: down, across.
    pub grid: [Divisor; 2],
    /// Of the window: across.
    pub window_x: Divisor,
    pub channels: Divisor,
    pub height: i32,
    pub width: i32,
    /// Between windows: down, across.
    pub step: [i32; 2],
    /// Of the first window.
    pub corner: [i32; 2],
}

/// `Windows` of hopper.cuh.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Windows {
    blocks: u32,
    window_x: Divisor,
    grid: [Divisor; 2],
    step: [i32; 2],
    corner: [i32; 2],
}

impl Windows {
    /// Those of patches, in blocks of `width` channels; of a matrix there are none.
    pub fn of(source: Source<'_>, width: usize) -> Self {
        let one = Divisor::new(1);
        match source {
            Source::Windows(patches) | Source::WindowElements(patches) => Self {
                blocks: (patches.channels.divisor() / width) as u32,
                window_x: patches.window_x,
                grid: patches.grid,
                step: patches.step,
                corner: patches.corner,
            },
            Source::Matrix => Self { blocks: 1, window_x: one, grid: [one; 2], step: [1; 2], corner: [0; 2] },
        }
    }
}

/// Their elements as lines, their pixels as k.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct PatchElements(pub Patches);

/// Some taps of a kernel, from the last backwards.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Taps {
    pub window_x: Divisor,
    pub channels: Divisor,
    pub last: [u32; 2],
    pub step: u32,
    pub kernel: [u32; 2],
    pub inputs: u32,
}

/// Where rows of the result are stored.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Rows {
    mapped: u32,
    grid: [Divisor; 2],
    height: u32,
    width: u32,
    step: u32,
    first: [u32; 2],
}

impl Rows {
    /// One after the other.
    pub fn in_order() -> Self {
        Self { mapped: 0, grid: [Divisor::new(1); 2], height: 0, width: 0, step: 0, first: [0; 2] }
    }

    /// Row (image, y, x) of a grid at every `step`th pixel, from `first` on, of images of this size.
    pub fn of_pixels(grid: [usize; 2], size: [usize; 2], step: usize, first: [usize; 2]) -> Self {
        let [height, width] = size.map(|size| size as u32);
        let (grid, first) = (grid.map(Divisor::new), first.map(|first| first as u32));
        Self { mapped: 1, grid, height, width, step: step as u32, first }
    }
}

impl Lines for Dense {
    const NAME: &'static str = "Dense";

    fn source(&self) -> Source<'_> {
        Source::Matrix
    }

    fn elements(&self, lines: usize, k: usize) -> usize {
        lines * k
    }

    fn repeated(&self, times: usize, along_k: bool) -> Self {
        let line_step = if along_k { self.line_step * times as u32 } else { self.line_step };
        Self { line_step, ..*self }
    }
}

impl Lines for Taps {
    const NAME: &'static str = "Taps";

    fn source(&self) -> Source<'_> {
        Source::Matrix
    }

    fn elements(&self, _lines: usize, _k: usize) -> usize {
        [self.kernel[0], self.kernel[1], self.inputs].iter().map(|&size| size as usize).product::<usize>()
            * self.channels.divisor()
    }

    fn repeated(&self, times: usize, _along_k: bool) -> Self {
        Self { channels: self.channels.times(times), ..*self }
    }
}

impl Lines for Patches {
    const NAME: &'static str = "Patches";

    fn source(&self) -> Source<'_> {
        Source::Windows(self)
    }

    fn elements(&self, lines: usize, _k: usize) -> usize {
        let images = lines / (self.grid[0].divisor() * self.grid[1].divisor());
        images * self.height as usize * self.width as usize * self.channels.divisor()
    }

    fn repeated(&self, times: usize, _along_k: bool) -> Self {
        Self { channels: self.channels.times(times), ..*self }
    }
}

impl Lines for PatchElements {
    const NAME: &'static str = "PatchElements";

    fn source(&self) -> Source<'_> {
        Source::WindowElements(&self.0)
    }

    fn elements(&self, lines: usize, k: usize) -> usize {
        self.0.elements(k, lines)
    }

    fn repeated(&self, _times: usize, _along_k: bool) -> Self {
        *self
    }
}

// SAFETY: the layout is that of the C struct.
unsafe impl Argument for Divisor {}
// SAFETY: as above.
unsafe impl Argument for Dense {}
// SAFETY: as above.
unsafe impl Argument for Taps {}
// SAFETY: as above.
unsafe impl Argument for Patches {}
// SAFETY: as above.
unsafe impl Argument for PatchElements {}
// SAFETY: as above.
unsafe impl Argument for Rows {}

#[cfg(test)]
mod tests {
    use super::Divisor;

    /// As lines.cuh does it.
    fn divide(n: u32, by: Divisor) -> u32 {
        let high = (u64::from(n) * u64::from(by.factor)) >> 32;
        ((high + u64::from(n)) >> by.shift) as u32
    }

    #[test]
    fn divisors_divide() {
        let numbers = [0, 1, 2, 3, 6, 7, 63, 64, 65, 99_999, 1 << 31, u32::MAX - 1, u32::MAX];
        for divisor in (1..200).chain([576, 2047, 2048, 50_257, 1 << 20, (1 << 31) - 1, 1 << 31]) {
            for n in
                numbers.into_iter().chain((1..9_u32).filter_map(|i| i.checked_mul(divisor)).flat_map(|n| [n - 1, n]))
            {
                assert_eq!(divide(n, Divisor::new(divisor as usize)), n / divisor, "{n} / {divisor}");
            }
        }
    }
}
