//! The cost of a plan: bytes and CPU time, summed over its parts.

/// The cost of a whole plan, used by admission.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// An upper bound of all buffers, decoders and encoders held at once, in bytes, without inputs.
    pub peak_bytes: u64,
    /// Expected CPU time in nanoseconds on one core of about 3 GHz. Only ratios between plans are meaningful:
    /// admission corrects the estimate by the time of earlier jobs.
    pub cpu_ns: u64,
}

/// The cost of a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StepCost {
    /// Bytes of the largest bitmap before, in and after the step.
    pub bitmap_bytes: u64,
    /// Bytes of a model run, with its input and output.
    pub model_bytes: u64,
    /// Bytes of the face detection.
    pub faces_bytes: u64,
    pub cpu_ns: u64,
}

/// The cost of decoding an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DecodeCost {
    /// Bytes of the decoder, and of the rows buffered for the resampler.
    pub decoder_bytes: u64,
    /// Bytes of the whole image, if no step transforms it.
    pub bitmap_bytes: u64,
    pub cpu_ns: u64,
}

/// The cost of encoding the result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EncodeCost {
    /// Bytes of the encoder, its file and its input pixels.
    pub encoder_bytes: u64,
    pub cpu_ns: u64,
}
