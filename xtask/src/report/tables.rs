//! The tables of a report.

use fp8_autograd::Role;
use serde::{Deserialize, Serialize};

use super::statistics::{Equivalence, Estimate};
use crate::reproduce::experiment::{Experiment, Paper};
use crate::reproduce::results::Results;
use crate::runs::Run;
use crate::table::Table;

const BASELINE: &str = "fp32";
/// Steps of which a course tells.
const COURSE: usize = 16;

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

/// A row for each model, a column for each recipe: ours and, in columns of their own, the paper's.
pub fn comparison(experiment: &Experiment, results: &Results) -> Table {
    let recipes = distinct(results, |run| &run.recipe);
    let others: Vec<&str> = recipes.iter().copied().filter(|recipe| *recipe != BASELINE).collect();
    let mut heading = vec!["model".to_string()];
    heading.extend(recipes.iter().map(|recipe| format!("{recipe}, ours")));
    if recipes.contains(&BASELINE) {
        heading.extend(others.iter().map(|recipe| format!("{recipe} − {BASELINE}")));
    }
    heading.push(format!("{}, paper: fp32", experiment.papers_data));
    heading.extend(["fp8", "fp8 − fp32"].map(String::from));
    let mut table = Table::new(heading);
    for model in distinct(results, |run| &run.model) {
        let figures = Figures { figure: experiment.figure.of, results, model };
        let mut row = vec![model.to_string()];
        row.extend(recipes.iter().map(|recipe| figures.mean(recipe)));
        if recipes.contains(&BASELINE) {
            row.extend(others.iter().map(|recipe| figures.gain(recipe)));
        }
        row.extend(paper(experiment, model));
        table.push(row);
    }
    table
}

/// A difference between a variant and the baseline of one model, tested.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Compared {
    pub model: String,
    pub variant: String,
    pub baseline: String,
    #[serde(flatten)]
    pub equivalence: Equivalence,
    /// Whether the mean difference is shown to lie within the margin.
    pub is_shown: bool,
}

/// Of each model and variant with two pairs or more.
pub fn compared(experiment: &Experiment, results: &Results) -> Vec<Compared> {
    let mut all = Vec::new();
    for model in distinct(results, |run| &run.model) {
        let figures = Figures { figure: experiment.figure.of, results, model };
        for variant in distinct(results, |run| &run.variant).into_iter().filter(|variant| *variant != BASELINE) {
            if let Some(equivalence) = Equivalence::of(&figures.gains(variant), experiment.margin) {
                let (model, variant, baseline) = (model.into(), variant.into(), BASELINE.into());
                all.push(Compared { model, variant, baseline, equivalence, is_shown: equivalence.is_shown() });
            }
        }
    }
    all
}

/// A row for each of [`compared`].
pub fn equivalence(experiment: &Experiment, results: &Results) -> Table {
    let margin = format!("within ±{}", experiment.margin);
    let mut table = Table::new(["run", "pairs", "difference, 95 %", "p", margin.as_str()]);
    for Compared { model, variant, baseline, equivalence, is_shown } in compared(experiment, results) {
        let Equivalence { pairs, mean, half_width, p, .. } = equivalence;
        let difference = format!("{:+}", Estimate { mean, half_width: Some(half_width) });
        let verdict = match (is_shown, p) {
            (true, _) => "shown",
            (false, Some(_)) => "not shown",
            (false, None) => "not shown: all equal",
        };
        let p = p.map_or("–".into(), |p| format!("{p:.4}"));
        let run = format!("{model}, {variant} − {baseline}");
        table.push([run, pairs.to_string(), difference, p, verdict.into()]);
    }
    table
}

fn paper(experiment: &Experiment, model: &str) -> [String; 3] {
    match experiment.paper.iter().find(|paper| paper.model == model) {
        Some(&Paper { fp32, fp8, decimals, .. }) => {
            [format!("{fp32:.decimals$}"), format!("{fp8:.decimals$}"), format!("{:+.decimals$}", fp8 - fp32)]
        }
        None => ["–", "–", "–"].map(String::from),
    }
}

/// What stands in a table of a variant's runs.
type Cell = for<'a> fn(&Figures<'a>, &'a str) -> String;

/// A row for each variant of the models that have any besides their recipes.
pub fn scalings(experiment: &Experiment, results: &Results) -> Table {
    let name = experiment.figure.name;
    let compared = results.runs.iter().any(|run| run.variant == BASELINE);
    let counted = results.runs.iter().any(|run| run.flushed.late().is_finite());
    let all: [(String, bool, Cell); 9] = [
        ("seeds".into(), true, |own, variant| own.runs(variant).count().to_string()),
        (name.into(), true, |own, variant| own.mean(variant)),
        (format!("{name} − {BASELINE}"), compared, |own, variant| match variant {
            BASELINE => "–".into(),
            variant => own.gain(variant),
        }),
        ("validation loss".into(), true, |own, variant| own.with(Run::validation_loss).mean_to(variant, 4)),
        ("skipped steps, all seeds".into(), true, |own, variant| {
            own.runs(variant).map(|run| run.skipped).sum::<u64>().to_string()
        }),
        ("lowest scale".into(), true, |own, variant| own.first(variant, |run| scale(run.lowest_scale))),
        ("last scale".into(), true, |own, variant| {
            own.first(variant, |run| run.last_scale().map_or("–".into(), scale))
        }),
        ("flushed, %".into(), counted, |own, variant| own.with(|run| run.flushed.late()).mean_to(variant, 1)),
        ("loss scaling".into(), true, |own, variant| own.first(variant, |run| run.loss_scaling.clone())),
    ];
    let columns: Vec<(String, Cell)> =
        all.into_iter().filter(|(_, shown, _)| *shown).map(|(heading, _, cell)| (heading, cell)).collect();
    let mut table = Table::new(["run"].into_iter().chain(columns.iter().map(|(heading, _)| heading.as_str())));
    let varied = |model: &&str| results.runs.iter().any(|run| run.model == *model && run.variant != run.recipe);
    for model in distinct(results, |run| &run.model).into_iter().filter(varied) {
        let own = Figures { figure: experiment.figure.of, results, model };
        for variant in distinct(results, |run| &run.variant) {
            if own.runs(variant).next().is_some() {
                let cells = columns.iter().map(|(_, cell)| cell(&own, variant));
                table.push([format!("{model}, {variant}")].into_iter().chain(cells));
            }
        }
    }
    table
}

/// `8192`, `0.5`, `2^-12`.
fn scale(scale: f64) -> String {
    match scale.log2() {
        exponent if exponent < -3.0 && exponent.fract() == 0.0 => format!("2^{exponent}"),
        _ => format!("{scale}"),
    }
}

/// Loss scale, and percent of the errors and gradients that rounding flushes to zero, at some steps of the first seed: columns for each variant.
pub fn course(_: &Experiment, results: &Results) -> Table {
    let counted = |run: &&Run| run.seed == 1 && !run.flushed.steps.is_empty();
    let runs: Vec<&Run> = results.runs.iter().filter(counted).collect();
    let headings = |run: &&Run| ["scale", "errors, %", "gradients, %"].map(|what| format!("{}: {what}", run.variant));
    let mut table = Table::new(["step".to_string()].into_iter().chain(runs.iter().flat_map(headings)));
    let steps = runs.first().map(|run| &run.flushed.steps[..]).unwrap_or_default();
    for (place, step) in steps.iter().enumerate().step_by(steps.len().div_ceil(COURSE).max(1)) {
        let cells = |run: &&Run| {
            let point = run.curve.iter().find(|point| point.step >= *step);
            let share = |role| {
                let share = run.flushed.shares(role).get(place).map(|(_, share)| *share);
                share.filter(|share| share.is_finite()).map_or("–".into(), |share| format!("{share:.1}"))
            };
            [point.map_or("–".into(), |point| scale(point.loss_scale)), share(Role::Error), share(Role::Gradient)]
        };
        table.push([step.to_string()].into_iter().chain(runs.iter().flat_map(cells)));
    }
    table
}

/// Percent of the errors and gradients of each layer that rounding flushes to zero towards the end, a column for each variant; means over seeds.
pub fn flushed(_: &Experiment, results: &Results) -> Table {
    let counted: Vec<&Run> = results.runs.iter().filter(|run| !run.flushed.layers.is_empty()).collect();
    let variants: Vec<&str> = distinct(results, |run| &run.variant);
    let mut table = Table::new(["layer", "tensor"].into_iter().chain(variants.iter().copied()));
    for kind in counted.first().map(|run| &run.flushed.layers[..]).unwrap_or_default() {
        let share = |variant: &&str| {
            let runs = counted.iter().filter(|run| run.variant == **variant);
            let layers = runs.flat_map(|run| &run.flushed.layers);
            let same = layers.filter(|layer| layer.layer == kind.layer && layer.role == kind.role);
            let shares: Vec<f64> = same.map(|layer| layer.late()).filter(|share| share.is_finite()).collect();
            Estimate::of(&shares).map_or("–".into(), |share| format!("{:.1}", share.mean))
        };
        table.push([kind.layer.clone(), kind.role.to_string()].into_iter().chain(variants.iter().map(share)));
    }
    table
}

/// Every run with what it cost.
pub fn runs(experiment: &Experiment, results: &Results) -> Table {
    let mut table = Table::new(["run"].into_iter().chain(experiment.columns.iter().map(|column| column.heading)));
    for run in &results.runs {
        table.push([run.name.clone()].into_iter().chain(experiment.columns.iter().map(|column| (column.cell)(run))));
    }
    table
}

/// A figure of the runs of a model.
struct Figures<'a> {
    figure: fn(&Run) -> f64,
    results: &'a Results,
    model: &'a str,
}

impl<'a> Figures<'a> {
    /// Another figure of the same runs.
    const fn with(&self, figure: fn(&Run) -> f64) -> Self {
        Self { figure, ..*self }
    }

    /// Of the variant's first seed.
    fn first(&self, variant: &'a str, cell: fn(&Run) -> String) -> String {
        self.runs(variant).next().map_or("–".into(), cell)
    }

    fn runs(&self, variant: &'a str) -> impl Iterator<Item = &'a Run> + use<'a> {
        let model = self.model;
        self.results.runs.iter().filter(move |run| run.model == model && run.variant == variant)
    }

    fn estimate(&self, variant: &str) -> Option<Estimate> {
        Estimate::of(&self.runs(variant).map(self.figure).collect::<Vec<_>>())
    }

    fn mean(&self, variant: &str) -> String {
        self.estimate(variant).map_or("–".into(), |estimate| estimate.to_string())
    }

    fn mean_to(&self, variant: &str, decimals: usize) -> String {
        self.estimate(variant).map_or("–".into(), |estimate| format!("{:.decimals$}", estimate.mean))
    }

    /// What the variant gains over the baseline, seed by seed.
    fn gains(&self, variant: &str) -> Vec<f64> {
        let baseline = |seed| self.runs(BASELINE).find(|run| run.seed == seed);
        let gain = |run: &Run| Some((self.figure)(run) - (self.figure)(baseline(run.seed)?));
        self.runs(variant).filter_map(gain).collect()
    }

    /// Their mean.
    fn gain(&self, variant: &str) -> String {
        Estimate::of(&self.gains(variant)).map_or("–".into(), |estimate| format!("{estimate:+}"))
    }
}
