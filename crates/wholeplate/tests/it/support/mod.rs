//! Starts the real program on a free port and its own Unix socket, and sends requests over plain sockets.

#![allow(dead_code)]

pub mod origin;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use codecs::{DecodeSpec, EncodeSpec, Format, ImageSpec, Layout, Raster, codec_for};
use reference::Error::NoDecoder;
use work::{Budget, Work};

/// A running `wholeplate serve`, stopped when dropped.
pub struct Server {
    child: Child,
    pub address: String,
    /// Its standard error.
    log: std::fs::File,
    pub socket: PathBuf,
    /// The origin folder, if `start` made it.
    pub pictures: tempfile::TempDir,
    /// The address of the admin server, with `--admin`.
    pub admin: Option<String>,
    kept: Vec<tempfile::TempDir>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts with a folder of images as the origin.
    pub fn start(pictures: &[(&str, Vec<u8>)], flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in pictures {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        let origin = dir.path().to_str().unwrap().to_owned();
        Self::launch(dir, &[&["--origin", &origin], flags].concat(), &[])
    }

    /// Starts with only these flags.
    pub fn start_bare(flags: &[&str]) -> Self {
        Self::launch(tempfile::tempdir().unwrap(), flags, &[])
    }

    /// Starts with these flags and environment variables.
    pub fn start_in(environment: &[(&str, &str)], flags: &[&str]) -> Self {
        Self::launch(tempfile::tempdir().unwrap(), flags, environment)
    }

    fn launch(pictures: tempfile::TempDir, flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let socket = pictures.path().join("wholeplate.sock");
        let log = tempfile::tempfile().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_wholeplate"))
            .args(["serve", "--listen", "127.0.0.1:0", "--unix", socket.to_str().unwrap()])
            .args(flags)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log.try_clone().unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut address = None;
        let mut unix = false;
        let mut admin = None;
        let has_admin = flags.contains(&"--admin");
        while address.is_none() || !unix || (has_admin && admin.is_none()) {
            let line = lines.next().expect("the server says where it listens").unwrap();
            if let Some((_, rest)) = line.strip_prefix("admin on ").and_then(|rest| rest.split_once("://")) {
                admin = Some(rest.to_owned());
            } else if let Some((_, rest)) = line.split_once("://") {
                address = Some(rest.to_owned());
            }
            unix |= line.starts_with("listening on unix:");
        }
        Self { child, address: address.unwrap(), admin, log, socket, pictures, kept: Vec::new() }
    }

    /// The log so far.
    pub fn log(&self) -> String {
        use std::os::unix::fs::FileExt;
        let mut bytes = vec![0; usize::try_from(self.log.metadata().unwrap().len()).unwrap()];
        // The program's writes share the position of this file.
        self.log.read_exact_at(&mut bytes, 0).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The address of the admin server.
    pub fn admin(&self) -> &str {
        self.admin.as_deref().expect("--admin")
    }

    /// Kills the server and returns its folder of images for another one.
    pub fn end(mut self) -> tempfile::TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.pictures, tempfile::tempdir().unwrap())
    }

    /// Keeps a folder until the server is dropped.
    pub fn also_keep(&mut self, folder: tempfile::TempDir) {
        self.kept.push(folder);
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM, as a supervisor does.
    pub fn terminate(&self) {
        let done = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status().unwrap();
        assert!(done.success());
    }

    /// Waits for the exit.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }

    /// Waits at most a minute for the exit, then kills the server.
    pub fn wait_a_minute(&mut self) -> Option<std::process::ExitStatus> {
        let pid = self.pid().to_string();
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| tell.send(self.wait()));
            let ended = told.recv_timeout(Duration::from_secs(60)).ok();
            if ended.is_none() {
                let _ = Command::new("kill").args(["-KILL", &pid]).status();
            }
            ended
        })
    }

    /// `GET path` of the admin server.
    pub fn ask_admin(&self, path: &str) -> Reply {
        let mut stream = TcpStream::connect(self.admin()).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n").unwrap();
        Reply::read(&mut stream, false)
    }

    /// A value of `/metrics`, for example `input_memory_bytes`. The server needs `--admin`.
    pub fn figure(&self, name: &str) -> u64 {
        let text = self.ask_admin("/metrics").text();
        let value = text.lines().find_map(|line| line.strip_prefix(&format!("wholeplate_{name} ")));
        value.unwrap_or_else(|| panic!("no figure {name}: {text}")).parse().unwrap()
    }

    /// Waits at most a minute until a value is as expected.
    pub fn wait_for_figure(&self, name: &str, expected: impl Fn(u64) -> bool) {
        let asked = Instant::now();
        while !expected(self.figure(name)) {
            assert!(asked.elapsed() < Duration::from_secs(60), "{name} is {}", self.figure(name));
            std::thread::yield_now();
        }
    }

    pub fn get(&self, target: &str) -> Reply {
        self.get_with(target, &[])
    }

    pub fn get_with(&self, target: &str, headers: &[(&str, &str)]) -> Reply {
        self.request("GET", target, headers)
    }

    pub fn request(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Reply {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let mut head = format!("{method} {target} HTTP/1.1\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str(&format!("host: {}\r\n", self.address));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        Reply::read(&mut stream, method == "HEAD")
    }

    /// Sends a request with this head over the Unix socket.
    pub fn unix(&self, lines: &[&str]) -> Reply {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        stream.write_all(format!("{}\r\nconnection: close\r\n\r\n", lines.join("\r\n")).as_bytes()).unwrap();
        Reply::read(&mut stream, lines[0].starts_with("HEAD "))
    }

    /// `/cdn-cgi/image/<options>/<source>`
    pub fn image(&self, options: &str, source: &str) -> Reply {
        self.get(&format!("/cdn-cgi/image/{options}/{source}"))
    }

    /// Sends a binding request like the runtime: chunked, in pieces of `piece` bytes.
    pub fn post(&self, path: &str, body: &[u8], piece: usize) -> Reply {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        send(&mut stream, path, body, piece);
        Reply::read(&mut stream, false)
    }
}

/// The boundary of the runtime begins with hyphens.
pub const BOUNDARY: &str = "--------------------------508229419013236711741662";

pub fn send(stream: &mut impl Write, path: &str, body: &[u8], piece: usize) {
    let mut bytes = format!(
        "POST {path} HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: js.images.cloudflare.com\r\n\
         Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
    )
    .into_bytes();
    for chunk in body.chunks(piece) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    // After an early response, the server may close before the end of the request.
    let _ = stream.write_all(&bytes);
}

/// The body of a form, as the runtime writes it.
pub struct Form(Vec<u8>);

impl Form {
    pub fn new() -> Self {
        Self(Vec::new())
    }

    pub fn file(mut self, name: &str, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(
            format!(
                "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"{name}\"\r\n\r\n"
            )
            .as_bytes(),
        );
        self.0.extend_from_slice(bytes);
        self.0.extend_from_slice(b"\r\n");
        self
    }

    pub fn text(mut self, name: &str, text: &str) -> Self {
        self.0.extend_from_slice(
            format!("--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
                .as_bytes(),
        );
        self
    }

    /// Without the closing delimiter.
    pub fn open(self) -> Vec<u8> {
        self.0
    }

    pub fn closed(mut self) -> Vec<u8> {
        self.0.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        self.0
    }
}

/// One whole response.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    /// Reads one response and checks the length of its body.
    pub fn read(stream: &mut impl Read, head_only: bool) -> Self {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {line:?}")).parse().unwrap();
        let mut headers = Vec::new();
        loop {
            line.clear();
            reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut reply = Self { status, headers, body: Vec::new() };
        if head_only || status == 304 {
            return reply;
        }
        let length: usize = reply.header("content-length").expect("a content-length").parse().unwrap();
        reply.body = vec![0; length];
        reader.read_exact(&mut reply.body).unwrap();
        reply
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn size(&self) -> (u32, u32) {
        assert_eq!(self.status, 200, "{}", self.text());
        match reference::size(&self.body) {
            Ok(size) => size,
            Err(NoDecoder) => imaging::probe(&self.body, &Work::unlimited()).unwrap().oriented_size(),
            Err(error) => panic!("{error}"),
        }
    }

    pub fn pixels(&self) -> Pixels {
        assert_eq!(self.status, 200, "{}", self.text());
        Pixels::decode(&self.body)
    }

    /// Status and number of an error, which must be the same in header and text.
    pub fn error(&self) -> (u16, u16) {
        let told = self.header("cf-resized").or(self.header("cf-images-binding")).expect("an error header");
        let code: u16 = told.strip_prefix("err=").unwrap_or_else(|| panic!("{told}")).parse().unwrap();
        assert!(self.text().starts_with(&format!("ERROR {code}: ")), "{}", self.text());
        (self.status, code)
    }
}

/// A decoded image.
pub struct Pixels {
    pub width: u32,
    pub height: u32,
    pub rgba: Vec<[u8; 4]>,
}

impl Pixels {
    /// Decodes an image, or the first frame of an animation, with a library that the program does not use.
    pub fn decode(bytes: &[u8]) -> Self {
        match reference::decode(bytes) {
            Ok(picture) => picture.into(),
            Err(NoDecoder) => Self::decode_avif(bytes),
            Err(error) => panic!("{error}"),
        }
    }

    /// Decodes every frame of a GIF or WebP with a library that the program does not use.
    pub fn frames(bytes: &[u8]) -> Vec<Self> {
        reference::frames(bytes).unwrap().into_iter().map(|frame| frame.picture.into()).collect()
    }

    /// Decodes with our decoder, because no small independent one exists. `e2e` decodes AVIF with sharp.
    fn decode_avif(bytes: &[u8]) -> Self {
        let probe = imaging::probe(bytes, &Work::unlimited()).unwrap();
        assert_eq!(probe.format, Format::Avif);
        let work = work();
        let spec = DecodeSpec { scale: 1, planar: false };
        let mut source = codec_for(probe.format).unwrap().decode(bytes, &probe, spec, &work).unwrap();
        let n = source.layout().channels(0);
        let mut rgba = Vec::new();
        while let Some(rows) = source.next_rows().unwrap() {
            rgba.extend(rows.planes()[0].data.chunks_exact(n).map(|p| match p {
                [g] => [*g, *g, *g, 255],
                [r, g, b] => [*r, *g, *b, 255],
                _ => [p[0], p[1], p[2], p[3]],
            }));
        }
        Self { width: probe.width, height: probe.height, rgba }
    }

    pub fn at(&self, x: u32, y: u32) -> [u8; 4] {
        self.rgba[(y * self.width + x) as usize]
    }

    /// Whether the pixel is within `tolerance` of a colour.
    pub fn is(&self, x: u32, y: u32, rgb: [u8; 3], tolerance: u8) -> bool {
        self.at(x, y).iter().zip(rgb).all(|(a, b)| a.abs_diff(b) <= tolerance)
    }
}

impl From<reference::Picture> for Pixels {
    fn from(picture: reference::Picture) -> Self {
        Self { width: picture.width, height: picture.height, rgba: picture.pixels }
    }
}

pub fn work() -> Work {
    Work::new(Budget::new(1 << 30))
}

/// An image whose pixels are a function of the coordinates.
pub fn raster(width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 4]) -> Raster {
    let mut image = Raster::new(Layout::Rgba, width, height, &work()).unwrap();
    for y in 0..height {
        for x in 0..width {
            let at = ((y * width + x) * 4) as usize;
            image.data_mut()[at..at + 4].copy_from_slice(&pixel(x, y));
        }
    }
    image
}

pub fn encode(image: &Raster, format: Format) -> Vec<u8> {
    let work = work();
    let spec = EncodeSpec { quality: 95, fast: format == Format::Png, ..EncodeSpec::default() };
    let codec = codec_for(format).unwrap();
    let layout = codec.encoded_layout(image.layout, &spec);
    let rgb;
    let image = if layout == Layout::Rgb && image.layout == Layout::Rgba {
        let mut flat = Raster::new(Layout::Rgb, image.width, image.height, &work).unwrap();
        for (t, p) in flat.data_mut().chunks_exact_mut(3).zip(image.data().chunks_exact(4)) {
            t.copy_from_slice(&p[..3]);
        }
        rgb = flat;
        &rgb
    } else {
        image
    };
    let what = ImageSpec { layout: image.layout, width: image.width, height: image.height };
    let mut sink = codec.encode(what, &spec, &work).unwrap();
    image.push_into(sink.as_mut(), 16).unwrap();
    sink.finish().unwrap()
}

/// The test image of the published emulator: 200×100, top half white, bottom half red.
pub fn flag() -> Vec<u8> {
    encode(&raster(200, 100, |_, y| if y < 50 { [255; 4] } else { [255, 0, 0, 255] }), Format::Png)
}

pub fn solid(width: u32, height: u32, rgba: [u8; 4]) -> Vec<u8> {
    encode(&raster(width, height, |_, _| rgba), Format::Png)
}

/// Noise, which does not compress.
pub fn noise(width: u32, height: u32) -> Raster {
    raster(width, height, |x, y| {
        let mixed = (x.wrapping_mul(0x9E37_79B1) ^ y.wrapping_mul(0x85EB_CA77)).wrapping_mul(0xC2B2_AE3D);
        let [a, b, c, _] = (mixed ^ mixed >> 15).to_le_bytes();
        [a, b, c, 255]
    })
}

/// A smooth image in place of a photograph.
pub fn photo(width: u32, height: u32, format: Format) -> Vec<u8> {
    let image = raster(width, height, |x, y| {
        let (u, v) = (f64::from(x) / f64::from(width), f64::from(y) / f64::from(height));
        let c = |k: f64| (128.0 + 100.0 * (k * u * 6.0 + v * 4.0).sin()) as u8;
        [c(1.0), c(1.7), c(0.6), 255]
    });
    encode(&image, format)
}

/// An animated GIF of solid frames.
pub fn animation(width: u32, height: u32, frames: u32) -> Vec<u8> {
    let work = work();
    let spec = codecs::AnimationSpec { width, height, loops: 0, frames, encode: EncodeSpec::default() };
    let mut sink = codec_for(Format::Gif).unwrap().encode_frames(&spec, &work).unwrap();
    for i in 0..frames {
        let level = (i * 20) as u8;
        let image = raster(width, height, |x, _| [level, x as u8, 255 - level, 255]);
        sink.push(&codecs::Frame { image, delay_ms: 100 }).unwrap();
    }
    sink.finish().unwrap()
}

pub fn demo(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo").join(name);
    std::fs::read(path).unwrap()
}

/// `cf-cache-status`
pub fn cache_status(reply: &Reply) -> &str {
    reply.header("cf-cache-status").unwrap_or("none")
}

/// A value of `/metrics`, with its labels; 0 if it is missing.
pub fn cache_figure(server: &Server, name: &str) -> f64 {
    let text = server.ask_admin("/metrics").text();
    let lines = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
    lines.filter(|(other, _)| *other == name).map(|(_, value)| value.parse::<f64>().unwrap()).sum()
}

/// Waits at most a minute for a condition. Returns the time that it took.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::yield_now();
    }
    began.elapsed()
}
