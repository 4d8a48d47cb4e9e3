//! Purges: which entries a purge makes unusable, at once on this node and soon on the others.
//!
//! A purge is a marker with a time. Every entry is stamped with the time at which its computation began; an entry that
//! began before a matching marker is unusable wherever it is found, and is removed in the background. Other nodes read
//! markers from the shared store. Their clocks may differ by [`CLOCK_TOLERANCE`], so that entries of other nodes count
//! as older by that much: the price of a purge is a minute in which nodes do not share what it names. For its own
//! entries, a node goes by the time at which it learned of the purge.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use store::Bucket;
use url::{Host, Url};

use super::freshness::micros;
use super::keys::{SourceName, normal_host, normal_target};
use super::purge_file::{PurgeFile, sealed, unsealed};

/// Entries of one purge.
pub(crate) const MAX_TARGETS: usize = 100;
/// How far the clocks of two nodes may be apart.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);
/// Entries are not used when they are older, so that markers need not be kept longer.
pub(crate) const MAX_ENTRY_AGE: Duration = Duration::from_secs(30 * 24 * 3600);
/// More markers are replaced by one that names everything.
const MAX_MARKERS: usize = 10_000;
/// The folder of markers in the bucket, and the file of markers in the cache folder.
const MARKER_FOLDER: &str = "purges";
const MARKER_FILE: &str = "purges.jsonl";
const MAX_MARKER_BYTES: u64 = 1 << 20;
/// Markers that are read from the bucket in one round.
const MARKERS_AT_ONCE: usize = 1000;

/// What a purge names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    Everything,
    /// A URL, and the relative source behind it.
    Url {
        scheme: String,
        host: String,
        target: String,
    },
    /// A relative source of any host.
    Path(String),
    /// A host and the beginning of a path.
    Prefix {
        host: String,
        path: String,
    },
    Host(String),
    Tag(String),
}

/// The place of a scheme in targets for the relative source behind a URL only.
const RELATIVE: &str = "relative";

/// Each entry of a purge is one target or two: a port that may be the scheme's own is part of some names and not of others.
impl Target {
    /// A URL or a path that begins with `/`.
    pub(crate) fn file(text: &str) -> Result<Vec<Self>, String> {
        if text.starts_with('/') && !text.starts_with("//") {
            return Ok(vec![Self::Path(normal_target(text))]);
        }
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url =
            url.ok_or_else(|| format!("'{text}' is neither an http(s) URL nor a path that begins with '/'"))?;
        let SourceName { host, target, .. } = SourceName::absolute(&url);
        let behind = normal_host(&host);
        let relative = (behind != host).then(|| Self::Url {
            scheme: RELATIVE.to_owned(),
            host: behind,
            target: target.clone(),
        });
        let named = Self::Url { scheme: url.scheme().to_owned(), host, target };
        Ok(std::iter::once(named).chain(relative).collect())
    }

    /// `host/path`, with or without a scheme in front.
    pub(crate) fn prefix(text: &str) -> Result<Vec<Self>, String> {
        let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = normal_target(&format!("/{path}"));
        let hosts = host_names(host).ok_or_else(|| format!("'{text}' does not begin with a host"))?;
        Ok(hosts.into_iter().map(|host| Self::Prefix { host, path: path.clone() }).collect())
    }

    pub(crate) fn host(text: &str) -> Result<Vec<Self>, String> {
        let hosts = host_names(text).ok_or_else(|| format!("'{text}' is not a host"))?;
        Ok(hosts.into_iter().map(Self::Host).collect())
    }

    pub(crate) fn tag(text: &str) -> Result<Vec<Self>, String> {
        let tag = text.trim();
        if tag.is_empty() || tag.contains(',') {
            return Err(format!("'{text}' is not a tag: expected text without commas"));
        }
        Ok(vec![Self::Tag(tag.to_owned())])
    }
}

/// The names of sources on a host, as a URL has it: with every spelling of an address, in ASCII. Ports 80 and 443 are the
/// scheme's own or not; sources are named without their scheme here.
fn host_names(text: &str) -> Option<Vec<String>> {
    let (name, port) = match text.rsplit_once(':') {
        // An address without brackets has no port.
        Some(_) if text.parse::<Ipv6Addr>().is_ok() => (format!("[{text}]"), ""),
        Some((name, port)) if !port.ends_with(']') => (name.to_owned(), port),
        _ => (text.to_owned(), ""),
    };
    if !port.bytes().all(|digit| digit.is_ascii_digit()) || name.contains(['*', ' ']) {
        return None;
    }
    let name = Host::parse(&name).ok()?.to_string();
    if port.is_empty() {
        return Some(vec![name]);
    }
    let port: u16 = port.parse().ok()?;
    let with_port = format!("{name}:{port}");
    Some(if matches!(port, 80 | 443) { vec![name, with_port] } else { vec![with_port] })
}

/// A host without the dot at the end of its name, which makes no other host.
fn without_dot(host: &str) -> Cow<'_, str> {
    match host.rsplit_once(':') {
        Some((name, port)) if name.ends_with('.') => format!("{}:{port}", name.trim_end_matches('.')).into(),
        _ => host.trim_end_matches('.').into(),
    }
}

/// A target with its escapes in one spelling (RFC 3986, section 6.2.2): in capitals, and only of what needs them.
fn same_escapes(target: &str) -> Cow<'_, str> {
    if !target.contains('%') {
        return target.into();
    }
    let mut pieces = target.split('%');
    let mut same = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let digits = piece.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (byte, digits) {
            (Some(byte), _) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                same.push(char::from(byte));
            }
            (_, Some(digits)) => same.extend(["%", &digits.to_ascii_uppercase()]),
            (_, None) => same.push('%'),
        }
        same.push_str(&piece[digits.map_or(0, str::len)..]);
    }
    same.into()
}

/// The body of a purge request: exactly one kind.
#[derive(Debug, Deserialize)]
struct PurgeBody {
    files: Option<Vec<FileEntry>>,
    prefixes: Option<Vec<String>>,
    hosts: Option<Vec<String>>,
    tags: Option<Vec<String>>,
    purge_everything: Option<bool>,
}

/// The vendor also takes objects with a URL and the headers of a cache key; the headers do not matter here.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum FileEntry {
    Url(String),
    Object { url: String },
}

/// Reads the body of a purge request.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse(body: &[u8]) -> Result<Vec<Target>, String> {
    let body: PurgeBody =
        serde_json::from_slice(body).map_err(|e| format!("the body is not a purge request: {e}"))?;
    let kinds = [
        body.files.is_some(),
        body.prefixes.is_some(),
        body.hosts.is_some(),
        body.tags.is_some(),
        body.purge_everything.is_some(),
    ];
    if kinds.iter().filter(|there| **there).count() != 1 {
        return Err("expected exactly one of files, prefixes, hosts, tags and purge_everything".to_owned());
    }
    if let Some(everything) = body.purge_everything {
        let targets = everything.then(|| vec![Target::Everything]);
        return targets.ok_or_else(|| "purge_everything is false: nothing to purge".to_owned());
    }
    let files = body.files.unwrap_or_default().into_iter().map(|entry| match entry {
        FileEntry::Url(url) | FileEntry::Object { url } => Target::file(&url),
    });
    let prefixes = body.prefixes.unwrap_or_default();
    let hosts = body.hosts.unwrap_or_default();
    let tags = body.tags.unwrap_or_default();
    let targets: Vec<Vec<Target>> = files
        .chain(prefixes.iter().map(|text| Target::prefix(text)))
        .chain(hosts.iter().map(|text| Target::host(text)))
        .chain(tags.iter().map(|text| Target::tag(text)))
        .collect::<Result<_, _>>()?;
    match targets.len() {
        0 => Err("nothing to purge: the list is empty".to_owned()),
        1..=MAX_TARGETS => Ok(targets.concat()),
        n => Err(format!("{n} entries, and at most {MAX_TARGETS} are possible at once")),
    }
}

/// What an entry was made of, as purges name it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Subject {
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) sources: Vec<SourceName>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) tags: Vec<String>,
}

/// When and by whom an entry was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    pub(crate) node: u64,
    /// Microseconds since 1970, when the computation began.
    pub(crate) began: u64,
}

/// One purge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marker {
    pub(super) node: u64,
    /// Microseconds since 1970.
    pub(super) time: u64,
    pub(super) targets: Vec<Target>,
    /// When this node learned of it, by this node's clock, if the purge was another's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) learned: Option<u64>,
}

impl Marker {
    fn name(&self) -> String {
        format!("{:020}-{:016x}.json", self.time, self.node)
    }

    fn moment(&self) -> Moment {
        Moment { node: self.node, time: self.time, learned: self.learned }
    }

    /// No entry that began later is concerned.
    fn reach(&self) -> u64 {
        self.time.saturating_add(micros_of(CLOCK_TOLERANCE)).max(self.learned.unwrap_or(0))
    }
}

/// When a purge was made, where, and when this node learned of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Moment {
    node: u64,
    time: u64,
    learned: Option<u64>,
}

impl Moment {
    /// Whether the purge may have followed the beginning of an entry with this stamp; `own` is this node.
    fn may_follow(self, stamp: Stamp, own: u64) -> bool {
        let latest = match self.learned {
            Some(learned) if stamp.node == own => learned,
            _ if stamp.node == self.node => self.time,
            _ => self.time.saturating_add(micros_of(CLOCK_TOLERANCE)),
        };
        stamp.began <= latest
    }
}

/// Purges of one name. Of those that count for the same entries only the last is kept.
#[derive(Debug, Default)]
struct Moments(Vec<Moment>);

impl Moments {
    fn add(&mut self, moment: Moment) {
        let alike = |other: &&mut Moment| {
            other.node == moment.node && other.learned.is_some() == moment.learned.is_some()
        };
        match self.0.iter_mut().find(alike) {
            Some(other) => {
                other.time = other.time.max(moment.time);
                other.learned = other.learned.max(moment.learned);
            }
            None => self.0.push(moment),
        }
    }

    fn may_follow(&self, stamp: Stamp, own: u64) -> bool {
        self.0.iter().any(|moment| moment.may_follow(stamp, own))
    }
}

/// What purges name, so that the cost of a hit does not grow with the number of purges. Names are kept as hashes: two that
/// collide cost a hit.
#[derive(Debug, Default)]
struct PurgeIndex {
    hasher: RandomState,
    names: HashMap<u64, Moments>,
    /// By the hash of their host.
    prefixes: HashMap<u64, Vec<(String, Moments)>>,
}

#[derive(Hash)]
enum Name<'a> {
    Everything,
    Url(&'a str, &'a str, &'a str),
    Path(&'a str),
    PrefixesOf(&'a str),
    Host(&'a str),
    Tag(&'a str),
}

impl PurgeIndex {
    fn of(markers: &[Marker]) -> Self {
        let mut index = Self::default();
        markers.iter().for_each(|marker| index.add(marker));
        index
    }

    fn add(&mut self, marker: &Marker) {
        for target in &marker.targets {
            let (tag, host) = match target {
                Target::Tag(tag) => (normal_tag(tag), Cow::default()),
                Target::Url { host, .. } | Target::Prefix { host, .. } | Target::Host(host) => {
                    (String::new(), without_dot(host))
                }
                Target::Everything | Target::Path(_) => Default::default(),
            };
            let path = match target {
                Target::Url { target, .. } | Target::Path(target) => same_escapes(target),
                Target::Prefix { path, .. } => same_escapes(path),
                _ => Cow::default(),
            };
            let name = match target {
                Target::Everything => Name::Everything,
                Target::Url { scheme, .. } => Name::Url(scheme, &host, &path),
                Target::Path(_) => Name::Path(&path),
                Target::Host(_) => Name::Host(&host),
                Target::Tag(_) => Name::Tag(&tag),
                Target::Prefix { .. } => {
                    let prefixes =
                        self.prefixes.entry(self.hasher.hash_one(Name::PrefixesOf(&host))).or_default();
                    match prefixes.iter_mut().find(|(other, _)| *other == path) {
                        Some((_, moments)) => moments.add(marker.moment()),
                        None => {
                            let mut moments = Moments::default();
                            moments.add(marker.moment());
                            prefixes.push((path.into_owned(), moments));
                        }
                    }
                    continue;
                }
            };
            self.names.entry(self.hasher.hash_one(name)).or_default().add(marker.moment());
        }
    }

    /// Whether a purge that `follows` names one of an entry's sources or tags, or a source as it is asked for now.
    fn names(&self, subject: &Subject, asked: &[&SourceName], follows: impl Fn(&Moments) -> bool) -> bool {
        let is_named = |name: Name<'_>| self.names.get(&self.hasher.hash_one(name)).is_some_and(&follows);
        let is_source = |source: &SourceName| {
            let (host, target) = (&*without_dot(&source.host), &*same_escapes(&source.target));
            let by_url = match source.scheme.as_deref() {
                Some(scheme) => is_named(Name::Url(scheme, host, target)),
                // A URL names the relative source behind it, too.
                None => {
                    is_named(Name::Path(target))
                        || ["http", "https", RELATIVE]
                            .iter()
                            .any(|scheme| is_named(Name::Url(scheme, host, target)))
                }
            };
            let by_prefix = || {
                let prefixes = self.prefixes.get(&self.hasher.hash_one(Name::PrefixesOf(host)));
                let mut named =
                    prefixes.into_iter().flatten().filter(|(path, _)| target.starts_with(path.as_str()));
                named.any(|(_, moments)| follows(moments))
            };
            by_url || is_named(Name::Host(host)) || by_prefix()
        };
        is_named(Name::Everything)
            || subject.sources.iter().chain(asked.iter().copied()).any(is_source)
            || subject.tags.iter().any(|tag| is_named(Name::Tag(&normal_tag(tag))))
    }
}

/// Tags are compared without regard to case, as the vendor does.
fn normal_tag(tag: &str) -> String {
    tag.to_lowercase()
}

fn micros_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// All purges that can still matter.
#[derive(Debug)]
pub(crate) struct Purges {
    node: u64,
    /// The last time given out, so that this node's clock never goes back.
    clock: AtomicU64,
    markers: RwLock<Markers>,
    file: Option<Arc<PurgeFile>>,
    bucket: Option<Bucket>,
}

#[derive(Debug, Default)]
struct Markers {
    /// By reach.
    list: Vec<Marker>,
    index: PurgeIndex,
    seen: HashSet<String>,
    /// The markers of the bucket are known.
    shared_known: bool,
}

impl Purges {
    /// Reads the markers of the cache folder.
    ///
    /// # Errors
    /// A message that names the file.
    pub(crate) fn open(folder: Option<PathBuf>, bucket: Option<Bucket>) -> Result<Self, String> {
        let now = micros(SystemTime::now());
        let mut markers = Markers { shared_known: bucket.is_none(), ..Markers::default() };
        let mut node = random();
        let mut file = None;
        if let Some(folder) = folder {
            let path = folder.join("node");
            let known = std::fs::read_to_string(&path).ok();
            let known = known.and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
            match known {
                Some(known) => node = known,
                None => std::fs::write(&path, format!("{node:016x}\n"))
                    .map_err(|e| format!("cache-dir: {}: {e}", path.display()))?,
            }
            let purges = PurgeFile::new(folder.join(MARKER_FILE));
            let mut read = purges.read();
            // A folder that was used before has one.
            if read.missing && known.is_some() {
                read.damage = Some("it was removed".to_owned());
            }
            read.markers.into_iter().for_each(|marker| markers.add(marker));
            // A purge that cannot be read may have named anything: rather a miss than a stale hit.
            if let Some(problem) = read.damage {
                tracing::warn!(
                    "cache: {}: {problem}; all that is kept counts as purged",
                    purges.path().display()
                );
                let time = now.max(markers.newest(node));
                markers.add(Marker { node, time, targets: vec![Target::Everything], learned: None });
            }
            file = Some(Arc::new(purges));
        }
        markers.forget_old(now);
        let newest = markers.newest(node);
        let purges = Self {
            node,
            clock: AtomicU64::new(newest.max(now)),
            markers: RwLock::new(markers),
            file,
            bucket,
        };
        purges.rewrite_file();
        Ok(purges)
    }

    fn read(&self) -> RwLockReadGuard<'_, Markers> {
        self.markers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Markers> {
        self.markers.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// A time after all times given before.
    fn tick(&self) -> u64 {
        let now = micros(SystemTime::now());
        let before = self.clock.fetch_max(now, Ordering::AcqRel);
        if now > before { now } else { self.clock.fetch_add(1, Ordering::AcqRel) + 1 }
    }

    /// The stamp of a computation that begins now.
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp { node: self.node, began: self.tick() }
    }

    /// Whether an entry may be used: no purge that names it may have followed its beginning. A relative source may have been
    /// kept when it was asked for under another host than now: `asked` are the names that the request has for the sources.
    pub(crate) fn allow(&self, stamp: Stamp, subject: &Subject, asked: &[&SourceName]) -> bool {
        let markers = self.read();
        if stamp.node != self.node && !markers.shared_known {
            return false;
        }
        let oldest = micros(SystemTime::now()).saturating_sub(micros_of(MAX_ENTRY_AGE));
        if stamp.began < oldest {
            return false;
        }
        // Most entries are newer than all purges.
        if markers.list.last().is_none_or(|last| last.reach() < stamp.began) {
            return true;
        }
        !markers.index.names(subject, asked, |moments| moments.may_follow(stamp, self.node))
    }

    /// Makes a purge count on this node from now on.
    pub(crate) fn mark(&self, targets: Vec<Target>) -> Marker {
        // Under the lock: what is stamped later sees the marker.
        let mut markers = self.write();
        let marker = Marker { node: self.node, time: self.tick(), targets, learned: None };
        markers.add(marker.clone());
        marker
    }

    /// Makes a purge count after a restart and on the other nodes, too.
    ///
    /// # Errors
    /// Where the purge could not be written.
    pub(crate) async fn publish(&self, marker: &Marker) -> Result<(), String> {
        let line = sealed(marker)?;
        if let Some(file) = self.file.clone() {
            let line = line.clone();
            let written = tokio::task::spawn_blocking(move || file.append(&line)).await;
            written
                .map_err(|e| e.to_string())?
                .map_err(|e| format!("the purge could not be written: {e}"))?;
        }
        if let Some(bucket) = &self.bucket {
            let name = format!("{MARKER_FOLDER}/{}", marker.name());
            let written = bucket.write(&name, Bytes::from(line)).await;
            written.map_err(|e| format!("the purge did not reach the shared store: {e}"))?;
        }
        Ok(())
    }

    /// Reads the purges of other nodes. Returns whether there were new ones.
    ///
    /// # Errors
    /// What could not be read.
    pub(crate) async fn poll(&self) -> Result<bool, store::Error> {
        let Some(bucket) = &self.bucket else { return Ok(false) };
        let now = micros(SystemTime::now());
        let oldest = now.saturating_sub(micros_of(MAX_ENTRY_AGE + CLOCK_TOLERANCE));
        // Clocks differ: what came late may have an earlier name.
        let after = match self.read().shared_known {
            true => now.saturating_sub(2 * micros_of(CLOCK_TOLERANCE)).max(oldest),
            false => oldest,
        };
        let mut after = format!("{after:020}");
        let mut news = false;
        loop {
            let names = bucket.list(MARKER_FOLDER, &after, MARKERS_AT_ONCE).await?;
            for name in &names {
                if self.read().seen.contains(name) {
                    continue;
                }
                let bytes = bucket.read(&format!("{MARKER_FOLDER}/{name}"), MAX_MARKER_BYTES).await?;
                let Some(bytes) = bytes else { continue };
                // A marker that cannot be read names everything: rather a miss than a stale hit.
                let marker = unsealed(&bytes).unwrap_or_else(|_| Marker {
                    node: 0,
                    time: name.get(..20).and_then(|t| t.parse().ok()).unwrap_or(now),
                    targets: vec![Target::Everything],
                    learned: None,
                });
                news |= self.learn(name, marker);
            }
            match names.into_iter().last() {
                Some(last) => after = last,
                None => break,
            }
        }
        let mut markers = self.write();
        markers.shared_known = true;
        markers.forget_old(now);
        drop(markers);
        if news {
            self.rewrite_file();
        }
        Ok(news)
    }

    /// Adds a marker that was found in the bucket. Returns whether it is another's.
    fn learn(&self, name: &str, marker: Marker) -> bool {
        let mut markers = self.write();
        markers.seen.insert(name.to_owned());
        if marker.node == self.node {
            return false;
        }
        markers.add(Marker { learned: Some(self.tick()), ..marker });
        true
    }

    /// Writes the file anew with the markers that still matter.
    fn rewrite_file(&self) {
        let Some(file) = &self.file else { return };
        if let Err(e) = file.rewrite(|| self.read().list.clone()) {
            tracing::warn!("cache: {}: {e}", file.path().display());
        }
    }
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    // Without randomness the time tells nodes apart.
    if getrandom::fill(&mut bytes).is_err() {
        return micros(SystemTime::now());
    }
    u64::from_le_bytes(bytes)
}

impl Markers {
    /// The last time of a purge, by the clock of this node.
    fn newest(&self, node: u64) -> u64 {
        let own_time = |m: &Marker| m.learned.or((m.node == node).then_some(m.time));
        self.list.iter().filter_map(own_time).max().unwrap_or(0)
    }

    fn add(&mut self, marker: Marker) {
        let at = self.list.partition_point(|other| other.reach() <= marker.reach());
        self.index.add(&marker);
        self.list.insert(at, marker);
        if self.list.len() > MAX_MARKERS {
            let older: Vec<Marker> = self.list.drain(..MAX_MARKERS / 2).collect();
            if let Some(last) = older.last() {
                let time = older.iter().map(|m| m.time).max().unwrap_or(0);
                let learned = Some(last.reach());
                self.list.insert(0, Marker { node: 0, time, targets: vec![Target::Everything], learned });
            }
            self.index = PurgeIndex::of(&self.list);
        }
    }

    /// No entry is old enough for these any more.
    fn forget_old(&mut self, now: u64) {
        let oldest = now.saturating_sub(micros_of(MAX_ENTRY_AGE + CLOCK_TOLERANCE));
        let before = self.list.len();
        self.list.retain(|marker| marker.reach() >= oldest);
        if self.list.len() < before {
            self.index = PurgeIndex::of(&self.list);
        }
        let oldest = format!("{oldest:020}");
        self.seen.retain(|name| *name >= oldest);
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::{Marker, Markers, PurgeIndex, Purges, Stamp, Subject, Target, parse};
    use crate::cache::keys::SourceName;

    fn absolute(url: &str) -> SourceName {
        SourceName::absolute(&Url::parse(url).unwrap())
    }

    fn relative(host: &str, target: &str) -> SourceName {
        SourceName::relative(Some(host), target)
    }

    fn of(source: SourceName) -> Subject {
        Subject { sources: vec![source], tags: vec!["product-17".to_owned()] }
    }

    fn of_tag(tag: &str) -> Subject {
        Subject { sources: vec![], tags: vec![tag.to_owned()] }
    }

    fn index_of(targets: Vec<Target>) -> PurgeIndex {
        PurgeIndex::of(&[Marker { node: 1, time: 1, targets, learned: None }])
    }

    // CAC-042
    #[test]
    fn targets_name_sources() {
        let cases: [(Result<Vec<Target>, String>, SourceName, bool); 30] = [
            (Target::file("https://shop.example/a.jpg"), absolute("https://shop.example/a.jpg"), true),
            (Target::file("https://SHOP.example:443/a.jpg"), absolute("https://shop.example/a.jpg"), true),
            (Target::file("https://shop.example/a.jpg"), absolute("http://shop.example/a.jpg"), false),
            (Target::file("https://shop.example/a.jpg"), absolute("https://shop.example/a.jpg?v=2"), false),
            (
                Target::file("https://shop.example/a.jpg?v=2"),
                absolute("https://shop.example/a.jpg?v=2"),
                true,
            ),
            (Target::file("https://shop.example/a.jpg"), relative("shop.example", "/a.jpg"), true),
            (Target::file("https://other.example/a.jpg"), relative("shop.example", "/a.jpg"), false),
            (Target::file("/uploads/b.jpg"), relative("shop.example", "/uploads/b.jpg"), true),
            (Target::file("/uploads/b.jpg"), relative("other.example", "/uploads/b.jpg"), true),
            (Target::file("/uploads/b.jpg"), absolute("https://shop.example/uploads/b.jpg"), false),
            (Target::file("/uploads/b%20c.jpg"), relative("a", "/uploads/b c.jpg"), true),
            (Target::file("/a%7eb%c3%a9.jpg"), relative("a", "/a~b%C3%A9.jpg"), true),
            (Target::file("/a~b\u{e9}.jpg"), relative("a", "/%61%7Eb%c3%a9.jpg"), true),
            (Target::file("https://shop.example/%c3?%7E"), absolute("https://shop.example/%C3?~"), true),
            (Target::file("/a%2fb%"), relative("a", "/a%2Fb%"), true),
            (Target::file("/a%2fb"), relative("a", "/a/b"), false),
            (Target::prefix("shop.example/%c3%a9/"), relative("shop.example", "/%C3%A9/x"), true),
            (Target::prefix("shop.example/uploads/"), absolute("https://shop.example/uploads/x"), true),
            (Target::prefix("shop.example/uploads/"), relative("shop.example", "/uploads/x"), true),
            (Target::prefix("shop.example/uploads/"), absolute("https://shop.example/upload"), false),
            (Target::prefix("https://shop.example"), absolute("http://shop.example/x"), true),
            (Target::prefix("shop.example/u"), absolute("https://shop.example.evil/u"), false),
            (Target::prefix("shop.example/\u{e4} b/"), absolute("https://shop.example/\u{e4} b/c"), true),
            (Target::prefix("shop.example/a/./b"), relative("shop.example", "/a/b.jpg"), true),
            (Target::host("shop.example"), absolute("https://shop.example/x"), true),
            (Target::host("Shop.Example:80"), relative("shop.example", "/x"), true),
            (Target::host("shop.example"), absolute("http://shop.example:8080/x"), false),
            (Target::host("shop.example:8080"), absolute("http://shop.example:8080/x"), true),
            (Target::tag("PRODUCT-17"), relative("a", "/x"), true),
            (Target::tag("product-1"), relative("a", "/x"), false),
        ];
        for (target, source, expected) in cases {
            let target = target.unwrap();
            let index = index_of(target.clone());
            let (kept, other) = (of(source.clone()), of(relative("elsewhere.example", "/else")));
            assert_eq!(index.names(&kept, &[], |_| true), expected, "{target:?} and {source:?}");
            let by_name = expected && !matches!(target[..], [Target::Tag(_)]);
            assert_eq!(
                index.names(&of_tag("t"), &[&source], |_| true),
                by_name,
                "{target:?} asked for {source:?}"
            );
            assert!(
                !index.names(&other, &[], |_| true) || matches!(target[..], [Target::Tag(_)]),
                "{target:?}"
            );
            assert!(!index.names(&kept, &[], |_| false));
        }
        assert!(index_of(vec![Target::Everything]).names(&Subject::default(), &[], |_| true));
    }

    // CAC-042: whatever the spelling, what is purged is what the URL of a source names.
    #[test]
    fn every_spelling_of_a_host_names_its_sources() {
        let relative = |host: &str| relative(host, "/p/x");
        let absolute = |host: &str| absolute(&format!("{host}/p/x"));
        let cases = [
            (
                "h.example:443",
                vec![
                    relative("h.example:443"),
                    absolute("https://h.example"),
                    absolute("http://h.example:443"),
                ],
            ),
            (
                "h.example:80",
                vec![
                    relative("h.example:80"),
                    absolute("http://h.example"),
                    absolute("https://h.example:80"),
                ],
            ),
            ("h.example:08080", vec![relative("h.example:8080"), absolute("http://h.example:8080")]),
            ("h.example:", vec![relative("h.example"), absolute("http://h.example")]),
            (
                "H.example.",
                vec![relative("h.example."), absolute("http://h.example."), absolute("http://h.example")],
            ),
            ("h.example.:8080", vec![relative("h.example.:8080"), absolute("http://h.example.:8080")]),
            ("bücher.example", vec![relative("xn--bcher-kva.example"), absolute("http://bücher.example")]),
            ("BÜCHER.example:8080", vec![absolute("http://xn--bcher-kva.example:8080")]),
            ("b%C3%BCcher.example", vec![absolute("http://bücher.example")]),
            ("xn--bcher-kva.example", vec![absolute("http://bücher.example")]),
            ("127.1", vec![absolute("http://127.0.0.1"), absolute("http://2130706433")]),
            ("0x7f.1:8080", vec![relative("127.0.0.1:8080"), absolute("http://127.0.0.1:8080")]),
            ("[0:0::1]:8080", vec![relative("[::1]:8080"), absolute("http://[::1]:8080")]),
            ("[0:0:0:0:0:0:0:1]", vec![relative("[::1]"), absolute("http://[::1]")]),
            ("0:0::1", vec![absolute("http://[::1]")]),
        ];
        for (host, sources) in cases {
            let other = of(absolute("http://h.example:81"));
            let mut purges = vec![Target::host(host), Target::prefix(&format!("{host}/p/"))];
            if host != "0:0::1" {
                purges.push(Target::prefix(&format!("http://{host}/p/")));
            }
            for targets in purges {
                let index = index_of(targets.unwrap());
                for source in &sources {
                    assert!(index.names(&of(source.clone()), &[], |_| true), "{host}: {source:?}");
                }
                assert!(!index.names(&other, &[], |_| true), "{host}");
            }
        }
        for (url, source) in [
            ("http://h.example:443/p/x", relative("h.example:443")),
            ("https://h.example:80/p/x", relative("h.example:80")),
            ("http://h.example./p/x", relative("h.example.")),
            ("http://bücher.example./p/x", relative("xn--bcher-kva.example")),
        ] {
            assert!(index_of(Target::file(url).unwrap()).names(&of(source), &[], |_| true), "{url}");
        }
        let index = index_of(Target::file("http://h.example:443/p/x").unwrap());
        assert!(!index.names(&of(absolute("http://h.example")), &[], |_| true));
        for bad in [
            "h:x",
            "h:70000",
            "h:-1",
            "h:80:80",
            "a b",
            "*.h",
            "[::1",
            "::1]:80",
            "h@i",
            "h?",
            "h#",
            "h%2f",
            ":80",
            "1.2.3.4.5",
        ] {
            assert!(Target::host(bad).is_err(), "{bad}");
        }
    }

    // CAC-043
    #[test]
    fn a_request_has_one_kind_and_at_most_a_hundred_entries() {
        assert_eq!(parse(br#"{"purge_everything":true}"#).unwrap(), [Target::Everything]);
        assert_eq!(parse(br#"{"files":["/a",{"url":"/b","headers":{}}]}"#).unwrap().len(), 2);
        let many = |n: usize| format!(r#"{{"tags":{:?}}}"#, vec!["t"; n]);
        assert_eq!(parse(many(100).as_bytes()).unwrap().len(), 100);
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"files":[]}"#,
            r#"{"files":["a.jpg"]}"#,
            r#"{"files":["ftp://host/a"]}"#,
            r#"{"files":["//host/a"]}"#,
            r#"{"files":["/a"],"tags":["b"]}"#,
            r#"{"hosts":["a/b"]}"#,
            r#"{"hosts":[""]}"#,
            r#"{"prefixes":["/x"]}"#,
            r#"{"tags":["a,b"]}"#,
            r#"{"tags":"a"}"#,
            r#"{"purge_everything":false}"#,
            r#"{"purge_everything":1}"#,
            &many(101),
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    // CAC-040, CAC-041
    #[tokio::test]
    async fn what_began_before_a_purge_is_unusable_and_what_began_after_it_is_not() {
        let purges = Purges::open(None, None).unwrap();
        let subject = of(relative("a", "/x"));
        let before = purges.stamp();
        assert!(purges.allow(before, &subject, &[]));
        let marker = purges.mark(Target::file("/x").unwrap());
        purges.publish(&marker).await.unwrap();
        let after = purges.stamp();
        assert!(!purges.allow(before, &subject, &[]));
        assert!(purges.allow(after, &subject, &[]));
        assert!(purges.allow(before, &of(relative("a", "/y")), &[]));
        // Kept when it was asked for under one host, and purged under another.
        let marker = purges.mark(Target::file("https://b.example/y").unwrap());
        purges.publish(&marker).await.unwrap();
        let (kept, now) = (of(relative("a", "/y")), relative("b.example", "/y"));
        assert!(purges.allow(before, &kept, &[&relative("a", "/y")]));
        assert!(!purges.allow(before, &kept, &[&now]) && purges.allow(purges.stamp(), &kept, &[&now]));
    }

    // CAC-052
    #[test]
    fn clocks_may_differ_by_a_minute() {
        let targets = vec![Target::Everything];
        let whole = Marker { node: 1, time: 100_000_000, targets, learned: None };
        let marker = whole.moment();
        let by = |node, began| Stamp { node, began };
        assert!(marker.may_follow(by(1, 100_000_000), 1) && !marker.may_follow(by(1, 100_000_001), 1));
        assert!(marker.may_follow(by(2, 160_000_000), 1) && !marker.may_follow(by(2, 160_000_001), 1));
        // On the node that learns of it, whose clock may be behind or ahead.
        for learned in [50_000_000, 300_000_000] {
            let marker = Marker { learned: Some(learned), ..whole.clone() }.moment();
            assert!(marker.may_follow(by(2, learned), 2) && !marker.may_follow(by(2, learned + 1), 2));
            assert!(marker.may_follow(by(1, 100_000_000), 2) && !marker.may_follow(by(1, 100_000_001), 2));
            assert!(marker.may_follow(by(3, 160_000_000), 2) && !marker.may_follow(by(3, 160_000_001), 2));
            let reach = Marker { learned: Some(learned), ..whole.clone() }.reach();
            assert!(reach >= learned && reach >= 160_000_000);
        }
    }

    // CAC-040, CAC-052: of many purges of one name all count, and only the last is looked at.
    #[test]
    fn purges_of_one_name_are_looked_at_once() {
        let mut markers = Markers::default();
        for n in 0..1000 {
            let (node, learned) = (n % 4, (n % 4 != 1).then_some(1000 + n));
            markers.add(Marker { node, time: n, targets: vec![Target::Tag("T".to_owned())], learned });
        }
        let looked_at = std::cell::Cell::new(0);
        for began in 0..2100 {
            for (node, own) in [(1, 1), (0, 1), (2, 1), (7, 1)] {
                let stamp = Stamp { node, began };
                let named = markers.index.names(&of_tag("t"), &[], |moments| {
                    looked_at.set(looked_at.get().max(moments.0.len()));
                    moments.may_follow(stamp, own)
                });
                let expected = markers.list.iter().any(|marker| marker.moment().may_follow(stamp, own));
                assert_eq!(named, expected, "{stamp:?}");
            }
        }
        assert_eq!(looked_at.get(), 4);
    }

    // CAC-044: what a node makes after it learned of another's purge is used at once.
    #[test]
    fn a_node_goes_by_the_time_at_which_it_learned_of_a_purge() {
        let purges = Purges::open(None, None).unwrap();
        let (subject, before) = (of(relative("a", "/x")), purges.stamp());
        let targets = Target::tag("product-17").unwrap();
        let marker =
            Marker { node: purges.node ^ 1, time: before.began + 30_000_000, targets, learned: None };
        assert!(purges.learn("1.json", marker));
        assert!(!purges.allow(before, &subject, &[]));
        assert!(purges.allow(purges.stamp(), &subject, &[]));
        assert!(purges.allow(before, &of_tag("other"), &[]));
    }

    // CAC-032, CAC-040: a purge outlives the process, a torn line does not hurt.
    #[tokio::test]
    async fn purges_are_known_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Purges::open(Some(folder.path().to_owned()), None).unwrap();
        let purges = open();
        let (subject, before) = (of(relative("a", "/x")), purges.stamp());
        let marker = purges.mark(Target::file("/x").unwrap());
        purges.publish(&marker).await.unwrap();
        let after = purges.stamp();
        drop(purges);
        let file = folder.path().join("purges.jsonl");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{text}{}", &text[..20])).unwrap();
        let purges = open();
        assert!(!purges.allow(before, &subject, &[]));
        assert!(purges.allow(after, &subject, &[]));
    }

    // CAC-040, CAC-032: a list that cannot be read may have named anything.
    #[tokio::test]
    async fn damaged_purges_are_purges_of_everything() {
        type Damage = fn(&std::path::Path);
        let damage: [(&str, Damage); 5] = [
            ("a bit that is no UTF-8", |file| {
                let mut bytes = std::fs::read(file).unwrap();
                bytes[5] ^= 0x80;
                std::fs::write(file, bytes).unwrap();
            }),
            ("another name", |file| {
                let text = std::fs::read_to_string(file).unwrap();
                std::fs::write(file, text.replace("/x", "/y")).unwrap();
            }),
            ("no last line break", |file| {
                let mut bytes = std::fs::read(file).unwrap();
                *bytes.last_mut().unwrap() ^= 1;
                std::fs::write(file, bytes).unwrap();
            }),
            ("removed", |file| std::fs::remove_file(file).unwrap()),
            ("a folder", |file| {
                std::fs::remove_file(file).unwrap();
                std::fs::create_dir(file).unwrap();
            }),
        ];
        for (name, damage) in damage {
            let folder = tempfile::tempdir().unwrap();
            let open = || Purges::open(Some(folder.path().to_owned()), None).unwrap();
            let purges = open();
            let (subject, before) = (of(relative("a", "/x")), purges.stamp());
            let marker = purges.mark(Target::file("/x").unwrap());
            purges.publish(&marker).await.unwrap();
            drop(purges);
            damage(&folder.path().join("purges.jsonl"));
            for _ in 0..2 {
                let purges = open();
                assert!(!purges.allow(before, &subject, &[]), "{name}");
                assert!(purges.allow(purges.stamp(), &subject, &[]), "{name}");
            }
        }
    }

    // Bounded: many purges become one of everything.
    #[test]
    fn too_many_markers_become_one() {
        let mut markers = Markers::default();
        for time in 0..25_000 {
            markers.add(Marker { node: 1, time, targets: vec![Target::Tag("t".to_owned())], learned: None });
            assert!(markers.list.len() <= super::MAX_MARKERS);
        }
        assert_eq!(markers.list[0].targets, [Target::Everything]);
        assert!(markers.list.is_sorted_by_key(|m| m.time));
        markers.forget_old(super::micros_of(super::MAX_ENTRY_AGE) * 2);
        assert!(markers.list.is_empty());
    }
}
