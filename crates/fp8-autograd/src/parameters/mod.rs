//! The parameters of a model: master copies, working copies, moments; and the running statistics of its norms.

mod state;

use std::sync::Arc;

use fp8_core::Stream;
use fp8_kernels::{Backend, Buffer, ParameterUpdate, Store, UpdateRule};

pub use state::{Array, ParametersState, Values};

use crate::gradients::StatisticsUpdate;
use crate::layout::channels_last;
use crate::output::{node_name, quantised};
use crate::tensor::{upload_f32, zeros};
use crate::{Error, Recipe, Result, Role, RoleFormat, Scaling, Step, Tensor};

/// What a parameter is: its role in recipes, and whether weight decay is its business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Operand of a convolution (O, KH, KW, I) or linear layer (O, I).
    Weight,
    /// Scale or shift of a normalisation (C).
    Norm,
    /// Addend of a layer's output (O).
    Bias,
}

/// Which parameter of [`Parameters`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ParameterId(usize);

impl ParameterId {
    pub(crate) fn index(self) -> usize {
        self.0
    }
}

/// Which running statistics of [`Parameters`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StatisticsId(usize);

/// One trained tensor.
#[derive(Debug)]
pub struct Parameter {
    /// Name, as in state dicts: the layer's and the tensor's, e.g. `layer1.0.conv1.weight`.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Sizes, channels last.
    pub shape: Vec<usize>,
    /// How its gradient is stored.
    pub(crate) gradient_format: RoleFormat,
    master_format: RoleFormat,
    moment_format: RoleFormat,
    working_format: RoleFormat,
    master: Arc<Buffer>,
    /// `None` where the master itself is used.
    working: Option<Tensor>,
    moments: Vec<Buffer>,
    updates: u32,
    /// The step that wrote the master: the working copy's random bits are that step's.
    written: Step,
}

impl Parameter {
    /// The layer that it belongs to.
    pub fn layer(&self) -> &str {
        layer(&self.name)
    }

    /// What operations compute with.
    pub fn working(&self) -> Tensor {
        let master = || Tensor { shape: self.shape.clone(), buffer: self.master.clone(), scale: 1.0 };
        self.working.clone().unwrap_or_else(master)
    }

    /// The copy that the optimiser updates.
    pub fn master(&self) -> &Buffer {
        &self.master
    }

    /// What the optimiser remembers of the gradients, as stored: nothing before the first update.
    pub fn moments(&self) -> &[Buffer] {
        &self.moments
    }

    /// Optimiser updates that it has had; steps that were skipped are none.
    pub fn updates(&self) -> u32 {
        self.updates
    }

    /// Rounds the master anew to the working copy.
    fn refresh(&mut self, backend: &dyn Backend) -> Result<()> {
        if self.working.is_some() {
            let random = self.written.random(&self.node(Role::Weight));
            self.working = Some(quantised(backend, &self.working_format, random, self.shape.clone(), &self.master)?);
        }
        Ok(())
    }

    /// Whether the working copy is written with the master.
    fn is_fused(&self) -> bool {
        self.working_format.scaling == Scaling::None
    }

    /// What the backend is asked to do.
    fn change<'a>(
        &'a mut self,
        backend: &dyn Backend,
        change: &Change<'a>,
        step: &Step,
    ) -> Result<(UpdateRule, ParameterUpdate<'a>)> {
        let &Change { rule, gradient, unscale } = change;
        while self.moments.len() < rule.moments() {
            self.moments.push(zeros(backend, self.moment_format.dtype, gradient.len())?);
        }
        let moment_stores: Vec<_> = (0..rule.moments() as u32).map(|which| self.moment_store(which, step)).collect();
        let master_store = self.master_format.store(step.random(&self.node(Role::Master)), 1.0);
        let working_store = self.working_format.store(step.random(&self.node(Role::Weight)), 1.0);
        let (in_use, fused) = (self.in_use(), self.is_fused());
        let working = match &mut self.working {
            Some(working) if fused => {
                Some((Arc::get_mut(&mut working.buffer).ok_or_else(|| in_use.clone())?, working_store))
            }
            _ => None,
        };
        let master = Arc::get_mut(&mut self.master).ok_or(in_use)?;
        let (gradient, moments) = (&*gradient.buffer, self.moments.iter_mut().zip(moment_stores).collect());
        Ok((rule, ParameterUpdate { gradient, unscale, master, master_store, moments, working }))
    }

    /// How the first or the second moment is stored: each has a stream of its own.
    fn moment_store(&self, which: u32, step: &Step) -> Store {
        self.moment_format.store(step.random(&node_name(&self.name, Role::Moment, which)), 1.0)
    }

    fn node(&self, role: Role) -> String {
        node_name(&self.name, role, 0)
    }

    fn in_use(&self) -> Error {
        Error::Parameter {
            name: self.name.clone(),
            reason: "still in use by a graph: drop it before the update".into(),
        }
    }
}

/// The layer of a parameter's name: all but its last part.
fn layer(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(layer, _)| layer)
}

/// What an optimiser step does to a parameter: `gradient` times `unscale` is the gradient of the loss.
pub(crate) struct Change<'g> {
    pub rule: UpdateRule,
    pub gradient: &'g Tensor,
    pub unscale: f32,
}

/// Running mean and variance of a batch norm, F32 (channels).
#[derive(Debug)]
pub struct Statistics {
    /// Name of the layer.
    pub layer: String,
    /// Number of channels.
    pub channels: usize,
    /// Mean.
    pub mean: Buffer,
    /// Unbiased variance.
    pub variance: Buffer,
    /// Batches blended in.
    pub batches: u64,
}

/// All that a model learns, on one device and in one precision.
pub struct Parameters {
    backend: Arc<dyn Backend>,
    recipe: Arc<Recipe>,
    parameters: Vec<Parameter>,
    statistics: Vec<Statistics>,
}

impl Parameters {
    /// None yet.
    pub fn new(backend: Arc<dyn Backend>, recipe: Arc<Recipe>) -> Self {
        let (parameters, statistics) = (Vec::new(), Vec::new());
        Self { backend, recipe, parameters, statistics }
    }

    /// Adds a parameter with its first values, both in the layout of state dicts: (O, I, KH, KW) for convolutions.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a name that is taken and for values that are none or not of the shape.
    pub fn add(&mut self, name: &str, kind: Kind, shape: &[usize], values: &[f32]) -> Result<ParameterId> {
        let refuse = |reason: String| Err(Error::Parameter { name: name.into(), reason });
        if self.find(name).is_some() {
            return refuse("the name is taken".into());
        }
        if shape.iter().product::<usize>() != values.len() || values.is_empty() {
            return refuse(format!("{} values for the shape {shape:?}", values.len()));
        }
        let [master_format, moment_format, working_format, gradient_format] = match kind {
            Kind::Weight => [Role::Master, Role::Moment, Role::Weight, Role::Gradient]
                .map(|role| *self.recipe.format(role, layer(name))),
            Kind::Norm | Kind::Bias => [self.recipe.norm, RoleFormat::F32, RoleFormat::F32, RoleFormat::F32],
        };
        let (shape, values) = channels_last(shape, values);
        let master = self.master(&master_format, &values)?;
        let own_copy = working_format.dtype != master_format.dtype || working_format.scaling != Scaling::None;
        let working = own_copy.then(|| Tensor { shape: shape.clone(), buffer: master.clone(), scale: 1.0 });
        let mut parameter = Parameter {
            name: name.into(),
            kind,
            shape,
            gradient_format,
            master_format,
            moment_format,
            working_format,
            master,
            working,
            moments: Vec::new(),
            updates: 0,
            written: Step::evaluation(0),
        };
        parameter.refresh(&*self.backend)?;
        self.parameters.push(parameter);
        Ok(ParameterId(self.parameters.len() - 1))
    }

    /// Adds running statistics of the batch norm `layer`: mean 0, variance 1.
    pub fn add_statistics(&mut self, layer: &str, channels: usize) -> Result<StatisticsId> {
        let mean = upload_f32(&*self.backend, &vec![0.0; channels])?;
        let variance = upload_f32(&*self.backend, &vec![1.0; channels])?;
        self.statistics.push(Statistics { layer: layer.into(), channels, mean, variance, batches: 0 });
        Ok(StatisticsId(self.statistics.len() - 1))
    }

    /// The device.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// The precision.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Number of parameters (tensors).
    pub fn len(&self) -> usize {
        self.parameters.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.parameters.is_empty()
    }

    /// The parameter `id`.
    pub fn get(&self, id: ParameterId) -> &Parameter {
        &self.parameters[id.0]
    }

    /// The running statistics `id`.
    pub fn statistics(&self, id: StatisticsId) -> &Statistics {
        &self.statistics[id.0]
    }

    /// All parameters, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = (ParameterId, &Parameter)> {
        self.parameters.iter().enumerate().map(|(index, parameter)| (ParameterId(index), parameter))
    }

    /// The parameter of this name.
    pub fn find(&self, name: &str) -> Option<ParameterId> {
        self.parameters.iter().position(|parameter| parameter.name == name).map(ParameterId)
    }

    /// Master weights rounded to nearest, whatever the recipe does in updates: loading is no training step.
    fn master(&self, format: &RoleFormat, values: &[f32]) -> Result<Arc<Buffer>> {
        let wide = upload_f32(&*self.backend, values)?;
        let nearest = RoleFormat::nearest(format.dtype);
        Ok(quantised(&*self.backend, &nearest, Stream::default(), vec![values.len()], &wide)?.buffer)
    }

    /// One optimiser step of the parameters that `change` gives something for.
    ///
    /// # Errors
    /// [`Error::Parameter`], before anything was written, when a graph still uses one of them.
    pub(crate) fn update<'g>(
        &mut self,
        step: &Step,
        change: impl Fn(ParameterId, &Parameter) -> Option<Change<'g>>,
    ) -> Result<()> {
        let (backend, step) = (&*self.backend, step.with_micro_batch(0));
        let changes: Vec<_> = self.iter().map(|(id, parameter)| change(id, parameter)).collect();
        let changed = self.parameters.iter_mut().zip(&changes);
        let updates =
            changed.filter_map(|(parameter, change)| Some(parameter.change(backend, change.as_ref()?, &step)));
        backend.update_all(updates.collect::<Result<_>>()?)?;
        for (parameter, _) in self.parameters.iter_mut().zip(changes).filter(|(_, change)| change.is_some()) {
            parameter.updates += 1;
            parameter.written = step;
            // A scale that depends on the new master can only be applied after it.
            if !parameter.is_fused() {
                parameter.refresh(backend)?;
            }
        }
        Ok(())
    }

    /// Blends the statistics of a batch into the running ones.
    pub(crate) fn blend(&mut self, update: &StatisticsUpdate) -> Result<()> {
        let running = &mut self.statistics[update.id.0];
        let batch = fp8_kernels::BatchStatistics { mean: &update.mean.buffer, variance: &update.variance.buffer };
        self.backend.batch_norm_update_running(
            &update.norm,
            update.momentum,
            batch,
            &mut running.mean,
            &mut running.variance,
        )?;
        running.batches += 1;
        Ok(())
    }
}
