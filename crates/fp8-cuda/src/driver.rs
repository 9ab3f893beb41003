//! NVIDIA's driver, looked at before it is used: what binds it panics where a function is missing.

use std::ffi::c_int;

use cudarc::driver::{DriverError, sys};

use crate::error::{Context, Error, Result};

/// The first version that has all functions in use, as `cuDriverGetVersion` tells it: CUDA 12.4.
const OLDEST: i32 = 12_040;

/// Loads the driver's library.
///
/// # Errors
/// [`Error::NoDriver`], [`Error::OtherLibrary`] and [`Error::OldDriver`].
pub(crate) fn load() -> Result<()> {
    // SAFETY: the initialisers are those of an ordinary library.
    if !unsafe { sys::is_culib_present() } {
        return Err(Error::NoDriver { looked_for: "libcuda.so, libcuda.so.1, nvcuda.dll".into() });
    }
    let mut version: c_int = 0;
    // SAFETY: the library is present; the function's signature as in cuda.h, and the pointer is valid.
    unsafe {
        type GetVersion = unsafe extern "C" fn(*mut c_int) -> sys::CUresult;
        let function = "cuDriverGetVersion";
        let get_version = sys::culib().get::<GetVersion>(function.as_bytes());
        let get_version = get_version.map_err(|_| Error::OtherLibrary { function })?;
        get_version(&mut version).result().context(|| "asking for the driver's version".into())?;
    }
    if version < OLDEST {
        return Err(Error::OldDriver { version: name(version), oldest: name(OLDEST) });
    }
    Ok(())
}

/// `12.4` of 12040.
fn name(version: i32) -> String {
    format!("{}.{}", version / 1000, version % 1000 / 10)
}

/// What the driver says of an error; its number where the driver cannot say.
pub(crate) fn message(error: DriverError) -> String {
    let text = |text: std::result::Result<&std::ffi::CStr, DriverError>| match text {
        Ok(text) => text.to_string_lossy().into_owned(),
        Err(_) => format!("error {}", error.0 as i32),
    };
    format!("{} ({})", text(error.error_string()), text(error.error_name()))
}
