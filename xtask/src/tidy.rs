//! `cargo xtask tidy`: the invariants of docs/architecture.md that the compiler does not check.

mod manifests;
mod rules;
mod source;
#[cfg(test)]
mod tests;

use anyhow::{Result, bail};

use crate::repository;
use crate::terminal::say;
use source::Source;

/// One broken invariant.
#[derive(Debug, PartialEq)]
struct Finding {
    path: String,
    /// From 1; 0 when it concerns the whole file.
    line: usize,
    rule: &'static str,
    advice: String,
}

/// Prints every broken invariant as `file:line: rule: advice`; an error when there is one.
pub fn run() -> Result<()> {
    let findings = findings()?;
    for Finding { path, line, rule, advice } in &findings {
        say(&format!("{path}:{line}: {rule}: {advice}"))?;
    }
    match findings.len() {
        0 => Ok(()),
        count => bail!("{count} broken invariants (docs/architecture.md says why they exist)"),
    }
}

fn findings() -> Result<Vec<Finding>> {
    let root = repository::root()?;
    let sources = repository::files()?.into_iter().map(|path| Source::read(&root, path)).collect::<Result<Vec<_>>>()?;
    let mut findings: Vec<Finding> = sources.iter().flat_map(rules::check).collect();
    findings.extend(manifests::check(&sources));
    Ok(findings)
}
