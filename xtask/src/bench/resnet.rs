//! Residual networks.

use anyhow::Result;
use fp8_autograd::{Parameters, Tensor};
use fp8_models::{Architecture, ResNet, ResNetConfig, Stem};
use serde_json::json;

use super::training::{Forward, Problem};
use super::values;

pub const RESNET18: Problem = Problem {
    name: "ResNet-18, 32x32, batch 64",
    unit: "images/s",
    amount: 64,
    build: |parameters| build(parameters, Architecture::ResNet18, Stem::Cifar, 64),
    peer: || json!({ "work": "resnet", "model": "resnet18", "stem": "cifar", "batch": 64 }),
};

pub const RESNET50: Problem = Problem {
    name: "ResNet-50, 224x224, batch 8",
    unit: "images/s",
    amount: 8,
    build: |parameters| build(parameters, Architecture::ResNet50, Stem::ImageNet, 8),
    peer: || json!({ "work": "resnet", "model": "resnet50", "stem": "imagenet", "batch": 8 }),
};

/// What fills a card.
pub const RESNET50_WIDE: Problem = Problem {
    name: "ResNet-50, 224x224, batch 256",
    unit: "images/s",
    amount: 256,
    build: |parameters| build(parameters, Architecture::ResNet50, Stem::ImageNet, 256),
    peer: || json!({ "work": "resnet", "model": "resnet50", "stem": "imagenet", "batch": 256 }),
};

pub const RESNET18_WIDE: Problem = Problem {
    name: "ResNet-18, 224x224, batch 256",
    unit: "images/s",
    amount: 256,
    build: |parameters| build(parameters, Architecture::ResNet18, Stem::ImageNet, 256),
    peer: || json!({ "work": "resnet", "model": "resnet18", "stem": "imagenet", "batch": 256 }),
};

pub const RESNET18_MANY: Problem = Problem {
    name: "ResNet-18, 32x32, batch 512",
    unit: "images/s",
    amount: 512,
    build: |parameters| build(parameters, Architecture::ResNet18, Stem::Cifar, 512),
    peer: || json!({ "work": "resnet", "model": "resnet18", "stem": "cifar", "batch": 512 }),
};

/// A network, and images of a formula.
pub fn build(parameters: &mut Parameters, architecture: Architecture, stem: Stem, batch: usize) -> Result<Forward> {
    let (size, classes) = match stem {
        Stem::Cifar => (32, 10),
        Stem::ImageNet => (224, 1000),
    };
    let network = ResNet::new(&ResNetConfig::new(architecture, stem, classes as usize), parameters, 1)?;
    let images =
        Tensor::from_f32(&**parameters.backend(), vec![batch, size, size, 3], &values(batch * size * size * 3))?;
    let targets: Vec<u32> = (0..batch as u32).map(|row| row % classes).collect();
    Ok(Box::new(move |graph| {
        let x = graph.input_tensor(&images)?;
        let logits = network.forward(graph, &x)?;
        Ok(graph.cross_entropy(&logits, &targets, 0.0)?)
    }))
}
