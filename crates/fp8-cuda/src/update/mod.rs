//! The update of parameters, as `fp8_kernels::update`: all that have the same types and rule by one kernel.

use std::sync::Arc;

use fp8_kernels::update::Coefficients;
use fp8_kernels::{ParameterUpdate, Result, Store, UpdateRule};

use crate::codec::{StoreArgument, rounding_name};
use crate::device::Device;
use crate::kernels::{Argument, Grid, Source, source};
use crate::operand::Operand;
use crate::table::{self, Tables};

pub(crate) static UPDATE: Source = source!("update/update.cu");

/// Elements that a block updates.
const PIECE: usize = 8192;

/// `Parameter` of update.cu.
#[derive(Clone, Copy)]
#[repr(C)]
struct Parameter {
    gradient: u64,
    master: u64,
    moments: [u64; 2],
    working: u64,
    len: u64,
    constants: [f32; 8],
    unscale: f32,
    fresh: u32,
    master_store: StoreArgument,
    moment_stores: [StoreArgument; 2],
    working_store: StoreArgument,
}

/// `Piece` of update.cu.
#[derive(Clone, Copy)]
#[repr(C)]
struct Piece {
    parameter: u32,
    piece: u32,
}

// SAFETY: the layout is that of the C struct.
unsafe impl Argument for Parameter {}
// SAFETY: as above.
unsafe impl Argument for Piece {}

/// What is compiled in.
type Types = [(&'static str, &'static str); 10];

/// The rule's name in update.cu.
fn rule_name(rule: &UpdateRule) -> &'static str {
    match rule {
        UpdateRule::Sgd { .. } => "Sgd",
        UpdateRule::AdamW { .. } => "AdamW",
    }
}

/// As [`fp8_kernels::Backend::update_all`].
pub(crate) fn update_all(device: &Arc<Device>, updates: Vec<(UpdateRule, ParameterUpdate<'_>)>) -> Result<()> {
    let mut alike: Vec<(Types, Vec<Parameter>)> = Vec::new();
    for (rule, update) in updates {
        let (types, parameter) = checked(device, &rule, update)?;
        match alike.iter_mut().find(|(of, _)| *of == types) {
            Some((_, parameters)) => parameters.push(parameter),
            None => alike.push((types, vec![parameter])),
        }
    }
    for (types, parameters) in &alike {
        let kernel = device.kernel(&UPDATE, "update", types)?;
        let pieces = |(index, parameter): (usize, &Parameter)| {
            let pieces = parameter.len.div_ceil(PIECE as u64) as u32;
            (0..pieces).map(move |piece| Piece { parameter: index as u32, piece })
        };
        let pieces: Vec<Piece> = parameters.iter().enumerate().flat_map(pieces).collect();
        let tables = Tables::new(device, [table::bytes(parameters), table::bytes(&pieces)])?;
        let [parameters, begin] = tables.begins;
        device.launch(&kernel, Grid::blocks([pieces.len() as u32, 1, 1]), &[&parameters, &begin])?;
    }
    Ok(())
}

/// What the kernel takes of a parameter.
fn checked(device: &Device, rule: &UpdateRule, update: ParameterUpdate<'_>) -> Result<(Types, Parameter)> {
    let (op, len) = (device.op("update"), update.gradient.len());
    op.require(update.moments.len() == rule.moments(), || {
        format!("{} moments for a rule that keeps {}", update.moments.len(), rule.moments())
    })?;
    let gradient = op.float("gradient", update.gradient, len)?;
    let moments =
        update.moments.into_iter().map(|(moment, store)| Ok((op.output("moment", moment, &store, len)?, store)));
    let moments = moments.collect::<Result<Vec<_>>>()?;
    let [first, second] = [0, 1].map(|i| moments.get(i).copied().unwrap_or((Operand::default(), Store::F32)));
    let master = op.output("master", update.master, &update.master_store, len)?;
    let (working, working_store) = match update.working {
        Some((working, store)) => (op.output("working", working, &store, len)?, store),
        None => (Operand::default(), Store::F32),
    };
    let Coefficients { fresh, values } = Coefficients::new(rule);
    let types = [
        ("G", gradient.type_name()),
        ("RULE", rule_name(rule)),
        ("M", master.type_name()),
        ("M_ROUNDING", rounding_name(&update.master_store)),
        ("FIRST", first.0.type_name()),
        ("FIRST_ROUNDING", rounding_name(&first.1)),
        ("SECOND", second.0.type_name()),
        ("SECOND_ROUNDING", rounding_name(&second.1)),
        ("W", working.type_name()),
        ("W_ROUNDING", rounding_name(&working_store)),
    ];
    let parameter = Parameter {
        gradient: gradient.address,
        master: master.address,
        moments: [first, second].map(|(moment, _)| moment.address),
        working: working.address,
        len: len as u64,
        constants: values,
        unscale: update.unscale,
        fresh: fresh.into(),
        master_store: (&update.master_store).into(),
        moment_stores: [first, second].map(|(_, store)| (&store).into()),
        working_store: (&working_store).into(),
    };
    Ok((types, parameter))
}
