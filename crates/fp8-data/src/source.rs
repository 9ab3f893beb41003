//! Where a data set comes from, as a configuration says it.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cifar::{self, Cifar, Variant};
use crate::generated::{self, Generated};
use crate::{Dataset, Result, Split, Transform};

/// A data set that can be opened.
///
/// In a configuration: `kind = "cifar10"` with the fields of the variant beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
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
    },
    /// CIFAR-100, binary version, fine labels.
    Cifar100 {
        /// Folder of `train.bin` and `test.bin`.
        folder: PathBuf,
    },
}

impl Default for Source {
    fn default() -> Self {
        Self::Generated(generated::Options::default())
    }
}

impl Source {
    /// Opens a part of it.
    pub fn open(&self, split: Split) -> Result<Arc<dyn Dataset>> {
        Ok(match self {
            Self::Generated(options) => Arc::new(Generated::new(options.clone(), split)?),
            Self::Cifar10 { folder, held_out } => Arc::new(Cifar::open(folder, Variant::Cifar10, split, *held_out)?),
            Self::Cifar100 { folder } => Arc::new(Cifar::open(folder, Variant::Cifar100, split, None)?),
        })
    }

    /// Rows and columns of its images, where all have the same.
    pub fn size(&self) -> Option<usize> {
        match self {
            Self::Generated(options) => Some(options.size),
            Self::Cifar10 { .. } | Self::Cifar100 { .. } => Some(cifar::SIZE),
        }
    }

    /// The usual transformation of its images to `size` rows and columns; to their own, or 224, if that is not said.
    ///
    /// Images of that size already are padded, cropped and mirrored in training and left alone in validation; others are resized as photographs
    /// ([`Transform::small`], [`Transform::photograph`]).
    pub fn transform(&self, split: Split, size: Option<usize>) -> Transform {
        match (self.size(), size) {
            (Some(own), size) if own == size.unwrap_or(own) => Transform::small(own, true, split),
            (_, size) => Transform::photograph(size.unwrap_or(224), split),
        }
    }
}
