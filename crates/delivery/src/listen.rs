//! Listeners: TCP, Unix sockets, and sockets inherited from a supervisor.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::peer::Peer;
use crate::transport::Transport;

/// Connections that may wait to be accepted. It is large because a full backlog makes `connect` on a Unix
/// socket fail at once, which clients report as an internal error. The kernel may lower it.
const BACKLOG: i32 = 4096;

/// A listening socket. Prints as `http://127.0.0.1:8080` or `unix:/run/images.sock`.
#[derive(Debug)]
pub struct Listener {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Tcp { listener: TcpListener, address: SocketAddr },
    Unix { listener: UnixListener, path: PathBuf, _owned: Option<SocketFile> },
}

/// Who may connect to a Unix socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnixOptions {
    /// Permission bits of the socket file; `0o660` if not given. Connecting needs write permission.
    pub mode: Option<u32>,
    /// Numeric owner, if different from the owner of the process.
    pub uid: Option<u32>,
    /// Numeric group, if different from the group of the process.
    pub gid: Option<u32>,
}

impl Listener {
    /// Listens on a TCP address; port 0 takes a free one, which [`Listener::tcp_address`] returns.
    ///
    /// Call within a tokio runtime.
    ///
    /// # Errors
    /// The errors of the system calls: address in use, address not local, no permission.
    pub fn tcp(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Self::from_tcp(socket.into())
    }

    /// Listens on a Unix stream socket. A socket file without a listener is replaced; one that a process serves, or a file
    /// of another kind, is not. The file is removed when the listener is dropped.
    ///
    /// Call within a tokio runtime.
    ///
    /// # Errors
    /// `AddrInUse` if a server accepts connections on it, `AlreadyExists` if the path is not a socket, and the
    /// errors of the system calls (no permission, path longer than 107 bytes).
    pub fn unix(path: impl AsRef<Path>, options: UnixOptions) -> io::Result<Self> {
        let path = path.as_ref();
        remove_stale(path)?;
        let mode = options.mode.unwrap_or(0o660) & 0o777;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        // The file is created with the mode of the unbound socket: so that others can never connect.
        let file = fs::File::from(std::os::fd::OwnedFd::from(socket));
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        let socket = Socket::from(std::os::fd::OwnedFd::from(file));
        socket.bind(&SockAddr::unix(path)?)?;
        let owned = SocketFile::of(path)?;
        if options.uid.is_some() || options.gid.is_some() {
            std::os::unix::fs::lchown(path, options.uid, options.gid)?;
        }
        // Set again, because the umask has removed bits.
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        socket.listen(BACKLOG)?;
        Self::from_unix(socket.into(), path.to_path_buf(), Some(owned))
    }

    /// Sockets inherited from a supervisor (`LISTEN_PID`, `LISTEN_FDS`; systemd's socket activation), in
    /// its order. Empty if there are none. Each can be taken once per process.
    ///
    /// Call within a tokio runtime.
    ///
    /// # Errors
    /// If the variables cannot be parsed, or a descriptor is not a listening stream socket.
    pub fn inherited() -> io::Result<Vec<Self>> {
        crate::inherited::take()?.into_iter().map(Self::from_socket).collect()
    }

    /// Takes over a listening TCP or Unix socket.
    ///
    /// # Errors
    /// If it is of another family, or cannot be made non-blocking.
    pub fn from_socket(socket: Socket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        socket.set_cloexec(true)?;
        // Listening again only changes the backlog.
        socket.listen(BACKLOG)?;
        let local = socket.local_addr()?;
        if local.is_unix() {
            let path = local.as_pathname().map(Path::to_path_buf).unwrap_or_default();
            Self::from_unix(socket.into(), path, None)
        } else if local.as_socket().is_some() {
            Self::from_tcp(socket.into())
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a TCP nor a Unix socket"))
        }
    }

    fn from_tcp(listener: std::net::TcpListener) -> io::Result<Self> {
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        Ok(Self { kind: Kind::Tcp { listener, address } })
    }

    fn from_unix(
        listener: std::os::unix::net::UnixListener,
        path: PathBuf,
        owned: Option<SocketFile>,
    ) -> io::Result<Self> {
        let listener = UnixListener::from_std(listener)?;
        Ok(Self { kind: Kind::Unix { listener, path, _owned: owned } })
    }

    /// The bound address of a TCP listener.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match &self.kind {
            Kind::Tcp { address, .. } => Some(*address),
            Kind::Unix { .. } => None,
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<(Transport, Peer)> {
        match &self.kind {
            Kind::Tcp { listener, .. } => {
                let (stream, address) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Transport::Tcp(stream), Peer::Tcp(address)))
            }
            Kind::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                let credentials = stream.peer_cred().ok();
                let peer =
                    Peer::Unix { pid: credentials.and_then(|c| c.pid()), uid: credentials.map(|c| c.uid()) };
                Ok((Transport::Unix(stream), peer))
            }
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Tcp { address, .. } => write!(f, "http://{address}"),
            Kind::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

fn remove_stale(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("{} exists and is not a socket", path.display()),
        ));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // A full backlog (EAGAIN) is a busy server, not a stale file.
        Ok(_) | Err(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            format!("{} is served by another process", path.display()),
        )),
    }
}

/// A socket file that this process created, and removes if it is still the same file.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_path_buf(), device: found.dev(), inode: found.ino() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let same = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| found.dev() == self.device && found.ino() == self.inode);
        if same && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "socket file not removed");
        }
    }
}
