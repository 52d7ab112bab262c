//! Several slots are several processes, so that none can harm another. This one supervises them.
//!
//! It passes SIGTERM and SIGINT on, reaps what ended, and forks a new slot in the place of one that
//! was killed; as PID 1 of a container it also inherits and reaps orphans of handlers. It must
//! never touch an event.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use zerostrap::internal::log::{self, Level};

use crate::status;
use crate::sys::{self, ForkResult, OneThread, Pid, SignalSet};

/// Forks a process for each slot and returns in each of them. The calling process never returns: it
/// ends when a slot exits by itself, and then the other slots end, too.
///
/// # Errors
/// fork(2) failed.
pub(crate) fn fork_slots(slots: usize, thread: &OneThread) -> io::Result<()> {
    sys::block_signals(SignalSet::SUPERVISION);
    let mut alive = Vec::with_capacity(slots);
    for _ in 0..slots {
        match sys::fork_slot(thread)? {
            ForkResult::Parent(slot) => alive.push(slot),
            ForkResult::Child => return Ok(()),
        }
    }
    let mut shutdown_signal = None;
    loop {
        let signal = sys::wait_for_signal(SignalSet::SUPERVISION);
        if signal != sys::SIGCHLD {
            shutdown_signal = Some(signal);
            for slot in &alive {
                sys::signal(*slot, signal);
            }
        }
        // One SIGCHLD may report several children.
        while let Some((pid, status)) = sys::reap_any() {
            let Some(index) = alive.iter().position(|slot| *slot == pid) else {
                continue;
            };
            alive.swap_remove(index);
            if let Some(signal) = shutdown_signal {
                // Each slot ends its handler before itself, so wait for the last slot.
                if alive.is_empty() {
                    sys::exit(i32::from(status::of_shutdown(signal)));
                }
                continue;
            }
            exit_unless_killed(pid, status);
            log_killed(pid, status);
            match sys::fork_slot(thread)? {
                ForkResult::Parent(slot) => alive.push(slot),
                ForkResult::Child => return Ok(()),
            }
        }
    }
}

/// Ends this process with the slot's exit status, unless a signal killed the slot. The kernel then
/// sends SIGTERM to the slots that are left. If this process is PID 1, its container ends, too.
fn exit_unless_killed(slot: Pid, status: ExitStatus) {
    let Some(code) = status.code() else {
        return;
    };
    if code != i32::from(status::INIT_FAILED) {
        let message = format!("slot {slot} ended with status {code}; the runtime ends, too");
        log::write(Level::Fatal, None, &message);
        sys::exit(code)
    }
    sys::exit(i32::from(status::FAILURE))
}

fn log_killed(slot: Pid, status: ExitStatus) {
    let signal = status.signal().unwrap_or_default();
    let message = format!(
        "slot {slot} was killed by {}, with the event that it ran, if any; another slot takes its place",
        status::signal_name(signal)
    );
    log::write(Level::Error, None, &message);
}
