//! The HEIF container of AVIF and HEIC (ISO/IEC 23008-12): boxes are parsed with limits on every count.

mod locations;
mod meta;
mod reader;

pub(super) use locations::Extents;
pub(super) use meta::{Cicp, Item, Meta, Property};
pub(super) use reader::{Reader, damaged, unsupported};

use self::meta::tick;
use crate::{Error, Format};
use work::Work;

/// Bytes of an item that may be shared with other items: encoders store equal tiles once.
pub(super) const SHARED_BYTES: usize = 64 << 10;

/// The container of a file.
#[derive(Debug)]
pub(super) struct File<'a> {
    pub(super) meta: Meta<'a>,
    /// The file contains an image sequence beside the still image.
    pub(super) sequence: bool,
    /// The end of the last whole top-level box.
    // Read for HEIC only.
    #[cfg_attr(not(feature = "heic"), allow(dead_code))]
    pub(super) end: usize,
}

impl<'a> File<'a> {
    /// Parses the boxes up to `meta`. After it only `moov` is searched: a file is whole if the data of its image is,
    /// regardless of later boxes.
    pub(super) fn parse(bytes: &'a [u8], format: Format, work: &Work) -> Result<Self, Error> {
        work.check()?;
        let mut top = Reader::within(bytes, &(0..bytes.len()), format);
        let mut meta = None;
        let mut sequence = false;
        let mut boxes = 0;
        let end = loop {
            let at = top.at;
            let header = match top.next_box() {
                Ok(Some(header)) => header,
                Ok(None) => break at,
                Err(_) if meta.is_some() => break at,
                Err(error) => return Err(error),
            };
            if boxes == 0 && &header.kind != b"ftyp" {
                return Err(Error::NotAnImage);
            }
            tick(&mut boxes, work)?;
            match &header.kind {
                b"moov" => sequence = true,
                b"meta" if meta.is_some() => return Err(damaged(format, "two meta boxes")),
                b"meta" => meta = Some(Meta::parse(top.inside(&header.body), work)?),
                _ => {}
            }
        };
        match meta {
            Some(meta) => Ok(Self { meta, sequence, end }),
            None if sequence => Err(unsupported(format, "an image sequence without a primary item")),
            None => Err(Error::Truncated(format)),
        }
    }
}
