//! AV1 key frames from libaom.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_uint};
use std::mem::MaybeUninit;
use std::ptr;

use libaom_sys as aom;

use crate::pixels::Plane;
use crate::{Error, Format};
use work::{Reservation, Work};

/// One picture: full range, 8 bits, 4:2:0 or luma only.
pub(super) struct Picture<'a> {
    pub(super) luma: &'a Plane,
    pub(super) chroma: Option<(&'a Plane, &'a Plane)>,
}

/// The settings of the encoder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    /// 0 (best) – 63.
    pub(super) quantizer: u32,
    /// Tune for structural similarity instead of sample error: right for colours, wrong for alpha.
    pub(super) perceptual: bool,
}

/// The fastest speed of libaom's all-intra mode. One or two speeds slower take four times as long for
/// a few per cent fewer bytes.
const SPEED: c_int = 9;

struct Context(aom::aom_codec_ctx_t);

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: made only after a successful aom_codec_enc_init_ver, destroyed once.
        unsafe { aom::aom_codec_destroy(&raw mut self.0) };
    }
}

fn failed(reason: &str) -> Error {
    Error::Encode { format: Format::Avif, reason: reason.to_owned() }
}

impl Context {
    fn check(&mut self, code: aom::aom_codec_err_t) -> Result<(), Error> {
        if code == aom::AOM_CODEC_OK {
            return Ok(());
        }
        // SAFETY: both functions give static or context-owned C strings, or null.
        let text = unsafe {
            let detail = aom::aom_codec_error_detail(&raw const self.0);
            let text = if detail.is_null() { aom::aom_codec_err_to_string(code) } else { detail };
            if text.is_null() { String::new() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
        };
        Err(failed(&text))
    }

    fn control(&mut self, id: c_uint, value: c_int) -> Result<(), Error> {
        // SAFETY: all controls used here take one int or unsigned int.
        let code = unsafe { aom::aom_codec_control(&raw mut self.0, id as c_int, value) };
        self.check(code)
    }

    /// Appends the finished packets to `out`.
    fn drain(&mut self, out: &mut Vec<u8>, held: &mut Reservation) -> Result<(), Error> {
        let mut iter: aom::aom_codec_iter_t = ptr::null();
        loop {
            // SAFETY: the context is alive; `iter` belongs to this loop.
            let packet = unsafe { aom::aom_codec_get_cx_data(&raw mut self.0, &raw mut iter) };
            // SAFETY: null or a packet that stays valid until the next call on the context; a frame packet
            // has its bytes in the union's `frame`.
            let bytes = unsafe {
                let Some(packet) = packet.as_ref() else { return Ok(()) };
                if packet.kind != aom::AOM_CODEC_CX_FRAME_PKT || packet.data.frame.sz == 0 {
                    continue;
                }
                std::slice::from_raw_parts(packet.data.frame.buf.cast::<u8>(), packet.data.frame.sz)
            };
            held.grow_to(out.len() + bytes.len())?;
            out.extend_from_slice(bytes);
        }
    }
}

/// Encodes one key frame and returns the item data of an AVIF file.
pub(super) fn encode(picture: &Picture<'_>, settings: Settings, work: &Work) -> Result<Vec<u8>, Error> {
    work.check()?;
    let (width, height) = (picture.luma.width, picture.luma.height);
    assert_eq!(picture.luma.data.len(), width as usize * height as usize);
    // SAFETY: a pure getter.
    let interface = unsafe { aom::aom_codec_av1_cx() };
    let mut config = MaybeUninit::<aom::aom_codec_enc_cfg_t>::uninit();
    // SAFETY: fills the whole configuration when it returns OK.
    let mut config = unsafe {
        if aom::aom_codec_enc_config_default(interface, config.as_mut_ptr(), aom::AOM_USAGE_ALL_INTRA)
            != aom::AOM_CODEC_OK
        {
            return Err(failed("no default configuration"));
        }
        config.assume_init()
    };
    config.g_w = width;
    config.g_h = height;
    config.g_threads = 1;
    config.g_limit = 1;
    config.g_lag_in_frames = 0;
    config.g_bit_depth = aom::AOM_BITS_8;
    config.g_input_bit_depth = 8;
    config.g_pass = aom::AOM_RC_ONE_PASS;
    config.rc_end_usage = aom::AOM_Q;
    config.rc_min_quantizer = settings.quantizer;
    config.rc_max_quantizer = settings.quantizer;
    config.monochrome = c_uint::from(picture.chroma.is_none());
    let mut context = MaybeUninit::<aom::aom_codec_ctx_t>::zeroed();
    // SAFETY: context is zeroed memory for the library to fill, the configuration is complete.
    let mut context = unsafe {
        let code = aom::aom_codec_enc_init_ver(
            context.as_mut_ptr(),
            interface,
            &raw const config,
            0,
            aom::AOM_ENCODER_ABI_VERSION as c_int,
        );
        if code != aom::AOM_CODEC_OK {
            return Err(failed("the encoder refused its configuration"));
        }
        Context(context.assume_init())
    };
    context.control(aom::AOME_SET_CPUUSED, SPEED)?;
    context.control(aom::AOME_SET_CQ_LEVEL, settings.quantizer as c_int)?;
    context.control(aom::AV1E_SET_ROW_MT, 0)?;
    context.control(aom::AV1E_SET_COLOR_RANGE, aom::AOM_CR_FULL_RANGE as c_int)?;
    if settings.perceptual {
        context.control(aom::AV1E_SET_COLOR_PRIMARIES, aom::AOM_CICP_CP_BT_709 as c_int)?;
        context.control(aom::AV1E_SET_TRANSFER_CHARACTERISTICS, aom::AOM_CICP_TC_SRGB as c_int)?;
        context.control(aom::AV1E_SET_MATRIX_COEFFICIENTS, aom::AOM_CICP_MC_BT_601 as c_int)?;
        // Quantiser matrices improve quality at equal size more than a slower speed.
        context.control(aom::AV1E_SET_ENABLE_QM, 1)?;
        context.control(aom::AV1E_SET_QM_MIN, 2)?;
        context.control(aom::AV1E_SET_QM_MAX, 10)?;
        context.control(aom::AOME_SET_TUNING, aom::AOM_TUNE_SSIM as c_int)?;
    }

    let mut image = MaybeUninit::<aom::aom_image_t>::zeroed();
    // SAFETY: describes our planes; the library only reads them. `aom_img_wrap` sets the chroma pointers
    // by its own arithmetic (never followed): they are replaced right after.
    let image = unsafe {
        let start = picture.luma.data.as_ptr().cast_mut();
        if aom::aom_img_wrap(image.as_mut_ptr(), aom::AOM_IMG_FMT_I420, width, height, 1, start).is_null() {
            return Err(failed("the image is too large"));
        }
        let mut image = image.assume_init();
        image.range = aom::AOM_CR_FULL_RANGE;
        image.planes = [start, ptr::null_mut(), ptr::null_mut()];
        image.stride = [width as c_int, width.div_ceil(2) as c_int, width.div_ceil(2) as c_int];
        match picture.chroma {
            Some((cb, cr)) => {
                let expected = width.div_ceil(2) as usize * height.div_ceil(2) as usize;
                assert!(cb.data.len() == expected && cr.data.len() == expected);
                image.planes[1] = cb.data.as_ptr().cast_mut();
                image.planes[2] = cr.data.as_ptr().cast_mut();
            }
            None => image.monochrome = 1,
        }
        image
    };
    let mut out = Vec::new();
    let mut held = work.take(0)?;
    // SAFETY: image and context are complete and alive.
    let code = unsafe { aom::aom_codec_encode(&raw mut context.0, &raw const image, 0, 1, 0) };
    context.check(code)?;
    // Packets are fetched before the flush as well as after: a flush discards packets that were not fetched.
    context.drain(&mut out, &mut held)?;
    // SAFETY: a null image ends the stream.
    let code = unsafe { aom::aom_codec_encode(&raw mut context.0, ptr::null(), 0, 1, 0) };
    context.check(code)?;
    context.drain(&mut out, &mut held)?;
    work.check()?;
    // An item must not contain a temporal delimiter.
    if out.starts_with(&[0x12, 0x00]) {
        out.drain(..2);
    }
    if out.is_empty() {
        return Err(failed("the encoder returned no frame"));
    }
    Ok(out)
}
