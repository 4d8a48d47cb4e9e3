//! Hand-made models, so that every pixel of their output can be computed.

#![allow(clippy::unwrap_used)]

#[path = "support/onnx.rs"]
mod onnx;

use codecs::{Layout, Raster};
use imaging::{Error, Models};
use models::{LoadError, OnnxModels};
use onnx::{Axis, Ending};
use work::{Budget, Cancel, Work};

fn work() -> Work {
    Work::new(Budget::new(1 << 30))
}

fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

fn segmenter(bytes: &[u8]) -> OnnxModels {
    let mut models = OnnxModels::default();
    models.load_segmenter(file(bytes).path()).unwrap();
    models
}

fn enlarger(bytes: &[u8]) -> OnnxModels {
    let mut models = OnnxModels::default();
    models.load_enlarger(file(bytes).path()).unwrap();
    models
}

fn picture(width: u32, height: u32) -> Raster {
    let mut image = Raster::new(Layout::Rgb, width, height, &work()).unwrap();
    for (i, v) in image.data_mut().iter_mut().enumerate() {
        *v = (i * 7 % 251) as u8;
    }
    image
}

// The normalisation is ImageNet's, the channels are R G B, and logits become probabilities by a sigmoid, unless they
// are probabilities already.
#[test]
fn a_mask_is_the_sigmoid_of_the_last_output() {
    let image = picture(16, 16);
    for ending in [Ending::Logits, Ending::Sigmoid, Ending::Second] {
        let models = segmenter(&onnx::segmenter(16, [3.0, -2.0, 1.0], -0.5, ending));
        let mask = models.segment(&image, &work()).unwrap();
        assert_eq!((mask.width, mask.height, mask.channels), (16, 16, 1));
        for (p, m) in image.data().chunks_exact(3).zip(&mask.data) {
            let [r, g, b] = [p[0], p[1], p[2]].map(|v| f64::from(v) / 255.0);
            let logit = 3.0 * r - 2.0 * g + b - 0.5;
            let expected = 255.0 / (1.0 + (-logit).exp());
            assert!((f64::from(*m) - expected).abs() < 0.6, "{p:?}: {m}, not {expected}");
        }
    }
}

// Larger and smaller than a tile, with a fixed and a dynamic size, and one row high: no seam, no shift.
#[test]
fn tiles_make_one_picture() {
    let fixed = onnx::enlarger(2, 1.0, [0.0; 3], Axis::Of(8), Axis::Of(12));
    let any = onnx::enlarger(4, 1.0, [0.0; 3], Axis::Any("h"), Axis::Any("w"));
    for (bytes, scale) in [(fixed, 2), (any, 4)] {
        let models = enlarger(&bytes);
        assert_eq!(models.capabilities().enlarge.iter().map(|m| m.scale).collect::<Vec<_>>(), [scale]);
        for (width, height) in [(1, 1), (5, 3), (12, 8), (13, 9), (130, 33), (300, 1)] {
            let image = picture(width, height);
            let large = models.enlarge(&image, scale, &work()).unwrap();
            assert_eq!(
                (large.layout, large.width, large.height),
                (Layout::Rgb, width * scale, height * scale)
            );
            for y in 0..large.height {
                let row = large.planes[0].row(y);
                for x in 0..large.width {
                    let from = &image.planes[0].row(y / scale)[(x / scale) as usize * 3..][..3];
                    assert_eq!(&row[x as usize * 3..][..3], from, "{width}×{height} at {x},{y}");
                }
            }
        }
    }
}

#[test]
fn runs_reserve_the_announced_memory_and_release_it() {
    let models = segmenter(&onnx::red(64));
    let work = Work::new(Budget::new(1 << 30));
    let image = picture(64, 64);
    let mask = models.segment(&image, &work).unwrap();
    let ability = models.capabilities().segment.unwrap();
    assert_eq!(ability.side, 64);
    // Three channels in, one out, as 32-bit floats.
    assert!(ability.bytes >= 64 * 64 * 4 * 4);
    assert_eq!(work.budget.peak() as u64, ability.bytes);
    assert_eq!(work.budget.used(), 64 * 64);
    drop(mask);
    assert_eq!(work.budget.used(), 0);
    let poor = Work::new(Budget::new(ability.bytes as usize - 1));
    let refused = models.segment(&image, &poor).unwrap_err();
    assert!(matches!(refused, Error::Work(work::Error::MemoryBudget { .. })), "{refused}");
}

#[test]
fn a_cancelled_run_stops() {
    let cancel = Cancel::new();
    let work = Work { cancel: cancel.clone(), ..work() };
    cancel.cancel();
    let stopped = |e: Error| matches!(e, Error::Work(work::Error::Cancelled));
    assert!(stopped(segmenter(&onnx::red(8)).segment(&picture(8, 8), &work).unwrap_err()));
    assert!(stopped(enlarger(&onnx::negative(2)).enlarge(&picture(8, 8), 2, &work).unwrap_err()));
    let late = Work { deadline: Some(std::time::Instant::now()), ..self::work() };
    let error = segmenter(&onnx::red(8)).segment(&picture(8, 8), &late).unwrap_err();
    assert!(matches!(error, Error::Work(work::Error::Deadline)), "{error}");
}

#[test]
fn nan_in_a_mask_is_an_error() {
    let models = segmenter(&onnx::segmenter(8, [1.0, 0.0, 0.0], -0.5, Ending::Root));
    let dark = Raster::new(Layout::Rgb, 8, 8, &work()).unwrap();
    let error = models.segment(&dark, &work()).unwrap_err();
    assert!(matches!(error, Error::Model { option: "segment", .. }), "{error}");
}

#[test]
fn a_file_that_is_not_such_a_model_is_refused_by_name() {
    let good = onnx::red(8);
    let three = onnx::enlarger(3, 1.0, [0.0; 3], Axis::Of(8), Axis::Of(8));
    let oblong = onnx::enlarger(2, 1.0, [0.0; 3], Axis::Of(8), Axis::Of(16));
    let segment: [&[u8]; 6] =
        [b"", b"no model", &good[..good.len() / 2], &onnx::negative(2), &oblong, &three];
    for bytes in segment {
        let file = file(bytes);
        let error = OnnxModels::default().load_segmenter(file.path()).unwrap_err();
        assert!(error.to_string().contains(file.path().to_str().unwrap()), "{error}");
    }
    let enlarge: [&[u8]; 4] = [b"", b"no model", &good, &three];
    for bytes in enlarge {
        let file = file(bytes);
        let error = OnnxModels::default().load_enlarger(file.path()).unwrap_err();
        assert!(error.to_string().contains(file.path().to_str().unwrap()), "{error}");
    }
    let missing = OnnxModels::default().load_segmenter("nowhere.onnx".as_ref()).unwrap_err();
    assert!(missing.to_string().contains("nowhere.onnx: "), "{missing}");
    let shape = OnnxModels::default().load_enlarger(file(&three).path()).unwrap_err();
    assert!(matches!(shape, LoadError::Shape { .. }) && shape.to_string().contains("1×3×24×24"), "{shape}");
    let mut two = OnnxModels::default();
    two.load_enlarger(file(&onnx::blue(2)).path()).unwrap();
    two.load_enlarger(file(&onnx::blue(4)).path()).unwrap();
    let again = two.load_enlarger(file(&onnx::negative(4)).path()).unwrap_err();
    assert!(matches!(again, LoadError::Twice { scale: 4, .. }), "{again}");
}
