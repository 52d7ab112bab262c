//! An embedded Lambda Runtime API: the judge of the integration tests, and what `make invoke` and
//! `make serve` run a function on.
//!
//! It shares no code with the bootstrap. Were the two to share an HTTP parser, one bug in it would
//! be on both sides of the wire and cancel itself out.
//!
//! - `http`: requests in, replies out; strict, because it judges what the bootstrap sends.
//! - `event`: an event, and the exact bytes in which it is delivered.
//! - `record`: what the bootstrap sent, raw.
//! - `state`: what the Runtime API allows when, and why it refuses.
//! - `api`: the server that joins these; `connection`: one connection of it.
//! - `process`: the bootstrap's process, its log, and everything it started.

// Several test crates and the command line include this module, and each uses a part of it.
#![allow(dead_code)]

pub(crate) mod api;
pub(crate) mod base64;
pub(crate) mod connection;
pub(crate) mod event;
pub(crate) mod http;
pub(crate) mod json;
pub(crate) mod process;
pub(crate) mod record;
pub(crate) mod state;
