//! Operations that move memory, at the shapes of ResNet-50 (batch 256, 224 x 224) and of a Transformer: their time on a card, the bytes that they must read and
//! write, each operand once, beside the copy's; and, at a smaller size, whether the bytes are the CPU's.
//!
//! `cargo run --release -p fp8-cuda --example bandwidth [PART OF A NAME]`

use std::time::Instant;

use fp8_core::{Rounding, Stream};
use fp8_cuda::{Accumulation, CudaBackend};
use fp8_kernels::{
    Backend, BatchNorm, BatchNormBackward, BatchNormForward, BatchNormGradients, BatchStatistics, Buffer, CpuBackend,
    DType, Dropout, Embedding, EmbeddingBackward, EmbeddingForward, LayerNorm, LayerNormBackward, LayerNormForward,
    LayerNormGradients, ParameterUpdate, Pool2d, Result, Store, UpdateRule,
};

use DType::{E5M2, F16, F32, U8, U32};
use Fill::{Below, Nothing, Numbers, Positive};

const TIMES: usize = 20;

/// What memory holds at the start.
#[derive(Clone, Copy)]
enum Fill {
    /// Anything.
    Nothing,
    /// -2..2.
    Numbers,
    /// Above zero.
    Positive,
    /// U32 below.
    Below(u32),
}

type Operand = (DType, usize, Fill);
type Run = Box<dyn Fn(&dyn Backend, &[Buffer], &mut [Buffer]) -> Result<()>>;

/// An operation at one size.
struct Case {
    name: String,
    inputs: Vec<Operand>,
    outputs: Vec<Operand>,
    /// Read and written, each operand once.
    bytes: usize,
    run: Run,
}

impl Case {
    fn new(
        name: impl Into<String>,
        inputs: &[Operand],
        outputs: &[Operand],
        run: impl Fn(&dyn Backend, &[Buffer], &mut [Buffer]) -> Result<()> + 'static,
    ) -> Self {
        // What is written and had to be filled is read, too.
        let times = |fill| if matches!(fill, Nothing) { 1 } else { 2 };
        let size = |&(dtype, len, _): &Operand| len * dtype.size();
        let bytes = inputs.iter().map(size).sum::<usize>()
            + outputs.iter().map(|output| times(output.2) * size(output)).sum::<usize>();
        Self { name: name.into(), inputs: inputs.to_vec(), outputs: outputs.to_vec(), bytes, run: Box::new(run) }
    }

    fn operands(&self, backend: &dyn Backend) -> Result<(Vec<Buffer>, Vec<Buffer>)> {
        let make = |operands: &[Operand], seed: usize| {
            operands.iter().enumerate().map(|(i, operand)| filled(backend, operand, seed + i)).collect::<Result<_>>()
        };
        Ok((make(&self.inputs, 1)?, make(&self.outputs, 100)?))
    }

    /// Seconds of one call, other operands each time where they would stay in a cache.
    fn seconds(&self, gpu: &CudaBackend) -> Result<f64> {
        let sets = (300_000_000 / self.bytes.max(1)).clamp(1, 6);
        let mut sets = (0..sets).map(|_| self.operands(gpu)).collect::<Result<Vec<_>>>()?;
        for (inputs, outputs) in &mut sets {
            (self.run)(gpu, inputs, outputs)?;
        }
        gpu.synchronize()?;
        let (start, count) = (Instant::now(), sets.len());
        for i in 0..TIMES {
            let (inputs, outputs) = &mut sets[i % count];
            (self.run)(gpu, inputs, outputs)?;
        }
        gpu.synchronize()?;
        Ok(start.elapsed().as_secs_f64() / TIMES as f64)
    }

    fn written(&self, backend: &dyn Backend) -> Result<Vec<Vec<u8>>> {
        let (inputs, mut outputs) = self.operands(backend)?;
        (self.run)(backend, &inputs, &mut outputs)?;
        let download = |buffer: &Buffer| {
            let mut bytes = vec![0; buffer.bytes()];
            backend.download(buffer, &mut bytes).map(|()| bytes)
        };
        outputs.iter().map(download).collect()
    }

    /// Whether the bytes are the CPU's.
    fn verdict(&self, gpu: &dyn Backend, cpu: &dyn Backend) -> Result<String> {
        let (found, expected) = (self.written(gpu)?, self.written(cpu)?);
        let wrong = |(i, (a, b)): (usize, (&Vec<u8>, &Vec<u8>))| {
            let wrong = a.iter().zip(b).filter(|(a, b)| a != b).count();
            (wrong > 0).then(|| format!("output {i}: {wrong} of {} bytes DIFFER", b.len()))
        };
        let wrong: Vec<_> = found.iter().zip(&expected).enumerate().filter_map(wrong).collect();
        Ok(if wrong.is_empty() { "same bytes".into() } else { wrong.join(", ") })
    }
}

fn filled(backend: &dyn Backend, &(dtype, len, fill): &Operand, seed: usize) -> Result<Buffer> {
    let mut buffer = backend.alloc(dtype, len)?;
    let mut state = (seed as u64 * 0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    // The same again after 8 MiB: making more would take longer than all that is measured.
    let mut words = |mask: u64| {
        let words = buffer.bytes().div_ceil(8);
        let some: Vec<u8> = (0..words.min((1 << 20) + 3)).flat_map(|_| (next() & mask).to_le_bytes()).collect();
        some.repeat(buffer.bytes().div_ceil(some.len().max(1)))
    };
    let mut bytes: Vec<u8> = match (fill, dtype) {
        (Nothing, _) => return Ok(buffer),
        (Below(end), _) => (0..len).flat_map(|_| ((next() >> 32) as u32 % end).to_le_bytes()).collect(),
        // Exponents below that of 2: the topmost of their bits is clear.
        (Numbers, F32) => words(0xBFFF_FFFF_BFFF_FFFF),
        (Numbers, F16) => words(0xBFFF_BFFF_BFFF_BFFF),
        (Numbers, _) => words(0xBFBF_BFBF_BFBF_BFBF),
        (Positive, F32) => words(0x3FFF_FFFF_3FFF_FFFF),
        (Positive, _) => words(0x3F3F_3F3F_3F3F_3F3F),
    };
    bytes.truncate(buffer.bytes());
    if dtype == U8 {
        bytes.iter_mut().for_each(|byte| *byte %= 9);
    }
    backend.upload(&bytes, &mut buffer)?;
    Ok(buffer)
}

fn stochastic(dtype: DType, id: u32) -> Store {
    Store { rounding: Rounding::STOCHASTIC, random: Stream { seed: 1, step: 2, id }, ..Store::nearest(dtype) }
}

fn cast(name: &str, from: DType, store: Store, len: usize) -> Case {
    Case::new(format!("cast {name}"), &[(from, len, Numbers)], &[(store.dtype, len, Nothing)], move |backend, x, y| {
        backend.cast(&x[0], 1.0, &store, &mut y[0])
    })
}

fn statistics(rows: usize, channels: usize) -> Case {
    let norm = BatchNorm { rows, channels, epsilon: 1e-5 };
    let outputs = [(F32, channels, Nothing); 2];
    let name = format!("batch norm statistics {rows} x {channels}");
    Case::new(name, &[(E5M2, rows * channels, Numbers)], &outputs, move |backend, x, y| {
        let [mean, variance] = y else { unreachable!() };
        backend.batch_norm_statistics(&norm, &x[0], mean, variance)
    })
}

/// mean, variance, gamma, beta.
fn lines(channels: usize) -> [Operand; 4] {
    [Numbers, Positive, Numbers, Numbers].map(|fill| (F32, channels, fill))
}

fn forward(rows: usize, channels: usize, residual: bool) -> Case {
    let (norm, len) = (BatchNorm { rows, channels, epsilon: 1e-5 }, rows * channels);
    let tensors = vec![(E5M2, len, Numbers); if residual { 2 } else { 1 }];
    let name = format!("batch norm{} {rows} x {channels}", if residual { " + residual" } else { "" });
    Case::new(name, &[&lines(channels)[..], &tensors].concat(), &[(E5M2, len, Nothing)], move |backend, x, y| {
        let arguments = BatchNormForward {
            x: &x[4],
            statistics: BatchStatistics { mean: &x[0], variance: &x[1] },
            gamma: &x[2],
            beta: &x[3],
            residual: x.get(5),
            relu: true,
            store: stochastic(E5M2, 3),
        };
        backend.batch_norm(&norm, &arguments, &mut y[0])
    })
}

fn backward(rows: usize, channels: usize, residual: bool) -> Case {
    let (norm, len) = (BatchNorm { rows, channels, epsilon: 1e-5 }, rows * channels);
    let tensors = vec![(E5M2, len, Numbers); if residual { 4 } else { 3 }];
    let mut outputs = vec![(E5M2, len, Nothing), (F32, channels, Nothing), (F32, channels, Nothing)];
    outputs.extend(residual.then_some((E5M2, len, Nothing)));
    let name = format!("batch norm{} backward {rows} x {channels}", if residual { " + residual" } else { "" });
    Case::new(name, &[&lines(channels)[..], &tensors].concat(), &outputs, move |backend, x, y| {
        let arguments = BatchNormBackward {
            x: &x[4],
            statistics: BatchStatistics { mean: &x[0], variance: &x[1] },
            gamma: &x[2],
            y: Some(&x[5]),
            dy: &x[6],
            dx_store: stochastic(E5M2, 3),
            residual_error: x.get(7),
            dresidual_store: stochastic(E5M2, 4),
        };
        let [dx, dgamma, dbeta, dresidual @ ..] = y else { unreachable!() };
        let gradients = BatchNormGradients { dx, dgamma, dbeta, dresidual: dresidual.first_mut() };
        backend.batch_norm_backward(&norm, &arguments, gradients)
    })
}

fn max_pool(batch: usize) -> [Case; 2] {
    let pool = Pool2d { batch, input: [112; 2], channels: 64, kernel: 3, stride: 2, padding: 1 };
    let (len, y_len) = (batch * 112 * 112 * 64, batch * 56 * 56 * 64);
    let outputs = [(E5M2, y_len, Nothing), (U8, y_len, Nothing)];
    let inputs = [(E5M2, y_len, Numbers), (U8, y_len, Numbers)];
    [
        Case::new(format!("max pool {batch}"), &[(E5M2, len, Numbers)], &outputs, move |backend, x, y| {
            let [y, index] = y else { unreachable!() };
            backend.max_pool(&pool, &x[0], &stochastic(E5M2, 3), y, index)
        }),
        Case::new(format!("max pool backward {batch}"), &inputs, &[(E5M2, len, Nothing)], move |backend, x, y| {
            backend.max_pool_backward(&pool, &x[0], &x[1], &stochastic(E5M2, 3), &mut y[0])
        }),
    ]
}

fn average_pool(n: usize) -> [Case; 2] {
    let (shape, len, y_len) = ([n, 49, 2048], n * 49 * 2048, n * 2048);
    let name = format!("global average pool {n}");
    [
        Case::new(name.clone(), &[(E5M2, len, Numbers)], &[(F16, y_len, Nothing)], move |backend, x, y| {
            backend.global_average_pool(shape, &x[0], &Store::nearest(F16), &mut y[0])
        }),
        Case::new(name + " backward", &[(F16, y_len, Numbers)], &[(E5M2, len, Nothing)], move |backend, x, y| {
            backend.global_average_pool_backward(shape, &x[0], &stochastic(E5M2, 3), &mut y[0])
        }),
    ]
}

fn add(len: usize) -> Case {
    Case::new(format!("add {len}"), &[(E5M2, len, Numbers); 2], &[(E5M2, len, Nothing)], |backend, x, y| {
        backend.add(&x[0], Some(&x[1]), true, &stochastic(E5M2, 3), &mut y[0])
    })
}

fn relu_backward(len: usize) -> Case {
    Case::new(format!("relu backward {len}"), &[(E5M2, len, Numbers); 2], &[(E5M2, len, Nothing)], |backend, x, y| {
        backend.relu_backward(&x[0], &x[1], None, &stochastic(E5M2, 3), &mut y[0])
    })
}

fn dropout(len: usize) -> Case {
    Case::new(format!("dropout {len}"), &[(E5M2, len, Numbers)], &[(E5M2, len, Nothing)], |backend, x, y| {
        let (mask, store) = (Stream { seed: 1, step: 2, id: 9 }, stochastic(E5M2, 3));
        backend.dropout(&Dropout { x: &x[0], share: 0.1, mask, residual: None, store }, &mut y[0])
    })
}

fn sum_rows(rows: usize, columns: usize) -> Case {
    let name = format!("sum of rows {rows} x {columns}");
    Case::new(name, &[(E5M2, rows * columns, Numbers)], &[(F32, columns, Nothing)], move |backend, x, y| {
        backend.sum_rows(rows, columns, &x[0], &Store::F32, &mut y[0])
    })
}

fn layer_norm(rows: usize, width: usize) -> [Case; 2] {
    let (norm, len) = (LayerNorm { rows, width, epsilon: 1e-5 }, rows * width);
    let (lines, x) = ([(F32, width, Numbers); 2], (E5M2, len, Numbers));
    let outputs = [(E5M2, len, Nothing), (F32, width, Nothing), (F32, width, Nothing)];
    let name = format!("layer norm {rows} x {width}");
    let forward = move |backend: &dyn Backend, x: &[Buffer], y: &mut [Buffer]| {
        let arguments = LayerNormForward { x: &x[2], gamma: &x[0], beta: &x[1], store: stochastic(E5M2, 3) };
        backend.layer_norm(&norm, &arguments, &mut y[0])
    };
    let backward = move |backend: &dyn Backend, x: &[Buffer], y: &mut [Buffer]| {
        let [dx, dgamma, dbeta] = y else { unreachable!() };
        let store = stochastic(E5M2, 3);
        let arguments = LayerNormBackward { x: &x[2], gamma: &x[0], dy: &x[3], residual: Some(&x[4]), store };
        backend.layer_norm_backward(&norm, &arguments, LayerNormGradients { dx, dgamma, dbeta })
    };
    [
        Case::new(name.clone(), &[&lines[..], &[x]].concat(), &outputs[..1], forward),
        Case::new(name + " backward", &[&lines[..], &[x; 3]].concat(), &outputs, backward),
    ]
}

fn embedding(rows: usize, entries: usize, width: usize) -> [Case; 2] {
    let shape = Embedding { rows, entries, width, positions: rows / 128, repeat: 128, padding: Some(0) };
    let (tokens, table) = ((U32, rows, Below(entries as u32)), (F32, rows / 128 * width, Numbers));
    let (y, w) = ((E5M2, rows * width), (E5M2, entries * width));
    let name = format!("embedding {rows} of {entries} x {width}");
    let forward = move |backend: &dyn Backend, x: &[Buffer], y: &mut [Buffer]| {
        let store = stochastic(E5M2, 3);
        let arguments = EmbeddingForward { tokens: &x[0], w: &x[1], factor: 22.5, positions: Some(&x[2]), store };
        backend.embedding(&shape, &arguments, &mut y[0])
    };
    let backward = move |backend: &dyn Backend, x: &[Buffer], y: &mut [Buffer]| {
        let store = stochastic(E5M2, 3);
        let arguments = EmbeddingBackward { tokens: &x[0], dy: &x[1], factor: 22.5, residual: None, store };
        backend.embedding_backward(&shape, &arguments, &mut y[0])
    };
    let mut cases = [
        Case::new(name.clone(), &[tokens, (w.0, w.1, Numbers), table], &[(y.0, y.1, Nothing)], forward),
        Case::new(name + " backward", &[tokens, (y.0, y.1, Numbers)], &[(w.0, w.1, Nothing)], backward),
    ];
    // Of the table only the rows that are looked up.
    cases[0].bytes -= w.1 - y.1.min(w.1);
    cases
}

/// Elements of ResNet-50's convolutions and of its other parameters, in their order; `part` of the convolutions'.
fn resnet50(part: usize) -> Vec<(usize, bool)> {
    let mut parameters = Vec::new();
    let mut convolution = |len: usize, channels: usize| {
        parameters.extend([((len / part).max(1), true), (channels, false), (channels, false)]);
    };
    convolution(64 * 49 * 3, 64);
    let mut inputs = 64;
    for (width, blocks) in [(64, 3), (128, 4), (256, 6), (512, 3)] {
        for block in 0..blocks {
            convolution(inputs * width, width);
            convolution(width * width * 9, width);
            convolution(width * 4 * width, 4 * width);
            if block == 0 {
                convolution(inputs * 4 * width, 4 * width);
            }
            inputs = 4 * width;
        }
    }
    parameters.extend([(2048 * 1000 / part, true), (1000, false)]);
    parameters
}

fn update(part: usize) -> Case {
    let parameters = resnet50(part);
    let types = |weight: bool| if weight { (E5M2, F16) } else { (F32, F32) };
    let inputs: Vec<_> = parameters.iter().map(|&(len, weight)| (types(weight).0, len, Numbers)).collect();
    let outputs: Vec<_> = parameters
        .iter()
        .flat_map(|&(len, weight)| {
            let copy = if weight { (E5M2, len, Nothing) } else { (E5M2, 0, Nothing) };
            [(types(weight).1, len, Numbers), (F32, len, Numbers), copy]
        })
        .collect();
    let rule =
        UpdateRule::Sgd { lr: 0.1, momentum: 0.9, dampening: 0.0, nesterov: false, weight_decay: 1e-4, first: false };
    let name = format!("update of ResNet-50 (1/{part})");
    Case::new(name, &inputs, &outputs, move |backend, x, y| {
        let updates =
            x.iter().zip(y.chunks_exact_mut(3)).zip(&parameters).map(|((gradient, outputs), &(_, weight))| {
                let [master, moment, copy] = outputs else { unreachable!() };
                let parameter = ParameterUpdate {
                    gradient,
                    unscale: 1e-4,
                    master_store: Store::nearest(master.dtype()),
                    master,
                    moments: vec![(moment, Store::F32)],
                    working: weight.then_some((copy, Store::nearest(E5M2))),
                };
                (rule, parameter)
            });
        backend.update_all(updates.collect())
    })
}

fn norm_of_gradients(part: usize) -> Case {
    let inputs: Vec<_> =
        resnet50(part).iter().map(|&(len, weight)| (if weight { E5M2 } else { F32 }, len, Numbers)).collect();
    let outputs = [(F32, inputs.len(), Nothing)];
    Case::new(format!("norm of ResNet-50's gradients (1/{part})"), &inputs, &outputs, |backend, x, y| {
        let squares = backend.sums_of_squares(&x.iter().map(|gradient| (gradient, 1.0)).collect::<Vec<_>>())?;
        backend.upload(&squares.iter().flat_map(|squares| squares.to_le_bytes()).collect::<Vec<_>>(), &mut y[0])
    })
}

/// Every case, of `1 / part` of the size.
fn cases(part: usize) -> Vec<Case> {
    let len = (1 << 27) / part;
    let mut cases = vec![
        cast("f32 to f32", F32, Store::F32, len),
        cast("f32 to e5m2, nearest", F32, Store::nearest(E5M2), len),
        cast("f32 to e5m2, stochastic", F32, stochastic(E5M2, 3), len),
        cast("f32 to e4m3, nearest", F32, Store::nearest(DType::E4M3), len),
        cast("f32 to f16, nearest", F32, Store::nearest(F16), len),
        cast("e5m2 to e5m2, stochastic", E5M2, stochastic(E5M2, 3), len),
        cast("e5m2 to f16, nearest", E5M2, Store::nearest(F16), len),
        add(256 * 56 * 56 * 256 / part),
        relu_backward(256 * 56 * 56 * 256 / part),
    ];
    for (pixels, channels) in
        [(112 * 112, 64), (56 * 56, 64), (56 * 56, 256), (28 * 28, 512), (14 * 14, 1024), (7 * 7, 2048)]
    {
        let rows = 256 * pixels / part;
        cases.push(statistics(rows, channels));
        cases.extend([false, true].map(|residual| forward(rows, channels, residual)));
        cases.extend([false, true].map(|residual| backward(rows, channels, residual)));
    }
    cases.extend(max_pool((256 / part).max(2)));
    cases.extend(average_pool((256 / part).max(2)));
    cases.extend([update(part), norm_of_gradients(part)]);
    let tokens = 8192 / part.min(16);
    cases.extend(layer_norm(tokens, 512));
    cases.extend([dropout(tokens * 2048), sum_rows(tokens, 512), sum_rows(tokens, 2048)]);
    cases.extend(embedding(tokens, 32_000 / part.min(16), 512));
    cases
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let gpu = match CudaBackend::new(0, Accumulation::Ordered) {
        Ok(gpu) => gpu,
        Err(reason) => {
            println!("nothing to measure: {reason}");
            return Ok(());
        }
    };
    let (cpu, part_of_name) = (CpuBackend::new()?, std::env::args().nth(1).unwrap_or_default());
    println!("{}, {} multiprocessors", gpu.name(), gpu.multiprocessors());
    let mut copy = None;
    for (i, (large, small)) in cases(1).iter().zip(&cases(256)).enumerate() {
        if i > 0 && !large.name.contains(&part_of_name) {
            continue;
        }
        let verdict = small.verdict(&gpu, &cpu)?;
        let seconds = large.seconds(&gpu)?;
        let speed = large.bytes as f64 / seconds / 1e9;
        let of_copy = speed / *copy.get_or_insert(speed);
        println!("{:<48} {:8.1} us {speed:6.0} GB/s {of_copy:5.2} of copy, {verdict}", large.name, 1e6 * seconds);
    }
    Ok(())
}
