//! Limits what the process may do after its start (OPS-060): Landlock limits the files that it may open, seccomp refuses
//! system calls that only an attacker needs. A kernel without one of them is no error.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, path_beneath_rules,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

/// The newest version of Landlock whose file rights are used. An older kernel enforces those that it knows.
const NEWEST: ABI = ABI::V5;

/// What a service reads while it runs, besides its own files: name resolution, certificates, time zones, libraries that
/// the C library loads for them, and the limits of processor and memory. None of it is secret.
const SYSTEM: &[&str] = &[
    "/dev/null",
    "/dev/random",
    "/dev/urandom",
    "/etc/ca-certificates",
    "/etc/certs",
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/openssl",
    "/etc/pki",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl",
    "/lib",
    "/lib64",
    "/nix/store",
    "/opt/etc/ssl",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/self",
    "/proc/stat",
    "/proc/sys",
    "/run/NetworkManager",
    "/run/resolvconf",
    "/run/systemd/resolve",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/etc/openssl",
    "/usr/local/lib",
    "/usr/local/share/ca-certificates",
    "/usr/local/share/certs",
    "/usr/local/ssl",
    "/usr/share/ca-certificates",
    "/usr/share/zoneinfo",
];

/// Names parts of the sandbox that are to be taken as missing: `landlock`, `seccomp`, or both with a comma between. For
/// tests of kernels without them.
const ASSUME_MISSING: &str = "SANDBOX_ASSUME_MISSING";

/// The files that the process may open.
#[derive(Debug, Default)]
pub(crate) struct Files {
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
    sockets: Vec<PathBuf>,
}

impl Files {
    /// What the system provides.
    pub(crate) fn system() -> Self {
        let mut files = Self::default();
        files.read.extend(SYSTEM.iter().map(PathBuf::from));
        // Where the TLS library is told to look for certificates.
        for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
            files.read.extend(std::env::var_os(name).iter().flat_map(std::env::split_paths));
        }
        files.write.push("/dev/null".into());
        files
    }

    /// Folders in which sockets may be created and removed.
    pub(crate) fn sockets(mut self, folders: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        self.sockets.extend(folders.into_iter().map(Into::into));
        self
    }

    /// Files, or folders with everything in them, that may be read. One that does not exist is left out.
    pub(crate) fn read(mut self, paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        self.read.extend(paths.into_iter().map(Into::into));
        self
    }

    /// Files, or folders with everything in them, that may be read, created, written and removed.
    pub(crate) fn write(mut self, paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        self.write.extend(paths.into_iter().map(Into::into));
        self
    }
}

/// The folder in which a path is created.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The system calls that are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Calls {
    /// For a service that has its listening sockets: it may connect, but not listen.
    Service,
    /// For work on files: no sockets at all.
    FilesOnly,
}

/// What a part of the sandbox came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Enforced,
    /// The kernel is older than the rules: it enforces some of them.
    Partly,
    Missing(String),
}

impl Outcome {
    /// Logs what is in force. `what` is the part of the sandbox.
    pub(crate) fn log(&self, what: &str) {
        match self {
            Self::Enforced => tracing::info!("sandbox: {what} in force"),
            Self::Partly => tracing::info!("sandbox: {what} in force, as far as this kernel supports it"),
            Self::Missing(why) => tracing::warn!("sandbox: {what} not in force: {why}"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enforced => f.write_str("enforced"),
            Self::Partly => f.write_str("partly enforced"),
            Self::Missing(why) => write!(f, "not enforced: {why}"),
        }
    }
}

fn assumed_missing(part: &str) -> Option<Outcome> {
    let parts = std::env::var(ASSUME_MISSING).unwrap_or_default();
    let missing = parts.split(',').any(|one| one == part);
    missing.then(|| Outcome::Missing(format!("{ASSUME_MISSING} names {part}")))
}

/// Limits the files that the calling thread, and the threads that it starts from now on, may open. No file may be executed.
/// Files that are open stay usable.
pub(crate) fn restrict_files(files: &Files) -> Outcome {
    assumed_missing("landlock").unwrap_or_else(|| match landlock(files) {
        Ok(RulesetStatus::FullyEnforced) => Outcome::Enforced,
        Ok(RulesetStatus::PartiallyEnforced) => Outcome::Partly,
        Ok(RulesetStatus::NotEnforced) => Outcome::Missing("this kernel has no Landlock".to_owned()),
        Err(error) => Outcome::Missing(error.to_string()),
    })
}

/// Whether the kernel can limit the files that a process may open.
pub(crate) fn has_landlock() -> bool {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    assumed_missing("landlock").is_none() && ruleset.handle_access(AccessFs::from_all(ABI::V1)).is_ok()
}

fn landlock(files: &Files) -> Result<RulesetStatus, landlock::RulesetError> {
    let read: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = AccessFs::from_all(NEWEST) & !AccessFs::Execute;
    let sockets: BitFlags<AccessFs> = AccessFs::MakeSock | AccessFs::RemoveFile;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .create()?
        .add_rules(path_beneath_rules(&files.read, read))?
        .add_rules(path_beneath_rules(&files.write, write))?
        .add_rules(path_beneath_rules(&files.sockets, sockets))?
        .restrict_self()?;
    Ok(status.ruleset)
}

/// Refuses system calls in all threads of the process, with `EPERM`.
pub(crate) fn restrict_calls(calls: Calls) -> Outcome {
    assumed_missing("seccomp").unwrap_or_else(|| {
        match filter(calls).and_then(|filter| {
            seccompiler::apply_filter_all_threads(&filter).map_err(|error| error.to_string())
        }) {
            Ok(()) => Outcome::Enforced,
            Err(error) => Outcome::Missing(error),
        }
    })
}

fn filter(calls: Calls) -> Result<BpfProgram, String> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())?;
    let mut refused = vec![
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_listen,
        // It could make the calls that are refused here, and nothing here uses it.
        libc::SYS_io_uring_setup,
        libc::SYS_add_key,
        libc::SYS_bpf,
        libc::SYS_chroot,
        libc::SYS_delete_module,
        libc::SYS_finit_module,
        libc::SYS_init_module,
        libc::SYS_kexec_load,
        libc::SYS_keyctl,
        libc::SYS_mount,
        libc::SYS_open_by_handle_at,
        libc::SYS_perf_event_open,
        libc::SYS_pidfd_getfd,
        libc::SYS_pivot_root,
        libc::SYS_reboot,
        libc::SYS_request_key,
        libc::SYS_setns,
        libc::SYS_swapoff,
        libc::SYS_swapon,
        libc::SYS_umount2,
        libc::SYS_unshare,
        libc::SYS_userfaultfd,
    ];
    if calls == Calls::FilesOnly {
        refused.extend([libc::SYS_socket, libc::SYS_bind, libc::SYS_connect]);
    }
    // The x32 calls have the same numbers with a bit set, except for those that take pointers to structures.
    #[cfg(target_arch = "x86_64")]
    {
        const X32: i64 = 0x4000_0000;
        let own_numbers = [520, 521, 528, 539, 540, 545];
        let x32: Vec<i64> = refused.iter().chain(&own_numbers).map(|call| call | X32).collect();
        refused.extend(x32);
    }
    let rules: BTreeMap<i64, Vec<seccompiler::SeccompRule>> =
        refused.into_iter().map(|call| (call, Vec::new())).collect();
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).map_err(|e| e.to_string())?;
    BpfProgram::try_from(filter).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::process::{Command, Output};

    use super::{ASSUME_MISSING, Calls, Files, Outcome, restrict_calls, restrict_files};

    /// Set in the process that enters the sandbox: it cannot leave it again.
    const PROBE: &str = "SANDBOX_PROBE";

    fn probe(calls: &str, missing: &str) -> Output {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sandbox::tests::what_the_sandbox_refuses", "--nocapture", "--test-threads=1"])
            .env(PROBE, calls)
            .env(ASSUME_MISSING, missing)
            .output()
            .unwrap()
    }

    fn report(output: &Output) -> String {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    fn kind<T>(result: std::io::Result<T>) -> String {
        result.map_or_else(|error| error.kind().to_string(), |_| "allowed".to_owned())
    }

    /// Enters the sandbox and prints what it refuses, in a process of its own.
    #[test]
    #[allow(clippy::print_stdout, reason = "its standard output is the report")]
    fn what_the_sandbox_refuses() {
        let Ok(calls) = std::env::var(PROBE) else { return };
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), b"a").unwrap();
        let hidden = tempfile::tempdir().unwrap();
        std::fs::write(hidden.path().join("b"), b"b").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let written = folder.path().join("written");
        std::fs::create_dir(&written).unwrap();
        // A thread from before: files are limited for threads that start later, calls for all.
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let earlier = std::thread::spawn(move || {
            wait.recv().unwrap();
            kind(TcpListener::bind("127.0.0.1:0"))
        });
        let files = Files::system().read([folder.path()]).write([&written]);
        let files = restrict_files(&files);
        let calls = if calls == "service" { Calls::Service } else { Calls::FilesOnly };
        let calls = restrict_calls(calls);
        go.send(()).unwrap();
        let show = |name: &str, outcome: String| println!("{name}: {outcome};");
        show("files", files.to_string());
        show("calls", calls.to_string());
        show("listen in an earlier thread", earlier.join().unwrap());
        std::thread::spawn(move || {
            show("own file", kind(std::fs::read(folder.path().join("a"))));
            show("own folder", kind(std::fs::read_dir(folder.path())));
            show("new file", kind(std::fs::write(written.join("c"), b"c")));
            show(
                "new file where only reading is allowed",
                kind(std::fs::write(folder.path().join("c"), b"c")),
            );
            show("file outside", kind(std::fs::read(hidden.path().join("b"))));
            show("passwd", kind(std::fs::read("/etc/passwd")));
            show("passwd by another way", kind(std::fs::read("/proc/self/root/etc/passwd")));
            show("exec", kind(Command::new("/bin/true").status()));
            show("listen", kind(TcpListener::bind("127.0.0.1:0")));
            show("unix listen", kind(std::os::unix::net::UnixListener::bind(written.join("socket"))));
            show("connect", kind(TcpStream::connect(address)));
            show("resolve", kind(std::net::ToSocketAddrs::to_socket_addrs("localhost:80")));
            let mut urandom = [0; 4];
            show(
                "random",
                kind(std::fs::File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut urandom))),
            );
            show("processors", std::thread::available_parallelism().is_ok().to_string());
            let _ = std::io::stdout().flush();
        })
        .join()
        .unwrap();
        drop(listener);
    }

    /// Whether the kernel of this test has all of it.
    fn in_force(report: &str) -> bool {
        let enforced = |part: &str| {
            report.contains(&format!("{part}: {}", Outcome::Enforced))
                || report.contains(&format!("{part}: {}", Outcome::Partly))
        };
        enforced("files") && enforced("calls")
    }

    fn expect(report: &str, outcomes: &[(&str, &str)]) {
        for (name, outcome) in outcomes {
            assert!(report.contains(&format!("{name}: {outcome};")), "{name} should be {outcome}:\n{report}");
        }
    }

    // OPS-060
    #[test]
    fn a_service_may_read_its_files_and_connect_and_no_more() {
        let report = report(&probe("service", ""));
        if !in_force(&report) {
            eprintln!("this kernel has no sandbox: {report}");
            return;
        }
        let denied = ErrorKind::PermissionDenied.to_string();
        expect(
            &report,
            &[
                ("own file", "allowed"),
                ("own folder", "allowed"),
                ("new file", "allowed"),
                ("new file where only reading is allowed", &denied),
                ("file outside", &denied),
                ("passwd", &denied),
                ("passwd by another way", &denied),
                ("exec", &denied),
                ("listen", &denied),
                ("listen in an earlier thread", &denied),
                ("unix listen", &denied),
                ("connect", "allowed"),
                ("resolve", "allowed"),
                ("random", "allowed"),
                ("processors", "true"),
            ],
        );
    }

    // OPS-060: the command line
    #[test]
    fn work_on_files_has_no_sockets() {
        let report = report(&probe("files", ""));
        if in_force(&report) {
            let denied = ErrorKind::PermissionDenied.to_string();
            expect(
                &report,
                &[("connect", &denied), ("listen", &denied), ("exec", &denied), ("own file", "allowed")],
            );
        }
    }

    // OPS-060: a kernel without it is no error
    #[test]
    fn a_kernel_without_sandbox_restricts_nothing() {
        let report = report(&probe("service", "landlock,seccomp"));
        expect(
            &report,
            &[("passwd", "allowed"), ("exec", "allowed"), ("listen", "allowed"), ("file outside", "allowed")],
        );
        assert!(report.contains("files: not enforced") && report.contains("calls: not enforced"), "{report}");
    }
}
