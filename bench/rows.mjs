// The rows of the comparison: the same work for both programs. Equal are the size, the kernel (Lanczos 3), chroma 4:2:0, progressive coding,
// the quality number (for AVIF, whose scales differ, numbers with similar scores) and the effort (method 2 of libwebp, the fastest of libaom).
export const rows = [
  { name: "2.7 MP JPEG → 400 JPEG", file: "photo27.jpg", options: "width=400,format=jpeg,quality=80",
    sharp: (s) => s.resize({ width: 400 }).jpeg({ quality: 80, progressive: true }) },
  { name: "12 MP JPEG → 800 WebP", file: "photo12.jpg", options: "width=800,format=webp,quality=75",
    sharp: (s) => s.resize({ width: 800 }).webp({ quality: 75, effort: 2 }) },
  { name: "24 MP JPEG → 1600 JPEG", file: "photo24.jpg", options: "width=1600,format=jpeg,quality=80",
    sharp: (s) => s.resize({ width: 1600 }).jpeg({ quality: 80, progressive: true }) },
  { name: "4 MP alpha PNG → 600 WebP", file: "alpha4.png", options: "width=600,format=webp,quality=75",
    sharp: (s) => s.resize({ width: 600 }).webp({ quality: 75, effort: 2 }) },
  { name: "12 MP JPEG → 800 AVIF", file: "photo12.jpg", options: "width=800,format=avif,quality=60",
    sharp: (s) => s.resize({ width: 800 }).avif({ quality: 50, effort: 0, chromaSubsampling: "4:2:0" }) },
  { name: "GIF → animated WebP", file: "anim.gif", options: "format=webp,quality=75", animated: true,
    sharp: (s) => s.webp({ quality: 75, effort: 2 }) },
  { name: "12 MP JPEG → full-size JPEG", file: "photo12.jpg", options: "format=baseline-jpeg,quality=80",
    sharp: (s) => s.jpeg({ quality: 80, progressive: false }) },
];
