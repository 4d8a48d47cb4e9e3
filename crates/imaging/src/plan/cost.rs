//! What a plan costs: bytes and CPU time, as sums of what its parts say.

/// What a whole plan costs. Admission goes by it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// An upper estimate of all buffers, decoders and encoders held at once, in bytes; inputs not counted.
    pub peak_bytes: u64,
    /// Expected CPU time in nanoseconds on one core of about 3 GHz. Only the ratio between two plans is meant to be right:
    /// admission corrects it by what jobs took.
    pub cpu_ns: u64,
}

/// What a step costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StepCost {
    /// Bytes of the largest bitmap before, in and after the step.
    pub bitmap_bytes: u64,
    /// Bytes that a model takes, with what goes in and comes out.
    pub model_bytes: u64,
    /// Bytes that looking for faces takes.
    pub faces_bytes: u64,
    pub cpu_ns: u64,
}

/// What decoding an image costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DecodeCost {
    /// Bytes of the decoder, and of the rows that wait for the resampler.
    pub decoder_bytes: u64,
    /// Bytes of the whole image, where no step makes another of it.
    pub bitmap_bytes: u64,
    pub cpu_ns: u64,
}

/// What making the result costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EncodeCost {
    /// Bytes of the encoder and its file, and of the pixels that it takes.
    pub encoder_bytes: u64,
    pub cpu_ns: u64,
}
