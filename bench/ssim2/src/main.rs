//! `bench-ssim2 REFERENCE.png DISTORTED.png ...`: prints the SSIMULACRA2 score of each pair, one a line. Files are 8-bit RGB.

use std::error::Error;
use std::fs::File;
use std::io::BufReader;

use ssimulacra2::{ColorPrimaries, Rgb, TransferCharacteristic, compute_frame_ssimulacra2};

fn read(path: &str) -> Result<Rgb, Box<dyn Error>> {
    let mut reader = png::Decoder::new(BufReader::new(File::open(path)?)).read_info()?;
    let mut data = vec![0; reader.output_buffer_size().ok_or("too large")?];
    let info = reader.next_frame(&mut data)?;
    if info.color_type != png::ColorType::Rgb || info.bit_depth != png::BitDepth::Eight {
        return Err(format!("{path}: not 8-bit RGB").into());
    }
    let pixels = data[..info.buffer_size()].chunks_exact(3);
    let pixels = pixels.map(|p| [p[0], p[1], p[2]].map(|v| f32::from(v) / 255.0)).collect();
    let (width, height) = (info.width as usize, info.height as usize);
    Ok(Rgb::new(pixels, width, height, TransferCharacteristic::SRGB, ColorPrimaries::BT709)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    for pair in paths.chunks(2) {
        let [reference, distorted] = pair else { return Err("files come in pairs".into()) };
        println!("{:.2}", compute_frame_ssimulacra2(read(reference)?, read(distorted)?)?);
    }
    Ok(())
}
