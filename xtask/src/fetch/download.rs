//! One file: from the network or a folder, going on where an earlier attempt stopped, checked to the byte.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};
use ureq::tls::{RootCerts, TlsConfig};

use super::manifest;

/// Where a file comes from.
pub enum Origin {
    /// An address of http or https.
    Network(String),
    /// A file here.
    Local(PathBuf),
}

impl Origin {
    /// The file's own address, or its name below the mirror's.
    pub fn of(file: &manifest::File, mirror: Option<&str>) -> Self {
        match mirror {
            None => Self::Network(file.url.clone()),
            Some(url) if url.starts_with("http://") || url.starts_with("https://") => {
                Self::Network(format!("{}/{}", url.trim_end_matches('/'), file.name()))
            }
            Some(folder) => Self::Local(Path::new(folder).join(file.name())),
        }
    }

    /// Whether it is not the file's own address.
    fn is_mirror(&self, file: &manifest::File) -> bool {
        !matches!(self, Self::Network(url) if *url == file.url)
    }

    /// Its bytes from `start` on, or from the beginning if it cannot be entered elsewhere; and where they begin.
    fn open(&self, start: u64) -> Result<(Box<dyn Read>, u64)> {
        match self {
            Self::Network(url) => request(url, start),
            Self::Local(path) => {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(start))?;
                Ok((Box::new(file), start))
            }
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(url) => f.write_str(url),
            Self::Local(path) => path.display().fmt(f),
        }
    }
}

fn request(url: &str, start: u64) -> Result<(Box<dyn Read>, u64)> {
    // Whom the system trusts: there may be a proxy with a certificate of its own.
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_connect(Some(Duration::from_secs(30)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .http_status_as_error(false)
        .build()
        .into();
    let mut request = agent.get(url).header("Accept-Encoding", "identity");
    if start > 0 {
        request = request.header("Range", format!("bytes={start}-"));
    }
    let response = request.call()?;
    let range = response.headers().get("Content-Range").and_then(|range| range.to_str().ok()).map(String::from);
    let start = match response.status().as_u16() {
        200 => 0,
        206 if range.as_ref().is_some_and(|range| range.starts_with(&format!("bytes {start}-"))) => start,
        206 => bail!("bytes from {start} were asked for, {} came", range.as_deref().unwrap_or("others")),
        _ => bail!("the server says {}", response.status()),
    };
    Ok((Box::new(response.into_body().into_reader()), start))
}

/// Brings a file into `folder`, unless it is there. Until it is whole its name ends in `.part`; with a wrong digest, in `.bad`.
pub fn download(file: &manifest::File, origin: &Origin, folder: &Path) -> Result<()> {
    let path = folder.join(file.name());
    if path.exists() {
        return Ok(());
    }
    let part = folder.join(format!("{}.part", file.name()));
    let mut there = fs::metadata(&part).map_or(0, |part| part.len());
    if there > file.size {
        there = 0;
    }
    if there < file.size {
        fill(file, origin, &part, there)?;
    }
    let found = sha256(&part)?;
    if found != file.sha256 {
        let bad = folder.join(format!("{}.bad", file.name()));
        rename(&part, &bad)?;
        bail!(
            "{origin}: wrong digest\n  expected SHA-256 {} ({})\n  found            {found}\n  kept as {}; run this command again to start anew",
            file.sha256,
            file.digest_source,
            bad.display()
        );
    }
    rename(&part, &path)
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| format!("renaming {} to {}", from.display(), to.display()))
}

/// Appends to `part`, which holds `there` bytes, what it lacks.
fn fill(file: &manifest::File, origin: &Origin, part: &Path, there: u64) -> Result<()> {
    let (mut source, start) = origin.open(there).with_context(|| format!("fetching {origin}"))?;
    let writing = || format!("writing {}", part.display());
    let mut target = OpenOptions::new().create(true).truncate(false).write(true).open(part).with_context(writing)?;
    target.set_len(start).and_then(|()| target.seek(SeekFrom::Start(start))).with_context(writing)?;
    let bar = progress(file, start)?;
    // One byte more than there should be, so as to notice it.
    let came = copy(&mut source.by_ref().take(file.size - start + 1), &mut target, &bar, origin, part)?;
    bar.finish_and_clear();
    match start + came {
        size if size == file.size => Ok(()),
        size if size < file.size && origin.is_mirror(file) => {
            bail!("{origin}: the mirror's file is cut: it ends after {size} of {} bytes", file.size)
        }
        size if size < file.size => {
            bail!("{origin}: ended after {size} of {} bytes; run this command again to go on from there", file.size)
        }
        _ => {
            fs::remove_file(part).with_context(|| format!("removing {}", part.display()))?;
            bail!("{origin}: longer than the {} bytes of {}", file.size, file.digest_source)
        }
    }
}

/// Shown on a terminal only.
fn progress(file: &manifest::File, start: u64) -> Result<ProgressBar> {
    let style = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    let bar = ProgressBar::new(file.size).with_style(ProgressStyle::with_template(style)?);
    Ok(bar.with_message(file.name().to_string()).with_position(start))
}

/// Copies all of `source`; says which side failed. Returns the number of bytes.
pub fn copy(
    source: &mut dyn Read,
    target: &mut dyn Write,
    bar: &ProgressBar,
    origin: &Origin,
    part: &Path,
) -> Result<u64> {
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        let len = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(error).with_context(|| {
                    format!("fetching {origin}: interrupted; run this command again to go on from there")
                });
            }
        };
        target.write_all(&buffer[..len]).with_context(|| format!("writing {}", part.display()))?;
        bytes += len as u64;
        bar.inc(len as u64);
    }
    target.flush().with_context(|| format!("writing {}", part.display()))?;
    Ok(bytes)
}

/// The digest of a file, in hexadecimal.
pub fn sha256(path: &Path) -> Result<String> {
    let reading = || format!("reading {}", path.display());
    let mut digest = Sha256::new();
    let mut file = BufReader::with_capacity(1 << 16, File::open(path).with_context(reading)?);
    loop {
        let bytes = file.fill_buf().with_context(reading)?;
        if bytes.is_empty() {
            return Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        digest.update(bytes);
        let len = bytes.len();
        file.consume(len);
    }
}
