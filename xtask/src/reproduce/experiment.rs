//! The experiments, as data: what is compared, what the paper found, which tables and curves a report shows.

use anyhow::{Result, bail};
use fp8_autograd::Role;

use super::results::Results;
use crate::report::tables;
use crate::runs::{Epoch, Point, Run};
use crate::table::Table;

/// An experiment of the paper's, or about it.
pub struct Experiment {
    /// As on the command line.
    pub name: &'static str,
    /// Of its reports.
    pub title: &'static str,
    /// The data of the paper's experiment.
    pub papers_data: &'static str,
    /// What is compared.
    pub figure: Figure,
    /// How far a recipe's figure may lie from FP32's, on average over seeds, to be called equivalent; it was chosen before any run was made.
    pub margin: f64,
    /// The paper's figures; none where it gives none.
    pub paper: &'static [Paper],
    /// What figures of other data than the paper's can show.
    pub shows: &'static str,
    /// The level of who knows nothing; it takes the place of `{}`.
    pub chance: &'static str,
    /// What the reader should know besides.
    pub remark: &'static str,
    /// The first has the headline for a title.
    pub sections: &'static [Section],
    /// Of the table of all runs.
    pub columns: &'static [Column],
    pub curves: &'static [Curve],
}

/// A figure of merit.
pub struct Figure {
    pub title: &'static str,
    /// A short title.
    pub name: &'static str,
    /// Of it; empty where there is none.
    pub unit: &'static str,
    pub of: fn(&Run) -> f64,
    /// Whether it is the share of the validation examples in percent, whose number leaves an error of its own.
    pub is_share: bool,
}

/// What the paper found for a model.
pub struct Paper {
    pub model: &'static str,
    pub fp32: f64,
    pub fp8: f64,
    /// Digits after the point that it gives.
    pub decimals: usize,
}

/// A table of a report.
pub struct Section {
    pub title: &'static str,
    pub table: fn(&Experiment, &Results) -> Table,
    pub note: &'static str,
}

/// A column of a table, a cell for each run.
pub struct Column {
    pub heading: &'static str,
    pub cell: fn(&Run) -> String,
}

/// A chart of a report: a line for each run.
pub struct Curve {
    pub title: &'static str,
    pub x_label: &'static str,
    pub y_label: &'static str,
    pub log2: bool,
    pub points: fn(&Run) -> Vec<(f64, f64)>,
}

impl Experiment {
    /// That of this name.
    pub fn named(name: &str) -> Result<&'static Self> {
        match [&IMAGENET, &WMT16, &LOSS_SCALING].into_iter().find(|experiment| experiment.name == name) {
            Some(experiment) => Ok(experiment),
            None => bail!("there is no experiment {name:?}"),
        }
    }
}

pub static IMAGENET: Experiment = Experiment {
    name: "imagenet",
    title: "ResNets in FP8",
    papers_data: "ImageNet",
    figure: Figure { title: "Validation top-1 accuracy", name: "top-1", unit: "%", of: Run::top1, is_share: true },
    margin: 1.0,
    paper: &[
        Paper { model: "resnet18", fp32: 69.23, fp8: 69.71, decimals: 2 },
        Paper { model: "resnet34", fp32: 72.96, fp8: 72.95, decimals: 2 },
        Paper { model: "resnet50", fp32: 75.47, fp8: 75.70, decimals: 2 },
    ],
    shows: COMPARISON_SHOWS,
    chance: "Guessing would reach {} %.",
    remark: "",
    sections: &[COMPARISON, EQUIVALENCE, SCALINGS],
    columns: &[
        Column { heading: "top-1, %", cell: |run| format!("{:.2}", run.top1()) },
        Column { heading: "top-5, %", cell: |run| format!("{:.2}", run.top5()) },
        TRAINING_LOSS,
        VALIDATION_LOSS,
        SKIPPED,
        Column { heading: "images/s", cell: |run| format!("{:.0}", run.per_second) },
        PEAK,
        SECONDS,
    ],
    curves: &[
        TRAINING_CURVE,
        Curve {
            y_label: "top-1, %",
            points: |run| epochs(run, |epoch| epoch.validation_top1),
            ..curve("validation accuracy", "epoch")
        },
        SCALE_CURVE,
    ],
};

pub static WMT16: Experiment = Experiment {
    name: "wmt16",
    title: "GNMT and Transformer in FP8",
    papers_data: "WMT16",
    figure: BLEU,
    margin: 0.5,
    paper: &[
        Paper { model: "gnmt", fp32: 24.3, fp8: 24.6, decimals: 1 },
        Paper { model: "transformer", fp32: 23.6, fp8: 23.0, decimals: 1 },
    ],
    shows: COMPARISON_SHOWS,
    chance: "Translations of other sentences would score BLEU {}.",
    remark: "BLEU is sacreBLEU's default (13a, mixed case) of greedy translations. Recipes with a loss scale have the paper's enhanced scaling, but \
             where the table of loss scalings says otherwise.",
    sections: &[COMPARISON, EQUIVALENCE, SCALINGS],
    columns: TRANSLATION_COLUMNS,
    curves: &[TRAINING_CURVE, VALIDATION_CURVE, BLEU_CURVE, SCALE_CURVE],
};

pub static LOSS_SCALING: Experiment = Experiment {
    name: "loss-scaling",
    title: "Loss scaling under overflows without cause",
    papers_data: "WMT16",
    figure: BLEU,
    margin: 0.5,
    paper: &[],
    shows: "What they show is how ways of loss scaling behave where some steps overflow for no reason that lies in the training: the paper's enhanced \
            scaling guards GNMT on WMT16 against such; here they are made.",
    chance: "Translations of other sentences would score BLEU {}.",
    remark: "In disturbed runs steps overflow without cause, as the scale says. An element is flushed when it was not zero before it was rounded to FP8 and is zero afterwards; both are counted, in the backward pass, tensor by \
             tensor. Errors are gradients of activations. Stochastic rounding flushes an element with a probability that grows as it falls below the \
             smallest FP8 number, 2^-16.",
    sections: &[
        Section {
            note: "Loss scales are those of the first seed. Flushed: percent of all errors and gradients that rounding made zero, over the last quarter of \
                   the training.",
            ..SCALINGS
        },
        Section {
            title: "Flushed to zero in the course of the training",
            table: tables::course,
            note: "The first seed.",
        },
        FLUSHED,
    ],
    columns: TRANSLATION_COLUMNS,
    curves: &[
        TRAINING_CURVE,
        BLEU_CURVE,
        SCALE_CURVE,
        Curve { points: |run| run.flushed.shares(Role::Error), ..flushed_curve("errors flushed to zero") },
        Curve { points: |run| run.flushed.shares(Role::Gradient), ..flushed_curve("weight gradients flushed to zero") },
    ],
};

const BLEU: Figure =
    Figure { title: "BLEU of the validation sentences", name: "BLEU", unit: "", of: Run::bleu, is_share: false };

const COMPARISON_SHOWS: &str = "What they can show is whether FP8 trains as well as FP32 under the same setting; their level cannot be compared with the paper's, \
                                which stands in columns of its own.";

const COMPARISON: Section = Section { title: "FP32 and FP8", table: tables::comparison, note: "" };
const EQUIVALENCE: Section = Section {
    title: "Equivalence with FP32",
    table: tables::equivalence,
    note: "Differences are taken seed by seed. The margin is part of the experiment, chosen before its runs. p: two one-sided t tests (TOST) of the mean \
           difference being as far off as the margin or more; equivalence is shown where p < 0.05, which asks for enough seeds, and which is where the \
           90 % interval lies within the margin: the 95 % interval may reach past it. Where it is not shown, nothing is.",
};
const SCALINGS: Section = Section {
    title: "Ways of loss scaling",
    table: tables::scalings,
    note: "Loss scales are those of the first seed.",
};
const FLUSHED: Section = Section {
    title: "Flushed to zero, layer by layer",
    table: tables::flushed,
    note: "Percent of the elements that were not zero before they were rounded, over the last quarter of the training.",
};

const TRANSLATION_COLUMNS: &[Column] = &[
    Column { heading: "BLEU", cell: |run| format!("{:.2}", run.bleu()) },
    TRAINING_LOSS,
    VALIDATION_LOSS,
    SKIPPED,
    Column { heading: "tokens/s", cell: |run| format!("{:.0}", run.per_second) },
    PEAK,
    SECONDS,
];
const TRAINING_LOSS: Column = Column { heading: "training loss", cell: |run| last(run, |epoch| epoch.training_loss) };
const VALIDATION_LOSS: Column =
    Column { heading: "validation loss", cell: |run| last(run, |epoch| epoch.validation_loss) };
const SKIPPED: Column = Column { heading: "skipped steps", cell: |run| format!("{} of {}", run.skipped, run.steps) };
const PEAK: Column =
    Column { heading: "peak memory, MiB", cell: |run| format!("{:.0}", run.peak_bytes as f64 / (1 << 20) as f64) };
const SECONDS: Column = Column { heading: "seconds", cell: |run| format!("{:.0}", run.seconds) };

const TRAINING_CURVE: Curve =
    Curve { y_label: "loss", points: |run| steps(run, |point| point.loss), ..curve("training loss", "step") };
const VALIDATION_CURVE: Curve = Curve {
    y_label: "loss",
    points: |run| epochs(run, |epoch| epoch.validation_loss),
    ..curve("validation loss", "epoch")
};
const BLEU_CURVE: Curve =
    Curve { y_label: "BLEU", points: |run| epochs(run, |epoch| epoch.validation_bleu), ..curve("BLEU", "epoch") };
const SCALE_CURVE: Curve = Curve {
    y_label: "scale",
    log2: true,
    points: |run| steps(run, |point| point.loss_scale),
    ..curve("loss scale", "step")
};

const fn curve(title: &'static str, x_label: &'static str) -> Curve {
    Curve { title, x_label, y_label: "", log2: false, points: |_| Vec::new() }
}

const fn flushed_curve(title: &'static str) -> Curve {
    Curve { y_label: "flushed, %", ..curve(title, "step") }
}

fn steps(run: &Run, value: fn(&Point) -> f64) -> Vec<(f64, f64)> {
    run.curve.iter().map(|point| (point.step as f64, value(point))).collect()
}

fn epochs(run: &Run, value: fn(&Epoch) -> Option<f64>) -> Vec<(f64, f64)> {
    run.epochs.iter().filter_map(|epoch| Some((epoch.epoch as f64, value(epoch)?))).collect()
}

fn last(run: &Run, value: fn(&Epoch) -> Option<f64>) -> String {
    run.epochs.last().and_then(value).map_or("–".into(), |value| format!("{value:.3}"))
}
