//! Safe bindings to libwebp: an incremental decoder into budgeted planes, and an encoder.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::ptr;

use libwebp_sys as sys;

use super::riff::FrameHead;
use crate::pixels::Plane;
use crate::{Error, Format};
use work::{Reservation, Work};

/// The output of a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// Y, Cb and Cr in limited range, 4:2:0.
    Planes,
    Rgb,
    Rgba,
}

/// Decodes one VP8 or VP8L image (with its ALPH chunk) incrementally into its own planes.
pub(super) struct Incremental<'a> {
    decoder: *mut sys::WebPIDecoder,
    /// Start of each plane's samples. While the decoder lives they are only reached through these.
    starts: Vec<*mut u8>,
    /// Owns the memory; not accessed while the decoder lives.
    planes: Vec<Plane>,
    output: Output,
    data: &'a [u8],
    feed: Feed,
    height: u32,
    /// Rows that are final.
    ready: u32,
    done: bool,
    _internal: Reservation,
}

/// Bytes given to the decoder between two checks of the deadline.
const FEED: usize = 32 * 1024;

/// How much of the data the decoder gets.
///
/// A lossless decoder begins its header anew as long as that is incomplete, and then up to eight rows. The steps
/// double until there is progress, so that it reads no more than about twice the data.
#[derive(Debug)]
struct Feed {
    given: usize,
    step: usize,
    lossless: bool,
    /// Some rows are final.
    begun: bool,
}

impl Feed {
    /// `before`: bytes before the image's own data, which the decoder needs at once.
    fn new(before: usize, lossless: bool) -> Self {
        Self { given: before, step: FEED, lossless, begun: false }
    }

    /// The bytes that the decoder gets next, from the start.
    fn next(&mut self, length: usize) -> usize {
        self.given = self.given.saturating_add(self.step).min(length);
        self.given
    }

    fn decoded(&mut self, progress: bool) {
        self.step = match (self.lossless, progress) {
            (false, _) => FEED,
            (true, false) => self.step * 2,
            (true, true) if self.begun => (self.step / 2).max(FEED),
            (true, true) => FEED,
        };
        self.begun |= progress;
    }
}

impl<'a> Incremental<'a> {
    /// `internal`: bytes that libwebp needs for itself.
    pub(super) fn new(
        bytes: &'a [u8],
        head: &FrameHead,
        output: Output,
        internal: usize,
        work: &Work,
    ) -> Result<Self, Error> {
        let FrameHead { width, height, .. } = *head;
        let internal = work.take(internal)?;
        let mut planes = match output {
            Output::Planes => {
                let (cw, ch) = (width.div_ceil(2), height.div_ceil(2));
                vec![
                    Plane::new(width, height, 1, work)?,
                    Plane::new(cw, ch, 1, work)?,
                    Plane::new(cw, ch, 1, work)?,
                ]
            }
            Output::Rgb => vec![Plane::new(width, height, 3, work)?],
            Output::Rgba => vec![Plane::new(width, height, 4, work)?],
        };
        let places: Vec<(*mut u8, usize, c_int)> =
            planes.iter_mut().map(|p| (p.data.as_mut_ptr(), p.data.len(), p.stride() as c_int)).collect();
        // SAFETY: pointer, length and stride of each plane belong together; the planes are kept, unmoved
        // (their samples are on the heap), until after the decoder is deleted.
        let decoder = unsafe {
            match output {
                Output::Planes => sys::WebPINewYUV(
                    places[0].0,
                    places[0].1,
                    places[0].2,
                    places[1].0,
                    places[1].1,
                    places[1].2,
                    places[2].0,
                    places[2].1,
                    places[2].2,
                ),
                Output::Rgb => {
                    sys::WebPINewRGB(sys::WEBP_CSP_MODE::MODE_RGB, places[0].0, places[0].1, places[0].2)
                }
                Output::Rgba => {
                    sys::WebPINewRGB(sys::WEBP_CSP_MODE::MODE_RGBA, places[0].0, places[0].1, places[0].2)
                }
            }
        };
        if decoder.is_null() {
            return Err(Error::Work(work::Error::MemoryBudget { requested: internal.bytes() }));
        }
        Ok(Self {
            decoder,
            starts: places.iter().map(|p| p.0).collect(),
            planes,
            output,
            data: &bytes[head.data.clone()],
            feed: Feed::new(head.payload - head.data.start, head.lossless),
            height,
            ready: 0,
            done: false,
            _internal: internal,
        })
    }

    /// Rows of the image that are final.
    pub(super) fn ready(&self) -> u32 {
        self.ready
    }

    /// Decodes until more rows are final. Must not be called when all are.
    pub(super) fn advance(&mut self, work: &Work) -> Result<(), Error> {
        let before = self.ready;
        while self.ready == before && !self.done {
            work.check()?;
            let fed = self.feed.next(self.data.len());
            // SAFETY: the bytes live as long as self and always start at the same address, as
            // WebPIUpdate asks.
            let status = unsafe { sys::WebPIUpdate(self.decoder, self.data.as_ptr(), fed) };
            match status {
                sys::VP8StatusCode::VP8_STATUS_OK => {
                    self.ready = self.height;
                    self.done = true;
                }
                sys::VP8StatusCode::VP8_STATUS_SUSPENDED if fed < self.data.len() => {
                    self.ready = self.final_rows().min(self.height);
                    self.feed.decoded(self.ready > before);
                }
                sys::VP8StatusCode::VP8_STATUS_SUSPENDED | sys::VP8StatusCode::VP8_STATUS_NOT_ENOUGH_DATA => {
                    return Err(Error::Truncated(Format::WebP));
                }
                sys::VP8StatusCode::VP8_STATUS_OUT_OF_MEMORY => {
                    return Err(Error::Work(work::Error::MemoryBudget {
                        requested: self.planes.iter().map(|p| p.data.len()).sum(),
                    }));
                }
                _ => {
                    return Err(Error::Malformed {
                        format: Format::WebP,
                        reason: "the image data is inconsistent".to_owned(),
                    });
                }
            }
        }
        Ok(())
    }

    fn final_rows(&self) -> u32 {
        let mut last: c_int = 0;
        let null = ptr::null_mut();
        // SAFETY: the decoder is alive; `last` is the only result asked for, null is allowed for the rest
        // (chroma pointers are written only when the output is Y Cb Cr and the pointers are not null).
        let start = unsafe {
            match self.output {
                Output::Planes => sys::WebPIDecGetYUVA(
                    self.decoder,
                    &raw mut last,
                    ptr::null_mut(),
                    ptr::null_mut(),
                    ptr::null_mut(),
                    null,
                    null,
                    null,
                    null,
                    null,
                ),
                Output::Rgb | Output::Rgba => {
                    sys::WebPIDecGetRGB(self.decoder, &raw mut last, null, null, null)
                }
            }
        };
        if start.is_null() { 0 } else { u32::try_from(last).unwrap_or(0) }
    }

    /// Rows `from..to` of plane `index`; those of the image up to `ready` (half as many of chroma) are final.
    pub(super) fn rows(&self, index: usize, from: u32, to: u32) -> &[u8] {
        let plane = &self.planes[index];
        assert!(from <= to && to <= plane.height);
        let stride = plane.stride();
        // SAFETY: within the plane (asserted); the decoder writes only during `advance`, which needs
        // an exclusive borrow.
        unsafe {
            std::slice::from_raw_parts(
                self.starts[index].add(from as usize * stride),
                (to - from) as usize * stride,
            )
        }
    }
}

impl Drop for Incremental<'_> {
    fn drop(&mut self) {
        // SAFETY: made by WebPINew*, deleted once. It does not free the planes: they are external memory.
        unsafe { sys::WebPIDelete(self.decoder) }
    }
}

/// The picture given to the encoder.
pub(super) enum Picture<'a> {
    /// Limited-range 4:2:0 planes without padding, alpha in a separate plane. Fully transparent areas are
    /// flattened.
    Planes { y: &'a mut [u8], cb: &'a mut [u8], cr: &'a mut [u8], alpha: Option<&'a [u8]> },
    /// 0xAARRGGBB; encoded losslessly.
    Argb(&'a [u32]),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    /// 0–100; for lossless pictures the effort.
    pub(super) quality: f32,
    /// 0 (fast) – 6 (small).
    pub(super) method: i32,
}

struct Session<'a> {
    out: Vec<u8>,
    held: Reservation,
    work: &'a Work,
    failure: Option<Error>,
}

/// Encodes a picture of `width` × `height` into a whole WebP file.
pub(super) fn encode(
    picture: Picture<'_>,
    width: u32,
    height: u32,
    settings: Settings,
    work: &Work,
) -> Result<Vec<u8>, Error> {
    let failed = |reason: &str| Error::Encode { format: Format::WebP, reason: reason.to_owned() };
    let pixels = width as usize * height as usize;
    let mut config = sys::WebPConfig::new().map_err(|()| failed("library version"))?;
    config.quality = settings.quality.clamp(0.0, 100.0);
    config.method = settings.method;
    config.thread_level = 0;
    if matches!(picture, Picture::Argb(_)) {
        config.lossless = 1;
        config.exact = 1;
    } else {
        config.alpha_filtering = 1;
    }
    let mut pic = sys::WebPPicture::new().map_err(|()| failed("library version"))?;
    pic.width = width as c_int;
    pic.height = height as c_int;
    // The encoder writes to the picture only to flatten clear areas of planes, never when `exact` is set.
    match picture {
        Picture::Planes { y, cb, cr, alpha } => {
            let chroma = width.div_ceil(2) as usize * height.div_ceil(2) as usize;
            assert!(y.len() == pixels && cb.len() == chroma && cr.len() == chroma);
            pic.use_argb = 0;
            pic.colorspace = sys::WebPEncCSP::WEBP_YUV420;
            pic.y = y.as_mut_ptr();
            pic.u = cb.as_mut_ptr();
            pic.v = cr.as_mut_ptr();
            pic.y_stride = width as c_int;
            pic.uv_stride = width.div_ceil(2) as c_int;
            if let Some(alpha) = alpha {
                assert_eq!(alpha.len(), pixels);
                pic.colorspace = sys::WebPEncCSP::WEBP_YUV420A;
                pic.a = alpha.as_ptr().cast_mut();
                pic.a_stride = width as c_int;
            }
        }
        Picture::Argb(argb) => {
            assert_eq!(argb.len(), pixels);
            pic.use_argb = 1;
            pic.argb = argb.as_ptr().cast_mut();
            pic.argb_stride = width as c_int;
        }
    }
    let mut session = Session { out: Vec::new(), held: work.take(0)?, work, failure: None };
    pic.writer = Some(write);
    pic.custom_ptr = (&raw mut session).cast::<c_void>();
    pic.progress_hook = Some(progress);
    pic.user_data = (&raw mut session).cast::<c_void>();
    // SAFETY: config and picture were initialised by the library; the planes are as large as width, height
    // and strides say (asserted) and outlive the call, which writes only to those borrowed mutably; the callbacks get the
    // session through pointers that nothing else uses during the call.
    let ok = unsafe { sys::WebPEncode(&raw const config, &raw mut pic) };
    let code = pic.error_code;
    // SAFETY: frees what the library itself allocated in the picture; our planes are not its memory.
    unsafe { sys::WebPPictureFree(&raw mut pic) };
    if let Some(error) = session.failure {
        return Err(error);
    }
    if ok == 0 {
        return Err(match code {
            sys::WebPEncodingError::VP8_ENC_ERROR_OUT_OF_MEMORY
            | sys::WebPEncodingError::VP8_ENC_ERROR_BITSTREAM_OUT_OF_MEMORY => {
                Error::Work(work::Error::MemoryBudget { requested: pixels })
            }
            sys::WebPEncodingError::VP8_ENC_ERROR_BAD_DIMENSION => {
                Error::TooLarge(format!("WebP cannot hold {width} × {height} pixels"))
            }
            other => failed(&format!("{other:?}")),
        });
    }
    Ok(session.out)
}

/// Receives bytes of the file from the encoder.
unsafe extern "C" fn write(data: *const u8, size: usize, picture: *const sys::WebPPicture) -> c_int {
    // SAFETY: libwebp passes the picture that it was given, whose custom_ptr is the session of this call,
    // and `size` readable bytes at `data`.
    let (session, bytes) = unsafe {
        let session = &mut *(*picture).custom_ptr.cast::<Session<'_>>();
        (session, if size == 0 { &[][..] } else { std::slice::from_raw_parts(data, size) })
    };
    let needed = session.out.len() + size;
    if needed > session.out.capacity() {
        let capacity = needed.max(session.out.capacity() * 2).max(4096);
        if let Err(error) = session.held.grow_to(capacity) {
            session.failure = Some(error.into());
            return 0;
        }
        session.out.reserve_exact(capacity - session.out.len());
    }
    session.out.extend_from_slice(bytes);
    1
}

/// Stops the encoder when the request is cancelled or its deadline has passed.
unsafe extern "C" fn progress(_percent: c_int, picture: *const sys::WebPPicture) -> c_int {
    // SAFETY: as in `write`, with user_data.
    let session = unsafe { &mut *(*picture).user_data.cast::<Session<'_>>() };
    match session.work.check() {
        Ok(()) => 1,
        Err(error) => {
            session.failure = Some(error.into());
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FEED, Feed};

    /// The bytes that the decoder reads if rows become final at `at` only, and the longest step after the first ones.
    fn read(length: usize, at: &[usize]) -> (usize, usize) {
        let mut feed = Feed::new(0, true);
        let (mut all, mut longest, mut saved, mut at) = (0, 0, 0, at.iter().peekable());
        while feed.given < length {
            let before = feed.given;
            let given = feed.next(length);
            if feed.begun {
                longest = longest.max(given - before);
            }
            all += given - saved;
            let progress = at.peek().is_some_and(|&&at| at <= given);
            while at.peek().is_some_and(|&&at| at <= given) {
                saved = *at.next().unwrap();
            }
            feed.decoded(progress);
        }
        (all, longest)
    }

    // The header of 7 MB was decoded 220 times.
    #[test]
    fn a_long_header_is_not_begun_anew_at_each_step() {
        let (length, header) = (8_000_000, 7_000_000);
        let (all, _) = read(length, &[header]);
        assert!(all < 3 * length, "{all} bytes were read");
        // Rows of an ordinary image, after its header.
        let rows: Vec<usize> = (0..).map(|i| 20_000 + 10_000 * i).take_while(|&at| at < length).collect();
        let (all, longest) = read(length, &rows);
        assert!(all < 2 * length && longest == FEED, "{all} {longest}");
        // Wide ones.
        let rows: Vec<usize> = (0..).map(|i| 20_000 + 500_000 * i).take_while(|&at| at < length).collect();
        let (all, longest) = read(length, &rows);
        assert!(all < 4 * length && longest <= 1_000_000, "{all} {longest}");
    }
}
