//! Whole training steps of residual networks.

use anyhow::Result;
use fp8_autograd::Recipe;
use fp8_models::{Architecture, Stem};
use serde_json::json;

use super::training::{Problem, Training};
use super::work::{Contender, Work};
use super::{Ours, Prepare};

const PROBLEMS: [(&str, Problem); 2] = [
    ("ResNet-18, 32x32, batch 64", Problem { architecture: Architecture::ResNet18, stem: Stem::Cifar, batch: 64 }),
    ("ResNet-50, 224x224, batch 8", Problem { architecture: Architecture::ResNet50, stem: Stem::ImageNet, batch: 8 }),
];

const RECIPES: [&str; 3] = ["fp8", "fp8-rne", "fp32"];

pub fn works() -> Vec<Prepare> {
    let work = |(name, problem)| Box::new(move |ours: &Ours| steps(ours, name, problem)) as Prepare;
    PROBLEMS.into_iter().map(work).collect()
}

fn steps(ours: &Ours, name: &str, problem: Problem) -> Result<Work> {
    let amount = problem.batch as f64;
    let Problem { architecture, stem, batch } = problem;
    let torch = |name, autocast| {
        let model = architecture.to_string();
        let request = json!({ "work": "resnet", "model": model, "stem": stem, "batch": batch, "autocast": autocast });
        Contender::peer(name, amount, request)
    };
    let mut contenders = Vec::new();
    for recipe in RECIPES {
        let mut training = Training::new(ours.backend()?, Recipe::named(recipe)?, problem)?;
        let contender = Contender::ours(recipe, amount, move || training.step(&mut |_| ()));
        contenders.push(contender.against("PyTorch f32"));
    }
    contenders.push(torch("PyTorch bf16 autocast", true).against("PyTorch f32"));
    contenders.push(torch("PyTorch f32", false));
    Ok(Work { name: name.into(), unit: "images/s", contenders })
}
