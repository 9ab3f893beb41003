use fp8_models::Stem;

use super::*;

const NONE: [&str; 0] = [];

#[test]
fn little_suffices() {
    let config = Config::parse("[data]\nkind = 'generated'", &NONE).unwrap();
    assert_eq!(config.recipe.recipe().name, "fp8");
    assert_eq!(config.loss_scaling, LossScaling::Constant { scale: 10_000.0 });
    let images = config.images().unwrap();
    assert_eq!((images.model.stem, images.loader.size), (Stem::Cifar, 32));
    let config = Config::parse("[data]\nkind = 'generated'\nsize = 224", &["recipe=fp32"]).unwrap();
    let images = config.images().unwrap();
    assert_eq!((images.model.stem, images.loader.size), (Stem::ImageNet, 224));
    assert_eq!(config.loss_scaling, LossScaling::Constant { scale: 1.0 });
}

/// What is saved beside a run makes the same run.
#[test]
fn a_resolved_configuration_reads_back_as_itself() {
    for overrides in [
        &[][..],
        &["recipe={base = 'fp8', name = 'mine', exempt.layers = ['conv1']}", "training.clip_norm=1"],
        &["loader={size = 64, augment = false, unreadable = 'skip', workers = 3}"],
        &["data={kind = 'cifar10', folder = 'data/cifar10', held_out = 5}", "optimizer={kind = 'adamw'}"],
        &["schedule={kind = 'step', milestones = [30, 60, 80]}", "log.checkpoint_every_steps=5", "seed=7"],
        &["loss_scaling={kind = 'enhanced', initial = 8192, growth_interval = 2000, floors = [[40000, 8192]]}"],
        &["diagnostics={count_flushed_every = 3, spurious_overflow_every = 4}"],
        &["schedule.kind=cosine", "model={architecture = 'resnet50', stem = 'imagenet', zero_init_residual = true}"],
    ] {
        let config = Config::parse("[data]\nkind = 'generated'", overrides).unwrap();
        let text = config.to_toml();
        assert_eq!(Config::parse(&text, &NONE).unwrap(), config, "{text}");
    }
}

/// Beside runs in its base it is told apart, here and in the configuration that is kept.
#[test]
fn a_recipes_file_names_it() {
    let folder = tempfile::tempdir().unwrap();
    for (text, name) in [("base = 'fp8'", "mine"), ("base = 'fp8'\nname = 'own'", "own")] {
        let file = folder.path().join("mine.toml");
        std::fs::write(&file, text).unwrap();
        let config = Config::parse("", &[format!("recipe={}", file.display())]).unwrap();
        assert_eq!(config.recipe.recipe().name, name);
        assert_eq!(Config::parse(&config.to_toml(), &NONE).unwrap(), config);
    }
}

/// It is the recipe's file that has to be changed, not the configuration that names it.
#[test]
fn mistakes_in_a_recipes_file_name_that_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.toml");
    for (text, message) in [
        (
            "[error]\nroundin = 'rne'",
            "unknown field `error.roundin` (did you mean `rounding`?); the fields here are: dtype,",
        ),
        ("[wieght]", "unknown field `wieght` (did you mean `weight`?); the fields here are: base, name, weight,"),
        ("[error]\ndtype = 'e5m3'", "`error.dtype`: unknown format \"e5m3\" (did you mean \"e5m2\"?); choose one of"),
        ("[error]\nrounding = 'rnee'", "`error.rounding`: unknown rounding \"rnee\" (did you mean \"rne\"?)"),
        ("base = 'fp9'", "`base`: unknown recipe \"fp9\" (did you mean \"fp8\"?)"),
        ("[moment]\ndtype = 'e5m2'", "`moment`: moments are kept in f32 or bf16"),
        ("base = ", "TOML parse error at line 1"),
    ] {
        std::fs::write(&file, text).unwrap();
        let file = file.display().to_string();
        let error = anyhow::Error::new(Config::parse("", &[format!("recipe={file}")]).unwrap_err());
        let text = format!("{error:#}");
        assert!(text.starts_with(&format!("{file}: {message}")), "{text}\n{message}");
    }
}

#[test]
fn a_translation_reads_back_as_itself() {
    let parallel = "data={kind = 'parallel', training = [{ source = 'a.en', target = 'a.de' }], validation = []}";
    for overrides in [
        &[][..],
        &["model.hidden=32", "loader.ratio=1.5"],
        &[parallel, "data.training_pairs=100", "schedule.kind=inverse-square-root", "training.warmup_epochs=0.5"],
    ] {
        let config = Config::parse("task = 'translation'", overrides).unwrap();
        assert_eq!((config.training.batch, config.task.unit(), config.task.model().as_str()), (4096, "tokens", "gnmt"));
        assert!(config.images().is_none());
        let text = config.to_toml();
        assert_eq!(Config::parse(&text, &NONE).unwrap(), config, "{text}");
    }
    let config =
        Config::parse("task = 'translation'\nmodel.architecture = 'transformer'", &["model.norm=pre"]).unwrap();
    assert_eq!(
        (config.task.model().as_str(), &Config::parse(&config.to_toml(), &NONE).unwrap()),
        ("transformer", &config)
    );
    let error =
        Config::parse("task = 'translation'", &["model={architecture = 'transformer', heads = 3}"]).unwrap_err();
    assert!(format!("{:#}", anyhow::Error::new(error)).contains("`model.heads`: must divide model.width"));
    for (set, message) in [
        ("model.width=3", "unknown field `model.width`"),
        ("model.hiden=3", "unknown field `model.hiden` (did you mean `hidden`?)"),
        ("model.architecture=gnnt", "`model.architecture`: unknown \"gnnt\" (did you mean `gnmt`?)"),
        ("model.encoder_layers=1", "`model.encoder_layers`: must be at least 2"),
        ("loader.augment=true", "unknown field `loader.augment`"),
        ("loader.longest=5000", "`loader.longest`: must not be larger than training.batch"),
        ("loader.ratio=0.5", "`loader.ratio`: must be at least 1"),
        ("data.kind=cifar10", "`data.kind`: unknown \"cifar10\""),
        ("model={architecture = 'transformer', tied = 3}", "`model.tied`: a text is wanted, not 3"),
        (
            "data={kind = 'parallel', training = ['a.en'], validation = []}",
            "`data.training`: a section is wanted, not \"a.en\"",
        ),
        ("schedule.kind=inverse-square-root", "`training.warmup_epochs`: must be above 0"),
        ("task=translations", "`task`: unknown \"translations\" (did you mean `translation`?)"),
    ] {
        let error = anyhow::Error::new(Config::parse("task = 'translation'", &[set]).unwrap_err());
        let text = format!("{error:#}");
        assert!(text.contains(message), "{set}\n{text}\n{message}");
    }
}

#[test]
fn sizes_have_an_end() {
    let transformer = "model={architecture = 'transformer'}";
    let images = ["[data]\nkind = 'generated'", "seed=0"];
    let text = ["task = 'translation'\n[data]\nkind = 'generated'", "seed=0"];
    let attention = [text[0], transformer];
    for ([base, set], field, most) in [
        (images, "model.width", 1024),
        (images, "data.training", 10_000_000),
        (images, "data.validation", 10_000_000),
        (images, "data.size", 4096),
        (images, "loader.size", 4096),
        (images, "loader.workers", 1024),
        (images, "training.batch", 10_000_000),
        (images, "training.validation_batch", 10_000_000),
        (text, "data.training", 10_000_000),
        (text, "model.hidden", 16_384),
        (text, "model.encoder_layers", 256),
        (text, "model.decoder_layers", 256),
        (text, "loader.vocabulary", 1_000_000),
        (text, "loader.window", 10_000_000),
        (text, "loader.workers", 1024),
        (attention, "model.width", 16_384),
        (attention, "model.feed_forward", 65_536),
        (attention, "model.encoder_layers", 256),
    ] {
        let with = |value: u64| Config::parse(base, &[set, &format!("{field}={value}")]);
        with(most).unwrap();
        for value in [most + 4, 1 << 40, (1 << 63) - 4] {
            let text = format!("{:#}", anyhow::Error::new(with(value).unwrap_err()));
            assert!(text.contains(&format!("`{field}`: must be at most {most}")), "{value}: {text}");
        }
    }
}

#[test]
fn mistakes_are_named() {
    for (overrides, message) in [
        (
            &["trainig.epochs=3"][..],
            "unknown field `trainig` (did you mean `training`?); the fields here are: seed, recipe,",
        ),
        (&["training.epoch=3"], "unknown field `training.epoch` (did you mean `epochs`?)"),
        (&["data.sise=3"], "unknown field `data.sise` (did you mean `size`?)"),
        (
            &["optimizer={kind = 'sgd', momentun = 0.9}"],
            "unknown field `optimizer.momentun` (did you mean `momentum`?)",
        ),
        (&["schedule={kind = 'cosine', zz = 1}"], "unknown field `schedule.zz`; the fields here are: kind"),
        (&["data.zz=1"], "unknown field `data.zz`; the fields here are: kind, training, validation"),
        (
            &["optimizer.kind=adam"],
            "`optimizer.kind`: unknown \"adam\" (did you mean `adamw`?); choose one of sgd, adamw",
        ),
        (&["model.architecture=resnet19"], "`model.architecture`: unknown \"resnet19\" (did you mean `resnet18`?)"),
        (&["training.epochs=many"], "`training.epochs`: a whole number from 0 to 4294967295 is wanted, not \"many\""),
        (&["training.epochs=-1"], "`training.epochs`: a whole number from 0 to 4294967295 is wanted, not -1"),
        (&["training.batch=0"], "`training.batch`: must be at least 1"),
        (
            &["training.epochs=2", "training.warmup_epochs=2.5"],
            "`training.warmup_epochs`: must be at most training.epochs",
        ),
        (&["training.learning_rate=nan"], "`training.learning_rate`: must be a finite number"),
        (&["training.label_smoothing=1.0"], "`training.label_smoothing`: must be at least 0 and below 1"),
        (
            &["recipe=fp9"],
            "`recipe`: unknown recipe \"fp9\" (did you mean \"fp8\"?); the recipes are: fp32, fp16, bf16, fp8,",
        ),
        (&["recipe=nowhere.toml"], "`recipe`: reading nowhere.toml: "),
        (&["recipe={wieght = {}}"], "configuration: unknown field `recipe.wieght` (did you mean `weight`?)"),
        (&["recipe={base = 'fp9'}"], "configuration: `recipe.base`: unknown recipe \"fp9\" (did you mean \"fp8\"?)"),
        (&["recipe=3"], "`recipe`: a recipe is a name, the path of a file or a table"),
        (&["data={kind = 'cifar10'}"], "`data.folder`: must be given"),
        (&["data={}"], "`data.kind`: must be given"),
        (&["schedule={kind = 'step', milestones = [60, 30]}"], "`schedule.milestones`: must rise"),
        (&["loss_scaling={kind = 'constant', scale = -1.0}"], "`loss_scaling`: scale must be finite and above 0"),
        (
            &["optimizer={kind = 'sgd', momentum = 1.5}"],
            "`optimizer`: momentum must be at least 0 and below 1, not 1.5",
        ),
        (&["seed"], "`seed`: KEY=VALUE is wanted"),
        (&["schedule={kind = 'step', milestones = [nan]}"], "`schedule.milestones`: must be finite numbers from 0 on"),
        (&["schedule={kind = 'step', milestones = [-1]}"], "`schedule.milestones`: must be finite numbers from 0 on"),
        (&["training.learning_rate=1e300"], "`training.learning_rate`: must be at most 3.4e38"),
        (&["training.warmup_epochs=1e308"], "`training.warmup_epochs`: must be at most 4294967295"),
        (&["diagnostics=[1]"], "`diagnostics`: a section is wanted, { FIELD = VALUE, … }, not [1]"),
        (&["training=[1, 2]"], "`training`: a section is wanted, { FIELD = VALUE, … }, not [1, 2]"),
        (&["schedule=['cosine']"], "`schedule`: a section is wanted, { FIELD = VALUE, … }, not [\"cosine\"]"),
        (&["optimizer=['sgd', 0.9]"], "`optimizer`: a section is wanted"),
        (&["loss_scaling=['constant', 3.0]"], "`loss_scaling`: a section is wanted"),
        (&["data=['generated']"], "`data`: a section is wanted"),
        (&["model=resnet18"], "`model`: a section is wanted, { FIELD = VALUE, … }, not \"resnet18\""),
        (&["data.training=many"], "`data.training`: a whole number from 0 on is wanted, not \"many\""),
        (&["data.kind=3"], "`data.kind`: "),
        (&["data={kind = 'cifar10', folder = 3}"], "`data.folder`: a text is wanted, not 3"),
        (&["optimizer={kind = 'sgd', momentum = 'x'}"], "`optimizer.momentum`: a number is wanted, not \"x\""),
        (&["loss_scaling={kind = 'constant', scale = []}"], "`loss_scaling.scale`: a number is wanted, not a list"),
        (&["schedule={kind = 'step', milestones = 3}"], "`schedule.milestones`: a list is wanted, not 3"),
        (&["optimizer={kind = ['sgd']}"], "`optimizer.kind`: a text is wanted, not a list"),
        (&["loader.augment=1"], "`loader.augment`: true or false is wanted, not 1"),
        (&["training.learning_rate={}"], "`training.learning_rate`: a number is wanted, not a section"),
        (&["seed=0.5"], "`seed`: a whole number from 0 on is wanted, not 0.5"),
        (
            &["loss_scaling={kind = 'enhanced', initial = 8192, growth_interval = 2000, floors = [[1]]}"],
            "`loss_scaling.floors`: a pair is wanted, not a list of length 1",
        ),
    ] {
        let error = Config::parse("[data]\nkind = 'generated'", overrides).unwrap_err();
        let text = format!("{:#}", anyhow::Error::new(error));
        assert!(text.contains(message), "{overrides:?}\n{text}\n{message}");
    }
    let error = Config::parse("seed = ", &NONE).unwrap_err();
    assert!(format!("{:#}", anyhow::Error::new(error)).contains("line 1"));
}
