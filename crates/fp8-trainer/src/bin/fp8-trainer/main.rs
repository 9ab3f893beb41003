//! `fp8-trainer`: trains networks in 8-bit floating point, and shows what the numbers do.

mod cast;
mod eval;
mod formats;
mod missing;
mod progress;
mod score;
mod step;
mod train;
mod translate;

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use fp8_kernels::Backend;
use fp8_trainer::Device;
use tracing_subscriber::EnvFilter;

/// Trains neural networks in 8-bit floating point (Mellempudi et al., 2019)
#[derive(Parser)]
#[command(
    version,
    after_help = "FP8_ISA=scalar|avx2|avx512|amx|neon chooses the instruction set, RUST_LOG=debug logs more."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Train(train::Arguments),
    Eval(eval::Arguments),
    Translate(translate::Arguments),
    Step(step::Arguments),
    Cast(cast::Arguments),
    Formats(formats::Arguments),
    Score(score::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let colours = io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colours);
    // That the log cannot be written would be said where it cannot be written, by a macro that panics.
    log.log_internal_errors(false).without_time().init();
    let result = match arguments.command {
        Command::Train(arguments) => train::run(&arguments),
        Command::Eval(arguments) => eval::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Translate(arguments) => translate::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Step(arguments) => step::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Cast(arguments) => cast::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Formats(arguments) => formats::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Score(arguments) => score::run(&arguments).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        note(&format!("error: {error:#}"));
        ExitCode::FAILURE
    })
}

/// Where to compute.
#[derive(clap::Args)]
struct Place {
    /// Where to compute: cpu, cuda, or cuda:N for card N; `cuda,MODE` says how products are summed: ordered, exact, promoted, fast
    #[arg(long, default_value_t)]
    device: Device,
    /// Threads for computing on the CPU; they change no result; at most 1024 [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl Place {
    /// Opens the device.
    fn open(&self) -> Result<Arc<dyn Backend>> {
        Ok(self.device.open(self.threads.map(usize::from))?)
    }
}

/// Says what was written into `output`; on the standard error where that is the standard output itself, and nowhere where it is both.
fn say_of(output: &Path, text: &str) -> Result<()> {
    match [fp8_trainer::is_standard_output(output), fp8_trainer::is_standard_error(output)] {
        [true, true] => {}
        [true, false] => note(text),
        [false, _] => say(text)?,
    }
    Ok(())
}

/// Prints to the standard error, if anybody listens: no run ends for want of a reader.
fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints to the standard output. A reader that has seen enough (`| head`) is no failure.
fn say(text: &str) -> Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("writing to the standard output"),
    }
}
