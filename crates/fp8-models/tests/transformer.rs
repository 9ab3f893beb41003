//! The Transformer: one step against PyTorch (tools/reference/transformer.py, which wrote the fixture), and decoding step by step.

mod common;
#[path = "common/sketch.rs"]
mod sketch;
#[path = "common/translation.rs"]
mod translation;

use std::collections::BTreeMap;
use std::sync::Arc;

use fp8_autograd::{Array, Graph, Parameters, Recipe, Step};
use fp8_kernels::Backend;
use fp8_models::{NormPlace, Sentences, SequenceModel, Tied, Transformer, TransformerConfig};
use sketch::uniform;

const POST: TransformerConfig = TransformerConfig {
    vocabulary: 40,
    width: 24,
    heads: 3,
    feed_forward: 40,
    encoder_layers: 2,
    decoder_layers: 2,
    dropout: 0.0,
    norm: NormPlace::Post,
    tied: Tied::Nothing,
    padding: 0,
};
const PRE: TransformerConfig = TransformerConfig { norm: NormPlace::Pre, tied: Tied::All, ..POST };

fn recipe(name: &str) -> Arc<Recipe> {
    Arc::new(Recipe::named(name).unwrap())
}

/// The network with the script's weights.
fn network(config: &TransformerConfig, backend: Arc<dyn Backend>, recipe: Arc<Recipe>) -> (Transformer, Parameters) {
    let mut parameters = Parameters::new(backend, recipe);
    let transformer = Transformer::new(config, &mut parameters, 0).unwrap();
    for (name, shape) in parameters.shapes() {
        let offset = if name.contains(".norm") && name.ends_with("weight") { 1.0 } else { 0.0 };
        let values = uniform(&name, shape.iter().product(), 0.3, offset);
        parameters.set(&Array { name, shape, values: values.into() }).unwrap();
    }
    (transformer, parameters)
}

#[test]
fn a_step_equals_pytorch() {
    let fixtures: BTreeMap<String, translation::Fixture> =
        serde_json::from_str(include_str!("fixtures/transformer-fp32.json")).unwrap();
    for (name, config) in [("post", POST), ("pre", PRE)] {
        for backend in [common::backend(), common::reference()] {
            let (transformer, parameters) = network(&config, backend, recipe("fp32"));
            translation::check_step(&transformer, &parameters, &fixtures[name]);
        }
    }
}

#[test]
fn steps_equal_the_whole() {
    for (name, config) in [("fp32", POST), ("fp8-rne", PRE)] {
        let (transformer, parameters) = network(&config, common::backend(), recipe(name));
        translation::check_steps(&transformer, &parameters);
    }
}

#[test]
fn translations_depend_on_their_sentence_alone() {
    for (name, config) in [("fp32", PRE), ("fp8", POST)] {
        let fixed = Recipe::named(name).unwrap().deterministic();
        let (transformer, parameters) = network(&config, common::backend(), Arc::new(fixed));
        translation::check_translations(&transformer, &parameters, &[0.0]);
    }
}

/// Many heads of many layers: none of them is the one that coverage could go by.
#[test]
fn it_shows_no_attention() {
    let (transformer, parameters) = network(&POST, common::backend(), recipe("fp32"));
    assert!(translation::shares(&transformer, &parameters).is_none());
}

/// In every recipe a few steps on one batch bring the loss down, with dropout and tied tables.
#[test]
fn every_recipe_learns_a_batch() {
    let config = TransformerConfig { dropout: 0.1, tied: Tied::Output, ..PRE };
    let (source, target) = ([3, 4, 5, 6, 7, 2], [1, 1, 9, 8, 7, 6]);
    for name in ["fp32", "fp8", "fp8-hybrid"] {
        let mut parameters = Parameters::new(common::backend(), recipe(name));
        let transformer = Transformer::new(&config, &mut parameters, 3).unwrap();
        let rule = fp8_autograd::OptimizerRule::AdamW { beta1: 0.9, beta2: 0.98, epsilon: 1e-9, weight_decay: 0.0 };
        let optimizer = fp8_autograd::Optimizer { clip_norm: Some(1.0), ..fp8_autograd::Optimizer::new(rule) };
        let mut losses = Vec::new();
        for number in 0..40 {
            let step = Step::training(1, number, 64.0);
            let mut graph = Graph::new(&parameters, step);
            let [source, target] = [&source, &target].map(|tokens| Sentences { tokens, batch: 2 });
            let logits = transformer.forward(&mut graph, source, &[3, 3], target).unwrap();
            let loss = graph.cross_entropy(&logits, &[9, 8, 7, 6, 2, 2], 0.0).unwrap();
            drop(logits);
            losses.push(loss.value().unwrap());
            let gradients = graph.backward(&loss).unwrap();
            let report = optimizer.step(&mut parameters, &gradients, 0.01, &step).unwrap();
            assert!(report.overflowed.is_empty(), "{name}: {:?}", report.overflowed);
        }
        assert!(losses[39] < 0.3 * losses[0], "{name}: {losses:?}");
    }
}

#[test]
fn impossible_shapes_are_refused() {
    for config in [
        TransformerConfig { encoder_layers: 0, ..POST },
        TransformerConfig { decoder_layers: 0, ..POST },
        TransformerConfig { width: 25, heads: 5, ..POST },
        TransformerConfig { heads: 5, ..POST },
        TransformerConfig { heads: 0, ..POST },
        TransformerConfig { width: 0, ..POST },
        TransformerConfig { feed_forward: 0, ..POST },
        TransformerConfig { padding: 40, ..POST },
    ] {
        let mut parameters = Parameters::new(common::backend(), recipe("fp32"));
        let error = Transformer::new(&config, &mut parameters, 0).unwrap_err().to_string();
        assert!(error.starts_with("transformer: "), "{error}");
        assert!(parameters.is_empty());
    }
}
