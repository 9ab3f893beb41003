//! Names of exempt layers that stand for no layer: a slip of the finger there would change nothing, and nobody would see it.

use std::collections::BTreeSet;

use fp8_autograd::{Exempt, nearest};

/// Layers that are named where none is near.
const SHOWN: usize = 4;

/// What is to be said of each name of `exempt` that matches none of a network's `layers`.
pub fn unmatched(exempt: &Exempt, layers: &BTreeSet<&str>) -> Vec<String> {
    let names = exempt.unmatched(layers.iter().copied());
    names.into_iter().map(|name| format!("no layer of the network is called {name:?}{}", hint(name, layers))).collect()
}

/// The nearest name of a layer, or some of all.
fn hint(name: &str, layers: &BTreeSet<&str>) -> String {
    if layers.iter().any(|layer| layer.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))) {
        return format!(" (did you mean \"{name}.*\", the layers within it?)");
    }
    let layers: Vec<&str> = layers.iter().copied().collect();
    match nearest(name, &layers) {
        Some(near) => format!(" (did you mean {near:?}?)"),
        None => {
            let more = layers.len().saturating_sub(SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("; there are {}{more}", layers[..layers.len().min(SHOWN)].join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use fp8_autograd::RoleFormat;

    use super::*;

    #[test]
    fn names_without_a_layer_are_told_with_the_nearest() {
        let layers = BTreeSet::from(["conv1", "fc", "input", "layer1.0.conv1", "layer2.0.conv1"]);
        for (name, expected) in [
            ("conv2", Some("\"conv2\" (did you mean \"conv1\"?)")),
            ("layer1", Some("\"layer1\" (did you mean \"layer1.*\", the layers within it?)")),
            ("nolayer", Some("\"nolayer\"; there are conv1, fc, input, layer1.0.conv1 and 1 more")),
            ("layer3.*", Some("\"layer3.*\"; there are conv1, ")),
            ("layer1.*", None),
            ("*", None),
            ("fc", None),
        ] {
            let exempt = Exempt { layers: vec![name.into()], format: RoleFormat::F32 };
            let said = unmatched(&exempt, &layers);
            assert_eq!(said.len(), usize::from(expected.is_some()), "{name} {said:?}");
            assert!(said.iter().all(|said| said.contains(expected.unwrap())), "{said:?}");
        }
    }
}
