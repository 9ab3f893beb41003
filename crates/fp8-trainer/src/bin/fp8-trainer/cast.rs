//! `fp8-trainer cast`.

use std::path::PathBuf;

use anyhow::Result;
use fp8_core::{Overflow, Rounding};
use fp8_kernels::DType;
use fp8_trainer::cast::{Cast, FORMATS, cast_file};

use crate::{note, say_of};

/// Quantises every floating tensor of a file
#[derive(clap::Args)]
#[command(after_help = "Examples:
  fp8-trainer cast model.safetensors model-e5m2.safetensors --format e5m2
  fp8-trainer cast model.safetensors out.safetensors --format e4m3 --rounding rtz --overflow saturate
  fp8-trainer cast model.safetensors out.safetensors --format e5m2 --rounding sr \\
      --seed 1 --step 7 --random-bits 8
  fp8-trainer cast model-e5m2.safetensors back.safetensors --format f32

E5M2, E4M3, F16, BF16 and F32 are stored as the safetensors types of these names; codes of other formats as U8, and the \
file's metadata says which format (fp8.format) and which tensors (fp8.tensors). F8_E8M0 is read, but not \
written: it is for scales, powers of two. Each value is rounded once. The random bits of \
element i (row-major) of the tensor NAME depend on seed, step, the 32-bit FNV-1a hash of NAME, and i alone.")]
pub struct Arguments {
    /// Safetensors file to read
    input: PathBuf,
    /// Safetensors file to write
    output: PathBuf,
    /// e5m2, e4m3, e5m2fnuz, e4m3fnuz, e3m4, f16, bf16, or f32 to go back
    #[arg(long, value_parser = format)]
    format: DType,
    /// rne (nearest, ties to even), rna (ties away from zero), rtz (toward zero), rtp (up), rtn (down), sr (stochastic)
    #[arg(long, default_value = "rne")]
    rounding: Rounding,
    /// What becomes of values past the largest finite one: infinity, saturate
    #[arg(long, default_value = "infinity")]
    overflow: Overflow,
    /// Seed of stochastic rounding [default: 0]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Step of stochastic rounding [default: 0]
    #[arg(long, value_name = "T")]
    step: Option<u32>,
    /// Random bits of stochastic rounding, 1 to 32 [default: 16]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=32))]
    random_bits: Option<u8>,
}

fn format(name: &str) -> Result<DType, String> {
    let choices = format!("choose one of {}", FORMATS.map(DType::name).join(", "));
    match FORMATS.into_iter().find(|format| format.name() == name) {
        Some(format) => Ok(format),
        None if name == "e8m0" => Err(format!("e8m0 is for scales: powers of two, no sign, no zero; {choices}")),
        None => Err(choices),
    }
}

impl Arguments {
    /// The rounding with its random bits; says what is given and does nothing, as where a script goes through all roundings.
    fn rounding(&self) -> Rounding {
        if let Rounding::Stochastic { bits } = self.rounding {
            return Rounding::Stochastic { bits: self.random_bits.unwrap_or(bits) };
        }
        let given = [
            ("--seed", self.seed.is_some()),
            ("--step", self.step.is_some()),
            ("--random-bits", self.random_bits.is_some()),
        ];
        for (option, _) in given.into_iter().filter(|(_, given)| *given) {
            note(&format!("{option} changes nothing, as rounding is {}: it is for --rounding sr", self.rounding));
        }
        self.rounding
    }
}

/// Casts the file.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { format, overflow, seed, step, .. } = *arguments;
    let rounding = arguments.rounding();
    let cast = Cast { format, rounding, overflow, seed: seed.unwrap_or(0), step: step.unwrap_or(0) };
    let summary = cast_file(&arguments.input, &arguments.output, &cast)?;
    let text = format!(
        "{} tensors to {format}, {} left as they are; {} bytes to {}",
        summary.cast, summary.copied, summary.bytes_in, summary.bytes_out
    );
    say_of(&arguments.output, &text)
}
