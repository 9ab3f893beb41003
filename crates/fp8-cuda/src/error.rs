//! What can go wrong between us and the card.

/// A failure of the driver, of the compiler, or of the card.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// There is no driver.
    #[error(
        "no NVIDIA driver: none of {looked_for} could be loaded; install the driver, or name its folder in LD_LIBRARY_PATH"
    )]
    NoDriver {
        /// Names of the library.
        looked_for: String,
    },
    /// A library of the driver's name that is something else.
    #[error(
        "what was loaded as NVIDIA's driver is another library, without a function {function}; see what LD_LIBRARY_PATH names"
    )]
    OtherLibrary {
        /// What it lacks.
        function: &'static str,
    },
    /// A driver that lacks functions that are needed.
    #[error("NVIDIA's driver here is one for CUDA {version}; a newer one is needed, for CUDA {oldest} at least")]
    OldDriver {
        /// Its version.
        version: String,
        /// The first that will do.
        oldest: String,
    },
    /// There is no run-time compiler.
    #[error(
        "no NVRTC, which compiles the kernels: {looked_for}; it comes with the CUDA toolkit and as the Python package nvidia-cuda-nvrtc: \
         name the file in FP8_NVRTC"
    )]
    NoNvrtc {
        /// What was tried, and what came of it.
        looked_for: String,
    },
    /// There is no card of this number.
    #[error("there is no card {ordinal}: the driver sees {count}")]
    NoDevice {
        /// The number asked for.
        ordinal: usize,
        /// How many there are.
        count: usize,
    },
    /// A card that the kernels are not written for.
    #[error("{name} has compute capability {major}.{minor}; the kernels need at least 8.0")]
    Unsupported {
        /// Name of the card.
        name: String,
        /// Compute capability.
        major: u32,
        /// Compute capability.
        minor: u32,
    },
    /// Kernels were asked for of a generation that is none.
    #[error("FP8_CUDA_CAPABILITY is {given:?}, which is no compute capability from 8.0 on, such as 8.9")]
    Capability {
        /// What was given.
        given: String,
    },
    /// A call of the driver that failed.
    #[error("{call}: {message}")]
    Driver {
        /// What was to be done.
        call: String,
        /// What the driver said.
        message: String,
    },
    /// A source that does not compile.
    #[error("NVRTC cannot compile {source_name} for {architecture} ({options}):\n{log}")]
    Compile {
        /// File of the kernel.
        source_name: &'static str,
        /// Which card for.
        architecture: String,
        /// Its definitions.
        options: String,
        /// What the compiler said.
        log: String,
    },
}

/// Result of a call of driver or compiler.
pub type Result<T> = std::result::Result<T, Error>;

/// Says what was to be done.
pub(crate) trait Context<T> {
    fn context(self, call: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Context<T> for std::result::Result<T, cudarc::driver::DriverError> {
    fn context(self, call: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::Driver { call: call(), message: crate::driver::message(error) })
    }
}
