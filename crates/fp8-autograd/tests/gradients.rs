//! Each operation's backward pass against differences of its forward pass, in fp32, on every backend.

mod common;

use std::sync::Arc;

use fp8_autograd::{
    AdditiveAttentionLayer, AttentionHeads, BatchNormLayer, EmbeddingLayer, Error, Graph, Kind, LayerNormLayer,
    LstmLayer, ParameterId, Parameters, Recipe, Result, Role, Step, Tensor, Values, Var,
};
use fp8_kernels::{Backend, CrossEntropy};

use common::{backends, numbers};

const IMAGES: [usize; 4] = [3, 6, 5, 2];
const CLASSES: usize = 3;
const SMOOTHING: f32 = 0.1;

/// Names, kinds and shapes (as in state dicts) of parameters.
type Shapes<'a> = &'a [(&'a str, Kind, &'a [usize])];

fn parameters(backend: &Arc<dyn Backend>, recipe: &str, shapes: Shapes<'_>) -> Parameters {
    let mut parameters = Parameters::new(backend.clone(), Arc::new(Recipe::named(recipe).unwrap()));
    for (seed, (name, kind, shape)) in (10..).zip(shapes) {
        let mut values = numbers(seed, shape.iter().product());
        if *kind == Kind::Norm && name.ends_with("weight") {
            values.iter_mut().for_each(|value| *value += 1.5);
        }
        parameters.add(name, *kind, shape, &values).unwrap();
    }
    parameters.add_statistics("norm", 4).unwrap();
    parameters
}

fn loss(graph: &mut Graph<'_>, forward: Forward<'_>) -> Result<fp8_autograd::Loss> {
    let x = graph.input(&IMAGES, &numbers(1, IMAGES.iter().product()))?;
    let logits = forward(graph, &x)?;
    graph.cross_entropy(&logits, &[2, 0, 1], SMOOTHING)
}

type Forward<'a> = &'a dyn Fn(&mut Graph<'_>, &Var) -> Result<Var>;

fn id(graph: &Graph<'_>, name: &str) -> ParameterId {
    graph.parameters().find(name).unwrap()
}

/// The derivative of the loss along a random direction of each parameter equals the gradient's component.
fn check(shapes: Shapes<'_>, forward: Forward<'_>) {
    for backend in backends() {
        let step = Step::training(1, 0, 8.0);
        let mut parameters = parameters(&backend, "fp32", shapes);
        let mut graph = Graph::new(&parameters, step);
        let start = loss(&mut graph, forward).unwrap();
        let gradients = graph.backward(&start).unwrap().arrays(&parameters).unwrap();
        let arrays: Vec<_> = parameters.arrays().unwrap().into_iter().take(shapes.len()).collect();
        for (seed, (array, gradient)) in (100..).zip(arrays.iter().zip(&gradients)) {
            assert_eq!((&array.name, &array.shape), (&gradient.name, &gradient.shape));
            let (Values::F32(values), Values::F32(gradient)) = (&array.values, &gradient.values) else { panic!() };
            let direction = numbers(seed, values.len());
            let mut loss_at = |distance: f32| {
                let moved: Vec<f32> = values.iter().zip(&direction).map(|(v, d)| v + distance * d).collect();
                parameters.set(&fp8_autograd::Array { values: moved.into(), ..array.clone() }).unwrap();
                f64::from(loss(&mut Graph::new(&parameters, step), forward).unwrap().value().unwrap())
            };
            let difference = (loss_at(0.004) - loss_at(-0.004)) / 0.008;
            loss_at(0.0);
            let component: f64 = gradient.iter().zip(&direction).map(|(g, d)| f64::from(g * d)).sum();
            let norm = gradient.iter().map(|g| f64::from(g * g)).sum::<f64>().sqrt();
            assert!(norm > 1e-4, "{}: no gradient", array.name);
            let error = (difference - component).abs();
            assert!(error < 0.02 * norm + 2e-4, "{}: {difference} against {component}, norm {norm}", array.name);
        }
    }
}

const CONV: (&str, Kind, &[usize]) = ("conv.weight", Kind::Weight, &[4, 2, 3, 3]);
const FC: [(&str, Kind, &[usize]); 2] =
    [("fc.weight", Kind::Weight, &[CLASSES, 4]), ("fc.bias", Kind::Bias, &[CLASSES])];

/// Mean over the pixels, then a linear layer.
fn classify(graph: &mut Graph<'_>, x: &Var) -> Result<Var> {
    let pooled = graph.global_average_pool("avgpool", x)?;
    let (weight, bias) = (id(graph, "fc.weight"), id(graph, "fc.bias"));
    graph.linear(&pooled, weight, Some(bias), Role::Logits)
}

#[test]
fn linear_average_pool_and_cross_entropy() {
    check(&[FC[0], FC[1], CONV], &|graph, x| {
        let y = graph.conv2d(x, id(graph, "conv.weight"), 1, 1)?;
        classify(graph, &y)
    });
}

/// The second convolution's input has two uses: their errors meet in its epilogue.
#[test]
fn convolution() {
    check(&[CONV, ("conv2.weight", Kind::Weight, &[4, 4, 3, 2]), FC[0], FC[1]], &|graph, x| {
        let x = graph.conv2d(x, id(graph, "conv.weight"), 2, 1)?;
        let y = graph.conv2d(&x, id(graph, "conv2.weight"), 1, 1)?;
        let y = graph.global_average_pool("pool", &y)?;
        let x = graph.global_average_pool("pool", &x)?;
        let sum = graph.add("sum", &x, &y, false)?;
        graph.linear(&sum, id(graph, "fc.weight"), Some(id(graph, "fc.bias")), Role::Logits)
    });
}

/// A parameter with two uses: the gradient of one is added to the other's.
#[test]
fn shared_weights() {
    check(&[CONV, ("again.weight", Kind::Weight, &[4, 4, 1, 1]), FC[0], FC[1]], &|graph, x| {
        let again = id(graph, "again.weight");
        let mut x = graph.conv2d(x, id(graph, "conv.weight"), 1, 0)?;
        for _ in 0..2 {
            x = graph.conv2d(&x, again, 1, 0)?;
        }
        classify(graph, &x)
    });
}

#[test]
fn relu_and_addition() {
    check(&[CONV, ("fork.weight", Kind::Weight, &[4, 2, 1, 1]), FC[0], FC[1]], &|graph, x| {
        let a = graph.conv2d(x, id(graph, "conv.weight"), 1, 1)?;
        let b = graph.conv2d(x, id(graph, "fork.weight"), 1, 0)?;
        let b = graph.relu("relu", &b)?;
        let sum = graph.add("sum", &a, &b, true)?;
        let sum = graph.add("twice", &sum, &b, false)?;
        classify(graph, &sum)
    });
}

#[test]
fn max_pool() {
    check(&[CONV, FC[0], FC[1]], &|graph, x| {
        let x = graph.conv2d(x, id(graph, "conv.weight"), 1, 1)?;
        let y = graph.max_pool("maxpool", &x, 3, 2, 1)?;
        let z = graph.max_pool("maxpool", &x, 2, 2, 0)?; // x has two uses, of which neither can add
        let y = graph.global_average_pool("pool", &y)?;
        let z = graph.global_average_pool("pool", &z)?;
        let sum = graph.add("sum", &y, &z, false)?;
        graph.linear(&sum, id(graph, "fc.weight"), Some(id(graph, "fc.bias")), Role::Logits)
    });
}

const NORM: [(&str, Kind, &[usize]); 2] = [("norm.weight", Kind::Norm, &[4]), ("norm.bias", Kind::Norm, &[4])];

fn norm(graph: &Graph<'_>, statistics: fp8_autograd::StatisticsId) -> BatchNormLayer {
    let (gamma, beta) = (id(graph, "norm.weight"), id(graph, "norm.bias"));
    BatchNormLayer { gamma, beta, statistics, epsilon: 1e-5, momentum: 0.1 }
}

/// With the ReLU and without, with another use of the residual, and with a residual that is the input itself.
#[test]
fn batch_norm() {
    let spare = |backend| Parameters::new(backend, Arc::new(Recipe::named("fp32").unwrap())).add_statistics("norm", 4);
    let statistics = spare(backends().remove(0)).unwrap();
    let shapes = [CONV, ("fork.weight", Kind::Weight, &[4, 2, 1, 1]), NORM[0], NORM[1], FC[0], FC[1]];
    for (relu, shared, own) in [
        (false, false, false),
        (true, false, false),
        (false, true, false),
        (true, true, false),
        (false, true, true),
        (true, true, true),
    ] {
        check(&shapes, &|graph, x| {
            let fork = graph.conv2d(x, id(graph, "fork.weight"), 1, 0)?;
            let x = graph.conv2d(x, id(graph, "conv.weight"), 1, 1)?;
            let layer = norm(graph, statistics);
            let mut y = graph.batch_norm(&x, &layer, Some(if own { &x } else { &fork }), relu)?;
            if shared {
                y = graph.add("sum", &y, &fork, false)?;
            }
            let y = graph.relu("relu", &y)?;
            classify(graph, &y)
        });
    }
}

/// Width 4, state 5.
const LSTM: [(&str, Kind, &[usize]); 4] = [
    ("rnn.w_input", Kind::Weight, &[20, 4]),
    ("rnn.w_hidden", Kind::Weight, &[20, 5]),
    ("rnn.b_input", Kind::Bias, &[20]),
    ("rnn.b_hidden", Kind::Bias, &[20]),
];

/// The output has two uses.
#[test]
fn linear_with_relu() {
    let shapes = [
        ("embed.weight", Kind::Weight, &[4, 6][..]),
        ("embed.bias", Kind::Bias, &[4]),
        ("fc.weight", Kind::Weight, &[3, 4]),
        ("fc.bias", Kind::Bias, &[3]),
    ];
    check(&shapes, &|graph, _| {
        let x = graph.input(&[3, 6], &numbers(1, 18))?;
        let y = graph.linear_relu(&x, id(graph, "embed.weight"), Some(id(graph, "embed.bias")))?;
        let sum = graph.add("sum", &y, &y, false)?;
        graph.linear(&sum, id(graph, "fc.weight"), Some(id(graph, "fc.bias")), Role::Logits)
    });
}

/// Forward and backward in time, sequences of different lengths, and an input that something else uses.
#[test]
fn lstm() {
    for (reverse, lengths) in [(false, None), (true, None), (false, Some([10, 3, 1])), (true, Some([7, 10, 2]))] {
        let shapes = [("embed.weight", Kind::Weight, &[4, 6][..]), LSTM[0], LSTM[1], LSTM[2], LSTM[3]];
        let shapes = [&shapes[..], &[("fc.weight", Kind::Weight, &[3, 5]), ("fc.bias", Kind::Bias, &[3])]].concat();
        check(&shapes, &|graph, _| {
            let x = graph.input(&[10, 3, 6], &numbers(1, 180))?;
            let x = graph.linear(&x, id(graph, "embed.weight"), None, Role::Activation)?;
            let [w_input, w_hidden, b_input, b_hidden] = LSTM.map(|(name, ..)| id(graph, name));
            let layer = LstmLayer { w_input, w_hidden, b_input, b_hidden, reverse };
            let h = graph.lstm(&x, &layer, lengths.as_ref().map(|lengths| &lengths[..]))?;
            let again = graph.lstm(&x, &LstmLayer { reverse: !reverse, ..layer }, None)?;
            let both = graph.add("sum", &h, &again, false)?;
            // Three rows of ten each; the state has a second use.
            let rows = graph.reshape(&both, &[3, 10, 1, 5])?;
            let others = graph.reshape(&both, &[3, 5, 2, 5])?;
            let sum = graph.global_average_pool("mean", &rows)?;
            let other = graph.global_average_pool("mean", &others)?;
            let sum = graph.add("sum", &sum, &other, false)?;
            graph.linear(&sum, id(graph, "fc.weight"), Some(id(graph, "fc.bias")), Role::Logits)
        });
    }
}

/// A table of two uses, one of them with positions; columns side by side.
#[test]
fn embedding_and_columns() {
    let shapes = [("table.weight", Kind::Weight, &[7, 4][..]), FC[0], FC[1]];
    check(&shapes, &|graph, _| {
        let positions = Tensor::from_f32(&**graph.backend(), vec![2, 4], &numbers(3, 8))?;
        let plain = EmbeddingLayer {
            weight: id(graph, "table.weight"),
            factor: 1.0,
            padding: None,
            positions: None,
            repeat: 1,
        };
        let placed =
            EmbeddingLayer { factor: 0.5, padding: Some(6), positions: Some(positions), repeat: 3, ..plain.clone() };
        let a = graph.embedding(&[3, 2], &[0, 1, 2, 1, 6, 5], &plain)?;
        let b = graph.embedding(&[3, 2], &[1, 3, 3, 4, 2, 0], &placed)?;
        let both = graph.join_columns("both", &[&a, &b, &a])?;
        let pooled = graph.reshape(&both, &[3, 6, 1, 4])?;
        classify(graph, &pooled)
    });
}

/// The mask depends on the names alone, so that differences see one function.
#[test]
fn dropout() {
    check(&[CONV, FC[0], FC[1]], &|graph, x| {
        let x = graph.conv2d(x, id(graph, "conv.weight"), 1, 1)?;
        let y = graph.dropout("drop", &x, 0.4, None)?;
        let z = graph.dropout("drop", &y, 0.2, Some(&x))?;
        classify(graph, &z)
    });
}

/// With a normalised vector and without; queries, keys and values of one tensor.
#[test]
fn additive_attention() {
    let shapes = [
        ("embed.weight", Kind::Weight, &[4, 6][..]),
        ("attention.v", Kind::Norm, &[4]),
        ("attention.gain", Kind::Norm, &[1]),
        ("attention.bias", Kind::Norm, &[4]),
        FC[0],
        FC[1],
    ];
    for (normalized, lengths) in [(true, None), (true, Some([2, 10, 7]))] {
        check(&shapes, &|graph, _| {
            let x = graph.input(&[10, 3, 6], &numbers(1, 180))?;
            let x = graph.linear(&x, id(graph, "embed.weight"), None, Role::Activation)?;
            let scales = ["attention.gain", "attention.bias"].map(|name| id(graph, name));
            let layer =
                AdditiveAttentionLayer { v: id(graph, "attention.v"), normalized: normalized.then_some(scales) };
            let y = graph.additive_attention(&x, &x, &x, &layer, lengths.as_ref().map(|lengths| &lengths[..]))?;
            let sum = graph.add("sum", &x, &y, false)?;
            let rows = graph.reshape(&sum, &[3, 10, 1, 4])?;
            classify(graph, &rows)
        });
    }
}

/// The input has another use.
#[test]
fn layer_norm() {
    check(&[CONV, NORM[0], NORM[1], FC[0], FC[1]], &|graph, x| {
        let x = graph.conv2d(x, id(graph, "conv.weight"), 1, 1)?;
        let (gamma, beta) = (id(graph, "norm.weight"), id(graph, "norm.bias"));
        let y = graph.layer_norm(&x, &LayerNormLayer { gamma, beta, epsilon: 1e-5 })?;
        let sum = graph.add("sum", &x, &y, true)?;
        classify(graph, &sum)
    });
}

/// With ends and without, causal with as many keys as queries and with more; queries, keys and values of one tensor, too.
#[test]
fn attention() {
    let shapes = [("embed.weight", Kind::Weight, &[4, 6][..]), ("keys.weight", Kind::Weight, &[4, 6]), FC[0], FC[1]];
    for (queries, causal, lengths) in [
        (10, false, None),
        (10, true, None),
        (10, true, Some([2, 10, 7])),
        (4, true, None),
        (4, false, Some([1, 9, 10])),
    ] {
        check(&shapes, &|graph, _| {
            let x = graph.input(&[10, 3, 6], &numbers(1, 180))?;
            let k = graph.linear(&x, id(graph, "keys.weight"), None, Role::Activation)?;
            let x = graph.input(&[queries, 3, 6], &numbers(1, 180)[..queries * 18])?;
            let q = graph.linear(&x, id(graph, "embed.weight"), None, Role::Activation)?;
            let heads =
                AttentionHeads { layer: "attention", heads: 2, causal, lengths: lengths.as_ref().map(|l| &l[..]) };
            let y = graph.attention(&q, &k, &k, &heads)?;
            let own = AttentionHeads { heads: 1, lengths: None, ..heads };
            let again = graph.attention(&y, &y, &y, &own)?;
            let sum = graph.add("sum", &y, &again, false)?;
            let sum = graph.add("twice", &sum, &q, false)?;
            let rows = graph.reshape(&sum, &[3, queries, 1, 4])?;
            classify(graph, &rows)
        });
    }
}

/// Rows that do not count change neither the loss nor a gradient.
#[test]
fn ignored_targets() {
    for backend in backends() {
        let parameters = parameters(&backend, "fp32", &[FC[0], FC[1]]);
        let run = |rows: usize, targets: &[u32]| {
            let mut graph = Graph::new(&parameters, Step::training(1, 0, 8.0));
            let x = graph.input(&[rows, 4], &numbers(5, 16)[..4 * rows]).unwrap();
            let logits = graph.linear(&x, id(&graph, "fc.weight"), Some(id(&graph, "fc.bias")), Role::Logits).unwrap();
            let loss = graph.cross_entropy(&logits, targets, 0.1).unwrap();
            (loss.value().unwrap(), loss.rows, graph.backward(&loss).unwrap().arrays(&parameters).unwrap())
        };
        let none = CrossEntropy::IGNORED;
        let (loss, rows, gradients) = run(4, &[2, 0, none, none]);
        let (expected, _, others) = run(2, &[2, 0]);
        assert_eq!((loss, rows), (expected, 2));
        for (gradient, other) in gradients.iter().zip(&others) {
            let (Values::F32(a), Values::F32(b)) = (&gradient.values, &other.values) else { panic!() };
            assert!(a.iter().zip(b.iter()).all(|(a, b)| (a - b).abs() < 1e-6), "{}", gradient.name);
        }
        assert_eq!(run(1, &[none]).0, 0.0);
    }
}

/// Logits that never exist all at once have the loss and the gradients of those that do, in every recipe; and where they are
/// evaluated, or zeros counted.
#[test]
fn losses_without_logits() {
    for (recipe, backend) in Recipe::names().flat_map(|name| backends().into_iter().map(move |backend| (name, backend)))
    {
        let parameters = parameters(&backend, recipe, &[("a.weight", Kind::Weight, &[4, 4]), FC[0], FC[1]]);
        let training = Step::training(1, 3, 8.0);
        for step in [training, training.with_count_flushed(true), Step::evaluation(1)] {
            let run = |whole: bool| {
                let mut graph = Graph::new(&parameters, step);
                let x = graph.input(&[5, 4], &numbers(5, 20)).unwrap();
                let x = graph.linear(&x, id(&graph, "a.weight"), None, Role::Activation).unwrap();
                let (weight, bias) = (id(&graph, "fc.weight"), Some(id(&graph, "fc.bias")));
                let targets = [2, 0, CrossEntropy::IGNORED, 1, 1];
                let loss = match whole {
                    true => {
                        let logits = graph.linear(&x, weight, bias, Role::Logits).unwrap();
                        graph.cross_entropy(&logits, &targets, SMOOTHING)
                    }
                    false => graph.linear_cross_entropy(&x, weight, bias, &targets, SMOOTHING),
                };
                let loss = loss.unwrap();
                let gradients = graph.backward(&loss).unwrap();
                (loss.value().unwrap(), loss.rows, gradients.arrays(&parameters).ok(), gradients.flushed().to_vec())
            };
            let expected = run(true);
            assert_eq!(expected.2.is_some(), step.training);
            assert_eq!(run(false), expected, "{recipe}, {step:?}");
        }
    }
}

#[test]
fn mistakes_are_named() {
    for backend in backends() {
        let parameters = parameters(&backend, "fp32", &[CONV, NORM[0], NORM[1], FC[0], FC[1]]);
        let mut graph = Graph::new(&parameters, Step::training(1, 0, 1.0));
        let x = graph.input(&IMAGES, &numbers(1, 180)).unwrap();
        let conv = id(&graph, "conv.weight");
        let message = |result: Result<Var>| result.unwrap_err().to_string();
        assert!(message(graph.input(&IMAGES, &[0.0])).contains("1 values for the shape [3, 6, 5, 2]"));
        let mut poisoned = numbers(1, 180);
        poisoned[17] = f32::NAN;
        assert!(message(graph.input(&IMAGES, &poisoned)).contains("input: element 17 is NaN"));
        assert!(message(graph.conv2d(&x, conv, 0, 1)).contains("window 3 x 3, stride 0"));
        assert!(message(graph.max_pool("pool", &x, 7, 1, 0)).contains("window 7"));
        let y = graph.conv2d(&x, conv, 1, 1).unwrap();
        assert!(message(graph.conv2d(&y, conv, 1, 1)).contains("weight for 2 channels, input with 4"));
        assert!(message(graph.add("sum", &x, &y, false)).contains("[3, 6, 5, 2] and [3, 6, 5, 4]"));
        let fc = id(&graph, "fc.weight");
        assert!(message(graph.linear(&x, fc, None, Role::Logits)).contains("input [3, 6, 5, 2], weight [3, 4]"));
        let logits = classify(&mut graph, &y).unwrap();
        let message = |targets: &[u32]| graph.cross_entropy(&logits, targets, 0.0).unwrap_err().to_string();
        assert!(message(&[0, 1]).contains("2 targets for 3 rows"));
        assert!(message(&[0, 1, 3]).contains("row 2 has target 3, there are 3 classes"));
        assert!(matches!(graph.cross_entropy(&logits, &[0; 3], 1.0), Err(Error::Shape { .. })));
        let rows = graph.input(&[3, 4], &numbers(1, 12)).unwrap();
        let loss = |graph: &mut Graph<'_>, targets| graph.linear_cross_entropy(&rows, fc, None, targets, 0.0);
        assert!(matches!(loss(&mut graph, &[0; 2]), Err(Error::Shape { .. })));
        let loss = loss(&mut graph, &[0; 3]).unwrap();
        let other = Graph::new(&parameters, Step::training(1, 0, 1.0));
        assert_eq!(other.backward(&loss).unwrap_err().to_string(), "state: the loss is of another graph");
        let loss = graph.cross_entropy(&logits, &[0; 3], 0.0).unwrap();
        let mut other = Graph::new(&parameters, Step::training(1, 0, 1.0));
        assert!(matches!(Graph::new(&parameters, Step::training(1, 0, 1.0)).backward(&loss), Err(Error::State(_))));
        // An operation on a tensor of another graph, whose number this graph has too.
        other.conv2d(&x, conv, 1, 1).unwrap();
        let mixed = other.add("sum", &y, &y, false).unwrap();
        let loss = classify(&mut other, &mixed).and_then(|logits| other.cross_entropy(&logits, &[0; 3], 0.0)).unwrap();
        assert!(matches!(other.backward(&loss), Err(Error::State(_))));
    }
}
