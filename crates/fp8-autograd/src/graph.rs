//! The tape: operations put themselves on it in the forward pass, and are walked in reverse.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fp8_kernels::{Backend, Buffer};

use crate::gradients::{Gradients, StatisticsUpdate};
use crate::output::{Output, QNode, node_name};
use crate::tensor::upload_f32;
use crate::{Error, Loss, ParameterId, Parameters, Recipe, Result, Role, Step, Tensor};

/// A tensor in a graph. Dropping it frees its memory unless a backward pass needs it.
#[derive(Clone, Debug)]
pub struct Var {
    pub(crate) id: VarId,
    pub(crate) tensor: Tensor,
}

impl Var {
    /// Its values.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// Its sizes.
    pub fn shape(&self) -> &[usize] {
        &self.tensor.shape
    }
}

/// Which tensor of which graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VarId {
    graph: u64,
    index: usize,
}

/// The number of the next graph.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// An operation on the tape, with what it keeps for its backward pass.
pub(crate) trait Node: Send {
    /// From the error of the output to the errors of the inputs and the gradients of the parameters.
    fn backward(self: Box<Self>, dy: Tensor, pass: &mut Backward<'_>) -> Result<()>;
}

/// What made a tensor: it says how the tensor and its error are stored.
#[derive(Debug)]
pub(crate) struct Maker {
    /// The layer, which recipes know.
    layer: String,
    /// This application of it, which names random bits: the layer's own name the first time.
    application: String,
}

impl Maker {
    /// A tensor inside of the operation, of which only the error is stored.
    pub fn inner(&self, what: &str) -> Inner {
        Inner { layer: self.layer.clone(), name: format!("{}/{what}", self.application) }
    }
}

/// A tensor that exists inside of an operation only.
#[derive(Debug)]
pub(crate) struct Inner {
    layer: String,
    /// Names its random bits.
    pub name: String,
}

/// One forward pass, recorded when training.
pub struct Graph<'a> {
    number: u64,
    parameters: &'a Parameters,
    step: Step,
    /// What made each tensor; `None` where no error is wanted.
    makers: Vec<Option<Maker>>,
    nodes: Vec<(VarId, Box<dyn Node>)>,
    /// How often each layer has been applied: a repeated layer takes new random bits.
    uses: HashMap<String, u32>,
    statistics: Vec<StatisticsUpdate>,
    /// Errors of logits that do not exist, for the losses that they led to.
    starts: Vec<(VarId, Tensor)>,
}

impl<'a> Graph<'a> {
    /// An empty graph.
    pub fn new(parameters: &'a Parameters, step: Step) -> Self {
        let (makers, nodes, statistics, starts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self { number, parameters, step, makers, nodes, uses: HashMap::new(), statistics, starts }
    }

    /// The device.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        self.parameters.backend()
    }

    /// The precision.
    pub fn recipe(&self) -> &Recipe {
        self.parameters.recipe()
    }

    /// The parameters that operations refer to.
    pub fn parameters(&self) -> &'a Parameters {
        self.parameters
    }

    /// The step.
    pub fn step(&self) -> &Step {
        &self.step
    }

    /// Names of the layers that were applied so far, and of those that have parameters, as recipes know them.
    pub fn layers(&self) -> BTreeSet<&str> {
        let applied = self.uses.keys().map(String::as_str);
        // What was made of a layer has a name of its own, with a stroke in it.
        let applied = applied.filter(|name| !name.contains('/'));
        applied.chain(self.parameters.iter().map(|(_, parameter)| parameter.layer())).collect()
    }

    /// Puts host values in, stored as activations of the layer `input`. No error is computed for them.
    ///
    /// # Errors
    /// [`Error::NonFinite`] for Inf and NaN, [`Error::Shape`] when shape and values do not go together or there are none.
    pub fn input(&mut self, shape: &[usize], values: &[f32]) -> Result<Var> {
        if shape.iter().product::<usize>() != values.len() || values.is_empty() {
            let reason = format!("{} values for the shape {shape:?}", values.len());
            return Err(Error::Shape { op: "input", reason });
        }
        // Over blocks, so that it is done with many at once; who has found one looks for it.
        let finite = |block: &[f32]| block.iter().fold(true, |finite, value| finite & value.is_finite());
        if !values.chunks(4096).all(finite)
            && let Some(index) = values.iter().position(|value| !value.is_finite())
        {
            return Err(Error::NonFinite { what: "input", index, value: values[index] });
        }
        let wide = Tensor::from_f32(&**self.backend(), shape.to_vec(), values)?;
        self.input_tensor(&wide)
    }

    /// The same with bytes (…, channels) on the device, U8, each of which stands for a finite value by the table of its channel. A quarter of
    /// the bytes has travelled.
    ///
    /// # Errors
    /// [`Error::Shape`] when shape, bytes and tables do not go together or there are none.
    pub fn input_bytes(&mut self, shape: &[usize], bytes: &Buffer, tables: &[[f32; 256]]) -> Result<Var> {
        if shape.iter().product::<usize>() != bytes.len() || bytes.is_empty() || shape.last() != Some(&tables.len()) {
            let reason = format!("{} bytes and {} tables for the shape {shape:?}", bytes.len(), tables.len());
            return Err(Error::Shape { op: "input_bytes", reason });
        }
        let backend = self.backend().clone();
        let table = upload_f32(&*backend, tables.as_flattened())?;
        let (_, mut output) = self.open("input", Role::Activation, shape.to_vec())?;
        backend.look_up(tables.len(), bytes, &table, &output.store, &mut output.buffer)?;
        Ok(self.constant(output.close(&*backend)?))
    }

    /// The same with values that are on the device already, and finite.
    pub fn input_tensor(&mut self, values: &Tensor) -> Result<Var> {
        let input = self.maker("input");
        let node = self.q_node(Role::Activation, &input);
        let tensor = node.quantised(&**self.backend(), values.shape.clone(), &values.buffer)?;
        Ok(self.constant(tensor))
    }

    /// Puts a tensor in as it is. No error is computed for it.
    pub fn constant(&mut self, tensor: Tensor) -> Var {
        self.var(None, tensor)
    }

    /// The errors and gradients of `loss`, times the loss scale. What was kept is freed on the way.
    ///
    /// # Errors
    /// [`Error::State`] for a loss, or an operation on a tensor, of another graph.
    pub fn backward(self, loss: &Loss) -> Result<Gradients> {
        let gradients = Gradients::new(self.parameters.len(), self.step.loss_scale);
        self.accumulate(loss, gradients)
    }

    /// As [`Graph::backward`] for a further part of the same step's batch: adds to the `gradients` of the parts before, in the
    /// kernels, before they round. The optimiser takes the mean over the parts, which must be equally large.
    ///
    /// # Errors
    /// As [`Graph::backward`]; [`Error::State`] for gradients of other parameters or another loss scale.
    pub fn accumulate(self, loss: &Loss, mut gradients: Gradients) -> Result<Gradients> {
        let Self { number, parameters, step, makers, nodes, statistics, starts, .. } = self;
        gradients.begin(parameters.len(), step.loss_scale, statistics)?;
        let errors = makers.iter().map(|_| Arrival::default()).collect();
        let mut pass = Backward { graph: number, parameters, step, makers, errors, gradients };
        loss.backward(starts, &mut pass)?;
        for (output, node) in nodes.into_iter().rev() {
            if let Some(dy) = pass.errors[output.index].sum.take() {
                node.backward(dy, &mut pass)?;
            }
        }
        Ok(pass.gradients)
    }
}

/// For operations.
impl Graph<'_> {
    fn maker(&mut self, layer: &str) -> Maker {
        Maker { layer: layer.to_string(), application: self.application(layer) }
    }

    /// The name of this use of a layer, or of what was made of one.
    fn application(&mut self, name: &str) -> String {
        let uses = self.uses.entry(name.to_string()).or_default();
        *uses += 1;
        if *uses == 1 { name.to_string() } else { format!("{name}/{}", *uses - 1) }
    }

    /// The Q node of what `maker` makes, or of the first error of that.
    fn q_node(&self, role: Role, maker: &Maker) -> QNode {
        let format = *self.recipe().format(role, &maker.layer);
        QNode::new(&self.step, format, &node_name(&maker.application, role, 0))
    }

    /// Memory for what `layer` computes.
    pub(crate) fn open(&mut self, layer: &str, role: Role, shape: Vec<usize>) -> Result<(Maker, Output)> {
        let maker = self.maker(layer);
        let node = self.q_node(role, &maker);
        let output = Output::open(&**self.backend(), node, shape, None)?;
        Ok((maker, output))
    }

    /// As [`Graph::open`] for activations that the operation reads while it writes them: the recipe's scaling, which needs all of them, is
    /// left out.
    pub(crate) fn open_unscaled(&mut self, layer: &str, shape: Vec<usize>) -> Result<(Maker, Output)> {
        let maker = self.maker(layer);
        let node = self.q_node(Role::Activation, &maker).unscaled();
        let output = Output::open(&**self.backend(), node, shape, None)?;
        Ok((maker, output))
    }

    /// Finishes an output, and records how to go back.
    pub(crate) fn record(
        &mut self,
        maker: Maker,
        output: Output,
        node: impl FnOnce(&Tensor) -> Box<dyn Node>,
    ) -> Result<Var> {
        let tensor = output.close(&**self.backend())?;
        let var = self.var(Some(maker), tensor);
        if self.step.training {
            self.nodes.push((var.id, node(&var.tensor)));
        }
        Ok(var)
    }

    /// A tensor of the elements of `x`; `what` names the difference.
    pub(crate) fn alias(&mut self, x: &Var, what: &str, tensor: Tensor, node: impl FnOnce() -> Box<dyn Node>) -> Var {
        let maker = self.makers.get(x.id.index).and_then(Option::as_ref);
        let names = maker.map(|maker| (maker.layer.clone(), format!("{}/{what}", maker.application)));
        let maker = names.map(|(layer, name)| Maker { layer, application: self.application(&name) });
        let wanted = maker.is_some();
        let var = self.var(maker, tensor);
        if self.step.training && wanted {
            self.nodes.push((var.id, node()));
        }
        var
    }

    /// Memory for the error of what `layer` would have computed, where one is wanted.
    pub(crate) fn open_start(&mut self, layer: &str, shape: Vec<usize>) -> Result<(Maker, Option<Output>)> {
        let maker = self.maker(layer);
        if !self.step.training {
            return Ok((maker, None));
        }
        let node = self.q_node(Role::Error, &maker);
        let output = Output::open(&**self.backend(), node, shape, None)?;
        Ok((maker, Some(output)))
    }

    /// Finishes that error, and records how to go back from it; the start.
    pub(crate) fn record_start(&mut self, maker: Maker, error: Output, node: Box<dyn Node>) -> Result<VarId> {
        let error = error.close(&**self.backend())?;
        let id = self.id(Some(maker));
        self.nodes.push((id, node));
        self.starts.push((id, error));
        Ok(id)
    }

    pub(crate) fn keep_statistics(&mut self, update: StatisticsUpdate) {
        self.statistics.push(update);
    }

    fn var(&mut self, maker: Option<Maker>, tensor: Tensor) -> Var {
        Var { id: self.id(maker), tensor }
    }

    fn id(&mut self, maker: Option<Maker>) -> VarId {
        self.makers.push(maker);
        VarId { graph: self.number, index: self.makers.len() - 1 }
    }
}

/// What has arrived of a tensor's error.
#[derive(Default)]
struct Arrival {
    sum: Option<Tensor>,
    contributions: u32,
}

/// A backward pass under way.
pub(crate) struct Backward<'a> {
    /// The number of the graph.
    graph: u64,
    parameters: &'a Parameters,
    step: Step,
    makers: Vec<Option<Maker>>,
    errors: Vec<Arrival>,
    gradients: Gradients,
}

impl Backward<'_> {
    pub fn backend(&self) -> Arc<dyn Backend> {
        self.parameters.backend().clone()
    }

    pub fn step(&self) -> &Step {
        &self.step
    }

    /// Whether the error of `var` is of use.
    pub fn wants_error(&self, var: VarId) -> bool {
        var.graph != self.graph || self.makers[var.index].is_some()
    }

    /// What made a tensor of this graph, if its error is of use, and what has arrived of that.
    fn of(&mut self, var: VarId) -> Result<(Option<&Maker>, &mut Arrival)> {
        if var.graph != self.graph {
            return Err(Error::State("a loss or a tensor is of another graph".into()));
        }
        Ok((self.makers[var.index].as_ref(), &mut self.errors[var.index]))
    }

    /// Memory for the error of `var`, and the error that has arrived from its other uses: the kernel adds it before it
    /// rounds.
    pub fn open_error(&mut self, var: VarId, shape: &[usize]) -> Result<(Output, Option<Tensor>)> {
        let backend = self.backend();
        let (recipe, step) = (self.parameters.recipe(), self.step);
        let (maker, arrival) = self.of(var)?;
        let (layer, application) = maker.map_or(("", ""), |maker| (&*maker.layer, &*maker.application));
        let name = node_name(application, Role::Error, arrival.contributions);
        let node = QNode::new(&step, *recipe.format(Role::Error, layer), &name).counting(&step);
        arrival.contributions += 1;
        let arrived = arrival.sum.take().map(|sum| sum.unscaled(&*backend)).transpose()?;
        Ok((Output::open(&*backend, node, shape.to_vec(), None)?, arrived))
    }

    /// As [`Backward::open_error`], for kernels that cannot add: it is added afterwards.
    pub fn open_error_alone(&mut self, var: VarId, shape: &[usize]) -> Result<Output> {
        let (output, arrived) = self.open_error(var, shape)?;
        match arrived {
            None => Ok(output),
            Some(_) => output.plus(&*self.backend(), arrived),
        }
    }

    /// Memory for the error of a tensor inside of an operation.
    pub fn open_inner_error(&self, inner: &Inner, shape: Vec<usize>) -> Result<Output> {
        let format = *self.parameters.recipe().format(Role::Error, &inner.layer);
        let node = QNode::new(&self.step, format, &node_name(&inner.name, Role::Error, 0));
        Output::open(&*self.backend(), node, shape, None)
    }

    /// An error that needs no computing: it is that of `var`, plus what has arrived from other uses.
    pub fn pass_error(&mut self, var: VarId, error: Tensor) -> Result<()> {
        let (_, arrival) = self.of(var)?;
        if arrival.sum.is_none() {
            arrival.contributions += 1;
            arrival.sum = Some(error);
            return Ok(());
        }
        let backend = self.backend();
        let error = error.unscaled(&*backend)?;
        let (mut sum, arrived) = self.open_error(var, &error.shape)?;
        let arrived = arrived.as_ref().map(|arrived| &*arrived.buffer);
        backend.add(&error.buffer, arrived, false, &sum.store, &mut sum.buffer)?;
        self.close_error(var, sum)
    }

    /// The finished error of `var`.
    pub fn close_error(&mut self, var: VarId, output: Output) -> Result<()> {
        let (error, zeros) = output.close_counting(&*self.backend())?;
        let (maker, arrival) = self.of(var)?;
        arrival.sum = Some(error);
        // What no layer made has no use for its error.
        if let Some(layer) = maker.map(|maker| maker.layer.clone()) {
            self.gradients.count_flushed(&layer, Role::Error, zeros);
        }
        Ok(())
    }

    /// Memory for the gradient of a parameter, and the gradient that has arrived from its other uses.
    pub fn open_gradient(&mut self, id: ParameterId) -> Result<(Output, Option<Tensor>)> {
        let backend = self.backend();
        let parameter = self.parameters.get(id);
        let (arrived, contributions) = self.gradients.take(id);
        let name = node_name(&parameter.name, Role::Gradient, contributions);
        let node = QNode::new(&self.step, parameter.gradient_format, &name).counting(&self.step);
        let arrived = arrived.map(|sum| sum.unscaled(&*backend)).transpose()?;
        Ok((Output::open(&*backend, node, parameter.shape.clone(), None)?, arrived))
    }

    /// As [`Backward::open_gradient`], for kernels that cannot add.
    pub fn open_gradient_alone(&mut self, id: ParameterId) -> Result<Output> {
        let (output, arrived) = self.open_gradient(id)?;
        match arrived {
            None => Ok(output),
            Some(_) => output.plus(&*self.backend(), arrived),
        }
    }

    /// The finished gradient of a parameter.
    pub fn close_gradient(&mut self, id: ParameterId, output: Output) -> Result<()> {
        let (gradient, zeros) = output.close_counting(&*self.backend())?;
        self.gradients.put(id, gradient);
        self.gradients.count_flushed(self.parameters.get(id).layer(), Role::Gradient, zeros);
        Ok(())
    }
}
