//! MNIST and Fashion-MNIST: IDX files, plain or compressed by gzip (LeCun, Cortes, Burges; <http://yann.lecun.com/exdb/mnist/>).
//!
//! A file begins with two zero bytes, the type of its elements (8: bytes), the number of its dimensions, and each dimension as a big-endian u32;
//! then come the elements.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::{Dataset, Error, Example, Image, Normalization, Result, Split};

/// Which set. All have grey images of 28x28 and ten classes, in files of the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// Digits.
    Mnist,
    /// Clothes (Xiao, Rasul, Vollgraf 2017).
    FashionMnist,
}

/// Rows and columns of every image.
pub const SIZE: usize = 28;

impl Variant {
    fn name(self) -> &'static str {
        match self {
            Self::Mnist => "MNIST",
            Self::FashionMnist => "Fashion-MNIST",
        }
    }

    fn classes(self) -> [&'static str; 10] {
        match self {
            Self::Mnist => ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
            Self::FashionMnist => [
                "T-shirt/top",
                "Trouser",
                "Pullover",
                "Dress",
                "Coat",
                "Sandal",
                "Shirt",
                "Sneaker",
                "Bag",
                "Ankle boot",
            ],
        }
    }

    /// Of all training images.
    fn normalization(self) -> Normalization {
        match self {
            Self::Mnist => Normalization { mean: [0.1307; 3], deviation: [0.3081; 3] },
            Self::FashionMnist => Normalization { mean: [0.2860; 3], deviation: [0.3530; 3] },
        }
    }
}

/// One part of a set, in memory.
pub struct Idx {
    description: String,
    variant: Variant,
    classes: Vec<String>,
    images: Vec<u8>,
    labels: Vec<u8>,
}

impl Idx {
    /// Opens the folder of the official files: `train-images-idx3-ubyte` and so on, with or without `.gz`.
    ///
    /// Headers, sizes and labels are checked here.
    pub fn open(folder: &Path, variant: Variant, split: Split) -> Result<Self> {
        let prefix = match split {
            Split::Training => "train",
            Split::Validation => "t10k",
        };
        let (path, [count, height, width], images) = read(&folder.join(format!("{prefix}-images-idx3-ubyte")))?;
        if (height, width) != (SIZE, SIZE) || count == 0 {
            let problem = format!("{count} images of {height}x{width}; expected one or more of {SIZE}x{SIZE}");
            return Err(Error::Idx { path, problem });
        }
        let (path, [label_count], labels) = read(&folder.join(format!("{prefix}-labels-idx1-ubyte")))?;
        if label_count != count {
            return Err(Error::Idx { path, problem: format!("{label_count} labels of {count} images") });
        }
        let classes = variant.classes().map(String::from).to_vec();
        if let Some(index) = labels.iter().position(|&label| usize::from(label) >= classes.len()) {
            let label = usize::from(labels[index]);
            return Err(Error::Label { path, index, label, classes: classes.len() });
        }
        let description = format!("{} {split}", variant.name());
        Ok(Self { description, variant, classes, images, labels })
    }
}

/// The file found (`path`, or `path.gz`), its dimensions, its elements.
fn read<const DIMENSIONS: usize>(path: &Path) -> Result<(PathBuf, [usize; DIMENSIONS], Vec<u8>)> {
    let mut compressed = path.as_os_str().to_owned();
    compressed.push(".gz");
    let compressed = PathBuf::from(compressed);
    let (path, mut file): (PathBuf, Box<dyn Read>) = match File::open(path) {
        Ok(file) => (path.into(), Box::new(io::BufReader::new(file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound && compressed.exists() => {
            let file = File::open(&compressed).map_err(Error::io(&compressed))?;
            (compressed, Box::new(MultiGzDecoder::new(io::BufReader::new(file))))
        }
        Err(error) => return Err(Error::io(path)(error)),
    };
    let (dimensions, elements) = parse(&mut file, &path)?;
    Ok((path, dimensions, elements))
}

fn parse<const DIMENSIONS: usize>(file: &mut dyn Read, path: &Path) -> Result<([usize; DIMENSIONS], Vec<u8>)> {
    let wrong = |problem| Error::Idx { path: path.into(), problem };
    let mut word = || -> Result<[u8; 4]> {
        let mut word = [0; 4];
        file.read_exact(&mut word).map_err(Error::io(path))?;
        Ok(word)
    };
    let (magic, expected) = (word()?, [0, 0, 8, DIMENSIONS as u8]);
    if magic != expected {
        return Err(wrong(format!(
            "begins with {magic:02x?} where {expected:02x?} is expected: not an IDX file of bytes"
        )));
    }
    let mut dimensions = [0; DIMENSIONS];
    for dimension in &mut dimensions {
        *dimension = u32::from_be_bytes(word()?) as usize;
    }
    let expected = dimensions.iter().try_fold(1_usize, |product, &dimension| product.checked_mul(dimension));
    let Some(expected) = expected.filter(|&expected| expected < usize::MAX / 2) else {
        return Err(wrong(format!("its header speaks of {dimensions:?} elements")));
    };
    let mut elements = Vec::new();
    // One more than there should be, so as to notice it; never more, whatever a compressed file unfolds to.
    file.take(expected as u64 + 1).read_to_end(&mut elements).map_err(Error::io(path))?;
    if elements.len() != expected {
        let found = if elements.len() > expected { "more".into() } else { elements.len().to_string() };
        return Err(wrong(format!("its header {dimensions:?} asks for {expected} bytes, {found} follow")));
    }
    Ok((dimensions, elements))
}

impl Dataset for Idx {
    fn description(&self) -> &str {
        &self.description
    }

    fn len(&self) -> usize {
        self.labels.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn channels(&self) -> usize {
        1
    }

    fn normalization(&self) -> Normalization {
        self.variant.normalization()
    }

    fn get(&self, index: usize) -> Result<Example> {
        let pixels = self.images[index * SIZE * SIZE..][..SIZE * SIZE].to_vec();
        let image = Image { height: SIZE, width: SIZE, channels: 1, pixels };
        Ok(Example { image, label: u32::from(self.labels[index]) })
    }
}
