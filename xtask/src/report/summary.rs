//! The sentences of a report.

use std::collections::BTreeSet;

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
    let seeds = results.runs.iter().map(|run| run.seed).collect::<BTreeSet<_>>().len();
    lines.push(match seeds {
        0 | 1 => one_seed(experiment, results),
        seeds => format!(
            "Means over {seeds} seeds with 95 % confidence intervals (Student's t); differences are taken seed by seed."
        ),
    });
    let done = results.runs.len() + results.failures.len();
    if done < results.planned {
        lines.push(format!("Unfinished: {done} of {} runs are done.", results.planned));
    }
    lines.extend(results.failures.iter().map(|failure| format!("{} diverged at {}.", failure.run, failure.reason)));
    lines
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
