//! Sentences of a batch by their numbers.

use fp8_autograd::{Graph, Var};

use crate::Result;

/// These rows of the batch of x (steps, batch, width).
pub(crate) fn select_columns(graph: &mut Graph<'_>, x: &Var, rows: &[u32]) -> Result<Var> {
    let &[steps, batch, width] = x.shape() else { return Ok(x.clone()) };
    let all: Vec<u32> = (0..steps).flat_map(|step| rows.iter().map(move |row| (step * batch) as u32 + row)).collect();
    let flat = graph.reshape(x, &[steps * batch, width])?;
    let flat = graph.select(&flat, &all)?;
    Ok(graph.reshape(&flat, &[steps, rows.len(), width])?)
}
