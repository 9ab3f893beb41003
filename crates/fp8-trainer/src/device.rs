//! Where to compute.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use fp8_cuda::CudaBackend;
use fp8_kernels::{Backend, CpuBackend, Error, Result, isa};

/// A device by its name: `cpu`, `cuda`, `cuda:1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// This machine's processor.
    #[default]
    Cpu,
    /// An NVIDIA GPU, numbered as the driver does.
    Cuda(usize),
}

impl Device {
    /// Opens it. `threads` are those of the CPU: as many as it has cores unless given.
    ///
    /// # Errors
    /// Where `FP8_ISA` names what this CPU lacks; where there is no driver or no such card.
    pub fn open(self, threads: Option<usize>) -> Result<Arc<dyn Backend>> {
        match self {
            Self::Cpu => Ok(Arc::new(CpuBackend::with(isa::select()?, threads.unwrap_or(0))?)),
            Self::Cuda(ordinal) => match CudaBackend::new(ordinal) {
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
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        let card = |number: &str| number.parse().ok().map(Self::Cuda);
        let found = match (name, name.strip_prefix("cuda:")) {
            ("cpu", _) => Some(Self::Cpu),
            ("cuda", _) => Some(Self::Cuda(0)),
            (_, Some(number)) => card(number),
            _ => None,
        };
        found.ok_or_else(|| format!("{name:?} is no device: cpu, cuda, or cuda:N for card N"))
    }
}

#[cfg(test)]
mod tests {
    use super::Device;

    #[test]
    fn names_are_read_as_they_are_written() {
        for (name, device) in [("cpu", Device::Cpu), ("cuda", Device::Cuda(0)), ("cuda:3", Device::Cuda(3))] {
            assert_eq!(name.parse(), Ok(device));
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        for name in ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "cpu:0", "CUDA"] {
            assert!(name.parse::<Device>().unwrap_err().contains("cuda:N"), "{name}");
        }
    }

    /// On a machine without a driver, the error says what was looked for; with one, that there are not so many cards.
    #[test]
    fn a_card_that_is_not_there_is_an_error() {
        let error = Device::Cuda(4096).open(None).err().unwrap().to_string();
        assert!(error.starts_with("cuda:4096: "), "{error}");
        assert!(error.contains("libcuda.so") || error.contains("the driver sees"), "{error}");
    }
}
