//! NVRTC, NVIDIA's run-time compiler, loaded when the first kernel is not in the cache.
//!
//! Bound by ourselves: of its functions we need nine, and where it is missing there must be an error that says where we looked.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};

use libloading::Library;

use crate::error::{Error, Result};

/// Names of the library; the newest first.
const NAMES: [&str; 4] = ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so", "nvrtc64_130_0.dll"];

type Program = *mut c_void;
type Status = c_int;

/// The compiler.
#[derive(Debug)]
pub struct Nvrtc {
    library: Library,
    /// What it loads by name when it compiles, from beside it: a search by name alone need not look there.
    builtins: Option<Library>,
    /// Where it was found.
    place: PathBuf,
}

/// What is to be compiled.
#[derive(Clone, Copy, Debug)]
pub struct Unit<'a> {
    /// File name, as in messages.
    pub name: &'static str,
    /// Its text.
    pub text: &'a str,
    /// Names and texts of what it may include.
    pub headers: &'a [(&'static str, &'static str)],
    /// `sm_90a` and the like.
    pub architecture: &'a str,
    /// Further options.
    pub options: &'a [String],
}

impl Nvrtc {
    /// The file that the environment variable `FP8_NVRTC` names; else the first of the usual names that the system's search, or a toolkit in `CUDA_HOME`,
    /// `CUDA_PATH` or `/usr/local/cuda`, has.
    ///
    /// # Errors
    /// [`Error::NoNvrtc`].
    pub fn find() -> Result<Self> {
        if let Some(path) = std::env::var_os("FP8_NVRTC") {
            return Self::load(Path::new(&path));
        }
        let toolkits = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(std::env::var_os).map(PathBuf::from);
        let folders = toolkits.chain([PathBuf::from("/usr/local/cuda")]).map(|toolkit| toolkit.join("lib64"));
        let folders: Vec<PathBuf> = [PathBuf::new()].into_iter().chain(folders).collect();
        let mut tried = Vec::new();
        for place in folders.iter().flat_map(|folder| NAMES.map(|name| folder.join(name))) {
            match Self::load(&place) {
                Ok(nvrtc) => return Ok(nvrtc),
                Err(_) => tried.push(place.display().to_string()),
            }
        }
        Err(Error::NoNvrtc { looked_for: format!("none of {} could be loaded", tried.join(", ")) })
    }

    /// The library of this file.
    ///
    /// # Errors
    /// [`Error::NoNvrtc`].
    pub fn load(place: &Path) -> Result<Self> {
        let failed = |error: libloading::Error| Error::NoNvrtc { looked_for: format!("{}: {error}", place.display()) };
        // SAFETY: NVRTC's initialisers are those of an ordinary library.
        let library = unsafe { Library::new(place) }.map_err(failed)?;
        let mut nvrtc = Self { library, builtins: None, place: place.to_owned() };
        let (major, minor) = nvrtc.version()?;
        let beside = place.with_file_name(format!("libnvrtc-builtins.so.{major}.{minor}"));
        // SAFETY: as above.
        nvrtc.builtins = unsafe { Library::new(beside) }.ok();
        Ok(nvrtc)
    }

    /// Major and minor version.
    ///
    /// # Errors
    /// [`Error::NoNvrtc`] where the library is something else.
    pub fn version(&self) -> Result<(i32, i32)> {
        let (mut major, mut minor) = (0, 0);
        // SAFETY: the function's signature as in nvrtc.h; both pointers are valid.
        unsafe {
            let version = self.function::<extern "C" fn(*mut c_int, *mut c_int) -> Status>(c"nvrtcVersion")?;
            version(&mut major, &mut minor);
        }
        Ok((major, minor))
    }

    /// The machine code of a unit.
    ///
    /// # Errors
    /// [`Error::Compile`] with the compiler's log.
    pub fn compile(&self, unit: &Unit<'_>) -> Result<Vec<u8>> {
        let failed = |log: String| Error::Compile {
            source_name: unit.name,
            architecture: unit.architecture.to_owned(),
            options: unit.options.join(" "),
            log,
        };
        let c_string = |text: &str| CString::new(text).map_err(|_| failed("a NUL in a text".into()));
        let (name, text) = (c_string(unit.name)?, c_string(unit.text)?);
        let headers: Vec<[CString; 2]> =
            unit.headers.iter().map(|(name, text)| Ok([c_string(name)?, c_string(text)?])).collect::<Result<_>>()?;
        let [names, texts] = [0, 1].map(|i| headers.iter().map(|header| header[i].as_ptr()).collect::<Vec<_>>());
        let architecture = format!("--gpu-architecture={}", unit.architecture);
        let options: Vec<CString> =
            [&architecture].into_iter().chain(unit.options).map(|option| c_string(option)).collect::<Result<_>>()?;
        let options: Vec<_> = options.iter().map(|option| option.as_ptr()).collect();
        // SAFETY: signatures as in nvrtc.h; strings and arrays live until the program has been compiled.
        unsafe {
            type Texts = *const *const c_char;
            let create = self.function::<extern "C" fn(
                *mut Program,
                *const c_char,
                *const c_char,
                c_int,
                Texts,
                Texts,
            ) -> Status>(c"nvrtcCreateProgram")?;
            let compile = self.function::<extern "C" fn(Program, c_int, Texts) -> Status>(c"nvrtcCompileProgram")?;
            let destroy = self.function::<extern "C" fn(*mut Program) -> Status>(c"nvrtcDestroyProgram")?;
            let mut program = std::ptr::null_mut();
            let count = headers.len() as c_int;
            let status = create(&mut program, text.as_ptr(), name.as_ptr(), count, texts.as_ptr(), names.as_ptr());
            if status != 0 {
                return Err(failed(self.message(status)?));
            }
            let result = match compile(program, options.len() as c_int, options.as_ptr()) {
                0 => self.bytes(program, c"nvrtcGetCUBINSize", c"nvrtcGetCUBIN"),
                status => self.bytes(program, c"nvrtcGetProgramLogSize", c"nvrtcGetProgramLog").and_then(|log| {
                    let log = String::from_utf8_lossy(&log);
                    Err(failed(format!("{}: {}", self.message(status)?, log.trim_matches(['\0', '\n']))))
                }),
            };
            destroy(&mut program);
            result
        }
    }

    /// What a pair of functions, for size and contents, gives.
    ///
    /// # Safety
    /// The program has not been destroyed.
    unsafe fn bytes(&self, program: Program, size: &CStr, get: &CStr) -> Result<Vec<u8>> {
        let mut len = 0_usize;
        // SAFETY: signatures as in nvrtc.h; the contents have the size that was asked for.
        unsafe {
            self.function::<extern "C" fn(Program, *mut usize) -> Status>(size)?(program, &mut len);
            let mut bytes = vec![0_u8; len];
            self.function::<extern "C" fn(Program, *mut u8) -> Status>(get)?(program, bytes.as_mut_ptr());
            Ok(bytes)
        }
    }

    fn message(&self, status: Status) -> Result<String> {
        // SAFETY: signature as in nvrtc.h; it gives a constant of the library.
        unsafe {
            let text = self.function::<extern "C" fn(Status) -> *const c_char>(c"nvrtcGetErrorString")?(status);
            Ok(CStr::from_ptr(text).to_string_lossy().into_owned())
        }
    }

    /// A function of the library.
    ///
    /// # Safety
    /// `F` is its type.
    unsafe fn function<F: Copy>(&self, name: &CStr) -> Result<F> {
        // SAFETY: the caller's promise.
        let found = unsafe { self.library.get::<F>(name) };
        found
            .map(|function| *function)
            .map_err(|error| Error::NoNvrtc { looked_for: format!("{}: {error}", self.place.display()) })
    }
}
