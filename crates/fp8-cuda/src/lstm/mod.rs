//! Long short-term memory, as `fp8_kernels::lstm`: products of [`crate::gemm`], and between them a kernel a step; or, where sums may have any order and
//! the state is in E5M2, all steps in one kernel ([`recurrent`]).

mod recurrent;

use std::ops::Range;
use std::sync::Arc;

use fp8_kernels::{
    Activation, Buffer, DType, Epilogue, Gemm, Layout, Lstm, LstmBackward, LstmForward, LstmOperands, Result, Store,
};

use crate::codec::{StoreArgument, rounding_name};
use crate::device::Device;
use crate::gemm::{Tail, multiply};
use crate::kernels::{Argument, Grid, Kernel, Source, source};
use crate::memory::DeviceMemory;
use crate::operand::{Op, Operand};

#[cfg(test)]
pub(crate) use recurrent::{RECURRENT_BACKWARD, RECURRENT_FORWARD};

use self::recurrent::{Recurrent, Way};

pub(crate) static LSTM: Source = source!("lstm/lstm.cu");

/// `Step` of lstm.cu.
#[derive(Clone, Copy)]
#[repr(C)]
struct Step {
    sizes: [u32; 4],
    lengths: u64,
}

// SAFETY: the layout is that of the C struct.
unsafe impl Argument for Step {}

/// What the steps of one pass share.
struct Pass<'a> {
    device: &'a Arc<Device>,
    lstm: &'a Lstm,
    w_hidden: Operand,
    lengths: Operand,
    /// Types that the kernels are compiled for.
    defines: [(&'static str, &'static str); 4],
}

/// What a forward pass reads besides.
struct Inputs {
    x: Operand,
    w_input: Operand,
    factors: [f32; 2],
    /// FP32 (4 hidden).
    bias: DeviceMemory,
}

/// Steps that are computed together, in the order in which they are.
struct Segment {
    steps: Range<usize>,
    /// When they are.
    times: Range<usize>,
}

impl Segment {
    /// All steps, `size` at a time.
    fn all(lstm: &Lstm, size: usize) -> impl DoubleEndedIterator<Item = Self> {
        let Lstm { steps, reverse, .. } = *lstm;
        (0..steps.div_ceil(size)).map(move |segment| {
            let first = segment * size;
            let end = steps.min(first + size);
            Self { steps: first..end, times: if reverse { steps - end..steps - first } else { first..end } }
        })
    }
}

/// FP32 memory.
fn floats(device: &Arc<Device>, len: usize) -> Result<(DeviceMemory, Operand)> {
    let memory = DeviceMemory::new(device, 4 * len)?;
    let operand = Operand { dtype: Some(DType::F32), address: memory.address() };
    Ok((memory, operand))
}

fn zeros(device: &Arc<Device>, len: usize) -> Result<(DeviceMemory, Operand)> {
    let memory = DeviceMemory::zeros(device, 4 * len)?;
    let operand = Operand { dtype: Some(DType::F32), address: memory.address() };
    Ok((memory, operand))
}

fn plain(alpha: f32, bias: Operand, residual: Operand) -> Tail {
    Tail { alpha, bias, residual, relu: false, store: Store::F32 }
}

impl<'a> Pass<'a> {
    fn new(
        device: &'a Arc<Device>,
        op: Op<'_>,
        lstm: &'a Lstm,
        (w_hidden, lengths): (&Buffer, Option<&Buffer>),
        [dy, y, kept]: [Operand; 3],
        store: &Store,
    ) -> Result<Self> {
        op.step_lengths(lstm, lengths)?;
        let lengths = lengths.map(|lengths| op.exactly("lengths", lengths, DType::U32, lstm.batch));
        Ok(Self {
            device,
            lstm,
            w_hidden: op.float("w_hidden", w_hidden, op.len(&[4, lstm.hidden, lstm.hidden])?)?,
            lengths: lengths.transpose()?.unwrap_or_default(),
            defines: [
                ("DY", dy.type_name()),
                ("Y", y.type_name()),
                ("Y_ROUNDING", rounding_name(store)),
                ("KEPT", kept.type_name()),
            ],
        })
    }

    fn kernel(&self, name: &'static str) -> Result<Arc<Kernel>> {
        self.device.kernel(&LSTM, name, &self.defines)
    }

    /// Elements of the state.
    fn state(&self) -> usize {
        self.lstm.batch * self.lstm.hidden
    }

    /// The time of step `i`.
    fn time(&self, i: usize) -> usize {
        if self.lstm.reverse { self.lstm.steps - 1 - i } else { i }
    }

    fn step(&self, time: usize) -> Step {
        let sizes = [self.lstm.batch, self.lstm.hidden, time, 0].map(|size| size as u32);
        Step { sizes, lengths: self.lengths.address }
    }

    fn launch(&self, kernel: &Kernel, arguments: &[&dyn Argument]) -> Result<()> {
        self.device.launch(kernel, Grid::over(self.state()), arguments)
    }
}

impl Inputs {
    fn new(pass: &Pass<'_>, op: Op<'_>, operands: &LstmOperands<'_>) -> Result<Self> {
        let (device, lstm) = (pass.device, pass.lstm);
        let ([x, ..], gates) = (op.lstm(lstm)?, op.len(&[4, lstm.hidden])?);
        let [b_input, b_hidden] = operands.biases;
        let b_input = op.exactly("b_input", b_input, DType::F32, gates)?;
        let b_hidden = op.exactly("b_hidden", b_hidden, DType::F32, gates)?;
        let inputs = Self {
            x: op.float("x", operands.x, x)?,
            w_input: op.float("w_input", operands.w_input, op.len(&[gates, lstm.input])?)?,
            factors: operands.factors,
            bias: DeviceMemory::new(device, 4 * gates)?,
        };
        let kernel = pass.kernel("add_biases")?;
        device.launch(&kernel, Grid::over(gates), &[&b_input, &b_hidden, &inputs.bias, &(gates as u32)])?;
        Ok(inputs)
    }

    /// out (times, batch, 4 hidden) = x W_input^T + b, FP32.
    fn products(&self, pass: &Pass<'_>, segment: &Segment, out: Operand) -> Result<()> {
        let Lstm { batch, input, hidden, .. } = *pass.lstm;
        let x = self.x.from(segment.times.start * batch * input);
        let shape = Gemm { m: segment.times.len() * batch, n: 4 * hidden, k: input, layout: Layout::NT };
        let bias = Operand { dtype: Some(DType::F32), address: self.bias.address() };
        multiply(pass.device, &shape, x, self.w_input, &plain(self.factors[0], bias, Operand::default()), out)
    }

    /// out (batch, 4 hidden) = h W_hidden^T + addend, FP32.
    fn of_states(&self, pass: &Pass<'_>, h: Operand, addend: Operand, out: Operand) -> Result<()> {
        let Lstm { batch, hidden, .. } = *pass.lstm;
        let shape = Gemm { m: batch, n: 4 * hidden, k: hidden, layout: Layout::NT };
        multiply(pass.device, &shape, h, pass.w_hidden, &plain(self.factors[1], Operand::default(), addend), out)
    }
}

/// What a forward pass writes.
#[derive(Clone, Copy)]
struct Outputs {
    h: Operand,
    cells: Operand,
    /// Perhaps absent.
    gates: Operand,
}

/// As [`fp8_kernels::Backend::lstm`].
pub(crate) fn forward(
    device: &Arc<Device>,
    lstm: &Lstm,
    arguments: &LstmForward<'_>,
    h: &mut Buffer,
    cells: &mut Buffer,
    gates: Option<&mut Buffer>,
) -> Result<()> {
    let (op, state, store) = (device.op("lstm"), lstm.batch * lstm.hidden, &arguments.store);
    let [_, h_len, cells_len] = op.lstm(lstm)?;
    let initial = match &arguments.initial {
        Some(initial) => {
            Some((op.float("initial h", initial.h, state)?, op.exactly("initial c", initial.c, DType::F32, state)?))
        }
        None => None,
    };
    let h = op.output("h", h, store, h_len)?;
    let cells = op.exactly_mut("cells", cells, DType::F32, cells_len)?;
    let (kept_store, kept) = match gates {
        Some(gates) => {
            let store = Store::nearest(gates.dtype());
            (store, op.output("gates", gates, &store, 4 * h_len)?)
        }
        None => (Store::F32, Operand::default()),
    };
    let operands = &arguments.operands;
    let pass =
        Pass::new(device, op, lstm, (operands.w_hidden, operands.lengths), [Operand::default(), h, kept], store)?;
    let inputs = Inputs::new(&pass, op, operands)?;
    let (outputs, stores) = (Outputs { h, cells, gates: kept }, [store, &kept_store].map(StoreArgument::from));
    if let Some(recurrent) = Recurrent::new(&pass, Way::Forward { initial: initial.is_some() }, h)? {
        return recurrent.forward(&pass, &inputs, stores, outputs);
    }

    let (_zeros, start) = zeros(device, state)?;
    let (_products, products) = floats(device, 4 * state * Lstm::SEGMENT.min(lstm.steps))?;
    let (_gates, gates) = floats(device, 4 * state)?;
    let mut before = initial.map_or(start, |(_, c)| c);
    let (kernel, [store, kept_store]) = (pass.kernel("forward")?, stores);
    for (number, segment) in Segment::all(lstm, Lstm::SEGMENT).enumerate() {
        inputs.products(&pass, &segment, products)?;
        // The cell state is updated in its place among those that are kept.
        let c = cells.from(number * state);
        for i in segment.steps.clone() {
            let t = pass.time(i);
            let from_x = products.from(4 * (t - segment.times.start) * state);
            let earlier = match i {
                0 => initial.map(|(h, _)| h),
                _ => Some(h.from(pass.time(i - 1) * state)),
            };
            let sums = match earlier {
                Some(earlier) => inputs.of_states(&pass, earlier, from_x, gates).map(|()| gates)?,
                None => from_x,
            };
            pass.launch(&kernel, &[&pass.step(t), &sums, &before, &c, &store, &h, &kept_store, &kept])?;
            before = c;
        }
    }
    Ok(())
}

/// As [`fp8_kernels::Backend::lstm_backward`].
pub(crate) fn backward(
    device: &Arc<Device>,
    lstm: &Lstm,
    arguments: &LstmBackward<'_>,
    dgates: &mut Buffer,
) -> Result<()> {
    let (op, state, store) = (device.op("lstm_backward"), lstm.batch * lstm.hidden, &arguments.store);
    let [_, h_len, cells_len] = op.lstm(lstm)?;
    let kept = op.float("gates", arguments.gates, 4 * h_len)?;
    let cells = op.exactly("cells", arguments.cells, DType::F32, cells_len)?;
    let dy = op.float("dy", arguments.dy, h_len)?;
    let dgates = op.output("dgates", dgates, store, 4 * h_len)?;
    let pass = Pass::new(device, op, lstm, (arguments.w_hidden, arguments.lengths), [dy, dgates, kept], store)?;
    if let Some(recurrent) = Recurrent::new(&pass, Way::Backward, dgates)? {
        return recurrent.backward(&pass, arguments.error_factor, store, [kept, cells, dy, dgates]);
    }

    let together = Lstm::SEGMENT.min(lstm.steps);
    let (_start, start) = zeros(device, state)?;
    let (_dc, dc) = zeros(device, state)?;
    let (_from_next, from_next) = zeros(device, state)?;
    let room = Room { gates: floats(device, 4 * state * together)?, cells: floats(device, state * together)? };
    let (kernel, store) = (pass.kernel("backward")?, StoreArgument::from(store));
    let segments: Vec<Segment> = Segment::all(lstm, Lstm::SEGMENT).collect();
    for (number, segment) in segments.iter().enumerate().rev() {
        let before = number.checked_sub(1).map_or(start, |earlier| cells.from(earlier * state));
        pass.again(segment, kept, before, &room)?;
        for i in segment.steps.clone().rev() {
            let (t, place) = (pass.time(i), i - segment.steps.start);
            let gates = room.gates.1.from(4 * (t - segment.times.start) * state);
            let (c_before, c) = (room.cell_before(place, state, before), room.cells.1.from(place * state));
            let step = pass.step(t);
            pass.launch(&kernel, &[&step, &gates, &c_before, &c, &dy, &from_next, &dc, &store, &dgates])?;
            if i > 0 {
                let shape = Gemm { m: lstm.batch, n: lstm.hidden, k: 4 * lstm.hidden, layout: Layout::NN };
                let tail = plain(arguments.error_factor, Operand::default(), Operand::default());
                multiply(device, &shape, dgates.from(4 * t * state), pass.w_hidden, &tail, from_next)?;
            }
        }
    }
    Ok(())
}

/// A segment computed again from the gates that were kept: these after their functions (by time), and cell states (by step).
struct Room {
    gates: (DeviceMemory, Operand),
    cells: (DeviceMemory, Operand),
}

impl Room {
    /// The cell state before a step of the segment.
    fn cell_before(&self, place: usize, state: usize, before: Operand) -> Operand {
        place.checked_sub(1).map_or(before, |earlier| self.cells.1.from(earlier * state))
    }
}

impl Pass<'_> {
    fn again(&self, segment: &Segment, kept: Operand, before: Operand, room: &Room) -> Result<()> {
        let (state, gates) = (self.state(), room.gates.1);
        let kernel = self.kernel("again")?;
        for i in segment.steps.clone() {
            let (t, place) = (self.time(i), i - segment.steps.start);
            let gates = gates.from(4 * (t - segment.times.start) * state);
            let c_before = room.cell_before(place, state, before);
            let c = room.cells.1.from(place * state);
            self.launch(&kernel, &[&self.step(t), &kept, &gates, &c_before, &c])?;
        }
        Ok(())
    }
}

/// As [`fp8_kernels::Backend::lstm_backward_weight`].
pub(crate) fn backward_weight(
    device: &Arc<Device>,
    lstm: &Lstm,
    h: &Buffer,
    dgates: &Buffer,
    epilogue: &Epilogue<'_>,
    dw: &mut Buffer,
) -> Result<()> {
    let op = device.op("lstm_backward_weight");
    op.require(epilogue.bias.is_none() && epilogue.activation == Activation::None, || {
        "a weight gradient takes neither bias nor activation".into()
    })?;
    let [_, h_len, _] = op.lstm(lstm)?;
    let (h, dgates) = (op.float("h", h, h_len)?, op.float("dgates", dgates, 4 * h_len)?);
    let dw_len = op.len(&[4, lstm.hidden, lstm.hidden])?;
    let tail = Tail::new(op, epilogue, dw_len, lstm.hidden)?;
    let dw = op.output("dw", dw, &epilogue.store, dw_len)?;
    let (state, rest) = (lstm.batch * lstm.hidden, lstm.steps.saturating_sub(1));
    let [later, earlier] = if lstm.reverse { [0, 1] } else { [1, 0] }.map(|first| first.min(lstm.steps));
    let shape = Gemm { m: 4 * lstm.hidden, n: lstm.hidden, k: rest * lstm.batch, layout: Layout::TN };
    multiply(device, &shape, dgates.from(4 * later * state), h.from(earlier * state), &tail, dw)
}
