//! Products on tensor cores against the same in the CPU's order of sums. Where there is no card, these tests say so and end.

use fp8_core::{Rounding, Stream};
use fp8_cuda::{Accumulation, CudaBackend};
use fp8_kernels::{Activation, Backend, Buffer, Conv2d, DType, Epilogue, Gemm, Layout, Result, Store};

use Accumulation::{Exact, Fast, Promoted};
use DType::{Bf16, E4M3, E5M2, E5M2Fnuz, F16, F32};

/// Relative L2 error of sums of up to some thousand products with random signs.
fn bound(accumulation: Accumulation, types: [DType; 2]) -> f64 {
    match (accumulation, types) {
        (Fast, [F32, F32]) => 1e-3,
        (Exact, [F32, F32]) => 4e-6,
        (_, [F32, F32]) => 2e-5,
        (Exact, _) => 2e-4,
        (Promoted, _) => 5e-4,
        _ => 5e-3,
    }
}

const MODES: [Accumulation; 3] = [Exact, Promoted, Fast];
/// Kernels of older cards, which newer ones compute as well, and types that they multiply by ways of their own.
const OLDER: [((u32, u32), Accumulation); 4] =
    [((8, 0), Promoted), ((8, 9), Exact), ((8, 9), Promoted), ((8, 9), Fast)];
const TYPES_OF_OLDER: [[DType; 2]; 3] = [[E5M2, E5M2], [E4M3, E5M2], [F32, F32]];
const TYPES: [[DType; 2]; 7] =
    [[E5M2, E5M2], [E4M3, E5M2], [F16, E5M2], [F16, F16], [Bf16, Bf16], [E5M2Fnuz, F16], [F32, F32]];

fn card(accumulation: Accumulation) -> Option<CudaBackend> {
    CudaBackend::new(0, accumulation).inspect_err(|reason| eprintln!("nothing was tested: {reason}")).ok()
}

/// A card by every mode, and as older ones; which mode, and of which types.
fn cards() -> Vec<(Accumulation, CudaBackend, &'static [[DType; 2]])> {
    let modes = MODES.into_iter().filter_map(|mode| Some((mode, card(mode)?, TYPES.as_slice())));
    let older = OLDER.into_iter().filter_map(|(capability, mode)| {
        let gpu = CudaBackend::like(capability, 0, mode).ok()?;
        (gpu.capability() == capability).then_some((mode, gpu, TYPES_OF_OLDER.as_slice()))
    });
    modes.chain(older).collect()
}

/// Numbers from -1 to 1, the same on every backend.
fn uniform(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// Roughly normal values.
fn values(backend: &dyn Backend, dtype: DType, len: usize, seed: u64) -> Result<Buffer> {
    let mut uniform = uniform(seed);
    made(backend, dtype, len, || uniform() + uniform() + uniform())
}

/// From -2 to 2: their sums are exact everywhere.
fn integers(backend: &dyn Backend, dtype: DType, len: usize, seed: u64) -> Result<Buffer> {
    let mut uniform = uniform(seed);
    made(backend, dtype, len, || (2.5 * uniform()).round())
}

fn made(backend: &dyn Backend, dtype: DType, len: usize, mut value: impl FnMut() -> f32) -> Result<Buffer> {
    let bytes: Vec<u8> = (0..len).flat_map(|_| value().to_le_bytes()).collect();
    let mut wide = backend.alloc(F32, len)?;
    backend.upload(&bytes, &mut wide)?;
    let mut narrow = backend.alloc(dtype, len)?;
    backend.cast(&wide, 1.0, &Store::nearest(dtype), &mut narrow)?;
    Ok(narrow)
}

fn floats(backend: &dyn Backend, buffer: &Buffer) -> Result<Vec<f32>> {
    let mut wide = backend.alloc(F32, buffer.len())?;
    backend.cast(buffer, 1.0, &Store::F32, &mut wide)?;
    let mut bytes = vec![0; wide.bytes()];
    backend.download(&wide, &mut bytes)?;
    Ok(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

fn error(found: &[f32], expected: &[f32]) -> f64 {
    let square = |x: f64| x * x;
    let difference: f64 = found.iter().zip(expected).map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    (difference / expected.iter().map(|b| square(f64::from(*b))).sum::<f64>().max(1e-30)).sqrt()
}

/// An operation with its operands made by itself, stored as it is told.
type Run<'a> = dyn Fn(&dyn Backend, Store) -> Result<Vec<f32>> + 'a;

/// What is wrong with a product, by every card.
fn wrong(
    name: &str,
    types: [DType; 2],
    ordered: &CudaBackend,
    cards: &[(Accumulation, CudaBackend, &[[DType; 2]])],
    run: &Run<'_>,
) -> Vec<String> {
    let stochastic =
        Store { rounding: Rounding::STOCHASTIC, random: Stream { seed: 5, step: 6, id: 7 }, ..Store::nearest(E5M2) };
    let mut wrong = Vec::new();
    for (mode, gpu, _) in cards.iter().filter(|(_, _, of)| of.contains(&types)) {
        // Rounded sums differ where a sum crosses from one code to the next, by at most a quarter of the code.
        let stores = [(Store::F32, bound(*mode, types)), (stochastic, 40.0 * bound(*mode, types))];
        for (store, bound) in stores.into_iter().take(if types == [E5M2, E5M2] { 2 } else { 1 }) {
            let both = [gpu, ordered].map(|backend| run(backend, store));
            match both {
                [Ok(found), Ok(expected)] => {
                    let error = error(&found, &expected);
                    if error.is_nan() || error > bound {
                        let dtype = store.dtype;
                        let gpu = gpu.name();
                        wrong.push(format!("{name} {types:?} {gpu} to {dtype}: {error:.1e}, more than {bound:.1e}"));
                    }
                }
                [Err(error), _] | [_, Err(error)] => wrong.push(format!("{name} {types:?} {mode}: {error}")),
            }
        }
    }
    wrong
}

fn check<T: Copy + std::fmt::Debug>(
    shapes: &[T],
    run: impl Fn(T, [DType; 2], &dyn Backend, Store) -> Result<Vec<f32>>,
) {
    let Some(ordered) = card(Accumulation::Ordered) else { return };
    let cards = cards();
    let mut all = Vec::new();
    for shape in shapes {
        for types in TYPES {
            let run = |backend: &dyn Backend, store: Store| run(*shape, types, backend, store);
            all.extend(wrong(&format!("{shape:?}"), types, &ordered, &cards, &run));
        }
    }
    assert!(all.is_empty(), "{}:\n{}", all.len(), all.join("\n"));
}

#[test]
fn matrices() {
    let mut shapes = Vec::new();
    for [m, n, k] in [[128, 128, 128], [300, 72, 1000], [1000, 264, 208], [7, 5, 33], [4096, 520, 64], [64, 64, 20_000]]
    {
        shapes.extend([Layout::NT, Layout::NN, Layout::TN].map(|layout| Gemm { m, n, k, layout }));
    }
    check(&shapes, |gemm, [left, right], backend, store| {
        let (a, b) = (values(backend, left, gemm.m * gemm.k, 1)?, values(backend, right, gemm.n * gemm.k, 2)?);
        let (bias, residual) = (values(backend, F32, gemm.n, 3)?, values(backend, E5M2, gemm.m * gemm.n, 4)?);
        let epilogue =
            Epilogue { alpha: 0.5, bias: Some(&bias), residual: Some(&residual), activation: Activation::Relu, store };
        let mut c = backend.alloc(store.dtype, gemm.m * gemm.n)?;
        backend.gemm(&gemm, &a, &b, &epilogue, &mut c)?;
        floats(backend, &c)
    });
}

/// What is stored where sums are exact: types and roundings of every way to the card's memory.
fn stores() -> [Store; 7] {
    let random = Stream { seed: 5, step: 6, id: 7 };
    let stochastic = |dtype, bits| Store { rounding: Rounding::Stochastic { bits }, random, ..Store::nearest(dtype) };
    let [wide, narrow] = [stochastic(E5M2, 20), stochastic(E5M2, 16)];
    [narrow, Store::nearest(E5M2), Store::nearest(Bf16), Store::F32, stochastic(E4M3, 16), stochastic(F16, 12), wide]
}

/// The bytes of a result by every mode against those of `ordered`.
fn same_bytes(name: &str, run: &dyn Fn(&dyn Backend, Store) -> Result<Buffer>) {
    let Some(ordered) = card(Accumulation::Ordered) else { return };
    let cards = cards();
    let bytes = |backend: &CudaBackend, store| -> Result<Vec<u8>> {
        let result = run(backend, store)?;
        let mut bytes = vec![0; result.bytes()];
        backend.download(&result, &mut bytes)?;
        Ok(bytes)
    };
    for store in stores() {
        let expected = bytes(&ordered, store).unwrap();
        for (_, gpu, _) in &cards {
            let found = bytes(gpu, store).unwrap();
            let wrong: Vec<usize> = (0..found.len()).filter(|&i| found[i] != expected[i]).collect();
            let (dtype, rounding) = (store.dtype, store.rounding);
            let first = &wrong[..wrong.len().min(20)];
            assert!(wrong.is_empty(), "{name} {} to {dtype} {rounding}: {} bytes, {first:?}", gpu.name(), wrong.len());
        }
    }
}

/// Tiles in the middle of a matrix and at its ends, one after the other on every multiprocessor, few stages and many.
#[test]
fn exact_sums_of_matrices_are_stored_as_in_order() {
    let shapes = [[20_000, 512, 128], [40_000, 64, 64], [1000, 96, 512], [300, 72, 1040], [16_500, 1024, 464]];
    for (i, [m, n, k]) in shapes.into_iter().enumerate() {
        let gemm = Gemm { m, n, k, layout: Layout::NT };
        same_bytes(&format!("{gemm:?}"), &|backend, store| {
            let (a, b) = (integers(backend, E5M2, m * k, 1)?, integers(backend, E5M2, n * k, 2)?);
            let (bias, residual) = (values(backend, F32, n, 3)?, values(backend, E5M2, m * n, 4)?);
            let whole = Epilogue {
                alpha: 0.3,
                bias: Some(&bias),
                residual: Some(&residual),
                activation: Activation::Relu,
                store,
            };
            let mut c = backend.alloc(store.dtype, m * n)?;
            let epilogue = if i % 2 == 0 { whole } else { Epilogue { alpha: 0.3, ..Epilogue::store(store) } };
            backend.gemm(&gemm, &a, &b, &epilogue, &mut c)?;
            Ok(c)
        });
    }
}

#[test]
fn exact_sums_of_images_are_stored_as_in_order() {
    let many = convolutions().into_iter().map(|conv| Conv2d { batch: 16 * conv.batch, ..conv });
    for conv in convolutions().into_iter().chain(many) {
        same_bytes(&format!("{conv:?}"), &|backend, store| {
            let x = integers(backend, E5M2, conv.input_len(), 1)?;
            let w = integers(backend, E5M2, conv.weight_len(), 2)?;
            let mut y = backend.alloc(store.dtype, conv.output_len())?;
            backend.conv2d(&conv, &x, &w, &Epilogue { alpha: 0.3, ..Epilogue::store(store) }, &mut y)?;
            Ok(y)
        });
    }
}

fn convolutions() -> Vec<Conv2d> {
    let conv = |batch, input, in_channels, out_channels, kernel, stride, padding| Conv2d {
        batch,
        input,
        in_channels,
        out_channels,
        kernel,
        stride,
        padding,
    };
    vec![
        conv(4, [14, 14], 64, 64, [3, 3], 1, 1),
        conv(3, [15, 9], 128, 72, [3, 3], 2, 1),
        conv(2, [28, 28], 64, 256, [1, 1], 1, 0),
        conv(5, [14, 14], 256, 128, [1, 1], 2, 0),
        conv(2, [32, 32], 3, 64, [7, 7], 2, 3),
        conv(33, [4, 4], 512, 512, [3, 3], 1, 1),
        conv(3, [9, 7], 24, 40, [5, 3], 1, 2),
    ]
}

#[test]
fn convolved_images() {
    check(&convolutions(), |conv, [left, right], backend, store| {
        let x = values(backend, left, conv.input_len(), 1)?;
        let w = values(backend, right, conv.weight_len(), 2)?;
        let mut y = backend.alloc(store.dtype, conv.output_len())?;
        backend.conv2d(&conv, &x, &w, &Epilogue::store(store), &mut y)?;
        floats(backend, &y)
    });
}

#[test]
fn gradients_of_images() {
    check(&convolutions(), |conv, [left, right], backend, store| {
        let dy = values(backend, left, conv.output_len(), 1)?;
        let w = values(backend, right, conv.weight_len(), 2)?;
        let mut dx = backend.alloc(store.dtype, conv.input_len())?;
        backend.conv2d_backward_data(&conv, &dy, &w, &Epilogue::store(store), &mut dx)?;
        floats(backend, &dx)
    });
}

#[test]
fn gradients_of_weights() {
    check(&convolutions(), |conv, [left, right], backend, store| {
        let x = values(backend, left, conv.input_len(), 1)?;
        let dy = values(backend, right, conv.output_len(), 2)?;
        let mut dw = backend.alloc(store.dtype, conv.weight_len())?;
        backend.conv2d_backward_weight(&conv, &x, &dy, &Epilogue::store(store), &mut dw)?;
        floats(backend, &dw)
    });
}
