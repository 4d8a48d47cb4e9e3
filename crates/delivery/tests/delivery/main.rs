//! The delivery layer through its public interface. Test names and comments have the numbers of the
//! delivery statements (DLV-nnn) that they cover.

mod deadlines;
mod early;
mod http2;
mod leaving;
mod model;
mod open;
mod slow;
mod sockets;
mod steps;
mod support;
mod tls;
mod tunnels;
