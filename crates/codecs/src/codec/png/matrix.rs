//! The colour profile that gAMA and cHRM describe.
//!
//! Source: PNG (third edition) §11.3.2; ICC.1:2022 §7 and §10, Annex E (adaptation to D50).

use crate::icc::Space;

/// CIE x and y of white, red, green and blue.
pub(super) type Chromaticities = [[f64; 2]; 4];

/// Those of sRGB.
pub(super) const SRGB: Chromaticities = [[0.3127, 0.329], [0.64, 0.33], [0.3, 0.6], [0.15, 0.06]];

type Matrix = [[f64; 3]; 3];

const D50: [f64; 3] = [0.9642, 1.0, 0.8249];
const BRADFORD: Matrix = [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]];

fn times(m: &Matrix, v: [f64; 3]) -> [f64; 3] {
    m.map(|row| row.iter().zip(v).map(|(a, b)| a * b).sum())
}

fn inverse(m: &Matrix) -> Option<Matrix> {
    let minor = |r: usize, c: usize| {
        let (r1, r2, c1, c2) = ((r + 1) % 3, (r + 2) % 3, (c + 1) % 3, (c + 2) % 3);
        m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1]
    };
    let determinant: f64 = (0..3).map(|c| m[0][c] * minor(0, c)).sum();
    let usable = determinant.is_finite() && determinant.abs() > 1e-6;
    usable.then(|| std::array::from_fn(|r| std::array::from_fn(|c| minor(c, r) / determinant)))
}

/// X, Y and Z of red, green and blue, adapted to D50; `None` if the chromaticities describe no colour space.
fn colorants(chromaticities: &Chromaticities) -> Option<[[f64; 3]; 3]> {
    let xyz = |[x, y]: [f64; 2]| [x / y, 1.0, (1.0 - x - y) / y];
    if chromaticities.iter().any(|[_, y]| *y <= 0.0) {
        return None;
    }
    let [white, primaries @ ..] = chromaticities.map(xyz);
    let columns = std::array::from_fn(|r| primaries.map(|p| p[r]));
    let amounts = times(&inverse(&columns)?, white);
    let (from, to) = (times(&BRADFORD, white), times(&BRADFORD, D50));
    let back = inverse(&BRADFORD)?;
    let adapt = |v: [f64; 3]| {
        let cone = times(&BRADFORD, v);
        times(&back, std::array::from_fn(|i| cone[i] * to[i] / from[i]))
    };
    let scaled = |i: usize| primaries[i].map(|v| v * amounts[i]);
    let all: [[f64; 3]; 3] = std::array::from_fn(|i| adapt(scaled(i)));
    all.as_flattened().iter().all(|v| v.abs() < 8.0).then_some(all)
}

/// A number with 16 fractional bits.
fn fixed(v: f64) -> [u8; 4] {
    ((v * 65536.0).round() as i32).to_be_bytes()
}

/// A profile whose linear light is the sample to the power of `exponent`. `None` if the numbers describe no colour
/// space.
pub(super) fn profile(chromaticities: &Chromaticities, exponent: f64, space: Space) -> Option<Vec<u8>> {
    let xyz = |v: [f64; 3]| [&b"XYZ \0\0\0\0"[..], v.map(fixed).as_flattened()].concat();
    let curve = [&b"para\0\0\0\0\0\0\0\0"[..], &fixed(exponent)].concat();
    let mut tags = vec![(b"wtpt", xyz(D50))];
    if space == Space::Gray {
        tags.push((b"kTRC", curve));
    } else {
        tags.extend([b"rXYZ", b"gXYZ", b"bXYZ"].into_iter().zip(colorants(chromaticities)?.map(xyz)));
        tags.extend([b"rTRC", b"gTRC", b"bTRC"].map(|name| (name, curve.clone())));
    }
    let mut table = (tags.len() as u32).to_be_bytes().to_vec();
    let mut data = Vec::new();
    for (name, bytes) in &tags {
        table.extend_from_slice(*name);
        table.extend_from_slice(&((132 + 12 * tags.len() + data.len()) as u32).to_be_bytes());
        table.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        data.extend_from_slice(bytes);
    }
    let mut head = [0; 128];
    head[..4].copy_from_slice(&((128 + table.len() + data.len()) as u32).to_be_bytes());
    head[8] = 4;
    head[12..24].copy_from_slice(if space == Space::Gray { b"mntrGRAYXYZ " } else { b"mntrRGB XYZ " });
    head[36..40].copy_from_slice(b"acsp");
    head[68..80].copy_from_slice(D50.map(fixed).as_flattened());
    Some([&head[..], &table, &data].concat())
}

#[cfg(test)]
mod tests {
    use super::{SRGB, Space, colorants, profile};
    use crate::icc;

    #[test]
    fn the_profile_has_the_primaries_adapted_to_d50() {
        let close = |found: [[f64; 3]; 3], wanted: [[f64; 3]; 3]| {
            found.as_flattened().iter().zip(wanted.as_flattened()).all(|(a, b)| (a - b).abs() < 0.0005)
        };
        // As in the profiles of the ICC and of Adobe.
        let srgb = [[0.43607, 0.22249, 0.01392], [0.38515, 0.71687, 0.09708], [0.14307, 0.06061, 0.7141]];
        assert!(close(colorants(&SRGB).unwrap(), srgb));
        let mut adobe = SRGB;
        adobe[2] = [0.21, 0.71];
        let wanted = [[0.60974, 0.31111, 0.01947], [0.20528, 0.62567, 0.06087], [0.14919, 0.06322, 0.74457]];
        assert!(close(colorants(&adobe).unwrap(), wanted));
        assert_eq!(colorants(&[[0.3, 0.3]; 4]), None);
        assert_eq!(colorants(&[[0.3, 0.0]; 4]), None);
        let linear = profile(&SRGB, 1.0, Space::Gray).unwrap();
        let table = icc::gray_to_srgb(&linear).unwrap();
        assert_eq!([0, 32, 64, 128, 255].map(|i: usize| table[i]), [0, 99, 137, 188, 255]);
        assert_eq!(icc::space(&profile(&SRGB, 1.8, Space::Rgb).unwrap()), Some(Space::Rgb));
    }
}
