//! The effect of each call on a ledgered stream, on a transport controlled by the test, and on real sockets.

#![allow(clippy::unwrap_used)]

mod refused;
mod steps;
mod support;
mod tcp;
