//! Recipes from TOML.

use fp8_kernels::DType;
use toml::{Table, Value};

use super::{Exempt, Recipe, RoleFormat, Scaling};
use crate::{Error, LossScaling, Result};

/// The recipe in `text`.
pub fn recipe(text: &str) -> Result<Recipe> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| Error::Recipe {
        field: "file".into(),
        reason: error.to_string().trim().replace('\n', " "),
    })?;
    let mut top = Section { path: String::new(), table, known: Vec::new() };
    let mut recipe = match top.text("base")? {
        Some(base) => Recipe::named(&base)?,
        None => plain(),
    };
    recipe.name = top.text("name")?.unwrap_or(recipe.name);
    for (name, format) in [
        ("weight", &mut recipe.weight),
        ("activation", &mut recipe.activation),
        ("error", &mut recipe.error),
        ("gradient", &mut recipe.gradient),
        ("logits", &mut recipe.logits),
        ("master", &mut recipe.master),
        ("norm", &mut recipe.norm),
        ("optimizer", &mut recipe.optimizer),
    ] {
        if let Some(mut section) = top.section(name)? {
            section.format(format)?;
            section.finish()?;
        }
    }
    if let Some(mut section) = top.section("exempt")? {
        section.format(&mut recipe.exempt.format)?;
        recipe.exempt.layers = section.texts("layers")?.unwrap_or(recipe.exempt.layers);
        section.finish()?;
    }
    if let Some(value) = top.take("loss_scaling") {
        let wrong = |reason: String| Error::Recipe { field: "loss_scaling".into(), reason };
        recipe.loss_scaling = value.try_into().map_err(|error: toml::de::Error| wrong(error.message().into()))?;
        recipe.loss_scaling.check().map_err(wrong)?;
    }
    top.finish()?;
    check(&recipe)?;
    Ok(recipe)
}

/// F32 everywhere.
fn plain() -> Recipe {
    let f32 = RoleFormat::F32;
    Recipe {
        name: "custom".into(),
        weight: f32,
        activation: f32,
        error: f32,
        gradient: f32,
        logits: f32,
        master: f32,
        norm: f32,
        optimizer: f32,
        exempt: Exempt { layers: Vec::new(), format: f32 },
        loss_scaling: LossScaling::Constant { scale: 1.0 },
    }
}

/// What the kernels cannot do.
fn check(recipe: &Recipe) -> Result<()> {
    let refuse = |field: &str, reason: &str| Err(Error::Recipe { field: field.into(), reason: reason.into() });
    if recipe.optimizer != RoleFormat::F32 {
        return refuse("optimizer", "moments are kept in f32");
    }
    for (field, format) in [("master", &recipe.master), ("norm", &recipe.norm)] {
        if format.scaling != Scaling::None {
            return refuse(field, "master copies are not scaled");
        }
    }
    Ok(())
}

/// A table whose fields are taken one by one; what is left at the end is unknown.
struct Section {
    path: String,
    table: Table,
    known: Vec<String>,
}

impl Section {
    fn take(&mut self, name: &str) -> Option<Value> {
        self.known.push(name.into());
        self.table.remove(name)
    }

    fn wrong(&self, name: &str, reason: impl ToString) -> Error {
        Error::Recipe { field: format!("{}{name}", self.path), reason: reason.to_string() }
    }

    fn section(&mut self, name: &str) -> Result<Option<Section>> {
        let path = format!("{}{name}.", self.path);
        match self.take(name) {
            None => Ok(None),
            Some(Value::Table(table)) => Ok(Some(Section { path, table, known: Vec::new() })),
            Some(other) => Err(self.wrong(name, format!("a table is wanted, not {other}"))),
        }
    }

    fn text(&mut self, name: &str) -> Result<Option<String>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(name, format!("a text is wanted, not {other}"))),
        }
    }

    fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>> {
        let value = self.take(name);
        value.map(|value| value.try_into().map_err(|_| self.wrong(name, "a list of texts is wanted"))).transpose()
    }

    /// Overwrites the parts of `format` that are given.
    fn format(&mut self, format: &mut RoleFormat) -> Result<()> {
        if let Some(name) = self.text("dtype")? {
            format.dtype = dtype(&name).ok_or_else(|| {
                let names: Vec<_> = FLOATS.iter().map(|dtype| dtype.name()).collect();
                self.wrong("dtype", format!("unknown format {name:?}: choose one of {}", names.join(", ")))
            })?;
        }
        if let Some(name) = self.text("rounding")? {
            format.rounding = name.parse().map_err(|error| self.wrong("rounding", format!("{name:?}: {error}")))?;
        }
        if let Some(name) = self.text("overflow")? {
            format.overflow = name.parse().map_err(|error| self.wrong("overflow", format!("{name:?}: {error}")))?;
        }
        if let Some(name) = self.text("scaling")? {
            format.scaling = match &*name {
                "none" => Scaling::None,
                "current" => Scaling::Current,
                _ => return Err(self.wrong("scaling", format!("unknown scaling {name:?}: choose none or current"))),
            };
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        match self.table.keys().next() {
            None => Ok(()),
            Some(name) => Err(Error::UnknownField { field: format!("{}{name}", self.path), known: self.known }),
        }
    }
}

const FLOATS: [DType; 8] =
    [DType::F32, DType::F16, DType::Bf16, DType::E5M2, DType::E4M3, DType::E5M2Fnuz, DType::E4M3Fnuz, DType::E3M4];

fn dtype(name: &str) -> Option<DType> {
    FLOATS.into_iter().find(|dtype| dtype.name() == name)
}
