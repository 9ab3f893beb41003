//! What the tests of this crate share.
#![allow(dead_code, reason = "not every test needs all of it")]

/// A narrow ResNet-18 on few small images: two epochs of four steps.
pub const TINY: &str = "
    [model]
    width = 4
    [data]
    kind = 'generated'
    size = 8
    training = 32
    validation = 12
    [training]
    epochs = 2
    batch = 8
    validation_batch = 5
    learning_rate = 0.05
    [log]
    every_steps = 1
    [loader]
    workers = 1
";

/// A narrow GNMT on few short sentences: two epochs of some steps. Three windows of pairs.
pub const TINY_TEXT: &str = "
    task = 'translation'
    [model]
    hidden = 8
    [data]
    kind = 'generated'
    training = 60
    validation = 10
    [training]
    epochs = 2
    batch = 512
    learning_rate = 0.01
    [optimizer]
    kind = 'adamw'
    [log]
    every_steps = 1
    [loader]
    vocabulary = 120
    longest = 64
    window = 25
    workers = 1
";
