//! The ImageNet folder tree: `train/CLASS/*.JPEG` and `val/CLASS/*.JPEG`.
//!
//! Labels are the places of the class folders' names in their sorted order, as in torchvision's `ImageFolder`.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{Dataset, Error, Example, Normalization, Result, Split, jpeg};

/// One part of a tree. Images are read when they are asked for.
pub struct Folder {
    description: String,
    root: PathBuf,
    classes: Vec<String>,
    files: Vec<(u32, OsString)>,
}

impl Folder {
    /// Lists the images of `root/train` or `root/val`. The classes are those of `root/train` in both.
    ///
    /// Files whose names end otherwise than in `.jpeg` or `.jpg` (in any case) are left alone, and so are files beside the class folders. A class
    /// folder without images is an error, and a class of `val` that `train` lacks.
    pub fn open(root: &Path, split: Split) -> Result<Self> {
        let training = root.join("train");
        let classes = class_names(&training)?;
        let root = match split {
            Split::Training => training,
            Split::Validation => root.join("val"),
        };
        let mut files = Vec::new();
        for class in class_names(&root)? {
            let folder = root.join(&class);
            let Ok(label) = classes.binary_search(&class) else {
                return Err(Error::UnknownClass { path: folder });
            };
            let images = images(&folder)?;
            files.extend(images.into_iter().map(|image| (label as u32, image)));
        }
        let description = format!("images of {} ({split})", root.display());
        Ok(Self { description, root, classes, files })
    }

    /// The file of example `index`. Panics unless `index < len()`.
    pub fn path(&self, index: usize) -> PathBuf {
        let (label, file) = &self.files[index];
        self.root.join(&self.classes[*label as usize]).join(file)
    }
}

/// The sorted names of the folders in `folder`, of which there is at least one. Links are followed.
fn class_names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        if !fs::metadata(&path).map_err(Error::io(&path))?.is_dir() {
            continue;
        }
        match path.file_name().and_then(|name| name.to_str()) {
            Some(name) => names.push(name.to_string()),
            None => return Err(Error::UnknownClass { path }),
        }
    }
    if names.is_empty() {
        return Err(Error::NoImages { path: folder.into(), expected: "a folder of JPEG files for each class" });
    }
    names.sort_unstable();
    Ok(names)
}

/// The sorted names of the JPEG files in `folder`, of which there is at least one.
fn images(folder: &Path) -> Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        let path = PathBuf::from(entry.file_name());
        let is_jpeg =
            path.extension().is_some_and(|end| end.eq_ignore_ascii_case("jpeg") || end.eq_ignore_ascii_case("jpg"));
        if is_jpeg && !entry.file_type().map_err(Error::io(entry.path()))?.is_dir() {
            names.push(entry.file_name());
        }
    }
    if names.is_empty() {
        return Err(Error::NoImages { path: folder.into(), expected: "files named *.JPEG" });
    }
    names.sort_unstable();
    Ok(names)
}

impl Dataset for Folder {
    fn description(&self) -> &str {
        &self.description
    }

    fn len(&self) -> usize {
        self.files.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn channels(&self) -> usize {
        3
    }

    /// ImageNet's.
    fn normalization(&self) -> Normalization {
        Normalization { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] }
    }

    fn get(&self, index: usize) -> Result<Example> {
        Ok(Example { image: jpeg::read(&self.path(index))?, label: self.files[index].0 })
    }
}
