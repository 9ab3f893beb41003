//! The tables and sentences of a report.

use super::Estimate;
use crate::reproduce::results::Results;
use crate::runs::{Epoch, Run};
use crate::table::Table;

/// Top-1 accuracy on ImageNet-1k in percent, as the paper's abstract-level results give them: model, FP32, FP8.
const PAPER: [(&str, f64, f64); 3] =
    [("resnet18", 69.23, 69.71), ("resnet34", 72.96, 72.95), ("resnet50", 75.47, 75.70)];
const BASELINE: &str = "fp32";

/// The values of a property of the runs, in the order in which they first appear.
pub fn distinct<'a>(results: &'a Results, property: impl Fn(&'a Run) -> &'a String) -> Vec<&'a str> {
    let mut values: Vec<&str> = Vec::new();
    for value in results.runs.iter().map(property) {
        if !values.contains(&value.as_str()) {
            values.push(value);
        }
    }
    values
}

/// One line that says what was measured, and on what.
pub fn headline(results: &Results) -> String {
    let data = &results.data;
    if data.is_imagenet {
        format!("Validation top-1 accuracy on {}, %", data.name)
    } else {
        format!("Validation top-1 accuracy on {}, which is NOT ImageNet, %", data.name)
    }
}

/// Ours and, in columns of their own, the paper's.
pub fn accuracies(results: &Results) -> Table {
    let recipes = distinct(results, |run| &run.recipe);
    let others: Vec<&str> = recipes.iter().copied().filter(|recipe| *recipe != BASELINE).collect();
    let mut heading = vec!["model".to_string()];
    heading.extend(recipes.iter().map(|recipe| format!("{recipe}, ours")));
    if recipes.contains(&BASELINE) {
        heading.extend(others.iter().map(|recipe| format!("{recipe} − {BASELINE}")));
    }
    heading.extend(["ImageNet, paper: fp32", "fp8", "fp8 − fp32"].map(String::from));
    let mut table = Table::new(heading);
    for model in distinct(results, |run| &run.model) {
        let mut row = vec![model.to_string()];
        row.extend(recipes.iter().map(|recipe| cell(Estimate::of(&top1(results, model, recipe)))));
        if recipes.contains(&BASELINE) {
            row.extend(others.iter().map(|recipe| signed(Estimate::of(&differences(results, model, recipe)))));
        }
        row.extend(paper(model));
        table.push(row);
    }
    table
}

fn paper(model: &str) -> [String; 3] {
    match PAPER.iter().find(|(name, _, _)| *name == model) {
        Some((_, fp32, fp8)) => [format!("{fp32:.2}"), format!("{fp8:.2}"), format!("{:+.2}", fp8 - fp32)],
        None => ["–", "–", "–"].map(String::from),
    }
}

fn finished<'a>(results: &'a Results, model: &'a str, recipe: &'a str) -> impl Iterator<Item = &'a Run> {
    results.runs.iter().filter(move |run| run.model == model && run.recipe == recipe)
}

fn top1(results: &Results, model: &str, recipe: &str) -> Vec<f64> {
    finished(results, model, recipe).map(Run::top1).collect()
}

/// What the recipe gains over the baseline, seed by seed.
fn differences(results: &Results, model: &str, recipe: &str) -> Vec<f64> {
    let baseline = |seed| finished(results, model, BASELINE).find(|run| run.seed == seed);
    finished(results, model, recipe).filter_map(|run| Some(run.top1() - baseline(run.seed)?.top1())).collect()
}

fn cell(estimate: Option<Estimate>) -> String {
    estimate.map_or("–".into(), |estimate| estimate.to_string())
}

fn signed(estimate: Option<Estimate>) -> String {
    estimate.map_or("–".into(), |estimate| format!("{estimate:+}"))
}

/// Every run with what it cost.
pub fn runs(results: &Results) -> Table {
    let mut table = Table::new([
        "run",
        "top-1, %",
        "top-5, %",
        "training loss",
        "validation loss",
        "skipped steps",
        "images/s",
        "peak memory, MiB",
        "seconds",
    ]);
    for run in &results.runs {
        let last =
            |value: fn(&Epoch) -> f64| run.epochs.last().map_or("–".into(), |epoch| format!("{:.3}", value(epoch)));
        table.push([
            run.name.clone(),
            format!("{:.2}", run.top1()),
            format!("{:.2}", run.top5()),
            last(|epoch| epoch.training_loss),
            last(|epoch| epoch.validation_loss),
            format!("{} of {}", run.skipped, run.steps),
            format!("{:.0}", run.images_per_second),
            format!("{:.0}", run.peak_bytes as f64 / (1 << 20) as f64),
            format!("{:.0}", run.seconds),
        ]);
    }
    table
}

/// How to read the table: what the figures are of, and how far chance reaches.
pub fn reading(results: &Results) -> Vec<String> {
    let data = &results.data;
    let mut lines = Vec::new();
    if !data.is_imagenet {
        lines.push(format!(
            "These figures are not those of ImageNet. The runs saw {}: {} of {} classes, {size}x{size}. \
             What they can show is whether FP8 trains as well as FP32 under the same setting; their level cannot be compared \
             with the paper's, which stands in columns of its own.",
            data.name,
            data.counts(),
            data.classes,
            size = data.size
        ));
    }
    lines.push(format!("Guessing would reach {:.1} %.", data.chance()));
    let seeds = results.runs.iter().map(|run| run.seed).collect::<std::collections::BTreeSet<_>>().len();
    if seeds > 1 {
        lines.push(format!(
            "Means over {seeds} seeds with 95 % confidence intervals (Student's t); differences are taken seed by seed."
        ));
    } else {
        lines.push(sampling_error(results));
    }
    if results.runs.len() < results.planned {
        lines.push(format!("Unfinished: {} of {} runs are done.", results.runs.len(), results.planned));
    }
    lines.extend(results.failures.iter().map(|failure| format!("{} diverged at {}.", failure.run, failure.reason)));
    lines
}

/// The noise of an accuracy that one validation set leaves, at the mean accuracy seen.
fn sampling_error(results: &Results) -> String {
    let mean =
        Estimate::of(&results.runs.iter().map(Run::top1).collect::<Vec<_>>()).map_or(50.0, |top1| top1.mean) / 100.0;
    let error = 196.0 * (mean * (1.0 - mean) / results.data.validation_images.max(1) as f64).sqrt();
    format!(
        "One seed each: the validation set's size alone leaves ±{error:.1} points on each accuracy (95 %), and seeds differ beyond \
         that; run with --seeds 3 or more for intervals."
    )
}

/// Where the figures come from: names and values.
pub fn setting(results: &Results) -> Vec<(&'static str, String)> {
    let Results { provenance, data, .. } = results;
    let mut setting = provenance.lines().to_vec();
    setting.extend([
        (
            "Images",
            format!("{}: {}, {} classes, {size}x{size}", data.name, data.counts(), data.classes, size = data.size),
        ),
        ("Scale", format!("{}: {}", results.scale, results.setting)),
    ]);
    setting
}
