//! Loaders: determinism, resuming, errors, and threads that end.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fp8_data::generated::Options as Generated;
use fp8_data::{
    Batch, Crop, Dataset, Error, Example, Image, Loader, Normalization, Options, Order, Remainder, Source, Split,
    Transform, Unreadable,
};

/// What a data set of [`Numbers`] does at an index.
type Act = fn(usize) -> Result<(), Error>;

/// Images of one pixel, whose byte and label are the index; `act` may fail, panic or sleep.
struct Numbers {
    len: usize,
    act: Act,
    read: AtomicUsize,
}

fn numbers(len: usize, act: Act) -> Arc<Numbers> {
    Arc::new(Numbers { len, act, read: AtomicUsize::new(0) })
}

fn unreadable(index: usize) -> Error {
    Error::Jpeg { path: format!("{index}.jpg").into(), problem: "damaged".into() }
}

impl Dataset for Numbers {
    fn description(&self) -> &str {
        "numbers"
    }

    fn len(&self) -> usize {
        self.len
    }

    fn classes(&self) -> &[String] {
        &[]
    }

    fn channels(&self) -> usize {
        1
    }

    fn normalization(&self) -> Normalization {
        Normalization { mean: [0.0; 3], deviation: [1.0 / 255.0; 3] }
    }

    fn get(&self, index: usize) -> Result<Example, Error> {
        self.read.fetch_add(1, Ordering::SeqCst);
        (self.act)(index)?;
        let image = Image { height: 1, width: 1, channels: 1, pixels: vec![index as u8] };
        Ok(Example { image, label: index as u32 })
    }
}

const PIXEL: Transform = Transform { size: 1, crop: Crop::Whole, flip: false };

fn loader(dataset: &Arc<Numbers>, options: Options) -> Loader {
    Loader::new(dataset.clone(), PIXEL, options).unwrap()
}

fn labels(loader: &Loader, epoch: u32) -> Vec<Vec<u32>> {
    loader.epoch(epoch, 0).unwrap().map(|batch| batch.unwrap().labels).collect()
}

/// Everything but the errors.
fn content(batch: Batch) -> (usize, Vec<u8>, [usize; 4], Vec<u32>, Vec<usize>) {
    (batch.number, batch.images, batch.shape, batch.labels, batch.indices)
}

#[test]
fn batches_do_not_depend_on_threads_or_on_where_an_epoch_is_entered() {
    let source = Source::Generated(Generated { training: 103, ..Generated::default() });
    let dataset = source.open(Split::Training).unwrap();
    let batches = |workers, prefetch, first| {
        let options = Options { workers, prefetch, remainder: Remainder::Keep, ..Options::training(8, 5, 1) };
        let loader = Loader::new(dataset.clone(), source.transform(Split::Training, None), options).unwrap();
        loader.epoch(3, first).unwrap().map(|batch| content(batch.unwrap())).collect::<Vec<_>>()
    };
    let reference = batches(1, 1, 0);
    assert_eq!(reference.len(), 13);
    assert_eq!(reference[12].2, [7, 32, 32, 3]);
    for (workers, prefetch) in [(1, 4), (2, 1), (3, 2), (8, 16)] {
        assert!(batches(workers, prefetch, 0) == reference, "{workers} workers, {prefetch} batches ahead");
    }
    assert!(batches(2, 2, 9) == reference[9..]);
    assert!(batches(2, 2, 13).is_empty() && batches(2, 2, 99).is_empty());
}

/// An example looks the same in an epoch whatever the batch size: its augmentation belongs to its index.
#[test]
fn augmentation_belongs_to_the_example_and_the_epoch() {
    let source = Source::Generated(Generated { training: 12, ..Generated::default() });
    let dataset = source.open(Split::Training).unwrap();
    let image_of_five = |batch_size, epoch, seed| {
        let loader = Loader::new(
            dataset.clone(),
            source.transform(Split::Training, None),
            Options::training(batch_size, seed, 1),
        );
        let batch =
            loader.unwrap().epoch(epoch, 0).unwrap().map(Result::unwrap).find(|batch| batch.indices.contains(&5));
        let batch = batch.unwrap();
        let at = batch.indices.iter().position(|&index| index == 5).unwrap();
        batch.images[at * 3072..][..3072].to_vec()
    };
    let image = image_of_five(12, 0, 1);
    assert!(image == image_of_five(4, 0, 1));
    assert!(image != image_of_five(12, 1, 1) || image != image_of_five(12, 2, 1));
    assert!(image != image_of_five(12, 0, 2) || image != image_of_five(12, 0, 3));
}

#[test]
fn every_example_comes_once_in_an_order_of_its_epoch() {
    let dataset = numbers(50, |_| Ok(()));
    let shuffled = loader(&dataset, Options { remainder: Remainder::Keep, ..Options::training(7, 1, 2) });
    let (first, second) = (labels(&shuffled, 0).concat(), labels(&shuffled, 1).concat());
    let mut sorted = first.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..50).collect::<Vec<_>>());
    assert_ne!(first, second);
    assert_ne!(first, sorted);
    assert_eq!(first, labels(&shuffled, 0).concat());
    let sequential = loader(&dataset, Options::validation(7, 2));
    assert_eq!(labels(&sequential, 0).concat(), sorted);
}

#[test]
fn the_remainder_is_dropped_or_kept() {
    let dataset = numbers(10, |_| Ok(()));
    let sizes = |remainder, batch_size| {
        let loader = loader(&dataset, Options { remainder, ..Options::validation(batch_size, 2) });
        let sizes: Vec<usize> = labels(&loader, 0).iter().map(Vec::len).collect();
        assert_eq!(sizes.len(), loader.batches());
        sizes
    };
    assert_eq!(sizes(Remainder::Keep, 4), [4, 4, 2]);
    assert_eq!(sizes(Remainder::Drop, 4), [4, 4]);
    assert_eq!(sizes(Remainder::Keep, 5), [5, 5]);
    assert_eq!(sizes(Remainder::Drop, 11), [0; 0]);
    assert_eq!(sizes(Remainder::Keep, 11), [10]);
}

fn fail_at_five(index: usize) -> Result<(), Error> {
    if index == 5 { Err(unreadable(index)) } else { Ok(()) }
}

#[test]
fn an_error_reaches_the_consumer_in_its_place_and_ends_the_epoch() {
    let loader = loader(&numbers(40, fail_at_five), Options::validation(2, 3));
    let mut batches = loader.epoch(0, 0).unwrap();
    assert_eq!(batches.next().unwrap().unwrap().labels, [0, 1]);
    assert_eq!(batches.next().unwrap().unwrap().labels, [2, 3]);
    assert_eq!(batches.next().unwrap().unwrap_err().to_string(), "5.jpg: not a whole JPEG image: damaged");
    assert!(batches.next().is_none() && batches.next().is_none());
}

#[test]
fn unreadable_examples_are_skipped_named_and_counted() {
    let dataset = numbers(8, fail_at_five);
    let options = Options { unreadable: Unreadable::Skip, ..Options::validation(4, 2) };
    let batches: Vec<Batch> = loader(&dataset, options).epoch(0, 0).unwrap().map(Result::unwrap).collect();
    assert!(batches[0].skipped.is_empty());
    assert_eq!(batches[1].labels, [4, 6, 7]);
    assert_eq!(batches[1].images, [4, 6, 7]);
    assert_eq!((batches[1].shape, &batches[1].indices[..]), ([3, 1, 1, 1], &[4, 6, 7][..]));
    let (index, error) = &batches[1].skipped[0];
    assert_eq!((*index, error.to_string().as_str()), (5, "5.jpg: not a whole JPEG image: damaged"));

    let options = Options { unreadable: Unreadable::Skip, ..Options::validation(1, 2) };
    let error = loader(&dataset, options).epoch(0, 5).unwrap().next().unwrap().unwrap_err();
    let text = common::text(&error);
    assert!(text.contains("batch 5") && text.contains("5.jpg"), "{text}");
}

#[test]
fn a_panic_reaches_the_consumer_as_an_error() {
    let act: Act = |index| if index == 5 { panic!("no {index}") } else { Ok(()) };
    for workers in [1, 3] {
        let loader = loader(&numbers(40, act), Options::validation(2, workers));
        let results: Vec<_> = loader.epoch(7, 0).unwrap().collect();
        assert_eq!(results.len(), 3);
        let text = results[2].as_ref().unwrap_err().to_string();
        assert!(text.contains("epoch 7, batch 2") && text.contains("no 5"), "{text}");
    }
}

#[test]
fn workers_stay_within_the_prefetch() {
    let dataset = numbers(1000, |_| Ok(()));
    let loader = loader(&dataset, Options { prefetch: 3, ..Options::validation(10, 2) });
    let mut batches = loader.epoch(0, 0).unwrap();
    batches.next().unwrap().unwrap();
    thread::sleep(Duration::from_millis(100));
    // One taken, three ahead.
    assert_eq!(dataset.read.load(Ordering::SeqCst), 40);
    drop(batches);
    assert_eq!(Arc::strong_count(&dataset), 2, "a thread still holds the data set");
}

#[test]
fn dropping_the_batches_ends_the_threads_at_once() {
    let slow: Act = |_| {
        thread::sleep(Duration::from_millis(5));
        Ok(())
    };
    let dataset = numbers(100_000, slow);
    let loader = loader(&dataset, Options { prefetch: 100, ..Options::validation(1000, 4) });
    let batches = loader.epoch(0, 0).unwrap();
    thread::sleep(Duration::from_millis(30));
    let start = Instant::now();
    drop(batches); // a batch would take five seconds
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(Arc::strong_count(&dataset), 2, "a thread still holds the data set");
}

#[test]
fn senseless_options_are_refused() {
    let dataset = numbers(4, |_| Ok(()));
    let valid = Options::validation(2, 1);
    for (option, options) in [
        ("batch_size", Options { batch_size: 0, ..valid.clone() }),
        ("workers", Options { workers: 0, ..valid.clone() }),
        ("prefetch", Options { prefetch: 0, ..valid.clone() }),
    ] {
        let error = Loader::new(dataset.clone(), PIXEL, options).err().unwrap().to_string();
        assert!(error.contains(&format!("{option} = 0")), "{error}");
    }
    let transform = Transform { size: 0, ..PIXEL };
    assert!(Loader::new(dataset, transform, valid).err().unwrap().to_string().contains("size = 0"));
    let order = Options::validation(2, 1).order;
    assert_eq!(order, Order::Sequential);
}

#[test]
fn a_tree_of_photographs_makes_batches() {
    let folder = tempfile::tempdir().unwrap();
    common::tree(folder.path());
    common::write(folder.path().join("train/apple/0.JPEG"), "damaged");
    let source = Source::detect(folder.path()).unwrap();
    let dataset = source.open(Split::Training).unwrap();
    let transform = source.transform(Split::Training, Some(16));
    let options = Options { unreadable: Unreadable::Skip, ..Options::training(4, 0, 2) };
    let batch = Loader::new(dataset, transform, options).unwrap().epoch(0, 0).unwrap().next().unwrap().unwrap();
    assert_eq!(batch.shape, [3, 16, 16, 3]);
    assert!(batch.values().iter().all(|value| value.is_finite() && value.abs() < 3.0));
    assert!(batch.skipped[0].1.to_string().contains("train/apple/0.JPEG"), "{:?}", batch.skipped);
}
