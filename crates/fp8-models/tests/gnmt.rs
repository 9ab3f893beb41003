//! GNMT: one step against PyTorch (tools/reference/gnmt.py, which wrote the fixture), and decoding step by step.

mod common;
#[path = "common/sketch.rs"]
mod sketch;
#[path = "common/translation.rs"]
mod translation;

use std::sync::Arc;

use fp8_autograd::{Array, Parameters, Recipe};
use fp8_kernels::Backend;
use fp8_models::{Gnmt, GnmtConfig};
use sketch::uniform;

const CONFIG: GnmtConfig =
    GnmtConfig { vocabulary: 40, hidden: 24, encoder_layers: 3, decoder_layers: 3, dropout: 0.0, padding: 0 };

fn recipe(name: &str) -> Arc<Recipe> {
    Arc::new(Recipe::named(name).unwrap())
}

/// The network with the script's weights.
fn network(backend: Arc<dyn Backend>, recipe: Arc<Recipe>) -> (Gnmt, Parameters) {
    let mut parameters = Parameters::new(backend, recipe);
    let gnmt = Gnmt::new(&CONFIG, &mut parameters, 0).unwrap();
    for (name, shape) in parameters.shapes() {
        let offset = if name.ends_with("normalize_scalar") { 5.0 } else { 0.0 };
        let values = uniform(&name, shape.iter().product(), 0.3, offset);
        parameters.set(&Array { name, shape, values: values.into() }).unwrap();
    }
    (gnmt, parameters)
}

#[test]
fn a_step_equals_pytorch() {
    let fixture = serde_json::from_str(include_str!("fixtures/gnmt-fp32.json")).unwrap();
    for backend in [common::backend(), common::reference()] {
        let (gnmt, parameters) = network(backend, recipe("fp32"));
        translation::check_step(&gnmt, &parameters, &fixture);
    }
}

#[test]
fn steps_equal_the_whole() {
    for name in ["fp32", "fp8-rne"] {
        let (gnmt, parameters) = network(common::backend(), recipe(name));
        translation::check_steps(&gnmt, &parameters);
    }
}

#[test]
fn translations_depend_on_their_sentence_alone() {
    for name in ["fp32", "fp8"] {
        let fixed = Recipe::named(name).unwrap().deterministic();
        let (gnmt, parameters) = network(common::backend(), Arc::new(fixed));
        translation::check_translations(&gnmt, &parameters, &[0.0, 0.2]);
    }
}

#[test]
fn attention_is_shares_of_the_source() {
    let (gnmt, parameters) = network(common::backend(), recipe("fp32"));
    let (shares, lengths) = translation::shares(&gnmt, &parameters).unwrap();
    for (row, length) in shares.chunks(shares.len() / 3).zip(lengths) {
        let (inside, outside) = row.split_at(length as usize);
        assert!((inside.iter().sum::<f32>() - 1.0).abs() < 1e-5 && inside.iter().all(|&share| share > 0.0), "{row:?}");
        assert!(outside.iter().all(|&share| share == 0.0), "{row:?}");
    }
}

#[test]
fn impossible_shapes_are_refused() {
    for config in [
        GnmtConfig { encoder_layers: 1, ..CONFIG },
        GnmtConfig { decoder_layers: 0, ..CONFIG },
        GnmtConfig { hidden: 0, ..CONFIG },
        GnmtConfig { padding: 40, ..CONFIG },
    ] {
        let mut parameters = Parameters::new(common::backend(), recipe("fp32"));
        let error = Gnmt::new(&config, &mut parameters, 0).unwrap_err().to_string();
        assert!(error.starts_with("gnmt: "), "{error}");
        assert!(parameters.is_empty());
    }
}
