//! A ResNet's parameters as a table, and its state dict out and in again.
//!
//!     cargo run -p fp8-models --example state_dict [resnet18|resnet34|resnet50 [RECIPE]]

use std::error::Error;
use std::sync::Arc;

use fp8_autograd::{Parameters, Recipe};
use fp8_kernels::CpuBackend;
use fp8_models::{ResNet, ResNetConfig, Stem, state_dict};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let architecture = arguments.next().unwrap_or_else(|| "resnet18".into()).parse()?;
    let recipe = Arc::new(Recipe::named(&arguments.next().unwrap_or_else(|| "fp8".into()))?);
    let config = ResNetConfig::new(architecture, Stem::ImageNet, 1000);

    let mut parameters = Parameters::new(Arc::new(CpuBackend::new()?), recipe.clone());
    ResNet::new(&config, &mut parameters, 1)?;
    println!("{:<32} {:<20} {:>10}  {:<8} working copy", "parameter", "shape", "numbers", "master");
    let shapes = parameters.shapes();
    for ((_, parameter), (name, shape)) in parameters.iter().zip(&shapes) {
        let (numbers, master) = (parameter.master().len(), parameter.master().dtype());
        let working = parameter.working().buffer.dtype();
        println!("{name:<32} {:<20} {numbers:>10}  {master:<8} {working}", format!("{shape:?}"));
    }
    let numbers: usize = parameters.iter().map(|(_, parameter)| parameter.master().len()).sum();
    println!("{} tensors, {numbers} numbers, {} arrays in the state dict", parameters.len(), shapes.len());

    let bytes = state_dict::save(&parameters)?;
    println!("as safetensors: {} bytes", bytes.len());
    let mut other = Parameters::new(Arc::new(CpuBackend::new()?), recipe);
    ResNet::new(&config, &mut other, 2)?;
    state_dict::load(&mut other, &bytes)?;
    let same = state_dict::save(&other)? == bytes;
    println!(
        "read into a network with other first weights, and written again: {}",
        if same { "the same" } else { "other" }
    );
    Ok(())
}
