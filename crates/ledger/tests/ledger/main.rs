//! What a ledgered stream does with each call, on a transport that is driven by hand, and on real sockets.

#![allow(clippy::unwrap_used)]

mod refused;
mod steps;
mod support;
mod tcp;
