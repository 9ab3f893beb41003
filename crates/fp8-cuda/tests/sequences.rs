//! Sequence operations with sums in any order, against the CPU: where there is no card, these tests say so and end.

use fp8_core::{Rounding, Stream};
use fp8_cuda::{Accumulation, CudaBackend};
use fp8_kernels::{
    Attention, AttentionBackward, AttentionGradients, AttentionOperands, Backend, Buffer, CpuBackend, CrossEntropy,
    DType, LinearCrossEntropy, LogitsError, Lstm, LstmBackward, LstmForward, LstmOperands, Result, Store, codec,
    conformance, isa::Isa,
};

const MODES: [Accumulation; 3] = [Accumulation::Exact, Accumulation::Promoted, Accumulation::Fast];

/// Norm of the difference over the norm. What is stored in 8 bits and close to where rounding changes goes the other way, by an eighth or a quarter of itself;
/// later steps of an LSTM read that.
const BOUND: f64 = 0.02;

/// The same of operations without steps, whose results are stored by stochastic rounding in 8 bits: one in some thousand goes the other way.
const ONCE: f64 = 0.005;

/// The same of results in FP32: what sums in another order, and factors of 16 bits or more, leave.
const IN_FP32: f64 = 2e-5;

fn card(accumulation: Accumulation) -> Option<CudaBackend> {
    CudaBackend::new(0, accumulation).inspect_err(|reason| eprintln!("nothing was tested: {reason}")).ok()
}

/// Cases of operations on sequences: embeddings have no sums of products and are the CPU's to the bit.
#[test]
fn every_sequence_case_is_close_to_the_cpu() {
    let cpu = CpuBackend::new().unwrap();
    let named = |name: &str| {
        ["embedding", "attention", "additive", "lstm", "linear_cross", "cross"]
            .iter()
            .any(|start| name.starts_with(start))
    };
    for mode in MODES {
        let Some(gpu) = card(mode) else { return };
        for case in conformance::cases().iter().filter(|case| named(&case.name)) {
            let distances = conformance::distances(case, &gpu, &cpu).unwrap();
            let bound = if case.name.starts_with("embedding") { 0.0 } else { BOUND };
            assert!(distances.iter().all(|distance| *distance <= bound), "{mode}: {}: {distances:?}", case.name);
        }
    }
}

/// Numbers in -size..size.
fn numbers(backend: &dyn Backend, dtype: DType, id: u32, len: usize, size: f32) -> Result<Buffer> {
    let stream = Stream { seed: 3, step: 0, id };
    let values: Vec<f32> =
        (0..len as u64).map(|i| (stream.draw(i, 24) as f32 / (1 << 23) as f32 - 1.0) * size).collect();
    let mut bytes = vec![0; len * dtype.size()];
    codec::encode(Isa::available()[0], &Store::nearest(dtype), 0, &values, &mut bytes);
    uploaded(backend, dtype, &bytes)
}

fn uploaded(backend: &dyn Backend, dtype: DType, bytes: &[u8]) -> Result<Buffer> {
    let mut buffer = backend.alloc(dtype, bytes.len() / dtype.size())?;
    backend.upload(bytes, &mut buffer)?;
    Ok(buffer)
}

fn lengths(backend: &dyn Backend, batch: usize, most: usize) -> Result<Buffer> {
    let numbers = (0..batch).flat_map(|row| ((most - row * 7 % most) as u32).to_le_bytes());
    uploaded(backend, DType::U32, &numbers.collect::<Vec<_>>())
}

fn stochastic(dtype: DType, id: u32) -> Store {
    Store { rounding: Rounding::STOCHASTIC, random: Stream { seed: 1, step: 2, id }, ..Store::nearest(dtype) }
}

fn decoded(backend: &dyn Backend, buffer: &Buffer) -> Result<Vec<f32>> {
    let (mut bytes, mut values) = (vec![0; buffer.bytes()], vec![0.0; buffer.len()]);
    backend.download(buffer, &mut bytes)?;
    codec::decode(Isa::available()[0], buffer.dtype(), &bytes, &mut values);
    Ok(values)
}

fn check(what: &str, bound: f64, outputs: impl Fn(&dyn Backend) -> Result<Vec<Buffer>>) {
    let cpu = CpuBackend::new().unwrap();
    let values = |backend: &dyn Backend| -> Result<Vec<Vec<f32>>> {
        outputs(backend)?.iter().map(|buffer| decoded(backend, buffer)).collect()
    };
    let expected = values(&cpu).unwrap();
    for mode in MODES {
        let Some(gpu) = card(mode) else { return };
        // Twice: what depends on the order in which blocks run differs.
        let [found, again] = [(); 2].map(|()| values(&gpu).unwrap());
        assert_eq!(found, again, "{mode}: {what} differs from run to run");
        for (n, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            let distance =
                norm(&mut found.iter().zip(expected).map(|(a, b)| a - b)) / norm(&mut expected.iter().copied());
            assert!(distance <= bound, "{mode}: {what}: output {n} is {distance} away");
        }
    }
}

/// States of the sizes that have a kernel of their own: more sequences than a block has, both directions, sequences that end.
#[test]
fn recurrent_states() {
    // A state that is rounded to the neighbouring code moves those after it: more so the more steps there are.
    for (hidden, batch, steps, reverse, bound) in
        [(128, 41, 19, false, BOUND), (384, 33, 9, true, BOUND), (1024, 130, 50, false, 3.0 * BOUND)]
    {
        check(&format!("lstm {hidden} x {batch}"), bound, |backend| {
            let spec = Lstm { steps, batch, input: 64, hidden, reverse };
            let (state, gates) = (batch * hidden, 4 * hidden);
            let small = 1.5 / (hidden as f32).sqrt();
            let x = numbers(backend, DType::E5M2, 1, steps * batch * 64, 1.0)?;
            let w_input = numbers(backend, DType::E5M2, 2, gates * 64, 0.2)?;
            let w_hidden = numbers(backend, DType::E5M2, 3, gates * hidden, small)?;
            let bias = numbers(backend, DType::F32, 4, gates, 0.5)?;
            let lengths = lengths(backend, batch, steps)?;
            let operands = LstmOperands {
                x: &x,
                w_input: &w_input,
                w_hidden: &w_hidden,
                biases: [&bias, &bias],
                factors: [1.0, 1.0],
                lengths: Some(&lengths),
            };
            let mut h = backend.alloc(DType::E5M2, steps * state)?;
            let mut cells = backend.alloc(DType::F32, spec.segments() * state)?;
            let store = stochastic(DType::E5M2, 5);
            let kept = if reverse { DType::F32 } else { DType::F16 };
            let mut gates = backend.alloc(kept, 4 * steps * state)?;
            let forward = LstmForward { operands, initial: None, store };
            backend.lstm(&spec, &forward, &mut h, &mut cells, Some(&mut gates))?;
            let dy = numbers(backend, DType::E5M2, 6, steps * state, 1.0)?;
            let mut dgates = backend.alloc(DType::E5M2, 4 * steps * state)?;
            let store = stochastic(DType::E5M2, 7);
            let (w_hidden, lengths) = (operands.w_hidden, operands.lengths);
            let arguments =
                LstmBackward { w_hidden, lengths, gates: &gates, cells: &cells, dy: &dy, error_factor: 1.0, store };
            backend.lstm_backward(&spec, &arguments, &mut dgates)?;
            Ok(vec![h, cells, gates, dgates])
        });
    }
}

/// Heads of several widths, with more queries and keys than a block has, causal and not.
#[test]
fn heads_of_attention() {
    for (x, queries, keys, head_width, causal) in [
        (DType::E5M2, 64, 64, 64, true),
        (DType::Bf16, 64, 64, 64, false),
        (DType::E4M3, 100, 170, 64, true),
        (DType::E5M2, 130, 70, 40, false),
        (DType::F16, 70, 129, 128, true),
        (DType::E5M2, 50, 50, 1024, false),
        (DType::E5M2, 70, 77, 1024, true),
        (DType::Bf16, 130, 70, 136, false),
        (DType::F16, 70, 129, 136, true),
    ] {
        for (dtype, bound) in [(DType::E5M2, ONCE), (DType::F32, IN_FP32)] {
            let shape = Attention { queries, keys, batch: 5, heads: 3, head_width, causal };
            check(&format!("{x} to {dtype}, {shape:?}"), bound, |backend| {
                let (q_len, k_len) = (queries * 5 * shape.width(), keys * 5 * shape.width());
                let (q, k) = (numbers(backend, x, 1, q_len, 2.0)?, numbers(backend, x, 2, k_len, 2.0)?);
                let (values, dy) = (numbers(backend, x, 3, k_len, 2.0)?, numbers(backend, DType::E5M2, 4, q_len, 2.0)?);
                let more = numbers(backend, DType::E5M2, 5, q_len, 0.1)?;
                let lengths = lengths(backend, 5, keys)?;
                let operands = AttentionOperands { q: &q, k: &k, values: &values, lengths: Some(&lengths) };
                let mut y = backend.alloc(dtype, q_len)?;
                backend.attention(&shape, &operands, &stochastic(dtype, 1), &mut y)?;
                let [mut dq, mut dk, mut dvalues] =
                    [backend.alloc(dtype, q_len)?, backend.alloc(dtype, k_len)?, backend.alloc(dtype, k_len)?];
                let stores = [2, 3, 4].map(|id| stochastic(dtype, id));
                let residuals = [Some(&more), Some(&values), None];
                let arguments = AttentionBackward { operands, dy: &dy, stores, residuals };
                let gradients = AttentionGradients { dq: &mut dq, dk: &mut dk, dvalues: &mut dvalues };
                backend.attention_backward(&shape, &arguments, gradients)?;
                Ok(vec![y, dq, dk, dvalues])
            });
        }
    }
}

/// Losses of rows of several lengths, of which some begin within a run of eight, in more than one part.
#[test]
fn losses_of_a_classifier() {
    for (rows, classes, dtype, bound) in
        [(300, 1003, DType::F32, IN_FP32), (600, 32_000, DType::E5M2, ONCE), (40, 37, DType::F32, IN_FP32)]
    {
        let spec = CrossEntropy { rows, classes, smoothing: 0.1 };
        let targets = |backend: &dyn Backend| {
            let target = |row| if row == 5 { CrossEntropy::IGNORED } else { (row * 7919 % classes) as u32 };
            uploaded(backend, DType::U32, &(0..rows).map(target).flat_map(u32::to_le_bytes).collect::<Vec<_>>())
        };
        check(&format!("losses {rows} x {classes} to {dtype}"), bound, |backend| {
            let (logits, targets) = (numbers(backend, DType::F32, 1, rows * classes, 9.0)?, targets(backend)?);
            let mut losses = backend.alloc(DType::F32, rows)?;
            let mut dlogits = backend.alloc(dtype, rows * classes)?;
            backend.cross_entropy(&spec, &logits, &targets, &mut losses)?;
            backend.cross_entropy_backward(&spec, &logits, &targets, 1000.0, &stochastic(dtype, 4), &mut dlogits)?;
            Ok(vec![losses, dlogits])
        });
        // Tensor cores keep 14 bits of sums of FP8 products.
        check(&format!("losses of products {rows} x {classes} to {dtype}"), ONCE, |backend| {
            let inputs = 64;
            let x = numbers(backend, DType::E5M2, 1, rows * inputs, 1.0)?;
            let w = numbers(backend, DType::E5M2, 2, classes * inputs, 1.0)?;
            let bias = numbers(backend, DType::F32, 3, classes, 0.1)?;
            let targets = targets(backend)?;
            let mut losses = backend.alloc(DType::F32, rows)?;
            let mut dlogits = backend.alloc(dtype, rows * classes)?;
            let arguments =
                LinearCrossEntropy { inputs, x: &x, w: &w, bias: Some(&bias), alpha: 1.0, targets: &targets };
            let error = LogitsError { factor: 1000.0, store: stochastic(dtype, 4), dlogits: &mut dlogits };
            backend.linear_cross_entropy(&spec, &arguments, &mut losses, Some(error))?;
            Ok(vec![losses, dlogits])
        });
    }
}
