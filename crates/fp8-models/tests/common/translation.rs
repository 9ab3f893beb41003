//! What every network for translation is tested for.

use std::collections::BTreeMap;

use fp8_autograd::{Graph, Parameters, Step};
use fp8_kernels::CrossEntropy;
use fp8_models::{Search, Sentences, SequenceModel};
use serde::Deserialize;

use super::sketch::{Tensor, difference, numbers, uniform};

#[derive(Deserialize)]
pub struct Fixture {
    loss: f64,
    logits: Tensor,
    tensors: BTreeMap<String, Tensor>,
}

const STEPS: [usize; 2] = [11, 9];
const LENGTHS: [u32; 3] = [11, 6, 8];
const TARGET_LENGTHS: [u32; 3] = [7, 9, 4];

/// 1 to 39 by the hash; 0 past the end.
fn tokens(name: &str, steps: usize, lengths: &[u32]) -> Vec<u32> {
    let token = |(i, u): (usize, &f32)| {
        let there = i / lengths.len() < lengths[i % lengths.len()] as usize;
        u32::from(there) * (1 + (((u + 1.0) / 2.0 * 39.0) as u32).min(38))
    };
    uniform(name, steps * lengths.len(), 1.0, 0.0).iter().enumerate().map(token).collect()
}

/// Loss, logits and every gradient of one step.
pub fn check_step<M: SequenceModel>(model: &M, parameters: &Parameters, fixture: &Fixture) {
    let name = parameters.backend().name();
    let source = tokens("source", STEPS[0], &LENGTHS);
    let target = tokens("target", STEPS[1] + 1, &TARGET_LENGTHS.map(|length| length + 1));
    let (input, output) = (&target[..target.len() - 3], &target[3..]);
    let output: Vec<u32> = output.iter().map(|&token| if token == 0 { CrossEntropy::IGNORED } else { token }).collect();
    let mut graph = Graph::new(parameters, Step::training(0, 0, 16.0));
    let [source, input] = [&source[..], input].map(|tokens| Sentences { tokens, batch: 3 });
    let logits = model.forward(&mut graph, source, &LENGTHS, input).unwrap();
    let loss = graph.cross_entropy(&logits, &output, 0.1).unwrap();
    let value = loss.value().unwrap();
    assert!((f64::from(value) / fixture.loss - 1.0).abs() < 1e-5, "{name}: {value} not {}", fixture.loss);
    let values = logits.tensor().to_f32(&**parameters.backend()).unwrap();
    let found = difference("logits", &values.iter().map(|&x| x.into()).collect::<Vec<_>>(), &fixture.logits);
    assert!(found < 1e-5, "{name}: logits differ by {found:.1e}");
    let gradients = graph.backward(&loss).unwrap().arrays(parameters).unwrap();
    assert_eq!(gradients.len(), fixture.tensors.len());
    let mut largest = 0.0_f64;
    for array in &gradients {
        let name = format!("grad.{}", array.name);
        let values: Vec<f64> = numbers(array).iter().map(|&value| value.into()).collect();
        let found = difference(&name, &values, &fixture.tensors[&name]);
        assert!(found < 1e-4, "{name}: {found:.1e}");
        largest = largest.max(found);
    }
    let mut graph = Graph::new(parameters, Step::training(0, 0, 16.0));
    let again = model.loss(&mut graph, source, &LENGTHS, input, &output, 0.1).unwrap();
    assert_eq!(again.value().unwrap(), value);
    assert_eq!(graph.backward(&again).unwrap().arrays(parameters).unwrap(), gradients);
    println!("fp32, {name}: gradients differ by at most {largest:.1e}");
}

/// Step by step the decoder computes what it does for all steps at once, to the bit where nothing is random.
pub fn check_steps<M: SequenceModel>(model: &M, parameters: &Parameters) {
    let source = tokens("source", STEPS[0], &LENGTHS);
    let target = tokens("target", STEPS[1], &[STEPS[1] as u32; 3]);
    let mut graph = Graph::new(parameters, Step::evaluation(0));
    let source = Sentences { tokens: &source, batch: 3 };
    let whole = model.forward(&mut graph, source, &LENGTHS, Sentences { tokens: &target, batch: 3 }).unwrap();
    let whole = whole.tensor().to_f32(&**parameters.backend()).unwrap();
    let mut graph = Graph::new(parameters, Step::evaluation(0));
    let encoded = model.encode(&mut graph, source, &LENGTHS).unwrap();
    let (mut state, mut steps) = (None, Vec::new());
    for tokens in target.chunks(3) {
        let (logits, after) = model.step(&mut graph, &encoded, tokens, state.as_ref()).unwrap();
        steps.extend(logits.tensor().to_f32(&**parameters.backend()).unwrap());
        state = Some(after);
    }
    assert_eq!(whole, steps);
}

const SEARCH: Search = Search { beam: 1, length_penalty: 0.6, coverage_penalty: 0.0, start: 1, end: 2, padding: 0 };

/// Sentences of 1 to 11 tokens, which end.
fn sentences() -> Vec<Vec<u32>> {
    let tokens = tokens("sentences", 11, &[11; 7]);
    (1..=7).map(|i| [&tokens[i * 8..i * 8 + i * 11 % 12 - 1 + usize::from(i == 5)], &[2]].concat()).collect()
}

fn translate<M: SequenceModel>(
    model: &M,
    parameters: &Parameters,
    sentences: &[Vec<u32>],
    search: &Search,
) -> Vec<Vec<u32>> {
    let longest = sentences.iter().map(Vec::len).max().unwrap();
    let tokens: Vec<u32> = (0..longest)
        .flat_map(|step| sentences.iter().map(move |sentence| sentence.get(step).copied().unwrap_or(0)))
        .collect();
    let lengths: Vec<u32> = sentences.iter().map(|sentence| sentence.len() as u32).collect();
    let limits: Vec<usize> = sentences.iter().map(|sentence| 2 * sentence.len() + 3).collect();
    let mut graph = Graph::new(parameters, Step::evaluation(0));
    let source = Sentences { tokens: &tokens, batch: sentences.len() };
    search.translate(model, &mut graph, source, &lengths, &limits).unwrap()
}

/// The likeliest token, one after the other, of a sentence by itself.
fn greedy<M: SequenceModel>(model: &M, parameters: &Parameters, sentence: &[u32]) -> Vec<u32> {
    let mut graph = Graph::new(parameters, Step::evaluation(0));
    let source = Sentences { tokens: sentence, batch: 1 };
    let encoded = model.encode(&mut graph, source, &[sentence.len() as u32]).unwrap();
    let (mut said, mut token, mut state) = (Vec::new(), SEARCH.start, None);
    while said.len() < 2 * sentence.len() + 3 {
        let (logits, after) = model.step(&mut graph, &encoded, &[token], state.as_ref()).unwrap();
        let logits = logits.tensor().to_f32(&**parameters.backend()).unwrap();
        token = (2..40).max_by(|&a, &b| logits[a as usize].total_cmp(&logits[b as usize])).unwrap();
        if token == SEARCH.end {
            break;
        }
        said.push(token);
        state = Some(after);
    }
    said
}

/// A beam of 1 is greedy search, and neither batch nor padding changes a translation, where nothing is random.
pub fn check_translations<M: SequenceModel>(model: &M, parameters: &Parameters, coverage_penalties: &[f64]) {
    let sentences = sentences();
    let alone: Vec<Vec<u32>> = sentences.iter().map(|sentence| greedy(model, parameters, sentence)).collect();
    assert_eq!(translate(model, parameters, &sentences, &SEARCH), alone);
    assert!(alone.iter().any(|said| said.len() > 3), "{alone:?}");
    for &coverage_penalty in coverage_penalties {
        let wide = Search { beam: 4, coverage_penalty, ..SEARCH };
        let together = translate(model, parameters, &sentences, &wide);
        for batch in [1, 2, 3] {
            let parts: Vec<Vec<u32>> =
                sentences.chunks(batch).flat_map(|part| translate(model, parameters, part, &wide)).collect();
            assert_eq!(parts, together, "batches of {batch}");
        }
    }
}

/// The shares of the source (3, steps) after one step, and its lengths; nothing of a network that has no such attention.
pub fn shares<M: SequenceModel>(model: &M, parameters: &Parameters) -> Option<(Vec<f32>, [u32; 3])> {
    let source = tokens("source", STEPS[0], &LENGTHS);
    let mut graph = Graph::new(parameters, Step::evaluation(0));
    let encoded = model.encode(&mut graph, Sentences { tokens: &source, batch: 3 }, &LENGTHS).unwrap();
    let (_, state) = model.step(&mut graph, &encoded, &[4, 5, 6], None).unwrap();
    let shares = model.attention(&mut graph, &encoded, &state).unwrap()?;
    assert_eq!(shares.shape(), [1, 3, STEPS[0]]);
    Some((shares.tensor().to_f32(&**parameters.backend()).unwrap(), LENGTHS))
}
