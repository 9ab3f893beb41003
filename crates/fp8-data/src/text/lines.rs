//! Lines of text files.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::{Error, Result};

/// Bytes of the longest line that is read: what is longer is no text, and must not fill the memory.
const LONGEST: usize = 1 << 20;

/// The lines of a file in UTF-8, one after the other, without their ends (`\n` or `\r\n`).
///
/// A name that ends in `.gz` is that of a gzip file. Only `\n` ends a line; other separators of Unicode stay in it. After an error nothing more
/// comes.
pub struct Lines {
    path: PathBuf,
    reader: Box<dyn BufRead + Send>,
    /// Lines read so far.
    read: usize,
    failed: bool,
}

impl Lines {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        let reader: Box<dyn BufRead + Send> = if path.extension().is_some_and(|extension| extension == "gz") {
            Box::new(BufReader::new(MultiGzDecoder::new(BufReader::new(file))))
        } else {
            Box::new(BufReader::new(file))
        };
        Ok(Self::new(path, reader))
    }

    /// Of what is read elsewhere; `name` stands for it in errors.
    pub fn new(name: &Path, reader: Box<dyn BufRead + Send>) -> Self {
        Self { path: name.into(), reader, read: 0, failed: false }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lines read so far.
    pub fn read(&self) -> usize {
        self.read
    }

    fn line(&mut self) -> Result<Option<String>> {
        let mut bytes = Vec::new();
        let limit = LONGEST as u64 + 2;
        self.reader.by_ref().take(limit).read_until(b'\n', &mut bytes).map_err(Error::io(&self.path))?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.read += 1;
        let (path, line) = (&self.path, self.read);
        for end in [b'\n', b'\r'] {
            bytes.pop_if(|last| *last == end);
        }
        if bytes.len() > LONGEST {
            return Err(Error::LongLine { path: path.clone(), line, limit: LONGEST });
        }
        let not_utf8 = |error: std::string::FromUtf8Error| Error::NotUtf8 {
            path: path.clone(),
            line,
            byte: error.utf8_error().valid_up_to() + 1,
        };
        String::from_utf8(bytes).map(Some).map_err(not_utf8)
    }
}

impl Iterator for Lines {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Result<String>> {
        if self.failed {
            return None;
        }
        let line = self.line().transpose();
        self.failed = matches!(line, Some(Err(_)));
        line
    }
}

/// All lines of files whose lines belong together: as many in each, at least one.
pub fn read_aligned<P: AsRef<Path>>(paths: &[P]) -> Result<Vec<Vec<String>>> {
    let mut files: Vec<Vec<String>> = Vec::with_capacity(paths.len());
    for path in paths.iter().map(AsRef::as_ref) {
        let lines: Vec<String> = Lines::open(path)?.collect::<Result<_>>()?;
        if lines.is_empty() {
            return Err(Error::NoText { path: path.into() });
        }
        if let Some(first) = files.first().filter(|first| first.len() != lines.len()) {
            return Err(Error::LineCounts {
                first: paths[0].as_ref().into(),
                first_lines: first.len(),
                second: path.into(),
                second_lines: lines.len(),
            });
        }
        files.push(lines);
    }
    Ok(files)
}
