//! Casts from f32: out of memory on the whole device, and in cache on one core of a CPU.

use std::hint::black_box;
use std::sync::Arc;

use anyhow::Result;
use fp8_core::{Rounding, Stream};
use fp8_kernels::{Backend, Buffer, DType, Store, codec, isa};
use fp8_trainer::Device;
use rayon::prelude::*;
use serde_json::json;

use super::shapes::Shapes;
use super::work::{Contender, Work};
use super::{Ours, Prepare, gemm, values};

/// Elements in a first-level cache, and how often they are cast.
const NEAR: usize = 4096;
const TIMES: usize = 4096;

/// Read and written for each element, copied and cast: what memory bounds.
const COPY_BYTES: f64 = 8.0;
const CAST_BYTES: f64 = 5.0;

pub fn works(device: Device, shapes: &Shapes) -> Vec<Prepare> {
    let size = shapes.cast;
    let mut works: Vec<Prepare> =
        vec![Box::new(move |ours| elements(ours, size)), Box::new(move |ours| traffic(ours, size))];
    if device == Device::Cpu {
        works.push(Box::new(in_cache));
    }
    works
}

fn stochastic() -> Store {
    let random = Stream { seed: 1, step: 2, id: 3 };
    Store { rounding: Rounding::STOCHASTIC, random, ..Store::nearest(DType::E5M2) }
}

/// Values that are cast.
struct Far {
    backend: Arc<dyn Backend>,
    x: Arc<Buffer>,
}

impl Far {
    fn new(ours: &Ours, size: usize) -> Result<Self> {
        let backend = ours.backend()?;
        Ok(Self { x: gemm::shared_operand(&backend, DType::F32, size)?, backend })
    }

    fn cast(&self, name: &str, amount: f64, store: Store) -> Result<Contender> {
        let (backend, x) = (self.backend.clone(), self.x.clone());
        let mut y = backend.alloc(store.dtype, x.len())?;
        Contender::ours(name, amount, &self.backend, move || Ok(backend.cast(&x, 1.0, &store, &mut y)?))
    }

    /// f32 to f32.
    fn copy(&self, ours: &Ours, name: &str, amount: f64) -> Result<Contender> {
        if ours.device != Device::Cpu {
            return self.cast(name, amount, Store::F32);
        }
        let x = values(self.x.len());
        let mut y = vec![0.0_f32; x.len()];
        let part = x.len().div_ceil(rayon::current_num_threads());
        Contender::ours(name, amount, &self.backend, move || {
            y.par_chunks_mut(part).zip(x.par_chunks(part)).for_each(|(y, x)| y.copy_from_slice(x));
            black_box(&mut y);
            Ok(())
        })
    }
}

fn elements(ours: &Ours, size: usize) -> Result<Work> {
    let far = Far::new(ours, size)?;
    let amount = size as f64 / 1e9;
    let torch = |name, format| Contender::peer(name, amount, json!({ "work": "cast", "size": size, "format": format }));
    let contenders = vec![
        far.cast("E5M2 nearest-even", amount, Store::nearest(DType::E5M2))?.against("PyTorch E5M2"),
        far.cast("E5M2 stochastic", amount, stochastic())?.against("PyTorch E5M2"),
        far.cast("E4M3 nearest-even", amount, Store::nearest(DType::E4M3))?.against("PyTorch E4M3"),
        far.copy(ours, "copy", amount)?.against("PyTorch copy"),
        torch("PyTorch E5M2", "e5m2"),
        torch("PyTorch E4M3", "e4m3fn"),
        Contender::peer("PyTorch copy", amount, json!({ "work": "copy", "size": size })),
    ];
    Ok(Work { name: format!("cast {} Mi f32", size >> 20), unit: "G elements/s", contenders })
}

/// The same as bytes read and written, against what memory allows.
fn traffic(ours: &Ours, size: usize) -> Result<Work> {
    let far = Far::new(ours, size)?;
    let amount = |bytes: f64| size as f64 * bytes / 1e9;
    let request = json!({ "work": "copy", "size": size });
    let contenders = vec![
        far.cast("E5M2 nearest-even", amount(CAST_BYTES), Store::nearest(DType::E5M2))?.against("our copy"),
        far.cast("E5M2 stochastic", amount(CAST_BYTES), stochastic())?.against("our copy"),
        far.copy(ours, "our copy", amount(COPY_BYTES))?,
        Contender::peer("PyTorch copy", amount(COPY_BYTES), request).against("our copy"),
    ];
    Ok(Work { name: format!("cast {} Mi f32, bytes", size >> 20), unit: "GB/s", contenders })
}

fn in_cache(ours: &Ours) -> Result<Work> {
    let (isa, backend) = (isa::select()?, ours.backend()?);
    let contender = |name: &str, store: Store| {
        let x = values(NEAR);
        let mut y = vec![0; NEAR * store.dtype.size()];
        Contender::ours(name, (NEAR * TIMES) as f64 / 1e9, &backend, move || {
            for _ in 0..TIMES {
                codec::encode(isa, &store, 0, black_box(&x), black_box(&mut y));
            }
            Ok(())
        })
    };
    let contenders = vec![
        contender("E5M2 nearest-even", Store::nearest(DType::E5M2))?,
        contender("E5M2 stochastic", stochastic())?,
        contender("E4M3 nearest-even", Store::nearest(DType::E4M3))?,
    ];
    Ok(Work { name: "cast in cache, one core".into(), unit: "G elements/s", contenders })
}
