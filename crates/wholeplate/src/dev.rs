//! `wholeplate dev`: the service in front of a development server.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, ErrorKind, IsTerminal, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use crate::config::{Config, Layers, Listen, Raw};
use crate::server;
use crate::signals::StopSignals;

/// Pause between two attempts to connect, and the longest that one takes.
const RETRY: Duration = Duration::from_millis(100);
const ATTEMPT: Duration = Duration::from_secs(1);
/// How long the command may take to end after SIGTERM.
const END_TIME: Duration = Duration::from_secs(5);
/// Longest line of output that is shown as one.
const LINE_LIMIT: u64 = 64 << 10;
/// Addresses in the command's output that are tried.
const MOST_ADDRESSES: usize = 16;
/// The variable that answers npx's question whether to install a package.
const NPX_YES: &str = "npm_config_yes";
/// How long open responses may take at the end; a page that listens for events never ends.
const DRAIN_TIMEOUT: &str = "1s";

/// Serves in front of the origin of `layers`, which `command` may start, or of the server that `command` starts.
/// `patience`: how long until it listens.
///
/// # Errors
/// If the command cannot be started or ends by itself, its server does not listen in time, or the service fails.
pub(crate) fn run(mut layers: Layers, command: &[OsString], patience: Duration) -> Result<(), String> {
    let given = match layers.given("origin") {
        Some(Raw::Text(origin)) => Some(Candidate::of(origin)?),
        _ => None,
    };
    if given.is_none() && command.is_empty() {
        return Err("dev: give the command of a development server after --, or its address as --origin \
                    http://localhost:PORT"
            .to_owned());
    }
    layers.replace("pass-through", "true")?;
    layers.default_to("drain-timeout", DRAIN_TIMEOUT)?;
    // A picture that was changed is seen at once: many development servers name no lifetime.
    layers.default_to("revalidate", "true")?;
    // Whatever is wrong with the settings or the port is said before anything is started.
    let mut trial = layers.clone();
    trial.replace("origin", given.as_ref().map_or("http://localhost:1", |given| &given.origin))?;
    check_listen(&trial.config()?, given.as_ref())?;
    if let Some(given) = given.as_ref().filter(|_| !command.is_empty())
        && std::net::TcpStream::connect(&*given.address).is_ok()
    {
        return Err(format!(
            "--origin {}: something listens there already; stop it, or leave the command out",
            given.origin
        ));
    }
    let (events, mut event) = unbounded_channel();
    let (ended, end) = unbounded_channel();
    // Signals are handled before the command is there, so that it is ended in every case.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let mut stop = runtime.block_on(async { StopSignals::new() })?;
    let started = match command {
        [] => None,
        command => Some(Started::new(command, events, ended)?),
    };
    let ready = runtime.block_on(async {
        tokio::select! {
            biased;
            origin = ready(given, &mut event, patience, started.as_ref()) => origin,
            () = stop.wait() => Err("stopped before the development server was ready".to_owned()),
        }
    });
    drop(runtime);
    let origin = ready?;
    if let Some(started) = &started {
        started.serving.store(true, Ordering::Release);
        stop.also(end);
    }
    layers.replace("origin", &origin)?;
    server::run_in_front(layers.config()?, stop, |addresses| {
        let address = addresses.first().map_or_else(String::new, |address| open(address));
        format!("{address} (in front of {origin})\n")
    })?;
    match started.as_ref().and_then(Started::ended) {
        Some(status) if !status.success() => Err(format!("the command ended: {status}")),
        _ => Ok(()),
    }
}

/// An address as a browser takes it: development servers trust the name `localhost`, and not every address that it has.
fn open(address: &str) -> String {
    let local = address.replace("://127.0.0.1:", "://localhost:").replace("://0.0.0.0:", "://localhost:");
    format!("{local}/")
}

/// # Errors
/// If the address of the service is in use, or is that of the development server.
fn check_listen(config: &Config, given: Option<&Candidate>) -> Result<(), String> {
    let Listen::At(address) = &config.listen else { return Ok(()) };
    let Ok(listen) = address.as_str().to_socket_addrs().map(Vec::from_iter) else { return Ok(()) };
    let meets = |origin: &SocketAddr| {
        let same = |ip: IpAddr| ip == origin.ip() || (ip.is_unspecified() && origin.ip().is_loopback());
        listen.iter().any(|listen| listen.port() == origin.port() && same(listen.ip()))
    };
    if let Some(given) = given
        && let Ok(mut origins) = given.address.to_socket_addrs()
        && origins.any(|origin| meets(&origin))
    {
        return Err(format!(
            "--origin {}: that is where this program listens; give the address of the development server, or --listen \
             another",
            given.origin
        ));
    }
    let Some(first) = listen.first().filter(|listen| listen.port() != 0) else { return Ok(()) };
    TcpListener::bind(first).map(drop).map_err(|error| server::listen_error(address.as_str(), &error))
}

/// A server that may be the development server.
#[derive(Debug, PartialEq, Eq)]
struct Candidate {
    origin: String,
    /// Host and port.
    address: String,
}

impl Candidate {
    fn of(origin: &str) -> Result<Self, String> {
        let invalid =
            || format!("--origin {origin}: not an http or https URL, such as http://localhost:3000");
        let url = url::Url::parse(origin).map_err(|_| invalid())?;
        let host = url.host_str().filter(|_| matches!(url.scheme(), "http" | "https")).ok_or_else(invalid)?;
        let port = url.port_or_known_default().ok_or_else(invalid)?;
        Ok(Self { origin: origin.to_owned(), address: format!("{host}:{port}") })
    }

    async fn listens(&self) -> bool {
        timeout(ATTEMPT, TcpStream::connect(&*self.address)).await.is_ok_and(|stream| stream.is_ok())
    }
}

/// What the command does.
#[derive(Debug)]
enum Event {
    /// Its output names the URL of its server.
    Announced(Candidate),
    Ended(String),
}

/// Returns the origin when its port accepts connections.
async fn ready(
    given: Option<Candidate>,
    events: &mut UnboundedReceiver<Event>,
    patience: Duration,
    started: Option<&Started>,
) -> Result<String, String> {
    let open = given.is_none();
    let mut candidates: Vec<Candidate> = given.into_iter().collect();
    if let (None, Some(given)) = (started, candidates.first())
        && !given.listens().await
    {
        eprintln!("wholeplate: waiting for {}", given.origin);
    }
    let wait = async {
        loop {
            for candidate in &candidates {
                if candidate.listens().await {
                    return Ok(candidate.origin.clone());
                }
            }
            match timeout(RETRY, events.recv()).await {
                Ok(Some(Event::Ended(status))) => {
                    return Err(format!("the command ended before a server listened: {status}"));
                }
                Ok(Some(Event::Announced(found))) => {
                    if open && candidates.len() < MOST_ADDRESSES && !candidates.contains(&found) {
                        candidates.push(found);
                    }
                }
                // Without a command there are no events.
                Ok(None) => tokio::time::sleep(RETRY).await,
                Err(_) => {}
            }
        }
    };
    let done = timeout(patience, wait).await;
    done.unwrap_or_else(|_| {
        let seconds = patience.as_secs();
        Err(match candidates.first() {
            Some(first) => format!(
                "nothing listens at {} after {seconds} s; start the development server there, or correct --origin",
                first.origin
            ),
            None => format!(
                "the command named no address of a server within {seconds} s; give it as --origin http://localhost:PORT"
            ),
        })
    })
}

/// A command that runs. Dropping it ends it, and what it has started.
struct Started {
    group: Pid,
    serving: Arc<AtomicBool>,
    status: Arc<Mutex<Option<ExitStatus>>>,
    over: mpsc::Receiver<()>,
    /// Held open: some servers end when their input does.
    _input: Option<ChildStdin>,
}

impl Started {
    /// `ended` gets a message when the command has ended, after `events`.
    fn new(
        command: &[OsString],
        events: UnboundedSender<Event>,
        ended: UnboundedSender<()>,
    ) -> Result<Self, String> {
        let Some((program, arguments)) = command.split_first() else { return Err("no command".to_owned()) };
        let name = Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned();
        let mut child = Command::new(program);
        child.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own: a signal reaches what the command has started, too.
        child.process_group(0);
        if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
            child.env("FORCE_COLOR", "1");
        }
        // npx asks before it installs what a folder does not have; without a keyboard it gives up instead. Inside another npx
        // the variable is there, and empty.
        if std::env::var_os(NPX_YES).is_none_or(|answer| answer.is_empty()) {
            child.env(NPX_YES, "true");
        }
        let mut child = child.spawn().map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                format!("{}: there is no such command; is it installed, or run by npx?", program.display())
            }
            _ => format!("{}: {error}", program.display()),
        })?;
        let group = Pid::from_child(&child);
        let input = child.stdin.take();
        let serving = Arc::new(AtomicBool::new(false));
        let status = Arc::new(Mutex::new(None));
        let reader = |output: Box<dyn Read + Send>| {
            let (name, events, serving) = (name.clone(), events.clone(), Arc::clone(&serving));
            std::thread::spawn(move || show(&name, output, &events, &serving))
        };
        let mut readers = Vec::new();
        readers.extend(child.stdout.take().map(|output| reader(Box::new(output))));
        readers.extend(child.stderr.take().map(|output| reader(Box::new(output))));
        let (sender, over) = mpsc::channel();
        let last = Arc::clone(&status);
        std::thread::spawn(move || {
            let text = wait(&mut child, &last);
            let _ = events.send(Event::Ended(text));
            let _ = ended.send(());
            for reader in readers {
                let _ = reader.join();
            }
            let _ = sender.send(());
        });
        Ok(Self { group, serving, status, over, _input: input })
    }

    /// How it ended, if it has.
    fn ended(&self) -> Option<ExitStatus> {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wait(child: &mut Child, last: &Mutex<Option<ExitStatus>>) -> String {
    match child.wait() {
        Ok(status) => {
            *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
            status.to_string()
        }
        Err(error) => error.to_string(),
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // What the command has left behind is in its group, also when the command itself has ended.
        let _ = kill_process_group(self.group, Signal::TERM);
        if self.over.recv_timeout(END_TIME).is_err() {
            let _ = kill_process_group(self.group, Signal::KILL);
            let _ = self.over.recv_timeout(END_TIME);
        }
    }
}

/// Prints output line by line with the command's name before it, and until `serving` reports the URLs in it.
fn show(name: &str, output: impl Read, events: &UnboundedSender<Event>, serving: &AtomicBool) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        line.clear();
        match output.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\r', '\n']);
        // A closed standard output does not stop the command.
        let _ = writeln!(std::io::stdout(), "[{name}] {text}");
        if !serving.load(Ordering::Acquire)
            && let Some(found) = announced(text).and_then(|url| Candidate::of(&url).ok())
        {
            let _ = events.send(Event::Announced(found));
        }
    }
}

/// The URL of a local server that a line names.
fn announced(line: &str) -> Option<String> {
    let plain = without_escapes(line);
    let start = plain.find("http://").or_else(|| plain.find("https://"))?;
    let end = plain[start..].find(|c: char| c.is_whitespace() || c.is_control() || "'\"<>)}".contains(c));
    let text = &plain[start..end.map_or(plain.len(), |end| start + end)];
    let mut url = url::Url::parse(text.trim_end_matches(['.', ',', ';'])).ok()?;
    let local = match url.host()? {
        url::Host::Domain(name) => name.eq_ignore_ascii_case("localhost"),
        url::Host::Ipv4(address) => address.is_loopback() || address.is_unspecified(),
        url::Host::Ipv6(address) => address.is_loopback() || address.is_unspecified(),
    };
    if !local || url.port().is_none() {
        return None;
    }
    // "Any address" is no address to connect to.
    if matches!(url.host(), Some(url::Host::Ipv4(address)) if address.is_unspecified())
        || matches!(url.host(), Some(url::Host::Ipv6(address)) if address.is_unspecified())
    {
        url.set_host(Some("localhost")).ok()?;
    }
    Some(url.origin().ascii_serialization())
}

/// A line without the escape sequences of colours.
fn without_escapes(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            plain.push(c);
            continue;
        }
        if chars.next() == Some('[') {
            for c in chars.by_ref() {
                if c.is_ascii_alphabetic() {
                    break;
                }
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::{Candidate, announced, open};

    #[test]
    fn the_address_of_a_server_is_found_in_its_output() {
        for (line, url) in [
            (
                "  \u{1b}[32m➜\u{1b}[39m  Local:   \u{1b}[36mhttp://localhost:\u{1b}[1m5173\u{1b}[22m/\u{1b}[39m",
                "http://localhost:5173",
            ),
            ("   - Local:        http://localhost:3000", "http://localhost:3000"),
            ("┃ Local    http://localhost:4321/", "http://localhost:4321"),
            ("Listening on http://0.0.0.0:8000.", "http://localhost:8000"),
            ("[wrangler:info] Ready on http://127.0.0.1:8787", "http://127.0.0.1:8787"),
            ("ready (http://[::1]:3000)", "http://[::1]:3000"),
        ] {
            assert_eq!(announced(line).as_deref(), Some(url), "{line}");
        }
        for line in [
            "see https://vite.dev/config",
            "http://localhost/ without a port",
            "nothing",
            "http://10.0.0.2:5173/",
        ] {
            assert_eq!(announced(line), None, "{line}");
        }
    }

    #[test]
    fn an_origin_has_a_host_and_a_port() {
        let address_of = |url| Candidate::of(url).map(|found| found.address);
        assert_eq!(address_of("http://localhost:3000/x").unwrap(), "localhost:3000");
        assert_eq!(address_of("https://[::1]").unwrap(), "[::1]:443");
        assert!(address_of("ftp://x").is_err() && address_of("localhost:3000").is_err());
    }

    #[test]
    fn the_address_to_open_has_a_name() {
        assert_eq!(open("http://127.0.0.1:8565"), "http://localhost:8565/");
        assert_eq!(open("http://192.0.2.1:80"), "http://192.0.2.1:80/");
    }
}
