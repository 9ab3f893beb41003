//! Renders the results of `cargo xtask reproduce`: `report.md`, a self-contained `report.html`, and the terminal's table.

mod chart;
mod statistics;
mod summary;
pub mod tables;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Value};
use serde_json::json;

use crate::reproduce::experiment::{Curve, Experiment};
use crate::reproduce::results::Results;
use crate::table::Table;
use crate::terminal::{say, width, within};
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
    say(&terminal(&results, width())?)
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

/// What the terminal shows at the end, within its width.
pub fn terminal(results: &Results, width: Option<usize>) -> Result<String> {
    let experiment = Experiment::named(&results.experiment)?;
    let mut text = String::new();
    for (title, table, note) in sections(experiment, results) {
        text += &format!("\n{}\n\n{}", within(width, &title), table.within(width));
        if !note.is_empty() {
            text += &format!("{}\n", within(width, note));
        }
    }
    text += &format!("\n{}\n", within(width, &summary::reading(experiment, results).join("\n")));
    Ok(text)
}

/// Title, table and note of each section that has something to show.
fn sections<'a>(experiment: &'a Experiment, results: &Results) -> Vec<(String, Table, &'a str)> {
    let sections = experiment.sections.iter().enumerate().map(|(at, section)| {
        let title = if at == 0 { summary::headline(experiment, results) } else { section.title.into() };
        (title, (section.table)(experiment, results), section.note)
    });
    sections.filter(|(_, table, _)| !table.rows.is_empty()).collect()
}

fn render(results: &Results, name: &str, template: &str) -> Result<String> {
    let experiment = Experiment::named(&results.experiment)?;
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().context("template syntax")?;
    let mut environment = Environment::new();
    environment.set_syntax(syntax);
    environment
        .set_auto_escape_callback(|name| if name.ends_with(".html") { AutoEscape::Html } else { AutoEscape::None });
    let section = |(title, table, note): (String, Table, &str)| {
        let markdown = table.markdown();
        json!({ "title": title, "table": table, "markdown": markdown, "note": note })
    };
    let runs = tables::runs(experiment, results);
    let content = json!({
        "results": results,
        "title": experiment.title,
        "papers_data": experiment.papers_data,
        "has_paper": !experiment.paper.is_empty(),
        "reading": summary::reading(experiment, results),
        "sections": sections(experiment, results).into_iter().map(section).collect::<Vec<_>>(),
        "runs": runs,
        "runs_markdown": runs.markdown(),
        "sums": summary::sums(results),
        "setting": summary::setting(results),
        "charts": charts(experiment, results),
    });
    environment
        .render_named_str(name, template, Value::from(Serde(content)))
        .with_context(|| format!("rendering {name}"))
}

/// Colours of lines in the style sheet; further lines are dashed.
const COLOURS: usize = 6;

/// For each model: its name and its charts.
fn charts(experiment: &Experiment, results: &Results) -> Vec<(String, Vec<String>)> {
    let models = tables::distinct(results, |run| &run.model);
    let drawn = |model: &&str| experiment.curves.iter().map(|curve| chart(curve, results, model)).collect();
    models.iter().map(|model| (model.to_string(), drawn(model))).collect()
}

fn chart(curve: &Curve, results: &Results, model: &str) -> String {
    let runs = || results.runs.iter().filter(|run| run.model == model);
    let mut variants: Vec<&str> = runs().map(|run| run.variant.as_str()).collect();
    let mut seen = BTreeSet::new();
    variants.retain(|variant| seen.insert(*variant));
    let series = runs().map(|run| {
        let place = variants.iter().position(|variant| *variant == run.variant).unwrap_or(0);
        let points = (curve.points)(run);
        Series {
            name: run.variant.clone(),
            class: format!("c{} d{}", place % COLOURS, place / COLOURS),
            // Means of scales would be scales that there never were.
            points: if curve.log2 { points } else { thinned(&points, 100) },
        }
    });
    let &Curve { title, x_label, y_label, log2, .. } = curve;
    Chart { title: format!("{model}: {title}"), x_label, y_label, log2, series: series.collect() }.svg()
}
