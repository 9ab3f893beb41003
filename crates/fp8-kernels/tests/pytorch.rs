//! Operations against PyTorch on small inputs; `tools/reference/ops.py` writes the fixture.

use fp8_kernels::{Backend, Buffer, CpuBackend, CrossEntropy, DType, ParameterUpdate, Pool2d, Store, UpdateRule};

/// The numbers of one line of the fixture.
fn fixture(name: &str) -> Vec<f32> {
    let lines = include_str!("fixtures/ops.txt").lines();
    let line = lines.map(|line| line.split(' ')).find_map(|mut line| (line.next() == Some(name)).then_some(line));
    line.unwrap_or_else(|| panic!("no {name}")).map(|number| number.parse().expect("a number")).collect()
}

fn cpu() -> CpuBackend {
    CpuBackend::new().expect("a CPU")
}

fn floats(cpu: &CpuBackend, values: &[f32]) -> Buffer {
    let mut buffer = cpu.alloc(DType::F32, values.len()).expect("memory");
    cpu.upload(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>(), &mut buffer).expect("a copy");
    buffer
}

fn values(cpu: &CpuBackend, buffer: &Buffer) -> Vec<f32> {
    let mut bytes = vec![0; buffer.bytes()];
    cpu.download(buffer, &mut bytes).expect("a copy");
    match buffer.dtype() {
        DType::U8 => bytes.into_iter().map(f32::from).collect(),
        _ => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
    }
}

/// Within `ulps` units in the last place of the larger numbers of the tensor.
fn assert_near(found: &[f32], name: &str, ulps: f32) {
    let expected = fixture(name);
    assert_eq!(found.len(), expected.len(), "{name}");
    for (found, expected) in found.iter().zip(&expected) {
        let bound = ulps * f32::EPSILON * expected.abs().max(0.1);
        assert!((found - expected).abs() <= bound, "{name}: {found:e} not {expected:e}");
    }
}

#[test]
fn cross_entropy() {
    let cpu = cpu();
    let logits = floats(&cpu, &fixture("cross_entropy.logits"));
    let targets: Vec<u8> =
        fixture("cross_entropy.targets").iter().flat_map(|target| (*target as u32).to_le_bytes()).collect();
    let mut classes = cpu.alloc(DType::U32, 3).unwrap();
    cpu.upload(&targets, &mut classes).unwrap();
    for smoothing in ["0.0", "0.1"] {
        let spec = CrossEntropy { rows: 3, classes: 5, smoothing: smoothing.parse().unwrap() };
        let (mut losses, mut errors) = (floats(&cpu, &[9.0; 3]), floats(&cpu, &[9.0; 15]));
        cpu.cross_entropy(&spec, &logits, &classes, &mut losses).unwrap();
        cpu.cross_entropy_backward(&spec, &logits, &classes, 8.0, &Store::F32, &mut errors).unwrap();
        assert_near(&values(&cpu, &losses), &format!("cross_entropy.losses.{smoothing}"), 4.0);
        // The factor and the subtraction magnify the rounding of probabilities.
        assert_near(&values(&cpu, &errors), &format!("cross_entropy.errors.{smoothing}"), 40.0);
    }
}

#[test]
fn max_pool() {
    let cpu = cpu();
    let pool = Pool2d { batch: 2, input: [7, 6], channels: 3, kernel: 3, stride: 2, padding: 1 };
    let x = floats(&cpu, &fixture("max_pool.x"));
    let [oh, ow] = pool.output();
    let len = 2 * oh * ow * 3;
    let (mut y, mut index) = (floats(&cpu, &vec![9.0; len]), cpu.alloc(DType::U8, len).unwrap());
    cpu.max_pool(&pool, &x, &Store::F32, &mut y, &mut index).unwrap();
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&values(&cpu, &y)), bits(&fixture("max_pool.y")));
    // PyTorch numbers the pixels of the input, we the places of the window.
    let pixel = |(i, place): (usize, f32)| {
        let (output, place) = (i / 3, place as usize);
        let (oy, ox) = (output / ow % oh, output % ow);
        ((oy * 2 + place / 3 - 1) * 6 + ox * 2 + place % 3 - 1) as f32
    };
    let pixels: Vec<f32> = values(&cpu, &index).into_iter().enumerate().map(pixel).collect();
    assert_eq!(pixels, fixture("max_pool.places"));

    let (dy, mut dx) = (floats(&cpu, &fixture("max_pool.dy")), floats(&cpu, &vec![9.0; x.len()]));
    cpu.max_pool_backward(&pool, &dy, &index, &Store::F32, &mut dx).unwrap();
    assert_eq!(values(&cpu, &dx), fixture("max_pool.dx"));
}

#[test]
fn relu() {
    let cpu = cpu();
    let x = floats(&cpu, &fixture("relu.x"));
    let mut y = floats(&cpu, &[9.0; 6]);
    cpu.add(&x, None, true, &Store::F32, &mut y).unwrap();
    let (found, expected) = (values(&cpu, &y), fixture("relu.y"));
    assert!(found[0].is_nan() && expected[0].is_nan());
    assert_eq!(found[1..], expected[1..]);
}

#[test]
fn average_pool() {
    let cpu = cpu();
    let x = floats(&cpu, &fixture("average_pool.x"));
    let mut y = floats(&cpu, &[9.0; 10]);
    cpu.global_average_pool([2, 12, 5], &x, &Store::F32, &mut y).unwrap();
    assert_near(&values(&cpu, &y), "average_pool.y", 4.0);
}

/// Ten steps.
fn optimise(name: &str, rule: impl Fn(u32) -> UpdateRule, moments: &[&str]) {
    let cpu = cpu();
    let mut master = floats(&cpu, &fixture("update.start"));
    let len = master.len();
    let mut state: Vec<Buffer> = (0..rule(1).moments()).map(|_| floats(&cpu, &vec![0.0; len])).collect();
    for (gradient, step) in fixture("update.gradients").chunks(len).zip(1..) {
        let parameter = ParameterUpdate {
            gradient: &floats(&cpu, &gradient.iter().map(|g| g * 1024.0).collect::<Vec<_>>()),
            unscale: 1.0 / 1024.0,
            master: &mut master,
            master_store: Store::F32,
            moments: state.iter_mut().map(|moment| (moment, Store::F32)).collect(),
            working: None,
        };
        cpu.update(&rule(step), parameter).unwrap();
    }
    assert_near(&values(&cpu, &master), &format!("update.{name}"), 4.0);
    for (found, moment) in state.iter().zip(moments) {
        assert_near(&values(&cpu, found), &format!("update.{name}.{moment}"), 4.0);
    }
}

#[test]
fn sgd() {
    for (name, momentum, dampening, nesterov, weight_decay) in [
        ("sgd", 0.0, 0.0, false, 0.0),
        ("decay", 0.0, 0.0, false, 0.01),
        ("momentum", 0.9, 0.0, false, 0.01),
        ("dampening", 0.9, 0.3, false, 0.0),
        ("dampening_alone", 0.0, 0.3, false, 0.0),
        ("nesterov", 0.9, 0.0, true, 0.01),
    ] {
        let rule = |step| UpdateRule::Sgd { lr: 0.1, momentum, dampening, nesterov, weight_decay, first: step == 1 };
        let moments: &[&str] = if momentum == 0.0 { &[] } else { &["momentum_buffer"] };
        optimise(name, rule, moments);
    }
}

#[test]
fn adam_w() {
    for (name, lr, beta1, beta2, epsilon, weight_decay) in
        [("adam_w", 0.01, 0.9, 0.999, 1e-8, 0.1), ("adam_w_fast", 0.3, 0.8, 0.95, 1e-3, 0.0)]
    {
        let rule = |step| UpdateRule::AdamW { lr, beta1, beta2, epsilon, weight_decay, step };
        optimise(name, rule, &["exp_avg", "exp_avg_sq"]);
    }
}
