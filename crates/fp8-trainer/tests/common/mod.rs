//! What the tests of this crate share.

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
