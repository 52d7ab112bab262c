//! Processes that are there for the bootstrap's sake and not for an event's. Tests that count
//! processes are about what handlers start, so these are left out.

use std::fs;
use std::path::Path;

/// The binary under test.
const BOOTSTRAP: &str = env!("CARGO_BIN_EXE_bootstrap");

/// Text of the shell's side of the conversation: in the command line of the warm shell and of its
/// subshells, and in nobody else's.
const WARM_SHELL: &str = "_zs_report";

/// Leaves out the guard, which kills the handler when the bootstrap was killed, and the warm shell's
/// subshell, which was forked ahead for the next event, or runs the current one. Both count as soon
/// as the bootstrap is gone: then nobody may be left.
pub(crate) fn without_attendants(mut processes: Vec<u32>) -> Vec<u32> {
    processes.retain(|&pid| !is_guard(pid) && !is_subshell_of_event(pid));
    processes
}

/// The guards of bootstraps that run; a slot has one each.
pub(crate) fn guards(processes: &[u32]) -> Vec<u32> {
    let guards = processes.iter().copied().filter(|&pid| is_guard(pid));
    guards.collect()
}

/// The warm shells, each without its subshells.
pub(crate) fn warm_shells(processes: &[u32]) -> Vec<u32> {
    let shells = processes.iter().copied().filter(|&pid| is_warm_shell(pid));
    shells.collect()
}

/// The subshells that the warm shells forked ahead.
pub(crate) fn subshells_of_events(processes: &[u32]) -> Vec<u32> {
    let subshells = processes.iter().copied();
    subshells.filter(|&pid| is_subshell_of_event(pid)).collect()
}

/// A slot is a child of a bootstrap, too, but has descriptors.
fn is_guard(pid: u32) -> bool {
    let is_child = is_bootstrap(pid) && parent(pid).is_some_and(is_bootstrap);
    is_child && !Path::new(&format!("/proc/{pid}/fd/1")).exists()
}

fn is_warm_shell(pid: u32) -> bool {
    runs_our_text(pid) && parent(pid).is_some_and(is_bootstrap)
}

fn is_subshell_of_event(pid: u32) -> bool {
    runs_our_text(pid) && parent(pid).is_some_and(is_warm_shell)
}

fn is_bootstrap(pid: u32) -> bool {
    let program = fs::read_link(format!("/proc/{pid}/exe"));
    program.is_ok_and(|program| program == Path::new(BOOTSTRAP))
}

fn runs_our_text(pid: u32) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).contains(WARM_SHELL)
}

/// The parent of a process, if there is such a process.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold spaces and parentheses; what follows its last one does not.
    let fields = stat.rsplit_once(')')?.1;
    fields.split_whitespace().nth(1)?.parse().ok()
}
