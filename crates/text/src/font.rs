//! Font files: compressed ones are unpacked, and what is no font is refused by its first bytes.

use cosmic_text::fontdb::{FaceInfo, ID, Language, Source, Stretch, Style, Weight};

use crate::Error;

/// The most that a compressed font may unpack to.
const MAX_UNPACKED: usize = 100 << 20;

/// The SFNT inside a font file.
pub(crate) fn unpack(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let font = |e: &dyn std::fmt::Display| Error::Font(e.to_string());
    let declared = || {
        // Both headers tell the unpacked size at byte 16.
        let size = bytes.get(16..20).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize);
        match size {
            Some(size) if size <= MAX_UNPACKED => Ok(()),
            _ => Err(Error::Font("it unpacks to an absurd size".to_owned())),
        }
    };
    let unpacked = match bytes.get(..4) {
        Some(b"\0\x01\0\0" | b"OTTO" | b"true" | b"ttcf") => bytes.to_vec(),
        Some(b"wOFF") => {
            declared()?;
            wuff::decompress_woff1(bytes).map_err(|e| font(&format!("{e:?}")))?
        }
        Some(b"wOF2") => {
            declared()?;
            wuff::decompress_woff2(bytes).map_err(|e| font(&format!("{e:?}")))?
        }
        _ => return Err(Error::Font("it is no TTF, OTF, WOFF or WOFF2 file".to_owned())),
    };
    Ok(unpacked)
}

/// What a catalogue is told about a font that does not say it itself.
pub(crate) fn nameless(source: Source, number: usize) -> FaceInfo {
    let name = format!("font {number}");
    FaceInfo {
        id: ID::dummy(),
        source,
        index: 0,
        families: vec![(name.clone(), Language::English_UnitedStates)],
        post_script_name: name,
        style: Style::Normal,
        weight: Weight::NORMAL,
        stretch: Stretch::Normal,
        monospaced: false,
    }
}
