//! Development commands of the workspace: `cargo xtask --help`. One module per command.

mod bench;
mod check;
mod fetch;
mod provenance;
mod report;
mod repository;
mod reproduce;
mod runs;
mod sweep;
mod table;
mod terminal;
mod tidy;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Development commands of the fp8 workspace")]
enum Command {
    /// Measure our speeds and, with --peer, PyTorch's beside them
    Bench(bench::Arguments),
    /// Run all that CI runs, cheapest first
    Check(check::Arguments),
    /// Download a data set, or check the one that is there
    Fetch(fetch::Arguments),
    /// Render the reports of a finished or interrupted `reproduce` anew
    Report(report::Arguments),
    /// Train as the paper did, and report its comparison
    Reproduce(reproduce::Arguments),
    /// Train once for each value of some fields of a configuration
    Sweep(sweep::Arguments),
    /// Check the invariants of docs/architecture.md
    Tidy,
}

/// Prints to the standard error, if anybody listens: no run ends for want of a reader.
fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn main() -> ExitCode {
    let done = |()| ExitCode::SUCCESS;
    let result = match Command::parse() {
        Command::Bench(arguments) => bench::run(&arguments).map(done),
        Command::Check(arguments) => check::run(&arguments).map(done),
        Command::Fetch(arguments) => fetch::run(&arguments).map(done),
        Command::Report(arguments) => report::run(&arguments).map(done),
        Command::Reproduce(arguments) => reproduce::run(&arguments),
        Command::Sweep(arguments) => sweep::run(&arguments),
        Command::Tidy => tidy::run().map(done),
    };
    result.unwrap_or_else(|error| {
        note(&format!("error: {error:#}"));
        ExitCode::FAILURE
    })
}
