//! The update of a parameter, as `fp8_kernels::update`.

use std::sync::Arc;

use fp8_kernels::update::Coefficients;
use fp8_kernels::{DType, ParameterUpdate, Result, Store, UpdateRule};

use crate::codec::{StoreArgument, rounding_name};
use crate::device::Device;
use crate::elementwise::eights;
use crate::kernels::{Argument, Source, source};
use crate::operand::Operand;

pub(crate) static UPDATE: Source = source!("update/update.cu");

/// `Constants` of update.cu.
#[derive(Clone, Copy)]
#[repr(C)]
struct Constants([f32; 8]);

// SAFETY: the layout is that of the C struct.
unsafe impl Argument for Constants {}

/// The rule's name in update.cu.
fn rule_name(rule: &UpdateRule) -> &'static str {
    match rule {
        UpdateRule::Sgd { .. } => "Sgd",
        UpdateRule::AdamW { .. } => "AdamW",
    }
}

/// As [`fp8_kernels::Backend::update`].
pub(crate) fn update(device: &Arc<Device>, rule: &UpdateRule, parameter: ParameterUpdate<'_>) -> Result<()> {
    let (op, len) = (device.op("update"), parameter.gradient.len());
    op.require(parameter.moments.len() == rule.moments(), || {
        format!("{} moments for a rule that keeps {}", parameter.moments.len(), rule.moments())
    })?;
    let gradient = op.float("gradient", parameter.gradient, len)?;
    let moments = parameter.moments.iter_mut().map(|moment| op.exactly_mut("moment", moment, DType::F32, len));
    let moments = moments.collect::<Result<Vec<_>>>()?;
    let [first, second] = [0, 1].map(|i| moments.get(i).copied().unwrap_or_default());
    let master = op.output("master", parameter.master, &parameter.master_store, len)?;
    let (working, working_store) = match parameter.working {
        Some((working, store)) => (op.output("working", working, &store, len)?, store),
        None => (Operand::default(), Store::F32),
    };
    let (name, Coefficients { fresh, values }) = (rule_name(rule), Coefficients::new(rule));
    let masters = [("M", master.type_name()), ("M_ROUNDING", rounding_name(&parameter.master_store))];
    let copies = [("W", working.type_name()), ("W_ROUNDING", rounding_name(&working_store))];
    let rest = [("G", gradient.type_name()), ("RULE", name)];
    let kernel = device.kernel(&UPDATE, "update", &[rest, masters, copies].concat())?;
    let stores = [&parameter.master_store, &working_store].map(StoreArgument::from);
    device.launch(
        &kernel,
        eights(len),
        &[
            &gradient,
            &parameter.unscale,
            &Constants(values),
            &u32::from(fresh),
            &stores[0],
            &master,
            &first,
            &second,
            &stores[1],
            &working,
            &(len as u64),
        ],
    )
}
