//! What can be wrong with data.

use std::io;
use std::path::PathBuf;

/// Data that cannot be read, or options that make no sense.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("cannot read {}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of records that does not hold a whole number of them, or none.
    #[error("{}: {found} bytes, which is not one or more records of {record} bytes: truncated or another format?", path.display())]
    Records {
        /// The file.
        path: PathBuf,
        /// Bytes of a record.
        record: usize,
        /// Bytes of the file.
        found: usize,
    },
    /// A file of whole records that has not as many of them as the official one.
    #[error(
        "{}: holds {found} images, where that of {name} holds {wanted}: fetch it anew if it is truncated; if the set is your own, `data.any_size = true` takes it",
        path.display()
    )]
    RecordCount {
        /// The file.
        path: PathBuf,
        /// Records of the file.
        found: usize,
        /// Records of the official file.
        wanted: usize,
        /// Name of the data set.
        name: &'static str,
    },
    /// A label past the last class.
    #[error("{}: example {index} has label {label}, but there are {classes} classes", path.display())]
    Label {
        /// The file.
        path: PathBuf,
        /// Number of the example within the file.
        index: usize,
        /// Its label.
        label: usize,
        /// Number of classes.
        classes: usize,
    },
    /// A list of class names of the wrong length.
    #[error("{}: {found} class names where the data set has {expected}", path.display())]
    ClassNames {
        /// The file.
        path: PathBuf,
        /// Number of classes.
        expected: usize,
        /// Number of names.
        found: usize,
    },
    /// An IDX file that is not what it should be.
    #[error("{}: {problem}", path.display())]
    Idx {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A JPEG file that cannot be decoded.
    #[error("{}: not a whole JPEG image: {problem}", path.display())]
    Jpeg {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A folder without images.
    #[error("{}: empty; expected {expected}", path.display())]
    NoImages {
        /// The folder.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// A folder that stands for no class.
    #[error("{}: no class of the training images has this name", path.display())]
    UnknownClass {
        /// The folder.
        path: PathBuf,
    },
    /// A folder that holds no data set of a known kind.
    #[error(
        "{}: no data set here; expected data_batch_1.bin (CIFAR-10), train.bin (CIFAR-100), train-images-idx3-ubyte[.gz] (MNIST, Fashion-MNIST) or train/CLASS/*.JPEG",
        path.display()
    )]
    UnknownData {
        /// The folder.
        path: PathBuf,
    },
    /// A text file with bytes that are not UTF-8.
    #[error("{}, line {line}: not UTF-8 from byte {byte} of the line on", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The first byte that cannot be decoded, from 1.
        byte: usize,
    },
    /// A line that is too long for text.
    #[error("{}, line {line}: longer than {limit} bytes; is this a text file?", path.display())]
    LongLine {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Bytes that a line may have.
        limit: usize,
    },
    /// Files that should belong together line by line, and do not.
    #[error(
        "unequal numbers of lines: {} has {first_lines}, {} has {second_lines}",
        first.display(),
        second.display()
    )]
    LineCounts {
        /// One file.
        first: PathBuf,
        /// Its lines.
        first_lines: usize,
        /// The other.
        second: PathBuf,
        /// Its lines.
        second_lines: usize,
    },
    /// A text file without a line.
    #[error("{}: empty", path.display())]
    NoText {
        /// The file.
        path: PathBuf,
    },
    /// A tokenizer that cannot be read.
    #[error("not a tokenizer of this program: {problem}")]
    Tokenizer {
        /// What is wrong.
        problem: String,
    },
    /// A tokenizer that belongs to other weights.
    #[error("the tokenizer of another run: its digest is {found}, that of this run {expected}")]
    OtherTokenizer {
        /// SHA-256 of the tokenizer that this run was trained with.
        expected: String,
        /// SHA-256 of what was given.
        found: String,
    },
    /// A sentence that the model has no positions for.
    #[error("a sentence of {tokens} tokens; the model takes at most {limit}")]
    LongSentence {
        /// Its tokens.
        tokens: usize,
        /// Tokens that the model takes.
        limit: usize,
    },
    /// A text of which nothing is left to learn from, or to be measured on.
    #[error("no sentence is left: {dropped}")]
    NothingLeft {
        /// What became of them.
        dropped: crate::text::Dropped,
    },
    /// An image of a size that the transformation cannot take as it is.
    #[error("an image of {height}x{width} where {size}x{size} is needed: choose a transformation that resizes")]
    ImageSize {
        /// Rows of the image.
        height: usize,
        /// Columns of the image.
        width: usize,
        /// Rows and columns needed.
        size: usize,
    },
    /// An image with another number of channels than its data set declares, or whose pixels do not fill it.
    #[error("a malformed image: {height}x{width}x{channels} with {bytes} bytes, in a data set of {expected} channels")]
    ImageShape {
        /// Rows of the image.
        height: usize,
        /// Columns of the image.
        width: usize,
        /// Channels of the image.
        channels: usize,
        /// Bytes of the image.
        bytes: usize,
        /// Channels that the data set declares.
        expected: usize,
    },
    /// An option that makes no sense.
    #[error("{option} = {value}: {expected}")]
    Option {
        /// Name.
        option: &'static str,
        /// Value.
        value: String,
        /// What it must be.
        expected: &'static str,
    },
    /// Not one example of a batch could be read.
    #[error("epoch {epoch}, batch {batch}: none of its {examples} examples can be read; the first error")]
    EmptyBatch {
        /// Epoch.
        epoch: u32,
        /// Batch of the epoch.
        batch: usize,
        /// Examples of the batch.
        examples: usize,
        /// Why the first of them cannot be read.
        source: Box<Error>,
    },
    /// A data set panicked.
    #[error("epoch {epoch}, batch {batch}: reading it panicked: {message}")]
    Panic {
        /// Epoch.
        epoch: u32,
        /// Batch of the epoch.
        batch: usize,
        /// What it said.
        message: String,
    },
    /// No worker thread can be started.
    #[error("cannot start a thread that reads data")]
    Thread {
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// An [`Error::Io`] about `path`: for `map_err`.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

/// Result of a call.
pub type Result<T> = std::result::Result<T, Error>;
