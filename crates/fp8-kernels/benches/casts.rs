//! Speed of the casts on one core, in cache: `cargo bench -p fp8-kernels --bench casts`.

use std::time::Instant;

use fp8_core::{Rounding, Stream};
use fp8_kernels::isa::Isa;
use fp8_kernels::{DType, Store, codec};

const LEN: usize = 4096;

fn main() {
    let random = Stream { seed: 1, step: 2, id: 3 };
    let x: Vec<f32> = (0..LEN).map(|i| ((i * 7919) % LEN) as f32 / 256.0 - 8.0).collect();
    println!("G elements/s on one core, {LEN} elements in cache\n");
    println!("| isa | dtype | rne | rtz | rtp | sr | decode |\n|---|---|---:|---:|---:|---:|---:|");
    for isa in Isa::available() {
        for dtype in [DType::E5M2, DType::E4M3, DType::E5M2Fnuz, DType::E4M3Fnuz, DType::E3M4, DType::F16, DType::Bf16]
        {
            let mut bytes = vec![0; LEN * dtype.size()];
            let roundings =
                [Rounding::NearestEven, Rounding::TowardZero, Rounding::TowardPositive, Rounding::STOCHASTIC];
            print!("| {isa} | {dtype} |");
            for rounding in roundings {
                let store = Store { rounding, random, ..Store::nearest(dtype) };
                let rate =
                    rate(|| codec::encode(isa, &store, 0, std::hint::black_box(&x), std::hint::black_box(&mut bytes)));
                print!(" {rate:.2} |");
            }
            let mut back = vec![0.0; LEN];
            let rate =
                rate(|| codec::decode(isa, dtype, std::hint::black_box(&bytes), std::hint::black_box(&mut back)));
            println!(" {rate:.2} |");
        }
    }
}

/// The best of 9 runs of about 5 ms.
fn rate(mut pass: impl FnMut()) -> f64 {
    let mut repeats = 1;
    loop {
        let start = Instant::now();
        (0..repeats).for_each(|_| pass());
        if start.elapsed().as_secs_f64() > 0.005 {
            break;
        }
        repeats *= 2;
    }
    let run = |_| {
        let start = Instant::now();
        (0..repeats).for_each(|_| pass());
        (repeats * LEN) as f64 / start.elapsed().as_secs_f64() / 1e9
    };
    (0..9).map(run).fold(0.0, f64::max)
}
