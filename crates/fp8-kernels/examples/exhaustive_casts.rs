//! Proof by exhaustion: every one of the 2^32 f32 values, through every cast, on every instruction set of this CPU.
//!
//! To nearest even, the codes of the 8-bit formats are compared with those of ml_dtypes (by digests, so without Python); in
//! every rounding, those of all formats with the scalar oracle of fp8-core. Takes minutes:
//! `cargo run --release -p fp8-kernels --example exhaustive_casts`.

#[path = "../tests/reference/mod.rs"]
mod reference;

use std::process::ExitCode;
use std::time::Instant;

use fp8_core::{Rounding, Stream};
use fp8_kernels::isa::Isa;
use fp8_kernels::{DType, Store, codec};
use rayon::prelude::*;

const ROUNDINGS: [Rounding; 6] = [
    Rounding::NearestEven,
    Rounding::NearestAway,
    Rounding::TowardZero,
    Rounding::TowardPositive,
    Rounding::TowardNegative,
    Rounding::STOCHASTIC,
];

/// Values of f32 that are checked at once: those of one topmost byte.
const CHUNK: u32 = 1 << 24;

fn main() -> ExitCode {
    let paths = Isa::available();
    println!("2^32 inputs each, on {}", paths.iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", "));
    let mut wrong = 0;
    for dtype in reference::TYPES {
        wrong += report(&format!("{dtype} rne, against ml_dtypes"), |chunk| {
            let x = values(chunk);
            let expected = reference::expected(dtype, &format!("{:x}", chunk / 16))[chunk as usize % 16];
            paths.iter().filter(|&&isa| reference::digest(isa, dtype, &x) != expected).count()
        });
    }
    let random = Stream { seed: 1, step: 2, id: 3 };
    let draws: Vec<u32> = (0..CHUNK).map(|index| random.draw(u64::from(index), 16)).collect();
    for dtype in reference::TYPES.into_iter().chain([DType::F16, DType::Bf16]) {
        for rounding in ROUNDINGS {
            let store = Store { rounding, random, ..Store::nearest(dtype) };
            let check = |chunk| differences(&paths, &store, &draws, &values(chunk));
            wrong += report(&format!("{dtype} {rounding}, against the oracle"), check);
        }
    }
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the 256 chunks of f32 on all threads; prints and returns how many paths went wrong in one.
fn report(what: &str, check: impl Fn(u32) -> usize + Send + Sync) -> usize {
    let start = Instant::now();
    let wrong = (0..256_u32).into_par_iter().map(check).sum();
    println!("{what}: {wrong} chunks differ ({:.1} s)", start.elapsed().as_secs_f64());
    wrong
}

/// The values whose topmost byte is `chunk`.
fn values(chunk: u32) -> Vec<f32> {
    (0..CHUNK).map(|low| f32::from_bits(chunk * CHUNK + low)).collect()
}

/// How many paths give other codes for `x` than fp8-core.
fn differences(paths: &[Isa], store: &Store, draws: &[u32], x: &[f32]) -> usize {
    let size = store.dtype.size();
    let format = store.dtype.format().expect("a narrow format");
    let mut expected = vec![0; x.len() * size];
    for ((x, draw), out) in x.iter().zip(draws).zip(expected.chunks_exact_mut(size)) {
        let code = fp8_core::encode(format, f64::from(*x), store.rounding, store.overflow, *draw);
        out.copy_from_slice(&code.to_le_bytes()[..size]);
    }
    let mut found = vec![0; expected.len()];
    let differs = |&isa: &Isa| {
        codec::encode(isa, store, 0, x, &mut found);
        found != expected
    };
    paths.iter().copied().filter(differs).count()
}
