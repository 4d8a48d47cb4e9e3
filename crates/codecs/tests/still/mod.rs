//! Shared by the tests of still formats.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use codecs::{
    Codec, DecodeSpec, EncodeSpec, Error, Format, ImageSpec, Layout, Probe, Raster, RowSource, codec_for,
};
use work::{Budget, Work};

pub const RGB: DecodeSpec = DecodeSpec { scale: 1, planar: false };
pub const PLANAR: DecodeSpec = DecodeSpec { scale: 1, planar: true };

pub fn work() -> Work {
    Work::new(Budget::new(256 << 20))
}

/// A decoded image: its planes with their sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    pub layout: Layout,
    pub width: u32,
    pub height: u32,
    pub planes: Vec<Vec<u8>>,
}

/// Pulls all rows and checks their order and number.
pub fn collect(source: &mut dyn RowSource) -> Result<Image, Error> {
    let layout = source.layout();
    let (width, height) = source.size();
    let sizes: Vec<(u32, u32)> = (0..layout.planes()).map(|i| source.plane_size(i)).collect();
    let mut planes = vec![Vec::new(); layout.planes()];
    let mut next = vec![0; layout.planes()];
    while let Some(rows) = source.next_rows()? {
        assert_eq!(rows.planes().len(), planes.len());
        for (i, part) in rows.planes().iter().enumerate() {
            assert!(part.count == 0 || part.first == next[i], "rows out of order");
            assert_eq!(part.data.len(), part.count as usize * sizes[i].0 as usize * layout.channels(i));
            next[i] += part.count;
            planes[i].extend_from_slice(part.data);
        }
    }
    assert!(next.iter().zip(&sizes).all(|(n, s)| *n == s.1), "rows missing");
    Ok(Image { layout, width, height, planes })
}

pub fn decode_with(bytes: &[u8], spec: DecodeSpec, work: &Work) -> Result<(Probe, Image), Error> {
    let codec = codec_for(Format::sniff(bytes).ok_or(Error::NotAnImage)?).ok_or(Error::NotAnImage)?;
    let probe = codec.probe(bytes, &Work::unlimited())?;
    let mut source = codec.decode(bytes, &probe, spec, work)?;
    assert_eq!(source.layout(), codec.decoded_layout(&probe, spec));
    let image = collect(&mut *source)?;
    Ok((probe, image))
}

pub fn decode(bytes: &[u8], spec: DecodeSpec) -> Result<Image, Error> {
    decode_with(bytes, spec, &work()).map(|(_, image)| image)
}

/// R G B A samples from an independent decoder.
pub fn decoded_elsewhere(bytes: &[u8]) -> Vec<u8> {
    reference::decode(bytes).unwrap().pixels.as_flattened().to_vec()
}

/// Samples of an image without planes as R G B A.
pub fn rgba(image: &Image) -> Vec<u8> {
    let pixel = |p: &[u8]| match *p {
        [y] => [y, y, y, 255],
        [r, g, b] => [r, g, b, 255],
        _ => [p[0], p[1], p[2], p[3]],
    };
    image.planes[0].chunks_exact(image.layout.channels(0)).flat_map(pixel).collect()
}

/// Encodes whole planes in groups of `rows` rows.
pub fn encode(
    format: Format,
    image: &Image,
    spec: &EncodeSpec,
    rows: u32,
    work: &Work,
) -> Result<Vec<u8>, Error> {
    let codec: &dyn Codec = codec_for(format).unwrap();
    let mut raster = Raster::new(image.layout, image.width, image.height, work)?;
    for (plane, data) in raster.planes.iter_mut().zip(&image.planes) {
        plane.data.copy_from_slice(data);
    }
    let size = ImageSpec { layout: image.layout, width: image.width, height: image.height };
    let mut sink = codec.encode(size, spec, work)?;
    raster.push_into(&mut *sink, rows)?;
    sink.finish()
}

/// A smooth image with some edges, in any layout.
pub fn picture(layout: Layout, width: u32, height: u32) -> Image {
    let planes = (0..layout.planes())
        .map(|i| {
            let (w, h) = layout.plane_size(i, width, height);
            let channels = layout.channels(i);
            (0..h)
                .flat_map(|y| (0..w).flat_map(move |x| (0..channels).map(move |c| (x, y, c))))
                .map(|(x, y, c)| {
                    let (fx, fy) =
                        (f64::from(x * width) / f64::from(w), f64::from(y * height) / f64::from(h));
                    let step = if (x / 16 + y / 16) % 2 == 0 { 40.0 } else { 0.0 };
                    let phase = (c + i) as f64;
                    (108.0 + 80.0 * (fx / 23.0 + phase).sin() * (fy / 31.0 + phase).cos() + step) as u8
                })
                .collect()
        })
        .collect();
    Image { layout, width, height, planes }
}

pub fn worst(a: &[u8], b: &[u8]) -> u8 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
}

/// Root of the mean squared difference.
pub fn rms(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let sum: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
    (sum as f64 / a.len().max(1) as f64).sqrt()
}
