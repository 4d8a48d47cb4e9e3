//! The shared limits of the fuzz targets: memory, time and pixels. An input that exceeds them is a finding.

pub mod recipes;

use std::time::{Duration, Instant};

use codecs::{Codec, DecodeSpec, Format, Probe, codec_for};
use cpu_time::ThreadTime;
use work::{Budget, Work};

/// Bytes that one input may reserve.
const BUDGET: usize = 96 << 20;
/// Larger pictures are probed but not decoded, because that would only be slow.
const MAX_PIXELS: u64 = 1 << 20;
/// Frames of an animation that are decoded.
const MAX_FRAMES: u32 = 50;

/// CPU time that one step may take, with sanitizers and checks.
const MAX_CPU: Duration = Duration::from_secs(2);

/// The limits of one step. The deadline and libFuzzer's own timeout end a hang; [`measured`] finds slow steps, also
/// on a busy machine.
pub fn work() -> Work {
    let mut work = Work::new(Budget::new(BUDGET));
    work.deadline = Some(Instant::now() + Duration::from_secs(60));
    work
}

/// Runs `step` and checks its CPU time.
pub fn measured<T>(what: &str, step: impl FnOnce() -> T) -> T {
    let start = ThreadTime::now();
    let result = step();
    let taken = start.elapsed();
    assert!(taken < MAX_CPU, "{what} took {taken:?} of CPU");
    result
}

/// Probes and decodes `bytes` in every mode that `format` supports.
pub fn decode(format: Format, bytes: &[u8]) {
    let _ = Format::sniff(bytes);
    let Some(codec) = codec_for(format) else { panic!("{format} is not built") };
    let work = work();
    let Ok(probe) = measured("probing", || codec.probe(bytes, &work)) else {
        assert_eq!(work.budget.used(), 0, "a failed probe releases its memory");
        return;
    };
    assert!(probe.width > 0 && probe.height > 0 || format == Format::Svg, "a size of zero");
    if format == Format::Svg || u64::from(probe.width) * u64::from(probe.height) > MAX_PIXELS {
        return;
    }
    let scales: &[u32] = if codec.scales() { &[1, 2, 4, 8] } else { &[1] };
    for &scale in scales {
        for planar in [false, true] {
            measured("decoding", || still(codec, bytes, &probe, DecodeSpec { scale, planar }));
        }
    }
    if probe.animation.is_some() {
        measured("decoding frames", || frames(codec, bytes, &probe));
    }
}

fn still(codec: &dyn Codec, bytes: &[u8], probe: &Probe, spec: DecodeSpec) {
    let work = work();
    rows(codec, bytes, probe, spec, &work);
    assert_eq!(work.budget.used(), 0, "all memory is released");
    let (peak, announced) = (work.budget.peak() as u64, codec.decode_bytes(probe, spec));
    assert!(peak <= announced, "{peak} bytes were held, {announced} announced");
}

fn rows(codec: &dyn Codec, bytes: &[u8], probe: &Probe, spec: DecodeSpec, work: &Work) {
    let Ok(mut source) = codec.decode(bytes, probe, spec, work) else { return };
    assert_eq!(source.layout(), codec.decoded_layout(probe, spec), "the layout was announced");
    let (layout, (width, height)) = (source.layout(), source.size());
    assert_eq!((width, height), (probe.width.div_ceil(spec.scale), probe.height.div_ceil(spec.scale)));
    let sizes: Vec<(u32, u32)> = (0..layout.planes()).map(|i| source.plane_size(i)).collect();
    let mut next = vec![0; layout.planes()];
    loop {
        match source.next_rows() {
            Ok(None) => break,
            Err(_) => return,
            Ok(Some(rows)) => {
                for (i, part) in rows.planes().iter().enumerate() {
                    assert!(part.count == 0 || part.first == next[i], "rows come in order");
                    let bytes = part.count as usize * sizes[i].0 as usize * layout.channels(i);
                    assert_eq!(part.data.len(), bytes, "rows are as long as the plane is wide");
                    next[i] += part.count;
                }
            }
        }
    }
    assert!(next.iter().zip(&sizes).all(|(n, size)| *n == size.1), "all rows were decoded");
}

fn frames(codec: &dyn Codec, bytes: &[u8], probe: &Probe) {
    let work = work();
    let Ok(mut source) = codec.decode_frames(bytes, probe, &work) else { return };
    for _ in 0..MAX_FRAMES {
        let Ok(Some(frame)) = source.next_frame() else { return };
        assert_eq!((frame.image.width, frame.image.height), source.size(), "frames fill the canvas");
    }
}
