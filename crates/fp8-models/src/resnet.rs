//! ResNet-18, -34 and -50 (He et al. 2015), with the names, shapes and first weights of torchvision.

use std::fmt;
use std::str::FromStr;

use fp8_autograd::{BatchNormLayer, Graph, Kind, ParameterId, Parameters, Role, Var, nearest};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::builder::Builder;
use crate::initial::Random;

/// Depth and kind of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// 2, 2, 2, 2 basic blocks.
    ResNet18,
    /// 3, 4, 6, 3 basic blocks.
    ResNet34,
    /// 3, 4, 6, 3 bottleneck blocks, stride on the 3x3 ("v1.5", as torchvision).
    ResNet50,
}

impl Architecture {
    /// All.
    pub const ALL: [Self; 3] = [Self::ResNet18, Self::ResNet34, Self::ResNet50];

    fn blocks(self) -> [usize; 4] {
        match self {
            Self::ResNet18 => [2, 2, 2, 2],
            Self::ResNet34 | Self::ResNet50 => [3, 4, 6, 3],
        }
    }

    /// How many times its own width a block's output has.
    const fn expansion(self) -> usize {
        match self {
            Self::ResNet18 | Self::ResNet34 => 1,
            Self::ResNet50 => 4,
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ResNet18 => "resnet18",
            Self::ResNet34 => "resnet34",
            Self::ResNet50 => "resnet50",
        })
    }
}

/// A name that stands for no architecture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown model {name:?}{}; choose one of {}", suggestion(.name), known().join(", "))]
pub struct UnknownArchitecture {
    /// What was asked for.
    pub name: String,
}

fn known() -> [String; 3] {
    Architecture::ALL.map(|known| known.to_string())
}

fn suggestion(name: &str) -> String {
    nearest(name, &known()).map_or_else(String::new, |near| format!(" (did you mean {near:?}?)"))
}

impl FromStr for Architecture {
    type Err = UnknownArchitecture;

    fn from_str(name: &str) -> std::result::Result<Self, UnknownArchitecture> {
        let known = Self::ALL.into_iter().find(|known| known.to_string() == name);
        known.ok_or_else(|| UnknownArchitecture { name: name.to_string() })
    }
}

/// What comes before the first block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stem {
    /// 7x7 convolution of stride 2, then 3x3 max pooling of stride 2: for images of 224.
    ImageNet,
    /// 3x3 convolution of stride 1, no pooling: for images of 32.
    Cifar,
}

/// A ResNet's shape and first weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResNetConfig {
    /// Depth.
    pub architecture: Architecture,
    /// Beginning.
    pub stem: Stem,
    /// Channels of the images.
    pub channels: usize,
    /// Number of classes.
    pub classes: usize,
    /// Channels of the first stage, from which the others follow; 64 in all three architectures.
    pub width: usize,
    /// Whether the last gamma of each block starts at 0, so that each block starts as the identity (Goyal et al. 2017).
    pub zero_init_residual: bool,
}

impl ResNetConfig {
    /// Three channels, full width, no zero gammas.
    pub const fn new(architecture: Architecture, stem: Stem, classes: usize) -> Self {
        Self { architecture, stem, channels: 3, classes, width: 64, zero_init_residual: false }
    }

    /// Shape of `conv1.weight`: (width, channels, K, K).
    pub const fn first_shape(&self) -> [usize; 4] {
        let kernel = match self.stem {
            Stem::ImageNet => 7,
            Stem::Cifar => 3,
        };
        [self.width, self.channels, kernel, kernel]
    }

    /// Shape of `fc.weight`: (classes, features).
    pub const fn last_shape(&self) -> [usize; 2] {
        [self.classes, (self.width << 3) * self.architecture.expansion()]
    }
}

/// A residual network. Its parameters live in [`Parameters`].
#[derive(Clone, Debug)]
pub struct ResNet {
    stem: Stem,
    first: ConvNorm,
    blocks: Vec<Block>,
    fc_weight: ParameterId,
    fc_bias: ParameterId,
}

/// A convolution and the batch norm after it.
#[derive(Clone, Copy, Debug)]
struct ConvNorm {
    weight: ParameterId,
    stride: usize,
    padding: usize,
    norm: BatchNormLayer,
}

/// relu(convolutions(x) + shortcut(x)).
#[derive(Clone, Debug)]
struct Block {
    convolutions: Vec<ConvNorm>,
    /// A 1x1 convolution where the shape changes, else the identity.
    downsample: Option<ConvNorm>,
}

impl ResNet {
    /// A network with first weights from `seed`, added to `parameters`.
    pub fn new(config: &ResNetConfig, parameters: &mut Parameters, seed: u64) -> Result<Self> {
        let mut builder = Builder { parameters, seed };
        let [width, channels, kernel, _] = config.first_shape();
        let stride = if config.stem == Stem::ImageNet { 2 } else { 1 };
        let first = builder.conv_norm("conv1", "bn1", [channels, width], kernel, stride, 1.0)?;
        let (expansion, gamma) = (config.architecture.expansion(), if config.zero_init_residual { 0.0 } else { 1.0 });
        let mut blocks = Vec::new();
        let mut inputs = config.width;
        for (stage, count) in config.architecture.blocks().into_iter().enumerate() {
            let width = config.width << stage;
            for index in 0..count {
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                let name = format!("layer{}.{index}", stage + 1);
                blocks.push(builder.block(&name, [inputs, width], expansion, stride, gamma)?);
                inputs = width * expansion;
            }
        }
        let [classes, features] = config.last_shape();
        // As torch.nn.Linear.
        let (fc_weight, fc_bias) = builder.linear("fc", features, classes, 1.0 / (features as f64).sqrt())?;
        Ok(Self { stem: config.stem, first, blocks, fc_weight, fc_bias })
    }

    /// Logits (N, classes) of images (N, H, W, C).
    pub fn forward(&self, graph: &mut Graph<'_>, images: &Var) -> Result<Var> {
        let mut x = self.first.forward(graph, images, None, true)?;
        if self.stem == Stem::ImageNet {
            x = graph.max_pool("maxpool", &x, 3, 2, 1)?;
        }
        for block in &self.blocks {
            x = block.forward(graph, x)?;
        }
        x = graph.global_average_pool("avgpool", &x)?;
        Ok(graph.linear(&x, self.fc_weight, Some(self.fc_bias), Role::Logits)?)
    }
}

impl ConvNorm {
    fn forward(&self, graph: &mut Graph<'_>, x: &Var, residual: Option<&Var>, relu: bool) -> Result<Var> {
        let y = graph.conv2d(x, self.weight, self.stride, self.padding)?;
        Ok(graph.batch_norm(&y, &self.norm, residual, relu)?)
    }
}

impl Block {
    fn forward(&self, graph: &mut Graph<'_>, x: Var) -> Result<Var> {
        let shortcut = match &self.downsample {
            Some(downsample) => downsample.forward(graph, &x, None, false)?,
            None => x.clone(),
        };
        let Some((last, others)) = self.convolutions.split_last() else { return Ok(x) };
        let mut x = x;
        for convolution in others {
            x = convolution.forward(graph, &x, None, true)?;
        }
        last.forward(graph, &x, Some(&shortcut), true)
    }
}

impl Builder<'_> {
    /// Basic: 3x3, 3x3. Bottleneck: 1x1, 3x3, 1x1 to `expansion` times the width. The stride is the first 3x3's.
    fn block(
        &mut self,
        name: &str,
        [inputs, width]: [usize; 2],
        expansion: usize,
        stride: usize,
        last_gamma: f32,
    ) -> Result<Block> {
        let outputs = width * expansion;
        // Channels in and out, kernel, stride, first gamma.
        let layers: &[(usize, usize, usize, usize, f32)] = match expansion {
            1 => &[(inputs, width, 3, stride, 1.0), (width, outputs, 3, 1, last_gamma)],
            _ => &[(inputs, width, 1, 1, 1.0), (width, width, 3, stride, 1.0), (width, outputs, 1, 1, last_gamma)],
        };
        let mut convolutions = Vec::new();
        for (index, &(from, to, kernel, stride, gamma)) in (1..).zip(layers) {
            let (conv, norm) = (format!("{name}.conv{index}"), format!("{name}.bn{index}"));
            convolutions.push(self.conv_norm(&conv, &norm, [from, to], kernel, stride, gamma)?);
        }
        let (conv, norm) = (format!("{name}.downsample.0"), format!("{name}.downsample.1"));
        let changes = stride != 1 || inputs != outputs;
        let downsample =
            changes.then(|| self.conv_norm(&conv, &norm, [inputs, outputs], 1, stride, 1.0)).transpose()?;
        Ok(Block { convolutions, downsample })
    }

    /// Kaiming-normal by the fan-out: deviation sqrt(2 / (O KH KW)).
    fn conv_norm(
        &mut self,
        conv: &str,
        norm: &str,
        [inputs, outputs]: [usize; 2],
        kernel: usize,
        stride: usize,
        gamma: f32,
    ) -> Result<ConvNorm> {
        let name = format!("{conv}.weight");
        let deviation = (2.0 / (outputs * kernel * kernel) as f64).sqrt();
        let values = Random::new(self.seed, &name).normals(outputs * inputs * kernel * kernel, deviation);
        let weight = self.parameters.add(&name, Kind::Weight, &[outputs, inputs, kernel, kernel], &values)?;
        let norm = BatchNormLayer {
            gamma: self.constant(&format!("{norm}.weight"), Kind::Norm, &[outputs], gamma)?,
            beta: self.constant(&format!("{norm}.bias"), Kind::Norm, &[outputs], 0.0)?,
            statistics: self.parameters.add_statistics(norm, outputs)?,
            epsilon: 1e-5,
            momentum: 0.1,
        };
        Ok(ConvNorm { weight, stride, padding: kernel / 2, norm })
    }
}
