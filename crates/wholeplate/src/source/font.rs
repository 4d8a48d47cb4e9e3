//! Fonts for texts: fetched from wherever a Worker says, and kept for a while.

use std::time::{Duration, Instant};

use bytes::Bytes;
use quick_cache::Weighter;

use super::{Asker, Fetcher, Origin, Source, is_own, parse_url, same_host};
use crate::error::{Fault, PRIVATE_SOURCE};

/// Largest font file in bytes.
const MAX_FONT: u64 = 20_000_000;
/// Fonts that are kept, about, and the bytes that they may take together.
pub(super) const FONTS: usize = 64;
pub(super) const FONT_CACHE: u64 = 64 << 20;
/// How long a font is used without asking for it again, in seconds; less if its origin says so.
const FONT_LIFETIME: u64 = 600;

/// What a font takes in the cache: its bytes.
#[derive(Debug, Clone)]
pub(super) struct FontWeight;

impl Weighter<String, (Bytes, Instant)> for FontWeight {
    fn weight(&self, url: &String, (bytes, _): &(Bytes, Instant)) -> u64 {
        (url.len() + bytes.len()) as u64
    }
}

impl Fetcher {
    /// A font file, by absolute URL. Fonts are named by the operator's own Workers, not by their visitors: any public
    /// address will do. They are kept for a while, if they are fonts.
    ///
    /// # Errors
    /// 9410, whatever the cause.
    pub(crate) async fn font(&self, text: &str, asker: &Asker) -> Result<Bytes, Fault> {
        if let Some((bytes, until)) = self.fonts.get(text)
            && Instant::now() < until
        {
            return Ok(bytes);
        }
        let url = parse_url(text).map_err(|f| font_fault(&f))?;
        let source = if is_own(&url, asker) && matches!(self.origin, Origin::Directory(_)) {
            let path = url[url::Position::BeforePath..url::Position::AfterQuery].to_owned();
            self.relative(&path, asker).await.map_err(|f| font_fault(&f))?
        } else {
            let trusted = match &self.origin {
                Origin::Http(own) if same_host(own, &url) => Some(own),
                _ => None,
            };
            self.get(&url, trusted, &asker.unnamed(), MAX_FONT).await.map_err(|f| font_fault(&f))?.into()
        };
        let Source { bytes, lifetime, .. } = source;
        let seconds = lifetime.seconds().unwrap_or(FONT_LIFETIME).min(FONT_LIFETIME);
        // An error page that came with a 200 is not what the next text is to be written with.
        let checked = bytes.clone();
        let usable = tokio::task::spawn_blocking(move || imaging::check_font(&checked).is_ok());
        if seconds > 0 && usable.await.unwrap_or(false) {
            let until = Instant::now() + Duration::from_secs(seconds);
            self.fonts.insert(text.to_owned(), (bytes.clone(), until));
        }
        Ok(bytes)
    }
}

/// Why a font could not be fetched, in words for one.
fn font_fault(fault: &Fault) -> Fault {
    let why = match (fault.code, fault.status) {
        (9404, _) => "there is no such font".to_owned(),
        // The operator's own Workers name fonts, so that the setting may be named here.
        PRIVATE_SOURCE => {
            "the font is not on a public address; --allow-private-network allows that".to_owned()
        }
        _ => fault.text.replace("the source", "the font"),
    };
    Fault::new(9410, 502, format!("the font could not be fetched: {why}"))
}
