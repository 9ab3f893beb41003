//! Long short-term memory (Hochreiter and Schmidhuber 1997), one direction of one layer, time-major.
//!
//! With the gates (i, f, g, o) = x_t W_input^T + b + h_{t-1} W_hidden^T, each product summed as in docs/numerics.md, section 5:
//!
//! ```text
//! c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g)        FP32, not stored but at the end of each segment
//! h_t = store( sigmoid(o) tanh(c_t) )
//! ```
//!
//! The products with x are computed for a segment of [`Lstm::SEGMENT`] steps at once. For the backward pass the gates before their functions are
//! kept, in the type of the buffer that is given for them, and those cell states: others are computed again from the gates as kept. Past the
//! end of a sequence gates, h and c are zero.

use std::ops::Range;

use crate::arithmetic::add;
use crate::blocks::floats;
use crate::gemm::{FactorRoom, FixedB, Second, gemm};
use crate::isa::Isa;
use crate::math::{canonical, sigmoid, tanh};
use crate::reduce::store_floats;
use crate::{Activation, DType, EpilogueView, Gemm, Layout, Lstm, Store, View, ViewMut, codec, per_isa, tasks};

/// What [`forward`] reads.
#[derive(Clone, Copy)]
pub struct Operands<'a> {
    /// (steps, batch, input).
    pub x: View<'a>,
    /// (4 hidden, input).
    pub w_input: View<'a>,
    /// (4 hidden, hidden).
    pub w_hidden: View<'a>,
    /// FP32 (4 hidden) each.
    pub biases: [View<'a>; 2],
    /// Factors of the products with `w_input` and `w_hidden`.
    pub factors: [f32; 2],
    /// Steps of each sequence; absent: all.
    pub lengths: Option<&'a [u32]>,
}

/// Inputs of [`backward`].
#[derive(Clone, Copy)]
pub struct Backward<'a> {
    /// (4 hidden, hidden).
    pub w_hidden: View<'a>,
    /// Steps of each sequence; absent: all.
    pub lengths: Option<&'a [u32]>,
    /// (steps, batch, 4 hidden), as [`forward`] left them.
    pub gates: View<'a>,
    /// FP32 (segments, batch, hidden).
    pub cells: View<'a>,
    /// Error of h.
    pub dy: View<'a>,
    /// Factor of the products of gate errors with `w_hidden`.
    pub error_factor: f32,
    /// How the errors of the gates are stored.
    pub store: Store,
}

/// What [`forward`] writes.
pub struct Outputs<'a> {
    /// (steps, batch, hidden).
    pub h: ViewMut<'a>,
    /// FP32 (segments, batch, hidden).
    pub cells: ViewMut<'a>,
    /// (steps, batch, 4 hidden), to nearest-even, where they are kept.
    pub gates: Option<ViewMut<'a>>,
}

/// h (steps, batch, hidden), the cell states after each segment, and the gates, from the state (h, c) before the first step.
pub fn forward(
    isa: Isa,
    lstm: &Lstm,
    operands: &Operands<'_>,
    initial: Option<[View<'_>; 2]>,
    store: &Store,
    outputs: Outputs<'_>,
) {
    let Outputs { h, cells, gates: mut kept } = outputs;
    let mut rooms = [FactorRoom::take(), FactorRoom::take()];
    let order = Order { isa, lstm, lengths: operands.lengths };
    let products = Products::new(&order, operands, h.dtype, &mut rooms);
    let (state, size) = (lstm.batch * lstm.hidden, h.dtype.size());
    let mut c = initial.map_or_else(|| vec![0.0; state], |[_, c]| floats(isa, c));
    let (mut from_x, mut gates) = (Vec::new(), vec![0.0; 4 * state]);
    for (segment, cells) in order.segments().zip(cells.bytes.chunks_mut((4 * state).max(1))) {
        products.of_inputs(&segment, &mut from_x);
        for i in segment.steps() {
            let t = order.time(i);
            let from_x = segment.part(t, 4 * state, &from_x);
            let before = match i {
                0 => initial.map(|[h, _]| h),
                _ => Some(View { dtype: h.dtype, bytes: &h.bytes[order.time(i - 1) * state * size..][..state * size] }),
            };
            match before {
                Some(before) => products.of_states(before, from_x, &mut gates),
                None => gates.copy_from_slice(from_x),
            }
            let out = &mut h.bytes[t * state * size..][..state * size];
            order.step(store, t, &mut gates, &mut c, out, kept.as_mut());
        }
        store_floats(&c, ViewMut { dtype: DType::F32, bytes: cells });
    }
}

/// dgates (steps, batch, 4 hidden), the errors of the gates before their functions, from those of h: with dc of the next step,
///
/// ```text
/// dh = dy_t + dgates_{t+1} W_hidden,   d = dc + dh o (1 - tanh(c)^2)
/// dgates = store( d g i (1 - i),  d c_{t-1} f (1 - f),  d i (1 - g^2),  dh tanh(c) o (1 - o) ),   dc = d f
/// ```
///
/// with i, f, g, o after their functions and dgates_{t+1} as stored.
pub fn backward(isa: Isa, lstm: &Lstm, arguments: &Backward<'_>, dgates: ViewMut<'_>) {
    let mut room = FactorRoom::take();
    let order = Order { isa, lstm, lengths: arguments.lengths };
    let (state, size, hidden) = (lstm.batch * lstm.hidden, dgates.dtype.size(), lstm.hidden);
    let from_gates = Second { view: arguments.w_hidden, n: hidden, k: 4 * hidden, along_k: false };
    let from_gates = FixedB::new(isa, dgates.dtype, from_gates, &mut room);
    let mut dc = vec![0.0; state];
    let mut from_next = vec![0.0; state];
    let mut again = Again::default();
    let segments: Vec<Segment> = order.segments().collect();
    for (number, segment) in segments.iter().enumerate().rev() {
        let before = number.checked_sub(1).map(|earlier| arguments.cells.part(earlier * state, state));
        again.compute(&order, segment, arguments.gates, before);
        let times = segment.times.len();
        for i in segment.steps().rev() {
            let t = order.time(i);
            let rows = order.rows_at_once();
            let dy = arguments.dy.part(t * state, state);
            let out = &mut dgates.bytes[4 * t * state * size..][..4 * state * size];
            let lines = out
                .chunks_mut((4 * rows * hidden * size).max(1))
                .zip(again.gates.chunks_mut((4 * rows * times * hidden).max(1)))
                .zip(again.cells.chunks((rows * (times + 1) * hidden).max(1)))
                .zip(dc.chunks_mut((rows * hidden).max(1)));
            tasks::each_of(lines, |chunk, (((out, gates), cells), dc)| {
                let mut dh = vec![0.0; hidden];
                let lines = out.chunks_mut(4 * hidden * size).zip(gates.chunks_mut(4 * times * hidden));
                let lines = lines.zip(cells.chunks((times + 1) * hidden)).zip(dc.chunks_mut(hidden));
                for (row, (((out, gates), cells), dc)) in (chunk * rows..).zip(lines) {
                    let gates = segment.part_mut(t, 4 * hidden, gates);
                    if order.ended(row, t) {
                        gates.fill(0.0);
                        dc.fill(0.0);
                    } else {
                        order.line(dy, row, hidden, &mut dh);
                        add(isa, &mut dh, &from_next[row * hidden..][..hidden]);
                        let [c_before, c] =
                            [0, 1].map(|later| &cells[(i - segment.first + later) * hidden..][..hidden]);
                        gate_errors(isa, gates, c_before, c, &dh, dc);
                    }
                    codec::encode(isa, &arguments.store, 4 * (t * state + row * hidden) as u64, gates, out);
                }
            });
            if i > 0 {
                let stored =
                    View { dtype: dgates.dtype, bytes: &dgates.bytes[4 * t * state * size..][..4 * state * size] };
                let epilogue = plain(arguments.error_factor, None, None);
                from_gates.product(lstm.batch, stored, &epilogue, ViewMut::of_floats(&mut from_next));
            }
        }
    }
}

/// dw (4 hidden, hidden) = epilogue( sum over steps of dgates_t^T h_{t-1} ): the gradient of `w_hidden`.
pub fn backward_weight(
    isa: Isa,
    lstm: &Lstm,
    h: View<'_>,
    dgates: View<'_>,
    epilogue: &EpilogueView<'_>,
    dw: ViewMut<'_>,
) {
    let (state, rest) = (lstm.batch * lstm.hidden, lstm.steps.saturating_sub(1));
    let [later, earlier] = if lstm.reverse { [0, 1] } else { [1, 0] }.map(|first| first.min(lstm.steps));
    let shape = Gemm { m: 4 * lstm.hidden, n: lstm.hidden, k: rest * lstm.batch, layout: Layout::TN };
    let dgates = dgates.part(4 * later * state, 4 * rest * state);
    gemm(isa, &shape, dgates, h.part(earlier * state, rest * state), epilogue, dw);
}

fn plain<'a>(alpha: f32, bias: Option<View<'a>>, residual: Option<View<'a>>) -> EpilogueView<'a> {
    EpilogueView { alpha, bias, residual, activation: Activation::None, store: Store::F32 }
}

/// In which order steps are computed, and until when.
struct Order<'a> {
    isa: Isa,
    lstm: &'a Lstm,
    lengths: Option<&'a [u32]>,
}

/// Steps that are computed together, in the order in which they are.
struct Segment {
    first: usize,
    end: usize,
    /// When they are.
    times: Range<usize>,
}

impl Segment {
    fn steps(&self) -> Range<usize> {
        self.first..self.end
    }

    /// What belongs to time `t` of something with `len` elements a step.
    fn part<'a, T>(&self, t: usize, len: usize, all: &'a [T]) -> &'a [T] {
        &all[(t - self.times.start) * len..][..len]
    }

    fn part_mut<'a, T>(&self, t: usize, len: usize, all: &'a mut [T]) -> &'a mut [T] {
        &mut all[(t - self.times.start) * len..][..len]
    }
}

impl Order<'_> {
    /// The time of step `i`.
    fn time(&self, i: usize) -> usize {
        if self.lstm.reverse { self.lstm.steps - 1 - i } else { i }
    }

    fn segments(&self) -> impl Iterator<Item = Segment> {
        let Lstm { steps, reverse, .. } = *self.lstm;
        (0..steps).step_by(Lstm::SEGMENT).map(move |first| {
            let end = steps.min(first + Lstm::SEGMENT);
            Segment { first, end, times: if reverse { steps - end..steps - first } else { first..end } }
        })
    }

    /// Whether sequence `row` has ended before time `t`.
    fn ended(&self, row: usize, t: usize) -> bool {
        self.lengths.is_some_and(|lengths| t >= lengths[row] as usize)
    }

    /// Rows that one thread takes at a time.
    fn rows_at_once(&self) -> usize {
        (8192 / (4 * self.lstm.hidden).max(1)).max(1)
    }

    fn line(&self, view: View<'_>, row: usize, len: usize, out: &mut [f32]) {
        codec::decode(self.isa, view.dtype, view.part(row * len, len).bytes, out);
    }

    /// The state after time `t` from the gates before their functions (batch, 4 hidden): c in its place, h to `out`. The gates are kept, and
    /// overwritten.
    fn step(
        &self,
        store: &Store,
        t: usize,
        gates: &mut [f32],
        c: &mut [f32],
        out: &mut [u8],
        kept: Option<&mut ViewMut<'_>>,
    ) {
        let (isa, hidden, rows) = (self.isa, self.lstm.hidden, self.rows_at_once());
        let (state, size) = (self.lstm.batch * hidden, store.dtype.size());
        let mut keeps = self.keeps(t, kept);
        let chunks = gates.chunks_mut((4 * rows * hidden).max(1)).zip(c.chunks_mut((rows * hidden).max(1)));
        let chunks = chunks.zip(out.chunks_mut((rows * hidden * size).max(1))).zip(keeps.iter_mut());
        tasks::each_of(chunks, |chunk, (((gates, c), out), keep)| {
            let mut result = vec![0.0; hidden];
            let lines = gates.chunks_mut(4 * hidden).zip(c.chunks_mut(hidden)).zip(out.chunks_mut(hidden * size));
            for (line, ((gates, c), out)) in lines.enumerate() {
                let row = chunk * rows + line;
                if self.ended(row, t) {
                    gates.fill(0.0);
                    keep.line(isa, line, gates);
                    c.fill(0.0);
                    result.fill(0.0);
                } else {
                    keep.line(isa, line, gates);
                    activate(isa, gates, c);
                    output(isa, &gates[3 * hidden..], c, &mut result);
                }
                codec::encode(isa, store, (t * state + row * hidden) as u64, &result, out);
            }
        });
    }

    /// Where the gates of time `t` are kept, for the rows of each chunk.
    fn keeps<'k>(&self, t: usize, kept: Option<&'k mut ViewMut<'_>>) -> Vec<Keep<'k>> {
        let (rows, chunks) = (self.rows_at_once(), self.lstm.batch.div_ceil(self.rows_at_once()));
        let Some(kept) = kept else { return (0..chunks).map(|_| Keep(None)).collect() };
        let (dtype, line) = (kept.dtype, 4 * self.lstm.hidden * kept.dtype.size());
        let lines = &mut kept.bytes[t * self.lstm.batch * line..][..self.lstm.batch * line];
        lines.chunks_mut((rows * line).max(1)).map(|bytes| Keep(Some(ViewMut { dtype, bytes }))).collect()
    }
}

/// Where the gates of some rows are kept, if they are.
struct Keep<'a>(Option<ViewMut<'a>>);

impl Keep<'_> {
    fn line(&mut self, isa: Isa, line: usize, gates: &[f32]) {
        if let Some(ViewMut { dtype, bytes }) = &mut self.0 {
            let len = gates.len() * dtype.size();
            codec::encode(isa, &Store::nearest(*dtype), 0, gates, &mut bytes[line * len..][..len]);
        }
    }
}

/// The products of a forward pass.
struct Products<'a> {
    lstm: &'a Lstm,
    operands: &'a Operands<'a>,
    /// (4 hidden).
    bias: Vec<f32>,
    /// The transpose of `w_hidden`, which every step multiplies by.
    from_hidden: FixedB<'a>,
    /// That of `w_input`.
    from_input: FixedB<'a>,
}

impl<'a> Products<'a> {
    /// For states of type `h`; packs both factors into `rooms`.
    fn new(order: &Order<'a>, operands: &'a Operands<'a>, h: DType, rooms: &'a mut [FactorRoom; 2]) -> Self {
        let &Order { isa, lstm, .. } = order;
        let [room_hidden, room_input] = rooms;
        let from_hidden = Second { view: operands.w_hidden, n: 4 * lstm.hidden, k: lstm.hidden, along_k: true };
        let from_input = Second { view: operands.w_input, k: lstm.input, ..from_hidden };
        let [mut bias, other] = operands.biases.map(|bias| floats(isa, bias));
        add(isa, &mut bias, &other);
        let from_hidden = FixedB::new(isa, h, from_hidden, room_hidden);
        let from_input = FixedB::new(isa, operands.x.dtype, from_input, room_input);
        Self { lstm, operands, bias, from_hidden, from_input }
    }

    /// out (times, batch, 4 hidden) = x W_input^T + b.
    fn of_inputs(&self, segment: &Segment, out: &mut Vec<f32>) {
        let Lstm { batch, input, hidden, .. } = *self.lstm;
        let steps = segment.times.len();
        out.resize(steps * batch * 4 * hidden, 0.0);
        let x = self.operands.x.part(segment.times.start * batch * input, steps * batch * input);
        let epilogue = plain(self.operands.factors[0], Some(View::of_floats(&self.bias)), None);
        self.from_input.product(steps * batch, x, &epilogue, ViewMut::of_floats(out));
    }

    /// out (batch, 4 hidden) = h W_hidden^T + addend.
    fn of_states(&self, h: View<'_>, addend: &[f32], out: &mut [f32]) {
        let epilogue = plain(self.operands.factors[1], None, Some(View::of_floats(addend)));
        self.from_hidden.product(self.lstm.batch, h, &epilogue, ViewMut::of_floats(out));
    }
}

/// A segment computed again from its gates, row by row: these after their functions (batch, times, 4 hidden), and cell states from before the
/// first step on (batch, steps + 1, hidden).
#[derive(Default)]
struct Again {
    gates: Vec<f32>,
    cells: Vec<f32>,
}

impl Again {
    /// From the gates of all steps before their functions, and the cell state before the segment; absent: zeros.
    fn compute(&mut self, order: &Order<'_>, segment: &Segment, kept: View<'_>, before: Option<View<'_>>) {
        let (Lstm { batch, hidden, .. }, rows, times) = (*order.lstm, order.rows_at_once(), segment.times.len());
        self.gates.resize(4 * times * batch * hidden, 0.0);
        self.cells.resize((times + 1) * batch * hidden, 0.0);
        let chunks = self.gates.chunks_mut((4 * rows * times * hidden).max(1));
        let chunks = chunks.zip(self.cells.chunks_mut((rows * (times + 1) * hidden).max(1)));
        tasks::each_of(chunks, |chunk, (gates, cells)| {
            let lines = gates.chunks_mut(4 * times * hidden).zip(cells.chunks_mut((times + 1) * hidden));
            for (row, (gates, cells)) in (chunk * rows..).zip(lines) {
                match before {
                    Some(before) => order.line(before, row, hidden, &mut cells[..hidden]),
                    None => cells[..hidden].fill(0.0),
                }
                for i in segment.steps() {
                    let t = order.time(i);
                    let (before, c) = cells[(i - segment.first) * hidden..][..2 * hidden].split_at_mut(hidden);
                    if order.ended(row, t) {
                        c.fill(0.0);
                    } else {
                        let gates = segment.part_mut(t, 4 * hidden, gates);
                        c.copy_from_slice(before);
                        order.line(kept, t * batch + row, 4 * hidden, gates);
                        activate(order.isa, gates, c);
                    }
                }
            }
        });
    }
}

per_isa! {
    /// gates = their functions; c = the next cell state.
    fn activate(gates: &mut [f32], c: &mut [f32]) {
        let hidden = c.len();
        let (i, rest) = gates.split_at_mut(hidden);
        let (f, rest) = rest.split_at_mut(hidden);
        let (g, o) = rest.split_at_mut(hidden);
        for ((((i, f), g), o), c) in i.iter_mut().zip(f).zip(g).zip(o).zip(c) {
            (*i, *f, *g, *o) = (sigmoid(*i), sigmoid(*f), tanh(*g), sigmoid(*o));
            *c = canonical(*f * *c + *i * *g);
        }
    }

    fn output(o: &[f32], c: &[f32], h: &mut [f32]) {
        for ((o, c), h) in o.iter().zip(c).zip(h) {
            *h = canonical(o * tanh(*c));
        }
    }

    /// gates = their errors; dc = that of the cell state before.
    fn gate_errors(gates: &mut [f32], before: &[f32], c: &[f32], dh: &[f32], dc: &mut [f32]) {
        let hidden = c.len();
        let (i, rest) = gates.split_at_mut(hidden);
        let (f, rest) = rest.split_at_mut(hidden);
        let (g, o) = rest.split_at_mut(hidden);
        let cells = before.iter().zip(c).zip(dh).zip(dc);
        for ((((i, f), g), o), (((before, c), dh), dc)) in i.iter_mut().zip(f).zip(g).zip(o).zip(cells) {
            let t = tanh(*c);
            let d = *dc + dh * *o * (1.0 - t * t);
            let errors = [
                d * *g * (*i * (1.0 - *i)),
                d * before * (*f * (1.0 - *f)),
                d * *i * (1.0 - *g * *g),
                dh * t * (*o * (1.0 - *o)),
                d * *f,
            ];
            [*i, *f, *g, *o, *dc] = errors.map(canonical);
        }
    }
}

#[cfg(test)]
mod tests;
