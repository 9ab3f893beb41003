//! The LSTM by its formulas, every sequence on its own.

use fp8_kernels::{Buffer, Epilogue, Lstm, LstmBackward, LstmForward, LstmOperands, Result, Store};

use super::{finish, read, write};

/// One step of one sequence.
#[derive(Clone, Default)]
struct Cell {
    /// Input, forget, cell and output gate, after their functions.
    gates: [Vec<f64>; 4],
    /// The cell state before and after.
    c: [Vec<f64>; 2],
}

fn order(lstm: &Lstm) -> Vec<usize> {
    if lstm.reverse { (0..lstm.steps).rev().collect() } else { (0..lstm.steps).collect() }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn ended(operands: &LstmOperands<'_>, row: usize, t: usize) -> bool {
    operands.lengths.is_some_and(|lengths| t as f64 >= read(lengths)[row])
}

/// A cell by time and row, given the state before it.
fn cell(lstm: &Lstm, operands: &LstmOperands<'_>, t: usize, row: usize, h: &[f64], c: &[f64]) -> Cell {
    let (x, w_input, w_hidden) = (read(operands.x), read(operands.w_input), read(operands.w_hidden));
    let [b, other] = operands.biases.map(read);
    let x = &x[(t * lstm.batch + row) * lstm.input..][..lstm.input];
    let dot =
        |w: &[f64], gate: usize, x: &[f64]| -> f64 { w[gate * x.len()..].iter().zip(x).map(|(w, x)| w * x).sum() };
    let [from_x, from_h] = operands.factors.map(f64::from);
    let gate = |gate: usize| -> Vec<f64> {
        let sum = |j: usize| {
            let at = gate * lstm.hidden + j;
            from_x * dot(&w_input, at, x) + from_h * dot(&w_hidden, at, h) + b[at] + other[at]
        };
        (0..lstm.hidden).map(|j| if gate == 2 { sum(j).tanh() } else { sigmoid(sum(j)) }).collect()
    };
    let gates = [0, 1, 2, 3].map(gate);
    let next = match ended(operands, row, t) {
        true => vec![0.0; lstm.hidden],
        false => (0..lstm.hidden).map(|j| gates[1][j] * c[j] + gates[0][j] * gates[2][j]).collect(),
    };
    Cell { gates, c: [c.to_vec(), next] }
}

pub fn forward(lstm: &Lstm, arguments: &LstmForward<'_>, h: &mut Buffer, cells: &mut Buffer) -> Result<()> {
    let (hidden, state) = (lstm.hidden, lstm.batch * lstm.hidden);
    let zeros = || vec![0.0; state];
    let mut before = arguments.initial.map_or_else(zeros, |initial| read(initial.h));
    let mut c = arguments.initial.map_or_else(zeros, |initial| read(initial.c));
    let (mut all, mut kept) = (vec![0.0; lstm.steps * state], Vec::new());
    for (i, t) in order(lstm).into_iter().enumerate() {
        for row in 0..lstm.batch {
            let line = row * hidden..(row + 1) * hidden;
            let cell = cell(lstm, &arguments.operands, t, row, &before[line.clone()], &c[line.clone()]);
            for j in 0..hidden {
                let result =
                    if ended(&arguments.operands, row, t) { 0.0 } else { cell.gates[3][j] * cell.c[1][j].tanh() };
                all[t * state + row * hidden + j] = result;
            }
            c[line].copy_from_slice(&cell.c[1]);
        }
        // As stored, element by element in its place.
        write(&arguments.store, all.iter().copied(), h)?;
        before = read(h)[t * state..][..state].to_vec();
        if (i + 1) % Lstm::SEGMENT == 0 || i + 1 == lstm.steps {
            kept.extend(&c);
        }
    }
    write(&Store::F32, kept, cells)
}

pub fn backward(lstm: &Lstm, arguments: &LstmBackward<'_>, dgates: &mut Buffer) -> Result<()> {
    let (hidden, state) = (lstm.hidden, lstm.batch * lstm.hidden);
    let (h, dy, w_hidden) = (read(arguments.h), read(arguments.dy), read(arguments.operands.w_hidden));
    let mut cells = vec![Cell::default(); lstm.steps * lstm.batch];
    let mut errors = vec![0.0; 4 * lstm.steps * state];
    for row in 0..lstm.batch {
        let (mut before, mut c) = (vec![0.0; hidden], vec![0.0; hidden]);
        for t in order(lstm) {
            let cell = cell(lstm, &arguments.operands, t, row, &before, &c);
            (before, c) = (h[t * state + row * hidden..][..hidden].to_vec(), cell.c[1].clone());
            cells[t * lstm.batch + row] = cell;
        }
    }
    let (mut dc, mut next) = (vec![0.0; state], vec![0.0; state]);
    for t in order(lstm).into_iter().rev() {
        for (row, j) in (0..lstm.batch).flat_map(|row| (0..hidden).map(move |j| (row, j))) {
            let (at, cell) = (row * hidden + j, &cells[t * lstm.batch + row]);
            if ended(&arguments.operands, row, t) {
                dc[at] = 0.0;
                continue;
            }
            let [i, f, g, o] = [0, 1, 2, 3].map(|gate| cell.gates[gate][j]);
            let (dh, squashed) = (dy[t * state + at] + next[at], cell.c[1][j].tanh());
            let d = dc[at] + dh * o * (1.0 - squashed * squashed);
            let line = &mut errors[4 * (t * state + row * hidden)..];
            line[j] = d * g * i * (1.0 - i);
            line[hidden + j] = d * cell.c[0][j] * f * (1.0 - f);
            line[2 * hidden + j] = d * i * (1.0 - g * g);
            line[3 * hidden + j] = dh * squashed * o * (1.0 - o);
            dc[at] = d * f;
        }
        write(&arguments.store, errors.iter().copied(), dgates)?;
        let stored = read(dgates);
        for (row, j) in (0..lstm.batch).flat_map(|row| (0..hidden).map(move |j| (row, j))) {
            let line = &stored[4 * (t * state + row * hidden)..][..4 * hidden];
            let sum: f64 = line.iter().enumerate().map(|(gate, error)| error * w_hidden[gate * hidden + j]).sum();
            next[row * hidden + j] = f64::from(arguments.error_factor) * sum;
        }
    }
    Ok(())
}

pub fn backward_weight(
    lstm: &Lstm,
    h: &Buffer,
    dgates: &Buffer,
    epilogue: &Epilogue<'_>,
    dw: &mut Buffer,
) -> Result<()> {
    let (hidden, batch) = (lstm.hidden, lstm.batch);
    let (h, errors) = (read(h), read(dgates));
    let mut sums = vec![0.0; 4 * hidden * hidden];
    for (earlier, later) in order(lstm).iter().zip(order(lstm).iter().skip(1)) {
        for row in 0..batch {
            for (gate, j) in (0..4 * hidden).flat_map(|gate| (0..hidden).map(move |j| (gate, j))) {
                let error = errors[(later * batch + row) * 4 * hidden + gate];
                sums[gate * hidden + j] += error * h[(earlier * batch + row) * hidden + j];
            }
        }
    }
    finish(sums, hidden, epilogue, dw)
}
