//! From the configuration as written to a complete one: defaults, then checks.

use std::path::Path;
use std::sync::Arc;

use fp8_autograd::{OptimizerRule, Recipe};
use fp8_data::Source;
use fp8_models::{Architecture, Stem};
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::{
    Config, FieldError, Images, Loader, Log, Model, RecipeSource, Schedule, SequenceModel, Task, TextLoader, Training,
    TransformerModel, Translation, cores, document, raw, sizes,
};

type Result<T> = std::result::Result<T, FieldError>;

pub fn resolve(raw: raw::Config) -> Result<Config> {
    let recipe = recipe(raw.recipe.unwrap_or_else(|| raw::Recipe::Name("fp8".into())))?;
    let loss_scaling = given("loss_scaling", raw.loss_scaling)?.unwrap_or_else(|| recipe.recipe.loss_scaling.clone());
    let task = match raw.task {
        raw::Task::Images => Task::Images(images(raw.model, raw.data, raw.loader)?),
        raw::Task::Translation => Task::Translation(translation(raw.model, raw.data, raw.loader)?),
    };
    let config = Config {
        seed: raw.seed.unwrap_or(0),
        recipe,
        training: training(&raw.training, &task),
        task,
        schedule: given("schedule", raw.schedule)?.unwrap_or(Schedule::Constant {}),
        optimizer: given("optimizer", raw.optimizer)?.unwrap_or(OptimizerRule::Sgd {
            momentum: 0.9,
            dampening: 0.0,
            nesterov: false,
            weight_decay: 0.0,
        }),
        loss_scaling,
        diagnostics: raw.diagnostics,
        log: Log {
            every_steps: raw.log.every_steps.unwrap_or(10),
            checkpoint_every_steps: raw.log.checkpoint_every_steps,
            checkpoint_every_epochs: raw.log.checkpoint_every_epochs.unwrap_or(1),
        },
    };
    check(&config)?;
    Ok(config)
}

/// A name of a built-in recipe, a file whose text is then kept in the configuration, or the fields themselves. A file that gives no name has its own.
fn recipe(source: raw::Recipe) -> Result<RecipeSource> {
    let file = match &source {
        raw::Recipe::Name(name) if Path::new(name).extension().is_some_and(|extension| extension == "toml") => {
            Some(name.clone())
        }
        _ => None,
    };
    let within = |error: FieldError| match &file {
        Some(file) => FieldError::Elsewhere { file: file.clone(), source: Box::new(error) },
        None => error.within("recipe"),
    };
    let source = match &file {
        Some(file) => {
            let unreadable =
                |error| FieldError::Invalid { field: "recipe".into(), reason: format!("reading {file}: {error}") };
            let text = std::fs::read_to_string(file).map_err(unreadable)?;
            let mut table: Table = text.parse().map_err(|error| within(FieldError::Syntax(error)))?;
            let stem = Path::new(file).file_stem().unwrap_or_default().to_string_lossy();
            table.entry("name").or_insert_with(|| stem.into_owned().into());
            raw::Recipe::Own(table)
        }
        None => source,
    };
    let recipe = match &source {
        raw::Recipe::Name(name) => Recipe::named(name).map_err(|error| of_recipe("", error)),
        raw::Recipe::Own(table) => Recipe::parse(&table.to_string()).map_err(|error| of_recipe("base", error)),
    };
    Ok(RecipeSource { source, recipe: Arc::new(recipe.map_err(within)?) })
}

/// What is wrong with a field of a recipe; `base` is that by which another recipe is named.
fn of_recipe(base: &str, error: fp8_autograd::Error) -> FieldError {
    match error {
        fp8_autograd::Error::UnknownField { field, known } => FieldError::Unknown { field, known },
        fp8_autograd::Error::Recipe { field, reason } => FieldError::Invalid { field, reason },
        other => FieldError::Invalid { field: base.into(), reason: other.to_string() },
    }
}

/// As [`section`], of one that may be left out.
fn given<T: DeserializeOwned>(name: &str, table: Option<Table>) -> Result<Option<T>> {
    table.map(|table| section(name, table)).transpose()
}

/// A section that was left as a table.
fn section<T: DeserializeOwned>(name: &str, table: Table) -> Result<T> {
    document::read(Value::Table(table)).map_err(|error| error.within(name))
}

fn images(model: Table, data: Option<Table>, loader: Table) -> Result<Images> {
    let data: Source = given("data", data)?.unwrap_or_default();
    let loader: raw::Loader = section("loader", loader)?;
    let size = loader.size.or(data.size()).unwrap_or(224);
    Ok(Images {
        model: image_model(&section("model", model)?, size),
        data,
        loader: Loader {
            size,
            training_images: loader.training_images,
            validation_images: loader.validation_images,
            augment: loader.augment.unwrap_or(true),
            unreadable: loader.unreadable.unwrap_or_default(),
            workers: loader.workers.unwrap_or_else(cores),
        },
    })
}

fn translation(mut model: Table, data: Option<Table>, loader: Table) -> Result<Translation> {
    model.entry("architecture").or_insert_with(|| "gnmt".into());
    Ok(Translation {
        model: section("model", model)?,
        data: given("data", data)?.unwrap_or_default(),
        loader: section("loader", loader)?,
    })
}

fn image_model(raw: &raw::Model, size: usize) -> Model {
    Model {
        architecture: raw.architecture.unwrap_or(Architecture::ResNet18),
        stem: raw.stem.unwrap_or(if size > 64 { Stem::ImageNet } else { Stem::Cifar }),
        width: raw.width.unwrap_or(64),
        zero_init_residual: raw.zero_init_residual.unwrap_or(false),
    }
}

fn training(raw: &raw::Training, task: &Task) -> Training {
    let batch = raw.batch.unwrap_or(match task {
        Task::Images(_) => 64,
        Task::Translation(_) => 4096,
    });
    Training {
        epochs: raw.epochs.unwrap_or(10),
        batch,
        validation_batch: raw.validation_batch.unwrap_or(batch),
        learning_rate: raw.learning_rate.unwrap_or(0.1),
        warmup_epochs: raw.warmup_epochs.unwrap_or(0.0),
        label_smoothing: raw.label_smoothing.unwrap_or(0.0),
        decay_weights_only: raw.decay_weights_only.unwrap_or(false),
        clip_norm: raw.clip_norm,
        skipped_in_a_row: raw.skipped_in_a_row.unwrap_or(20),
    }
}

/// A number that has a range: the field, whether its value is in it, what is wanted.
type Row = (&'static str, bool, &'static str);

const AT_LEAST_1: &str = "must be at least 1";
const AT_LEAST_2: &str = "must be at least 2";

fn check(config: &Config) -> Result<()> {
    let Config { training, diagnostics, log, .. } = config;
    let positive = |value: usize| value > 0;
    let common = [
        ("training.epochs", training.epochs > 0, AT_LEAST_1),
        ("training.batch", positive(training.batch), AT_LEAST_1),
        ("training.validation_batch", positive(training.validation_batch), AT_LEAST_1),
        ("training.learning_rate", at_least_zero(training.learning_rate), "must be a finite number from 0 on"),
        ("training.learning_rate", training.learning_rate <= f64::from(f32::MAX), "must be at most 3.4e38"),
        ("training.warmup_epochs", at_least_zero(training.warmup_epochs), "must be a finite number from 0 on"),
        ("training.warmup_epochs", training.warmup_epochs <= f64::from(u32::MAX), "must be at most 4294967295"),
        (
            "training.warmup_epochs",
            training.warmup_epochs <= f64::from(training.epochs),
            "must be at most training.epochs, or the learning rate never reaches its largest",
        ),
        ("training.label_smoothing", (0.0..1.0).contains(&training.label_smoothing), "must be at least 0 and below 1"),
        (
            "training.clip_norm",
            training.clip_norm.is_none_or(|norm| norm > 0.0 && norm.is_finite()),
            "must be finite and above 0",
        ),
        ("training.skipped_in_a_row", training.skipped_in_a_row > 0, AT_LEAST_1),
        ("diagnostics.count_flushed_every", diagnostics.count_flushed_every != Some(0), AT_LEAST_1),
        ("diagnostics.spurious_overflow_every", diagnostics.spurious_overflow_every != Some(0), AT_LEAST_1),
        ("log.every_steps", log.every_steps > 0, AT_LEAST_1),
        ("log.checkpoint_every_steps", log.checkpoint_every_steps != Some(0), AT_LEAST_1),
        ("log.checkpoint_every_epochs", log.checkpoint_every_epochs > 0, AT_LEAST_1),
    ];
    let own = match &config.task {
        Task::Images(images) => check_images(images),
        Task::Translation(translation) => check_translation(translation, training),
    };
    if let Some((field, _, reason)) = common.into_iter().chain(own).find(|(_, holds, _)| !holds) {
        return invalid(field, reason);
    }
    sizes::check(config)?;
    if let Schedule::Step { milestones, factor } = &config.schedule {
        if !milestones.iter().all(|&milestone| at_least_zero(milestone)) {
            return invalid("schedule.milestones", "must be finite numbers from 0 on");
        }
        if !milestones.is_sorted_by(|a, b| a < b) {
            return invalid("schedule.milestones", "must rise");
        }
        if !(0.0..=1e6).contains(factor) {
            return invalid("schedule.factor", "must be a number from 0 to 1e6");
        }
    }
    if config.schedule == (Schedule::InverseSquareRoot {}) && training.warmup_epochs == 0.0 {
        return invalid("training.warmup_epochs", "must be above 0 for the schedule inverse-square-root");
    }
    config.optimizer.check().or_else(|reason| invalid("optimizer", &reason))?;
    config.loss_scaling.check().or_else(|reason| invalid("loss_scaling", &reason))
}

fn check_images(images: &Images) -> Vec<Row> {
    let Images { model, data, loader } = images;
    let held_out = !matches!(data, Source::Cifar10 { held_out: Some(batch), .. } if !(1..=5).contains(batch));
    vec![
        ("loader.workers", loader.workers > 0, AT_LEAST_1),
        ("model.width", model.width > 0, AT_LEAST_1),
        ("loader.training_images", loader.training_images != Some(0), AT_LEAST_1),
        ("loader.validation_images", loader.validation_images != Some(0), AT_LEAST_1),
        ("loader.size", loader.size >= 8, "must be at least 8"),
        ("data.held_out", held_out, "must be a training batch, 1 to 5"),
    ]
}

fn check_translation(translation: &Translation, training: &Training) -> Vec<Row> {
    let TextLoader { vocabulary, longest, ratio, window, workers } = translation.loader;
    let room = training.batch.min(training.validation_batch) >= longest;
    let mut rows = vec![
        ("loader.workers", workers > 0, AT_LEAST_1),
        ("loader.window", window > 0, AT_LEAST_1),
        ("loader.vocabulary", vocabulary >= 8, "must be at least 8"),
        ("loader.longest", longest >= 2, AT_LEAST_2),
        ("loader.longest", room, "must not be larger than training.batch, the tokens of a batch"),
        ("loader.ratio", ratio >= 1.0, AT_LEAST_1),
    ];
    match translation.model {
        SequenceModel::Transformer(TransformerModel {
            width,
            heads,
            feed_forward,
            encoder_layers,
            decoder_layers,
            dropout,
            ..
        }) => rows.extend([
            ("model.width", width > 0 && width.is_multiple_of(2), "must be even, and at least 2"),
            ("model.heads", heads > 0 && width.is_multiple_of(heads), "must divide model.width"),
            ("model.feed_forward", feed_forward > 0, AT_LEAST_1),
            ("model.encoder_layers", encoder_layers > 0, AT_LEAST_1),
            ("model.decoder_layers", decoder_layers > 0, AT_LEAST_1),
            ("model.dropout", (0.0..1.0).contains(&dropout), "must be at least 0 and below 1"),
        ]),
        SequenceModel::Gnmt { hidden, encoder_layers, decoder_layers, dropout } => rows.extend([
            ("model.hidden", hidden > 0, AT_LEAST_1),
            ("model.encoder_layers", encoder_layers >= 2, AT_LEAST_2),
            ("model.decoder_layers", decoder_layers >= 2, AT_LEAST_2),
            ("model.dropout", (0.0..1.0).contains(&dropout), "must be at least 0 and below 1"),
        ]),
    }
    rows
}

fn at_least_zero(value: f64) -> bool {
    value >= 0.0 && value.is_finite()
}

fn invalid<T>(field: &str, reason: &str) -> Result<T> {
    Err(FieldError::Invalid { field: field.into(), reason: reason.into() })
}
