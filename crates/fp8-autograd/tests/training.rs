//! Whole training steps of a small network, in every recipe, on every backend.

mod common;

use std::sync::Arc;

use fp8_autograd::{
    BatchNormLayer, Gradients, Graph, Kind, LossScaler, Optimizer, OptimizerRule, ParameterId, Parameters, Recipe,
    Result, Role, Step, Values, Var,
};
use fp8_kernels::{Backend, DType};

use common::{backends, numbers};

/// Two convolutions, the second with batch norm around a shortcut, and a linear layer.
struct Network {
    conv1: ParameterId,
    conv2: ParameterId,
    norm: BatchNormLayer,
    fc: [ParameterId; 2],
}

impl Network {
    fn new(parameters: &mut Parameters) -> Self {
        let mut add = |name: &str, kind, shape: &[usize], limit: f32, offset: f32| {
            let values = numbers(fp8_core::Stream::id(name), shape.iter().product());
            let values: Vec<f32> = values.iter().map(|value| offset + limit * value).collect();
            parameters.add(name, kind, shape, &values).unwrap()
        };
        let conv1 = add("conv1.weight", Kind::Weight, &[8, 2, 3, 3], 0.5, 0.0);
        let conv2 = add("conv2.weight", Kind::Weight, &[8, 8, 3, 3], 0.25, 0.0);
        let (gamma, beta) =
            (add("norm.weight", Kind::Norm, &[8], 0.0, 1.0), add("norm.bias", Kind::Norm, &[8], 0.1, 0.0));
        let fc = [add("fc.weight", Kind::Weight, &[4, 8], 0.5, 0.0), add("fc.bias", Kind::Bias, &[4], 0.1, 0.0)];
        let statistics = parameters.add_statistics("norm", 8).unwrap();
        Self { conv1, conv2, norm: BatchNormLayer { gamma, beta, statistics, epsilon: 1e-5, momentum: 0.1 }, fc }
    }

    fn forward(&self, graph: &mut Graph<'_>) -> Result<Var> {
        let x = graph.input(&[8, 5, 5, 2], &numbers(1, 400))?;
        let x = graph.conv2d(&x, self.conv1, 1, 1)?;
        let x = graph.relu("relu", &x)?;
        let y = graph.conv2d(&x, self.conv2, 1, 1)?;
        let y = graph.batch_norm(&y, &self.norm, Some(&x), true)?;
        let y = graph.global_average_pool("avgpool", &y)?;
        graph.linear(&y, self.fc[0], Some(self.fc[1]), Role::Logits)
    }

    fn gradients(&self, parameters: &Parameters, step: Step) -> (f32, Gradients) {
        let mut graph = Graph::new(parameters, step);
        let logits = self.forward(&mut graph).unwrap();
        let loss = graph.cross_entropy(&logits, &[0, 1, 2, 3, 3, 2, 1, 0], 0.0).unwrap();
        (loss.value().unwrap(), graph.backward(&loss).unwrap())
    }
}

struct Run {
    parameters: Parameters,
    network: Network,
    optimizer: Optimizer,
    scaler: LossScaler,
}

impl Run {
    fn new(backend: Arc<dyn Backend>, recipe: &str, rule: OptimizerRule) -> Self {
        let recipe = Recipe::named(recipe).unwrap();
        let scaler = LossScaler::new(recipe.loss_scaling.clone()).unwrap();
        let mut parameters = Parameters::new(backend, Arc::new(recipe));
        let network = Network::new(&mut parameters);
        Self { parameters, network, optimizer: Optimizer::new(rule), scaler }
    }

    fn step(&mut self, learning_rate: f32) -> f32 {
        let step = Step::training(3, self.scaler.steps() as u32, self.scaler.scale());
        let (loss, gradients) = self.network.gradients(&self.parameters, step);
        let report = self.optimizer.step(&mut self.parameters, &gradients, learning_rate, &step).unwrap();
        self.scaler.update(report.overflowed);
        loss
    }
}

const SGD: OptimizerRule = OptimizerRule::Sgd { momentum: 0.9, dampening: 0.0, nesterov: true, weight_decay: 1e-4 };
const ADAMW: OptimizerRule = OptimizerRule::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 };

#[test]
fn every_recipe_and_optimiser_overfits_a_batch() {
    for (recipe, backend) in Recipe::names().flat_map(|name| backends().into_iter().map(move |backend| (name, backend)))
    {
        for (rule, learning_rate) in [(SGD, 0.1), (ADAMW, 0.02)] {
            let mut run = Run::new(backend.clone(), recipe, rule.clone());
            let first = run.step(learning_rate);
            let losses: Vec<f32> = (0..80).map(|_| run.step(learning_rate)).collect();
            let least = losses.iter().fold(f32::INFINITY, |least, loss| least.min(*loss));
            assert!(losses.iter().all(|loss| loss.is_finite()), "{recipe} {rule:?}: {losses:?}");
            assert!(least < 0.35 * first, "{recipe} {rule:?}: {first} to {least}");
        }
    }
}

/// Where the Q nodes stand and what they write.
#[test]
fn tensors_have_the_formats_of_the_recipe() {
    for backend in backends() {
        let run = Run::new(backend, "fp8", SGD);
        let (_, gradients) = run.network.gradients(&run.parameters, Step::training(1, 0, 16.0));
        for (name, master, working, gradient) in [
            ("conv1.weight", DType::F16, DType::F16, DType::F16), // exempt: the master itself is used
            ("conv2.weight", DType::F16, DType::E5M2, DType::E5M2),
            ("norm.weight", DType::F32, DType::F32, DType::F32),
            ("fc.weight", DType::F16, DType::F16, DType::F16),
            ("fc.bias", DType::F32, DType::F32, DType::F32),
        ] {
            let id = run.parameters.find(name).unwrap();
            let parameter = run.parameters.get(id);
            let found = (parameter.master().dtype(), parameter.working().buffer.dtype());
            assert_eq!(found, (master, working), "{name}");
            assert_eq!(gradients.get(id).unwrap().buffer.dtype(), gradient, "{name}");
        }
        let mut graph = Graph::new(&run.parameters, Step::evaluation(1));
        let x = graph.input(&[1, 3, 3, 2], &numbers(5, 18)).unwrap();
        assert_eq!(x.tensor().buffer.dtype(), DType::F16);
        let x = graph.conv2d(&x, run.network.conv1, 1, 1).unwrap();
        assert_eq!(x.tensor().buffer.dtype(), DType::F16);
        let x = graph.conv2d(&x, run.network.conv2, 1, 1).unwrap();
        assert_eq!(x.tensor().buffer.dtype(), DType::E5M2);
    }
}

/// Counting changes no bit. What is counted before rounding is what FP32 has, and less of it is flushed at a larger scale, nothing in FP32.
#[test]
fn what_is_flushed_to_zero_is_counted() {
    for backend in backends() {
        let run = Run::new(backend.clone(), "fp8", SGD);
        let of = |run: &Run, scale, count| {
            let step = Step::training(1, 0, scale).with_count_flushed(count);
            run.network.gradients(&run.parameters, step).1
        };
        let bits = |gradients: &Gradients| {
            let arrays = gradients.arrays(&run.parameters).unwrap();
            arrays.into_iter().map(|array| format!("{:?}", array.values)).collect::<Vec<_>>()
        };
        let shares = [1.0, 2_f32.powi(-10)].map(|scale| {
            let counted = of(&run, scale, true);
            assert_eq!(bits(&counted), bits(&of(&run, scale, false)), "{scale}");
            assert!(of(&run, scale, false).flushed().is_empty());
            let layers: Vec<_> = counted.flushed().iter().map(|count| (&*count.layer, count.role)).collect();
            assert!(layers.contains(&("conv2", Role::Error)) && layers.contains(&("conv2", Role::Gradient)));
            let conv2 = counted.flushed().iter().find(|count| count.layer == "conv2" && count.role == Role::Gradient);
            let conv2 = conv2.unwrap();
            let id = run.parameters.find("conv2.weight").unwrap();
            let zeros = backend.count_zero(&counted.get(id).unwrap().buffer).unwrap() as u64;
            assert_eq!(conv2.nonzero - conv2.flushed, 8 * 8 * 9 - zeros);
            let sum = |of: fn(&fp8_autograd::Flushed) -> u64| counted.flushed().iter().map(of).sum::<u64>() as f64;
            sum(|count| count.flushed) / sum(|count| count.nonzero)
        });
        assert!(shares[0] < 0.1 && shares[1] > 0.3, "{shares:?}");
        let wide = Run::new(backend, "fp32", SGD);
        assert!(of(&wide, 1.0, true).flushed().iter().all(|count| count.flushed == 0 && count.nonzero > 0));
    }
}

/// A scaled gradient is un-scaled before anything is done with it: powers of two change nothing in FP32.
#[test]
fn the_loss_scale_cancels() {
    for backend in backends() {
        let run = Run::new(backend, "fp32", SGD);
        let of = |scale| run.network.gradients(&run.parameters, Step::training(1, 0, scale)).1;
        let (plain, scaled) = (of(1.0), of(4096.0));
        assert_eq!(plain.arrays(&run.parameters).unwrap(), scaled.arrays(&run.parameters).unwrap());
        let norms = [plain, scaled].map(|gradients| gradients.report(&run.parameters).unwrap().gradient_norm);
        assert!((norms[0] - norms[1]).abs() < 1e-5 * norms[0], "{norms:?}");
    }
}

#[test]
fn an_overflow_skips_the_whole_step_and_is_reported_by_name() {
    for backend in backends() {
        let mut run = Run::new(backend, "fp8", SGD);
        run.step(0.1);
        let before = run.parameters.state().unwrap();
        let step = Step::training(1, 1, 1e8);
        let (loss, gradients) = run.network.gradients(&run.parameters, step);
        assert!(loss.is_finite());
        let report = run.optimizer.step(&mut run.parameters, &gradients, 0.1, &step).unwrap();
        assert!(report.overflowed.contains(&"conv2.weight".to_string()), "{report:?}");
        assert_eq!(run.parameters.state().unwrap(), before);
        assert!(run.parameters.iter().all(|(_, parameter)| parameter.updates() == 1));
        assert!(!report.gradient_norm.is_finite());
        let mut scaler =
            LossScaler::new(fp8_autograd::LossScaling::BackOff { initial: 1e8, growth_interval: 9 }).unwrap();
        assert_eq!(scaler.update(report.overflowed).after, 5e7);
    }
}

/// A run put together again from its state goes on with the same bytes.
#[test]
fn resume_is_exact() {
    for (recipe, backend) in Recipe::names().flat_map(|name| backends().into_iter().map(move |backend| (name, backend)))
    {
        for rule in [SGD, ADAMW] {
            let mut run = Run::new(backend.clone(), recipe, rule.clone());
            (0..3).for_each(|_| _ = run.step(0.05));
            let mut other = Run::new(backend.clone(), recipe, rule);
            other.parameters.restore(&run.parameters.state().unwrap()).unwrap();
            (other.optimizer, other.scaler) = (run.optimizer.clone(), run.scaler.clone());
            for _ in 0..3 {
                assert_eq!(run.step(0.05), other.step(0.05), "{recipe}");
            }
            assert_eq!(run.parameters.state().unwrap(), other.parameters.state().unwrap(), "{recipe}");
        }
    }
}

#[test]
fn states_of_other_models_and_recipes_are_refused() {
    for backend in backends() {
        let mut run = Run::new(backend.clone(), "fp8", SGD);
        let state = Run::new(backend.clone(), "fp32", SGD).parameters.state().unwrap();
        let message = run.parameters.restore(&state).unwrap_err().to_string();
        assert_eq!(message, "state: the master of conv1.weight is f32, the recipe's is f16");
        let mut lean = Run::new(backend.clone(), "fp8-lean", SGD);
        let [wide, narrow] = [&run, &lean].map(|run| run.parameters.state().unwrap());
        let refused = [(&mut run, &narrow), (&mut lean, &wide)].map(|(run, state)| {
            let error = run.parameters.restore(state).unwrap_err().to_string();
            error.replace("state: the moments of conv1.weight are ", "")
        });
        assert_eq!(refused, ["bf16, the recipe's are f32", "f32, the recipe's are bf16"]);
        let empty = Parameters::new(backend, Arc::new(Recipe::named("fp8").unwrap()));
        let message = run.parameters.restore(&empty.state().unwrap()).unwrap_err().to_string();
        assert_eq!(
            message,
            "state: 0 parameters and 0 running statistics, the model has 6 parameters and 1 running statistics"
        );
    }
}

/// As torch.nn.BatchNorm2d: momentum 0.1, unbiased variance; untouched in evaluation.
#[test]
fn running_statistics_follow_the_batches() {
    for backend in backends() {
        let mut run = Run::new(backend, "fp32", SGD);
        let named = |run: &Run, name: &str| {
            let arrays = run.parameters.arrays().unwrap();
            arrays.into_iter().find(|array| array.name == name).unwrap().values
        };
        assert_eq!(named(&run, "norm.running_var"), Values::F32(vec![1.0; 8]));
        assert_eq!(named(&run, "norm.num_batches_tracked"), Values::I64(vec![0]));
        let logits = |run: &Run| {
            let mut graph = Graph::new(&run.parameters, Step::evaluation(3));
            let logits = run.network.forward(&mut graph).unwrap();
            logits.tensor().to_f32(&**run.parameters.backend()).unwrap()
        };
        let untrained = logits(&run);
        assert_eq!(untrained, logits(&run));
        (0..40).for_each(|_| _ = run.step(0.0));
        assert_eq!(named(&run, "norm.num_batches_tracked"), Values::I64(vec![40]));
        // 0.9^40 = 0.015: the running statistics have become those of the batch, which training normalises by.
        let mut graph = Graph::new(&run.parameters, Step::training(3, 0, 1.0));
        let trained = run.network.forward(&mut graph).unwrap().tensor().to_f32(&**run.parameters.backend()).unwrap();
        let evaluated = logits(&run);
        let worst = trained.iter().zip(&evaluated).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 0.05, "{worst}: {trained:?} {evaluated:?}");
    }
}

#[test]
fn a_graph_frees_what_no_backward_pass_needs() {
    for backend in backends() {
        let run = Run::new(backend.clone(), "fp8", SGD);
        let held = backend.memory().held;
        let mut graph = Graph::new(&run.parameters, Step::evaluation(3));
        drop(run.network.forward(&mut graph).unwrap());
        assert_eq!(backend.memory().held, held);
        let (_, gradients) = run.network.gradients(&run.parameters, Step::training(3, 0, 1.0));
        let bytes: usize = run.parameters.iter().map(|(id, _)| gradients.get(id).unwrap().buffer.bytes()).sum();
        let statistics = 2 * 8 * 4;
        assert_eq!(backend.memory().held, held + bytes + statistics);
    }
}
