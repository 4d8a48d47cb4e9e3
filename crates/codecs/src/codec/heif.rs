//! The HEIF container of AVIF and HEIC (ISO/IEC 23008-12): its boxes are read with limits on everything that is counted.

mod locations;
mod meta;
mod reader;

pub(super) use locations::Extents;
pub(super) use meta::{Cicp, Item, Meta, Property};
pub(super) use reader::{Reader, damaged, unsupported};

use self::meta::tick;
use crate::{Error, Format};
use work::Work;

/// Bytes of its data that an item may share with others: encoders store equal tiles once.
pub(super) const SHARED_BYTES: usize = 64 << 10;

/// A file, as far as its container goes.
#[derive(Debug)]
pub(super) struct File<'a> {
    pub(super) meta: Meta<'a>,
    /// An image sequence comes with the still image.
    pub(super) sequence: bool,
    /// Where the last whole box at the top ends.
    // Read for HEIC only.
    #[cfg_attr(not(feature = "heic"), allow(dead_code))]
    pub(super) end: usize,
}

impl<'a> File<'a> {
    /// Reads the boxes up to `meta`. Behind it only `moov` is looked for: a file is whole when the data of its image is,
    /// whatever follows.
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
