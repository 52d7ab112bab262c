//! What tests stand on: a bootstrap and the API that it talks to.
//!
//! - `lambda`: a bootstrap on the embedded API, which is one execution environment.
//! - `scripted`: a bootstrap on an API that sends the bytes it is told to.
//! - `attendants`: which of a bootstrap's processes are there for its own sake.
//! - `failure`, `json`: what a response or a failure has to look like.
//! - `folder`: a function's folder, removed after the test.
//! - `wait`: for what nobody announces, and for one's turn.
#![allow(
    dead_code,
    reason = "each test crate that includes this uses a part of it"
)]

pub(crate) mod attendants;
pub(crate) mod failure;
pub(crate) mod folder;
pub(crate) use crate::emulator::json;
pub(crate) mod lambda;
pub(crate) mod scripted;
pub(crate) mod wait;
