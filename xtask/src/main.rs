//! Development commands of the workspace: `cargo xtask --help`. One module per command.

mod check;
mod repository;
mod tidy;

use clap::Parser;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Development commands of the fp8 workspace")]
enum Command {
    /// Run all that CI runs, cheapest first
    Check(check::Arguments),
    /// Check the invariants of docs/architecture.md
    Tidy,
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Check(arguments) => check::run(&arguments),
        Command::Tidy => tidy::run(),
    }
}
