//! Matrix products, summed and stored in f32.

use anyhow::Result;
use fp8_kernels::{Backend, Buffer, DType, Epilogue, Gemm, Layout, Store};
use serde_json::json;

use super::work::{Contender, Work};
use super::{Ours, Prepare, values};

const SIZES: [usize; 3] = [1024, 2048, 4096];

const OURS: [(DType, Layout); 5] = [
    (DType::E5M2, Layout::NN),
    (DType::E5M2, Layout::NT),
    (DType::E5M2, Layout::TN),
    (DType::Bf16, Layout::NN),
    (DType::F32, Layout::NN),
];

pub fn works() -> Vec<Prepare> {
    SIZES.into_iter().map(|size| Box::new(move |ours: &Ours| products(ours, size)) as Prepare).collect()
}

fn products(ours: &Ours, size: usize) -> Result<Work> {
    let amount = 2.0 * (size as f64).powi(3) / 1e9;
    let torch = |name, dtype| Contender::peer(name, amount, json!({ "work": "gemm", "size": size, "type": dtype }));
    let mut contenders = Vec::new();
    for (dtype, layout) in OURS {
        contenders.push(product(ours, amount, dtype, Gemm { m: size, n: size, k: size, layout })?);
    }
    contenders.push(torch("PyTorch bf16", "bfloat16").against("PyTorch sgemm"));
    contenders.push(torch("PyTorch sgemm", "float32"));
    Ok(Work { name: format!("GEMM {size}"), unit: "GFLOP/s", contenders })
}

fn product(ours: &Ours, amount: f64, dtype: DType, shape: Gemm) -> Result<Contender> {
    let backend = ours.backend()?;
    let a = operand(&*backend, dtype, shape.m * shape.k)?;
    let b = operand(&*backend, dtype, shape.k * shape.n)?;
    let mut c = backend.alloc(DType::F32, shape.m * shape.n)?;
    let name = format!("{dtype} {:?}", shape.layout);
    let run = move || Ok(backend.gemm(&shape, &a, &b, &Epilogue::store(Store::F32), &mut c)?);
    Ok(Contender::ours(name, amount, run).against("PyTorch sgemm"))
}

/// Numbers from -4 to 4 as `dtype`.
pub fn operand(backend: &dyn Backend, dtype: DType, len: usize) -> Result<Buffer> {
    let bytes: Vec<u8> = values(len).into_iter().flat_map(f32::to_le_bytes).collect();
    let mut wide = backend.alloc(DType::F32, len)?;
    backend.upload(&bytes, &mut wide)?;
    let mut narrow = backend.alloc(dtype, len)?;
    backend.cast(&wide, 1.0, &Store::nearest(dtype), &mut narrow)?;
    Ok(narrow)
}
