//! Where a data set comes from, as a configuration says it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cifar::{self, Cifar, Variant};
use crate::folder::Folder;
use crate::generated::{self, Generated};
use crate::idx::{self, Idx};
use crate::{Dataset, Error, Result, Split, Transform};

/// A data set that can be opened.
///
/// In a configuration: `kind = "cifar10"` with the fields of the variant beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Source {
    /// Images made by arithmetic: needs no files.
    Generated(generated::Options),
    /// CIFAR-10, binary version.
    Cifar10 {
        /// Folder of `data_batch_1.bin` and so on.
        folder: PathBuf,
        /// Training batch, 1 to 5, that serves for validation in place of the test batch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        held_out: Option<u8>,
        /// Whether files may have other numbers of images than the official ones.
        #[serde(default, skip_serializing_if = "is_false")]
        any_size: bool,
    },
    /// CIFAR-100, binary version, fine labels.
    Cifar100 {
        /// Folder of `train.bin` and `test.bin`.
        folder: PathBuf,
        /// Whether files may have other numbers of images than the official ones.
        #[serde(default, skip_serializing_if = "is_false")]
        any_size: bool,
    },
    /// MNIST.
    Mnist {
        /// Folder of `train-images-idx3-ubyte` and so on, with or without `.gz`.
        folder: PathBuf,
    },
    /// Fashion-MNIST.
    FashionMnist {
        /// Folder of `train-images-idx3-ubyte` and so on, with or without `.gz`.
        folder: PathBuf,
    },
    /// A tree of photographs as ImageNet's.
    Folder {
        /// Folder of `train/CLASS/*.JPEG` and `val/CLASS/*.JPEG`.
        folder: PathBuf,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

fn cifar(
    folder: &Path,
    variant: Variant,
    split: Split,
    held_out: Option<u8>,
    any_size: bool,
) -> Result<Arc<dyn Dataset>> {
    let open = if any_size { Cifar::open_any_size } else { Cifar::open };
    Ok(Arc::new(open(folder, variant, split, held_out)?))
}

impl Default for Source {
    fn default() -> Self {
        Self::Generated(generated::Options::default())
    }
}

impl Source {
    /// What lies in `folder`, by the names of its files.
    ///
    /// CIFAR-10 without its test batch is validated on its fifth training batch. Files named as MNIST's are taken for Fashion-MNIST
    /// where the folder's name has `fashion` in it, and for MNIST elsewhere.
    pub fn detect(folder: &Path) -> Result<Self> {
        let has = |name: &str| folder.join(name).exists();
        let path = folder.to_path_buf();
        if has("data_batch_1.bin") {
            let held_out = (!has("test_batch.bin")).then_some(5);
            Ok(Self::Cifar10 { folder: path, held_out, any_size: false })
        } else if has("train.bin") {
            Ok(Self::Cifar100 { folder: path, any_size: false })
        } else if has("train-images-idx3-ubyte") || has("train-images-idx3-ubyte.gz") {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
            Ok(if name.contains("fashion") {
                Self::FashionMnist { folder: path }
            } else {
                Self::Mnist { folder: path }
            })
        } else if has("train") {
            Ok(Self::Folder { folder: path })
        } else {
            Err(Error::UnknownData { path })
        }
    }

    /// Opens a part of it.
    pub fn open(&self, split: Split) -> Result<Arc<dyn Dataset>> {
        Ok(match self {
            Self::Generated(options) => Arc::new(Generated::new(options.clone(), split)?),
            Self::Cifar10 { folder, held_out, any_size } => {
                cifar(folder, Variant::Cifar10, split, *held_out, *any_size)?
            }
            Self::Cifar100 { folder, any_size } => cifar(folder, Variant::Cifar100, split, None, *any_size)?,
            Self::Mnist { folder } => Arc::new(Idx::open(folder, idx::Variant::Mnist, split)?),
            Self::FashionMnist { folder } => Arc::new(Idx::open(folder, idx::Variant::FashionMnist, split)?),
            Self::Folder { folder } => Arc::new(Folder::open(folder, split)?),
        })
    }

    /// The same where files may have other numbers of images than the official ones.
    #[must_use]
    pub fn of_any_size(mut self) -> Self {
        if let Self::Cifar10 { any_size, .. } | Self::Cifar100 { any_size, .. } = &mut self {
            *any_size = true;
        }
        self
    }

    /// Rows and columns of its images, where all have the same.
    pub fn size(&self) -> Option<usize> {
        match self {
            Self::Generated(options) => Some(options.size),
            Self::Cifar10 { .. } | Self::Cifar100 { .. } => Some(cifar::SIZE),
            Self::Mnist { .. } | Self::FashionMnist { .. } => Some(idx::SIZE),
            Self::Folder { .. } => None,
        }
    }

    /// The usual transformation of its images to `size` rows and columns; to their own, or 224, if that is not said.
    ///
    /// Images of that size already are padded, cropped and mirrored in training and left alone in validation; others are resized as photographs
    /// ([`Transform::small`], [`Transform::photograph`]). Digits are not mirrored.
    pub fn transform(&self, split: Split, size: Option<usize>) -> Transform {
        let mut transform = match (self.size(), size) {
            (Some(own), size) if own == size.unwrap_or(own) => Transform::small(own, split),
            (_, size) => Transform::photograph(size.unwrap_or(224), split),
        };
        transform.flip &= !matches!(self, Self::Mnist { .. });
        transform
    }
}
