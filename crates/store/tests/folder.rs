//! The folder tier through the public API: durability, damage, bounds, disk failures.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use store::{Blobs, Entry, Error, FolderTier, Key, Unbounded};

fn key(n: u32) -> Key {
    let mut id = [0; 32];
    id[..4].copy_from_slice(&n.to_le_bytes());
    Key::new(&[(n % 7) as u8; 32], &id)
}

fn entry(n: u32, len: usize) -> Entry {
    let body: Vec<u8> = (0..len).map(|i| (i as u32).wrapping_mul(n + 1).to_le_bytes()[1]).collect();
    Entry { head: format!("head {n}").into_bytes().into(), body: body.into() }
}

async fn open(folder: &Path, capacity: u64) -> FolderTier {
    let tier = FolderTier::open(folder, capacity).unwrap();
    tier.rebuild().await;
    tier
}

async fn found(tier: &FolderTier, n: u32) -> Option<Entry> {
    tier.get(&key(n), &Unbounded).await.unwrap()
}

/// All files below a folder, with their lengths.
fn files(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for file in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match file.metadata() {
                Ok(meta) if meta.is_dir() => folders.push(file.path()),
                Ok(meta) => all.push((file.path(), meta.len())),
                Err(_) => {}
            }
        }
    }
    all
}

fn blob_file(folder: &Path) -> PathBuf {
    let mut all = files(&folder.join("blobs"));
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0).0
}

// CAC-032: also after a crash, and before the index is rebuilt.
#[tokio::test]
async fn entries_are_found_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let tier = open(folder.path(), 8 << 20).await;
    for n in 0..20 {
        tier.put(key(n), entry(n, 10_000)).await.unwrap();
    }
    drop(tier);
    std::fs::write(blob_file_of(&folder, 3).with_extension("").parent().unwrap().join("half#1"), b"staged")
        .unwrap();
    let tier = FolderTier::open(folder.path(), 8 << 20).unwrap();
    assert_eq!(found(&tier, 3).await, Some(entry(3, 10_000)));
    tier.rebuild().await;
    assert_eq!(tier.stats().entries.load(Ordering::Relaxed), 20);
    for n in 0..20 {
        assert_eq!(found(&tier, n).await, Some(entry(n, 10_000)), "{n}");
    }
    assert_eq!(
        files(&folder.path().join("blobs")).len(),
        20,
        "the staged file of an interrupted write is removed"
    );
}

fn blob_file_of(folder: &tempfile::TempDir, n: u32) -> PathBuf {
    let id: String = n.to_le_bytes().iter().map(|b| format!("{b:02x}")).collect();
    let all = files(&folder.path().join("blobs"));
    let is_it = |path: &Path| path.file_name().unwrap().to_string_lossy().starts_with(&id);
    all.into_iter().map(|(path, _)| path).find(|path| is_it(path)).unwrap()
}

// CAC-033
#[tokio::test]
async fn a_damaged_entry_is_detected_counted_and_removed() {
    type Damage = fn(&mut Vec<u8>);
    let damage: [(&str, Damage); 6] = [
        ("flipped bit", |bytes| *bytes.last_mut().unwrap() ^= 1),
        ("flipped bit in the head", |bytes| bytes[54] ^= 0x20),
        ("cut", |bytes| bytes.truncate(bytes.len() - 1)),
        ("empty", Vec::clear),
        ("another version", |bytes| bytes[7] += 1),
        ("longer", |bytes| bytes.push(0)),
    ];
    for (name, damage) in damage {
        let folder = tempfile::tempdir().unwrap();
        let tier = open(folder.path(), 8 << 20).await;
        tier.put(key(1), entry(1, 5000)).await.unwrap();
        let file = blob_file(folder.path());
        let mut bytes = std::fs::read(&file).unwrap();
        damage(&mut bytes);
        std::fs::write(&file, bytes).unwrap();
        let done = tier.get(&key(1), &Unbounded).await;
        assert!(matches!(done, Err(Error::Damaged(_))), "{name}: {done:?}");
        assert_eq!(tier.stats().damaged.load(Ordering::Relaxed), 1, "{name}");
        assert_eq!(found(&tier, 1).await, None, "{name}");
        assert!(files(&folder.path().join("blobs")).is_empty(), "{name}");
        tier.put(key(1), entry(1, 5000)).await.unwrap();
        assert_eq!(found(&tier, 1).await, Some(entry(1, 5000)), "{name}");
    }
}

// CAC-033: an entry under the name of another one is refused.
#[tokio::test]
async fn a_renamed_file_is_not_returned_as_another_entry() {
    let folder = tempfile::tempdir().unwrap();
    let tier = open(folder.path(), 8 << 20).await;
    tier.put(key(7), entry(7, 100)).await.unwrap();
    tier.put(key(14), entry(14, 100)).await.unwrap();
    std::fs::rename(blob_file_of(&folder, 7), blob_file_of(&folder, 14)).unwrap();
    assert!(matches!(tier.get(&key(14), &Unbounded).await, Err(Error::Damaged(_))));
}

// CAC-030
#[tokio::test]
async fn the_folder_stays_within_its_capacity() {
    let folder = tempfile::tempdir().unwrap();
    let tier = open(folder.path(), 1 << 20).await;
    for n in 0..200 {
        tier.put(key(n), entry(n, 20_000)).await.unwrap();
        let bytes: u64 =
            files(&folder.path().join("blobs")).iter().map(|(_, len)| len.div_ceil(4096) * 4096).sum();
        assert!(bytes <= 1 << 20, "{bytes} bytes after {n}");
    }
    let figure = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    assert_eq!(figure(&tier.stats().evictions) + figure(&tier.stats().entries), 200);
    // What is replaced has not given way to others.
    let before = figure(&tier.stats().evictions);
    for _ in 0..3 {
        tier.put(key(199), entry(199, 20_000)).await.unwrap();
    }
    assert_eq!(figure(&tier.stats().evictions), before);
    drop(tier);
    // A smaller capacity at the next start is enforced, too.
    let tier = open(folder.path(), 512 << 10).await;
    let bytes: u64 = files(&folder.path().join("blobs")).iter().map(|(_, len)| len).sum();
    assert!(bytes <= 512 << 10, "{bytes}");
    assert!(tier.stats().entries.load(Ordering::Relaxed) > 10);
    assert!(matches!(tier.put(key(0), entry(0, 300 << 10)).await, Err(Error::TooLarge(_))));
}

// CAC-031
#[tokio::test]
async fn a_scan_of_ten_times_the_capacity_keeps_the_hot_set() {
    let folder = tempfile::tempdir().unwrap();
    let tier = open(folder.path(), 2 << 20).await;
    let hot = (2 << 20) / 4 / 4096;
    for n in 0..hot {
        tier.put(key(n), entry(n, 3000)).await.unwrap();
    }
    for n in (0..hot).chain(0..hot) {
        assert!(found(&tier, n).await.is_some());
    }
    for n in 0..10 * (2 << 20) / 4096 {
        tier.put(key(100_000 + n), entry(n, 3000)).await.unwrap();
    }
    let mut hits = 0;
    for n in 0..hot {
        hits += u32::from(found(&tier, n).await.is_some());
    }
    assert!(hits * 100 >= hot * 80, "{hits} of {hot}");
}

// CAC-035
#[test]
fn a_second_process_is_refused_with_the_name_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let first = FolderTier::open(folder.path(), 8 << 20).unwrap();
    let message = FolderTier::open(folder.path(), 8 << 20).unwrap_err().to_string();
    assert!(
        message.contains(folder.path().to_str().unwrap()) && message.contains("another process"),
        "{message}"
    );
    drop(first);
    FolderTier::open(folder.path(), 8 << 20).unwrap();
}

#[test]
fn the_error_of_a_folder_that_cannot_be_created_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let message = FolderTier::open(&file.join("cache"), 8 << 20).unwrap_err().to_string();
    assert!(message.contains("file/cache"), "{message}");
}

// CAC-034
#[tokio::test]
async fn after_its_removal_the_folder_is_created_again() {
    let folder = tempfile::tempdir().unwrap();
    let tier = open(folder.path(), 8 << 20).await;
    tier.put(key(1), entry(1, 5000)).await.unwrap();
    std::fs::remove_dir_all(folder.path()).unwrap();
    assert_eq!(found(&tier, 1).await, None);
    tier.put(key(1), entry(1, 5000)).await.unwrap();
    assert_eq!(found(&tier, 1).await, Some(entry(1, 5000)));
}

#[tokio::test]
async fn a_group_is_removed_and_a_sweep_decides_by_heads() {
    let folder = tempfile::tempdir().unwrap();
    let tier = open(folder.path(), 8 << 20).await;
    for n in 0..21 {
        tier.put(key(n), entry(n, 1000)).await.unwrap();
    }
    tier.remove_group(&key(3).group).await.unwrap();
    for n in 0..21 {
        assert_eq!(found(&tier, n).await.is_some(), n % 7 != 3, "{n}");
    }
    tier.retain(&|head| **head != *b"head 5").await.unwrap();
    assert!(found(&tier, 5).await.is_none() && found(&tier, 12).await.is_some());
    assert_eq!(files(&folder.path().join("blobs")).len(), 17);
}

// CAC-030, CAC-032, CAC-042: nothing in the folder keeps its entries from being found, counted and swept.
#[cfg(unix)]
#[tokio::test]
async fn odd_files_do_not_hide_entries() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("kept"), b"x").unwrap();
    let tier = open(folder.path(), 8 << 20).await;
    for n in 0..600 {
        tier.put(key(n), entry(n, 1000)).await.unwrap();
    }
    drop(tier);
    let of_entry = blob_file_of(&folder, 3);
    let spoil = || {
        let blobs = folder.path().join("blobs");
        for group in [blobs, of_entry.parent().unwrap().to_owned()] {
            symlink(&group, group.join("loop")).unwrap();
            symlink("self", group.join("self")).unwrap();
            symlink("/nowhere", group.join("dangling")).unwrap();
            symlink(outside.path(), group.join("outside")).unwrap();
            for name in [&b"\xff\xfe"[..], b"a\nb", b"..x", b"%2F", b"x#1"] {
                std::fs::write(group.join(OsStr::from_bytes(name)), b"y").unwrap();
            }
        }
    };
    spoil();
    let tier = open(folder.path(), 8 << 20).await;
    assert_eq!(tier.stats().entries.load(Ordering::Relaxed), 600);
    assert_eq!(files(&folder.path().join("blobs")).len(), 600);
    for n in 0..600 {
        assert_eq!(found(&tier, n).await, Some(entry(n, 1000)), "{n}");
    }
    spoil();
    tier.retain(&|head| **head != *b"head 599").await.unwrap();
    tier.remove_group(&key(3).group).await.unwrap();
    for n in 0..600 {
        assert_eq!(found(&tier, n).await.is_some(), n != 599 && n % 7 != 3, "{n}");
    }
    assert!(outside.path().join("kept").exists());
}

// CAC-034: on a tmpfs of 1 MiB, if this process may mount one.
#[tokio::test]
async fn a_full_disk_causes_misses_and_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    if !mount_tmpfs(folder.path(), "size=1m") {
        eprintln!("skipped: mounting is not permitted here");
        return;
    }
    let tier = open(folder.path(), 8 << 20).await;
    let mut failed = 0;
    for n in 0..200 {
        failed += u32::from(tier.put(key(n), entry(n, 30_000)).await.is_err());
        if let Some(read) = found(&tier, n).await {
            assert_eq!(read, entry(n, 30_000));
        }
    }
    assert!(failed > 0, "the disk was never full");
    assert!(failed < 100, "no room was made on the full disk: {failed} writes failed");
    assert_eq!(tier.stats().errors.load(Ordering::Relaxed), u64::from(failed));
    let mut kept = 0;
    for n in 0..200 {
        if let Some(read) = found(&tier, n).await {
            assert_eq!(read, entry(n, 30_000));
            kept += 1;
        }
    }
    assert!(kept >= 10, "{kept}");
    drop(tier);
    // It is full when the next process starts, too: what is there is found, and room is made for more.
    let filled = std::fs::write(folder.path().join("filler"), vec![1; 2 << 20]);
    assert_eq!(filled.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    let tier = open(folder.path(), 8 << 20).await;
    let mut still = 0;
    for n in 0..200 {
        still += u32::from(found(&tier, n).await.is_some());
    }
    assert_eq!(still, kept);
    let mut stored = 0;
    for n in 200..220 {
        stored += u32::from(tier.put(key(n), entry(n, 30_000)).await.is_ok());
    }
    assert!(stored > 0);
    drop(tier);
    rustix::mount::unmount(folder.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
}

fn mount_tmpfs(on: &Path, options: &str) -> bool {
    let options = std::ffi::CString::new(options).unwrap();
    rustix::mount::mount("tmpfs", on, "tmpfs", rustix::mount::MountFlags::empty(), Some(options.as_c_str()))
        .is_ok()
}
