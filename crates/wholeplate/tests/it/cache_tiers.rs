//! The cache in a folder: restarts, damage, full and vanished disks.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{Reply, Server, cache_figure, cache_status as status, photo};

fn pictures() -> Vec<(&'static str, Vec<u8>)> {
    vec![("a.jpg", photo(400, 300, codecs::Format::Jpeg))]
}

fn start(folder: &Path, flags: &[&str]) -> Server {
    let settings = ["--cache-dir", folder.to_str().unwrap(), "--admin", "127.0.0.1:0"];
    Server::start(&pictures(), &[&settings, flags].concat())
}

/// Keeps the pictures of a server for the next one: the name of a source in a folder contains its path.
fn restart(server: Server, folder: &Path, flags: &[&str]) -> Server {
    let origin = server.pictures.path().to_str().unwrap().to_owned();
    let kept = server.end();
    let settings = ["--cache-dir", folder.to_str().unwrap(), "--admin", "127.0.0.1:0", "--origin", &origin];
    let mut next = Server::start_bare(&[&settings, flags].concat());
    next.also_keep(kept);
    next
}

fn ask(server: &Server, width: u32) -> Reply {
    // One host for all servers: the host is part of a relative source's name.
    server.get_with(&format!("/cdn-cgi/image/width={width}/a.jpg"), &[("host", "shop.example")])
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

/// Waits until the folder has so many entries: they are written behind the answer.
fn wait_for_entries(folder: &Path, count: usize) {
    let began = std::time::Instant::now();
    while entries(folder).len() < count {
        assert!(began.elapsed().as_secs() < 60, "{} of {count} entries", entries(folder).len());
        std::thread::yield_now();
    }
}

// CAC-032: SIGKILL leaves no time to write anything.
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

// CAC-034
#[test]
fn a_removed_folder_costs_hits_not_answers() {
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
}

// CAC-034, and CAC-030 for a folder that is smaller than its setting.
#[test]
fn a_full_disk_costs_hits_not_answers() {
    let folder = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder.path().to_str().unwrap()])
        .stderr(Stdio::null())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("skipped: mounting is not permitted here");
        return;
    }
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
    drop(server);
    let _ = Command::new("umount").args(["-l", folder.path().to_str().unwrap()]).status();
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
