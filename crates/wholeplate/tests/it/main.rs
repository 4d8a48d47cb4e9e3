//! The program from outside: its URL interface, binding, command line and delivery. One binary, so that it links once.

#![allow(unreachable_pub, clippy::unwrap_used)]

mod support;

mod access;
mod binding;
mod bucket;
mod cache_binding;
mod cache_http;
mod cache_purge;
mod cache_store;
mod cache_tiers;
mod choices;
mod command;
mod conformance;
mod delivery;
mod deploy;
mod dev;
mod doors;
mod early;
mod edge;
mod faces;
mod fetching;
mod field_files;
mod field_lines;
mod field_requests;
mod focus;
mod fonts;
mod formats;
mod hostile_files;
mod hosts;
mod inputs;
mod manifests;
mod models;
mod operation;
mod origin;
mod outbound;
mod pixels;
mod sandbox;
mod statements;
mod timing;
mod tls;
mod trim_border;
mod url;
