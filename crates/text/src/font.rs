//! Font files: compressed ones are unpacked, and what is no whole font is refused.

use cosmic_text::fontdb::{FaceInfo, ID, Language, Source, Stretch, Style, Weight};

use crate::{Error, sfnt};

/// The most that a compressed font may unpack to.
const MAX_UNPACKED: usize = 100 << 20;

/// The SFNT inside a font file.
pub(crate) fn unpack(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    // The unpacker does not say what it stumbled over.
    let damaged = |kind| Error::Font(format!("its {kind} tables cannot be unpacked: the file is damaged"));
    let declared = || {
        // Both headers tell the length of the file at byte 8.
        let length = bytes.get(8..12).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize);
        if length.is_none_or(|length| length > bytes.len()) {
            let length = length.map_or_else(|| "more".to_owned(), |length| length.to_string());
            return Err(Error::Font(format!("the file is cut: {} of {length} bytes are there", bytes.len())));
        }
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
            wuff::decompress_woff1(bytes).map_err(|_| damaged("WOFF"))?
        }
        Some(b"wOF2") => {
            declared()?;
            wuff::decompress_woff2(bytes).map_err(|_| damaged("WOFF2"))?
        }
        _ => return Err(Error::Font("it is no TTF, OTF, WOFF or WOFF2 file".to_owned())),
    };
    sfnt::check(&unpacked)?;
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
