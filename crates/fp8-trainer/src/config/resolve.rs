//! From the configuration as written to a complete one: defaults, then checks.

use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;

use fp8_autograd::{OptimizerRule, Recipe};
use fp8_data::Source;
use fp8_models::{Architecture, Stem};

use super::{Config, FieldError, Loader, Log, Model, RecipeSource, Schedule, Training, raw};

type Result<T> = std::result::Result<T, FieldError>;

pub fn resolve(raw: raw::Config) -> Result<Config> {
    let recipe = recipe(raw.recipe.unwrap_or_else(|| raw::Recipe::Name("fp8".into())))?;
    let loss_scaling = raw.loss_scaling.unwrap_or_else(|| recipe.recipe.loss_scaling.clone());
    let size = raw.loader.size.or(raw.data.size()).unwrap_or(224);
    let config = Config {
        seed: raw.seed.unwrap_or(0),
        recipe,
        model: model(&raw.model, size),
        data: raw.data,
        loader: Loader {
            size,
            training_images: raw.loader.training_images,
            validation_images: raw.loader.validation_images,
            augment: raw.loader.augment.unwrap_or(true),
            unreadable: raw.loader.unreadable.unwrap_or_default(),
            workers: raw.loader.workers.unwrap_or_else(|| available_parallelism().map_or(1, usize::from)),
        },
        training: training(&raw.training),
        schedule: raw.schedule.unwrap_or(Schedule::Constant {}),
        optimizer: raw.optimizer.unwrap_or(OptimizerRule::Sgd {
            momentum: 0.9,
            dampening: 0.0,
            nesterov: false,
            weight_decay: 0.0,
        }),
        loss_scaling,
        log: Log {
            every_steps: raw.log.every_steps.unwrap_or(10),
            checkpoint_every_steps: raw.log.checkpoint_every_steps,
        },
    };
    check(&config)?;
    Ok(config)
}

/// A name of a built-in recipe, a file whose text is then kept in the configuration, or the fields themselves.
fn recipe(source: raw::Recipe) -> Result<RecipeSource> {
    let invalid = |reason: String| FieldError::Invalid { field: "recipe".into(), reason };
    let source = match source {
        raw::Recipe::Name(name) if Path::new(&name).extension().is_some_and(|extension| extension == "toml") => {
            let text = std::fs::read_to_string(&name).map_err(|error| invalid(format!("reading {name}: {error}")))?;
            raw::Recipe::Own(text.parse().map_err(|error| invalid(format!("{name}: {error}")))?)
        }
        source => source,
    };
    let recipe = match &source {
        raw::Recipe::Name(name) => Recipe::named(name),
        raw::Recipe::Own(table) => Recipe::parse(&table.to_string()),
    };
    let recipe = Arc::new(recipe.map_err(|error| invalid(error.to_string()))?);
    Ok(RecipeSource { source, recipe })
}

fn model(raw: &raw::Model, size: usize) -> Model {
    Model {
        architecture: raw.architecture.unwrap_or(Architecture::ResNet18),
        stem: raw.stem.unwrap_or(if size > 64 { Stem::ImageNet } else { Stem::Cifar }),
        width: raw.width.unwrap_or(64),
        zero_init_residual: raw.zero_init_residual.unwrap_or(false),
    }
}

fn training(raw: &raw::Training) -> Training {
    let batch = raw.batch.unwrap_or(64);
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

/// One row per number that has a range: the field, whether its value is in it, what is wanted.
fn check(config: &Config) -> Result<()> {
    let Config { training, loader, log, .. } = config;
    let positive = |value: usize| value > 0;
    let rows = [
        ("training.epochs", training.epochs > 0, "must be at least 1"),
        ("training.batch", positive(training.batch), "must be at least 1"),
        ("training.validation_batch", positive(training.validation_batch), "must be at least 1"),
        ("training.learning_rate", at_least_zero(training.learning_rate), "must be a finite number from 0 on"),
        ("training.warmup_epochs", at_least_zero(training.warmup_epochs), "must be a finite number from 0 on"),
        ("training.label_smoothing", (0.0..1.0).contains(&training.label_smoothing), "must be at least 0 and below 1"),
        (
            "training.clip_norm",
            training.clip_norm.is_none_or(|norm| norm > 0.0 && norm.is_finite()),
            "must be finite and above 0",
        ),
        ("training.skipped_in_a_row", training.skipped_in_a_row > 0, "must be at least 1"),
        ("loader.workers", positive(loader.workers), "must be at least 1"),
        ("log.every_steps", log.every_steps > 0, "must be at least 1"),
        ("log.checkpoint_every_steps", log.checkpoint_every_steps != Some(0), "must be at least 1"),
        ("model.width", positive(config.model.width), "must be at least 1"),
        ("loader.training_images", loader.training_images != Some(0), "must be at least 1"),
        ("loader.validation_images", loader.validation_images != Some(0), "must be at least 1"),
        ("loader.size", loader.size >= 8, "must be at least 8"),
    ];
    if let Some((field, _, reason)) = rows.into_iter().find(|(_, holds, _)| !holds) {
        return invalid(field, reason);
    }
    if let Source::Cifar10 { held_out: Some(batch), .. } = config.data
        && !(1..=5).contains(&batch)
    {
        return invalid("data.held_out", "must be a training batch, 1 to 5");
    }
    if let Schedule::Step { milestones, factor } = &config.schedule {
        if !milestones.is_sorted_by(|a, b| a < b) {
            return invalid("schedule.milestones", "must rise");
        }
        if !at_least_zero(*factor) {
            return invalid("schedule.factor", "must be a finite number from 0 on");
        }
    }
    config.optimizer.check().or_else(|reason| invalid("optimizer", &reason))?;
    config.loss_scaling.check().or_else(|reason| invalid("loss_scaling", &reason))
}

fn at_least_zero(value: f64) -> bool {
    value >= 0.0 && value.is_finite()
}

fn invalid<T>(field: &str, reason: &str) -> Result<T> {
    Err(FieldError::Invalid { field: field.into(), reason: reason.into() })
}
