//! How large a reproduction is, and what its runs are: files of `scales/`.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use fp8_autograd::LossScaling;
use fp8_trainer::Config;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::runs::Plan;

/// The sizes that there are.
#[derive(Debug, Clone, Copy, PartialEq, clap::ValueEnum)]
pub enum Scale {
    /// Minutes on two CPU cores
    Quick,
    /// Hours on a CPU
    Small,
    /// Minutes for each run on a GPU, for many seeds on data that are there: CIFAR-10, Multi30k
    Card,
    /// The paper's own setting
    Paper,
}

impl Scale {
    /// Of the texts of an experiment's files, this scale's.
    pub fn setting(self, [quick, small, card, paper]: [&str; 4]) -> Result<Setting> {
        let text = match self {
            Self::Quick => quick,
            Self::Small => small,
            Self::Card => card,
            Self::Paper => paper,
        };
        Setting::parse(text).with_context(|| format!("scale {self}"))
    }
}

impl std::fmt::Display for Scale {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Quick => "quick",
            Self::Small => "small",
            Self::Card => "card",
            Self::Paper => "paper",
        })
    }
}

/// What a scale's file holds. Lists of fields are as `fp8-trainer train --set` takes them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// In words.
    pub about: String,
    /// The training batch of CIFAR-10 that is validated on, where it is not its test batch.
    #[serde(default)]
    pub held_out: Option<u8>,
    /// Fields that are set where the data are not generated.
    #[serde(default)]
    found: Vec<String>,
    /// Fields that are set for recipes with a loss scale.
    #[serde(default)]
    scaled: Vec<String>,
    /// Data that are made when none are given.
    pub generated: Table,
    /// Fields of a run's configuration.
    run: Table,
    /// Fields that are set for a model.
    #[serde(default)]
    models: BTreeMap<String, Vec<String>>,
    /// Further runs.
    #[serde(default, rename = "variant")]
    variants: Vec<Variant>,
}

/// A further run of a model, in the first of the recipes with a loss scale.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Variant {
    model: String,
    name: String,
    set: Vec<String>,
}

/// What is run: every model in every recipe, with seeds 1, 2, ….
pub struct Asked<'a> {
    pub models: Vec<String>,
    pub recipes: &'a [String],
    pub seeds: u64,
}

impl Setting {
    /// A file's content.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(toml::from_str(text)?)
    }

    /// All runs asked for, in an order that fills the tables early: seed by seed, the first two recipes before all else, as they make pairs that are compared.
    ///
    /// # Errors
    /// When there is no such recipe.
    pub fn plans(&self, data: &impl Serialize, generated: bool, asked: &Asked<'_>) -> Result<Vec<Plan>> {
        let run = Base { setting: self, data: Value::try_from(data).context("the data as TOML")?, generated };
        let mut plans = Vec::new();
        for seed in 1..=asked.seeds {
            for model in &asked.models {
                let mut variants = self.variants.iter().filter(|variant| variant.model == *model).peekable();
                for (place, recipe) in asked.recipes.iter().enumerate() {
                    let plan = run.plan(model, recipe, None, seed)?;
                    let varies = is_scaled(&plan.config);
                    plans.push((place < 2, plan));
                    while varies && let Some(variant) = variants.next() {
                        plans.push((false, run.plan(model, recipe, Some(variant), seed)?));
                    }
                }
            }
        }
        let (pairs, others): (Vec<_>, Vec<_>) = plans.into_iter().partition(|(is_of_pair, _)| *is_of_pair);
        Ok(pairs.into_iter().chain(others).map(|(_, plan)| plan).collect())
    }
}

/// What all runs share.
struct Base<'a> {
    setting: &'a Setting,
    data: Value,
    generated: bool,
}

impl Base<'_> {
    fn plan(&self, model: &str, recipe: &str, variant: Option<&Variant>, seed: u64) -> Result<Plan> {
        let mut config = self.config(model, recipe, seed, &[])?;
        if is_scaled(&config) {
            let more = variant.map(|variant| &variant.set[..]).unwrap_or_default();
            config = self.config(model, recipe, seed, &[&self.setting.scaled, more].concat())?;
        }
        let recipe = config.recipe.recipe().name.clone();
        let variant = variant.map_or_else(|| recipe.clone(), |variant| format!("{recipe}, {}", variant.name));
        let name = format!("{model}-{}-seed{seed}", variant.replace(", ", "-").replace(' ', "-"));
        Ok(Plan { name, variant, config })
    }

    fn config(&self, model: &str, recipe: &str, seed: u64, more: &[String]) -> Result<Config> {
        let Setting { run, found, models, .. } = self.setting;
        let mut document = run.clone();
        document.insert("data".into(), self.data.clone());
        document.insert("recipe".into(), recipe.into());
        document.insert("seed".into(), i64::try_from(seed)?.into());
        let mut set = vec![format!("model.architecture={model}")];
        set.extend(models.get(model).into_iter().flatten().cloned());
        if !self.generated {
            set.extend(found.iter().cloned());
        }
        set.extend(more.iter().cloned());
        Ok(Config::parse(&document.to_string(), &set)?)
    }
}

/// Whether the errors of a run are scaled.
fn is_scaled(config: &Config) -> bool {
    config.loss_scaling != LossScaling::Constant { scale: 1.0 }
}
