//! Parameters in and out: as a state dict of FP32 arrays, and exactly, for checkpoints.

use fp8_kernels::{Buffer, DType};
use serde::{Deserialize, Serialize};

use super::{Parameters, Statistics};
use crate::layout::{channels_first, channels_first_shape, channels_last};
use crate::tensor::{download, download_f32, upload_f32};
use crate::{Error, Result, Step};

/// A named array on the host, in PyTorch's layout.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Name, as in state dicts.
    pub name: String,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Elements, row-major.
    pub values: Values,
}

/// Elements of an [`Array`].
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Numbers.
    F32(Vec<f32>),
    /// Counters.
    I64(Vec<i64>),
}

impl From<Vec<f32>> for Values {
    fn from(values: Vec<f32>) -> Self {
        Self::F32(values)
    }
}

/// Everything that the next step depends on, to the bit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParametersState {
    parameters: Vec<ParameterState>,
    statistics: Vec<StatisticsState>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct ParameterState {
    name: String,
    /// Type of the master and, after a comma, that of the moments where it is not F32: `f16, bf16`.
    types: String,
    master: Vec<u8>,
    moments: Vec<Vec<u8>>,
    updates: u32,
    written: Step,
}

impl ParameterState {
    fn types(master: DType, moments: DType) -> String {
        match moments {
            DType::F32 => master.to_string(),
            moments => format!("{master}, {moments}"),
        }
    }

    /// Names of the types of the master and of the moments.
    fn of_each(&self) -> (&str, &str) {
        self.types.split_once(", ").unwrap_or((&self.types, DType::F32.name()))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct StatisticsState {
    layer: String,
    mean: Vec<u8>,
    variance: Vec<u8>,
    batches: u64,
}

/// State dicts.
impl Parameters {
    /// Name and shape of every array of [`Parameters::arrays`].
    pub fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let parameters = self.parameters.iter();
        let mut shapes: Vec<_> =
            parameters.map(|parameter| (parameter.name.clone(), channels_first_shape(&parameter.shape))).collect();
        for Statistics { layer, channels, .. } in &self.statistics {
            shapes.push((format!("{layer}.running_mean"), vec![*channels]));
            shapes.push((format!("{layer}.running_var"), vec![*channels]));
            shapes.push((format!("{layer}.num_batches_tracked"), Vec::new()));
        }
        shapes
    }

    /// Masters and running statistics as PyTorch names and lays them out.
    pub fn arrays(&self) -> Result<Vec<Array>> {
        let mut arrays = Vec::new();
        for parameter in &self.parameters {
            let values = download_f32(&*self.backend, &parameter.master)?;
            let (shape, values) = channels_first(&parameter.shape, &values);
            arrays.push(Array { name: parameter.name.clone(), shape, values: values.into() });
        }
        for Statistics { layer, channels, mean, variance, batches } in &self.statistics {
            for (what, buffer) in [("running_mean", mean), ("running_var", variance)] {
                let values = download_f32(&*self.backend, buffer)?;
                arrays.push(Array { name: format!("{layer}.{what}"), shape: vec![*channels], values: values.into() });
            }
            let batches = Values::I64(vec![*batches as i64]);
            arrays.push(Array { name: format!("{layer}.num_batches_tracked"), shape: Vec::new(), values: batches });
        }
        Ok(arrays)
    }

    /// Sets the parameter or statistic of the array's name, masters by nearest-even; the working copy follows. Moments
    /// stay.
    ///
    /// # Errors
    /// [`Error::Parameter`] when there is none of this name, shape and type.
    pub fn set(&mut self, array: &Array) -> Result<()> {
        let refuse = |reason: String| Err(Error::Parameter { name: array.name.clone(), reason });
        if let Values::F32(values) = &array.values
            && array.shape.iter().product::<usize>() != values.len()
        {
            return refuse(format!("{} values for the shape {:?}", values.len(), array.shape));
        }
        let mismatch = |shape: &[usize]| refuse(format!("has shape {shape:?}, not {:?}", array.shape));
        if let Some(id) = self.find(&array.name) {
            let Values::F32(values) = &array.values else { return refuse("numbers are wanted".into()) };
            let (shape, values) = channels_last(&array.shape, values);
            let parameter = &self.parameters[id.0];
            if shape != parameter.shape {
                return mismatch(&channels_first_shape(&parameter.shape));
            }
            let master = self.master(&parameter.master_format, &values)?;
            let parameter = &mut self.parameters[id.0];
            parameter.master = master;
            return parameter.refresh(&*self.backend);
        }
        let (layer, what) = array.name.rsplit_once('.').unwrap_or(("", &array.name));
        let Some(statistics) = self.statistics.iter_mut().find(|statistics| statistics.layer == layer) else {
            return refuse("the model has no such parameter".into());
        };
        match (what, &array.values) {
            ("num_batches_tracked", Values::I64(values)) if values.len() == 1 => {
                statistics.batches = values[0].max(0) as u64;
            }
            ("running_mean" | "running_var", Values::F32(_)) if array.shape != [statistics.channels] => {
                return mismatch(&[statistics.channels]);
            }
            ("running_mean", Values::F32(values)) => statistics.mean = upload_f32(&*self.backend, values)?,
            ("running_var", Values::F32(values)) => statistics.variance = upload_f32(&*self.backend, values)?,
            _ => return refuse("the model has no such parameter".into()),
        }
        Ok(())
    }
}

/// Checkpoints.
impl Parameters {
    /// Masters as stored, moments, statistics. Working copies follow from the masters.
    pub fn state(&self) -> Result<ParametersState> {
        let bytes = |buffer: &Buffer| download(&*self.backend, buffer);
        let parameters = self.parameters.iter().map(|parameter| {
            Ok(ParameterState {
                name: parameter.name.clone(),
                types: ParameterState::types(parameter.master.dtype(), parameter.moment_format.dtype),
                master: bytes(&parameter.master)?,
                moments: parameter.moments.iter().map(bytes).collect::<Result<_>>()?,
                updates: parameter.updates,
                written: parameter.written,
            })
        });
        let statistics = self.statistics.iter().map(|statistics| {
            Ok(StatisticsState {
                layer: statistics.layer.clone(),
                mean: bytes(&statistics.mean)?,
                variance: bytes(&statistics.variance)?,
                batches: statistics.batches,
            })
        });
        Ok(ParametersState {
            parameters: parameters.collect::<Result<_>>()?,
            statistics: statistics.collect::<Result<_>>()?,
        })
    }

    /// Puts a state back. Nothing is changed when it is of another model or recipe.
    ///
    /// # Errors
    /// [`Error::State`] says what differs.
    pub fn restore(&mut self, state: &ParametersState) -> Result<()> {
        self.check(state)?;
        let backend = &*self.backend;
        for (parameter, state) in self.parameters.iter_mut().zip(&state.parameters) {
            let mut master = backend.alloc(parameter.master_format.dtype, parameter.master.len())?;
            backend.upload(&state.master, &mut master)?;
            parameter.master = master.into();
            parameter.moments.clear();
            for bytes in &state.moments {
                let mut moment = backend.alloc(parameter.moment_format.dtype, parameter.master.len())?;
                backend.upload(bytes, &mut moment)?;
                parameter.moments.push(moment);
            }
            (parameter.updates, parameter.written) = (state.updates, state.written);
            parameter.refresh(backend)?;
        }
        for (statistics, state) in self.statistics.iter_mut().zip(&state.statistics) {
            backend.upload(&state.mean, &mut statistics.mean)?;
            backend.upload(&state.variance, &mut statistics.variance)?;
            statistics.batches = state.batches;
        }
        Ok(())
    }

    fn check(&self, state: &ParametersState) -> Result<()> {
        let refuse = |reason: String| Err(Error::State(reason));
        if state.parameters.len() != self.parameters.len() || state.statistics.len() != self.statistics.len() {
            let counts =
                |parameters: usize, norms: usize| format!("{parameters} parameters and {norms} running statistics");
            let found = counts(state.parameters.len(), state.statistics.len());
            let expected = counts(self.parameters.len(), self.statistics.len());
            return refuse(format!("{found}, the model has {expected}"));
        }
        for (parameter, state) in self.parameters.iter().zip(&state.parameters) {
            let (name, len) = (&parameter.name, parameter.master.len());
            let (master, moment) = (parameter.master.dtype(), parameter.moment_format.dtype);
            if state.name != *name {
                return refuse(format!("parameter {:?} where the model has {name:?}", state.name));
            }
            let (found, found_moments) = state.of_each();
            if found != master.name() {
                return refuse(format!("the master of {name} is {found}, the recipe's is {master}"));
            }
            if found_moments != moment.name() {
                return refuse(format!("the moments of {name} are {found_moments}, the recipe's are {moment}"));
            }
            let moments_fit = state.moments.iter().all(|bytes| bytes.len() == len * moment.size());
            if state.master.len() != len * master.size() || !moments_fit {
                return refuse(format!("{name} has another size than the model's"));
            }
        }
        for (statistics, state) in self.statistics.iter().zip(&state.statistics) {
            let bytes = 4 * statistics.channels;
            if state.layer != statistics.layer || state.mean.len() != bytes || state.variance.len() != bytes {
                return refuse(format!("statistics of {:?} where the model has {:?}", state.layer, statistics.layer));
            }
        }
        Ok(())
    }
}
