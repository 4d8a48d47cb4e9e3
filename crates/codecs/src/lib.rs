//! Image formats behind one small trait: what a file is ([`Probe`]), its pixels by rows
//! ([`RowSource`]), a file from rows ([`RowSink`]), and animations frame by frame.
//!
//! This crate is where foreign code and `unsafe` live. It knows no geometry beyond what a decoder
//! can do by itself (scaled decoding, leaving rows out), no files and no HTTP. Every buffer
//! takes its bytes from the [`Budget`](work::Budget) of the request's [`Work`](work::Work).

mod canvas;
mod detect;
mod error;
mod format;
mod ifd;
mod metadata;
mod pixels;
mod probe;
mod rows;
mod ycc;

pub mod codec;
pub mod exif;
pub mod icc;
pub mod quantise;
pub mod strip;

pub use codec::{
    AnimationSpec, Codec, DecodeSpec, EncodeSpec, Frame, FrameSink, FrameSource, ImageSpec, JpegMode,
    MetadataOut, PaletteBound, codec_for,
};
pub use error::Error;
pub use format::Format;
pub use metadata::Metadata;
pub use pixels::{Layout, Plane, Raster, Subsampling};
pub use probe::{Animation, Colour, Orientation, Probe};
pub use rows::{PlaneRows, RowSink, RowSource, Rows};
