//! Where the memory of a training step goes, by role and recipe: by the backend's own count of what it holds, which leaves
//! out the packing buffers of its threads.

use anyhow::Result;
use fp8_autograd::{Parameter, Recipe};
use serde::Serialize;

use super::training::{Phase, Problem, Training};
use super::{Ours, shapes};
use crate::table::Table;

const RECIPES: [&str; 5] = [
    "base = 'fp32'",
    "base = 'bf16'",
    "base = 'fp8'",
    "base = 'fp8-lean'",
    "base = 'fp8'\nname = 'fp8, none exempt'\n[exempt]\nlayers = []",
];

/// Bytes of a step with one recipe.
#[derive(Debug, Clone, Serialize)]
pub struct Footprint {
    pub work: &'static str,
    pub recipe: String,
    pub parts: Vec<Part>,
}

/// What is held, and how much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Part {
    pub name: &'static str,
    pub bytes: usize,
}

/// Of one step of each problem with each recipe, FP32 first.
pub fn footprints(ours: &Ours) -> Result<Vec<Footprint>> {
    let shapes = shapes::of(ours.device);
    let each = |row: &shapes::Training| {
        let problem = row.problem;
        RECIPES.iter().map(move |recipe| footprint(ours, Recipe::parse(recipe)?, problem))
    };
    shapes.resnets.iter().chain(shapes.translators).flat_map(each).collect()
}

fn footprint(ours: &Ours, recipe: Recipe, problem: Problem) -> Result<Footprint> {
    let backend = ours.backend()?;
    let name = recipe.name.clone();
    let mut training = Training::new(backend.clone(), recipe, problem)?;
    let masters: usize = training.parameters.iter().map(|(_, parameter)| parameter.master().bytes()).sum();
    let working: usize = training.parameters.iter().map(|(_, parameter)| own_copy(parameter)).sum();
    let model = backend.memory().held;

    backend.reset_peak();
    let mut held = Vec::new();
    training.step(&mut |phase| held.push((phase, backend.memory())))?;
    let after = |wanted| held.iter().find(|(phase, _)| *phase == wanted).map(|(_, memory)| *memory).unwrap_or_default();
    let [forward, backward, update] = [Phase::Forward, Phase::Backward, Phase::Update].map(after);
    let moments = update.held - model;
    let parts = [
        ("masters", masters),
        ("working copies", working),
        ("moments (SGD: one)", moments),
        ("running statistics and the batch", model - masters - working),
        ("saved for the backward pass", forward.held - model),
        ("beyond that in the forward pass, at most", forward.peak - forward.held),
        ("gradients and batch statistics", backward.held - model),
        ("peak, parameters and moments included", backward.peak + moments),
    ];
    Ok(Footprint { work: problem.name, recipe: name, parts: parts.map(|(name, bytes)| Part { name, bytes }).into() })
}

/// Bytes of a working copy; none where the master itself is used.
fn own_copy(parameter: &Parameter) -> usize {
    let working = parameter.working().buffer;
    if std::ptr::eq(&*working, parameter.master()) { 0 } else { working.bytes() }
}

/// A table for each problem, a column for each recipe: MiB and the share of the first's.
pub fn tables(footprints: &[Footprint]) -> Vec<Table> {
    footprints.chunk_by(|a, b| a.work == b.work).map(table).collect()
}

fn table(footprints: &[Footprint]) -> Table {
    let Some(first) = footprints.first() else {
        return Table::default();
    };
    let heading = format!("{}, MiB", first.work);
    let mut table = Table::new([heading].into_iter().chain(footprints.iter().map(|column| column.recipe.clone())));
    for (row, whole) in first.parts.iter().enumerate() {
        let cells = footprints.iter().map(|column| cell(column.parts[row].bytes, whole.bytes));
        table.push([whole.name.to_string()].into_iter().chain(cells));
    }
    table
}

fn cell(bytes: usize, whole: usize) -> String {
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    match whole {
        0 => format!("{mebibytes:.2}        "),
        whole => format!("{mebibytes:.2} ({:.3})", bytes as f64 / whole as f64),
    }
}

#[cfg(test)]
mod tests {
    use fp8_models::{Architecture, Stem};
    use fp8_trainer::Device;

    use super::super::resnet;
    use super::*;

    #[test]
    fn a_step_in_fp8_holds_less() {
        let ours = Ours { device: Device::Cpu, threads: 2 };
        let build = |parameters: &mut _| resnet::build(parameters, Architecture::ResNet18, Stem::Cifar, 2);
        let problem = Problem { build, ..resnet::RESNET18 };
        let [fp32, fp8] =
            [RECIPES[0], RECIPES[4]].map(|recipe| footprint(&ours, Recipe::parse(recipe).unwrap(), problem).unwrap());
        let part = |footprint: &Footprint, name| footprint.parts.iter().find(|part| part.name == name).unwrap().bytes;
        // F16 masters, but for the F32 ones of batch norms.
        assert!(part(&fp8, "masters") < part(&fp32, "masters") * 51 / 100);
        let saved = [&fp32, &fp8].map(|footprint| part(footprint, "saved for the backward pass"));
        assert!(saved[1] < saved[0] * 26 / 100, "{saved:?}");
        let tables = tables(&[fp32, fp8]);
        assert_eq!(tables.iter().map(|table| table.rows.len()).collect::<Vec<_>>(), [8]);
    }
}
