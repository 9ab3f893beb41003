//! Tokens a second of a Transformer's training step: d 256, 3 + 3 layers, 32 sentences of 32 tokens, 8,000 words, SGD.
//!
//!     cargo run --release -p fp8-models --example transformer_step -- [RECIPE]...

use std::sync::Arc;
use std::time::Instant;

use fp8_autograd::{Graph, Optimizer, OptimizerRule, Parameters, Recipe, Step};
use fp8_kernels::CpuBackend;
use fp8_models::{Sentences, SequenceModel, Tied, Transformer, TransformerConfig};

const VOCABULARY: usize = 8000;
const SIZE: usize = 32;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let recipes = if asked.is_empty() { vec!["fp32".into(), "fp8".into()] } else { asked };
    for recipe in recipes {
        let backend = Arc::new(CpuBackend::new()?);
        let mut parameters = Parameters::new(backend, Arc::new(Recipe::named(&recipe)?));
        let config = TransformerConfig { tied: Tied::Nothing, ..TransformerConfig::small(VOCABULARY) };
        let transformer = Transformer::new(&config, &mut parameters, 1)?;
        let rule = OptimizerRule::Sgd { momentum: 0.9, dampening: 0.0, nesterov: false, weight_decay: 0.0 };
        let optimizer = Optimizer::new(rule);
        let tokens: Vec<u32> = (0..SIZE * SIZE).map(|i| (3 + i * 2_654_435_761 % (VOCABULARY - 3)) as u32).collect();
        let mut seconds = Vec::new();
        for number in 0..6 {
            let start = Instant::now();
            let step = Step::training(1, number, 1024.0);
            let mut graph = Graph::new(&parameters, step);
            let sentences = Sentences { tokens: &tokens, batch: SIZE };
            let lengths = [SIZE as u32; SIZE];
            let loss = transformer.loss(&mut graph, sentences, &lengths, sentences, &tokens, 0.0)?;
            let gradients = graph.backward(&loss)?;
            optimizer.step(&mut parameters, &gradients, 0.01, &step)?;
            seconds.push(start.elapsed().as_secs_f64());
        }
        // The first step allocates.
        seconds.remove(0);
        seconds.sort_by(f64::total_cmp);
        println!("{recipe}: {:.0} tokens/s", (SIZE * SIZE) as f64 / seconds[seconds.len() / 2]);
    }
    Ok(())
}
