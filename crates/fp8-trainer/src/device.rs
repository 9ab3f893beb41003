//! Where to compute.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

pub use fp8_cuda::Accumulation;
use fp8_cuda::CudaBackend;
use fp8_kernels::{Backend, CpuBackend, Error, Result, isa};

/// A device by its name: `cpu`, `cuda`, `cuda:1`; of a card also how it sums products: `cuda,exact`, `cuda:1,ordered`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// This machine's processor.
    #[default]
    Cpu,
    /// An NVIDIA GPU.
    Cuda {
        /// Its number, as the driver counts them.
        ordinal: usize,
        /// How it sums products.
        accumulation: Accumulation,
    },
}

impl Device {
    /// The same card, summing products so; a CPU stays as it is.
    pub const fn summing(self, accumulation: Accumulation) -> Self {
        match self {
            Self::Cpu => self,
            Self::Cuda { ordinal, .. } => Self::Cuda { ordinal, accumulation },
        }
    }

    /// Opens it. `threads` are those of the CPU: as many as it has cores unless given.
    ///
    /// # Errors
    /// Where `FP8_ISA` names what this CPU lacks; where there is no driver or no such card.
    pub fn open(self, threads: Option<usize>) -> Result<Arc<dyn Backend>> {
        match self {
            Self::Cpu => Ok(Arc::new(CpuBackend::with(isa::select()?, threads.unwrap_or(0))?)),
            Self::Cuda { ordinal, accumulation } => match CudaBackend::new(ordinal, accumulation) {
                Ok(gpu) => Ok(Arc::new(gpu)),
                Err(error) => Err(Error::Backend { backend: self.to_string(), reason: error.to_string() }),
            },
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.pad("cpu"),
            Self::Cuda { ordinal, accumulation } if *accumulation == Accumulation::default() => {
                write!(f, "cuda:{ordinal}")
            }
            Self::Cuda { ordinal, accumulation } => write!(f, "cuda:{ordinal},{accumulation}"),
        }
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        if name == "cpu" {
            return Ok(Self::Cpu);
        }
        let (card, accumulation) = match name.split_once(',') {
            Some((card, accumulation)) => (card, accumulation.parse().ok()),
            None => (name, Some(Accumulation::default())),
        };
        let ordinal = match (card, card.strip_prefix("cuda:")) {
            ("cuda", _) => Some(0),
            (_, Some(number)) => number.parse().ok(),
            _ => None,
        };
        match (ordinal, accumulation) {
            (Some(ordinal), Some(accumulation)) => Ok(Self::Cuda { ordinal, accumulation }),
            _ => Err(format!(
                "{name:?} is no device: cpu, cuda, or cuda:N for card N, and, after a comma, how it sums products: {}",
                Accumulation::NAMES.join(", ")
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let cuda = |ordinal, accumulation| Device::Cuda { ordinal, accumulation };
        for (name, device) in [
            ("cpu", Device::Cpu),
            ("cuda", cuda(0, Accumulation::default())),
            ("cuda:3", cuda(3, Accumulation::default())),
            ("cuda,ordered", cuda(0, Accumulation::Ordered)),
            ("cuda:2,exact", cuda(2, Accumulation::Exact)),
            ("cuda:0,fast", cuda(0, Accumulation::Fast)),
        ] {
            assert_eq!(name.parse(), Ok(device));
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        for name in
            ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "cpu:0", "CUDA", "cuda,", "cuda,slow", "cpu,exact", ",exact"]
        {
            assert!(name.parse::<Device>().unwrap_err().contains("cuda:N"), "{name}");
        }
    }

    /// On a machine without a driver, the error says what was looked for; with one, that there are not so many cards.
    #[test]
    fn a_card_that_is_not_there_is_an_error() {
        let error =
            Device::Cuda { ordinal: 4096, accumulation: Accumulation::default() }.open(None).err().unwrap().to_string();
        assert!(error.starts_with("cuda:4096: "), "{error}");
        assert!(error.contains("libcuda.so") || error.contains("the driver sees"), "{error}");
    }
}
