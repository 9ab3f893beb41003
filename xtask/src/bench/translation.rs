//! Networks that translate: 32 sentences of 32 tokens, of 8,000 words, 256 wide.

use anyhow::Result;
use fp8_autograd::{AttentionHeads, EmbeddingLayer, Graph, Kind, LstmLayer, ParameterId, Parameters, Var};
use fp8_models::{Sentences, SequenceModel, Tied, Transformer, TransformerConfig};
use serde_json::json;

use super::training::{Forward, Problem};
use super::values;

const VOCABULARY: usize = 8000;
const WIDTH: usize = 256;
const SIZE: usize = 32;

pub const TRANSFORMER: Problem = Problem {
    name: "Transformer 3 + 3, 256 wide, 32 x 32 tokens",
    unit: "tokens/s",
    amount: SIZE * SIZE,
    build: transformer,
    peer: || json!({ "work": "transformer" }),
};

pub const LSTM: Problem = Problem {
    name: "LSTM 2 + 2, 256 wide, 32 x 32 tokens",
    unit: "tokens/s",
    amount: SIZE * SIZE,
    build: lstm,
    peer: || json!({ "work": "lstm" }),
};

fn tokens() -> Vec<u32> {
    (0..SIZE * SIZE).map(|i| (3 + i * 2_654_435_761 % (VOCABULARY - 3)) as u32).collect()
}

fn transformer(parameters: &mut Parameters) -> Result<Forward> {
    let config = TransformerConfig { tied: Tied::Nothing, ..TransformerConfig::small(VOCABULARY) };
    let (network, tokens) = (Transformer::new(&config, parameters, 1)?, tokens());
    Ok(Box::new(move |graph| {
        let sentences = Sentences { tokens: &tokens, batch: SIZE };
        Ok(network.loss(graph, sentences, &[SIZE as u32; SIZE], sentences, &tokens, 0.0)?)
    }))
}

/// The peer's: two layers encode, two decode, whose outputs attend to the encoder's by products, and add what they find. Only
/// that our products are divided by the root of the width.
fn lstm(parameters: &mut Parameters) -> Result<Forward> {
    let embedding = weight(parameters, "embedder", &[VOCABULARY, WIDTH])?;
    let embedding = EmbeddingLayer { weight: embedding, factor: 1.0, padding: None, positions: None, repeat: 1 };
    let [encoder, decoder] = ["encoder", "decoder"].map(|part| -> Result<_> {
        Ok([layer(parameters, &format!("{part}.0"))?, layer(parameters, &format!("{part}.1"))?])
    });
    let (encoder, decoder) = (encoder?, decoder?);
    let classifier = weight(parameters, "classifier", &[VOCABULARY, WIDTH])?;
    let bias = bias(parameters, "classifier.bias", VOCABULARY)?;
    let tokens = tokens();
    Ok(Box::new(move |graph| {
        let recur = |graph: &mut Graph<'_>, layers: &[LstmLayer; 2]| -> Result<Var> {
            let x = graph.embedding(&[SIZE, SIZE], &tokens, &embedding)?;
            let x = graph.lstm(&x, &layers[0], None)?;
            Ok(graph.lstm(&x, &layers[1], None)?)
        };
        let (h, y) = (recur(graph, &encoder)?, recur(graph, &decoder)?);
        let heads = AttentionHeads { layer: "attention", heads: 1, causal: false, lengths: None };
        let context = graph.attention(&y, &h, &h, &heads)?;
        let sum = graph.add("sum", &y, &context, false)?;
        Ok(graph.linear_cross_entropy(&sum, classifier, Some(bias), &tokens, 0.0)?)
    }))
}

fn layer(parameters: &mut Parameters, name: &str) -> Result<LstmLayer> {
    Ok(LstmLayer {
        w_input: weight(parameters, &format!("{name}.input"), &[4 * WIDTH, WIDTH])?,
        w_hidden: weight(parameters, &format!("{name}.hidden"), &[4 * WIDTH, WIDTH])?,
        b_input: bias(parameters, &format!("{name}.input.bias"), 4 * WIDTH)?,
        b_hidden: bias(parameters, &format!("{name}.hidden.bias"), 4 * WIDTH)?,
        reverse: false,
    })
}

/// Within 1 / sqrt(width), as PyTorch's.
fn weight(parameters: &mut Parameters, layer: &str, shape: &[usize]) -> Result<ParameterId> {
    let values: Vec<f32> = values(shape.iter().product()).into_iter().map(|value| value / 64.0).collect();
    Ok(parameters.add(&format!("{layer}.weight"), Kind::Weight, shape, &values)?)
}

fn bias(parameters: &mut Parameters, name: &str, count: usize) -> Result<ParameterId> {
    Ok(parameters.add(name, Kind::Bias, &[count], &vec![0.0; count])?)
}
