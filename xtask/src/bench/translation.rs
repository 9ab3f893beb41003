//! Networks that translate.

use anyhow::Result;
use fp8_autograd::{AttentionHeads, EmbeddingLayer, Graph, Kind, LstmLayer, ParameterId, Parameters, Role, Var};
use fp8_models::{Sentences, SequenceModel, Tied, Transformer, TransformerConfig};
use serde_json::json;

use super::training::{Forward, Problem};
use super::values;

/// Sentences of a batch, tokens of each, words that there are.
#[derive(Clone, Copy)]
struct Text {
    sentences: usize,
    length: usize,
    words: usize,
}

const SMALL: Text = Text { sentences: 32, length: 32, words: 8000 };
/// What fills a card.
const LONG: Text = Text { sentences: 128, length: 64, words: 32000 };
const MEDIUM: Text = Text { length: 50, ..LONG };

pub const TRANSFORMER: Problem = Problem {
    name: "Transformer 3 + 3, 256 wide, 32 x 32 tokens",
    unit: "tokens/s",
    amount: SMALL.tokens(),
    build: |parameters| {
        let config = TransformerConfig { tied: Tied::Nothing, ..TransformerConfig::small(SMALL.words) };
        transformer(parameters, &config, SMALL)
    },
    peer: || json!({ "work": "transformer" }),
};

pub const TRANSFORMER_BASE: Problem = Problem {
    name: "Transformer base, 128 x 64 tokens",
    unit: "tokens/s",
    amount: LONG.tokens(),
    build: |parameters| transformer(parameters, &TransformerConfig::base(LONG.words), LONG),
    peer: || json!({ "work": "transformer" }),
};

pub const LSTM: Problem = Problem {
    name: "LSTM 2 + 2, 256 wide, 32 x 32 tokens",
    unit: "tokens/s",
    amount: SMALL.tokens(),
    build: lstm,
    peer: || json!({ "work": "lstm" }),
};

pub const LSTM_WIDE: Problem = Problem {
    name: "LSTM 4 + 4, 1024 wide, 128 x 50 tokens",
    unit: "tokens/s",
    amount: MEDIUM.tokens(),
    build: lstm_wide,
    peer: || json!({ "work": "lstm" }),
};

impl Text {
    const fn tokens(self) -> usize {
        self.sentences * self.length
    }

    fn values(self) -> Vec<u32> {
        let values = self.words - 3;
        (0..self.tokens()).map(|i| (3 + i * 2_654_435_761 % values) as u32).collect()
    }
}

fn transformer(parameters: &mut Parameters, config: &TransformerConfig, text: Text) -> Result<Forward> {
    let (network, tokens) = (Transformer::new(config, parameters, 1)?, text.values());
    let lengths = vec![text.length as u32; text.sentences];
    Ok(Box::new(move |graph| {
        let sentences = Sentences { tokens: &tokens, batch: text.sentences };
        Ok(network.loss(graph, sentences, &lengths, sentences, &tokens, 0.0)?)
    }))
}

/// The peer's: two layers encode, two decode, whose outputs attend to the encoder's by products, and add what they find. Only
/// that our products are divided by the root of the width.
fn lstm(parameters: &mut Parameters) -> Result<Forward> {
    const WIDTH: usize = 256;
    let embedding = weight(parameters, "embedder", &[SMALL.words, WIDTH])?;
    let embedding = EmbeddingLayer { weight: embedding, factor: 1.0, padding: None, positions: None, repeat: 1 };
    let [encoder, decoder] = ["encoder", "decoder"]
        .map(|part| [0, 1].map(|index| layer(parameters, &format!("{part}.{index}"), [WIDTH; 2])));
    let [encoder, decoder] = [encoder, decoder].map(|layers| layers.into_iter().collect::<Result<Vec<_>>>());
    let (encoder, decoder) = (encoder?, decoder?);
    let classifier = weight(parameters, "classifier", &[SMALL.words, WIDTH])?;
    let bias = bias(parameters, "classifier.bias", SMALL.words)?;
    let tokens = SMALL.values();
    Ok(Box::new(move |graph| {
        let recur = |graph: &mut Graph<'_>, layers: &[LstmLayer]| -> Result<Var> {
            let x = graph.embedding(&[SMALL.length, SMALL.sentences], &tokens, &embedding)?;
            layers.iter().try_fold(x, |x, layer| Ok(graph.lstm(&x, layer, None)?))
        };
        let (h, y) = (recur(graph, &encoder)?, recur(graph, &decoder)?);
        let context = graph.attention(&y, &h, &h, &HEADS)?;
        let sum = graph.add("sum", &y, &context, false)?;
        Ok(graph.linear_cross_entropy(&sum, classifier, Some(bias), &tokens, 0.0)?)
    }))
}

/// The peer's on a card: four layers encode; one reads the target and attends to them by products of a projection; three decode both.
fn lstm_wide(parameters: &mut Parameters) -> Result<Forward> {
    const WIDTH: usize = 1024;
    const DROPOUT: f32 = 0.2;
    let embedding = weight(parameters, "embedder", &[MEDIUM.words, WIDTH])?;
    let embedding = EmbeddingLayer { weight: embedding, factor: 1.0, padding: None, positions: None, repeat: 1 };
    let encoder = [0, 1, 2, 3].map(|index| layer(parameters, &format!("encoder.{index}"), [WIDTH; 2]));
    let encoder = encoder.into_iter().collect::<Result<Vec<_>>>()?;
    let first = layer(parameters, "first", [WIDTH; 2])?;
    let query = (weight(parameters, "query", &[WIDTH, WIDTH])?, bias(parameters, "query.bias", WIDTH)?);
    let inputs = [2 * WIDTH, WIDTH, WIDTH];
    let decoder: Result<Vec<_>> =
        (0..3).map(|index| layer(parameters, &format!("decoder.{index}"), [inputs[index], WIDTH])).collect();
    let decoder = decoder?;
    let classifier = weight(parameters, "classifier", &[MEDIUM.words, WIDTH])?;
    let classifier_bias = bias(parameters, "classifier.bias", MEDIUM.words)?;
    let tokens = MEDIUM.values();
    Ok(Box::new(move |graph| {
        let recur = |graph: &mut Graph<'_>, part: &str, layers: &[LstmLayer], mut x: Var| -> Result<Var> {
            for (index, layer) in layers.iter().enumerate() {
                if index > 0 {
                    x = graph.dropout(&format!("{part}.{index}.dropout"), &x, DROPOUT, None)?;
                }
                x = graph.lstm(&x, layer, None)?;
            }
            Ok(x)
        };
        let size = [MEDIUM.length, MEDIUM.sentences];
        let source = graph.embedding(&size, &tokens, &embedding)?;
        let h = recur(graph, "encoder", &encoder, source)?;
        let target = graph.embedding(&size, &tokens, &embedding)?;
        let y = graph.lstm(&target, &first, None)?;
        let queries = graph.linear(&y, query.0, Some(query.1), Role::Activation)?;
        let context = graph.attention(&queries, &h, &h, &HEADS)?;
        let both = graph.join_columns("decoder.input", &[&y, &context])?;
        let y = recur(graph, "decoder", &decoder, both)?;
        Ok(graph.linear_cross_entropy(&y, classifier, Some(classifier_bias), &tokens, 0.0)?)
    }))
}

/// Of attention by products.
const HEADS: AttentionHeads<'_> = AttentionHeads { layer: "attention", heads: 1, causal: false, lengths: None };

fn layer(parameters: &mut Parameters, name: &str, [inputs, width]: [usize; 2]) -> Result<LstmLayer> {
    Ok(LstmLayer {
        w_input: weight(parameters, &format!("{name}.input"), &[4 * width, inputs])?,
        w_hidden: weight(parameters, &format!("{name}.hidden"), &[4 * width, width])?,
        b_input: bias(parameters, &format!("{name}.input.bias"), 4 * width)?,
        b_hidden: bias(parameters, &format!("{name}.hidden.bias"), 4 * width)?,
        reverse: false,
    })
}

/// Within 1 / 16, which is that of PyTorch where the width is 256.
fn weight(parameters: &mut Parameters, layer: &str, shape: &[usize]) -> Result<ParameterId> {
    let values: Vec<f32> = values(shape.iter().product()).into_iter().map(|value| value / 64.0).collect();
    Ok(parameters.add(&format!("{layer}.weight"), Kind::Weight, shape, &values)?)
}

fn bias(parameters: &mut Parameters, name: &str, count: usize) -> Result<ParameterId> {
    Ok(parameters.add(name, Kind::Bias, &[count], &vec![0.0; count])?)
}
