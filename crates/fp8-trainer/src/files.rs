//! Files that are there whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Writes `bytes` beside `path`, flushes them to the disk, and renames them to `path`: at any time there is the old file or
/// the new one. What was written beside it is removed when anything fails. What is neither file nor folder (a device, a pipe) is
/// written into and stays what it is.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        let written = OpenOptions::new().write(true).open(path).and_then(|mut device| device.write_all(bytes));
        return written.map_err(Error::file("writing", path));
    }
    let temporary = beside(path);
    let result = (|| {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_folder(path)
    })();
    result.map_err(|source| {
        // Best effort: the first error is the one to report.
        let _ = fs::remove_file(&temporary);
        Error::file("writing", path)(source)
    })
}

/// Reads a whole file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(Error::file("reading", path))
}

fn beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.part", std::process::id()));
    path.with_file_name(name)
}

/// Makes a rename in the file's folder last; only Unix lets a folder be flushed.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_device_is_written_into() {
        use std::os::unix::fs::FileTypeExt;
        let [null, full] = ["/dev/null", "/dev/full"].map(Path::new);
        write(null, b"x").unwrap();
        assert!(
            matches!(write(full, b"x"), Err(Error::File { source, .. }) if source.kind() == io::ErrorKind::StorageFull)
        );
        assert!([null, full].iter().all(|path| fs::metadata(path).unwrap().file_type().is_char_device()));
    }

    #[test]
    fn a_failed_write_leaves_no_trace() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        write(&path, b"old").unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        // A folder cannot be replaced by a file.
        let taken = folder.path().join("taken");
        fs::create_dir(&taken).unwrap();
        let error = write(&taken, b"x").unwrap_err().to_string();
        assert_eq!(error, format!("writing {}", taken.display()));
        let missing = folder.path().join("no such folder/file");
        assert!(write(&missing, b"x").is_err());
        let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["taken", "weights.safetensors"]);
    }
}
