//! The most that a size of a configuration may be: past it no machine would answer but by running out of memory or time.

use fp8_data::{Source, text};

use super::{Config, FieldError, Images, SequenceModel, Task, TransformerModel, Translation};

/// A field, its value, the most that it may be.
type Row = (&'static str, usize, usize);

const EXAMPLES: usize = 10_000_000;
const PIXELS: usize = 4096;
const WORKERS: usize = 1024;
const LAYERS: usize = 256;
const WIDTH: usize = 16_384;

/// Names the first field that is too large, and the most that it may be.
pub fn check(config: &Config) -> Result<(), FieldError> {
    let training = &config.training;
    let common = [
        ("training.batch", training.batch, EXAMPLES),
        ("training.validation_batch", training.validation_batch, EXAMPLES),
    ];
    let own = match &config.task {
        Task::Images(images) => of_images(images),
        Task::Translation(translation) => of_translation(translation),
    };
    match common.into_iter().chain(own).find(|(_, value, most)| value > most) {
        Some((field, _, most)) => {
            Err(FieldError::Invalid { field: field.into(), reason: format!("must be at most {most}") })
        }
        None => Ok(()),
    }
}

fn of_images(images: &Images) -> Vec<Row> {
    let Images { model, data, loader } = images;
    let mut rows = vec![("model.width", model.width, 1024), ("loader.workers", loader.workers, WORKERS)];
    if let Source::Generated(data) = data {
        rows.extend([
            ("data.training", data.training, EXAMPLES),
            ("data.validation", data.validation, EXAMPLES),
            ("data.size", data.size, PIXELS),
        ]);
    }
    // After that of the data, which it is unless given.
    rows.push(("loader.size", loader.size, PIXELS));
    rows
}

fn of_translation(translation: &Translation) -> Vec<Row> {
    let Translation { model, data, loader } = translation;
    let mut rows = vec![
        ("loader.vocabulary", loader.vocabulary, 1_000_000),
        ("loader.window", loader.window, EXAMPLES),
        ("loader.workers", loader.workers, WORKERS),
    ];
    if let text::Source::Generated(data) = data {
        rows.extend([("data.training", data.training, EXAMPLES), ("data.validation", data.validation, EXAMPLES)]);
    }
    let layers = match *model {
        SequenceModel::Gnmt { hidden, encoder_layers, decoder_layers, .. } => {
            rows.push(("model.hidden", hidden, WIDTH));
            [encoder_layers, decoder_layers]
        }
        SequenceModel::Transformer(TransformerModel {
            width, feed_forward, encoder_layers, decoder_layers, ..
        }) => {
            rows.extend([("model.width", width, WIDTH), ("model.feed_forward", feed_forward, 4 * WIDTH)]);
            [encoder_layers, decoder_layers]
        }
    };
    rows.extend([("model.encoder_layers", layers[0], LAYERS), ("model.decoder_layers", layers[1], LAYERS)]);
    rows
}
