//! Image formats behind one trait: headers ([`Probe`]), decoding by rows
//! ([`RowSource`]), encoding by rows ([`RowSink`]), and animations frame by frame.
//!
//! This crate contains the bindings to C libraries. It knows no geometry beyond the abilities of decoders
//! (scaled decoding), no files and no HTTP. Every buffer reserves its bytes in the
//! [`Budget`](work::Budget) of the request's [`Work`](work::Work).

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
