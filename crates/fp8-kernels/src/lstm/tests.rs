use super::*;
use crate::gemm::scalar;
use crate::testing::{Codes, encoded, numbers, on_every_path, values};

const SHAPES: [Lstm; 4] = [
    Lstm { steps: 19, batch: 3, input: 5, hidden: 7, reverse: false },
    Lstm { steps: 19, batch: 3, input: 5, hidden: 7, reverse: true },
    Lstm { steps: 8, batch: 2, input: 3, hidden: 40, reverse: true },
    Lstm { steps: 1, batch: 9, input: 6, hidden: 300, reverse: false },
];
const FACTORS: [f32; 2] = [0.7, 0.5];
const ERROR_FACTOR: f32 = 0.25;

struct Case {
    lstm: Lstm,
    x: Codes,
    w_input: Codes,
    w_hidden: Codes,
    biases: [Codes; 2],
    lengths: Option<Vec<u32>>,
    initial: [Codes; 2],
    dy: Codes,
}

fn stores() -> [Store; 2] {
    let random = fp8_core::Stream { seed: 5, step: 6, id: 7 };
    [Store::F32, Store { rounding: fp8_core::Rounding::STOCHASTIC, random, ..Store::nearest(DType::E5M2) }]
}

impl Case {
    fn new(lstm: Lstm, dtype: DType, ends: bool) -> Self {
        let Lstm { steps, batch, input, hidden, .. } = lstm;
        let codes = |seed, len| Codes::new(dtype, &numbers(seed, len));
        let floats = |seed, len| Codes::new(DType::F32, &numbers(seed, len));
        Self {
            lstm,
            x: codes(1, steps * batch * input),
            w_input: codes(2, 4 * hidden * input),
            w_hidden: codes(3, 4 * hidden * hidden),
            biases: [floats(4, 4 * hidden), floats(5, 4 * hidden)],
            lengths: ends.then(|| (0..batch as u32).map(|row| (7 * row + 2).min(steps as u32)).collect()),
            initial: [codes(6, batch * hidden), floats(7, batch * hidden)],
            dy: codes(8, steps * batch * hidden),
        }
    }

    fn operands(&self) -> Operands<'_> {
        Operands {
            x: self.x.view(),
            w_input: self.w_input.view(),
            w_hidden: self.w_hidden.view(),
            biases: self.biases.each_ref().map(Codes::view),
            factors: FACTORS,
            lengths: self.lengths.as_deref(),
        }
    }

    fn order(&self) -> Vec<usize> {
        let times = 0..self.lstm.steps;
        if self.lstm.reverse { times.rev().collect() } else { times.collect() }
    }

    fn ended(&self, row: usize, t: usize) -> bool {
        self.lengths.as_ref().is_some_and(|lengths| t >= lengths[row] as usize)
    }
}

/// What a plain pass over all steps keeps, by time.
struct Plain {
    /// Codes.
    h: Vec<u8>,
    /// Before their functions.
    gates: Vec<Vec<f32>>,
    /// Before and after each step.
    cells: Vec<[Vec<f32>; 2]>,
    last: Vec<f32>,
}

fn product(m: usize, n: usize, k: usize, layout: Layout, a: &[f32], b: &[f32]) -> Vec<f32> {
    scalar::gemm(&Gemm { m, n, k, layout }, a, b)
}

/// One step after the other, each row in plain loops.
fn plain_forward(case: &Case, with_initial: bool, store: &Store) -> Plain {
    let Lstm { steps, batch, input, hidden, .. } = case.lstm;
    let (state, size) = (batch * hidden, store.dtype.size());
    let (x, w_input, w_hidden) = (case.x.values(), case.w_input.values(), case.w_hidden.values());
    let [b, other] = case.biases.each_ref().map(Codes::values);
    let from_x = product(steps * batch, 4 * hidden, input, Layout::NT, &x, &w_input);
    let mut h = vec![0; steps * state * size];
    let (mut gates, mut cells) = (vec![Vec::new(); steps], vec![[Vec::new(), Vec::new()]; steps]);
    let mut before = with_initial.then(|| case.initial[0].values());
    let mut c = if with_initial { case.initial[1].values() } else { vec![0.0; state] };
    for t in case.order() {
        let recurrent = before.as_ref().map(|h| product(batch, 4 * hidden, hidden, Layout::NT, h, &w_hidden));
        let (mut next, mut all, mut wide) = (c.clone(), vec![0.0; 4 * state], Vec::new());
        for row in 0..batch {
            let gate = |gate: usize, j: usize| {
                let column = gate * hidden + j;
                let at = row * 4 * hidden + column;
                let sum = FACTORS[0] * from_x[t * batch * 4 * hidden + at] + (b[column] + other[column]);
                recurrent.as_ref().map_or(sum, |recurrent| FACTORS[1] * recurrent[at] + sum)
            };
            for j in 0..hidden {
                let at = row * hidden + j;
                if !case.ended(row, t) {
                    (0..4).for_each(|n| all[4 * row * hidden + n * hidden + j] = gate(n, j));
                }
                let [i, f, g, o] = functions([0, 1, 2, 3].map(|n| gate(n, j)));
                next[at] = if case.ended(row, t) { 0.0 } else { f * c[at] + i * g };
                wide.push(if case.ended(row, t) { 0.0 } else { o * tanh(next[at]) });
            }
        }
        // Element by element, as the random bits are those of the place in the whole tensor.
        let mut padded = vec![0.0; t * state];
        padded.extend(&wide);
        let codes = encoded(store, &padded)[t * state * size..].to_vec();
        h[t * state * size..][..state * size].copy_from_slice(&codes);
        before = Some(values(store.dtype, &codes));
        gates[t] = all;
        cells[t] = [c, next.clone()];
        c = next;
    }
    Plain { h, gates, cells, last: c }
}

fn functions([i, f, g, o]: [f32; 4]) -> [f32; 4] {
    [sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)]
}

/// From gates as they were kept, and cell states that follow from these and the last one of each segment.
fn plain_backward(case: &Case, kept: &Plain, gates: &[f32], store: &Store) -> Vec<u8> {
    let Lstm { steps, batch, hidden, .. } = case.lstm;
    let (state, size) = (batch * hidden, store.dtype.size());
    let (dy, w_hidden) = (case.dy.values(), case.w_hidden.values());
    let mut dgates = vec![0; 4 * steps * state * size];
    let (mut dc, mut next) = (vec![0.0; state], vec![0.0; state]);
    let after = |t: usize, at: usize| {
        let (row, j) = (at / hidden, at % hidden);
        functions([0, 1, 2, 3].map(|n| gates[4 * (t * state + row * hidden) + n * hidden + j]))
    };
    let mut cells = kept.cells.clone();
    for (i, t) in case.order().into_iter().enumerate() {
        if i % Lstm::SEGMENT > 0 {
            cells[t][0] = cells[case.order()[i - 1]][1].clone();
        }
        cells[t][1] = (0..state)
            .map(|at| {
                let [i, f, g, _] = after(t, at);
                if case.ended(at / hidden, t) { 0.0 } else { f * cells[t][0][at] + i * g }
            })
            .collect();
    }
    for t in case.order().into_iter().rev() {
        let mut errors = vec![0.0; 4 * state];
        for (row, j) in (0..batch).flat_map(|row| (0..hidden).map(move |j| (row, j))) {
            let at = row * hidden + j;
            if case.ended(row, t) {
                dc[at] = 0.0;
                continue;
            }
            let [i, f, g, o] = after(t, at);
            let (dh, squashed) = (dy[t * state + at] + next[at], tanh(cells[t][1][at]));
            let d = dc[at] + dh * o * (1.0 - squashed * squashed);
            let line = &mut errors[4 * row * hidden..][..4 * hidden];
            line[j] = d * g * (i * (1.0 - i));
            line[hidden + j] = d * cells[t][0][at] * (f * (1.0 - f));
            line[2 * hidden + j] = d * i * (1.0 - g * g);
            line[3 * hidden + j] = dh * squashed * (o * (1.0 - o));
            dc[at] = d * f;
        }
        let mut padded = vec![0.0; 4 * t * state];
        padded.extend(&errors);
        let codes = encoded(store, &padded)[4 * t * state * size..].to_vec();
        dgates[4 * t * state * size..][..4 * state * size].copy_from_slice(&codes);
        let stored = values(store.dtype, &codes);
        next = product(batch, hidden, 4 * hidden, Layout::NN, &stored, &w_hidden);
        next.iter_mut().for_each(|x| *x *= ERROR_FACTOR);
    }
    dgates
}

#[test]
fn both_passes_equal_plain_loops() {
    for (shape, dtype, ends, with_initial) in SHAPES.into_iter().flat_map(|shape| {
        [(shape, DType::E5M2, false, false), (shape, DType::F16, true, false), (shape, DType::E4M3, false, true)]
    }) {
        let case = Case::new(shape, dtype, ends);
        let (state, segments) = (shape.batch * shape.hidden, shape.segments());
        for store in stores() {
            let expected = plain_forward(&case, with_initial, &store);
            let initial = with_initial.then(|| case.initial.each_ref().map(Codes::view));
            // Gates are kept as they are, in 16 bits, or not at all.
            let kept = Store::nearest(if ends { DType::F16 } else { DType::F32 });
            let gates = if with_initial { Vec::new() } else { encoded(&kept, &expected.gates.concat()) };
            let found = on_every_path(|isa| {
                let mut h = vec![0xaa; expected.h.len()];
                let mut cells = vec![0xaa; 4 * segments * state];
                let mut found = vec![0xaa; gates.len()];
                let outputs = Outputs {
                    h: ViewMut { dtype: store.dtype, bytes: &mut h },
                    cells: ViewMut { dtype: DType::F32, bytes: &mut cells },
                    gates: (!with_initial).then_some(ViewMut { dtype: kept.dtype, bytes: &mut found }),
                };
                forward(isa, &shape, &case.operands(), initial, &store, outputs);
                [h, cells, found].concat()
            });
            let (h, rest) = found.split_at(expected.h.len());
            let (cells, found) = rest.split_at(4 * segments * state);
            assert!(h == expected.h, "{shape:?}, {dtype}, ends {ends}, {store:?}");
            assert_eq!(values(DType::F32, &cells[4 * (segments - 1) * state..]), expected.last);
            assert!(found == gates, "gates: {shape:?}, {dtype}, ends {ends}, {store:?}");
            if with_initial {
                continue;
            }
            let dgates = plain_backward(&case, &expected, &values(kept.dtype, &gates), &store);
            let backward_store = store;
            let found = on_every_path(|isa| {
                let arguments = Backward {
                    w_hidden: case.w_hidden.view(),
                    lengths: case.lengths.as_deref(),
                    gates: View { dtype: kept.dtype, bytes: &gates },
                    cells: View { dtype: DType::F32, bytes: cells },
                    dy: case.dy.view(),
                    error_factor: ERROR_FACTOR,
                    store: backward_store,
                };
                let mut found = vec![0xaa; dgates.len()];
                backward(isa, &shape, &arguments, ViewMut { dtype: store.dtype, bytes: &mut found });
                found
            });
            assert!(found == dgates, "backward: {shape:?}, {dtype}, ends {ends}, {store:?}");
        }
    }
}

#[test]
fn weight_gradient_is_the_product_of_neighbouring_steps() {
    for shape in SHAPES {
        let Lstm { steps, batch, hidden, reverse, .. } = shape;
        let h = Codes::new(DType::E5M2, &numbers(1, steps * batch * hidden));
        let dgates = Codes::new(DType::E5M2, &numbers(2, 4 * steps * batch * hidden));
        let (x, y) = (h.values(), dgates.values());
        let terms = (steps - 1) * batch;
        let expected: Vec<f32> = (0..4 * hidden * hidden)
            .map(|at| {
                let (gate, column) = (at / hidden, at % hidden);
                scalar::sum(terms, |l| {
                    let (earlier, later) = if reverse { (l + batch, l) } else { (l, l + batch) };
                    (y[later * 4 * hidden + gate], x[earlier * hidden + column])
                })
            })
            .collect();
        let found = on_every_path(|isa| {
            let mut dw = vec![0xaa; 16 * hidden * hidden];
            let out = ViewMut { dtype: DType::F32, bytes: &mut dw };
            backward_weight(isa, &shape, h.view(), dgates.view(), &plain(1.0, None, None), out);
            dw
        });
        assert_eq!(values(DType::F32, &found), expected);
    }
}
