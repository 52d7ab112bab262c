//! Exit statuses: this program's own, and those of handlers, in words.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use zerostrap::internal::number;

/// All is well.
pub(crate) const SUCCESS: u8 = 0;

/// The exit status of all that fails; Lambda only cares that it is not 0.
pub(crate) const FAILURE: u8 = 1;

/// The arguments are not understood.
pub(crate) const USAGE: u8 = 2;

/// A slot exits with this after it reported that the function cannot be initialised.
pub(crate) const INIT_FAILED: u8 = 3;

/// A shell adds this to the number of the signal that ended a command (POSIX, Shell Command
/// Language §2.8.2); so does this program when a signal asked it to end.
const SIGNAL_BASE: u8 = 128;

/// Linux has this many signals.
const SIGNAL_COUNT: u8 = 64;

/// The names of the first signals, whose numbers are the same on every Linux.
const SIGNALS: [&str; 15] = [
    "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL",
    "SIGUSR1", "SIGSEGV", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM",
];

/// Returns the exit status of a process that a signal asked to end.
pub(crate) fn of_shutdown(signal: i32) -> u8 {
    u8::try_from(signal).map_or(FAILURE, |signal| SIGNAL_BASE.saturating_add(signal))
}

/// Returns the signal that a shell's status stands for, if it stands for one.
pub(crate) fn signal_of(code: u8) -> Option<i32> {
    let signal = code.checked_sub(SIGNAL_BASE)?;
    (1..=SIGNAL_COUNT)
        .contains(&signal)
        .then_some(i32::from(signal))
}

/// Returns "SIGKILL (signal 9)", or "signal 40" where the number has no name.
pub(crate) fn signal_name(signal: i32) -> String {
    let index = usize::try_from(signal).ok().and_then(|n| n.checked_sub(1));
    match index.and_then(|index| SIGNALS.get(index)) {
        Some(name) => format!("{name} (signal {signal})"),
        None => format!("signal {signal}"),
    }
}

/// Returns how a process ended: "ended with status 1", "was killed by SIGKILL (signal 9)".
pub(crate) fn describe(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) => format!("was killed by {}", signal_name(signal)),
        None => format!("ended with status {}", status.code().unwrap_or_default()),
    }
}

/// What the warm shell reports on its status pipe, a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// The script defines no function of the handler's name.
    MissingFunction,
    /// The script defines a function `command`.
    TakenName,
    /// The script was sourced, and a hook may be called for.
    Sourced,
    /// A hook has run.
    Hooked,
    /// The event of this number ended with this status; 0 is the trial.
    Ended { number: u64, status: u8 },
    /// None of these, or several at once.
    Unknown(String),
}

/// Reads one line of the status pipe, its line end included: `NUMBER SP STATUS LF`. Returns `None`
/// for anything else.
pub(crate) fn parse_report(line: &[u8]) -> Option<Report> {
    match line.strip_suffix(b"\n")? {
        b"0 missing" => Some(Report::MissingFunction),
        b"0 taken" => Some(Report::TakenName),
        b"sourced" => Some(Report::Sourced),
        b"hooked" => Some(Report::Hooked),
        text => {
            let space = text.iter().position(|&byte| byte == b' ')?;
            let (number, status) = text.split_at_checked(space)?;
            let number = number::decimal(number)?;
            let status = number::decimal(status.strip_prefix(b" ")?)?;
            let status = u8::try_from(status).ok()?;
            Some(Report::Ended { number, status })
        }
    }
}
