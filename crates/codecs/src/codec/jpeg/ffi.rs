//! The bindings to libjpeg (mozjpeg): a decompressor over a slice, a compressor into a
//! growing vector, and an error manager that unwinds instead of exiting.
//!
//! The library is compiled with unwind tables, and its callbacks are `extern "C-unwind"`, so an error
//! travels as a Rust panic payload ([`Unwound`], raised without the panic hook) from the callback up
//! to [`guard`], where it becomes an [`Error`]. After an error an object may only be destroyed.

#![allow(unsafe_code)]

use std::ffi::CStr;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::{self, NonNull, addr_of_mut};

use mozjpeg_sys as sys;
use sys::{boolean, c_int, c_long};

use super::scans::MAX_SCANS;
use crate::{Error, Format};
use work::{Reservation, Work};

/// The payload of an unwinding libjpeg error; the reason is in [`Shared::failure`].
struct Unwound;

/// The data of the callbacks, reached through `client_data`.
struct Shared {
    work: Work,
    failure: Option<Error>,
    decoding: bool,
    /// [`source_empty`] has supplied the end marker.
    end_given: bool,
    output: Vec<u8>,
    output_held: Option<Reservation>,
}

impl Shared {
    fn new(work: &Work, decoding: bool) -> Self {
        Self {
            work: work.clone(),
            failure: None,
            decoding,
            end_given: false,
            output: Vec::new(),
            output_held: None,
        }
    }
}

fn unwind_with(shared: &mut Shared, error: Error) -> ! {
    shared.failure.get_or_insert(error);
    resume_unwind(Box::new(Unwound))
}

/// The shared part behind a libjpeg object.
///
/// # Safety
/// `cinfo.client_data` must point to a live [`Shared`] that is not borrowed elsewhere; the
/// constructors below set it, and hold no borrow of it while libjpeg runs.
unsafe fn shared_of<'s>(cinfo: &sys::jpeg_common_struct) -> &'s mut Shared {
    // SAFETY: see above.
    unsafe { &mut *cinfo.client_data.cast::<Shared>() }
}

/// Runs `call`, which may end in an unwinding libjpeg error.
fn guard<T>(shared: *mut Shared, call: impl FnOnce() -> T) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|payload| {
        if !payload.is::<Unwound>() {
            resume_unwind(payload);
        }
        // SAFETY: the library has returned, so no callback borrows the shared part.
        let failure = unsafe { (*shared).failure.take() };
        failure.unwrap_or_else(|| Error::Malformed { format: Format::Jpeg, reason: "unknown".to_owned() })
    })
}

/// The library's text for the current message, with its parameters.
///
/// # Safety
/// `err` must be an error manager set up by `jpeg_std_error`.
unsafe fn message(err: &sys::jpeg_error_mgr) -> String {
    let code = err.msg_code;
    if code <= 0 || code > err.last_jpeg_message || err.jpeg_message_table.is_null() {
        return format!("libjpeg message {code}");
    }
    // SAFETY: the table has last_jpeg_message + 1 entries, each a static C string.
    let text = unsafe { CStr::from_ptr(*err.jpeg_message_table.add(code as usize)) };
    let mut params = err.msg_parm._bindgen_data_.iter();
    let mut out = String::new();
    let text = text.to_string_lossy();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let conversion = chars.by_ref().find(char::is_ascii_alphabetic);
        match (conversion, params.next()) {
            (Some('x'), Some(n)) => out.push_str(&format!("{n:x}")),
            (Some('s') | None, _) | (_, None) => out.push('?'),
            (Some(_), Some(&n)) => out.push_str(&(n as i32).to_string()),
        }
    }
    out
}

unsafe extern "C-unwind" fn on_error(cinfo: &mut sys::jpeg_common_struct) {
    // SAFETY: libjpeg passes its own object, whose error manager and client data we set.
    let (shared, err) = unsafe { (shared_of(cinfo), &*cinfo.err) };
    // SAFETY: the error manager was made by jpeg_std_error.
    let reason = unsafe { message(err) };
    let code = err.msg_code as sys::J_MESSAGE_CODE;
    let error = match code {
        sys::JERR_OUT_OF_MEMORY | sys::JERR_NO_BACKING_STORE => {
            Error::Work(work::Error::MemoryBudget { requested: 0 })
        }
        _ if !shared.decoding => Error::Encode { format: Format::Jpeg, reason },
        sys::JERR_NOT_COMPILED
        | sys::JERR_ARITH_NOTIMPL
        | sys::JERR_SOF_UNSUPPORTED
        | sys::JERR_BAD_PRECISION
        | sys::JERR_CONVERSION_NOTIMPL
        | sys::JERR_CCIR601_NOTIMPL
        | sys::JERR_FRACT_SAMPLE_NOTIMPL => Error::Unsupported(format!("JPEG: {reason}")),
        sys::JERR_IMAGE_TOO_BIG => Error::TooLarge(reason),
        _ => Error::Malformed { format: Format::Jpeg, reason },
    };
    unwind_with(shared, error)
}

/// Warnings (level -1) about wrong pixels are errors; others (extraneous bytes between
/// segments, unknown JFIF or Adobe versions, odd but complete progressions) are tolerated.
unsafe extern "C-unwind" fn on_message(cinfo: &mut sys::jpeg_common_struct, level: c_int) {
    if level >= 0 {
        return;
    }
    // SAFETY: libjpeg passes its own object, whose error manager and client data we set.
    let (shared, err) = unsafe { (shared_of(cinfo), &mut *cinfo.err) };
    err.num_warnings += 1;
    match err.msg_code as sys::J_MESSAGE_CODE {
        sys::JWRN_JPEG_EOF => unwind_with(shared, Error::Truncated(Format::Jpeg)),
        sys::JWRN_HIT_MARKER => {
            // SAFETY: a common struct given to us during decoding heads a jpeg_decompress_struct,
            // whose source manager points into the file, after at least its first two bytes, or into
            // END_OF_IMAGE, also after two bytes.
            let (before, behind) = unsafe {
                let dinfo = ptr::from_mut(cinfo).cast::<sys::jpeg_decompress_struct>();
                let src = &*(*dinfo).src;
                (
                    std::slice::from_raw_parts(src.next_input_byte.sub(2), 2),
                    std::slice::from_raw_parts(src.next_input_byte, src.bytes_in_buffer),
                )
            };
            let ended = ended_by(before, behind);
            let error = if ended {
                Error::Truncated(Format::Jpeg)
            } else {
                Error::Malformed {
                    format: Format::Jpeg,
                    reason: "a marker is inside the compressed data".to_owned(),
                }
            };
            unwind_with(shared, error)
        }
        sys::JWRN_HUFF_BAD_CODE | sys::JWRN_MUST_RESYNC => {
            // SAFETY: the error manager was made by jpeg_std_error.
            let reason = unsafe { message(err) };
            unwind_with(shared, Error::Malformed { format: Format::Jpeg, reason })
        }
        _ => {}
    }
}

/// Whether the marker that ended the compressed data early is the end-of-image marker. It is
/// just before the read position or next, because the position is updated only
/// between MCUs.
fn ended_by(before: &[u8], behind: &[u8]) -> bool {
    let marker = |pair: &[u8]| pair[0] == 0xFF && pair[1] != 0 && pair[1] != 0xFF;
    if marker(before) {
        return before[1] == 0xD9;
    }
    behind.windows(2).find(|pair| marker(pair)).is_none_or(|pair| pair[1] == 0xD9)
}

unsafe extern "C-unwind" fn on_progress(cinfo: &mut sys::jpeg_common_struct) {
    // SAFETY: libjpeg passes its own object, whose client data we set.
    let shared = unsafe { shared_of(cinfo) };
    if let Err(error) = shared.work.check() {
        unwind_with(shared, error.into());
    }
    if shared.decoding {
        // SAFETY: during decoding the object is a jpeg_decompress_struct, whose head this is.
        let scans =
            unsafe { (*ptr::from_mut(cinfo).cast::<sys::jpeg_decompress_struct>()).input_scan_number };
        // Scans were counted before; this check covers differences between the counts.
        if scans > MAX_SCANS as c_int {
            unwind_with(shared, Error::TooLarge(format!("the JPEG file has more than {MAX_SCANS} scans")));
        }
    }
}

unsafe extern "C-unwind" fn source_nothing(_: &mut sys::jpeg_decompress_struct) {}

/// An end marker for files without one, after two bytes for [`on_message`] to read.
static END_OF_IMAGE: [u8; 4] = [0, 0, 0xFF, 0xD9];

/// The buffer contains the whole file. At its end the decoder gets an end marker once, because it reads ahead, and a file
/// with all its pixels is whole without the marker. If it needs more bits, it warns of the marker.
unsafe extern "C-unwind" fn source_empty(cinfo: &mut sys::jpeg_decompress_struct) -> boolean {
    // SAFETY: libjpeg passes its own object, whose client data we set.
    let shared = unsafe { shared_of(&cinfo.common) };
    if std::mem::replace(&mut shared.end_given, true) {
        unwind_with(shared, Error::Truncated(Format::Jpeg));
    }
    // SAFETY: the source manager is ours and lives as long as the object.
    let src = unsafe { &mut *cinfo.src };
    src.next_input_byte = END_OF_IMAGE[2..].as_ptr();
    src.bytes_in_buffer = 2;
    1
}

unsafe extern "C-unwind" fn source_skip(cinfo: &mut sys::jpeg_decompress_struct, bytes: c_long) {
    let Ok(bytes) = usize::try_from(bytes) else { return };
    // SAFETY: the source manager is ours and lives as long as the object.
    let src = unsafe { &mut *cinfo.src };
    if bytes > src.bytes_in_buffer {
        // SAFETY: client data is ours.
        unwind_with(unsafe { shared_of(&cinfo.common) }, Error::Truncated(Format::Jpeg));
    }
    src.bytes_in_buffer -= bytes;
    // SAFETY: not beyond the end of the file, checked above.
    src.next_input_byte = unsafe { src.next_input_byte.add(bytes) };
}

struct DecoderState {
    cinfo: sys::jpeg_decompress_struct,
    err: sys::jpeg_error_mgr,
    src: sys::jpeg_source_mgr,
    progress: sys::jpeg_progress_mgr,
    shared: Shared,
}

/// Sampling factors of one component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Component {
    pub(super) h: u32,
    pub(super) v: u32,
}

/// The result of `jpeg_read_header`.
#[derive(Debug, Clone)]
pub(super) struct Header {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) components: Vec<Component>,
    /// All coefficients are held in memory before the first row is decoded.
    pub(super) multiple_scans: bool,
}

/// Colours of the decoded rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    Gray,
    Rgb,
    Cmyk,
    /// Planes as stored.
    Raw,
}

/// A JPEG being decoded from `'a` bytes.
pub(super) struct Decoder<'a> {
    state: NonNull<DecoderState>,
    bytes: PhantomData<&'a [u8]>,
    /// After an error the object may only be destroyed.
    failed: bool,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(bytes: &'a [u8], work: &Work) -> Result<Self, Error> {
        // SAFETY: these C structs are valid when zeroed (numbers, nullable pointers and functions,
        // enums that have a zero variant); libjpeg wants them zeroed or set by itself.
        let (cinfo, mut err, mut src, mut progress) = unsafe {
            (
                std::mem::zeroed::<sys::jpeg_decompress_struct>(),
                std::mem::zeroed::<sys::jpeg_error_mgr>(),
                std::mem::zeroed::<sys::jpeg_source_mgr>(),
                std::mem::zeroed::<sys::jpeg_progress_mgr>(),
            )
        };
        // SAFETY: fills in the given struct only.
        unsafe { sys::jpeg_std_error(&mut err) };
        err.error_exit = Some(on_error);
        err.emit_message = Some(on_message);
        src.next_input_byte = bytes.as_ptr();
        src.bytes_in_buffer = bytes.len();
        src.init_source = Some(source_nothing);
        src.fill_input_buffer = Some(source_empty);
        src.skip_input_data = Some(source_skip);
        src.resync_to_restart = Some(sys::jpeg_resync_to_restart);
        src.term_source = Some(source_nothing);
        progress.progress_monitor = Some(on_progress);
        let state = Box::new(DecoderState { cinfo, err, src, progress, shared: Shared::new(work, true) });
        let state = NonNull::from(Box::leak(state));
        // From here on the state is freed by Drop; destroying a zeroed object is allowed.
        let decoder = Self { state, bytes: PhantomData, failed: false };
        let s = state.as_ptr();
        // SAFETY: the state is alive; pointers are made without intermediate references, and point
        // into an allocation that does not move until Drop.
        guard(unsafe { addr_of_mut!((*s).shared) }, || unsafe {
            (*s).cinfo.common.err = addr_of_mut!((*s).err);
            (*s).cinfo.common.client_data = addr_of_mut!((*s).shared).cast();
            sys::jpeg_create_decompress(addr_of_mut!((*s).cinfo));
            (*s).cinfo.common.client_data = addr_of_mut!((*s).shared).cast();
            (*s).cinfo.common.progress = addr_of_mut!((*s).progress);
            (*s).cinfo.src = addr_of_mut!((*s).src);
        })?;
        Ok(decoder)
    }

    fn call<T>(&mut self, f: impl FnOnce(&mut sys::jpeg_decompress_struct) -> T) -> Result<T, Error> {
        if self.failed {
            return Err(Error::Malformed {
                format: Format::Jpeg,
                reason: "the decoder has failed before".to_owned(),
            });
        }
        let s = self.state.as_ptr();
        // SAFETY: the state is alive, and `&mut self` makes this the only user; callbacks reach the
        // other fields through their own pointers, never through this reference.
        let result = guard(unsafe { addr_of_mut!((*s).shared) }, || f(unsafe { &mut (*s).cinfo }));
        self.failed = result.is_err();
        result
    }

    pub(super) fn read_header(&mut self) -> Result<Header, Error> {
        self.call(|c| {
            // SAFETY: the object is created and has a source.
            unsafe { sys::jpeg_read_header(c, 1) };
            let components = component_infos(c)
                .iter()
                .map(|info| Component { h: info.h_samp_factor as u32, v: info.v_samp_factor as u32 })
                .collect();
            Header {
                width: c.image_width,
                height: c.image_height,
                components,
                // SAFETY: the header has been read.
                multiple_scans: unsafe { sys::jpeg_has_multiple_scans(c) } != 0,
            }
        })
    }

    /// Starts the decompression; `memory` bounds the library's virtual arrays.
    pub(super) fn start(&mut self, output: Output, scale: u32, memory: usize) -> Result<(), Error> {
        self.call(|c| {
            c.scale_num = 1;
            c.scale_denom = scale;
            match output {
                Output::Gray => c.out_color_space = sys::JCS_GRAYSCALE,
                Output::Rgb => c.out_color_space = sys::JCS_RGB,
                Output::Cmyk => c.out_color_space = sys::JCS_CMYK,
                Output::Raw => {
                    c.out_color_space = c.jpeg_color_space;
                    c.raw_data_out = 1;
                }
            }
            // SAFETY: the memory manager exists since creation; the object is in the state after
            // the header.
            unsafe {
                (*c.common.mem).max_memory_to_use = c_long::try_from(memory).unwrap_or(c_long::MAX);
                sys::jpeg_start_decompress(c);
            }
        })
    }

    /// Width and height of the decoded image, after [`Decoder::start`].
    pub(super) fn output_size(&mut self) -> (u32, u32) {
        // SAFETY: plain reads.
        unsafe { ((*self.state.as_ptr()).cinfo.output_width, (*self.state.as_ptr()).cinfo.output_height) }
    }

    /// Reads up to `rows` interleaved rows of `stride` bytes into `buffer`. Returns their number.
    pub(super) fn read_rows(
        &mut self,
        buffer: &mut [u8],
        stride: usize,
        rows: usize,
    ) -> Result<usize, Error> {
        self.call(|c| {
            let row = c.output_width as usize * usize::try_from(c.output_components).unwrap_or(usize::MAX);
            assert!(row <= stride && stride * rows <= buffer.len(), "row buffer too small");
            let mut done = 0;
            while done < rows && c.output_scanline < c.output_height {
                let mut pointers: [sys::JSAMPROW_MUT; 4] = [ptr::null_mut(); 4];
                let group = (rows - done).min(4);
                for (i, pointer) in pointers[..group].iter_mut().enumerate() {
                    *pointer = buffer[(done + i) * stride..].as_mut_ptr();
                }
                // SAFETY: `group` pointers to rows of at least output_width × components bytes.
                let got = unsafe { sys::jpeg_read_scanlines(c, pointers.as_mut_ptr(), group as u32) };
                if got == 0 {
                    break;
                }
                done += got as usize;
            }
            done
        })
    }

    /// Rows and bytes of a row that libjpeg writes of each component for one row of MCUs, after [`Decoder::start`].
    pub(super) fn raw_sizes(&mut self) -> Result<Vec<RawSize>, Error> {
        self.call(|c| component_infos(c).iter().map(RawSize::of).collect())
    }

    /// Reads one row of MCUs into `planes`, one buffer for each component, at least as large as
    /// [`Decoder::raw_sizes`] says.
    ///
    /// # Panics
    /// If a buffer is too small.
    pub(super) fn read_raw(&mut self, planes: &mut [RawPlane<'_>]) -> Result<(), Error> {
        let mut pointers: Vec<Vec<sys::JSAMPROW_MUT>> = planes
            .iter_mut()
            .map(|p| p.data.chunks_exact_mut(p.stride.max(1)).map(<[u8]>::as_mut_ptr).collect())
            .collect();
        let mut heads: Vec<sys::JSAMPARRAY_MUT> = pointers.iter_mut().map(Vec::as_mut_ptr).collect();
        let got = self.call(|c| {
            let infos = component_infos(c);
            assert!(c.raw_data_out != 0, "raw planes were not asked for");
            assert_eq!(heads.len(), infos.len(), "one buffer for each component");
            for ((info, plane), rows) in infos.iter().zip(&*planes).zip(&pointers) {
                let needed = RawSize::of(info);
                assert!(
                    plane.stride >= needed.stride && rows.len() >= needed.rows,
                    "raw plane of {} rows of {} bytes, {} rows of {} bytes expected",
                    rows.len(),
                    plane.stride,
                    needed.rows,
                    needed.stride
                );
            }
            let lines = (c.max_v_samp_factor * 8) as u32;
            // SAFETY: libjpeg writes, for each component, v_samp_factor × DCT_scaled_size rows of
            // width_in_blocks × DCT_scaled_size bytes; every buffer holds that, as checked above. `lines` is not less
            // than max_v_samp_factor × min_DCT_scaled_size, which it asks for.
            unsafe { sys::jpeg_read_raw_data(c, heads.as_mut_ptr(), lines) }
        })?;
        if got == 0 {
            return Err(Error::Truncated(Format::Jpeg));
        }
        Ok(())
    }

    /// Reads up to the end-of-image marker.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        // SAFETY: decompression was started.
        self.call(|c| unsafe { sys::jpeg_finish_decompress(c) }).map(|_| ())
    }
}

/// A buffer for one component of [`Decoder::read_raw`].
#[derive(Debug)]
pub(super) struct RawPlane<'b> {
    pub(super) data: &'b mut [u8],
    pub(super) stride: usize,
}

/// The size that libjpeg writes for one component and one row of MCUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RawSize {
    pub(super) stride: usize,
    pub(super) rows: usize,
}

impl RawSize {
    fn of(info: &sys::jpeg_component_info) -> Self {
        let dct = dct_scaled_size(info);
        Self { stride: info.width_in_blocks as usize * dct, rows: info.v_samp_factor as usize * dct }
    }
}

/// The components in the header; empty before it was read.
fn component_infos(c: &sys::jpeg_decompress_struct) -> &[sys::jpeg_component_info] {
    if c.comp_info.is_null() {
        return &[];
    }
    // SAFETY: libjpeg allocates MAX_COMPONENTS entries when it reads the frame header, of which num_components are
    // filled, and keeps them until the object is destroyed.
    unsafe { std::slice::from_raw_parts(c.comp_info, usize::try_from(c.num_components).unwrap_or(0)) }
}

/// `DCT_scaled_size`, which is private in the binding.
fn dct_scaled_size(info: &sys::jpeg_component_info) -> usize {
    // Version 7 of the interface replaces it by two fields.
    const { assert!(sys::JPEG_LIB_VERSION < 70) };
    let at = std::mem::offset_of!(sys::jpeg_component_info, height_in_blocks) + size_of::<sys::JDIMENSION>();
    // SAFETY: the struct has the C layout; the field, an int, follows `height_in_blocks`, an int of the same size.
    let size = unsafe { ptr::from_ref(info).cast::<u8>().add(at).cast::<c_int>().read() };
    // libjpeg has no larger one.
    usize::try_from(size).unwrap_or(8).clamp(1, 8)
}

impl Drop for Decoder<'_> {
    fn drop(&mut self) {
        let s = self.state.as_ptr();
        // SAFETY: created in `new`, destroyed once; destroying frees pools and calls no callback of
        // ours. The box is the one leaked in `new`.
        unsafe {
            sys::jpeg_destroy_decompress(&mut (*s).cinfo);
            drop(Box::from_raw(s));
        }
    }
}

/// The settings of an [`Encoder`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) input: Input,
    /// Luma samples per chroma sample, both ways; (1, 1) for grey.
    pub(super) factors: (u32, u32),
    pub(super) quality: u8,
    pub(super) fast: bool,
    /// One pass with the standard's Huffman codes: only strips are held.
    pub(super) one_pass: bool,
    pub(super) progressive: bool,
    /// Bound of the library's virtual arrays.
    pub(super) memory: usize,
}

/// The kind of rows given to an [`Encoder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    Gray,
    Rgb,
    /// Y Cb Cr planes, subsampled as `factors` says.
    Raw,
}

struct EncoderState {
    cinfo: sys::jpeg_compress_struct,
    err: sys::jpeg_error_mgr,
    dest: sys::jpeg_destination_mgr,
    progress: sys::jpeg_progress_mgr,
    shared: Shared,
}

/// A JPEG being written into memory taken from the budget.
pub(super) struct Encoder {
    state: NonNull<EncoderState>,
}

unsafe extern "C-unwind" fn dest_nothing(_: &mut sys::jpeg_compress_struct) {}

/// Enlarges the output. The library calls it at the start and whenever the buffer is full (its
/// `free_in_buffer` is then not valid).
unsafe extern "C-unwind" fn dest_full(cinfo: &mut sys::jpeg_compress_struct) -> boolean {
    // SAFETY: libjpeg passes its own object, whose client data and destination we set.
    let (shared, dest) = unsafe { (shared_of(&cinfo.common), &mut *cinfo.dest) };
    let written = shared.output.capacity();
    // SAFETY: the library has filled the whole of the spare capacity it was given.
    unsafe { shared.output.set_len(written) };
    if let Err(error) = grow(shared, dest) {
        unwind_with(shared, error);
    }
    1
}

/// Gives the library new space after the written bytes.
fn grow(shared: &mut Shared, dest: &mut sys::jpeg_destination_mgr) -> Result<(), Error> {
    let written = shared.output.len();
    let room = (written / 2).max(4096);
    match &mut shared.output_held {
        Some(held) => held.grow_to(written + room)?,
        None => shared.output_held = Some(shared.work.take(room)?),
    }
    shared.output.reserve_exact(room);
    let spare = shared.output.spare_capacity_mut();
    dest.next_output_byte = spare.as_mut_ptr().cast();
    dest.free_in_buffer = spare.len();
    Ok(())
}

impl Encoder {
    /// Starts a file with space for `expected` bytes of output.
    pub(super) fn new(settings: &Settings, expected: usize, work: &Work) -> Result<Self, Error> {
        // SAFETY: as in `Decoder::new`: these C structs are valid when zeroed.
        let (cinfo, mut err, mut dest, mut progress) = unsafe {
            (
                std::mem::zeroed::<sys::jpeg_compress_struct>(),
                std::mem::zeroed::<sys::jpeg_error_mgr>(),
                std::mem::zeroed::<sys::jpeg_destination_mgr>(),
                std::mem::zeroed::<sys::jpeg_progress_mgr>(),
            )
        };
        // SAFETY: fills in the given struct only.
        unsafe { sys::jpeg_std_error(&mut err) };
        err.error_exit = Some(on_error);
        err.emit_message = Some(on_message);
        dest.init_destination = Some(dest_nothing);
        dest.empty_output_buffer = Some(dest_full);
        dest.term_destination = Some(dest_nothing);
        progress.progress_monitor = Some(on_progress);
        let mut shared = Shared::new(work, false);
        shared.output_held = Some(work.take(expected)?);
        shared.output.reserve_exact(expected);
        grow(&mut shared, &mut dest)?;
        let state = Box::new(EncoderState { cinfo, err, dest, progress, shared });
        let state = NonNull::from(Box::leak(state));
        let mut encoder = Self { state };
        let s = state.as_ptr();
        // SAFETY: the state is alive; pointers are made without intermediate references, and point
        // into an allocation that does not move until Drop.
        guard(unsafe { addr_of_mut!((*s).shared) }, || unsafe {
            (*s).cinfo.common.err = addr_of_mut!((*s).err);
            (*s).cinfo.common.client_data = addr_of_mut!((*s).shared).cast();
            sys::jpeg_create_compress(addr_of_mut!((*s).cinfo));
            (*s).cinfo.common.client_data = addr_of_mut!((*s).shared).cast();
            (*s).cinfo.common.progress = addr_of_mut!((*s).progress);
            (*s).cinfo.dest = addr_of_mut!((*s).dest);
        })?;
        // SAFETY: the object is created; settings are made in the order the library asks for.
        encoder.call(|c| unsafe { configure(c, settings) })?;
        Ok(encoder)
    }

    fn call<T>(&mut self, f: impl FnOnce(&mut sys::jpeg_compress_struct) -> T) -> Result<T, Error> {
        let s = self.state.as_ptr();
        // SAFETY: as in `Decoder::call`.
        guard(unsafe { addr_of_mut!((*s).shared) }, || f(unsafe { &mut (*s).cinfo }))
    }

    /// Writes the file header, then `app1` as an APP1 segment (including "Exif\0\0").
    pub(super) fn start(&mut self, app1: Option<&[u8]>) -> Result<(), Error> {
        // SAFETY: the object is configured; the marker's bytes are copied within the call.
        self.call(|c| unsafe {
            sys::jpeg_start_compress(c, 1);
            if let Some(payload) = app1 {
                sys::jpeg_write_marker(c, 0xE1, payload.as_ptr(), payload.len() as u32);
            }
        })
    }

    /// Writes interleaved rows of `stride` bytes.
    pub(super) fn write_rows(&mut self, data: &[u8], stride: usize) -> Result<(), Error> {
        self.call(|c| {
            let row = c.image_width as usize * usize::try_from(c.input_components).unwrap_or(usize::MAX);
            assert!(row <= stride && data.len().is_multiple_of(stride), "rows of the wrong size");
            for group in data.chunks(stride * 16) {
                let mut pointers: [sys::JSAMPROW; 16] = [ptr::null(); 16];
                let mut count = 0;
                for (pointer, row) in pointers.iter_mut().zip(group.chunks_exact(stride)) {
                    *pointer = row.as_ptr();
                    count += 1;
                }
                // SAFETY: `count` pointers to rows of image_width × components bytes. The library
                // takes all rows, since its destination never suspends.
                unsafe { sys::jpeg_write_scanlines(c, pointers.as_ptr(), count) };
            }
        })
    }

    /// Writes one row of MCUs: for each plane v_samp × 8 rows of `stride` bytes, where the stride is at
    /// least the plane's width in blocks × 8.
    pub(super) fn write_raw(&mut self, planes: &[(&[u8], usize)]) -> Result<(), Error> {
        let pointers: Vec<Vec<sys::JSAMPROW>> = planes
            .iter()
            .map(|(data, stride)| data.chunks_exact(*stride).map(<[u8]>::as_ptr).collect())
            .collect();
        let heads: Vec<sys::JSAMPARRAY> = pointers.iter().map(Vec::as_ptr).collect();
        self.call(|c| {
            for (i, ((_, stride), rows)) in planes.iter().zip(&pointers).enumerate() {
                // SAFETY: after the start comp_info has one entry for each plane.
                let info = unsafe { &*c.comp_info.add(i) };
                assert!(
                    *stride >= info.width_in_blocks as usize * 8
                        && rows.len() >= info.v_samp_factor as usize * 8,
                    "raw rows of the wrong size"
                );
            }
            assert_eq!(planes.len(), usize::try_from(c.input_components).unwrap_or(0), "one buffer a plane");
            let lines = c.max_v_samp_factor as u32 * 8;
            // SAFETY: sizes checked above.
            unsafe { sys::jpeg_write_raw_data(c, heads.as_ptr(), lines) };
        })
    }

    /// Finishes the file.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, Error> {
        // SAFETY: compression was started; libjpeg itself checks that all rows were written.
        self.call(|c| unsafe { sys::jpeg_finish_compress(c) })?;
        let s = self.state.as_ptr();
        // SAFETY: the library has returned; the bytes up to capacity - free_in_buffer are written.
        unsafe {
            let written = (*s).shared.output.capacity() - (*s).dest.free_in_buffer;
            let mut output = std::mem::take(&mut (*s).shared.output);
            output.set_len(written);
            output.shrink_to_fit();
            Ok(output)
        }
    }
}

/// Sets up the compression.
///
/// # Safety
/// `c` must be a created compressor that has not been started.
unsafe fn configure(c: &mut sys::jpeg_compress_struct, settings: &Settings) {
    c.image_width = settings.width;
    c.image_height = settings.height;
    (c.input_components, c.in_color_space) = match settings.input {
        Input::Gray => (1, sys::JCS_GRAYSCALE),
        Input::Rgb => (3, sys::JCS_RGB),
        Input::Raw => (3, sys::JCS_YCbCr),
    };
    let profile = if settings.fast { sys::JCP_FASTEST } else { sys::JCP_MAX_COMPRESSION };
    // SAFETY: guaranteed by the caller. The profile determines the defaults and is therefore set first.
    unsafe {
        (*c.common.mem).max_memory_to_use = c_long::try_from(settings.memory).unwrap_or(c_long::MAX);
        sys::jpeg_c_set_int_param(c, sys::JINT_COMPRESS_PROFILE, profile as c_int);
        sys::jpeg_set_defaults(c);
        if !settings.fast {
            // mozjpeg's tables and deringing without the trellis: most of the gain for a sixth of
            // its time. Turning off scan optimisation leaves an invalid script, which is replaced below.
            for off in
                [sys::JBOOLEAN_OPTIMIZE_SCANS, sys::JBOOLEAN_TRELLIS_QUANT, sys::JBOOLEAN_TRELLIS_QUANT_DC]
            {
                sys::jpeg_c_set_bool_param(c, off, 0);
            }
        }
        sys::jpeg_set_quality(c, c_int::from(settings.quality.clamp(1, 100)), 1);
    }
    c.scan_info = ptr::null();
    c.num_scans = 0;
    let planes = if settings.input == Input::Gray { 1 } else { 3 };
    for i in 0..planes {
        // SAFETY: the defaults made an entry for each component of the colour space.
        let info = unsafe { &mut *c.comp_info.add(i) };
        let (h, v) = if i == 0 { settings.factors } else { (1, 1) };
        info.h_samp_factor = h as c_int;
        info.v_samp_factor = v as c_int;
    }
    c.raw_data_in = boolean::from(settings.input == Input::Raw);
    if settings.one_pass {
        c.optimize_coding = 0;
    } else if settings.progressive {
        // Static, because the library keeps the pointer.
        let script: &'static [sys::jpeg_scan_info] =
            if settings.input == Input::Gray { &GRAY_SCANS } else { &COLOUR_SCANS };
        c.scan_info = script.as_ptr();
        c.num_scans = script.len() as c_int;
    }
}

/// Scans of a progressive file: DC of all components, low frequencies of luma, chroma, the rest of luma. Spectral
/// selection only: scans that refine single bits take a tenth of the time of a whole request and save
/// about one per cent of the bytes.
static COLOUR_SCANS: [sys::jpeg_scan_info; 5] =
    [scan(&[0, 1, 2], 0, 0), scan(&[0], 1, 5), scan(&[2], 1, 63), scan(&[1], 1, 63), scan(&[0], 6, 63)];
static GRAY_SCANS: [sys::jpeg_scan_info; 3] = [scan(&[0], 0, 0), scan(&[0], 1, 5), scan(&[0], 6, 63)];

/// A scan of coefficients `first ..= last` of `components`, in full precision.
const fn scan(components: &[c_int], first: c_int, last: c_int) -> sys::jpeg_scan_info {
    let mut component_index = [0; 4];
    let mut i = 0;
    while i < components.len() {
        component_index[i] = components[i];
        i += 1;
    }
    sys::jpeg_scan_info {
        comps_in_scan: components.len() as c_int,
        component_index,
        Ss: first,
        Se: last,
        Ah: 0,
        Al: 0,
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        let s = self.state.as_ptr();
        // SAFETY: created in `new`, destroyed once; the box is the one leaked in `new`.
        unsafe {
            sys::jpeg_destroy_compress(&mut (*s).cinfo);
            drop(Box::from_raw(s));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::{Decoder, Output, RawPlane};
    use work::{Budget, Work};

    // libjpeg wrote through row pointers whose number was checked against the caller's own arithmetic only.
    #[test]
    fn a_plane_that_is_too_small_is_refused_before_libjpeg_writes() {
        let work = Work::new(Budget::new(64 << 20));
        let file = include_bytes!("../../../tests/fixtures/baseline420.jpg");
        // Missing rows, and missing bytes of each row, of one component.
        for (component, rows, bytes) in [(0, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (2, 0, 1)] {
            for scale in [1, 2, 8] {
                let mut decoder = Decoder::new(file, &work).unwrap();
                decoder.read_header().unwrap();
                decoder.start(Output::Raw, scale, 1 << 20).unwrap();
                let mut sizes = decoder.raw_sizes().unwrap();
                sizes[component].rows -= rows;
                sizes[component].stride -= bytes;
                let mut buffers: Vec<Vec<u8>> = sizes.iter().map(|s| vec![0; s.rows * s.stride]).collect();
                let planes = buffers.iter_mut().zip(&sizes);
                let mut planes: Vec<RawPlane<'_>> =
                    planes.map(|(data, size)| RawPlane { data, stride: size.stride }).collect();
                let read = catch_unwind(AssertUnwindSafe(|| decoder.read_raw(&mut planes)));
                let whole = rows + bytes == 0;
                assert_eq!(read.is_ok_and(|read| read.is_ok()), whole, "{component} {rows} {bytes} {scale}");
                assert_eq!(buffers.iter().flatten().any(|sample| *sample != 0), whole);
            }
        }
    }
}
