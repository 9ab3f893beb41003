//! The repository keeps every rule, and every rule catches what it is for.

use super::rules::{self, RULES};
use super::source::Source;

fn broken_rules((path, text): (&str, &str)) -> Vec<&'static str> {
    let size = if path.ends_with(".bin") { 1 << 20 } else { text.len() };
    rules::check(&Source::new(path.into(), size, text.into())).iter().map(|finding| finding.rule).collect()
}

#[test]
fn every_rule_catches_its_example_and_only_that() {
    for rule in RULES {
        assert!(broken_rules(rule.broken).contains(&rule.name), "{}: the broken example passes", rule.name);
        assert!(!broken_rules(rule.kept).contains(&rule.name), "{}: the example that keeps it is caught", rule.name);
    }
}

#[test]
fn findings_name_the_line() {
    let source = Source::new("crates/fp8-models/src/a.rs".into(), 0, "//! A.\n\nuse std::fs;\n".into());
    assert_eq!(rules::check(&source).iter().map(|finding| finding.line).collect::<Vec<_>>(), [3]);
}

#[test]
fn the_repository_is_tidy() {
    let findings = super::findings().unwrap();
    assert!(findings.is_empty(), "{findings:#?}");
}
