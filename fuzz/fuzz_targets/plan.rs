#![no_main]
//! Any recipe with any image headers: planning is arithmetic and must not fail in unexpected ways.

use arbitrary::Arbitrary;
use codecs::{Animation, Format, Orientation, Probe, Subsampling};
use recipe::dialect::binding::{BindingInput, BindingRequest};

#[derive(Debug, Arbitrary)]
struct Picture {
    format: u8,
    width: u32,
    height: u32,
    small: bool,
    alpha: bool,
    orientation: u16,
    frames: Option<u32>,
    progressive: bool,
    planar: bool,
    file_size: u32,
}

impl Picture {
    fn probe(&self) -> Probe {
        let format = Format::ALL[usize::from(self.format) % Format::ALL.len()];
        let side = |v: u32| if self.small { v % 5000 + 1 } else { v.max(1) };
        let mut probe = Probe::new(format, side(self.width), side(self.height), self.file_size as usize);
        probe.alpha = self.alpha;
        probe.orientation = Orientation::from_exif(self.orientation % 9);
        probe.animation = self.frames.map(|frames| Animation { frames, loops: 0 });
        probe.progressive = self.progressive;
        probe.subsampling = self.planar.then_some(Subsampling::S420);
        probe
    }
}

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    pictures: [Picture; 3],
    transforms: &'a str,
    background: Option<&'a str>,
    format: u8,
}

libfuzzer_sys::fuzz_target!(|input: Input<'_>| {
    const FORMATS: [&str; 5] = ["image/jpeg", "image/png", "image/gif", "image/webp", "image/avif"];
    let request = BindingRequest {
        inputs: vec![BindingInput::Image; input.pictures.len()],
        transforms: Some(input.transforms),
        output_format: Some(FORMATS[usize::from(input.format) % FORMATS.len()]),
        background: input.background,
        ..BindingRequest::default()
    };
    let Ok(parsed) = request.parse() else { return };
    let probes: Vec<Option<Probe>> = input.pictures.iter().map(|p| Some(p.probe())).collect();
    let _ = imaging::plan(&parsed.value, &probes, &imaging::Limits::default());
});
