//! Folders that one process at a time writes into.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::Path;

use crate::{Error, Result};

/// A folder is this process's until this is dropped, or the process ends, however it ends.
///
/// It is an advisory lock of the operating system on the folder's file `.lock`, which stays and is empty. Where the file system has no locks, there
/// is none, and a warning.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Makes the folder where it is missing, and takes it.
    ///
    /// # Errors
    /// [`Error::Folder`] when it is taken already; [`Error::File`] when it cannot be written.
    pub fn take(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).map_err(Error::file("making the folder", folder))?;
        let path = folder.join(".lock");
        let open = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let file = open.map_err(Error::file("opening", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let reason =
                    "another process is writing into it: wait for its end or stop it, or choose another folder";
                return Err(Error::Folder { folder: folder.into(), reason: reason.into() });
            }
            // Some network file systems have none.
            Err(TryLockError::Error(error)) => {
                tracing::warn!(
                    "{}: not locked ({error}): see to it that no other process writes here",
                    folder.display()
                );
            }
        }
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_taken_once_at_a_time() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("runs/a");
        let lock = FolderLock::take(&folder).unwrap();
        let error = FolderLock::take(&folder).unwrap_err();
        assert!(matches!(&error, Error::Folder { folder: named, .. } if *named == folder));
        assert!(error.to_string().ends_with("another folder"), "{error}");
        FolderLock::take(&place.path().join("runs/b")).unwrap();
        drop(lock);
        FolderLock::take(&folder).unwrap();
    }

    #[test]
    fn what_cannot_be_a_folder_is_named() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        fs::write(&file, "").unwrap();
        let error = FolderLock::take(&file.join("run")).unwrap_err();
        assert_eq!(error.to_string(), format!("making the folder {}", file.join("run").display()));
    }
}
