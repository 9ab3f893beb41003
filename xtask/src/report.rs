//! Renders the results of `cargo xtask reproduce`: `report.md`, a self-contained `report.html`, and the terminal's table.

mod chart;
mod statistics;
mod summary;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Value};
use serde_json::json;

use crate::reproduce::results::Results;
use crate::runs::Run;
use chart::{Chart, Series, thinned};
pub use statistics::Estimate;

/// Options of `cargo xtask report`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Folder of a `cargo xtask reproduce`, with its results.json
    folder: PathBuf,
}

/// Renders the reports of a folder anew.
pub fn run(arguments: &Arguments) -> Result<()> {
    let results = Results::read(&arguments.folder)?;
    write(&results, &arguments.folder)?;
    print!("{}", terminal(&results));
    Ok(())
}

/// Writes `report.md` and `report.html` into `folder`.
pub fn write(results: &Results, folder: &Path) -> Result<()> {
    for (name, template) in
        [("report.md", include_str!("report/report.md.j2")), ("report.html", include_str!("report/report.html.j2"))]
    {
        let path = folder.join(name);
        fs::write(&path, render(results, name, template)?).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// What the terminal shows at the end.
pub fn terminal(results: &Results) -> String {
    let mut text = format!("\n{}\n\n{}", summary::headline(results), summary::accuracies(results).text());
    text += &format!("\n{}\n", summary::reading(results).join("\n"));
    text
}

fn render(results: &Results, name: &str, template: &str) -> Result<String> {
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().context("template syntax")?;
    let mut environment = Environment::new();
    environment.set_syntax(syntax);
    environment
        .set_auto_escape_callback(|name| if name.ends_with(".html") { AutoEscape::Html } else { AutoEscape::None });
    let accuracies = summary::accuracies(results);
    let runs = summary::runs(results);
    let content = json!({
        "results": results,
        "headline": summary::headline(results),
        "reading": summary::reading(results),
        "accuracies": accuracies,
        "accuracies_markdown": accuracies.markdown(),
        "runs": runs,
        "runs_markdown": runs.markdown(),
        "setting": summary::setting(results),
        "charts": charts(results),
    });
    environment
        .render_named_str(name, template, Value::from(Serde(content)))
        .with_context(|| format!("rendering {name}"))
}

/// For each model: its name and its charts.
fn charts(results: &Results) -> Vec<(String, Vec<String>)> {
    let models = summary::distinct(results, |run| &run.model);
    models.into_iter().map(|model| (model.to_string(), model_charts(results, model))).collect()
}

fn model_charts(results: &Results, model: &str) -> Vec<String> {
    let recipes = summary::distinct(results, |run| &run.recipe);
    let lines = |points: &dyn Fn(&Run) -> Vec<(f64, f64)>| {
        let runs = results.runs.iter().filter(|run| run.model == model);
        let series = |run: &Run| Series {
            name: run.recipe.clone(),
            class: format!("c{}", recipes.iter().position(|recipe| *recipe == run.recipe).unwrap_or(0) % 6),
            points: points(run),
        };
        runs.map(series).collect::<Vec<_>>()
    };
    let loss = |run: &Run| {
        let steps: Vec<_> = run.curve.iter().map(|point| (point.step as f64, point.loss)).collect();
        thinned(&steps, 100)
    };
    let accuracy =
        |run: &Run| run.epochs.iter().filter_map(|epoch| Some((epoch.epoch as f64, epoch.validation_top1?))).collect();
    let scale = |run: &Run| run.curve.iter().map(|point| (point.step as f64, point.loss_scale)).collect::<Vec<_>>();
    let chart = |title: &str, x_label, y_label, log2, series| {
        Chart { title: format!("{model}: {title}"), x_label, y_label, log2, series }.svg()
    };
    vec![
        chart("training loss", "step", "loss", false, lines(&loss)),
        chart("validation accuracy", "epoch", "top-1, %", false, lines(&accuracy)),
        chart("loss scale", "step", "scale", true, lines(&scale)),
    ]
}
