//! The bootstrap from outside, as a process on a Runtime API: one crate, so that what all tests stand
//! on is compiled and linked once.

#[path = "../emulator/mod.rs"]
mod emulator;

mod context;
mod crates;
mod deadline;
mod environment;
mod executable;
mod faults;
mod harness;
mod init_errors;
mod invoke;
mod library;
mod logs;
mod panics;
mod restore;
mod rie;
mod rie_lmi;
mod sample_functions;
mod shell;
mod shutdown;
mod signals;
mod sizes;
mod slots;
mod streaming;
mod vectors;
