//! Reports of made-up results: what they must and must not say.

use super::*;
use crate::provenance::Provenance;
use crate::reproduce::results::DataSet;
use crate::runs::{Epoch, Failure, Flushed, LayerFlushed, Point, Run};

/// Results with made-up curves of `seeds` runs for each model and recipe.
fn results(is_papers: bool, seeds: u64) -> Results {
    let mut runs = Vec::new();
    for (model, level) in [("resnet18", 70.0), ("resnet50", 76.0)] {
        for (recipe, gain) in [("fp32", 0.0), ("fp8", 0.25)] {
            // The gain differs by a tenth from seed to seed.
            let gain = |seed: u64| gain * (1.0 + 0.1 * (seed as f64 - (seeds + 1) as f64 / 2.0));
            runs.extend((1..=seeds).map(|seed| run(model, recipe, seed, level + gain(seed))));
        }
    }
    let name = if is_papers { "ImageNet-1k" } else { "generated images" };
    Results {
        experiment: "imagenet".into(),
        provenance: Provenance {
            command: "cargo xtask reproduce imagenet".into(),
            date: "2026-01-01T00:00:00Z".into(),
            commit: "abc".into(),
            machine: "a <machine>".into(),
            backend: "cpu".into(),
            compiler: "rustc 1.95.0".into(),
        },
        data: DataSet {
            name: name.into(),
            is_papers,
            counts: "2000 training and 500 validation images".into(),
            examples: "10 classes, 32x32".into(),
            validation: 500,
            chance: 10.0,
        },
        scale: "quick".into(),
        setting: "3 epochs".into(),
        planned: runs.len() + 1,
        runs,
        failures: Vec::new(),
        compared: Vec::new(),
    }
}

fn run(model: &str, recipe: &str, seed: u64, top1: f64) -> Run {
    let wave = |at: u64| ((at * 7919 + seed * 31) % 17) as f64 / 40.0;
    let curve = (0..240).map(|step| Point {
        step,
        loss: 2.3 * (-(step as f64) / 120.0).exp() + wave(step),
        loss_scale: if recipe == "fp8" { (8.0 + (step / 60) as f64 - (step / 100) as f64).exp2() } else { 1.0 },
    });
    let epochs = (1..=4).map(|epoch| Epoch {
        epoch,
        training_loss: Some(2.0 / epoch as f64),
        training_top1: Some(top1 - 1.0),
        validation_loss: Some(2.1 / epoch as f64),
        validation_top1: Some(top1 - 40.0 / epoch as f64 + 10.0 + wave(seed)),
        validation_top5: Some(95.0),
        validation_bleu: None,
    });
    Run {
        name: format!("{model}-{recipe}-seed{seed}"),
        model: model.into(),
        recipe: recipe.into(),
        variant: recipe.into(),
        seed,
        config: "[model]\nname = \"<x>\"".into(),
        steps: 240,
        skipped: 2,
        loss_scaling: "constant 1".into(),
        lowest_scale: 1.0,
        flushed: Flushed::default(),
        curve: curve.collect(),
        epochs: epochs.collect(),
        seconds: 30.0,
        per_second: 100.0,
        peak_bytes: 100 << 20,
        provenance: None,
    }
}

fn html(results: &Results) -> String {
    render(results, "report.html", include_str!("report.html.j2")).unwrap()
}

#[test]
fn a_stand_in_is_never_shown_as_imagenet() {
    let results = results(false, 1);
    let markdown = render(&results, "report.md", include_str!("report.md.j2")).unwrap();
    for text in [html(&results), markdown, terminal(&results, None).unwrap()] {
        assert!(text.contains("NOT ImageNet"), "{text}");
        assert!(text.contains("not those of ImageNet"), "{text}");
        assert!(text.contains("ImageNet, paper"), "{text}");
    }
    assert!(!terminal(&super::tests::results(true, 1), None).unwrap().contains("NOT ImageNet"));
}

#[test]
fn differences_carry_an_interval_when_there_are_seeds() {
    assert!(terminal(&results(false, 1), None).unwrap().contains("+0.25 "));
    let narrow = terminal(&results(false, 3), Some(50)).unwrap();
    assert!(narrow.lines().all(|line| line.chars().count() <= 50), "{narrow}");
    assert!(terminal(&results(false, 3), None).unwrap().contains("+0.25 ± 0.06"));
}

#[test]
fn uneven_seeds_are_counted() {
    let mut results = results(false, 3);
    assert!(terminal(&results, None).unwrap().contains("Means over 3 seeds"));
    results.runs.pop();
    assert!(terminal(&results, None).unwrap().contains("Means over 2 to 3 seeds"));
    results.runs[0].variant = "fp32, constant".into();
    let table = tables::scalings(Experiment::named("imagenet").unwrap(), &results);
    let seeds: Vec<&str> = table.rows.iter().map(|row| row[1].as_str()).collect();
    assert_eq!((table.heading[1].as_str(), seeds), ("seeds", vec!["1", "2", "3"]));
}

#[test]
fn sums_are_those_of_the_backend() {
    let mut results = results(false, 1);
    results.runs.iter_mut().for_each(|run| run.provenance = Some(results.provenance.clone()));
    assert!(html(&results).contains("as the recipe says; sums are FP32. Method"));
    let promoted = Provenance { backend: "cuda:0 (H200, promoted sums)".into(), ..results.provenance.clone() };
    results.runs[0].provenance = Some(promoted);
    assert!(html(&results).contains("as the recipe says; sums are FP32; of other runs, sums are FP32, to which"));
}

/// Each variant of a model has a line that no other has.
#[test]
fn lines_of_many_variants_differ() {
    let mut results = results(false, 8);
    results.runs.iter_mut().for_each(|run| run.variant = format!("{}, {}", run.recipe, run.seed));
    let page = html(&results);
    let charts: Vec<&str> = page.split("<svg").skip(1).collect();
    for (place, class) in [(0, "c0 d0"), (6, "c0 d1"), (12, "c0 d2"), (15, "c3 d2")] {
        let line = |chart: &str| chart.contains(&format!("<polyline class=\"{class}\""));
        assert!(charts.iter().all(|chart| line(chart)), "{place}");
    }
    assert!(page.contains(".chart .d2 {"));
}

#[test]
fn equivalence_is_tested_where_there_are_pairs() {
    assert!(!terminal(&results(false, 1), None).unwrap().contains("Equivalence"));
    let said = terminal(&results(false, 3), None).unwrap();
    let row = said.lines().find(|line| line.starts_with("resnet50, fp8 − fp32")).unwrap();
    assert!(row.contains("+0.25 ± 0.06") && row.ends_with("  shown") && said.contains("within ±1"), "{said}");
    let mut results = results(false, 3);
    let folder = tempfile::tempdir().unwrap();
    results.write(folder.path()).unwrap();
    let text = fs::read_to_string(folder.path().join("results.json")).unwrap();
    assert!(text.contains("\"is_shown\": true") && text.contains("\"margin\": 1.0"), "{text}");
}

#[test]
fn equal_figures_show_no_equivalence() {
    let mut results = results(false, 2);
    for run in &mut results.runs {
        run.epochs.iter_mut().for_each(|epoch| epoch.validation_top1 = Some(28.125));
    }
    let said = terminal(&results, None).unwrap();
    let row = said.lines().find(|line| line.starts_with("resnet50, fp8 − fp32")).unwrap();
    assert!(row.contains("+0.00 ± 0.00") && row.ends_with("not shown: all equal"), "{said}");
}

#[test]
fn unfinished_work_is_said() {
    let mut results = results(false, 1);
    assert!(html(&results).contains("Unfinished: 4 of 5 runs are done."));
    let diverged = Failure {
        run: "resnet50-fp8-constant-1-seed1".into(),
        config: String::new(),
        reason: "step 9".into(),
        provenance: None,
    };
    results.failures.push(diverged);
    let page = html(&results);
    assert!(!page.contains("Unfinished") && page.contains("resnet50-fp8-constant-1-seed1 diverged at step 9."));
}

#[test]
fn the_page_is_self_contained_and_escaped() {
    let page = html(&results(false, 3));
    assert!(page.contains("a &lt;machine&gt;") && !page.contains("<machine>"));
    assert!(page.contains("<svg") && !page.contains("&lt;svg"));
    for outside in ["<script", "<link", "src=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
}

/// One that ran first keeps what made it; a file of one provenance for all is read as before.
#[test]
fn runs_keep_where_they_come_from() {
    let folder = tempfile::tempdir().unwrap();
    results(false, 1).write(folder.path()).unwrap();
    let mut results = Results::read(folder.path()).unwrap();
    let lines = |results: &Results, name| {
        let lines = summary::setting(results).into_iter().filter(|line| line.0 == name);
        lines.map(|(_, value)| value).collect::<Vec<_>>()
    };
    assert_eq!((lines(&results, "Backend"), lines(&results, "Runs").len()), (vec!["cpu".into()], 0));
    results.provenance.backend = "a card".into();
    assert_eq!(lines(&results, "Backend"), ["cpu"]);
    results.runs[3].provenance = Some(results.provenance.clone());
    assert_eq!(lines(&results, "Backend"), ["cpu", "a card"]);
    assert_eq!(lines(&results, "Runs")[1], "resnet50-fp8-seed1");
    assert!(html(&results).contains("a card"));
}

#[test]
fn reports_are_rendered_from_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let text = serde_json::to_string(&results(false, 2)).unwrap();
    fs::write(folder.path().join("results.json"), text).unwrap();
    run_report(folder.path()).unwrap();
    assert!(folder.path().join("report.html").is_file() && folder.path().join("report.md").is_file());
    let missing = run_report(&folder.path().join("none")).unwrap_err();
    assert!(format!("{missing:#}").contains("results.json"));
}

fn run_report(folder: &Path) -> Result<()> {
    super::run(&Arguments { folder: folder.into() })
}

/// Of translation: BLEU beside the paper's, and a row for each way of loss scaling.
#[test]
fn loss_scalings_have_a_table_of_their_own() {
    let base = results(false, 1);
    let mut runs: Vec<Run> = [("fp32", "fp32"), ("fp8", "fp8"), ("fp8", "fp8, back-off")]
        .map(|(recipe, variant)| Run { variant: variant.into(), ..run("gnmt", recipe, 1, 0.0) })
        .into();
    for (run, bleu) in runs.iter_mut().zip([24.5, 24.25, 20.0]) {
        run.epochs.iter_mut().for_each(|epoch| epoch.validation_bleu = Some(bleu));
        run.lowest_scale = 2_f64.powi(-12);
    }
    let results = Results { experiment: "wmt16".into(), runs, ..base };
    let said = terminal(&results, None).unwrap();
    for part in ["24.50", "24.25", "-0.25", "WMT16, paper: fp32", "24.3", "24.6", "+0.3", "NOT WMT16"] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    let row = said.lines().find(|line| line.starts_with("gnmt, fp8, back-off")).unwrap();
    assert!(row.contains("20.00") && row.contains("-4.50") && row.contains("2^-12"), "{row}");
    let page = html(&results);
    assert!(page.contains("Ways of loss scaling") && page.contains("gnmt: BLEU") && page.contains("Not WMT16."));
    let markdown = render(&results, "report.md", include_str!("report.md.j2")).unwrap();
    assert!(markdown.contains("## Ways of loss scaling\n\n| run"), "{markdown}");
}

#[test]
fn what_is_flushed_is_shown_layer_by_layer() {
    let layer = |role, flushed: [u64; 4]| LayerFlushed {
        layer: "decoder.0".into(),
        role,
        nonzero: vec![100; 4],
        flushed: flushed.into(),
    };
    let layers =
        vec![layer(fp8_autograd::Role::Error, [0, 0, 0, 50]), layer(fp8_autograd::Role::Gradient, [0, 0, 0, 7])];
    let flushed = Flushed { steps: vec![0, 10, 20, 30], layers };
    assert_eq!(flushed.shares(fp8_autograd::Role::Error)[2..], [(20.0, 0.0), (30.0, 50.0)]);
    assert_eq!(flushed.late(), 28.5);
    let runs = vec![Run { flushed, variant: "fp8, spurious overflows".into(), ..run("gnmt", "fp8", 1, 0.0) }];
    let results = Results { experiment: "loss-scaling".into(), runs, ..results(false, 1) };
    let said = terminal(&results, None).unwrap();
    assert!(said.contains("decoder.0     error                     50.0"), "{said}");
    assert!(said.lines().any(|line| line.starts_with("gnmt, fp8, spurious") && line.contains(" 28.5 ")), "{said}");
    assert!(said.lines().any(|line| line.split_whitespace().eq(["30", "256", "50.0", "7.0"])), "{said}");
    assert!(!said.contains("paper: fp32"), "{said}");
    assert!(html(&results).contains("flushed, %"));
}
