//! Matrix products.

use std::sync::Arc;

use anyhow::Result;
use fp8_kernels::{Backend, Buffer, DType, Epilogue, Gemm, Store};
use serde_json::json;

use super::shapes::{Product, Products};
use super::work::{Contender, Work};
use super::{Ours, Prepare, values};

pub fn works(products: &'static Products) -> Vec<Prepare> {
    products.sizes.iter().map(|&size| Box::new(move |ours: &Ours| work(ours, products, size)) as Prepare).collect()
}

fn work(ours: &Ours, products: &Products, [m, n, k]: [usize; 3]) -> Result<Work> {
    let amount = 2.0 * m as f64 * n as f64 * k as f64 / products.of_unit;
    let mut contenders = Vec::new();
    for product in products.ours {
        contenders.push(contender(ours, amount, product, [m, n, k])?);
    }
    let request = || json!({ "work": "gemm", "m": m, "n": n, "k": k });
    contenders.extend(products.peers.iter().map(|mode| Contender::mode(mode, amount, request())));
    let name = if m == n && n == k { format!("GEMM {m}") } else { format!("GEMM {m}x{n}x{k}") };
    Ok(Work { name, unit: products.unit, contenders })
}

fn contender(ours: &Ours, amount: f64, product: &Product, [m, n, k]: [usize; 3]) -> Result<Contender> {
    let &Product { operands, layout, result, accumulation, against } = product;
    let backend = match accumulation {
        Some(accumulation) => ours.device.summing(accumulation).open(Some(ours.threads))?,
        None => ours.backend()?,
    };
    let name = match accumulation {
        Some(accumulation) => format!("{operands} {layout:?} to {result}, {accumulation}"),
        None => format!("{operands} {layout:?}"),
    };
    let (a, b) = (operand(&*backend, operands, m * k)?, operand(&*backend, operands, k * n)?);
    let mut c = backend.alloc(result, m * n)?;
    let (shape, card) = (Gemm { m, n, k, layout }, backend.clone());
    let run = move || Ok(card.gemm(&shape, &a, &b, &Epilogue::store(Store::nearest(result)), &mut c)?);
    Ok(Contender::ours(name, amount, &backend, run)?.against(against))
}

/// Numbers from -4 to 4 as `dtype`.
pub fn operand(backend: &dyn Backend, dtype: DType, len: usize) -> Result<Buffer> {
    let bytes: Vec<u8> = values(len).into_iter().flat_map(f32::to_le_bytes).collect();
    let mut wide = backend.alloc(DType::F32, len)?;
    backend.upload(&bytes, &mut wide)?;
    if dtype == DType::F32 {
        return Ok(wide);
    }
    let mut narrow = backend.alloc(dtype, len)?;
    backend.cast(&wide, 1.0, &Store::nearest(dtype), &mut narrow)?;
    Ok(narrow)
}

/// The same, shared.
pub fn shared_operand(backend: &Arc<dyn Backend>, dtype: DType, len: usize) -> Result<Arc<Buffer>> {
    Ok(Arc::new(operand(&**backend, dtype, len)?))
}
