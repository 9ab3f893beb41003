//! The LSTM by its formulas, every sequence on its own.

use fp8_kernels::{Buffer, Epilogue, Lstm, LstmBackward, LstmForward, LstmOperands, Result, Store};

use super::{finish, read, write};

fn order(lstm: &Lstm) -> Vec<usize> {
    if lstm.reverse { (0..lstm.steps).rev().collect() } else { (0..lstm.steps).collect() }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn ended(lengths: Option<&Buffer>, row: usize, t: usize) -> bool {
    lengths.is_some_and(|lengths| t as f64 >= read(lengths)[row])
}

/// The four gates of one sequence at one time before their functions, given the state before.
fn sums(lstm: &Lstm, operands: &LstmOperands<'_>, t: usize, row: usize, h: &[f64]) -> Vec<f64> {
    let (x, w_input, w_hidden) = (read(operands.x), read(operands.w_input), read(operands.w_hidden));
    let [b, other] = operands.biases.map(read);
    let x = &x[(t * lstm.batch + row) * lstm.input..][..lstm.input];
    let dot =
        |w: &[f64], gate: usize, x: &[f64]| -> f64 { w[gate * x.len()..].iter().zip(x).map(|(w, x)| w * x).sum() };
    let [from_x, from_h] = operands.factors.map(f64::from);
    (0..4 * lstm.hidden)
        .map(|at| from_x * dot(&w_input, at, x) + from_h * dot(&w_hidden, at, h) + b[at] + other[at])
        .collect()
}

/// Of element j: gates after their functions.
fn functions(sums: &[f64], j: usize) -> [f64; 4] {
    let sum = |gate: usize| sums[gate * sums.len() / 4 + j];
    [sigmoid(sum(0)), sigmoid(sum(1)), sum(2).tanh(), sigmoid(sum(3))]
}

/// The cell state of one sequence after a step.
fn next(sums: &[f64], c: &[f64]) -> Vec<f64> {
    let after = |j: usize| {
        let [i, f, g, _] = functions(sums, j);
        f * c[j] + i * g
    };
    (0..c.len()).map(after).collect()
}

pub fn forward(
    lstm: &Lstm,
    arguments: &LstmForward<'_>,
    h: &mut Buffer,
    cells: &mut Buffer,
    gates: Option<&mut Buffer>,
) -> Result<()> {
    let (hidden, state, lengths) = (lstm.hidden, lstm.batch * lstm.hidden, arguments.operands.lengths);
    let zeros = || vec![0.0; state];
    let mut before = arguments.initial.map_or_else(zeros, |initial| read(initial.h));
    let mut c = arguments.initial.map_or_else(zeros, |initial| read(initial.c));
    let (mut all, mut kept, mut all_sums) =
        (vec![0.0; lstm.steps * state], Vec::new(), vec![0.0; 4 * lstm.steps * state]);
    for (i, t) in order(lstm).into_iter().enumerate() {
        for row in 0..lstm.batch {
            let line = row * hidden..(row + 1) * hidden;
            if ended(lengths, row, t) {
                c[line].fill(0.0);
                continue;
            }
            let sums = sums(lstm, &arguments.operands, t, row, &before[line.clone()]);
            let after = next(&sums, &c[line.clone()]);
            for j in 0..hidden {
                all[t * state + row * hidden + j] = functions(&sums, j)[3] * after[j].tanh();
            }
            c[line].copy_from_slice(&after);
            all_sums[4 * (t * state + row * hidden)..][..4 * hidden].copy_from_slice(&sums);
        }
        // As stored, element by element in its place.
        write(&arguments.store, all.iter().copied(), h)?;
        before = read(h)[t * state..][..state].to_vec();
        if (i + 1) % Lstm::SEGMENT == 0 || i + 1 == lstm.steps {
            kept.extend(&c);
        }
    }
    if let Some(gates) = gates {
        write(&Store::nearest(gates.dtype()), all_sums, gates)?;
    }
    write(&Store::F32, kept, cells)
}

pub fn backward(lstm: &Lstm, arguments: &LstmBackward<'_>, dgates: &mut Buffer) -> Result<()> {
    let (hidden, state) = (lstm.hidden, lstm.batch * lstm.hidden);
    let (gates, dy, w_hidden) = (read(arguments.gates), read(arguments.dy), read(arguments.w_hidden));
    let sums = |row: usize, t: usize| &gates[4 * (t * state + row * hidden)..][..4 * hidden];
    // By time, before and after.
    let mut cells = vec![[vec![0.0; state], vec![0.0; state]]; lstm.steps];
    let mut errors = vec![0.0; 4 * lstm.steps * state];
    for row in 0..lstm.batch {
        let line = row * hidden..(row + 1) * hidden;
        let mut c = vec![0.0; hidden];
        for t in order(lstm) {
            cells[t][0][line.clone()].copy_from_slice(&c);
            c = if ended(arguments.lengths, row, t) { vec![0.0; hidden] } else { self::next(sums(row, t), &c) };
            cells[t][1][line.clone()].copy_from_slice(&c);
        }
    }
    let (mut dc, mut next) = (vec![0.0; state], vec![0.0; state]);
    for t in order(lstm).into_iter().rev() {
        for (row, j) in (0..lstm.batch).flat_map(|row| (0..hidden).map(move |j| (row, j))) {
            let at = row * hidden + j;
            if ended(arguments.lengths, row, t) {
                dc[at] = 0.0;
                continue;
            }
            let [i, f, g, o] = functions(sums(row, t), j);
            let (dh, squashed) = (dy[t * state + at] + next[at], cells[t][1][at].tanh());
            let d = dc[at] + dh * o * (1.0 - squashed * squashed);
            let line = &mut errors[4 * (t * state + row * hidden)..];
            line[j] = d * g * i * (1.0 - i);
            line[hidden + j] = d * cells[t][0][at] * f * (1.0 - f);
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
