//! The rules about the workspace as a whole: which crate may use which, and what each crate must have.

use super::Finding;
use super::source::Source;

/// The arrows of docs/architecture.md: a crate, and the crates of the workspace that it may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("fp8-core", &[]),
    ("fp8-kernels", &["fp8-core"]),
    ("fp8-cuda", &["fp8-core", "fp8-kernels"]),
    ("fp8-autograd", &["fp8-core", "fp8-kernels"]),
    ("fp8-data", &["fp8-core"]),
    ("fp8-models", &["fp8-core", "fp8-kernels", "fp8-autograd"]),
    ("fp8-trainer", &["fp8-core", "fp8-kernels", "fp8-cuda", "fp8-autograd", "fp8-data", "fp8-models"]),
];

/// What is wrong with the manifests, and with what stands beside them.
pub fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        let Some(name) = source.path.strip_prefix("crates/").and_then(|path| path.strip_suffix("/Cargo.toml")) else {
            continue;
        };
        findings.extend(arrows(name, source));
        let examples = format!("crates/{name}/examples/");
        if !sources.iter().any(|other| other.path.starts_with(&examples) && other.path.ends_with(".rs")) {
            findings.push(finding(source, "crate-example", format!("add a runnable program under {examples}")));
        }
    }
    findings
}

fn arrows(name: &str, manifest: &Source) -> Vec<Finding> {
    let rule = "arrows";
    let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
        let advice =
            format!("{name} is not in the table of arrows: decide what it may use, in xtask and docs/architecture.md");
        return vec![finding(manifest, rule, advice)];
    };
    let table: toml::Table = match manifest.text.parse() {
        Ok(table) => table,
        Err(error) => return vec![finding(manifest, rule, format!("unreadable manifest: {error}"))],
    };
    let sections = ["dependencies", "dev-dependencies", "build-dependencies"];
    let used = sections.iter().filter_map(|section| table.get(*section)?.as_table()).flat_map(|section| section.keys());
    used.filter(|used| used.starts_with("fp8-") && !allowed.contains(&used.as_str()))
        .map(|used| {
            finding(manifest, rule, format!("{name} must not use {used}: no arrow of the architecture runs there"))
        })
        .collect()
}

fn finding(source: &Source, rule: &'static str, advice: String) -> Finding {
    Finding { path: source.path.clone(), line: 0, rule, advice }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(manifest: (&str, &str), others: &[&str]) -> Vec<&'static str> {
        let source = |path: &str, text: &str| Source::new(path.into(), text.len(), text.into());
        let mut sources = vec![source(manifest.0, manifest.1)];
        sources.extend(others.iter().map(|path| source(path, "")));
        check(&sources).iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn an_arrow_that_runs_back_is_found() {
        let example = ["crates/fp8-core/examples/formats.rs"];
        let manifest = |text| ("crates/fp8-core/Cargo.toml", text);
        assert_eq!(rules(manifest("[dependencies]\nhalf = \"2\""), &example), [""; 0]);
        assert_eq!(rules(manifest("[dependencies]\nfp8-kernels.workspace = true"), &example), ["arrows"]);
        assert_eq!(rules(manifest("[dev-dependencies]\nfp8-kernels.workspace = true"), &example), ["arrows"]);
        assert_eq!(rules(("crates/fp8-new/Cargo.toml", ""), &["crates/fp8-new/examples/x.rs"]), ["arrows"]);
    }

    #[test]
    fn a_crate_without_an_example_is_found() {
        assert_eq!(rules(("crates/fp8-core/Cargo.toml", ""), &["crates/fp8-core/src/lib.rs"]), ["crate-example"]);
    }
}
