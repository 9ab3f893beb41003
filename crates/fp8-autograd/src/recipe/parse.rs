//! Recipes from TOML.

use fp8_core::{Overflow, UnknownName};
use fp8_kernels::DType;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::{Exempt, Recipe, RoleFormat, Scaling};
use crate::names::suggestion;
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
        ("gate", &mut recipe.gate),
        ("master", &mut recipe.master),
        ("moment", &mut recipe.moment),
        ("norm", &mut recipe.norm),
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
    if let Some(mut section) = top.section("loss_scaling")? {
        recipe.loss_scaling = section.loss_scaling()?;
        section.finish()?;
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
        gate: f32,
        master: f32,
        moment: f32,
        norm: f32,
        exempt: Exempt { layers: Vec::new(), format: f32 },
        loss_scaling: LossScaling::Constant { scale: 1.0 },
    }
}

/// What the kernels cannot do.
fn check(recipe: &Recipe) -> Result<()> {
    let refuse = |field: &str, reason: &str| Err(Error::Recipe { field: field.into(), reason: reason.into() });
    if let Err(reason) = recipe.loss_scaling.check() {
        return refuse("loss_scaling", &reason);
    }
    if !matches!(recipe.moment.dtype, DType::F32 | DType::Bf16) {
        return refuse(
            "moment",
            "moments are kept in f32 or bf16: other formats lack the range of squares of gradients",
        );
    }
    if recipe.gate != RoleFormat::nearest(recipe.gate.dtype) {
        return refuse("gate", "gates are kept to nearest-even, unscaled, without saturation");
    }
    for (field, format) in [("error", &recipe.error), ("gradient", &recipe.gradient), ("exempt", &recipe.exempt.format)]
    {
        if format.dtype != DType::F32 && format.overflow == Overflow::Saturate {
            return refuse(field, "errors and gradients are not saturated: loss scaling has to see that they overflow");
        }
    }
    for (field, format) in [("master", &recipe.master), ("moment", &recipe.moment), ("norm", &recipe.norm)] {
        if format.scaling != Scaling::None {
            return refuse(field, "what the optimiser keeps is not scaled");
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

    /// A name that stands for none of `choices`, a list with commas.
    fn unknown(&self, field: &str, what: &str, asked: &str, choices: &str) -> Error {
        let known: Vec<String> = choices.split(", ").map(String::from).collect();
        self.wrong(field, format!("unknown {what} {asked:?}{}; choose one of {choices}", suggestion(asked, &known)))
    }

    fn required<T>(&mut self, name: &str, read: impl Fn(&mut Self, &str) -> Result<Option<T>>) -> Result<T> {
        read(self, name)?.ok_or_else(|| self.wrong(name, "is missing"))
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

    /// A number, or a list of them, of the type wanted.
    fn number<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>> {
        let value = self.take(name);
        value
            .map(|value| value.try_into().map_err(|error: toml::de::Error| self.wrong(name, error.message())))
            .transpose()
    }

    fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>> {
        let value = self.take(name);
        value.map(|value| value.try_into().map_err(|_| self.wrong(name, "a list of texts is wanted"))).transpose()
    }

    /// Overwrites the parts of `format` that are given.
    fn format(&mut self, format: &mut RoleFormat) -> Result<()> {
        if let Some(name) = self.text("dtype")? {
            let known = FLOATS.into_iter().find(|dtype| dtype.name() == name);
            let names = || FLOATS.map(DType::name).join(", ");
            format.dtype = known.ok_or_else(|| self.unknown("dtype", "format", &name, &names()))?;
        }
        if let Some(name) = self.text("rounding")? {
            let unknown = |error: UnknownName| self.unknown("rounding", error.what, &name, error.choices);
            format.rounding = name.parse().map_err(unknown)?;
        }
        if let Some(name) = self.text("overflow")? {
            let unknown = |error: UnknownName| self.unknown("overflow", error.what, &name, error.choices);
            format.overflow = name.parse().map_err(unknown)?;
        }
        if let Some(name) = self.text("scaling")? {
            format.scaling = match &*name {
                "none" => Scaling::None,
                "current" => Scaling::Current,
                _ => return Err(self.unknown("scaling", "scaling", &name, "none, current")),
            };
        }
        Ok(())
    }

    fn loss_scaling(&mut self) -> Result<LossScaling> {
        let kind = self.required("kind", Self::text)?;
        let initial = |section: &mut Self| section.required("initial", Self::number::<f32>);
        let interval = |section: &mut Self| section.required("growth_interval", Self::number::<u32>);
        Ok(match &*kind {
            "constant" => LossScaling::Constant { scale: self.required("scale", Self::number)? },
            "back-off" => LossScaling::BackOff { initial: initial(self)?, growth_interval: interval(self)? },
            "enhanced" => LossScaling::Enhanced {
                initial: initial(self)?,
                growth_interval: interval(self)?,
                floors: self.required("floors", Self::number)?,
            },
            _ => return Err(self.unknown("kind", "kind", &kind, "constant, back-off, enhanced")),
        })
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
