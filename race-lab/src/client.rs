//! The client, on plain sockets. It controls the time of each write of the request and of each read of the response, and
//! counts the received bytes.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread::sleep;
use std::time::Duration;

use crate::case::{LastChunk, Script};

/// An exchange without data for longer than this ends.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// Between the last data and a last chunk of its own, every second connection waits for 0 to `PAUSES - 1` of these, in turn.
/// Without a pause it depends on the machine and its load whether the server reads again before the last chunk
/// arrives, and some machines never show the race. Without a pause the client mostly wins; after some tens of microseconds,
/// the shortest possible sleep, the server mostly wins.
const PAUSE: Duration = Duration::from_micros(10);
const PAUSES: usize = 25;
/// Heads of responses are far below this.
const MOST_HEAD: usize = 16 << 10;

/// The server's address.
#[derive(Clone, Debug)]
pub enum Address {
    Unix(std::path::PathBuf),
    Tcp(String),
}

/// A connected socket of either kind.
#[derive(Debug)]
pub enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Socket {
    pub fn connect(address: &Address, patience: Duration) -> io::Result<Self> {
        Ok(match address {
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(patience))?;
                stream.set_write_timeout(Some(patience))?;
                Self::Unix(stream)
            }
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(patience))?;
                stream.set_write_timeout(Some(patience))?;
                Self::Tcp(stream)
            }
        })
    }

    fn half_close(&self) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(buffer),
            Self::Tcp(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(buffer),
            Self::Tcp(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How a response ended for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The last promised byte, or the terminator, was received.
    Complete,
    /// The stream ended cleanly before the last promised byte.
    EndOfStream,
    Reset,
    Silence,
}

impl Ending {
    pub fn word(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::EndOfStream => "end of stream",
            Self::Reset => "reset",
            Self::Silence => "silence",
        }
    }
}

/// The received part of one response.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// The `Content-Length`; none for a chunked response, or when not even the head arrived.
    pub promised: Option<u64>,
    /// Body bytes, framing not counted.
    pub received: u64,
    pub ending: Ending,
    /// Whether each body byte was the expected one.
    pub intact: bool,
}

impl Outcome {
    pub fn is_whole(&self) -> bool {
        self.ending == Ending::Complete && self.intact
    }
}

/// The request's body: a multipart form with one small picture, its closing delimiter, and nothing after it.
fn form() -> Vec<u8> {
    let mut form = b"--plate\r\ncontent-disposition: form-data; name=\"image\"\r\n\r\n".to_vec();
    form.extend(std::iter::repeat_n(0x5a, 3500));
    form.extend_from_slice(b"\r\n--plate--\r\n");
    form
}

/// The request without its last chunk.
fn request(target: &str, id: &str, says_close: bool) -> Vec<u8> {
    let close = if says_close { "connection: close\r\n" } else { "" };
    let form = form();
    let mut request = format!(
        "POST {target} HTTP/1.1\r\nhost: lab\r\nx-lab-id: {id}\r\n{close}\
         content-type: multipart/form-data; boundary=plate\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n",
        form.len()
    )
    .into_bytes();
    request.extend_from_slice(&form);
    request.extend_from_slice(b"\r\n");
    request
}

/// Sends one request as the script says and reads its response to the end. `expected` is the body of a whole response; `turn`
/// counts the connections of a row.
///
/// # Errors
/// If the exchange could not begin: nothing is known about the response then.
pub fn exchange(
    address: &Address,
    target: &str,
    id: &str,
    turn: usize,
    script: &Script,
    expected: &[u8],
) -> io::Result<Outcome> {
    let mut socket = Socket::connect(address, PATIENCE)?;
    let mut request = request(target, id, script.request_says_close);
    const END: &[u8] = b"0\r\n\r\n";
    // A failed write consumes the socket's error: later reads then see a clean end of file.
    let mut refused = false;
    match script.last_chunk {
        LastChunk::Together => {
            request.extend_from_slice(END);
            socket.write_all(&request)?;
        }
        LastChunk::Separate => {
            socket.write_all(&request)?;
            if turn % 2 == 1 {
                sleep(PAUSE * (turn / 2 % PAUSES) as u32);
            }
            // The server may have closed already, which is the subject of the row.
            refused = socket.write_all(END).is_err();
        }
        LastChunk::Late(late) => {
            socket.write_all(&request)?;
            sleep(late);
            refused = socket.write_all(END).is_err();
        }
        LastChunk::AfterHead(_) => socket.write_all(&request)?,
    }
    if script.half_closes {
        socket.half_close()?;
    }
    let mut responses = ResponseReader::new(socket);
    responses.pace = script.pace;
    let (mut outcome, _) = responses.next(expected, |socket| {
        if let LastChunk::AfterHead(late) = script.last_chunk {
            sleep(late);
            refused = socket.write_all(END).is_err();
        }
        sleep(script.stall);
    });
    if refused && outcome.ending == Ending::EndOfStream {
        outcome.ending = Ending::Reset;
    }
    Ok(outcome)
}

/// Reads responses, one after the other, from a socket.
#[derive(Debug)]
pub struct ResponseReader {
    socket: Socket,
    buffer: Vec<u8>,
    /// Used bytes of the buffer.
    filled: usize,
    /// The wait before each read of a body with a `Content-Length`.
    pace: Duration,
}

impl ResponseReader {
    pub fn new(socket: Socket) -> Self {
        Self { socket, buffer: vec![0; 256 << 10], filled: 0, pace: Duration::ZERO }
    }

    /// Requests one more small response on the same connection.
    pub fn request(&mut self, target: &str, id: &str) -> io::Result<()> {
        self.socket
            .write_all(format!("GET {target} HTTP/1.1\r\nhost: lab\r\nx-lab-id: {id}\r\n\r\n").as_bytes())
    }

    /// The next response, and whether the connection can carry another. `behind_head` is called when the head has arrived.
    pub fn next(&mut self, expected: &[u8], behind_head: impl FnOnce(&mut Socket)) -> (Outcome, bool) {
        let mut outcome = Outcome { promised: None, received: 0, ending: Ending::Complete, intact: true };
        let head = loop {
            let start = &self.buffer[..self.filled];
            if let Some(end) = start.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            match self.fill(MOST_HEAD) {
                Ok(()) => {}
                Err(ending) => return (Outcome { ending, ..outcome }, false),
            }
        };
        let text = String::from_utf8_lossy(&self.buffer[..head]).to_ascii_lowercase();
        let chunked = text.contains("transfer-encoding: chunked");
        let length = text.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
        self.consume(head);
        behind_head(&mut self.socket);
        let ending = match length {
            Some(length) if !chunked => {
                outcome.promised = Some(length);
                self.counted(length, &mut outcome, expected)
            }
            _ => self.chunks(&mut outcome, expected),
        };
        outcome.ending = ending.err().unwrap_or(Ending::Complete);
        outcome.intact &= outcome.ending != Ending::Complete || outcome.received == expected.len() as u64;
        (outcome, outcome.ending == Ending::Complete)
    }

    fn counted(&mut self, length: u64, outcome: &mut Outcome, expected: &[u8]) -> Result<(), Ending> {
        loop {
            let here = (self.filled as u64).min(length - outcome.received) as usize;
            self.take_body(here, outcome, expected);
            if outcome.received == length {
                return Ok(());
            }
            sleep(self.pace);
            self.fill(usize::MAX)?;
        }
    }

    fn chunks(&mut self, outcome: &mut Outcome, expected: &[u8]) -> Result<(), Ending> {
        loop {
            let line = loop {
                if let Some(end) = self.buffer[..self.filled].windows(2).position(|pair| pair == b"\r\n") {
                    break end;
                }
                self.fill(MOST_HEAD)?;
            };
            let size = String::from_utf8_lossy(&self.buffer[..line]).into_owned();
            let Ok(size) = usize::from_str_radix(size.trim(), 16) else {
                outcome.intact = false;
                return Err(Ending::EndOfStream);
            };
            // Chunks are small here: wait for the data and its line end together.
            while self.filled < line + 2 + size + 2 {
                self.fill(MOST_HEAD)?;
            }
            self.consume(line + 2);
            self.take_body(size, outcome, expected);
            self.consume(2);
            if size == 0 {
                return Ok(());
            }
        }
    }

    fn take_body(&mut self, bytes: usize, outcome: &mut Outcome, expected: &[u8]) {
        let from = outcome.received as usize;
        outcome.intact &= expected.get(from..from + bytes) == Some(&self.buffer[..bytes]);
        outcome.received += bytes as u64;
        self.consume(bytes);
    }

    fn consume(&mut self, bytes: usize) {
        self.buffer.copy_within(bytes..self.filled, 0);
        self.filled -= bytes;
    }

    /// Reads more into the buffer; a buffer filled to `most` is an error.
    fn fill(&mut self, most: usize) -> Result<(), Ending> {
        let room = self.buffer.len().min(most);
        if self.filled >= room {
            return Err(Ending::EndOfStream);
        }
        match self.socket.read(&mut self.buffer[self.filled..room]) {
            Ok(0) => Err(Ending::EndOfStream),
            Ok(read) => {
                self.filled += read;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Err(Ending::Silence)
            }
            Err(_) => Err(Ending::Reset),
        }
    }
}
