//! Casts from f32: out of memory on all threads, and in cache on one core.

use std::hint::black_box;
use std::sync::Arc;

use anyhow::Result;
use fp8_core::{Rounding, Stream};
use fp8_kernels::{Backend, DType, Store, codec};
use rayon::prelude::*;
use serde_json::json;

use super::work::{Contender, Work};
use super::{Ours, Prepare, gemm, values};

/// Elements in memory: 64 Mi.
const FAR: usize = 1 << 26;
/// Elements in a first-level cache, and how often they are cast.
const NEAR: usize = 4096;
const TIMES: usize = 4096;

/// Read and written for each element, copied and cast: what memory bounds.
const COPY_BYTES: f64 = 8.0;
const CAST_BYTES: f64 = 5.0;

pub fn works() -> Vec<Prepare> {
    vec![Box::new(from_memory), Box::new(traffic), Box::new(in_cache)]
}

fn stochastic() -> Store {
    let random = Stream { seed: 1, step: 2, id: 3 };
    Store { rounding: Rounding::STOCHASTIC, random, ..Store::nearest(DType::E5M2) }
}

fn from_memory(ours: &Ours) -> Result<Work> {
    let backend = ours.backend()?;
    let amount = FAR as f64 / 1e9;
    let torch = |name, format| Contender::peer(name, amount, json!({ "work": "cast", "size": FAR, "format": format }));
    let contenders = vec![
        cast(&backend, "E5M2 nearest-even", amount, Store::nearest(DType::E5M2))?.against("PyTorch E5M2"),
        cast(&backend, "E5M2 stochastic", amount, stochastic())?.against("PyTorch E5M2"),
        cast(&backend, "E4M3 nearest-even", amount, Store::nearest(DType::E4M3))?.against("PyTorch E4M3"),
        copy("copy", amount).against("PyTorch copy"),
        torch("PyTorch E5M2", "e5m2"),
        torch("PyTorch E4M3", "e4m3fn"),
        Contender::peer("PyTorch copy", amount, json!({ "work": "copy", "size": FAR })),
    ];
    Ok(Work { name: "cast 64 Mi f32".into(), unit: "G elements/s", contenders })
}

/// The same as bytes read and written, against what memory allows.
fn traffic(ours: &Ours) -> Result<Work> {
    let backend = ours.backend()?;
    let amount = |bytes: f64| FAR as f64 * bytes / 1e9;
    let contenders = vec![
        cast(&backend, "E5M2 nearest-even", amount(CAST_BYTES), Store::nearest(DType::E5M2))?.against("our copy"),
        cast(&backend, "E5M2 stochastic", amount(CAST_BYTES), stochastic())?.against("our copy"),
        copy("our copy", amount(COPY_BYTES)),
    ];
    Ok(Work { name: "cast 64 Mi f32, bytes".into(), unit: "GB/s", contenders })
}

fn cast(backend: &Arc<dyn Backend>, name: &str, amount: f64, store: Store) -> Result<Contender> {
    let backend = backend.clone();
    let x = gemm::operand(&*backend, DType::F32, FAR)?;
    let mut y = backend.alloc(store.dtype, FAR)?;
    Ok(Contender::ours(name, amount, move || Ok(backend.cast(&x, 1.0, &store, &mut y)?)))
}

/// f32 to f32.
fn copy(name: &str, amount: f64) -> Contender {
    let x = values(FAR);
    let mut y = vec![0.0_f32; FAR];
    let part = FAR.div_ceil(rayon::current_num_threads());
    Contender::ours(name, amount, move || {
        y.par_chunks_mut(part).zip(x.par_chunks(part)).for_each(|(y, x)| y.copy_from_slice(x));
        black_box(&mut y);
        Ok(())
    })
}

fn in_cache(ours: &Ours) -> Result<Work> {
    let isa = ours.isa;
    let contender = |name: &str, store: Store| {
        let x = values(NEAR);
        let mut y = vec![0; NEAR * store.dtype.size()];
        Contender::ours(name, (NEAR * TIMES) as f64 / 1e9, move || {
            for _ in 0..TIMES {
                codec::encode(isa, &store, 0, black_box(&x), black_box(&mut y));
            }
            Ok(())
        })
    };
    let contenders = vec![
        contender("E5M2 nearest-even", Store::nearest(DType::E5M2)),
        contender("E5M2 stochastic", stochastic()),
        contender("E4M3 nearest-even", Store::nearest(DType::E4M3)),
    ];
    Ok(Work { name: "cast in cache, one core".into(), unit: "G elements/s", contenders })
}
