//! Readers, given good and hostile files.

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;

use common::{COLOR, cifar_record, idx, refused, write};
use flate2::Compression;
use flate2::write::GzEncoder;
use fp8_data::cifar::{Cifar, Variant};
use fp8_data::folder::Folder;
use fp8_data::idx::{Idx, Variant as IdxVariant};
use fp8_data::{Dataset, Error, Source, Split, Transform};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn labels(dataset: &dyn Dataset) -> Vec<u32> {
    (0..dataset.len()).map(|index| dataset.get(index).unwrap().label).collect()
}

fn open_cifar(path: &Path, split: Split, held_out: Option<u8>) -> Result<Cifar, Error> {
    Cifar::open(path, Variant::Cifar10, split, held_out)
}

#[test]
fn cifar10_is_read() {
    let folder = folder();
    common::cifar10(folder.path());
    let training = open_cifar(folder.path(), Split::Training, None).unwrap();
    assert_eq!(labels(&training), [1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5]);
    assert_eq!(training.classes()[3], "class 3");
    let image = training.get(1).unwrap().image;
    assert_eq!((image.height, image.width, image.channels, image.pixels.len()), (32, 32, 3, 3072));
    assert_eq!(image.pixels[..6], [2, 3, 4, 3, 4, 5]);
    assert_eq!(image.pixels[3069..], [1, 2, 3]);
    assert_eq!(labels(&open_cifar(folder.path(), Split::Validation, None).unwrap()), [9, 9]);
}

#[test]
fn a_training_batch_can_be_held_out() {
    let folder = folder();
    common::cifar10(folder.path());
    let training = open_cifar(folder.path(), Split::Training, Some(4)).unwrap();
    assert_eq!(labels(&training), [1, 2, 2, 3, 3, 3, 5, 5, 5, 5, 5]);
    assert_eq!(labels(&open_cifar(folder.path(), Split::Validation, Some(4)).unwrap()), [4; 4]);
    refused(open_cifar(folder.path(), Split::Training, Some(6)), &["held_out = 6", "1 to 5"]);
    refused(Cifar::open(folder.path(), Variant::Cifar100, Split::Training, Some(1)), &["held_out = 1", "CIFAR-100"]);
}

#[test]
fn cifar100_has_fine_labels() {
    let folder = folder();
    write(folder.path().join("train.bin"), [cifar_record(&[3, 99]), cifar_record(&[19, 0])].concat());
    let names: Vec<String> = (0..100).map(|class| format!("class {class}")).collect();
    write(folder.path().join("fine_label_names.txt"), names.join("\n"));
    let training = Cifar::open(folder.path(), Variant::Cifar100, Split::Training, None).unwrap();
    assert_eq!(labels(&training), [99, 0]);
    assert_eq!(training.get(1).unwrap().image.pixels[..3], [0, 1, 2]);
    refused(Cifar::open(folder.path(), Variant::Cifar100, Split::Validation, None), &["test.bin", "No such file"]);
}

#[test]
fn damaged_cifar_is_refused_by_name() {
    let folder = folder();
    let path = folder.path();
    common::cifar10(path);
    let batch = path.join("data_batch_2.bin");
    let open = || open_cifar(path, Split::Training, None);
    write(&batch, &cifar_record(&[2]).repeat(2)[..5000]);
    refused(open(), &["data_batch_2.bin", "5000 bytes", "3073 bytes"]);
    write(&batch, "");
    refused(open(), &["data_batch_2.bin", "0 bytes"]);
    write(&batch, [cifar_record(&[2]), cifar_record(&[10])].concat());
    refused(open(), &["data_batch_2.bin", "example 1", "label 10", "10 classes"]);
    fs::remove_file(&batch).unwrap();
    refused(open(), &["data_batch_2.bin", "No such file"]);
    fs::create_dir(&batch).unwrap();
    refused(open(), &["data_batch_2.bin", "directory"]);
    write(path.join("batches.meta.txt"), "airplane\nautomobile\n");
    refused(open(), &["batches.meta.txt", "2 class names", "10"]);
    write(path.join("batches.meta.txt"), [0xFF, 0xFE]);
    refused(open(), &["batches.meta.txt", "UTF-8"]);
}

/// Three images whose bytes are their numbers, of classes 7, 0, 9.
fn mnist(folder: &Path) {
    let images: Vec<u8> = (0..3).flat_map(|image| [image; 784]).collect();
    write(folder.join("train-images-idx3-ubyte"), idx(&[3, 28, 28], &images));
    write(folder.join("train-labels-idx1-ubyte"), idx(&[3], &[7, 0, 9]));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut file = GzEncoder::new(Vec::new(), Compression::fast());
    file.write_all(bytes).unwrap();
    file.finish().unwrap()
}

#[test]
fn idx_is_read_plain_and_compressed() {
    let folder = folder();
    let path = folder.path();
    mnist(path);
    let open = || Idx::open(path, IdxVariant::Mnist, Split::Training).unwrap();
    let check = |dataset: Idx| {
        assert_eq!(labels(&dataset), [7, 0, 9]);
        let image = dataset.get(2).unwrap().image;
        assert_eq!((image.height, image.width, image.channels), (28, 28, 1));
        assert_eq!(image.pixels, [2; 784]);
    };
    check(open());
    for name in ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"] {
        let plain = path.join(name);
        // Of two members, as `cat` of two files makes one.
        let bytes = fs::read(&plain).unwrap();
        write(path.join(format!("{name}.gz")), [gzip(&bytes[..5]), gzip(&bytes[5..])].concat());
        fs::remove_file(plain).unwrap();
        check(open());
    }
}

#[test]
fn damaged_idx_is_refused_by_name() {
    let folder = folder();
    let path = folder.path();
    mnist(path);
    let (images, labels) = (path.join("train-images-idx3-ubyte"), path.join("train-labels-idx1-ubyte"));
    let whole = fs::read(&images).unwrap();
    let open = || Idx::open(path, IdxVariant::Mnist, Split::Training);
    for (bytes, words) in [
        (vec![], ["cannot read", "train-images-idx3-ubyte"]),
        (b"\x89PNG\r\n\x1a\n".to_vec(), ["train-images-idx3-ubyte", "not an IDX file"]),
        (idx(&[3], &[1, 2, 3]), ["[00, 00, 08, 01] where [00, 00, 08, 03]", "train-images"]),
        (whole[..100].to_vec(), ["asks for 2352 bytes, 84 follow", "train-images"]),
        ([&whole[..], &[0]].concat(), ["asks for 2352 bytes, more follow", "train-images"]),
        (idx(&[3, 28, 27], &[0; 3 * 28 * 27]), ["3 images of 28x27", "28x28"]),
        (idx(&[0, 28, 28], &[]), ["0 images", "train-images"]),
        (idx(&[u32::MAX; 3], &[]), ["speaks of", "train-images"]),
        (idx(&[u32::MAX, 28, 28], &[1]), ["1 follow", "train-images"]),
    ] {
        write(&images, bytes);
        refused(open(), &words);
    }
    write(&images, &whole);
    write(&labels, idx(&[2], &[7, 0]));
    refused(open(), &["train-labels-idx1-ubyte", "2 labels of 3 images"]);
    write(&labels, idx(&[3], &[7, 0, 10]));
    refused(open(), &["train-labels-idx1-ubyte", "example 2", "label 10"]);
    fs::remove_file(&labels).unwrap();
    refused(open(), &["train-labels-idx1-ubyte", "No such file"]);
    let mut truncated = gzip(&idx(&[3], &[7, 0, 9]));
    truncated.truncate(20);
    write(path.join("train-labels-idx1-ubyte.gz"), truncated);
    refused(open(), &["train-labels-idx1-ubyte.gz"]);
    write(path.join("train-labels-idx1-ubyte.gz"), "no gzip at all");
    refused(open(), &["train-labels-idx1-ubyte.gz"]);
}

/// Whether a pixel of the fixtures has the colour of its half: (220, 30, 30) left, (20, 40, 200) right.
fn near(pixel: &[u8], expected: [u8; 3], tolerance: u8) -> bool {
    pixel.iter().zip(expected).all(|(&found, expected)| found.abs_diff(expected) <= tolerance)
}

#[test]
fn a_tree_is_read() {
    let folder = folder();
    common::tree(folder.path());
    let training = Folder::open(folder.path(), Split::Training).unwrap();
    assert_eq!(training.classes(), ["apple", "pear"]);
    assert_eq!(labels(&training), [0, 0, 1]);
    assert!(training.path(1).ends_with("train/apple/2.jpg"));
    let validation = Folder::open(folder.path(), Split::Validation).unwrap();
    assert_eq!(labels(&validation), [0, 1]);
    // Colour, progressive, CMYK (whose black is lost a little), and grey.
    for (dataset, index, tolerance) in [(&training, 0, 4), (&training, 2, 6), (&validation, 1, 8)] {
        let image = dataset.get(index).unwrap().image;
        assert_eq!((image.height, image.width, image.channels), (16, 24, 3));
        assert!(near(&image.pixels[..3], [220, 30, 30], tolerance), "{:?}", &image.pixels[..3]);
        assert!(near(&image.pixels[69..72], [20, 40, 200], tolerance), "{:?}", &image.pixels[69..72]);
    }
    let grey = training.get(1).unwrap().image;
    assert!(near(&grey.pixels[..3], [87; 3], 3) && grey.pixels.chunks(3).all(|p| p[0] == p[1] && p[1] == p[2]));
}

#[test]
fn damaged_jpegs_are_refused_by_name() {
    let folder = folder();
    common::tree(folder.path());
    let file = folder.path().join("train/apple/1.JPEG");
    let get = || {
        let dataset = Folder::open(folder.path(), Split::Training).unwrap();
        common::text(&dataset.get(0).expect_err("it should have been refused"))
    };
    for (bytes, what) in [
        (&b""[..], "nothing"),
        (b"<html>not found</html>", "HTML"),
        (b"\x89PNG\r\n\x1a\n and more", "PNG"),
        (&COLOR[..COLOR.len() / 2], "half an image"),
    ] {
        write(&file, bytes);
        let text = get();
        assert!(text.contains("train/apple/1.JPEG: not a whole JPEG image"), "{what}: {text}");
        assert!(!text.contains('\n'), "{what}: {text:?}");
    }
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let dataset = Folder::open(folder.path(), Split::Training).unwrap();
    assert_eq!(dataset.len(), 2, "a folder with the name of an image is none");
}

#[test]
fn trees_without_images_are_refused() {
    let folder = folder();
    let root = folder.path();
    let open = |split| Folder::open(root, split);
    refused(open(Split::Training), &["train", "No such file"]);
    fs::create_dir_all(root.join("train")).unwrap();
    refused(open(Split::Training), &["train: empty", "for each class"]);
    write(root.join("train/1.JPEG"), COLOR);
    refused(open(Split::Training), &["train: empty", "for each class"]);
    fs::create_dir_all(root.join("train/apple")).unwrap();
    refused(open(Split::Training), &["apple: empty", "*.JPEG"]);
    write(root.join("train/apple/1.JPEG"), COLOR);
    assert_eq!(open(Split::Training).unwrap().len(), 1);
    refused(open(Split::Validation), &["val", "No such file"]);
    write(root.join("val/plum/1.JPEG"), COLOR);
    refused(open(Split::Validation), &["val/plum", "no class"]);
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_loops_refused() {
    use std::os::unix::fs::symlink;
    let folder = folder();
    let root = folder.path().join("tree");
    common::tree(&root);
    symlink(root.join("train/pear"), root.join("train/quince")).unwrap();
    symlink(root.join("train/apple/1.JPEG"), root.join("train/apple/3.JPEG")).unwrap();
    let dataset = Folder::open(&root, Split::Training).unwrap();
    assert_eq!(labels(&dataset), [0, 0, 0, 1, 2]);
    // A loop of folders is not entered: the tree has two levels.
    symlink(root.join("train"), root.join("train/apple/loop")).unwrap();
    assert_eq!(Folder::open(&root, Split::Training).unwrap().len(), 5);
    symlink("self", root.join("train/self")).unwrap();
    refused(Folder::open(&root, Split::Training), &["train/self", "cannot read"]);
    fs::remove_file(root.join("train/self")).unwrap();
    symlink("4.JPEG", root.join("train/apple/4.JPEG")).unwrap();
    let dataset = Folder::open(&root, Split::Training).unwrap();
    assert!(common::text(&dataset.get(3).unwrap_err()).contains("apple/4.JPEG"));
}

#[test]
fn a_folder_tells_what_it_holds() {
    let root = folder();
    let folder = root.path().join("somewhere");
    assert!(Source::detect(&folder).unwrap_err().to_string().contains("somewhere: no data set"));
    mnist(&folder);
    assert_eq!(Source::detect(&folder).unwrap(), Source::Mnist { folder: folder.clone() });
    let fashion = root.path().join("fashion-mnist");
    mnist(&fashion);
    assert_eq!(Source::detect(&fashion).unwrap(), Source::FashionMnist { folder: fashion });
    let cifar = root.path().join("cifar");
    common::cifar10(&cifar);
    assert_eq!(Source::detect(&cifar).unwrap(), Source::Cifar10 { folder: cifar.clone(), held_out: None });
    fs::remove_file(cifar.join("test_batch.bin")).unwrap();
    assert_eq!(Source::detect(&cifar).unwrap(), Source::Cifar10 { folder: cifar, held_out: Some(5) });
    let tree = root.path().join("tree");
    common::tree(&tree);
    let source = Source::detect(&tree).unwrap();
    assert_eq!(source.open(Split::Training).unwrap().len(), 3);
    assert_eq!(source.transform(Split::Validation, None), Transform::photograph(224, Split::Validation));
}
