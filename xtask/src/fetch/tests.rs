//! Fetching a tiny data set from a folder and from a server of a few lines that can misbehave.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;
use indicatif::ProgressBar;
use sha2::{Digest, Sha256};

use super::download::{Origin, copy};
use super::manifest::Manifest;
use super::{fetch, repository, standing};

const ARCHIVE: &str = "tiny.tar.gz";

/// The files of a CIFAR-10 of one image a batch.
fn files() -> Vec<(String, Vec<u8>)> {
    let names: String = (0..10).map(|class| format!("class {class}\n")).collect();
    let record = |label: u8| [vec![label], vec![label; 3072]].concat();
    let batches = (1..=5).map(|n| (format!("top/data_batch_{n}.bin"), record(n)));
    let others = [("top/test_batch.bin".into(), record(9)), ("top/batches.meta.txt".into(), names.into_bytes())];
    batches.chain(others).collect()
}

fn archive(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        // Written as bytes: `set_path` would refuse what hostile archives hold.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append(&header, &bytes[..]).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

fn manifest(archive: &[u8]) -> Manifest {
    let sha256: String = Sha256::digest(archive).iter().map(|byte| format!("{byte:02x}")).collect();
    let size = archive.len();
    Manifest::parse(&format!(
        r#"
        title = "Tiny"
        about = "six images"
        homepage = "https://tiny.test"
        licence = "none"
        layout = ["data_batch_1.bin", "test_batch.bin"]
        classes = 10
        training = 5
        validation = 1
        [[file]]
        url = "https://tiny.test/{ARCHIVE}"
        size = {size}
        sha256 = "{sha256}"
        digest_source = "https://tiny.test/digests"
        unpack = true
        "#
    ))
    .unwrap()
}

/// A folder to fetch into, a mirror that holds `archive`, and the manifest of the whole one.
struct Place {
    folder: tempfile::TempDir,
    manifest: Manifest,
}

impl Place {
    fn new(archive: &[u8]) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap(), manifest: manifest(archive) };
        fs::create_dir(place.mirror()).unwrap();
        fs::write(place.mirror().join(ARCHIVE), archive).unwrap();
        place
    }

    fn mirror(&self) -> PathBuf {
        self.folder.path().join("mirror")
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("data/tiny")
    }

    fn download(&self, suffix: &str) -> PathBuf {
        self.folder.path().join(format!("data/tiny.download/{ARCHIVE}{suffix}"))
    }

    fn fetch(&self, mirror: &str) -> Result<(), String> {
        fetch(&self.manifest, Some(mirror), &self.target()).map_err(|error| format!("{error:#}"))
    }

    fn fetch_local(&self) -> Result<(), String> {
        self.fetch(self.mirror().to_str().unwrap())
    }

    /// The data set is whole, and nothing else is left.
    fn assert_ready(&self) {
        let names = |folder: &Path| -> Vec<String> {
            let mut names: Vec<String> =
                fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        assert_eq!(names(self.target().parent().unwrap()), ["tiny"]);
        assert_eq!(names(&self.target()).len(), 7);
        assert_eq!(fs::read(self.target().join("data_batch_3.bin")).unwrap()[..4], [3; 4]);
    }
}

fn assert_mentions(result: Result<(), String>, words: &[&str]) {
    let error = result.expect_err("it should have failed");
    assert!(words.iter().all(|word| error.contains(word)), "{error:?} should mention {words:?}");
}

/// How a server answers.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Proper,
    /// Always sends everything.
    WithoutRanges,
    /// Ends the connection after this many bytes of a body.
    Cut(usize),
    /// Sends bytes from the beginning and says so, whatever is asked for.
    WrongRange,
    Missing,
}

/// Serves `bytes`; returns its address, and the `Range` of each request (empty where there was none) as they come.
fn serve(bytes: Vec<u8>, manner: Manner) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let ranges = Arc::new(Mutex::new(Vec::new()));
    let log = ranges.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut range = String::new();
            for line in BufReader::new(&stream).lines() {
                let line = line.unwrap().to_lowercase();
                if let Some(value) = line.strip_prefix("range: ") {
                    range = value.into();
                }
                if line.is_empty() {
                    break;
                }
            }
            let from = range.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-')?.parse().ok());
            log.lock().unwrap().push(range);
            let (status, start) = match (manner, from) {
                (Manner::Missing, _) => ("404 Not Found".to_string(), bytes.len()),
                (Manner::WrongRange, Some(_)) => {
                    (format!("206 Partial Content\r\nContent-Range: bytes 0-9/{}", bytes.len()), 0)
                }
                (Manner::Proper | Manner::Cut(_), Some(from)) => (
                    format!("206 Partial Content\r\nContent-Range: bytes {from}-{}/{}", bytes.len() - 1, bytes.len()),
                    from,
                ),
                _ => ("200 OK".to_string(), 0),
            };
            let body = &bytes[start..];
            let sent = if let Manner::Cut(most) = manner { most.min(body.len()) } else { body.len() };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            // The client may hang up early.
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body[..sent]));
        }
    });
    (address, ranges)
}

#[test]
fn manifests_are_well_formed() {
    let folder = repository::root().unwrap().join("datasets");
    for entry in fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let manifest = Manifest::named(&folder, name.strip_suffix(".toml").unwrap()).unwrap();
        assert!(!manifest.layout.is_empty() && manifest.training >= manifest.validation, "{name}");
        assert!(manifest.text.is_some() || manifest.classes.is_some(), "{name}");
    }
    let error = Manifest::named(&folder, "cifar").unwrap_err().to_string();
    assert!(
        error.contains("(did you mean cifar10?); choose one of cifar10, cifar100, fashion-mnist, imagenet, imagenette, multi30k, wmt16"),
        "{error}"
    );
}

#[test]
fn a_folder_is_a_mirror() {
    let place = Place::new(&archive(&files()));
    place.fetch_local().unwrap();
    place.assert_ready();
    // What is there and whole is left alone: the mirror is not needed.
    place.fetch("no/such/mirror").unwrap();
    fs::remove_file(place.target().join("data_batch_2.bin")).unwrap();
    assert_mentions(place.fetch_local(), &["not the whole data set", "data_batch_2.bin"]);
}

/// What is kept as it came is compared with its digest; of what was unpacked that is not claimed.
#[test]
fn files_that_are_there_are_compared() {
    let place = Place::new(&archive(&files()));
    place.fetch_local().unwrap();
    assert!(standing(&place.manifest, &place.target()).unwrap().contains("digests not compared"));
    let (mut manifest, kept) = (manifest(b"kept"), place.target().join(ARCHIVE));
    manifest.files[0].unpack = false;
    let stands = || standing(&manifest, &place.target()).map_err(|error| format!("{error:#}"));
    assert_mentions(stands().map(drop), &[ARCHIVE, "No such file"]);
    fs::write(&kept, "kepT").unwrap();
    assert_mentions(stands().map(drop), &[ARCHIVE, "instead of", &manifest.files[0].sha256]);
    fs::write(&kept, "kept").unwrap();
    assert_eq!(stands().unwrap(), "and whole");
}

#[test]
fn an_interrupted_download_goes_on() {
    let archive = archive(&files());
    let place = Place::new(&archive);
    let (address, _) = serve(archive.clone(), Manner::Cut(100));
    assert_mentions(place.fetch(&address), &[ARCHIVE, "again to go on"]);
    assert_eq!(fs::metadata(place.download(".part")).unwrap().len(), 100);
    assert!(!place.target().exists());
    let (address, ranges) = serve(archive, Manner::Proper);
    place.fetch(&format!("{address}/")).unwrap();
    assert_eq!(*ranges.lock().unwrap(), ["bytes=100-"]);
    place.assert_ready();
}

#[test]
fn a_server_without_ranges_starts_anew() {
    let archive = archive(&files());
    let place = Place::new(&archive);
    fs::create_dir_all(place.download("").parent().unwrap()).unwrap();
    fs::write(place.download(".part"), "an old beginning of another file").unwrap();
    let (address, ranges) = serve(archive, Manner::WithoutRanges);
    place.fetch(&address).unwrap();
    assert_eq!(*ranges.lock().unwrap(), ["bytes=32-"]);
    place.assert_ready();
}

#[test]
fn servers_that_fail_are_named() {
    let archive = archive(&files());
    let place = Place::new(&archive);
    let (address, _) = serve(archive.clone(), Manner::Missing);
    assert_mentions(place.fetch(&address), &[&address, ARCHIVE, "404"]);
    fs::write(place.download(".part"), &archive[..50]).unwrap();
    let (address, _) = serve(archive, Manner::WrongRange);
    assert_mentions(place.fetch(&address), &[&address, "bytes from 50", "bytes 0-9"]);
    // Port 9 of this machine: nobody listens there.
    assert_mentions(place.fetch("http://127.0.0.1:9"), &["127.0.0.1:9", ARCHIVE]);
    assert_mentions(place.fetch("no/such/mirror"), &["no/such/mirror", ARCHIVE, "No such file"]);
}

#[test]
fn a_wrong_digest_is_refused_and_the_file_kept_aside() {
    let mut archive = archive(&files());
    let place = Place::new(&archive);
    let last = archive.len() - 1;
    archive[last] ^= 1;
    fs::write(place.mirror().join(ARCHIVE), &archive).unwrap();
    let expected = place.manifest.files[0].sha256.clone();
    let found: String = Sha256::digest(&archive).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_mentions(place.fetch_local(), &[ARCHIVE, "wrong digest", &expected, &found, "tiny.test/digests"]);
    assert!(place.download(".bad").exists() && !place.download(".part").exists() && !place.target().exists());
    archive[last] ^= 1;
    fs::write(place.mirror().join(ARCHIVE), &archive).unwrap();
    place.fetch_local().unwrap();
    place.assert_ready();
}

#[test]
fn files_of_a_wrong_length_are_refused() {
    let archive = archive(&files());
    let place = Place::new(&archive);
    fs::write(place.mirror().join(ARCHIVE), [&archive[..], &[0]].concat()).unwrap();
    assert_mentions(place.fetch_local(), &[ARCHIVE, &format!("longer than the {} bytes", archive.len())]);
    fs::write(place.mirror().join(ARCHIVE), &archive[..200]).unwrap();
    assert_mentions(
        place.fetch_local(),
        &[ARCHIVE, &format!("the mirror's file is cut: it ends after 200 of {} bytes", archive.len())],
    );
}

#[test]
fn hostile_archives_write_nothing_outside() {
    for (path, words) in
        [("top/../../escaped", ["top/../../escaped", "leads out"]), ("/top/escaped", ["/top/escaped", "leads out"])]
    {
        let mut files = files();
        files.push((path.into(), b"x".to_vec()));
        let place = Place::new(&archive(&files));
        assert_mentions(place.fetch_local(), &words);
        assert!(!place.target().exists() && !place.folder.path().join("escaped").exists());
    }
    let mut link = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    link.append_link(&mut header, "top/link", "/etc/passwd").unwrap();
    let place = Place::new(&link.into_inner().unwrap().finish().unwrap());
    assert_mentions(place.fetch_local(), &["top/link", "Symlink"]);
    let place = Place::new(b"no archive");
    assert_mentions(place.fetch_local(), &["unpacking", ARCHIVE]);
}

/// Sentences in an archive without a folder, as common crawl's.
#[test]
fn a_text_is_read_to_its_end() {
    let text = |source: &str, target: &str| {
        let files = [("a.en".into(), source.as_bytes().to_vec()), ("./a.de".into(), target.as_bytes().to_vec())];
        let mut place = Place::new(&archive(&files));
        let files = "[{ source = \"a.en\", target = \"a.de\" }]";
        place.manifest.text = toml::from_str(&format!("training = {files}\nvalidation = {files}")).unwrap();
        (place.manifest.training, place.manifest.validation) = (Some(2), None);
        place
    };
    let place = text("a dog\na cat\n", "ein Hund\neine Katze\n");
    place.fetch_local().unwrap();
    assert_eq!(fs::read_to_string(place.target().join("a.de")).unwrap(), "ein Hund\neine Katze\n");
    let place = text("a dog\na cat\n", "ein Hund\n");
    assert_mentions(place.fetch_local(), &["unequal numbers of lines", "a.en has 2", "a.de has 1"]);
    let place = text("a dog\n", "ein Hund\n");
    assert_mentions(place.fetch_local(), &["1 pairs of sentences for training instead of 2"]);
    assert!(!place.target().exists());
}

#[test]
fn an_archive_of_something_else_is_refused() {
    let place = Place::new(&archive(&[("top/readme".into(), b"hello".to_vec())]));
    assert_mentions(place.fetch_local(), &["no data set here"]);
    let place = Place::new(&archive(&files()[1..]));
    assert_mentions(place.fetch_local(), &["no data set here"]);
    assert!(!place.target().exists());
}

#[test]
fn what_cannot_be_downloaded_says_where_to_put_it() {
    let place = Place::new(b"");
    let manifest = Manifest::named(&repository::root().unwrap().join("datasets"), "imagenet").unwrap();
    let error = fetch(&manifest, None, &place.target()).unwrap_err().to_string();
    let words = ["data/tiny/train/WNID/*.JPEG", "data/tiny/val/WNID/*.JPEG", "again to check it"];
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
    fs::create_dir_all(place.target().join("train/n01440764")).unwrap();
    fs::write(place.target().join("train/n01440764/1.JPEG"), "").unwrap();
    let error = format!("{:#}", fetch(&manifest, None, &place.target()).unwrap_err());
    assert!(
        error.contains("not the whole data set") && error.contains("1 classes for training instead of 1000"),
        "{error}"
    );
}

#[test]
fn unwritable_and_full_places_are_named() {
    let place = Place::new(&archive(&files()));
    fs::write(place.folder.path().join("data"), "a file where a folder should be").unwrap();
    assert_mentions(place.fetch_local(), &["data/tiny", "Not a directory"]);
    if let Ok(mut full) = File::options().write(true).open("/dev/full") {
        let origin = Origin::Local("source".into());
        let error = copy(&mut &[0; 9][..], &mut full, &ProgressBar::hidden(), &origin, Path::new("target.part"));
        let error = format!("{:#}", error.unwrap_err());
        assert!(error.contains("target.part") && error.contains("No space left"), "{error}");
    }
}
