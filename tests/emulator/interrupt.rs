//! Ctrl-C as an end that was asked for, not as a failure.
//!
//! A process that dies of SIGINT makes `make` print an error. So the command does not: its worker is
//! told to end, by the end of its standard input, and when it has ended, the command ends by a
//! status of its own choice. The standard library has no signals; this is the one place without it.

use std::os::fd::{IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

const SIGINT: i32 = 2;
/// The disposition `SIG_IGN`.
const IGNORED: usize = 1;

/// What is closed when SIGINT comes; -1 once that was done.
static HELD: AtomicI32 = AtomicI32::new(-1);
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

#[allow(unsafe_code)]
unsafe extern "C" {
    fn signal(number: i32, action: usize) -> usize;
    fn close(descriptor: i32) -> i32;
    fn _exit(status: i32) -> !;
}

/// From now on SIGINT closes this descriptor; where it is ignored, it stays ignored.
#[allow(unsafe_code)]
pub(crate) fn closes(held: OwnedFd) {
    HELD.store(held.into_raw_fd(), Ordering::SeqCst);
    let handler: extern "C" fn(i32) = interrupt;
    // SAFETY: the handler calls nothing that may not be called in a signal handler.
    unsafe {
        if signal(SIGINT, handler as usize) == IGNORED {
            signal(SIGINT, IGNORED);
        }
    }
}

/// Whether SIGINT came.
pub(crate) fn came() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

#[allow(unsafe_code)]
extern "C" fn interrupt(_: i32) {
    INTERRUPTED.store(true, Ordering::SeqCst);
    // SAFETY: the descriptor is nobody else's and closed once; a second Ctrl-C waits for nothing.
    unsafe {
        match HELD.swap(-1, Ordering::SeqCst) {
            -1 => _exit(130),
            held => close(held),
        };
    }
}
