//! Compiled kernels on disk, by the digest of all that they depend on.
//!
//! A file is written beside its place and renamed, so that two processes may use one folder; a file that is not whole (its digest says so) is compiled again.
//! Where the folder cannot be written, kernels are compiled in each process.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Bytes of a digest.
const DIGEST: usize = 32;

/// A folder of compiled kernels.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: Option<PathBuf>,
}

impl Cache {
    /// `$FP8_CUDA_CACHE`; else `fp8/cuda` in the user's cache folder (`$XDG_CACHE_HOME`, or `.cache` in `$HOME`); nowhere without either.
    pub fn of_user() -> Self {
        let path = |name| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
        let base = || path("XDG_CACHE_HOME").or_else(|| path("HOME").map(|home| home.join(".cache")));
        Self { folder: path("FP8_CUDA_CACHE").or_else(|| base().map(|base| base.join("fp8/cuda"))) }
    }

    /// A folder.
    pub fn at(folder: &Path) -> Self {
        Self { folder: Some(folder.to_owned()) }
    }

    /// What is kept under the `key`; else what `make` gives, which is then kept.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn get<E>(&self, key: &[&str], make: impl FnOnce() -> Result<Vec<u8>, E>) -> Result<Vec<u8>, E> {
        let Some(path) = self.folder.as_ref().map(|folder| folder.join(format!("{}.cubin", name(key)))) else {
            return make();
        };
        if let Some(bytes) = std::fs::read(&path).ok().and_then(whole) {
            return Ok(bytes);
        }
        let bytes = make()?;
        if let Err(error) = keep(&path, &bytes) {
            tracing::warn!("{}: a compiled kernel could not be kept: {error}", path.display());
        }
        Ok(bytes)
    }
}

/// Digest of all parts and their lengths, as hexadecimal digits.
fn name(key: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in key {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    digest.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The contents of a file, if they are those that were written.
fn whole(mut file: Vec<u8>) -> Option<Vec<u8>> {
    let len = file.len().checked_sub(DIGEST)?;
    (Sha256::digest(&file[..len])[..] == file[len..]).then(|| {
        file.truncate(len);
        file
    })
}

fn keep(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let beside = path.with_extension(format!("{}.{:?}", std::process::id(), std::thread::current().id()));
    let whole = [bytes, &Sha256::digest(bytes)].concat();
    std::fs::write(&beside, whole).and_then(|()| std::fs::rename(&beside, path)).inspect_err(|_| {
        // What is left of it is of no use; the error that counts is the one returned.
        let _ = std::fs::remove_file(&beside);
    })
}

#[cfg(test)]
mod tests {
    use super::Cache;

    fn get(cache: &Cache, key: &[&str], made: &[u8]) -> Vec<u8> {
        cache.get(key, || Ok::<_, ()>(made.to_vec())).unwrap()
    }

    #[test]
    fn what_was_made_is_kept_by_its_whole_key() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(&folder.path().join("deep/er"));
        assert_eq!(get(&cache, &["source", "sm_90a"], b"first"), b"first");
        assert_eq!(get(&cache, &["source", "sm_90a"], b"second"), b"first");
        assert_eq!(get(&cache, &["source", "sm_80"], b"third"), b"third");
        assert_eq!(get(&cache, &["sources", "m_90a"], b"fourth"), b"fourth");
        assert_eq!(cache.get(&["new"], || Err::<Vec<u8>, _>("failed")), Err("failed"));
    }

    #[test]
    fn damaged_files_are_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        type Damage = fn(&mut Vec<u8>);
        let damages: [Damage; 4] =
            [|bytes| bytes[0] ^= 1, |bytes| bytes.truncate(7), |bytes| bytes.push(0), Vec::clear];
        for damage in damages {
            get(&cache, &["key"], b"contents");
            let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
            let mut bytes = std::fs::read(&file).unwrap();
            damage(&mut bytes);
            std::fs::write(&file, bytes).unwrap();
            assert_eq!(get(&cache, &["key"], b"again"), b"again");
            std::fs::remove_file(file).unwrap();
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_costs_time_only() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let cache = Cache::at(&file.path().join("below a file"));
        assert_eq!(get(&cache, &["key"], b"made"), b"made");
        assert_eq!(get(&cache, &["key"], b"again"), b"again");
    }
}
