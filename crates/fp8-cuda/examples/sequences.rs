//! Times of operations on sequences on a card, at the shapes of a Transformer (base) and of a GNMT, and how far their results are from those whose sums have
//! the CPU's order: `cargo run --release -p fp8-cuda --example sequences [CARD] [lstm] [attention] [additive] [loss]`.

use std::time::Instant;

use fp8_core::{Rounding, Stream};
use fp8_cuda::{Accumulation, CudaBackend};
use fp8_kernels::{
    AdditiveAttention, AdditiveBackward, AdditiveGradients, AdditiveOperands, Attention, AttentionBackward,
    AttentionGradients, AttentionOperands, Backend, Buffer, CrossEntropy, DType, Gemm, Layout, LinearCrossEntropy,
    LogitsError, Lstm, LstmBackward, LstmForward, LstmOperands, Result, Store, codec, isa::Isa,
};

/// Runs of each operation, of which the median counts.
const TIMES: usize = 15;

/// What a part measured: names and seconds; and what it wrote.
type Measured = (Vec<(String, f64)>, Vec<(&'static str, Buffer)>);

/// One card in one mode.
struct Bench {
    gpu: CudaBackend,
    times: usize,
}

impl Bench {
    /// The median of the times of `run`, in seconds.
    fn time(&self, name: impl Into<String>, mut run: impl FnMut() -> Result<()>) -> Result<(String, f64)> {
        if self.times > 1 {
            run()?;
        }
        let mut seconds = Vec::with_capacity(self.times);
        for _ in 0..self.times {
            self.gpu.synchronize()?;
            let start = Instant::now();
            run()?;
            self.gpu.synchronize()?;
            seconds.push(start.elapsed().as_secs_f64());
        }
        seconds.sort_by(f64::total_cmp);
        Ok((name.into(), seconds[seconds.len() / 2]))
    }

    /// Numbers in -size..size.
    fn numbers(&self, dtype: DType, id: u32, len: usize, size: f32) -> Result<Buffer> {
        let mut state = u64::from(id).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut number = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 40) as f32 / (1 << 23) as f32 - 1.0) * size
        };
        let values: Vec<f32> = (0..len).map(|_| number()).collect();
        let mut bytes = vec![0; len * dtype.size()];
        codec::encode(Isa::available()[0], &Store::nearest(dtype), 0, &values, &mut bytes);
        let mut buffer = self.gpu.alloc(dtype, len)?;
        self.gpu.upload(&bytes, &mut buffer)?;
        Ok(buffer)
    }

    fn integers(&self, numbers: impl Iterator<Item = usize>) -> Result<Buffer> {
        let bytes: Vec<u8> = numbers.flat_map(|number| (number as u32).to_le_bytes()).collect();
        let mut buffer = self.gpu.alloc(DType::U32, bytes.len() / 4)?;
        self.gpu.upload(&bytes, &mut buffer)?;
        Ok(buffer)
    }

    fn outputs<const N: usize>(&self, lens: [usize; N]) -> Result<[Buffer; N]> {
        let made = lens.iter().map(|len| self.gpu.alloc(DType::E5M2, *len)).collect::<Result<Vec<_>>>()?;
        Ok(made.try_into().expect("as many"))
    }

    fn lstm(&self) -> Result<Measured> {
        let (steps, batch, hidden) = (50, 128, 1024);
        let spec = Lstm { steps, batch, input: hidden, hidden, reverse: false };
        let state = batch * hidden;
        let x = self.numbers(DType::E5M2, 1, steps * state, 1.0)?;
        let w_input = self.numbers(DType::E5M2, 2, 4 * hidden * hidden, 0.06)?;
        let w_hidden = self.numbers(DType::E5M2, 3, 4 * hidden * hidden, 0.06)?;
        let bias = self.numbers(DType::F32, 4, 4 * hidden, 0.1)?;
        let lengths = self.integers((0..batch).map(|row| steps - row % 20))?;
        let operands = LstmOperands {
            x: &x,
            w_input: &w_input,
            w_hidden: &w_hidden,
            biases: [&bias, &bias],
            factors: [1.0; 2],
            lengths: Some(&lengths),
        };
        let [mut h, mut dgates] = self.outputs([steps * state, 4 * steps * state])?;
        let mut cells = self.gpu.alloc(DType::F32, spec.segments() * state)?;
        let mut gates = self.gpu.alloc(DType::F16, 4 * steps * state)?;
        let dy = self.numbers(DType::E5M2, 5, steps * state, 1.0)?;
        let forward = self.time("LSTM 128 x 50 x 1024, forward", || {
            let arguments = LstmForward { operands, initial: None, store: stochastic(6) };
            self.gpu.lstm(&spec, &arguments, &mut h, &mut cells, Some(&mut gates))
        })?;
        let backward = self.time("LSTM, errors of gates", || {
            let (w_hidden, lengths, store) = (operands.w_hidden, operands.lengths, stochastic(7));
            let (gates, cells, dy) = (&gates, &cells, &dy);
            let arguments = LstmBackward { w_hidden, lengths, gates, cells, dy, error_factor: 1.0, store };
            self.gpu.lstm_backward(&spec, &arguments, &mut dgates)
        })?;
        // The rest of the backward pass: gradients of both weights, errors of x.
        let [mut dw, mut dx] = self.outputs([4 * hidden * hidden, steps * state])?;
        let rest = self.time("LSTM, gradients of weights and errors of x", || {
            let [of_w, of_x] = [8, 9].map(stochastic).map(fp8_kernels::Epilogue::store);
            self.gpu.lstm_backward_weight(&spec, &h, &dgates, &of_w, &mut dw)?;
            let rows = steps * batch;
            let shape = Gemm { m: 4 * hidden, n: hidden, k: rows, layout: Layout::TN };
            self.gpu.gemm(&shape, &dgates, &x, &of_w, &mut dw)?;
            let shape = Gemm { m: rows, n: hidden, k: 4 * hidden, layout: Layout::NN };
            self.gpu.gemm(&shape, &dgates, &w_input, &of_x, &mut dx)
        })?;
        Ok((vec![forward, backward, rest], vec![("h", h), ("cells", cells), ("gates", gates), ("dgates", dgates)]))
    }

    /// 128 sequences of so many steps.
    fn attention(&self, steps: usize, heads: usize, head_width: usize, causal: bool) -> Result<Measured> {
        let batch = 128;
        let shape = Attention { queries: steps, keys: steps, batch, heads, head_width, causal };
        let len = steps * batch * shape.width();
        let [q, k, values, dy] = [1, 2, 3, 4].map(|id| self.numbers(DType::E5M2, id, len, 2.0));
        let (q, k, values, dy) = (q?, k?, values?, dy?);
        let lengths = self.integers((0..batch).map(|row| steps - row % 20))?;
        let operands = AttentionOperands { q: &q, k: &k, values: &values, lengths: Some(&lengths) };
        let [mut y, mut dq, mut dk, mut dvalues] = self.outputs([len; 4])?;
        let name = if causal { "causal attention" } else { "attention" };
        let forward = self.time(format!("{name} 128 x {steps} x {heads} x {head_width}, forward"), || {
            self.gpu.attention(&shape, &operands, &stochastic(5), &mut y)
        })?;
        let backward = self.time(format!("{name}, backward"), || {
            let arguments =
                AttentionBackward { operands, dy: &dy, stores: [6, 7, 8].map(stochastic), residuals: [None; 3] };
            let gradients = AttentionGradients { dq: &mut dq, dk: &mut dk, dvalues: &mut dvalues };
            self.gpu.attention_backward(&shape, &arguments, gradients)
        })?;
        Ok((vec![forward, backward], vec![("y", y), ("dq", dq), ("dk", dk), ("dvalues", dvalues)]))
    }

    fn additive(&self) -> Result<Measured> {
        let (steps, batch, width) = (50, 128, 1024);
        let shape = AdditiveAttention { queries: steps, keys: steps, batch, width, value_width: width };
        let len = steps * batch * width;
        let [q, k, values, dy] = [1, 2, 3, 4].map(|id| self.numbers(DType::E5M2, id, len, 1.0));
        let (q, k, values, dy) = (q?, k?, values?, dy?);
        let (v, bias) = (self.numbers(DType::F32, 5, width, 0.1)?, self.numbers(DType::F32, 6, width, 0.1)?);
        let gain = self.numbers(DType::F32, 7, 1, 2.0)?;
        let lengths = self.integers((0..batch).map(|row| steps - row % 20))?;
        let operands = AdditiveOperands {
            q: &q,
            k: &k,
            values: &values,
            v: &v,
            gain: Some(&gain),
            bias: Some(&bias),
            lengths: Some(&lengths),
        };
        let [mut y, mut dq, mut dk, mut dvalues] = self.outputs([len; 4])?;
        let [mut dv, mut dbias] = [self.gpu.alloc(DType::F32, width)?, self.gpu.alloc(DType::F32, width)?];
        let mut dgain = self.gpu.alloc(DType::F32, 1)?;
        let forward = self.time("additive attention 128 x 50 x 50 x 1024, forward", || {
            self.gpu.additive_attention(&shape, &operands, &stochastic(5), &mut y)
        })?;
        let backward = self.time("additive attention, backward", || {
            let arguments =
                AdditiveBackward { operands, dy: &dy, stores: [6, 7, 8].map(stochastic), residuals: [None; 3] };
            let gradients = AdditiveGradients {
                dq: &mut dq,
                dk: &mut dk,
                dvalues: &mut dvalues,
                dv: &mut dv,
                dgain: Some(&mut dgain),
                dbias: Some(&mut dbias),
            };
            self.gpu.additive_attention_backward(&shape, &arguments, gradients)
        })?;
        let outputs = vec![("y", y), ("dq", dq), ("dk", dk), ("dvalues", dvalues), ("dv", dv), ("dbias", dbias)];
        Ok((vec![forward, backward], outputs))
    }

    fn loss(&self) -> Result<Measured> {
        let (rows, classes, inputs) = (8192, 32_000, 512);
        let spec = CrossEntropy { rows, classes, smoothing: 0.1 };
        let x = self.numbers(DType::E5M2, 1, rows * inputs, 1.0)?;
        let w = self.numbers(DType::E5M2, 2, classes * inputs, 0.1)?;
        let bias = self.numbers(DType::F32, 3, classes, 0.1)?;
        let targets = self.integers((0..rows).map(|row| row * 7919 % classes))?;
        let mut losses = self.gpu.alloc(DType::F32, rows)?;
        let [mut dlogits] = self.outputs([rows * classes])?;
        let time = self.time("loss of 8192 x 32000 logits of 512, and their error", || {
            let arguments =
                LinearCrossEntropy { inputs, x: &x, w: &w, bias: Some(&bias), alpha: 1.0, targets: &targets };
            let error = LogitsError { factor: 10_000.0, store: stochastic(4), dlogits: &mut dlogits };
            self.gpu.linear_cross_entropy(&spec, &arguments, &mut losses, Some(error))
        })?;
        Ok((vec![time], vec![("losses", losses), ("dlogits", dlogits)]))
    }

    fn decoded(&self, buffer: &Buffer) -> Result<Vec<f32>> {
        let (mut bytes, mut values) = (vec![0; buffer.bytes()], vec![0.0; buffer.len()]);
        self.gpu.download(buffer, &mut bytes)?;
        codec::decode(Isa::available()[0], buffer.dtype(), &bytes, &mut values);
        Ok(values)
    }
}

fn stochastic(id: u32) -> Store {
    Store { rounding: Rounding::STOCHASTIC, random: Stream { seed: 1, step: 2, id }, ..Store::nearest(DType::E5M2) }
}

fn norm(values: impl Iterator<Item = f32>) -> f64 {
    values.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt()
}

type Part = (&'static str, fn(&Bench) -> Result<Measured>);

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (cards, wanted): (Vec<_>, Vec<_>) = arguments.iter().partition(|argument| argument.parse::<usize>().is_ok());
    let card = cards.first().map_or(Ok(0), |card| card.parse())?;
    let open = |mode, times| CudaBackend::new(card, mode).map(|gpu| Bench { gpu, times });
    let (ours, ordered) = match (open(Accumulation::default(), TIMES), open(Accumulation::Ordered, 1)) {
        (Ok(ours), Ok(ordered)) => (ours, ordered),
        (Err(reason), _) | (_, Err(reason)) => {
            println!("nothing to measure: {reason}");
            return Ok(());
        }
    };
    println!("{}", ours.gpu.name());
    let parts: [Part; 6] = [
        ("lstm", |bench| bench.lstm()),
        ("attention", |bench| bench.attention(64, 8, 64, false)),
        ("attention", |bench| bench.attention(64, 8, 64, true)),
        ("attention", |bench| bench.attention(50, 1, 1024, false)),
        ("additive", |bench| bench.additive()),
        ("loss", |bench| bench.loss()),
    ];
    for (_, part) in parts.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name)) {
        let ((times, outputs), (slow, expected)) = (part(&ours)?, part(&ordered)?);
        for ((name, seconds), (_, slow)) in times.iter().zip(&slow) {
            println!("{name}: {:.1} us (ordered: {:.1})", 1e6 * seconds, 1e6 * slow);
        }
        for ((name, found), (_, expected)) in outputs.iter().zip(&expected) {
            let (found, expected) = (ours.decoded(found)?, ordered.decoded(expected)?);
            let difference = norm(found.iter().zip(&expected).map(|(a, b)| a - b));
            println!("  {name}: {:.2e} away", difference / norm(expected.iter().copied()));
        }
    }
    Ok(())
}
