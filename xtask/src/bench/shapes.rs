//! What is measured on which kind of device, and which of the peer's ways it is compared with: a table.

use fp8_kernels::{DType, Layout};
use fp8_trainer::Device;
use fp8_trainer::device::Accumulation;
use serde_json::{Value, json};

use super::training::Problem;
use super::{resnet, translation};

/// Sizes that fill a kind of device, and what users of it run today.
pub struct Shapes {
    /// Elements that are cast: more than caches hold.
    pub cast: usize,
    pub products: Products,
    pub resnets: &'static [Training],
    pub translators: &'static [Training],
}

/// Products of matrices.
pub struct Products {
    /// Rows, columns, and what is summed over.
    pub sizes: &'static [[usize; 3]],
    pub unit: &'static str,
    /// Operations of a unit times seconds.
    pub of_unit: f64,
    pub ours: &'static [Product],
    /// The peer's: names, and requests but for the sizes.
    pub peers: &'static [PeerMode],
}

/// One of our products.
pub struct Product {
    pub operands: DType,
    pub layout: Layout,
    pub result: DType,
    /// How a card sums; absent: as the device was asked to.
    pub accumulation: Option<Accumulation>,
    pub against: &'static str,
}

/// Training steps of a network.
pub struct Training {
    pub problem: Problem,
    /// Our recipes, and whom they are compared with.
    pub ours: &'static [(&'static str, &'static str)],
    pub peers: &'static [PeerMode],
}

/// A way in which the peer works.
pub struct PeerMode {
    pub name: &'static str,
    /// Compared with another way.
    pub against: Option<&'static str>,
    /// The request's fields for it.
    pub fields: fn() -> Value,
}

/// Those of a device.
pub const fn of(device: Device) -> &'static Shapes {
    match device {
        Device::Cpu => &CPU,
        Device::Cuda { .. } => &CARD,
    }
}

const CPU: Shapes = Shapes {
    cast: 1 << 26,
    products: Products {
        sizes: &[[1024; 3], [2048; 3], [4096; 3]],
        unit: "GFLOP/s",
        of_unit: 1e9,
        ours: &[
            on_cpu(DType::E5M2, Layout::NN),
            on_cpu(DType::E5M2, Layout::NT),
            on_cpu(DType::E5M2, Layout::TN),
            on_cpu(DType::Bf16, Layout::NN),
            on_cpu(DType::F32, Layout::NN),
        ],
        peers: &[
            peer("PyTorch bf16", Some("PyTorch sgemm"), || json!({ "type": "bfloat16" })),
            peer("PyTorch sgemm", None, || json!({ "type": "float32" })),
        ],
    },
    resnets: &[
        Training { problem: resnet::RESNET18, ours: ON_CPU, peers: CPU_PEERS },
        Training { problem: resnet::RESNET50, ours: ON_CPU, peers: CPU_PEERS },
    ],
    translators: &[
        Training { problem: translation::TRANSFORMER, ours: ON_CPU, peers: CPU_PEERS },
        Training { problem: translation::LSTM, ours: ON_CPU, peers: CPU_PEERS },
    ],
};

const ON_CPU: &[(&str, &str)] =
    &[("fp8", "PyTorch f32"), ("fp8-rne", "PyTorch f32"), ("fp8-lean", "PyTorch f32"), ("fp32", "PyTorch f32")];

const CPU_PEERS: &[PeerMode] = &[
    peer("PyTorch bf16 autocast", Some("PyTorch f32"), || json!({ "autocast": true })),
    peer("PyTorch f32", None, || json!({ "autocast": false })),
];

const fn on_cpu(operands: DType, layout: Layout) -> Product {
    Product { operands, layout, result: DType::F32, accumulation: None, against: "PyTorch sgemm" }
}

const CARD: Shapes = Shapes {
    cast: 1 << 28,
    products: Products {
        sizes: &[[8192; 3], [4096; 3], [16384, 2048, 512], [16384, 512, 2048], [16384, 512, 512]],
        unit: "TFLOP/s",
        of_unit: 1e12,
        ours: &[
            on_card(DType::E5M2, Accumulation::Exact, "cuBLASLt promoted"),
            on_card(DType::Bf16, Accumulation::Exact, "cuBLASLt promoted"),
            on_card(DType::E5M2, Accumulation::Promoted, "cuBLASLt promoted"),
            on_card(DType::Bf16, Accumulation::Promoted, "cuBLASLt promoted"),
            on_card(DType::F32, Accumulation::Promoted, "cuBLASLt promoted"),
            on_card(DType::E5M2, Accumulation::Fast, "cuBLASLt fast"),
            on_card(DType::Bf16, Accumulation::Fast, "cuBLASLt fast"),
            Product { operands: DType::Bf16, ..on_card(DType::Bf16, Accumulation::Fast, "PyTorch bf16") },
        ],
        peers: &[
            peer("cuBLASLt fast", None, || json!({ "fast": true })),
            peer("cuBLASLt promoted", None, || json!({ "fast": false })),
            peer("PyTorch bf16", None, || json!({ "type": "bfloat16" })),
        ],
    },
    resnets: &[
        Training { problem: resnet::RESNET50_WIDE, ours: ON_CARD, peers: CARD_PEERS },
        Training { problem: resnet::RESNET18_WIDE, ours: ON_CARD, peers: CARD_PEERS },
        Training { problem: resnet::RESNET18_MANY, ours: ON_CARD, peers: CARD_PEERS },
    ],
    translators: &[
        Training { problem: translation::TRANSFORMER_BASE, ours: ON_CARD, peers: CARD_PEERS },
        // cuDNN's LSTM is a function that torch.compile leaves alone.
        Training {
            problem: translation::LSTM_WIDE,
            ours: &[("fp8", "PyTorch bf16"), ("bf16", "PyTorch bf16"), ("fp32", "PyTorch tf32")],
            peers: &[BF16, TF32],
        },
    ],
};

const ON_CARD: &[(&str, &str)] =
    &[("fp8", "PyTorch bf16 compiled"), ("bf16", "PyTorch bf16 compiled"), ("fp32", "PyTorch tf32")];

const CARD_PEERS: &[PeerMode] = &[
    peer("PyTorch bf16 compiled", Some("PyTorch bf16"), || json!({ "autocast": true, "compile": "default" })),
    BF16,
    TF32,
];

const BF16: PeerMode = peer("PyTorch bf16", None, || json!({ "autocast": true }));
const TF32: PeerMode = peer("PyTorch tf32", None, || json!({ "autocast": false }));

const fn on_card(result: DType, accumulation: Accumulation, against: &'static str) -> Product {
    Product { operands: DType::E5M2, layout: Layout::NT, result, accumulation: Some(accumulation), against }
}

const fn peer(name: &'static str, against: Option<&'static str>, fields: fn() -> Value) -> PeerMode {
    PeerMode { name, against, fields }
}
