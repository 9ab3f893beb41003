//! Development commands of the workspace: `cargo xtask --help`. One module per command.

mod bench;
mod check;
mod provenance;
mod report;
mod repository;
mod reproduce;
mod table;
mod tidy;

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Development commands of the fp8 workspace")]
enum Command {
    /// Measure our speeds and, with --peer, PyTorch's beside them
    Bench(bench::Arguments),
    /// Run all that CI runs, cheapest first
    Check(check::Arguments),
    /// Render the reports of a finished or interrupted `reproduce` anew
    Report(report::Arguments),
    /// Check the invariants of docs/architecture.md
    Tidy,
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Tidy => tidy::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
