//! The cache in a folder: restarts, damage, full and removed disks.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::origin::{Asked, Origin, answer};
use crate::support::{Reply, Server, cache_figure, cache_status as status, encode, noise, photo};

fn pictures() -> Vec<(&'static str, Vec<u8>)> {
    vec![("a.jpg", photo(400, 300, codecs::Format::Jpeg))]
}

fn start(folder: &Path, flags: &[&str]) -> Server {
    let settings = ["--cache-dir", folder.to_str().unwrap(), "--admin", "127.0.0.1:0"];
    Server::start(&pictures(), &[&settings, flags].concat())
}

/// Keeps the sources of a server for the next one, because the path of a source is part of its key.
fn restart(server: Server, folder: &Path, flags: &[&str]) -> Server {
    let origin = server.pictures.path().to_str().unwrap().to_owned();
    let kept = server.end();
    let settings = ["--cache-dir", folder.to_str().unwrap(), "--admin", "127.0.0.1:0", "--origin", &origin];
    let mut next = Server::start_bare(&[&settings, flags].concat());
    next.also_keep(kept);
    next
}

fn ask(server: &Server, width: u32) -> Reply {
    // The host has another port after a restart, which makes no other source.
    server.get(&format!("/cdn-cgi/image/width={width}/a.jpg"))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut folders = vec![folder.join("blobs")];
    while let Some(folder) = folders.pop() {
        for file in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if file.file_type().unwrap().is_dir() {
                folders.push(file.path());
            } else if !file.file_name().to_string_lossy().contains('#') {
                all.push(file.path());
            }
        }
    }
    all
}

/// Waits until the folder has this number of entries, which are written in the background.
fn wait_for_entries(folder: &Path, count: usize) {
    let began = std::time::Instant::now();
    while entries(folder).len() < count {
        assert!(began.elapsed().as_secs() < 60, "{} of {count} entries", entries(folder).len());
        std::thread::yield_now();
    }
}

// OPS-022: what an operator allows now counts for results that are kept, in both directions.
#[test]
fn results_of_other_limits_are_not_used_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let picture = photo(400, 300, codecs::Format::Jpeg);
    let origin = Origin::start(move |_| {
        answer(200, &[("etag", "\"v\""), ("cache-control", "max-age=7200")], &picture)
    });
    let serve = |limits: &[&str]| {
        let settings = ["--cache-dir", folder.path().to_str().unwrap(), "--origin", &origin.url("")];
        Server::start_bare(&[&settings, limits].concat())
    };
    let server = serve(&[]);
    let whole = ask(&server, 200);
    assert_eq!(whole.pixels().width, 200);
    // The source, what is known of it, and a result.
    wait_for_entries(folder.path(), 3);
    server.end();
    let server = serve(&["--max-width", "100"]);
    let etag = [("if-none-match", whole.header("etag").unwrap())];
    let narrow = server.get_with("/cdn-cgi/image/width=200/a.jpg", &etag);
    assert_eq!((narrow.status, status(&narrow)), (200, "MISS"));
    assert_eq!(narrow.pixels().width, 100);
    server.end();
    let server = serve(&["--allowed-formats", "webp"]);
    assert_eq!(ask(&server, 200).header("content-type"), Some("image/webp"));
    server.end();
    let again = ask(&serve(&[]), 200);
    assert_eq!((status(&again), again.pixels().width), ("HIT", 200));
}

// CAC-050: a folder stays when the setting of the origin changes.
#[test]
fn sources_of_another_origin_are_not_used_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let origins = [photo(40, 30, codecs::Format::Png), photo(60, 30, codecs::Format::Png)]
        .map(|picture| Origin::start(move |_| answer(200, &[("cache-control", "max-age=7200")], &picture)));
    let serve = |origin: &Origin| {
        Server::start_bare(&["--cache-dir", folder.path().to_str().unwrap(), "--origin", &origin.url("")])
    };
    for (turn, width) in [(0, 40), (1, 60)] {
        let server = serve(&origins[turn]);
        assert_eq!(server.image("format=png", "a.png").pixels().width, width);
        // A source and its result.
        wait_for_entries(folder.path(), 3 * (turn + 1));
        server.end();
    }
    let server = serve(&origins[0]);
    let again = server.image("format=png", "a.png");
    assert_eq!((status(&again), again.pixels().width), ("HIT", 40));
}

// CAC-032: after SIGKILL nothing more is written.
#[test]
fn entries_outlive_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let first: Vec<Reply> = (1..=10).map(|n| ask(&server, n * 30)).collect();
    wait_for_entries(folder.path(), 10);
    let server = restart(server, folder.path(), &[]);
    for (n, first) in first.iter().enumerate() {
        let reply = ask(&server, (n as u32 + 1) * 30);
        assert_eq!((status(&reply), &reply.body), ("HIT", &first.body));
        assert!(reply.header("cf-resized").unwrap().starts_with("internal=disk/"), "{n}");
    }
    let again = ask(&server, 30);
    assert!(again.header("cf-resized").unwrap().starts_with("internal=ram/"));
}

// CAC-040: a purge also removes the entries of the folder, permanently.
#[test]
fn a_purge_removes_results_from_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    ask(&server, 100);
    ask(&server, 120);
    wait_for_entries(folder.path(), 2);
    let admin = format!("http://{}", server.admin());
    let purged = Command::new(env!("CARGO_BIN_EXE_wholeplate"))
        .args(["purge", "--admin", &admin, "/a.jpg"])
        .stdout(Stdio::null())
        .status();
    assert!(purged.unwrap().success());
    let began = std::time::Instant::now();
    while !entries(folder.path()).is_empty() {
        assert!(began.elapsed().as_secs() < 60, "{:?}", entries(folder.path()));
        std::thread::yield_now();
    }
    let server = restart(server, folder.path(), &[]);
    assert_eq!(status(&ask(&server, 100)), "MISS");
}

// CAC-032, CAC-010: the source of an HTTP origin, too, with what its headers said.
#[test]
fn a_source_outlives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let picture = photo(400, 300, codecs::Format::Jpeg);
    let origin = Origin::start(move |asked: &Asked| {
        let control = if asked.target.contains("strict") { "no-cache" } else { "max-age=7200" };
        match asked.header("if-none-match") {
            Some(_) => answer(304, &[("etag", "\"v1\"")], &[]),
            None => answer(200, &[("etag", "\"v1\""), ("cache-control", control)], &picture),
        }
    });
    let url = origin.url("");
    let start = || {
        Server::start_bare(&[
            "--cache-dir",
            folder.path().to_str().unwrap(),
            "--admin",
            "127.0.0.1:0",
            "--origin",
            &url,
        ])
    };
    let ask = |server: &Server, width: u32, name: &str| {
        server.get(&format!("/cdn-cgi/image/width={width}/{name}.jpg"))
    };
    let server = start();
    let (kept, strict) = (ask(&server, 100, "kept"), ask(&server, 100, "strict"));
    assert_eq!((status(&kept), status(&strict)), ("MISS", "MISS"));
    // Of each its record, its bytes and the result.
    wait_for_entries(folder.path(), 6);
    drop(server);
    let server = start();
    let again = ask(&server, 100, "kept");
    assert_eq!((status(&again), &again.body), ("HIT", &kept.body));
    assert!(again.header("cf-resized").unwrap().starts_with("internal=disk/"));
    assert_eq!(
        (status(&ask(&server, 120, "kept")), origin.asked().len()),
        ("MISS", 2),
        "its bytes are there, too"
    );
    let confirmed = ask(&server, 100, "strict");
    assert_eq!((status(&confirmed), &confirmed.body), ("REVALIDATED", &strict.body));
    assert_eq!(origin.asked().len(), 3);
}

/// Rounds of the test below. CACHE_TEST_KILLS overrides the number.
const KILLS: u64 = 5;

// CAC-032: SIGKILL at random moments, under load. Every later hit equals a newly computed result.
#[test]
fn a_kill_at_any_moment_leaves_no_wrong_entry() {
    let folder = tempfile::tempdir().unwrap();
    let rounds = std::env::var("CACHE_TEST_KILLS").map_or(KILLS, |n| n.parse().unwrap());
    let plain = Server::start(&pictures(), &["--no-cache"]);
    let origin = plain.pictures.path().to_str().unwrap().to_owned();
    let settings = ["--cache-dir", folder.path().to_str().unwrap(), "--admin", "127.0.0.1:0"];
    let start =
        || Server::start_bare(&[&settings[..], &["--cache-memory", "1", "--origin", &origin]].concat());
    let widths = 100..140;
    let expected: Vec<Vec<u8>> = widths.clone().map(|width| ask(&plain, width).body).collect();
    let mut hits = 0;
    for round in 0..rounds {
        let server = start();
        let pid = server.pid().to_string();
        std::thread::scope(|scope| {
            for first in [0, 20] {
                let (server, expected, widths) = (&server, &expected, widths.clone());
                scope.spawn(move || {
                    for n in (0..expected.len()).map(|n| (n + first) % expected.len()) {
                        let target = format!("/cdn-cgi/image/width={}/a.jpg", widths.start + n as u32);
                        // The server may have been killed already.
                        let Some(body) = try_ask(server, &target) else { return };
                        assert_eq!(body, expected[n], "{target}");
                    }
                });
            }
            // The delay differs from round to round, so that SIGKILL arrives at different moments.
            std::thread::sleep(std::time::Duration::from_millis(round * 37 % 150));
            assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
        });
        drop(server);
        let server = start();
        for (width, expected) in widths.clone().zip(&expected) {
            let reply = ask(&server, width);
            assert_eq!(&reply.body, expected, "{width} in round {round}, {}", status(&reply));
            hits += usize::from(status(&reply) == "HIT");
        }
        assert_eq!(cache_figure(&server, "wholeplate_cache_damaged_total{tier=\"disk\"}"), 0.0);
    }
    assert!(hits > 0);
}

/// The body of a whole response.
fn try_ask(server: &Server, target: &str) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(&server.address).ok()?;
    let request = format!("GET {target} HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok())?;
    let body = bytes.split_off(end);
    (body.len() == length).then_some(body)
}

// CAC-037
#[test]
fn a_large_result_goes_to_the_folder_only() {
    let folder = tempfile::tempdir().unwrap();
    let settings = ["--cache-dir", folder.path().to_str().unwrap(), "--cache-memory", "1"];
    let server = Server::start(&[("a.png", encode(&noise(700, 700), codecs::Format::Png))], &settings);
    let ask = || server.image("width=650,format=png", "a.png");
    let first = ask();
    assert!(first.body.len() > 512 << 10);
    wait_for_entries(folder.path(), 1);
    for _ in 0..2 {
        let reply = ask();
        assert_eq!((status(&reply), &reply.body), ("HIT", &first.body));
        assert!(reply.header("cf-resized").unwrap().starts_with("internal=disk/"));
    }
}

// CAC-030: more requested results than fit into the cache.
#[test]
fn a_full_cache_stays_inside_memory() {
    let server = Server::start(
        &[("a.png", encode(&noise(600, 500), codecs::Format::Png))],
        &["--memory", "256", "--cache-memory", "48", "--admin", "127.0.0.1:0"],
    );
    // Together a hundred results of about 800 kB.
    for round in 0..2 {
        for width in 450..550 {
            assert_eq!(server.image(&format!("width={width},format=png"), "a.png").status, 200, "{round}");
        }
    }
    let full = cache_figure(&server, "wholeplate_cache_bytes{tier=\"memory\"}");
    assert!(full > f64::from(30 << 20) && full <= f64::from(48 << 20), "{full}");
    assert!(cache_figure(&server, "wholeplate_cache_evictions_total{tier=\"memory\"}") > 0.0);
    let text = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak <= 256 * 1024 * 115 / 100, "{peak} kB");
}

// CAC-033
#[test]
fn damaged_entries_are_counted_and_made_anew() {
    let damage: [fn(&Path); 4] = [
        |file| {
            let mut bytes = std::fs::read(file).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(file, bytes).unwrap();
        },
        |file| {
            let bytes = std::fs::read(file).unwrap();
            std::fs::write(file, &bytes[..bytes.len() - 7]).unwrap();
        },
        |file| std::fs::write(file, b"").unwrap(),
        |file| {
            let mut bytes = std::fs::read(file).unwrap();
            bytes[7] = 99;
            std::fs::write(file, bytes).unwrap();
        },
    ];
    for damage in damage {
        let folder = tempfile::tempdir().unwrap();
        let server = start(folder.path(), &[]);
        let first = ask(&server, 100);
        wait_for_entries(folder.path(), 1);
        let server = restart(server, folder.path(), &[]);
        entries(folder.path()).iter().for_each(|file| damage(file));
        let reply = ask(&server, 100);
        assert_eq!((reply.status, status(&reply), &reply.body), (200, "MISS", &first.body));
        assert_eq!(cache_figure(&server, "wholeplate_cache_damaged_total{tier=\"disk\"}"), 1.0);
        wait_for_entries(folder.path(), 1);
    }
}

// CAC-034, OPS-010
#[test]
fn a_removed_folder_costs_hits_not_responses() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &["--cache-memory", "1"]);
    let first = ask(&server, 100);
    wait_for_entries(folder.path(), 1);
    std::fs::remove_dir_all(folder.path()).unwrap();
    for n in 0..20 {
        let reply = ask(&server, 100 + n);
        assert_eq!(reply.status, 200);
        assert!(n > 0 || reply.body == first.body);
    }
    assert_eq!(server.ask_admin("/readyz").status, 200);
}

/// A tmpfs on a folder, unmounted when dropped. `None` if mounting is not permitted.
struct Mounted(PathBuf);

impl Mounted {
    fn new(folder: &Path, options: &str) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder).stderr(Stdio::null());
        let done = mount.status().is_ok_and(|status| status.success());
        if !done {
            eprintln!("skipped: mounting is not permitted here");
        }
        done.then(|| Self(folder.to_owned()))
    }

    /// Mounts the folder read-only over itself. Open files do not prevent that, unlike a remount.
    fn read_only(folder: &Path) -> Option<Self> {
        let run = |arguments: &[&str], folders: &[&Path]| {
            let mut mount = Command::new("mount");
            mount.args(arguments).args(folders).stderr(Stdio::null());
            mount.status().is_ok_and(|status| status.success())
        };
        if !run(&["--bind"], &[folder, folder]) {
            eprintln!("skipped: mounting is not permitted here");
            return None;
        }
        let mounted = Self(folder.to_owned());
        assert!(run(&["-o", "remount,bind,ro"], &[folder]));
        Some(mounted)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

// CAC-034: responses, a counter, and one warning per minute.
#[test]
fn a_folder_that_becomes_read_only_is_counted_and_warned_of_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &["--cache-memory", "1"]);
    let first = ask(&server, 100);
    wait_for_entries(folder.path(), 1);
    let Some(_mounted) = Mounted::read_only(folder.path()) else { return };
    assert_eq!(ask(&server, 100).body, first.body);
    let errors = || cache_figure(&server, "wholeplate_cache_errors_total{tier=\"disk\"}");
    for n in 1..20 {
        assert_eq!(ask(&server, 100 + n).status, 200);
    }
    let began = std::time::Instant::now();
    while errors() < 10.0 {
        assert!(began.elapsed().as_secs() < 60, "{}", errors());
        std::thread::yield_now();
    }
    let log = server.log();
    assert_eq!(log.matches("cache: ").count(), 1, "{log}");
    drop(server);
}

// CAC-034, and CAC-030 for a disk that is smaller than the setting.
#[test]
fn a_full_disk_costs_hits_not_responses() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_mounted) = Mounted::new(folder.path(), "size=256k") else { return };
    let server = start(folder.path(), &["--cache-memory", "1", "--cache-disk", "8"]);
    let plain = Server::start(&pictures(), &["--no-cache"]);
    for round in 0..2 {
        for n in 0..80 {
            let reply = ask(&server, 200 + n);
            assert_eq!(reply.status, 200);
            if round == 1 && n % 10 == 0 {
                assert_eq!(reply.body, ask(&plain, 200 + n).body, "{n}");
            }
        }
    }
    assert!(cache_figure(&server, "wholeplate_cache_errors_total{tier=\"disk\"}") > 0.0);
    drop(server);
}

// CAC-034, CAC-032: a purge that finds no room leaves nothing behind that would spoil the next one.
#[test]
fn a_purge_on_a_full_disk_is_refused_whole() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_mounted) = Mounted::new(folder.path(), "size=1m") else { return };
    let server = start(folder.path(), &["--cache-disk", "8"]);
    let (purges, filler) = (folder.path().join("purges.jsonl"), folder.path().join("filler"));
    // The last line that is begun ends on a page that the disk does not have.
    let purge = |n: usize| {
        let body = format!(r#"{{"tags":["{n}-{}"]}}"#, "t".repeat(1000));
        let mut stream = TcpStream::connect(server.admin()).unwrap();
        let head = "POST /client/v4/zones/z/purge_cache HTTP/1.1\r\nhost: a\r\nconnection: close\r\n";
        write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
        Reply::read(&mut stream, false).status
    };
    assert_eq!(purge(0), 200);
    let filled = std::fs::write(&filler, vec![1; 2 << 20]).unwrap_err();
    assert_eq!(filled.kind(), std::io::ErrorKind::StorageFull);
    let refused = (1..10).find(|n| purge(*n) == 500).expect("the disk was never full");
    let lines = std::fs::read_to_string(&purges).unwrap();
    assert!(lines.ends_with('\n') && lines.lines().count() == refused, "{lines}");
    std::fs::remove_file(&filler).unwrap();
    assert_eq!(purge(refused), 200);
    let lines = std::fs::read_to_string(&purges).unwrap();
    assert_eq!(lines.lines().count(), refused + 1, "{lines}");
    assert!(lines.lines().all(|line| line.starts_with('{') && line.ends_with('}')), "{lines}");
    drop(server);
}

/// How long the test below goes on; CACHE_TEST_FULL_DISK_SECONDS changes it.
const FULL_DISK_SECONDS: u64 = 2;

// CAC-034, CAC-036: many clients at once, and a disk of 4 MB that is full all the time. No answer is wrong, and what the folder
// has after a restart is right, too.
#[test]
fn a_full_disk_under_load_gives_no_wrong_response() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_mounted) = Mounted::new(folder.path(), "size=4m") else { return };
    let seconds =
        std::env::var("CACHE_TEST_FULL_DISK_SECONDS").map_or(FULL_DISK_SECONDS, |n| n.parse().unwrap());
    let plain = Server::start(&[("a.jpg", encode(&noise(400, 300), codecs::Format::Jpeg))], &["--no-cache"]);
    let origin = plain.pictures.path().to_str().unwrap().to_owned();
    let target = |width: usize| format!("/cdn-cgi/image/width={width},quality=95/a.jpg");
    // Together about 10 MB: more than the disk has, and more than memory.
    let expected: Vec<Vec<u8>> =
        (250..390).map(|width| plain.get_with(&target(width), &[("host", "shop.example")]).body).collect();
    let all: usize = expected.iter().map(Vec::len).sum();
    assert!(all > 8 << 20, "{all}");
    let settings = ["--cache-dir", folder.path().to_str().unwrap(), "--admin", "127.0.0.1:0"];
    let start = || {
        Server::start_bare(
            &[&settings[..], &["--cache-memory", "1", "--cache-disk", "16", "--origin", &origin]].concat(),
        )
    };
    let server = start();
    let (began, hits) = (std::time::Instant::now(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for client in 0..4 {
            let (server, expected, hits, target) = (&server, &expected, &hits, &target);
            scope.spawn(move || {
                // Each client in another order, every result at least once.
                for n in 0.. {
                    if n >= expected.len() && began.elapsed().as_secs() >= seconds {
                        return;
                    }
                    let at = (n * [1, 3, 9, 11][client] + client * 35) % expected.len();
                    let reply = server.get_with(&target(250 + at), &[("host", "shop.example")]);
                    assert_eq!((reply.status, &reply.body), (200, &expected[at]), "{at}: {}", status(&reply));
                    hits.fetch_add(usize::from(status(&reply) == "HIT"), Ordering::Relaxed);
                }
            });
        }
    });
    assert!(
        cache_figure(&server, "wholeplate_cache_errors_total{tier=\"disk\"}") > 0.0,
        "the disk was never full"
    );
    assert!(hits.load(Ordering::Relaxed) > 0);
    let log = server.log();
    let warnings = log.matches("cache: ").count() as u64;
    assert!(warnings >= 1 && warnings <= 1 + began.elapsed().as_secs() / 60, "{log}");
    drop(server);
    let server = start();
    for (at, expected) in expected.iter().enumerate() {
        assert_eq!(&server.get_with(&target(250 + at), &[("host", "shop.example")]).body, expected, "{at}");
    }
    assert_eq!(cache_figure(&server, "wholeplate_cache_damaged_total{tier=\"disk\"}"), 0.0);
    drop(server);
}

// CAC-030
#[test]
fn the_folder_stays_inside_its_size() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &["--cache-memory", "1", "--cache-disk", "8"]);
    for n in 0..120 {
        assert_eq!(server.get(&format!("/cdn-cgi/image/width={},format=png/a.jpg", 280 + n)).status, 200);
        let bytes: u64 =
            entries(folder.path()).iter().filter_map(|file| file.metadata().ok()).map(|m| m.len()).sum();
        assert!(bytes <= (8 << 20) + (1 << 20), "{bytes}");
    }
}

fn refused(flags: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_wholeplate"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .args(flags)
        .stdout(Stdio::null())
        .output()
        .unwrap();
    assert!(!output.status.success(), "{flags:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

// CAC-035
#[test]
fn a_second_process_on_a_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _server = start(folder.path(), &[]);
    let message = refused(&["--cache-dir", folder.path().to_str().unwrap()]);
    assert!(message.contains("cache-dir") && message.contains(folder.path().to_str().unwrap()), "{message}");
}

#[test]
fn a_bad_setting_is_refused_by_its_name() {
    let cases: [(&[&str], &str); 8] = [
        (&["--cache-dir", "/proc/nowhere"], "cache-dir"),
        (&["--cache-memory", "0"], "cache-memory"),
        (&["--cache-memory", "4096", "--memory", "2048"], "cache-memory"),
        (&["--cache-disk", "7"], "cache-disk"),
        (&["--cache-store", "ftp://x"], "cache-store"),
        (&["--cache-store-timeout", "soon"], "cache-store-timeout"),
        (&["--purge-interval", "-1"], "purge-interval"),
        (&["--admin-token-file", "/nowhere/token"], "admin-token-file"),
    ];
    for (flags, name) in cases {
        let message = refused(flags);
        assert!(message.contains(name), "{flags:?}: {message}");
    }
}
