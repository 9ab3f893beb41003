//! Whole runs: what they leave behind, and that stopping and resuming changes nothing.

mod common;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{TINY, TINY_TEXT};
use fp8_kernels::CpuBackend;
use fp8_trainer::checkpoint::{self, Checkpoint};
use fp8_trainer::metrics::StepRecord;
use fp8_trainer::{Config, Error, Event, Result, RunOptions, RunResult, train};

/// [`TINY`] with some fields set.
fn tiny(overrides: &[&str]) -> Config {
    Config::parse(TINY, overrides).unwrap()
}

/// Runs until the end or until so many steps are done.
fn run(config: &Config, folder: Option<PathBuf>, resume: bool, stop_after: Option<u64>) -> Result<RunResult> {
    let stop = AtomicBool::new(false);
    let observer = &mut |event: &Event<'_>| {
        if let Event::Step(record) = event
            && stop_after == Some(record.step + 1)
        {
            stop.store(true, Ordering::Relaxed);
        }
    };
    let backend = Arc::new(CpuBackend::new()?);
    train(config, RunOptions { backend, folder, resume, stop: &stop, observer })
}

/// All that a run is, time apart.
fn timeless(mut checkpoint: Checkpoint) -> Checkpoint {
    checkpoint.progress.seconds = 0.0;
    checkpoint
}

#[test]
fn a_run_leaves_its_folder_complete() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs/tiny");
    let config = tiny(&["training.epochs=1"]);
    let result = run(&config, Some(path.clone()), false, None).unwrap();
    assert!(result.finished);
    assert_eq!((result.steps, result.epochs.len(), result.curve.len()), (4, 1, 4));
    assert_eq!((result.epochs[0].training.count, result.epochs[0].validation.count), (32, 12));
    assert!(result.peak_bytes > 0 && result.per_second > 0.0);

    let mut names: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(
        names,
        [".lock", "checkpoint", "config.toml", "metrics.jsonl", "provenance.toml", "weights.safetensors"]
    );
    let none: [&str; 0] = [];
    assert_eq!(Config::load(&path.join("config.toml"), &none).unwrap(), config);
    assert_eq!(fs::read_to_string(path.join("metrics.jsonl")).unwrap().lines().count(), 5);
    assert!(fs::read_to_string(path.join("provenance.toml")).unwrap().contains("backend = "));

    let error = run(&config, Some(path.clone()), false, None).unwrap_err();
    assert!(matches!(&error, Error::Folder { folder, .. } if *folder == path), "{error}");
    // Resuming a finished run changes nothing.
    let again = run(&config, Some(path), true, None).unwrap();
    assert_eq!((again.weights_digest, again.epochs), (result.weights_digest, result.epochs));
}

/// A new run takes no folder in which anything of another is left, nor one with a configuration that was written by hand.
#[test]
fn nothing_that_a_folder_holds_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let config = tiny(&["training.epochs=1"]);
    let refused = |resume: bool, message: &str| {
        let error = run(&config, Some(path.clone()), resume, None).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    };
    let result = run(&config, Some(path.clone()), false, None).unwrap();
    let metrics = fs::read(path.join("metrics.jsonl")).unwrap();

    // Without metrics the checkpoint goes on, but nothing begins anew.
    fs::remove_file(path.join("metrics.jsonl")).unwrap();
    refused(false, "run: holds a run already (checkpoint): resume it");
    let again = run(&config, Some(path.clone()), true, None).unwrap();
    assert_eq!((again.weights_digest, again.epochs.len()), (result.weights_digest, 0));

    // Without a checkpoint nothing goes on.
    fs::remove_file(path.join("checkpoint")).unwrap();
    refused(true, "run: holds a run (weights.safetensors) but no checkpoint");
    fs::write(path.join("metrics.jsonl"), &metrics).unwrap();
    fs::remove_file(path.join("weights.safetensors")).unwrap();
    refused(true, "run: holds a run (epoch 1 in metrics.jsonl) but no checkpoint");
    assert_eq!(fs::read(path.join("metrics.jsonl")).unwrap(), metrics);

    // A run that was ended before its first checkpoint has lost nothing.
    let first = metrics.split_inclusive(|&byte| byte == b'\n').next().unwrap();
    fs::write(path.join("metrics.jsonl"), first).unwrap();
    assert_eq!(run(&config, Some(path.clone()), true, None).unwrap().curve.len(), 4);

    fs::remove_dir_all(&path).unwrap();
    fs::create_dir(&path).unwrap();
    fs::write(path.join("config.toml"), format!("# by hand\n{TINY}")).unwrap();
    [false, true].into_iter().for_each(|resume| refused(resume, "run: config.toml would be replaced"));
    assert!(fs::read_to_string(path.join("config.toml")).unwrap().starts_with("# by hand"));
    fs::write(path.join("config.toml"), config.to_toml()).unwrap();
    run(&config, Some(path.clone()), false, None).unwrap();
}

/// Of metrics only a last line that is half written goes.
#[test]
fn lines_of_metrics_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let config = tiny(&["training.epochs=1"]);
    run(&config, Some(folder.path().into()), false, Some(3)).unwrap();
    let path = folder.path().join("metrics.jsonl");
    let lines = fs::read_to_string(&path).unwrap();
    let damaged = lines.replacen("\"step\":1,", "\"stop\":1,", 1);
    for (text, number) in [(&damaged, 2), (&format!("{lines}\n{{\"kind\"\n"), 5)] {
        fs::write(&path, text).unwrap();
        let error = run(&config, Some(folder.path().into()), true, None).unwrap_err().to_string();
        assert!(error.contains(&format!("metrics.jsonl: line {number} is no line of metrics (")), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), *text);
    }
    fs::write(&path, format!("{lines}{{\"kind\"")).unwrap();
    let result = run(&config, Some(folder.path().into()), true, None).unwrap();
    assert_eq!((result.curve.len(), result.epochs.len()), (4, 1));
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 5);
}

/// A second run that is begun, or resumed, in the folder of one that is under way changes nothing there.
#[test]
fn a_folder_takes_one_run_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny");
    let config = tiny(&["training.epochs=1"]);
    let mut refused = 0;
    let observer = &mut |event: &Event<'_>| {
        if let Event::Step(_) = event {
            for resume in [false, true] {
                let error = run(&config, Some(path.clone()), resume, None).unwrap_err();
                let expected = format!("{}: another process is writing into it: ", path.display());
                assert!(error.to_string().starts_with(&expected), "{error}");
                refused += 1;
            }
        }
    };
    let backend = Arc::new(CpuBackend::new().unwrap());
    let options =
        RunOptions { backend, folder: Some(path.clone()), resume: false, stop: &AtomicBool::new(false), observer };
    let result = train(&config, options).unwrap();
    assert_eq!((result.finished, result.curve.len(), refused), (true, 4, 8));
    assert_eq!(result.weights_digest, run(&config, None, false, None).unwrap().weights_digest);
}

/// Stopped at every step in turn, resumed, and compared to the byte with a run that never stopped: stochastic rounding,
/// of moments too, back-off, augmentation and momentum included.
#[test]
fn resume_is_exact() {
    let overrides = ["loss_scaling={kind = 'back-off', initial = 64, growth_interval = 3}", "schedule.kind=cosine"];
    resumes_exactly(&tiny(&overrides));
    let text = Config::parse(TINY_TEXT, &overrides).unwrap();
    resumes_exactly(&text);
    let transformer = "model={architecture = 'transformer', width = 8, heads = 2, feed_forward = 16}";
    resumes_exactly(&Config::parse(TINY_TEXT, &[&overrides[..], &[transformer, "recipe=fp8-lean"]].concat()).unwrap());
}

fn resumes_exactly(config: &Config) {
    let whole = tempfile::tempdir().unwrap();
    let expected = run(config, Some(whole.path().into()), false, None).unwrap();
    let expected_checkpoint = timeless(checkpoint::load(whole.path()).unwrap().unwrap());
    let parts = tempfile::tempdir().unwrap();
    let mut result = None;
    for stop in 1..=expected.steps {
        result = Some(run(config, Some(parts.path().into()), true, Some(stop)).unwrap());
        assert_eq!(result.as_ref().unwrap().steps, stop);
    }
    let stopped = result.unwrap();
    assert!(!stopped.finished, "the last validation is missing");
    let result = run(config, Some(parts.path().into()), true, None).unwrap();
    assert!(result.finished);
    assert_eq!(result.epochs.last().unwrap().speed(), "–", "no step was left");
    assert_eq!(timeless(checkpoint::load(parts.path()).unwrap().unwrap()), expected_checkpoint);
    assert_eq!(result.weights_digest, expected.weights_digest);
    for (ours, theirs) in result.epochs.iter().zip(&expected.epochs) {
        assert_eq!((ours.training, ours.validation, ours.steps), (theirs.training, theirs.validation, theirs.steps));
    }
    let losses = |result: &RunResult| result.curve.iter().map(|step| step.loss).collect::<Vec<_>>();
    assert_eq!(losses(&result), losses(&expected));
    let weights = |folder: &std::path::Path| fs::read(folder.join("weights.safetensors")).unwrap();
    assert_eq!(weights(parts.path()), weights(whole.path()));
}

#[test]
fn a_damaged_checkpoint_gives_way_to_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let config = tiny(&["log.checkpoint_every_steps=1", "training.epochs=1"]);
    run(&config, Some(folder.path().into()), false, Some(3)).unwrap();
    let path = folder.path().join("checkpoint");
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.len() - 1;
    bytes[end] ^= 1;
    fs::write(&path, &bytes).unwrap();
    // The next one cannot be written, as if the disk were full: the one before is there still.
    let previous = fs::read(folder.path().join("checkpoint.previous")).unwrap();
    let part = folder.path().join(format!(".checkpoint.{}.part", std::process::id()));
    fs::create_dir(&part).unwrap();
    run(&config, Some(folder.path().into()), true, None).unwrap_err();
    assert!(fs::read(folder.path().join("checkpoint.previous")).unwrap() == previous);
    assert!(fs::read(folder.path().join("checkpoint.damaged")).unwrap() == bytes);
    fs::remove_dir(&part).unwrap();
    let result = run(&config, Some(folder.path().into()), true, None).unwrap();
    assert_eq!((result.finished, result.steps, result.curve.len()), (true, 4, 4));

    for (bytes, message) in [
        (&bytes[..20], "checkpoint: a checkpoint cut short: 20 bytes"),
        (b"something else that is long enough to hold a digest", "checkpoint: not a checkpoint of this version"),
        (&bytes[..end], "checkpoint: a damaged checkpoint: its digest does not fit its content"),
    ] {
        fs::write(&path, bytes).unwrap();
        fs::write(folder.path().join("checkpoint.previous"), bytes).unwrap();
        let error = run(&config, Some(folder.path().into()), true, None).unwrap_err().to_string();
        assert!(error.contains(message.split_once(": ").unwrap().1), "{error}");
    }
}

/// Killed after the line of an epoch, before the checkpoint at its end: that of its last step lets the epoch end again, with one line.
#[test]
fn an_epoch_that_ends_again_has_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let config = tiny(&["log.checkpoint_every_steps=4"]);
    run(&config, Some(folder.path().into()), false, None).unwrap();
    let [checkpoint, previous] = ["checkpoint", "checkpoint.previous"].map(|name| folder.path().join(name));
    fs::rename(previous, checkpoint).unwrap();
    let result = run(&config, Some(folder.path().into()), true, None).unwrap();
    assert_eq!(result.epochs.iter().map(|record| record.epoch).collect::<Vec<_>>(), [1, 2]);
    let metrics = fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap();
    assert_eq!(metrics.matches("\"kind\":\"epoch\"").count(), 2);
}

/// A validation that is stopped begins anew, and so does what it counts.
#[test]
fn what_is_left_out_of_a_validation_is_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let set = ["training.epochs=1", "loader.longest=28", "data.validation=200", "training.validation_batch=64"];
    let config = Config::parse(TINY_TEXT, &set).unwrap();
    let expected = run(&config, None, false, None).unwrap().epochs[0].left_out;
    let stop = AtomicBool::new(false);
    let observer = &mut |event: &Event<'_>| {
        if let Event::Validation { done, of } = event {
            stop.store(2 * done > *of, Ordering::Relaxed);
        }
    };
    let backend = Arc::new(CpuBackend::new().unwrap());
    let options = RunOptions { backend, folder: Some(folder.path().into()), resume: false, stop: &stop, observer };
    assert!(!train(&config, options).unwrap().finished);
    let result = run(&config, Some(folder.path().into()), true, None).unwrap();
    assert_eq!(result.epochs[0].left_out, expected);
    assert!(expected > 20, "{expected}");
}

/// What killed processes have left is removed, and nothing else.
#[test]
fn parts_of_files_do_not_stay() {
    let folder = tempfile::tempdir().unwrap();
    run(&tiny(&[]), Some(folder.path().into()), false, Some(1)).unwrap();
    let (left, others) =
        ([".checkpoint.1.part", ".weights.safetensors.4194304.part"], [".mine.1.part", ".checkpoint.x.part"]);
    left.iter().chain(&others).for_each(|name| fs::write(folder.path().join(name), "").unwrap());
    run(&tiny(&[]), Some(folder.path().into()), true, Some(2)).unwrap();
    assert_eq!(left.map(|name| folder.path().join(name).exists()), [false; 2]);
    assert_eq!(others.map(|name| folder.path().join(name).exists()), [true; 2]);
}

#[test]
fn another_configuration_cannot_go_on() {
    let folder = tempfile::tempdir().unwrap();
    run(&tiny(&[]), Some(folder.path().into()), false, Some(1)).unwrap();
    let error = run(&tiny(&["training.batch=4"]), Some(folder.path().into()), true, None).unwrap_err().to_string();
    assert!(error.contains("its checkpoint is of another configuration: training.batch is 8, not 4"), "{error}");
    // What changes no result may change.
    run(&tiny(&["loader.workers=2", "log.every_steps=3"]), Some(folder.path().into()), true, Some(2)).unwrap();
}

/// A first step so long that no loss after it is finite: there is no mean of none, in what is printed, written and read again.
#[test]
fn an_epoch_of_skipped_steps_has_no_loss() {
    let folder = tempfile::tempdir().unwrap();
    let config = tiny(&["training.learning_rate=1000"]);
    let result = run(&config, Some(folder.path().into()), false, None).unwrap();
    assert_eq!((result.finished, result.steps, result.epochs[1].skipped), (true, 8, 4));
    let [first, second] = &result.epochs[..] else { panic!("{}", result.epochs.len()) };
    assert!(first.training.loss.is_some(), "{}", first.training);
    assert_eq!(second.training.to_string(), "loss –");
    assert!(second.validation.to_string().starts_with("loss Inf or NaN, top-1 "), "{}", second.validation);
    let metrics = fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap();
    let line = metrics.lines().last().unwrap();
    assert!(line.contains(r#""training":{"loss":null,"count":0},"validation":{"loss":null,"#), "{line}");
    assert_eq!(run(&config, Some(folder.path().into()), true, None).unwrap().epochs, result.epochs);
}

/// An impossible loss scale: every step overflows.
#[test]
fn a_run_that_only_overflows_ends_with_an_explanation() {
    let folder = tempfile::tempdir().unwrap();
    let overrides = ["loss_scaling={kind = 'constant', scale = 1e30}", "training.skipped_in_a_row=3"];
    let error = run(&tiny(&overrides), Some(folder.path().into()), false, None).unwrap_err().to_string();
    let expected = "step 2: the last 3 steps were skipped at loss scale 1000000000000000000000000000000";
    assert!(error.starts_with(expected), "{error}");
    assert!(error.contains("Inf or NaN in this one: conv1.weight"), "{error}");
    let metrics = fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap();
    assert_eq!(metrics.matches("\"overflowed\":[\"").count(), 2);

    assert!(error.contains("which is constant; ") && error.ends_with("or a lower loss scale may help"), "{error}");

    // In FP32 nothing is scaled, and a lower scale is no way out.
    let overrides = ["recipe=fp32", "training.skipped_in_a_row=3", "diagnostics.spurious_overflow_every=1"];
    let error = run(&tiny(&overrides), None, false, None).unwrap_err().to_string();
    assert!(error.contains("at loss scale 1, which is constant; ") && !error.contains("lower loss scale"), "{error}");

    // Back-off finds a scale that does.
    let overrides = ["loss_scaling={kind = 'back-off', initial = 1e9, growth_interval = 100}", "training.epochs=8"];
    let result = run(&tiny(&overrides), None, false, None).unwrap();
    assert!(result.skipped > 0 && result.skipped < 30, "{}", result.skipped);
    assert!(result.epochs[7].loss_scale < 1e9);
}

/// Too few steps for `skipped_in_a_row`, or a scale that still falls at the end: the weights are the first ones.
#[test]
fn a_run_without_an_update_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    for scaling in ["kind = 'constant', scale = 1e30", "kind = 'back-off', initial = 1e30, growth_interval = 9"] {
        let config = tiny(&[&format!("loss_scaling={{{scaling}}}")]);
        let path = folder.path().join(&scaling[8..12]);
        for resume in [false, true] {
            let error = run(&config, Some(path.clone()), resume, None).unwrap_err().to_string();
            assert!(error.starts_with("step 7: every step was skipped, so nothing was learned"), "{error}");
            assert!(error.ends_with("a lower loss scale may help"), "{error}");
        }
        assert!(!path.join("weights.safetensors").exists());
    }
}

#[test]
fn weights_that_overflow_are_named() {
    let error = run(&tiny(&["training.learning_rate=1e9", "recipe=fp8"]), None, false, None).unwrap_err().to_string();
    assert!(error.contains("and so are weights, which an earlier step overflowed: "), "{error}");
}

/// The loop knows nothing of what it trains: a run of text leaves what a run of images does, and its vocabulary.
#[test]
fn a_run_of_text_leaves_its_vocabulary() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::parse(TINY_TEXT, &["training.epochs=1"]).unwrap();
    let result = run(&config, Some(folder.path().into()), false, None).unwrap();
    let epoch = &result.epochs[0];
    assert_eq!((epoch.validation.top1, epoch.training.bleu), (None, None));
    assert!(epoch.validation.bleu.is_some_and(|bleu| (0.0..=100.0).contains(&bleu)));
    assert!(epoch.training.count > 60 * 5 && epoch.left_out == 0, "{epoch:?}");
    let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let expected = [
        ".lock",
        "checkpoint",
        "config.toml",
        "metrics.jsonl",
        "provenance.toml",
        "tokenizer.json",
        "weights.safetensors",
    ];
    assert_eq!(names, expected);
    let none: [&str; 0] = [];
    assert_eq!(Config::load(&folder.path().join("config.toml"), &none).unwrap(), config);

    // Other sentences have another vocabulary.
    let other = Config::parse(TINY_TEXT, &["data.seed=1", "training.epochs=1"]).unwrap();
    let error = run(&other, Some(folder.path().into()), true, None).unwrap_err().to_string();
    for what in ["data.seed is 0, not 1", "sha256.tokenizer.json is \""] {
        assert!(error.contains(what), "{error}");
    }
}

/// Neither threads that compute nor those that prepare batches change a result.
#[test]
fn threads_do_not_change_a_run_of_text() {
    let digest = |workers: usize, threads| {
        let set = [format!("loader.workers={workers}"), "training.epochs=1".into()];
        let config = Config::parse(TINY_TEXT, &set).unwrap();
        let backend = Arc::new(CpuBackend::with(fp8_kernels::isa::select().unwrap(), threads).unwrap());
        let options =
            RunOptions { backend, folder: None, resume: false, stop: &AtomicBool::new(false), observer: &mut |_| {} };
        train(&config, options).unwrap().weights_digest
    };
    assert_eq!(digest(1, 1), digest(3, 2));
}

/// Counting changes nothing, of either network; overflows without cause skip their steps, and a floor holds the scale.
#[test]
fn diagnostics_count_and_disturb() {
    let transformer = "model={architecture = 'transformer', width = 8, heads = 2, feed_forward = 16}";
    for model in ["model.hidden=8", transformer] {
        let text = |more: &[&str]| Config::parse(TINY_TEXT, &[&[model], more].concat()).unwrap();
        let plain = run(&text(&[]), None, false, None).unwrap();
        let counted = run(&text(&["diagnostics.count_flushed_every=2"]), None, false, None).unwrap();
        assert_eq!(counted.weights_digest, plain.weights_digest);
        for record in &counted.curve {
            assert_eq!(record.flushed.is_empty(), record.step % 2 == 1, "{}", record.step);
            assert!(record.flushed.iter().all(|count| count.flushed <= count.nonzero));
        }
        assert!(plain.curve.iter().all(|record| record.flushed.is_empty()));

        let disturbed = |scaling: &str| {
            let config = text(&["diagnostics.spurious_overflow_every=3", &format!("loss_scaling={{{scaling}}}")]);
            let result = run(&config, None, false, None).unwrap();
            let skipped: Vec<_> = result.curve.iter().map(StepRecord::skipped).collect();
            assert!(skipped.iter().enumerate().all(|(step, skipped)| *skipped == (step % 3 == 2)), "{skipped:?}");
            result.curve.iter().map(|record| record.loss_scale).collect::<Vec<_>>()
        };
        let back_off = disturbed("kind = 'back-off', initial = 64, growth_interval = 50");
        assert_eq!(back_off[..7], [64.0, 64.0, 64.0, 32.0, 32.0, 32.0, 16.0]);
        let enhanced = disturbed("kind = 'enhanced', initial = 64, growth_interval = 50, floors = [[2, 48], [6, 128]]");
        assert_eq!(enhanced[..7], [64.0, 64.0, 64.0, 48.0, 48.0, 48.0, 128.0]);
    }
}
