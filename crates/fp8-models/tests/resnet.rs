//! The networks' parameters as torchvision has them, and what training keeps in memory.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fp8_autograd::{Graph, Parameters, Recipe, Step, Values};
use fp8_core::Stream;
use fp8_models::{Architecture, ResNet, ResNetConfig, Stem};

fn network(recipe: &str, config: &ResNetConfig) -> (Parameters, ResNet) {
    let mut parameters = Parameters::new(common::backend(), Arc::new(Recipe::named(recipe).unwrap()));
    let network = ResNet::new(config, &mut parameters, 1).unwrap();
    (parameters, network)
}

/// Arrays and trained numbers as torchvision 0.29 counts them: `len(m.state_dict())`, `sum(p.numel() for p in
/// m.parameters())`.
#[test]
fn names_and_shapes_are_those_of_torchvision() {
    for (architecture, arrays, numbers, last) in [
        (Architecture::ResNet18, 122, 11_689_512, "layer4.1.bn2.running_var"),
        (Architecture::ResNet34, 218, 21_797_672, "layer4.2.bn2.running_var"),
        (Architecture::ResNet50, 320, 25_557_032, "layer4.2.bn3.running_var"),
    ] {
        let (parameters, _) = network("fp8", &ResNetConfig::new(architecture, Stem::ImageNet, 1000));
        let shapes: BTreeMap<_, _> = parameters.shapes().into_iter().collect();
        assert_eq!(shapes.len(), arrays, "{architecture}");
        let count: usize = parameters.iter().map(|(_, parameter)| parameter.shape.iter().product::<usize>()).sum();
        assert_eq!(count, numbers, "{architecture}");
        assert_eq!(shapes["conv1.weight"], [64, 3, 7, 7]);
        assert_eq!(shapes["bn1.num_batches_tracked"], [0; 0]);
        assert_eq!(shapes["fc.bias"], [1000]);
        assert!(shapes.contains_key(last) && shapes.contains_key("layer2.0.downsample.1.running_mean"));
        // "v1.5": the stride is the 3x3's, whose shape does not show it, but the 1x1 before it keeps its own.
        if architecture == Architecture::ResNet50 {
            assert_eq!(shapes["layer2.0.conv1.weight"], [128, 256, 1, 1]);
            assert_eq!(shapes["layer1.0.downsample.0.weight"], [256, 64, 1, 1]);
        }
    }
}

#[test]
fn first_weights_are_torchvisions() {
    let config =
        ResNetConfig { zero_init_residual: true, ..ResNetConfig::new(Architecture::ResNet18, Stem::Cifar, 10) };
    let (parameters, _) = network("fp32", &config);
    let arrays: BTreeMap<_, _> =
        parameters.arrays().unwrap().into_iter().map(|array| (array.name, array.values)).collect();
    let values = |name: &str| match &arrays[name] {
        Values::F32(values) => values.clone(),
        Values::I64(_) => panic!("{name}"),
    };
    let weight = values("layer3.0.conv2.weight");
    let deviation = (weight.iter().map(|w| f64::from(w * w)).sum::<f64>() / weight.len() as f64).sqrt();
    assert!((deviation - (2.0 / (256.0 * 9.0_f64)).sqrt()).abs() < 1e-4, "{deviation}");
    let fc = values("fc.weight");
    let largest = fc.iter().fold(0.0_f32, |largest, w| largest.max(w.abs()));
    assert!(largest <= 0.044_194_2 && largest > 0.044, "{largest}");
    assert_eq!(values("layer3.0.bn2.weight"), [0.0; 256]);
    assert_eq!(values("layer3.0.bn1.weight"), [1.0; 256]);
    assert_eq!(values("layer3.0.bn1.bias"), [0.0; 256]);
}

#[test]
fn unknown_architectures_are_refused() {
    let error = "resnet19".parse::<Architecture>().unwrap_err().to_string();
    assert_eq!(
        error,
        r#"unknown model "resnet19" (did you mean "resnet18"?); choose one of resnet18, resnet34, resnet50"#
    );
    for architecture in Architecture::ALL {
        assert_eq!(architecture.to_string().parse(), Ok(architecture));
    }
}

/// The ids of streams are hashes of 32 bits: those of all Q nodes of a network, by the names in docs/method.md, differ.
#[test]
fn nodes_have_streams_of_their_own() {
    for architecture in Architecture::ALL {
        let (parameters, _) = network("fp8", &ResNetConfig::new(architecture, Stem::ImageNet, 1000));
        let names: Vec<_> = parameters.iter().map(|(_, parameter)| parameter.name.clone()).collect();
        let layers = parameters.iter().map(|(_, parameter)| parameter.layer().to_string());
        let layers: BTreeSet<_> = layers.chain(["input", "maxpool", "avgpool"].map(String::from)).collect();
        let of_layer =
            |layer: &String| ["activation", "logits", "error", "error/1"].map(|node| format!("{layer}/{node}"));
        let of_name =
            |name: &String| ["gradient", "master", "moment", "moment/1", "weight"].map(|node| format!("{name}/{node}"));
        let nodes: Vec<_> = layers.iter().flat_map(of_layer).chain(names.iter().flat_map(of_name)).collect();
        let ids: BTreeSet<_> = nodes.iter().map(|node| Stream::id(node)).collect();
        assert_eq!(ids.len(), nodes.len(), "{architecture}");
    }
}

/// What a graph keeps for the backward pass in fp8 is a quarter of what it keeps in fp32, to the byte: nothing but the
/// F32 statistics of the batch norms is wider. The paper's exempt layers, in 16 bits, make it a little more.
#[test]
fn saved_activations_take_a_quarter() {
    let saved = |recipe: &str| {
        let recipe = Arc::new(Recipe::parse(recipe).unwrap());
        let mut parameters = Parameters::new(common::backend(), recipe);
        let config = ResNetConfig::new(Architecture::ResNet18, Stem::Cifar, 10);
        let network = ResNet::new(&config, &mut parameters, 1).unwrap();
        let backend = parameters.backend().clone();
        let before = backend.memory().held;
        let mut graph = Graph::new(&parameters, Step::training(1, 0, 1.0));
        let x = graph.input(&[2, 16, 16, 3], &[0.5; 1536]).unwrap();
        drop(network.forward(&mut graph, &x).unwrap());
        drop(x);
        backend.memory().held - before
    };
    // Mean and variance of 20 norms.
    let statistics = 2 * 4 * (5 * 64 + 5 * 128 + 5 * 256 + 5 * 512);
    let fp32 = saved("base = 'fp32'") - statistics;
    assert_eq!(4 * (saved("base = 'fp8'\n[exempt]\nlayers = []") - statistics), fp32);
    // One byte more for each element of the input, of conv1's output and of the pooled features.
    assert_eq!(saved("base = 'fp8'") - statistics, fp32 / 4 + 2 * (16 * 16 * (3 + 64) + 512));
}
