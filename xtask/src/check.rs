//! `cargo xtask check`: all that CI runs, cheapest first.

mod nvrtc;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::terminal::say;
use crate::{repository, tidy};

/// Options of `cargo xtask check`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Also run the slow proofs: every f32 through every cast and elementary function, on every instruction-set path
    #[arg(long)]
    exhaustive: bool,
}

/// One thing to run.
struct Step {
    name: &'static str,
    work: Work,
}

enum Work {
    Tidy,
    /// Each program under `examples/` as the tests' step has built it, without arguments, but for the [`SLOW_EXAMPLES`].
    Examples,
    /// Every kernel for NVIDIA GPUs is compiled for every generation of cards, where there is NVRTC or it can be fetched.
    Kernels,
    /// `cargo` with these arguments, and these environment variables.
    Cargo(&'static [&'static str], &'static [(&'static str, &'static str)]),
}

const STEPS: &[Step] = &[
    Step { name: "format", work: Work::Cargo(&["fmt", "--all", "--check"], &[]) },
    Step { name: "tidy", work: Work::Tidy },
    Step {
        name: "clippy",
        work: Work::Cargo(&["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"], &[]),
    },
    Step {
        name: "documentation",
        work: Work::Cargo(&["doc", "--workspace", "--no-deps"], &[("RUSTDOCFLAGS", "--deny warnings")]),
    },
    // The documentation's examples, too. The tests of a kernel loop over all its paths.
    Step { name: "tests", work: Work::Cargo(&["test", "--workspace"], &[]) },
    Step { name: "examples", work: Work::Examples },
    Step { name: "GPU kernels", work: Work::Kernels },
];

const SLOW_EXAMPLES: &[&str] = &["all_casts", "exhaustive_casts", "exhaustive_math", "same_bytes"];

const EXHAUSTIVE: &[Step] = &[
    Step {
        name: "all 2^32 casts",
        work: Work::Cargo(&["run", "--release", "--package", "fp8-kernels", "--example", "exhaustive_casts"], &[]),
    },
    Step {
        name: "all 2^32 exps",
        work: Work::Cargo(&["run", "--release", "--package", "fp8-kernels", "--example", "exhaustive_math"], &[]),
    },
    Step {
        name: "same bytes",
        work: Work::Cargo(&["run", "--release", "--package", "fp8-trainer", "--example", "same_bytes"], &[]),
    },
];

/// Tests that passed and failed, as `cargo test` counts them.
#[derive(Clone, Copy, Default)]
struct Tests {
    passed: usize,
    failed: usize,
}

/// Runs the steps up to the first that fails; prints their times and the number of tests.
pub fn run(arguments: &Arguments) -> Result<()> {
    let slow: &[Step] = if arguments.exhaustive { EXHAUSTIVE } else { &[] };
    let mut tests = Tests::default();
    let mut rows = Vec::new();
    let mut failure = None;
    for step in STEPS.iter().chain(slow) {
        crate::note(&format!("== {}", step.name));
        let start = Instant::now();
        let result = step.run(&mut tests);
        rows.push((step.name, result.as_ref().map_or("FAILED", |outcome| outcome.word()), start.elapsed()));
        if let Err(error) = result {
            failure = Some(error.context(format!("step `{}`", step.name)));
            break;
        }
    }
    say(&table(&rows))?;
    say(&format!("{} passed, {} failed", tests.passed, tests.failed))?;
    failure.map_or(Ok(()), Err)
}

fn table(rows: &[(&str, &str, Duration)]) -> String {
    let line =
        |(name, result, time): &(&str, &str, Duration)| format!("{name:<16} {:>8.1}  {result}\n", time.as_secs_f64());
    format!("\n{:<16} {:>8}  result\n", "step", "seconds") + &rows.iter().map(line).collect::<String>()
}

/// What came of a step that did not fail.
enum Outcome {
    Passed,
    /// What it needs is not to be had.
    NotRun,
}

impl Outcome {
    fn word(&self) -> &'static str {
        match self {
            Self::Passed => "ok",
            Self::NotRun => "NOT RUN",
        }
    }
}

impl Step {
    fn run(&self, tests: &mut Tests) -> Result<Outcome> {
        let result = match self.work {
            Work::Kernels => match nvrtc::find() {
                Ok(library) => kernels(&library, tests),
                Err(error) => {
                    crate::note(&format!("the kernels for GPUs were NOT compiled, as there is no NVRTC: {error:#}"));
                    return Ok(Outcome::NotRun);
                }
            },
            Work::Tidy => tidy::run(),
            Work::Examples => examples()?.iter().try_for_each(run_example),
            Work::Cargo(arguments, environment) => cargo(arguments, environment, tests),
        };
        result.map(|()| Outcome::Passed)
    }
}

/// The test that compiles all kernels by this library.
fn kernels(library: &Path, tests: &mut Tests) -> Result<()> {
    let library = library.to_str().context("the place of NVRTC is no text")?;
    // Of the whole workspace, as the tests' step has built it: by itself the package would be built anew, with fewer features of what it needs.
    cargo(&["test", "--workspace", "--lib", "every_kernel"], &[("FP8_NVRTC", library)], tests)
}

/// An example as cargo has built it.
#[derive(Debug, PartialEq)]
struct Example {
    name: String,
    program: PathBuf,
}

/// Every example but the slow ones. They are built as by the tests' step, so that after it there is nothing left to do: `cargo run --package` would
/// build all crates below once more for each package, with fewer features of what they need.
fn examples() -> Result<Vec<Example>> {
    let output = command()?
        .args(["test", "--workspace", "--no-run", "--quiet", "--message-format", "json-render-diagnostics"])
        .stderr(Stdio::inherit())
        .output()
        .context("starting cargo")?;
    if !output.status.success() {
        bail!("building the examples: {}", output.status);
    }
    let examples: Vec<Example> = String::from_utf8_lossy(&output.stdout).lines().filter_map(Example::parse).collect();
    if examples.is_empty() {
        bail!("cargo has built no examples");
    }
    Ok(examples.into_iter().filter(|example| !SLOW_EXAMPLES.contains(&example.name.as_str())).collect())
}

fn run_example(example: &Example) -> Result<()> {
    let Example { name, program } = example;
    say(&format!("-- {name}"))?;
    let status = Command::new(program).current_dir(repository::root()?).status();
    let status = status.with_context(|| format!("starting {}", program.display()))?;
    if !status.success() {
        bail!("example {name}: {status}");
    }
    Ok(())
}

impl Example {
    /// Reads what cargo tells of a file that it has built.
    fn parse(line: &str) -> Option<Self> {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let target = &message["target"];
        let is_example = message["reason"] == "compiler-artifact" && target["kind"][0] == "example";
        let (name, program) = (target["name"].as_str()?, message["executable"].as_str()?);
        is_example.then(|| Self { name: name.into(), program: program.into() })
    }
}

fn command() -> Result<Command> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(repository::root()?);
    Ok(command)
}

/// Runs cargo, passing its output on and adding up the tests that it reports.
fn cargo(arguments: &[&str], environment: &[(&str, &str)], tests: &mut Tests) -> Result<()> {
    let mut child = command()?
        .args(arguments)
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting cargo")?;
    let output = child.stdout.take().context("cargo's output")?;
    for line in BufReader::new(output).lines() {
        let line = line.context("reading cargo's output")?;
        say(&line)?;
        if let Some(counted) = Tests::parse(&line) {
            tests.passed += counted.passed;
            tests.failed += counted.failed;
        }
    }
    let status = child.wait().context("waiting for cargo")?;
    if !status.success() {
        bail!("cargo {}: {status}", arguments.join(" "));
    }
    Ok(())
}

impl Tests {
    /// Reads `test result: ok. 12 passed; 0 failed; …`.
    fn parse(line: &str) -> Option<Self> {
        let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
        let count = |name| counts.split("; ").find_map(|part| part.strip_suffix(name)?.trim().parse().ok());
        Some(Self { passed: count("passed")?, failed: count("failed")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_found() {
        let line = |kind: &str, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"kind":["{kind}"],"name":"formats"}},"executable":{executable}}}"#
            )
        };
        let example = Example { name: "formats".into(), program: "/t/examples/formats".into() };
        assert_eq!(Example::parse(&line("example", r#""/t/examples/formats""#)), Some(example));
        for other in [line("bin", r#""/t/formats""#), line("lib", "null"), "running 3 tests".into()] {
            assert_eq!(Example::parse(&other), None, "{other}");
        }
    }

    #[test]
    fn test_results_are_counted() {
        let parse = |line| Tests::parse(line).map(|tests| (tests.passed, tests.failed));
        let line = "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.01s";
        assert_eq!(parse(line), Some((12, 0)));
        assert_eq!(parse("test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured"), Some((1, 2)));
        assert_eq!(parse("test a ... ok"), None);
    }
}
