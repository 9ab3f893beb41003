//! Experiments as data, and a whole one of seconds.

use std::path::Path;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use fp8_autograd::{LossScaling, Recipe};
use fp8_data::Source;
use fp8_models::Architecture;
use fp8_trainer::FolderLock;
use fp8_trainer::config::Task;
use toml::Table;

use super::results::Results;
use super::scale::{Asked, Scale, Setting};
use super::wmt16::Network;
use super::{Making, imagenet, images, loss_scaling, texts, wmt16};
use crate::runs::{Device, Effort, Plan};

/// The data that are made when none are given.
fn generated(setting: &Setting) -> Table {
    let mut data = setting.generated.clone();
    data.insert("kind".into(), "generated".into());
    data
}

fn plans(setting: &Setting, models: &[&str], recipes: &[&str], seeds: u64) -> Vec<Plan> {
    let recipes: Vec<String> = recipes.iter().map(|recipe| (*recipe).into()).collect();
    let asked = Asked { models: models.iter().map(|model| (*model).into()).collect(), recipes: &recipes, seeds };
    setting.plans(&generated(setting), true, &asked).unwrap()
}

#[test]
fn every_scale_configures_every_model_and_recipe() {
    let recipes: Vec<&str> = Recipe::names().collect();
    for scale in Scale::value_variants() {
        let setting = scale.setting(imagenet::SCALES).unwrap();
        assert!(matches!(images::source(&"synthetic".parse().unwrap(), &setting), Ok(Source::Generated(_))));
        let models: Vec<String> = Architecture::ALL.iter().map(ToString::to_string).collect();
        let made = plans(&setting, &models.iter().map(String::as_str).collect::<Vec<_>>(), &recipes, 1);
        let variants = if *scale == Scale::Card { 4 } else { 0 };
        assert_eq!(made.len(), 3 * recipes.len() + variants);
        let setting = scale.setting(wmt16::SCALES).unwrap();
        assert!(texts::source(&"synthetic".parse().unwrap(), &setting.generated).is_ok());
        // Two more ways of loss scaling.
        assert_eq!(plans(&setting, &["gnmt", "transformer"], &recipes, 2).len(), 2 * (2 * recipes.len() + 2));
    }
}

#[test]
fn the_paper_scale_is_the_papers() {
    let setting = Scale::Paper.setting(imagenet::SCALES).unwrap();
    let photographs = Source::Folder { folder: "imagenet".into() };
    let recipes = ["fp8".to_string()];
    let asked = Asked { models: vec!["resnet50".into()], recipes: &recipes, seeds: 1 };
    let config = &setting.plans(&photographs, false, &asked).unwrap()[0].config;
    let size = config.images().unwrap().loader.size;
    assert_eq!((config.training.epochs, config.training.batch, size), (90, 256, 224));

    let setting = Scale::Paper.setting(wmt16::SCALES).unwrap();
    let config = &plans(&setting, &["gnmt"], &["fp8"], 1)[0].config;
    let Task::Translation(own) = &config.task else { panic!("{config:?}") };
    let toml = toml::to_string(&own.model).unwrap();
    assert!(toml.contains("hidden = 1024") && toml.contains("encoder_layers = 8"), "{toml}");
    let floors = vec![(40_000, 8192.0), (150_000, 32768.0)];
    assert_eq!(config.loss_scaling, LossScaling::Enhanced { initial: 8192.0, growth_interval: 2000, floors });
}

/// FP32 needs no loss scale, and ways of loss scaling are compared once.
#[test]
fn variants_are_of_the_first_recipe_with_a_loss_scale() {
    let setting = Scale::Quick.setting(wmt16::SCALES).unwrap();
    let names = |made: &[Plan]| made.iter().map(|plan| plan.name.clone()).collect::<Vec<_>>();
    let made = plans(&setting, &["gnmt", "transformer"], &["fp32", "fp8", "fp8-rne"], 1);
    let expected = [
        "gnmt-fp32-seed1",
        "gnmt-fp8-seed1",
        "transformer-fp32-seed1",
        "transformer-fp8-seed1",
        "gnmt-fp8-back-off-seed1",
        "gnmt-fp8-constant-seed1",
        "gnmt-fp8-rne-seed1",
        "transformer-fp8-rne-seed1",
    ];
    assert_eq!(names(&made), expected);
    assert_eq!(made[0].config.loss_scaling, LossScaling::Constant { scale: 1.0 });
    assert!(matches!(made[1].config.loss_scaling, LossScaling::Enhanced { .. }));
    assert_eq!((made[4].variant.as_str(), made[1].variant.as_str()), ("fp8, back-off", "fp8"));
    assert_eq!(plans(&setting, &["gnmt"], &["fp32"], 1).len(), 1);
}

#[test]
fn an_unknown_recipe_is_named() {
    let setting = Scale::Quick.setting(wmt16::SCALES).unwrap();
    let recipes = ["fp9".to_string()];
    let asked = Asked { models: vec!["gnmt".into()], recipes: &recipes, seeds: 1 };
    let error = setting.plans(&generated(&setting), true, &asked).err().unwrap();
    assert!(format!("{error:#}").contains("did you mean \"fp8\"?"), "{error:#}");
}

const TINY: &str = "
    about = 'seconds'
    scaled = [\"loss_scaling={kind = 'back-off', initial = 64, growth_interval = 50}\"]
    [generated]
    training = 60
    validation = 10
    [run]
    task = 'translation'
    [run.loader]
    vocabulary = 120
    longest = 64
    [run.training]
    epochs = 2
    batch = 512
    learning_rate = 0.01
    [run.optimizer]
    kind = 'adamw'
    [run.diagnostics]
    count_flushed_every = 2
    [models]
    gnmt = [\"model={architecture = 'gnmt', hidden = 8}\"]
    transformer = [\"model={architecture = 'transformer', width = 8, heads = 2, feed_forward = 16}\"]
    [[variant]]
    model = 'gnmt'
    name = 'spurious overflows'
    set = ['diagnostics.spurious_overflow_every=3']
";

fn making(folder: &Path) -> Making {
    Making { seeds: 1, device: Device::Cpu, effort: Effort::ALONE, output: Some(folder.into()) }
}

fn translation(folder: &Path) -> wmt16::Arguments {
    let (recipes, models) = (vec!["fp32".into(), "fp8".into()], vec![Network::Gnmt, Network::Transformer]);
    let data = "synthetic".parse().unwrap();
    wmt16::Arguments { data, scale: Scale::Quick, recipes, models, making: making(folder) }
}

/// Stopped after its first step, then gone on with, then asked for again: the figures are those of one that was left alone, and nothing is trained
/// twice.
#[test]
fn a_reproduction_goes_on_where_it_was() {
    let place = tempfile::tempdir().unwrap();
    let make = |stop: bool, name: &str| {
        let folder = place.path().join(name);
        let arguments = translation(&folder);
        let code = wmt16::reproduction(&arguments, [TINY; 4]).unwrap().make_until(&stop.into(), &arguments.making);
        (code.unwrap(), Results::read(&folder).unwrap())
    };
    let (code, stopped) = make(true, "a");
    assert_eq!((code, stopped.runs.len(), stopped.planned), (ExitCode::from(130), 0, 5));
    assert!(place.path().join("a/runs/gnmt-fp32-seed1/checkpoint").is_file());
    let (code, resumed) = make(false, "a");
    let (_, mut straight) = make(false, "b");
    assert_eq!((code, resumed.runs.len()), (ExitCode::SUCCESS, 5));
    for (resumed, straight) in resumed.runs.iter().zip(&straight.runs) {
        assert_eq!((&resumed.name, resumed.training_loss()), (&straight.name, straight.training_loss()));
        assert_eq!((resumed.bleu(), &resumed.flushed), (straight.bleu(), &straight.flushed));
    }
    straight.runs.iter_mut().for_each(|run| run.provenance.as_mut().unwrap().backend = "elsewhere".into());
    straight.write(&place.path().join("b")).unwrap();
    let (code, again) = make(true, "b");
    assert!(again.runs.iter().all(|run| run.provenance.as_ref().unwrap().backend == "elsewhere"));
    assert_eq!((code, again.runs.len()), (ExitCode::SUCCESS, 5), "made already");
    let narrower = wmt16::Arguments { models: vec![Network::Transformer], ..translation(&place.path().join("b")) };
    let made = wmt16::reproduction(&narrower, [TINY; 4]).unwrap().make_until(&true.into(), &narrower.making).unwrap();
    let kept = Results::read(&place.path().join("b")).unwrap();
    assert_eq!((made, kept.runs.len(), kept.planned), (ExitCode::SUCCESS, 5, 5), "nothing is lost");
    let [report, page] =
        ["report.md", "report.html"].map(|name| std::fs::read_to_string(place.path().join("b").join(name)).unwrap());
    for text in [report, page] {
        assert!(text.contains("NOT WMT16") && text.contains("WMT16, paper: fp32"), "{text}");
    }

    let other = TINY.replace("training = 60", "training = 70");
    let arguments = translation(&place.path().join("b"));
    let refused = wmt16::reproduction(&arguments, [&other; 4]).unwrap().make_until(&false.into(), &arguments.making);
    assert!(format!("{:#}", refused.unwrap_err()).contains("choose another --output"));

    // A file cut short is named; without it the figures are those of the runs' own folders.
    let results = place.path().join("b/results.json");
    let text = std::fs::read_to_string(&results).unwrap();
    std::fs::write(&results, &text[..text.len() / 2]).unwrap();
    let arguments = translation(&place.path().join("b"));
    let make = || wmt16::reproduction(&arguments, [TINY; 4]).unwrap().make_until(&false.into(), &arguments.making);
    let refused = format!("{:#}", make().unwrap_err());
    assert!(refused.contains("is not a results file: ") && refused.contains("; move it away"), "{refused}");
    std::fs::remove_file(&results).unwrap();
    assert_eq!(make().unwrap(), ExitCode::SUCCESS);
    let anew = Results::read(&place.path().join("b")).unwrap();
    let figures =
        |results: &Results| results.runs.iter().map(|run| (run.bleu(), run.training_loss())).collect::<Vec<_>>();
    assert_eq!(figures(&anew), figures(&straight));
}

/// Recipes of one name are told of, and what another recipe of a run's name has left stays until its own run has ended.
#[test]
fn a_run_has_its_name_alone() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("results");
    let make = |recipes: &[&str], stop: bool| {
        let (recipes, models) = (recipes.iter().map(|recipe| (*recipe).into()).collect(), vec![Network::Transformer]);
        let arguments = wmt16::Arguments { recipes, models, ..translation(&folder) };
        wmt16::reproduction(&arguments, [TINY; 4]).unwrap().make_until(&stop.into(), &arguments.making)
    };
    let file = place.path().join("mine.toml");
    std::fs::write(&file, "base = 'fp8'\nname = 'fp8'").unwrap();
    let mine = file.to_str().unwrap();
    let refused = format!("{:#}", make(&["fp8", mine], false).unwrap_err());
    assert!(refused.contains("the run transformer-fp8-seed1 is asked for twice") && !folder.exists(), "{refused}");
    assert_eq!(make(&["fp8"], false).unwrap(), ExitCode::SUCCESS);
    let results = || std::fs::read_to_string(folder.join("results.json")).unwrap();
    let before = results();
    assert!(make(&[mine], false).is_err(), "its folder holds another run");
    assert!(results() == before);
    std::fs::write(&file, "base = 'fp8'").unwrap();
    assert_eq!(make(&[mine], false).unwrap(), ExitCode::SUCCESS);
    let names: Vec<String> = Results::read(&folder).unwrap().runs.into_iter().map(|run| run.name).collect();
    assert_eq!(names, ["transformer-fp8-seed1", "transformer-mine-seed1"]);
}

#[test]
fn minutes_are_those_of_a_clock() {
    let parsed = |text: &str| imagenet_minutes(text).map_err(|error| error.to_string());
    assert_eq!(parsed("0.5").unwrap(), Some(0.5));
    for wrong in ["-1", "nan", "1e300", "soon"] {
        assert!(parsed(wrong).unwrap_err().contains("a number of minutes is wanted"), "{wrong}");
    }
}

fn imagenet_minutes(text: &str) -> Result<Option<f64>, clap::Error> {
    let command = imagenet::Arguments::augment_args(clap::Command::new("imagenet"));
    let matches = command.try_get_matches_from(["imagenet", "--minutes", text])?;
    Ok(matches.get_one::<f64>("minutes").copied())
}

#[test]
fn a_folder_takes_one_reproduction_at_a_time() {
    let place = tempfile::tempdir().unwrap();
    let lock = FolderLock::take(place.path()).unwrap();
    let arguments = translation(place.path());
    let make = || wmt16::reproduction(&arguments, [TINY; 4]).unwrap().make_until(&true.into(), &arguments.making);
    let refused = format!("{:#}", make().unwrap_err());
    assert!(refused.contains("another process is writing into it"), "{refused}");
    assert!(!place.path().join("results.json").exists());
    drop(lock);
    assert_eq!(make().unwrap(), ExitCode::from(130));
}

#[test]
fn spurious_overflows_are_told_of() {
    let place = tempfile::tempdir().unwrap();
    let arguments = loss_scaling::Arguments { recipe: "fp8".into(), making: making(place.path()) };
    let made = loss_scaling::reproduction(&arguments, TINY).unwrap();
    assert_eq!(made.make_until(&false.into(), &arguments.making).unwrap(), ExitCode::SUCCESS);
    let results = Results::read(place.path()).unwrap();
    let [clean, disturbed] = &results.runs[..] else { panic!("{}", results.runs.len()) };
    assert_eq!((clean.skipped, clean.lowest_scale), (0, 64.0));
    assert_eq!(disturbed.skipped, disturbed.steps / 3);
    assert!(disturbed.lowest_scale < 64.0 && !disturbed.flushed.steps.is_empty());
    let report = std::fs::read_to_string(place.path().join("report.md")).unwrap();
    assert!(report.contains("gnmt, fp8, spurious overflows") && report.contains("## Flushed to zero"), "{report}");
    let arguments = loss_scaling::Arguments { recipe: "fp32".into(), ..arguments };
    let error = loss_scaling::reproduction(&arguments, TINY).err().unwrap().to_string();
    assert!(error.contains("--recipe fp32: it has no loss scale"), "{error}");
    assert_eq!(plans(&Setting::parse(loss_scaling::SETTING).unwrap(), &["gnmt"], &["fp8"], 1).len(), 3);
}
