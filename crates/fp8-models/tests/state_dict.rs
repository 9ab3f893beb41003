//! State dicts: out and in again, and everything that can be wrong with a file.

mod common;

use std::sync::Arc;

use fp8_autograd::{Array, Kind, Parameters, Recipe, Values};
use fp8_models::{Error, Mismatch, state_dict};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

/// A convolution and its batch norm.
fn parameters(recipe: &str, first: f32) -> Parameters {
    let mut parameters = Parameters::new(common::backend(), Arc::new(Recipe::named(recipe).unwrap()));
    let values: Vec<f32> = (0..24).map(|i| first + i as f32 / 8.0).collect();
    parameters.add("conv.weight", Kind::Weight, &[2, 3, 2, 2], &values).unwrap();
    parameters.add("bn.weight", Kind::Norm, &[2], &[first, 1.0]).unwrap();
    parameters.add("bn.bias", Kind::Norm, &[2], &[0.0, first]).unwrap();
    parameters.add_statistics("bn", 2).unwrap();
    parameters
}

#[test]
fn out_and_in_again() {
    for recipe in ["fp32", "fp8"] {
        let (source, mut target) = (parameters(recipe, 0.25), parameters(recipe, -3.0));
        let bytes = state_dict::save(&source).unwrap();
        assert_ne!(state_dict::save(&target).unwrap(), bytes);
        state_dict::load(&mut target, &bytes).unwrap();
        assert_eq!(state_dict::save(&target).unwrap(), bytes);
        assert_eq!(target.state().unwrap(), source.state().unwrap());
        let id = target.find("conv.weight").unwrap();
        let working = |parameters: &Parameters| parameters.get(id).working().to_f32(&**parameters.backend()).unwrap();
        assert_eq!(working(&target), working(&source), "the working copy follows the master");
    }
}

/// PyTorch's layout: (O, I, KH, KW), F32, and a scalar I64 counter.
#[test]
fn arrays_are_laid_out_as_in_pytorch() {
    let bytes = state_dict::save(&parameters("fp8", 0.0)).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let weight = file.tensor("conv.weight").unwrap();
    assert_eq!((weight.dtype(), weight.shape()), (Dtype::F32, &[2, 3, 2, 2][..]));
    let values: Vec<f32> = weight.data().as_chunks().0.iter().map(|&code| f32::from_le_bytes(code)).collect();
    assert_eq!(values, (0..24).map(|i| i as f32 / 8.0).collect::<Vec<_>>());
    let counter = file.tensor("bn.num_batches_tracked").unwrap();
    assert_eq!((counter.dtype(), counter.shape(), counter.data()), (Dtype::I64, &[][..], &[0; 8][..]));
    assert_eq!(file.len(), 6);
}

#[test]
fn half_precision_weights_are_read() {
    let mut parameters = parameters("fp32", 0.0);
    let f16: Vec<u8> = [1.5_f32, -2.0].iter().flat_map(|&x| half::f16::from_f32(x).to_le_bytes()).collect();
    let bf16: Vec<u8> = [0.5_f32, 3.0].iter().flat_map(|&x| half::bf16::from_f32(x).to_le_bytes()).collect();
    let replaced = |name: &str| match name {
        "bn.weight" => Some((Dtype::F16, f16.clone())),
        "bn.bias" => Some((Dtype::BF16, bf16.clone())),
        _ => None,
    };
    let bytes = edited(&parameters, replaced);
    state_dict::load(&mut parameters, &bytes).unwrap();
    let arrays = parameters.arrays().unwrap();
    assert_eq!(arrays[1].values, Values::F32(vec![1.5, -2.0]));
    assert_eq!(arrays[2].values, Values::F32(vec![0.5, 3.0]));
}

/// The parameters' file with some tensors replaced.
fn edited(parameters: &Parameters, replaced: impl Fn(&str) -> Option<(Dtype, Vec<u8>)>) -> Vec<u8> {
    let bytes = state_dict::save(parameters).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensors = file.tensors().into_iter().map(|(name, tensor)| {
        let (dtype, data) = replaced(&name).unwrap_or((tensor.dtype(), tensor.data().to_vec()));
        (name, dtype, tensor.shape().to_vec(), data)
    });
    let tensors: Vec<_> = tensors.collect();
    let views =
        tensors.iter().map(|(name, dtype, shape, data)| (name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

#[test]
fn weights_of_another_model_are_refused_with_every_difference() {
    let mut parameters = parameters("fp8", 1.0);
    let before = parameters.state().unwrap();
    let array = |name: &str, shape: &[usize]| {
        let values = Values::F32(vec![0.0; shape.iter().product()]);
        Array { name: name.into(), shape: shape.to_vec(), values }
    };
    let arrays = [
        array("conv.weight", &[2, 3, 3, 3]),
        array("bn.weight", &[2]),
        array("bn.running_mean", &[2]),
        array("bn.running_var", &[2]),
        array("fc.weight", &[10, 2]),
    ];
    let error = state_dict::load(&mut parameters, &state_dict::write(&arrays).unwrap()).unwrap_err();
    let message = error.to_string();
    let Error::Mismatch(mismatch) = error else { panic!("{message}") };
    let expected = Mismatch {
        missing: vec!["bn.bias".into()], // old files lack bn.num_batches_tracked
        unexpected: vec!["fc.weight".into()],
        shapes: vec![("conv.weight".into(), vec![2, 3, 3, 3], vec![2, 3, 2, 2])],
    };
    assert_eq!(mismatch, expected);
    for part in
        ["missing: bn.bias", "unexpected: fc.weight", "conv.weight is [2, 3, 3, 3] where the model has [2, 3, 2, 2]"]
    {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(parameters.state().unwrap(), before);
}

#[test]
fn damaged_files_are_refused() {
    let mut parameters = parameters("fp32", 1.0);
    let before = parameters.state().unwrap();
    let good = state_dict::save(&parameters).unwrap();
    let nan = f32::NAN.to_le_bytes().repeat(2);
    let poisoned = edited(&parameters, |name| (name == "bn.bias").then(|| (Dtype::F32, nan.clone())));
    let integers = edited(&parameters, |name| (name == "bn.bias").then(|| (Dtype::I32, vec![0; 8])));
    for (what, bytes, message) in [
        ("empty", vec![], "not a valid safetensors file"),
        ("cut", good[..good.len() - 1].to_vec(), "not a valid safetensors file"),
        ("text", b"PK\x03\x04 this is not one at all".to_vec(), "not a valid safetensors file"),
        ("nan", poisoned, "bn.bias: element 0 is NaN"),
        ("i32", integers, "bn.bias: weights of type i32 cannot be read"),
    ] {
        let error = state_dict::load(&mut parameters, &bytes).unwrap_err().to_string();
        assert!(error.contains(message), "{what}: {error}");
        assert_eq!(parameters.state().unwrap(), before, "{what}");
    }
}
