//! How large a reproduction is: a file of `scales/` each.

use anyhow::{Context, Result};
use fp8_data::{Source, generated};
use fp8_models::Architecture;
use fp8_trainer::Config;
use serde::Deserialize;
use toml::{Table, Value};

/// The sizes that there are.
#[derive(Debug, Clone, Copy, PartialEq, clap::ValueEnum)]
pub enum Scale {
    /// Minutes on two CPU cores
    Quick,
    /// Hours on a CPU
    Small,
    /// The paper's own setting: 90 epochs, batch 256
    Paper,
}

/// What a scale's file holds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// In words.
    pub about: String,
    /// Images that are made when none are given.
    pub generated: generated::Options,
    /// Height and width that photographs of many sizes are brought to.
    pub photographs: usize,
    /// Fields of a run's configuration.
    run: Table,
}

impl Scale {
    fn text(self) -> &'static str {
        match self {
            Self::Quick => include_str!("scales/quick.toml"),
            Self::Small => include_str!("scales/small.toml"),
            Self::Paper => include_str!("scales/paper.toml"),
        }
    }

    /// The file's content.
    pub fn setting(self) -> Result<Setting> {
        toml::from_str(self.text()).with_context(|| format!("scale {self}"))
    }
}

impl std::fmt::Display for Scale {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Quick => "quick",
            Self::Small => "small",
            Self::Paper => "paper",
        })
    }
}

impl Setting {
    /// The configuration of one run on `source`.
    ///
    /// # Errors
    /// When there is no such recipe.
    pub fn config(&self, source: &Source, model: Architecture, recipe: &str, seed: u64) -> Result<Config> {
        let mut document = self.run.clone();
        let mut set = |section: &str, name: &str, value: Value| {
            let entry = document.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Some(table) = entry.as_table_mut() {
                table.insert(name.into(), value);
            }
        };
        set("model", "architecture", model.to_string().into());
        if source.size().is_none() {
            set("loader", "size", i64::try_from(self.photographs)?.into());
        }
        document.insert("data".into(), Value::try_from(source).context("the data set as TOML")?);
        document.insert("recipe".into(), recipe.into());
        document.insert("seed".into(), i64::try_from(seed)?.into());
        let none: [&str; 0] = [];
        Ok(Config::parse(&document.to_string(), &none)?)
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use fp8_autograd::Recipe;

    use super::*;

    #[test]
    fn every_scale_configures_every_model_and_recipe() {
        for scale in Scale::value_variants() {
            let setting = scale.setting().unwrap();
            let source = Source::Generated(setting.generated.clone());
            for model in Architecture::ALL {
                for recipe in Recipe::names() {
                    let config = setting.config(&source, model, recipe, 7).unwrap();
                    assert_eq!((config.images().unwrap().model.architecture, config.seed), (model, 7));
                }
            }
        }
    }

    #[test]
    fn the_paper_scale_is_the_papers() {
        let setting = Scale::Paper.setting().unwrap();
        let photographs = Source::Folder { folder: "imagenet".into() };
        let config = setting.config(&photographs, Architecture::ResNet50, "fp8", 1).unwrap();
        assert_eq!(
            (config.training.epochs, config.training.batch, config.images().unwrap().loader.size),
            (90, 256, 224)
        );
    }

    #[test]
    fn an_unknown_recipe_is_named() {
        let setting = Scale::Quick.setting().unwrap();
        let error = setting.config(&Source::default(), Architecture::ResNet18, "fp9", 1).unwrap_err();
        assert!(format!("{error:#}").contains("did you mean \"fp8\"?"), "{error:#}");
    }
}
