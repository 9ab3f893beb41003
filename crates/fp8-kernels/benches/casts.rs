//! Speed of the casts, in cache on one core and through memory on all: `cargo bench -p fp8-kernels --bench casts`.

use std::hint::black_box;
use std::time::Instant;

use fp8_core::{Rounding, Stream};
use fp8_kernels::isa::Isa;
use fp8_kernels::{DType, Store, codec};
use rayon::prelude::*;

const TYPES: [DType; 7] =
    [DType::E5M2, DType::E4M3, DType::E5M2Fnuz, DType::E4M3Fnuz, DType::E3M4, DType::F16, DType::Bf16];

const ROUNDINGS: [Rounding; 4] =
    [Rounding::NearestEven, Rounding::TowardZero, Rounding::TowardPositive, Rounding::STOCHASTIC];

fn main() {
    in_cache(4096);
    in_memory(64 << 20);
}

fn store(dtype: DType, rounding: Rounding) -> Store {
    Store { rounding, random: Stream { seed: 1, step: 2, id: 3 }, ..Store::nearest(dtype) }
}

fn numbers(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919) % 4096) as f32 / 256.0 - 8.0).collect()
}

fn in_cache(len: usize) {
    println!("G elements/s on one core, {len} elements in cache\n");
    println!("| isa | dtype | rne | rtz | rtp | sr | decode |\n|---|---|---:|---:|---:|---:|---:|");
    let x = numbers(len);
    for isa in Isa::available() {
        for dtype in TYPES {
            let mut bytes = vec![0; len * dtype.size()];
            print!("| {isa} | {dtype} |");
            for rounding in ROUNDINGS {
                let store = store(dtype, rounding);
                print!(" {:.2} |", rate(len, || codec::encode(isa, &store, 0, black_box(&x), black_box(&mut bytes))));
            }
            let mut back = vec![0.0; len];
            println!(" {:.2} |", rate(len, || codec::decode(isa, dtype, black_box(&bytes), black_box(&mut back))));
        }
    }
}

fn in_memory(len: usize) {
    const CHUNK: usize = 1 << 16;
    println!("\n{len} elements through memory, {} threads\n", rayon::current_num_threads());
    println!("| what | G elements/s | GB/s read and written |\n|---|---:|---:|");
    let (x, mut y, mut bytes) = (numbers(len), vec![1.0_f32; len], vec![1_u8; len]);
    let row = |what: &str, bytes: f64, rate: f64| println!("| {what} | {rate:.2} | {:.1} |", rate * bytes);
    let copy = rate(len, || x.par_chunks(CHUNK).zip(y.par_chunks_mut(CHUNK)).for_each(|(x, y)| y.copy_from_slice(x)));
    row("copy f32", 8.0, copy);
    for isa in Isa::available() {
        for rounding in [Rounding::NearestEven, Rounding::STOCHASTIC] {
            let store = store(DType::E5M2, rounding);
            let cast = rate(len, || {
                let chunks = x.par_chunks(CHUNK).zip(bytes.par_chunks_mut(CHUNK)).enumerate();
                chunks.for_each(|(i, (x, bytes))| codec::encode(isa, &store, (i * CHUNK) as u64, x, bytes));
            });
            row(&format!("{isa} f32 to e5m2, {rounding}"), 5.0, cast);
        }
        let back = rate(len, || {
            let chunks = bytes.par_chunks(CHUNK).zip(y.par_chunks_mut(CHUNK));
            chunks.for_each(|(bytes, y)| codec::decode(isa, DType::E5M2, bytes, y));
        });
        row(&format!("{isa} e5m2 to f32"), 5.0, back);
    }
}

/// G elements/s: the best of 9 runs of at least 5 ms.
fn rate(len: usize, mut pass: impl FnMut()) -> f64 {
    let mut repeats = 1;
    let mut run = |repeats: usize| {
        let start = Instant::now();
        (0..repeats).for_each(|_| pass());
        start.elapsed().as_secs_f64()
    };
    while run(repeats) < 0.005 {
        repeats *= 2;
    }
    let best = (0..9).map(|_| run(repeats)).fold(f64::INFINITY, f64::min);
    (repeats * len) as f64 / best / 1e9
}
