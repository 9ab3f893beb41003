//! Casts from f32: out of memory on all threads, and in cache on one core.

use std::hint::black_box;

use fp8_core::{Rounding, Stream};
use fp8_kernels::isa::Isa;
use fp8_kernels::{DType, Store, codec};
use rayon::prelude::*;

use super::Prepare;
use super::work::{Contender, Work};

/// Elements in memory: 64 Mi.
const FAR: usize = 1 << 26;
/// Elements in a first-level cache, and how often they are cast.
const NEAR: usize = 4096;
const TIMES: usize = 4096;

pub fn works() -> Vec<Prepare> {
    vec![Box::new(from_memory), Box::new(in_cache)]
}

fn stochastic() -> Store {
    let random = Stream { seed: 1, step: 2, id: 3 };
    Store { rounding: Rounding::STOCHASTIC, random, ..Store::nearest(DType::E5M2) }
}

fn from_memory(isa: Isa) -> Work {
    let contenders = vec![
        copy(),
        cast(isa, "E5M2 nearest-even", Store::nearest(DType::E5M2)),
        cast(isa, "E5M2 stochastic", stochastic()),
        cast(isa, "E4M3 nearest-even", Store::nearest(DType::E4M3)),
        Contender::peer("torch E5M2", format!("cast e5m2 {FAR}")),
        Contender::peer("torch E4M3", format!("cast e4m3fn {FAR}")),
        Contender::peer("torch copy f32", format!("copy {FAR}")),
    ];
    Work { name: "cast f32, 64 Mi".into(), unit: "G elements/s", amount: FAR as f64 / 1e9, contenders }
}

fn cast(isa: Isa, name: &str, store: Store) -> Contender {
    let x = values(FAR);
    let mut y = vec![0; FAR * store.dtype.size()];
    let part = FAR.div_ceil(rayon::current_num_threads());
    Contender::ours(name, move || {
        let parts = y.par_chunks_mut(part * store.dtype.size()).zip(x.par_chunks(part)).enumerate();
        parts.for_each(|(at, (y, x))| codec::encode(isa, &store, (at * part) as u64, x, y));
        Ok(())
    })
}

/// Values spread over -4 to 4.
fn values(len: usize) -> Vec<f32> {
    (0..len as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 21) as f32 - 4.0).collect()
}

/// What memory allows: f32 copied to f32 (8 bytes an element; a cast to FP8 moves 5).
fn copy() -> Contender {
    let x = values(FAR);
    let mut y = vec![0.0_f32; FAR];
    let part = FAR.div_ceil(rayon::current_num_threads());
    Contender::ours("copy f32", move || {
        y.par_chunks_mut(part).zip(x.par_chunks(part)).for_each(|(y, x)| y.copy_from_slice(x));
        black_box(&mut y);
        Ok(())
    })
}

fn in_cache(isa: Isa) -> Work {
    let contender = |name: &str, store: Store| {
        let x = values(NEAR);
        let mut y = vec![0; NEAR * store.dtype.size()];
        Contender::ours(name, move || {
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
    let amount = (NEAR * TIMES) as f64 / 1e9;
    Work { name: "cast f32, in cache, one core".into(), unit: "G elements/s", amount, contenders }
}
