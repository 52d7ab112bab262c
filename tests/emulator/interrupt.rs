//! Ctrl-C as an end that was asked for, not as a failure.
//!
//! A process that dies of SIGINT makes `make` print an error. So the command ends by a status that
//! it chose beforehand. The standard library has no signals; this is the one place without it.

use std::sync::atomic::{AtomicI32, Ordering};

const SIGINT: i32 = 2;
/// The disposition `SIG_IGN`.
const IGNORED: usize = 1;

static STATUS: AtomicI32 = AtomicI32::new(130);

#[allow(unsafe_code)]
unsafe extern "C" {
    fn signal(number: i32, action: usize) -> usize;
    fn _exit(status: i32) -> !;
}

/// From now on SIGINT ends this process with a status; where it is ignored, it stays ignored.
#[allow(unsafe_code)]
pub(crate) fn end_with(status: i32) {
    STATUS.store(status, Ordering::Relaxed);
    let handler: extern "C" fn(i32) = end;
    // SAFETY: the handler calls nothing but `_exit`, which may be called in a signal handler.
    unsafe {
        if signal(SIGINT, handler as usize) == IGNORED {
            signal(SIGINT, IGNORED);
        }
    }
}

#[allow(unsafe_code)]
extern "C" fn end(_: i32) {
    // SAFETY: it takes a number and does not return.
    unsafe { _exit(STATUS.load(Ordering::Relaxed)) }
}
