// A reference implementation of Porter and Duff's operators on floats, for comparison with the service.

/** Result of one pixel: overlay `f` on base `b`, both premultiplied [r, g, b, a] in 0..1. */
const operators = {
  over: (f, b) => f.map((v, i) => v + b[i] * (1 - f[3])),
  in: (f, b) => f.map((v) => v * b[3]),
  atop: (f, b) => f.map((v, i) => v * b[3] + b[i] * (1 - f[3])),
  out: (f, b) => f.map((v) => v * (1 - b[3])),
  xor: (f, b) => f.map((v, i) => v * (1 - b[3]) + b[i] * (1 - f[3])),
  lighter: (f, b) => f.map((v, i) => Math.min(1, v + b[i])),
};

const premultiplied = (p, x, y, opacity = 1) => {
  const i = (y * p.width + x) * 4;
  const a = (p.data[i + 3] / 255) * opacity;
  return [p.data[i] / 255 * a, p.data[i + 1] / 255 * a, p.data[i + 2] / 255 * a, a];
};

/** Paints `overlay` at (left, top) of `base`; only the part of the overlay's rectangle inside the base changes. */
export function compose(base, overlay, left, top, { composite = "over", opacity = 1 } = {}) {
  const data = Buffer.from(base.data);
  for (let y = Math.max(0, top); y < Math.min(base.height, top + overlay.height); y++) {
    for (let x = Math.max(0, left); x < Math.min(base.width, left + overlay.width); x++) {
      const [r, g, b, a] = operators[composite](premultiplied(overlay, x - left, y - top, opacity), premultiplied(base, x, y));
      const i = (y * base.width + x) * 4;
      data.set(a > 0 ? [r / a, g / a, b / a, a].map((v) => Math.round(Math.min(1, v) * 255)) : [0, 0, 0, 0], i);
    }
  }
  return { ...base, data };
}
