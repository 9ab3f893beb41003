//! The errors of exp, ln, tanh and sigmoid over every one of the 2^32 f32 values, against f64, on every instruction set of this
//! CPU. Takes minutes: `cargo run --release -p fp8-kernels --example exhaustive_math`.

#[path = "../tests/elementary/mod.rs"]
mod elementary;

use std::process::ExitCode;
use std::time::Instant;

use rayon::prelude::*;

fn main() -> ExitCode {
    let mut wrong = false;
    for function in elementary::FUNCTIONS {
        let start = Instant::now();
        let chunk = |top: u32| {
            let x: Vec<f32> = (0..1 << 20).map(|low| f32::from_bits(top << 20 | low)).collect();
            function.worst(&x)
        };
        let worst = (0..1_u32 << 12).into_par_iter().map(chunk).max_by(|a, b| a.0.total_cmp(&b.0));
        let (error, at) = worst.expect("there are chunks");
        wrong |= error > function.bound;
        println!("{}: {error:.3} ULP, at {at:e} ({:.0} s)", function.name, start.elapsed().as_secs_f64());
    }
    if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
