//! The sentences of a report.

use std::collections::{BTreeMap, BTreeSet};

use super::Estimate;
use crate::reproduce::experiment::Experiment;
use crate::reproduce::results::Results;
use crate::runs::sources;

/// One line that says what was measured, and on what.
pub fn headline(experiment: &Experiment, results: &Results) -> String {
    let (figure, data) = (&experiment.figure, &results.data);
    let stand_in = if data.is_papers { String::new() } else { format!(", which is NOT {}", experiment.papers_data) };
    let unit = if figure.unit.is_empty() { String::new() } else { format!(", {}", figure.unit) };
    format!("{} on {}{stand_in}{unit}", figure.title, data.name)
}

/// How to read the tables: what the figures are of, and how far chance reaches.
pub fn reading(experiment: &Experiment, results: &Results) -> Vec<String> {
    let data = &results.data;
    let mut lines = Vec::new();
    if !data.is_papers {
        lines.push(format!(
            "These figures are not those of {}. The runs saw {}: {}, {}. {}",
            experiment.papers_data, data.name, data.counts, data.examples, experiment.shows
        ));
    }
    lines.push(experiment.chance.replace("{}", &format!("{:.1}", data.chance)));
    if !experiment.remark.is_empty() {
        lines.push(experiment.remark.into());
    }
    let (fewest, most) = seeds(results);
    lines.push(match most {
        0 | 1 => one_seed(experiment, results),
        most => {
            let seeds = if fewest == most { most.to_string() } else { format!("{fewest} to {most}") };
            format!("Means over {seeds} seeds with 95 % confidence intervals (Student's t); differences are taken seed by seed.")
        }
    });
    let done = results.runs.len() + results.failures.len();
    if done < results.planned {
        lines.push(format!("Unfinished: {done} of {} runs are done.", results.planned));
    }
    lines.extend(results.failures.iter().map(|failure| format!("{} diverged at {}.", failure.run, failure.reason)));
    lines
}

/// The least and the largest number of seeds that a variant of a model has.
fn seeds(results: &Results) -> (usize, usize) {
    let mut seeds: BTreeMap<(&str, &str), BTreeSet<u64>> = BTreeMap::new();
    for run in &results.runs {
        seeds.entry((&run.model, &run.variant)).or_default().insert(run.seed);
    }
    let counts = || seeds.values().map(BTreeSet::len);
    (counts().min().unwrap_or(0), counts().max().unwrap_or(0))
}

/// How products are summed, by the name of a backend such as `cuda:0 (NVIDIA H200, promoted sums)`.
const SUMS: [(&str, &str); 3] = [
    ("exact sums", "sums are FP32, to which tensor cores add 32 products of FP8 at a time"),
    ("promoted sums", "sums are FP32, to which tensor cores add their own sums of 128 products of FP8"),
    ("fast sums", "sums of products of FP8 are the tensor cores' own, of some 14 bits"),
];

/// How the products of the runs were summed.
pub fn sums(results: &Results) -> String {
    let own = &results.provenance;
    let backends: BTreeSet<&str> = match &results.runs[..] {
        [] => [&*own.backend].into(),
        runs => runs.iter().map(|run| &*run.provenance.as_ref().unwrap_or(own).backend).collect(),
    };
    let sentence = |backend: &str| {
        let known = SUMS.iter().find(|(name, _)| backend.contains(name));
        known.map_or("sums are FP32", |(_, sentence)| sentence)
    };
    let sentences: BTreeSet<&str> = backends.into_iter().map(sentence).collect();
    Vec::from_iter(sentences).join("; of other runs, ")
}

/// What a single seed leaves open: of a share of the validation examples also the noise that their number leaves, at the mean seen.
fn one_seed(experiment: &Experiment, results: &Results) -> String {
    if !experiment.figure.is_share {
        return "One seed each, and seeds differ: run with --seeds 3 or more for intervals.".into();
    }
    let figures: Vec<f64> = results.runs.iter().map(experiment.figure.of).collect();
    let mean = Estimate::of(&figures).map_or(50.0, |figure| figure.mean) / 100.0;
    let error = 196.0 * (mean * (1.0 - mean) / results.data.validation.max(1) as f64).sqrt();
    format!(
        "One seed each: the validation set's size alone leaves ±{error:.1} points on each accuracy (95 %), and seeds differ beyond \
         that; run with --seeds 3 or more for intervals."
    )
}

/// Where the figures come from: names and values.
pub fn setting(results: &Results) -> Vec<(&'static str, String)> {
    let Results { provenance, data, runs, failures, .. } = results;
    let mut setting = sources(provenance, runs, failures);
    setting.extend([
        ("Data", format!("{}: {}, {}", data.name, data.counts, data.examples)),
        ("Scale", format!("{}: {}", results.scale, results.setting)),
    ]);
    setting
}
