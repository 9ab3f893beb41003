//! What the tests of kernels share: numbers, codes, epilogues in plain loops, every instruction set and several numbers of
//! threads.

use fp8_core::{Rounding, Stream};

use crate::isa::Isa;
use crate::{Activation, DType, EpilogueView, Store, View, ViewMut, codec};

/// `len` codes of small finite values that look random, among them zeros and subnormals of small formats.
pub fn codes(seed: u32, dtype: DType, len: usize) -> Vec<u8> {
    let stream = Stream { seed: 1, step: 0, id: seed };
    let value = |i: usize| {
        let draw = stream.draw(i as u64, 32);
        let magnitude = [0.0, 1e-5, 0.3, 1.0, 1.0, 1.7, 2.0, 3.0][draw as usize % 8];
        magnitude * (draw as f32 / (1_u32 << 31) as f32 - 1.0)
    };
    let mut bytes = vec![0; len * dtype.size()];
    codec::encode(Isa::available()[0], &Store::nearest(dtype), 0, &(0..len).map(value).collect::<Vec<_>>(), &mut bytes);
    bytes
}

/// The values of codes.
pub fn values(dtype: DType, codes: &[u8]) -> Vec<f32> {
    let mut values = vec![0.0; codes.len() / dtype.size()];
    codec::decode(Isa::available()[0], dtype, codes, &mut values);
    values
}

/// Runs `body` on every instruction set that keeps the order of sums, in pools of 1 to 3 threads.
pub fn in_pools(body: impl Fn(Isa, usize) + Sync) {
    (1..=3).for_each(|threads| in_pool(threads, &body));
}

/// The same in a pool of so many threads.
pub fn in_pool(threads: usize, body: impl Fn(Isa, usize) + Sync) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    for isa in Isa::available().into_iter().filter(|isa| *isa != Isa::Amx) {
        pool.install(|| body(isa, threads));
    }
}

/// What `kernel` writes, which must be the same bytes everywhere.
pub fn on_every_path(kernel: impl Fn(Isa) -> Vec<u8> + Sync) -> Vec<u8> {
    let expected = kernel(Isa::available()[0]);
    in_pools(|isa, threads| assert!(kernel(isa) == expected, "{isa}, {threads} threads: other bytes"));
    expected
}

/// Numbers in -2..2 that look random; every seventh is a small integer or zero, so that some are equal.
pub fn numbers(seed: u32, len: usize) -> Vec<f32> {
    let stream = Stream { seed: 11, step: 0, id: seed };
    let number = |i: usize| stream.draw(i as u64, 24) as f32 / (1 << 22) as f32 - 2.0;
    (0..len).map(|i| if i % 7 == 0 { number(i).round() } else { number(i) }).collect()
}

/// Numbers and everything special.
pub fn numbers_and_specials(seed: u32, len: usize) -> Vec<f32> {
    let specials = [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 1e-45, 3e38];
    let special = |i: usize| specials[(i / 5 * 3 + seed as usize) % specials.len()];
    numbers(seed, len).into_iter().enumerate().map(|(i, x)| if i % 5 == 3 { special(i) } else { x }).collect()
}

/// Elements in memory.
pub struct Codes {
    dtype: DType,
    bytes: Vec<u8>,
}

impl Codes {
    /// `x` to nearest even.
    pub fn new(dtype: DType, x: &[f32]) -> Self {
        Self { dtype, bytes: encoded(&Store::nearest(dtype), x) }
    }

    pub fn view(&self) -> View<'_> {
        View { dtype: self.dtype, bytes: &self.bytes }
    }

    pub fn values(&self) -> Vec<f32> {
        values(self.dtype, &self.bytes)
    }
}

/// The codes of `x`.
pub fn encoded(store: &Store, x: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; x.len() * store.dtype.size()];
    codec::encode(Isa::available()[0], store, 0, x, &mut bytes);
    bytes
}

/// FP32, and stochastic rounding to 8 and 16 bits with a scale.
pub fn stores() -> [Store; 3] {
    let random = Stream { seed: 3, step: 4, id: 5 };
    let rounded = |dtype, scale| Store { rounding: Rounding::STOCHASTIC, random, scale, ..Store::nearest(dtype) };
    [Store::F32, rounded(DType::E5M2, 4.0), rounded(DType::F16, 1.0)]
}

/// An epilogue that owns its operands.
#[derive(Debug)]
pub struct OwnedEpilogue {
    alpha: f32,
    bias: Option<Vec<u8>>,
    residual: Option<Vec<u8>>,
    activation: Activation,
    store: Store,
}

impl OwnedEpilogue {
    pub fn view(&self) -> EpilogueView<'_> {
        EpilogueView {
            alpha: self.alpha,
            bias: self.bias.as_deref().map(|bytes| View { dtype: DType::F32, bytes }),
            residual: self.residual.as_deref().map(|bytes| View { dtype: DType::E5M2, bytes }),
            activation: self.activation,
            store: self.store,
        }
    }
}

/// One with nothing but FP32 output, one with everything, for an output of `len` elements.
pub fn epilogues(columns: usize, len: usize) -> [OwnedEpilogue; 2] {
    let plain =
        OwnedEpilogue { alpha: 1.0, bias: None, residual: None, activation: Activation::None, store: Store::F32 };
    let store = Store {
        rounding: Rounding::Stochastic { bits: 16 },
        random: Stream { seed: 3, step: 4, id: 5 },
        scale: 2.0,
        ..Store::nearest(DType::E5M2)
    };
    let full = OwnedEpilogue {
        alpha: 0.3,
        bias: Some(codes(11, DType::F32, columns)),
        residual: Some(codes(12, DType::E5M2, len)),
        activation: Activation::Relu,
        store,
    };
    [plain, full]
}

/// The output of an epilogue, in plain loops.
pub fn finish(epilogue: &OwnedEpilogue, columns: usize, sums: &[f32]) -> Vec<u8> {
    let bias = epilogue.bias.as_deref().map(|bytes| values(DType::F32, bytes));
    let residual = epilogue.residual.as_deref().map(|bytes| values(DType::E5M2, bytes));
    let element = |(i, sum): (usize, &f32)| {
        let mut value = if sum.is_nan() { f32::NAN } else { epilogue.alpha * sum };
        value += bias.as_ref().map_or(0.0, |bias| bias[i % columns]);
        value += residual.as_ref().map_or(0.0, |residual| residual[i]);
        if epilogue.activation == Activation::Relu && value < 0.0 { 0.0 } else { value }
    };
    let finished: Vec<f32> = sums.iter().enumerate().map(element).collect();
    let mut bytes = vec![0; finished.len() * epilogue.store.dtype.size()];
    codec::encode(Isa::available()[0], &epilogue.store, 0, &finished, &mut bytes);
    bytes
}

/// `bytes` as the output of an epilogue.
pub fn view_mut<'a>(epilogue: &OwnedEpilogue, bytes: &'a mut [u8]) -> ViewMut<'a> {
    ViewMut { dtype: epilogue.store.dtype, bytes }
}
