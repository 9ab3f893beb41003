//! What surrounds an update: micro-batches, clipping, decay, parameters without a gradient, random bits.

mod common;

use std::sync::Arc;

use fp8_autograd::{
    Gradients, Graph, Kind, Loss, Optimizer, OptimizerRule, Parameters, Recipe, Result, Role, Step, Values,
};
use fp8_core::{Format, Overflow, Rounding, Stream, encode};
use fp8_kernels::Backend;

use common::{backends, numbers};

const SGD: OptimizerRule = OptimizerRule::Sgd { momentum: 0.9, dampening: 0.5, nesterov: false, weight_decay: 0.0 };
const ROWS: usize = 8;
const INPUTS: usize = 6;

/// Two linear layers.
fn parameters(backend: &Arc<dyn Backend>, recipe: &str) -> Parameters {
    let mut parameters = Parameters::new(backend.clone(), Arc::new(Recipe::parse(recipe).unwrap()));
    for (name, kind, shape) in [
        ("one.weight", Kind::Weight, &[5, INPUTS][..]),
        ("one.bias", Kind::Bias, &[5]),
        ("two.weight", Kind::Weight, &[3, 5]),
        ("two.bias", Kind::Bias, &[3]),
    ] {
        let values = numbers(fp8_core::Stream::id(name), shape.iter().product());
        parameters.add(name, kind, shape, &values).unwrap();
    }
    parameters
}

fn loss(graph: &mut Graph<'_>, rows: std::ops::Range<usize>) -> Result<Loss> {
    let id = |name: &str| graph.parameters().find(name).unwrap();
    let (one, two) = ([id("one.weight"), id("one.bias")], [id("two.weight"), id("two.bias")]);
    let x = &numbers(1, ROWS * INPUTS)[rows.start * INPUTS..rows.end * INPUTS];
    let x = graph.input(&[rows.len(), INPUTS], x)?;
    let x = graph.linear(&x, one[0], Some(one[1]), Role::Activation)?;
    let x = graph.relu("relu", &x)?;
    let logits = graph.linear(&x, two[0], Some(two[1]), Role::Logits)?;
    let targets: Vec<u32> = rows.map(|row| row as u32 % 3).collect();
    graph.cross_entropy(&logits, &targets, 0.0)
}

fn gradients(parameters: &Parameters, step: Step) -> Gradients {
    let mut graph = Graph::new(parameters, step);
    let loss = loss(&mut graph, 0..ROWS).unwrap();
    graph.backward(&loss).unwrap()
}

/// The gradients of the whole batch, in two parts.
fn in_parts(parameters: &Parameters, step: Step) -> Result<Gradients> {
    let mut graph = Graph::new(parameters, step);
    let first = loss(&mut graph, 0..ROWS / 2)?;
    let gradients = graph.backward(&first)?;
    let mut graph = Graph::new(parameters, step.with_micro_batch(1));
    let second = loss(&mut graph, ROWS / 2..ROWS)?;
    graph.accumulate(&second, gradients)
}

fn values(parameters: &Parameters, name: &str) -> Vec<f32> {
    let array = parameters.arrays().unwrap().into_iter().find(|array| array.name == name).unwrap();
    match array.values {
        Values::F32(values) => values,
        Values::I64(_) => panic!("{name} holds counters"),
    }
}

fn numbers_of(gradients: &Gradients, parameters: &Parameters) -> Vec<f32> {
    let arrays = gradients.arrays(parameters).unwrap();
    let of = |values| match values {
        Values::F32(values) => values,
        Values::I64(_) => panic!("gradients are numbers"),
    };
    arrays.into_iter().flat_map(|array| of(array.values)).collect()
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|value| value * value).sum::<f32>().sqrt();
    norm(&mut a.iter().zip(b).map(|(a, b)| a - b)) / norm(&mut b.iter().copied())
}

#[test]
fn parts_of_a_batch_add_up() {
    for backend in backends() {
        let parameters = parameters(&backend, "base = 'fp32'");
        let step = Step::training(1, 0, 4.0);
        let (whole, parts) = (gradients(&parameters, step), in_parts(&parameters, step).unwrap());
        assert_eq!((whole.micro_batches(), parts.micro_batches()), (1, 2));
        let difference = distance(&numbers_of(&parts, &parameters), &numbers_of(&whole, &parameters));
        assert!(difference < 1e-6, "{difference}");
        let norms = [whole, parts].map(|gradients| gradients.report(&parameters).unwrap().gradient_norm);
        assert!((norms[0] - norms[1]).abs() < 1e-6 * norms[0], "{norms:?}");
    }
}

#[test]
fn parts_of_a_batch_round_apart() {
    for backend in backends() {
        let parameters = parameters(&backend, "base = 'fp8'");
        let bits = |part| {
            let step = Step::training(1, 0, 4.0).with_micro_batch(part);
            numbers_of(&gradients(&parameters, step), &parameters)
        };
        assert_eq!(bits(1), bits(1));
        assert_ne!(bits(0), bits(1));
        let other_scale = in_parts(&parameters, Step::training(1, 0, 4.0)).and_then(|gradients| {
            let mut graph = Graph::new(&parameters, Step::training(1, 0, 8.0).with_micro_batch(2));
            let loss = loss(&mut graph, 0..ROWS)?;
            graph.accumulate(&loss, gradients)
        });
        let message = other_scale.unwrap_err().to_string();
        assert_eq!(message, "state: gradients of 4 parameters times 4 to add to, not of 4 parameters times 8");
    }
}

/// What a parameter changes by.
fn change(parameters: &mut Parameters, optimizer: &Optimizer, name: &str) -> Vec<f32> {
    let step = Step::training(1, 0, 4.0);
    let gradients = gradients(parameters, step);
    let before = values(parameters, name);
    optimizer.step(parameters, &gradients, 0.5, &step).unwrap();
    values(parameters, name).iter().zip(before).map(|(new, old)| new - old).collect()
}

#[test]
fn gradients_are_shortened_to_the_norm_asked_for() {
    for backend in backends() {
        let norm = gradients(&parameters(&backend, ""), Step::training(1, 0, 4.0));
        let norm = norm.report(&parameters(&backend, "")).unwrap().gradient_norm;
        let by = |clip_norm| {
            let optimizer = Optimizer { clip_norm, ..Optimizer::new(SGD) };
            change(&mut parameters(&backend, ""), &optimizer, "two.weight")
        };
        assert_eq!(by(None), by(Some(2.0 * norm)));
        let half: Vec<f32> = by(None).iter().map(|change| change / 2.0).collect();
        assert!(distance(&by(Some(norm / 2.0)), &half) < 1e-5);
    }
}

#[test]
fn decay_can_leave_biases_alone() {
    for backend in backends() {
        let by = |weight_decay, decay_weights_only, name| {
            let rule = OptimizerRule::Sgd { momentum: 0.0, dampening: 0.0, nesterov: false, weight_decay };
            let optimizer = Optimizer { decay_weights_only, ..Optimizer::new(rule) };
            change(&mut parameters(&backend, ""), &optimizer, name)
        };
        for (name, only) in [("two.weight", false), ("two.weight", true), ("two.bias", false)] {
            assert_ne!(by(0.5, only, name), by(0.0, only, name), "{name}");
        }
        assert_eq!(by(0.5, true, "two.bias"), by(0.0, true, "two.bias"));
    }
}

/// A parameter's first update sets its momentum, whenever it comes.
#[test]
fn a_parameter_that_joins_late_starts_afresh() {
    for backend in backends() {
        let mut late = parameters(&backend, "");
        let alone = |parameters: &Parameters, step| {
            let mut graph = Graph::new(parameters, step);
            let x = graph.input(&[2, 5], &numbers(3, 10)).unwrap();
            let logits = graph.linear(&x, parameters.find("two.weight").unwrap(), None, Role::Logits).unwrap();
            let loss = graph.cross_entropy(&logits, &[0, 1], 0.0).unwrap();
            graph.backward(&loss).unwrap()
        };
        let step = Step::training(1, 0, 4.0);
        let first = alone(&late, step);
        Optimizer::new(SGD).step(&mut late, &first, 0.0, &step).unwrap();
        let updates = |name| late.get(late.find(name).unwrap()).updates();
        assert_eq!((updates("one.weight"), updates("two.weight")), (0, 1));
        let mut fresh = parameters(&backend, "");
        let changes = [&mut late, &mut fresh].map(|parameters| change(parameters, &Optimizer::new(SGD), "one.weight"));
        assert_eq!(changes[0], changes[1]);
    }
}

/// The working copy is rounded again from the master with the bits of the step that wrote it, which is not the last step
/// where the parameter had no gradient in that.
#[test]
fn stochastic_working_copies_come_back_the_same() {
    for backend in backends() {
        let recipe = "base = 'fp8'\n[weight]\nrounding = 'sr'\n[exempt]\nlayers = []";
        let mut run = parameters(&backend, recipe);
        change(&mut run, &Optimizer::new(SGD), "one.weight");
        let step = Step::training(1, 1, 4.0);
        let alone = {
            let mut graph = Graph::new(&run, step);
            let x = graph.input(&[2, 5], &numbers(3, 10)).unwrap();
            let logits = graph.linear(&x, run.find("two.weight").unwrap(), None, Role::Logits).unwrap();
            let loss = graph.cross_entropy(&logits, &[0, 1], 0.0).unwrap();
            graph.backward(&loss).unwrap()
        };
        Optimizer::new(SGD).step(&mut run, &alone, 0.1, &step).unwrap();
        let mut resumed = parameters(&backend, recipe);
        resumed.restore(&run.state().unwrap()).unwrap();
        for name in ["one.weight", "two.weight"] {
            let id = run.find(name).unwrap();
            let [a, b] = [&run, &resumed].map(|from| from.get(id).working().to_f32(&*backend).unwrap());
            assert_eq!(a, b, "{name}");
        }
    }
}

/// Two applications of one layer to equal errors: each rounds with bits of its own, forward and backward.
#[test]
fn a_repeated_layer_takes_new_random_bits() {
    // Only the layer `r` rounds; `a` and `b` show its errors as their gradients.
    let recipe = "[activation]\ndtype = 'e5m2'\nrounding = 'sr'\n[error]\ndtype = 'e5m2'\nrounding = 'sr'\n\
                  [exempt]\nlayers = ['input', 'a', 'b', 'sum', 'fc']";
    for backend in backends() {
        let mut parameters = Parameters::new(backend.clone(), Arc::new(Recipe::parse(recipe).unwrap()));
        let positive: Vec<f32> = numbers(1, 64).iter().map(|value| value + 2.0).collect();
        let mut add = |name, shape: &[usize], values| parameters.add(name, Kind::Weight, shape, values).unwrap();
        let [a, b] = ["a.weight", "b.weight"].map(|name| add(name, &[64, 1], &positive));
        let fc = add("fc.weight", &[2, 64], &numbers(2, 128));
        let mut graph = Graph::new(&parameters, Step::training(1, 0, 1.0));
        let x = graph.input(&[1, 1], &[1.0]).unwrap();
        let outputs = [a, b].map(|weight| {
            let y = graph.linear(&x, weight, None, Role::Activation).unwrap();
            graph.relu("r", &y).unwrap()
        });
        let forward = outputs.each_ref().map(|output| output.tensor().to_f32(&*backend).unwrap());
        assert_ne!(forward[0], forward[1]);
        let sum = graph.add("sum", &outputs[0], &outputs[1], false).unwrap();
        let logits = graph.linear(&sum, fc, None, Role::Logits).unwrap();
        let loss = graph.cross_entropy(&logits, &[1], 0.0).unwrap();
        let gradients = graph.backward(&loss).unwrap();
        let errors = [a, b].map(|weight| gradients.get(weight).unwrap().to_f32(&*backend).unwrap());
        assert_ne!(errors[0], errors[1]);
    }
}

/// Moments of weights are rounded with the bits of their nodes, after the step has used them; those of biases are FP32 in every recipe.
#[test]
fn each_moment_has_random_bits_of_its_own() {
    const ADAMW: OptimizerRule = OptimizerRule::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 };
    for backend in backends() {
        let after = |recipe| {
            let (mut parameters, step) = (parameters(&backend, recipe), Step::training(1, 0, 4.0));
            let gradients = gradients(&parameters, step);
            Optimizer::new(ADAMW).step(&mut parameters, &gradients, 0.5, &step).unwrap();
            parameters
        };
        let (wide, narrow) = (after(""), after("[moment]\ndtype = 'bf16'\nrounding = 'sr'"));
        let moment = |parameters: &Parameters, name: &str, which: usize| {
            let moment = &parameters.get(parameters.find(name).unwrap()).moments()[which];
            let mut bytes = vec![0; moment.bytes()];
            backend.download(moment, &mut bytes).unwrap();
            bytes
        };
        for (which, node) in ["two.weight/moment", "two.weight/moment/1"].into_iter().enumerate() {
            let stream = Stream { seed: 1, step: 0, id: Stream::id(node) };
            let code = |(i, bytes): (usize, &[u8; 4])| {
                let (x, draw) = (f32::from_le_bytes(*bytes).into(), stream.draw(i as u64, 16));
                encode(Format::BF16, x, Rounding::STOCHASTIC, Overflow::Infinity, draw).to_le_bytes()
            };
            let exact = moment(&wide, "two.weight", which);
            let expected: Vec<_> = exact.as_chunks().0.iter().enumerate().flat_map(code).collect();
            assert_eq!(moment(&narrow, "two.weight", which), expected, "{node}");
            assert_eq!(moment(&narrow, "two.bias", which), moment(&wide, "two.bias", which));
        }
        assert_eq!(values(&narrow, "two.weight"), values(&wide, "two.weight"));
    }
}

#[test]
fn rules_are_checked() {
    let sgd = |momentum, nesterov| OptimizerRule::Sgd { momentum, dampening: 0.0, nesterov, weight_decay: 1e-4 };
    let adamw = |beta2, epsilon| OptimizerRule::AdamW { beta1: 0.9, beta2, epsilon, weight_decay: 0.0 };
    for rule in [SGD, sgd(0.0, false), sgd(0.9, true), adamw(0.999, 1e-8)] {
        assert_eq!(rule.check(), Ok(()), "{rule:?}");
    }
    for (rule, message) in [
        (sgd(1.0, false), "momentum must be at least 0 and below 1, not 1"),
        (sgd(f32::NAN, false), "momentum must be at least 0 and below 1, not NaN"),
        (sgd(0.0, true), "nesterov wants momentum and no dampening"),
        (adamw(-0.1, 1e-8), "beta2 must be at least 0 and below 1, not -0.1"),
        (adamw(0.9, f32::INFINITY), "epsilon must be a finite number from 0 on, not inf"),
    ] {
        assert_eq!(rule.check(), Err(message.into()));
    }
}
