//! All steps of a launch in one kernel on tensor cores, which keeps the recurrent weights in its registers: [recurrent.cuh](recurrent.cuh).

use std::sync::Arc;

use fp8_kernels::{DType, Lstm, Result, Store};

use super::{Inputs, Outputs, Pass, Segment, floats};
use crate::codec::StoreArgument;
use crate::elementwise::convert;
use crate::kernels::{Argument, Grid, Kernel, Source, source};
use crate::memory::DeviceMemory;
use crate::operand::Operand;

pub(crate) static RECURRENT_FORWARD: Source = source!("lstm/recurrent_forward.cu");
pub(crate) static RECURRENT_BACKWARD: Source = source!("lstm/recurrent_backward.cu");

/// Sequences and units of a block.
const ROWS: usize = 32;
const UNITS: usize = 32;
/// Bytes of the gates that exist at once: what one kernel leaves is still in the second-level cache when the next reads it.
const ROOM: usize = 34 << 20;
/// Sizes of states that kernels are compiled for: a thread keeps an eighth of that in registers.
const HIDDEN: [(usize, &str); 8] =
    [(128, "128"), (256, "256"), (384, "384"), (512, "512"), (640, "640"), (768, "768"), (896, "896"), (1024, "1024")];

/// `Steps` of recurrent.cuh.
#[derive(Clone, Copy)]
#[repr(C)]
struct Steps {
    sizes: [u32; 6],
    factor: f32,
    unused: u32,
    lengths: u64,
}

// SAFETY: the layout is that of the C struct.
unsafe impl Argument for Steps {}

/// Which pass.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Way {
    /// From zeros, or from an initial state.
    Forward {
        initial: bool,
    },
    Backward,
}

impl Way {
    fn source(self) -> (&'static Source, &'static str) {
        match self {
            Self::Forward { .. } => (&RECURRENT_FORWARD, "forward"),
            Self::Backward => (&RECURRENT_BACKWARD, "backward"),
        }
    }

    /// Bytes of shared memory of a block: the state of its sequences or the errors of their gates; parts of sums; what each thread copies for itself.
    fn shared(self, hidden: usize) -> usize {
        let pitch = |width: usize| if width.is_multiple_of(128) { width + 64 } else { width };
        let threads = Grid::THREADS as usize;
        match self {
            Self::Forward { .. } => ROWS * pitch(hidden) + 2 * 4 * ROWS * (4 * UNITS + 8) + 4 * 16 * threads,
            Self::Backward => 8 * ROWS * pitch(hidden / 2) + 8 * 4 * ROWS * (UNITS + 8) + 8 * 16 * threads,
        }
    }
}

/// Kernels for a pass.
pub(super) struct Recurrent {
    kernel: Arc<Kernel>,
    source: &'static Source,
    defines: [(&'static str, &'static str); 4],
    shared: u32,
    /// Rows of blocks that run at a time.
    tiles: usize,
}

impl Recurrent {
    /// None where something rules it out: the order of sums, a type, a size, a state to begin with, or the card.
    pub fn new(pass: &Pass<'_>, way: Way, state: Operand) -> Result<Option<Self>> {
        let (device, Lstm { steps, batch, hidden, .. }) = (pass.device, *pass.lstm);
        let known = HIDDEN.iter().find(|(size, _)| *size == hidden);
        let codes = [state, pass.w_hidden].iter().all(|operand| operand.dtype == Some(DType::E5M2));
        let Some((_, name)) = known.filter(|_| codes && steps > 1 && batch > 0) else { return Ok(None) };
        if device.accumulation.is_ordered() || way == (Way::Forward { initial: true }) {
            return Ok(None);
        }
        let [dy, _, rounding, kept] = pass.defines;
        let (source, function) = way.source();
        let defines = [dy, rounding, kept, ("HIDDEN", *name)];
        let kernel = device.kernel(source, function, &defines)?;
        let shared = way.shared(hidden) as u32;
        let resident = device.resident(&kernel, Grid { blocks: [1; 3], threads: Grid::THREADS, shared })?;
        let tiles = resident as usize / (hidden / UNITS);
        Ok((tiles > 0).then_some(Self { kernel, source, defines, shared, tiles }))
    }

    fn kernel(&self, pass: &Pass<'_>, name: &'static str) -> Result<Arc<Kernel>> {
        pass.device.kernel(self.source, name, &self.defines)
    }

    /// Launches for the steps of `segment`: `arguments` are those between the first and the last.
    fn start(
        &self,
        pass: &Pass<'_>,
        segment: &Segment,
        factor: f32,
        arguments: &[&dyn Argument],
        arrived: &mut Counts,
    ) -> Result<()> {
        let (batch, hidden) = (pass.lstm.batch, pass.lstm.hidden);
        for first_row in (0..batch).step_by(self.tiles * ROWS) {
            let tiles = (batch - first_row).div_ceil(ROWS).min(self.tiles);
            let steps = steps(pass, segment, first_row, factor);
            let count = arrived.take(tiles);
            let all = [&[&steps as &dyn Argument], arguments, &[&count]].concat();
            let blocks = [(hidden / UNITS) as u32, tiles as u32, 1];
            let grid = Grid { blocks, threads: Grid::THREADS, shared: self.shared };
            pass.device.launch_together(&self.kernel, grid, &all)?;
        }
        Ok(())
    }

    /// All outputs; `stores` are those of h and of the gates.
    pub fn forward(
        &self,
        pass: &Pass<'_>,
        inputs: &Inputs,
        [store, kept_store]: [StoreArgument; 2],
        Outputs { h, cells, gates }: Outputs,
    ) -> Result<()> {
        let (state, size) = (pass.state(), at_once(pass));
        let (_products, products) = floats(pass.device, 4 * state * size.min(pass.lstm.steps))?;
        let mut arrived = Counts::new(pass, size)?;
        for segment in Segment::all(pass.lstm, size) {
            inputs.products(pass, &segment, products)?;
            let before = (segment.steps.start / Lstm::SEGMENT).checked_sub(1);
            let before = before.map(|segment| cells.from(segment * state)).unwrap_or_default();
            let arguments: [&dyn Argument; 8] =
                [&pass.w_hidden, &products, &before, &cells, &store, &h, &kept_store, &gates];
            self.start(pass, &segment, inputs.factors[1], &arguments, &mut arrived)?;
        }
        Ok(())
    }

    /// dgates.
    pub fn backward(
        &self,
        pass: &Pass<'_>,
        error_factor: f32,
        store: &Store,
        [kept, ends, dy, dgates]: [Operand; 4],
    ) -> Result<()> {
        let (device, state, size) = (pass.device, pass.state(), at_once(pass));
        let (hidden, store) = (pass.lstm.hidden, StoreArgument::from(store));
        let together = size.min(pass.lstm.steps);
        let is_f32 = kept.dtype == Some(DType::F32);
        let (_gates, room) = floats(device, if is_f32 { 0 } else { 4 * state * together })?;
        let (_cells, cells) = floats(device, state * together)?;
        let (_dc, dc) = floats(device, state)?;
        let w = DeviceMemory::new(device, 4 * hidden * hidden)?;
        let grid = Grid::blocks([hidden as u32 / 64, hidden as u32 / 16, 1]);
        device.launch(&*self.kernel(pass, "transpose")?, grid, &[&pass.w_hidden, &w])?;

        let mut arrived = Counts::new(pass, size)?;
        let compute_cells = self.kernel(pass, "cells")?;
        for segment in Segment::all(pass.lstm, size).rev() {
            // The gates of the segment, in FP32.
            let part = kept.from(4 * segment.times.start * state);
            let gates = if is_f32 { part } else { room };
            if !is_f32 {
                convert(device, [part, gates], 4 * state * segment.times.len(), 1.0, &Store::F32)?;
            }
            let number = segment.steps.start / Lstm::SEGMENT;
            let before = number.checked_sub(1).map(|segment| ends.from(segment * state)).unwrap_or_default();
            let Grid { blocks: [blocks, ..], .. } = Grid::over(state / 4);
            let grid = Grid::blocks([blocks, segment.steps.len().div_ceil(Lstm::SEGMENT) as u32, 1]);
            device.launch(&compute_cells, grid, &[&steps(pass, &segment, 0, 0.0), &gates, &ends, &cells])?;
            let arguments: [&dyn Argument; 8] = [&w, &gates, &before, &cells, &dy, &dc, &store, &dgates];
            self.start(pass, &segment, error_factor, &arguments, &mut arrived)?;
        }
        Ok(())
    }
}

/// Steps of one launch: whole segments.
fn at_once(pass: &Pass<'_>) -> usize {
    let segment = 4 * 4 * pass.state() * Lstm::SEGMENT;
    (ROOM / segment).max(1) * Lstm::SEGMENT
}

fn steps(pass: &Pass<'_>, segment: &Segment, first_row: usize, factor: f32) -> Steps {
    let &Lstm { steps, batch, reverse, .. } = pass.lstm;
    let sizes = [batch, steps, usize::from(reverse), segment.steps.start, segment.steps.end, first_row];
    Steps { sizes: sizes.map(|size| size as u32), factor, unused: 0, lengths: pass.lengths.address }
}

/// What blocks count themselves in: a number for each row of blocks of each launch, zero at first.
struct Counts {
    counts: DeviceMemory,
    used: usize,
}

impl Counts {
    fn new(pass: &Pass<'_>, size: usize) -> Result<Self> {
        let numbers = pass.lstm.batch.div_ceil(ROWS) * pass.lstm.steps.div_ceil(size);
        Ok(Self { counts: DeviceMemory::zeros(pass.device, 4 * numbers)?, used: 0 })
    }

    fn take(&mut self, numbers: usize) -> Operand {
        let first = Operand { dtype: Some(DType::U32), address: self.counts.address() }.from(self.used);
        self.used += numbers;
        first
    }
}
