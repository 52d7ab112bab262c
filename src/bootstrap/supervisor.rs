//! Several slots are several processes, so that none can harm another. This one stays behind them.
//!
//! It passes SIGTERM and SIGINT on and collects who ended; as PID 1 of a container these are also
//! orphans of handlers, which become its children. It must never touch an event.

use std::io;
use std::os::unix::process::ExitStatusExt;

use crate::sys;

/// The exit status by which a slot says that the function cannot be initialised.
pub(crate) const INIT_FAILED: u8 = 2;

const SIGNALS: u64 = sys::END_SIGNALS | sys::CHILD_SIGNAL;

/// Makes a process for each slot and returns in each of them. The process that called it never
/// returns: it ends when the last slot did, or one failed at init.
///
/// Must be called while there is one thread.
///
/// # Errors
/// There can be no such process.
pub(crate) fn divide(slots: usize) -> io::Result<()> {
    sys::hold_back(SIGNALS);
    let mut alive = Vec::with_capacity(slots);
    for _ in 0..slots {
        match sys::fork()? {
            Some(slot) => alive.push(slot),
            None => return Ok(()),
        }
    }
    loop {
        let signal = sys::wait_for_signal(SIGNALS);
        if signal != sys::SIGCHLD {
            alive.iter().for_each(|slot| _ = sys::kill(*slot, signal));
        }
        // Several ends may be told by one signal. When this process ends, the kernel sends SIGTERM to
        // the slots that are left, and as PID 1 it ends everyone in its container.
        while let Some((pid, status)) = sys::collect_any() {
            let Some(at) = alive.iter().position(|slot| *slot == pid) else {
                continue;
            };
            alive.swap_remove(at);
            if status.code() == Some(i32::from(INIT_FAILED)) {
                sys::exit(1);
            }
            if alive.is_empty() {
                let killed = status.signal().map(|signal| signal.saturating_add(128));
                sys::exit(status.code().or(killed).unwrap_or(1));
            }
        }
    }
}
