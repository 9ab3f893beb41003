//! Files that are there whole or not at all.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Writes `bytes` beside `path`, flushes them to the disk, and renames them to `path`: at any time there is the old file or
/// the new one, with the old one's permissions. What was written beside it is removed when anything fails.
///
/// A link stays, and the file that it names is replaced. What is neither file nor folder (a device, a pipe), and what this process was given open,
/// are written into and stay what they are: what the standard output or the standard error is, under whatever name, and `/dev/fd/3`.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = match fs::metadata(path) {
        Ok(found) if let Some(open) = opened(path, &found) => open.and_then(|mut open| open.write_all(bytes)),
        Ok(found) if found.is_file() => {
            fs::canonicalize(path).and_then(|target| replace(&target, bytes, Some(found.permissions())))
        }
        Ok(found) if !found.is_dir() => {
            OpenOptions::new().write(true).open(path).and_then(|mut device| device.write_all(bytes))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => replace(&destination(path), bytes, None),
        Ok(_) => Err(ErrorKind::IsADirectory.into()),
        Err(error) => Err(error),
    };
    written.map_err(Error::file("writing", path))
}

/// Whether this is what the standard output writes into, under whatever name. Only Unix tells.
pub fn is_standard_output(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| is(&found, standard_output()))
}

/// As [`is_standard_output`], of the standard error.
pub fn is_standard_error(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| is(&found, standard_error()))
}

/// Where to write what this path names, if it names something that this process was given open.
fn opened(path: &Path, found: &fs::Metadata) -> Option<io::Result<File>> {
    match (is(found, standard_output()), is(found, standard_error())) {
        (true, _) => Some(standard_output()),
        (_, true) => Some(standard_error()),
        // On Linux that opens the file anew: it goes on where it ends.
        _ => is_descriptor(path).then(|| OpenOptions::new().append(true).open(path)),
    }
}

/// Whether this is a name such as `/dev/fd/3`, or a link to one.
fn is_descriptor(path: &Path) -> bool {
    let (folder, descriptors) = (path.parent().map(fs::canonicalize), fs::canonicalize("/dev/fd"));
    let is_one = matches!((folder, descriptors), (Some(Ok(folder)), Ok(descriptors)) if folder == descriptors);
    is_one || fs::read_link(path).is_ok_and(|link| is_descriptor(&path.with_file_name(link)))
}

fn is(found: &fs::Metadata, stream: io::Result<File>) -> bool {
    stream.and_then(|stream| stream.metadata()).is_ok_and(|stream| are_one(found, &stream))
}

#[cfg(unix)]
fn standard_output() -> io::Result<File> {
    use std::os::fd::AsFd;
    io::stdout().as_fd().try_clone_to_owned().map(File::from)
}

#[cfg(unix)]
fn standard_error() -> io::Result<File> {
    use std::os::fd::AsFd;
    io::stderr().as_fd().try_clone_to_owned().map(File::from)
}

#[cfg(not(unix))]
fn standard_output() -> io::Result<File> {
    Err(ErrorKind::Unsupported.into())
}

#[cfg(not(unix))]
fn standard_error() -> io::Result<File> {
    Err(ErrorKind::Unsupported.into())
}

#[cfg(unix)]
fn are_one(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn are_one(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    false
}

/// What a link to nothing would have to name; other paths as they are.
fn destination(path: &Path) -> PathBuf {
    match fs::read_link(path) {
        Ok(link) => destination(&path.with_file_name(link)),
        Err(_) => path.into(),
    }
}

/// Writes beside `path`, and renames.
fn replace(path: &Path, bytes: &[u8], permissions: Option<Permissions>) -> io::Result<()> {
    let temporary = beside(path);
    let result = (|| {
        let mut file = create(&temporary, permissions.as_ref())?;
        if let Some(permissions) = permissions {
            file.set_permissions(permissions)?;
        }
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_folder(path)
    })();
    if result.is_err() {
        // Best effort: the first error is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    result
}

/// A new file that is at no moment open to more users than `permissions` say.
fn create(path: &Path, permissions: Option<&Permissions>) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if let Some(permissions) = permissions {
        use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
        options.mode(permissions.mode());
    }
    options.open(path)
}

/// Reads a whole file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(Error::file("reading", path))
}

/// `.NAME.PROCESS.part`; of a long name its beginning, as names have at most 255 bytes.
fn beside(path: &Path) -> PathBuf {
    const CHARACTERS: usize = 40;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name: String = name.chars().take(CHARACTERS).collect();
    path.with_file_name(format!(".{name}.{}.part", std::process::id()))
}

/// Removes what processes that were killed have left beside these files of a folder; who calls this writes there alone.
pub fn remove_parts(folder: &Path, names: &[&str]) -> Result<()> {
    let is_part = |file: &str| {
        let left = |name: &&str| file.strip_prefix('.')?.strip_prefix(*name)?.strip_prefix('.')?.strip_suffix(".part");
        names.iter().filter_map(left).any(|process| process.parse::<u32>().is_ok())
    };
    let entries = fs::read_dir(folder).map_err(Error::file("reading the folder", folder))?;
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.file_name().and_then(|name| name.to_str()).is_some_and(is_part) {
            // Best effort: they are in nobody's way.
            let _ = fs::remove_file(path);
        }
    }
    Ok(())
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

    #[cfg(unix)]
    #[test]
    fn a_link_stays_and_so_do_permissions() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("far")).unwrap();
        fs::write(at("far/file"), "old").unwrap();
        fs::set_permissions(at("far/file"), Permissions::from_mode(0o600)).unwrap();
        symlink("far/file", at("link")).unwrap();
        symlink("link", at("link to it")).unwrap();
        symlink("far/new", at("link to nothing")).unwrap();
        write(&at("link to it"), b"new").unwrap();
        write(&at("link to nothing"), b"first").unwrap();
        assert_eq!(fs::read(at("far/file")).unwrap(), b"new");
        assert_eq!(fs::read(at("far/new")).unwrap(), b"first");
        assert_eq!(fs::metadata(at("far/file")).unwrap().permissions().mode() & 0o777, 0o600);
        for link in ["link", "link to it", "link to nothing"] {
            assert!(fs::symlink_metadata(at(link)).unwrap().is_symlink(), "{link}");
        }
        assert_eq!(fs::read_dir(at("far")).unwrap().count(), 2);
    }

    /// A file that a killed process with this number has left is in nobody's way.
    #[test]
    fn names_may_be_long() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["n".repeat(250), "\u{1f600}".repeat(60), "short".into()] {
            let path = folder.path().join(name);
            fs::write(beside(&path), "left").unwrap();
            write(&path, b"x").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"x");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
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
