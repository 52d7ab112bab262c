//! A handler's process: what it is given, how it is started, and how it is collected.
//!
//! It is known by a pidfd and collected last: until then its id, and its group's, can be nobody
//! else's.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::process::ExitStatus;
use std::time::Duration;

use zerostrap::log::{self, Level};
use zerostrap::{EVENT_VARIABLES, Invocation};

use super::stderr::Pump;
use crate::sys;

/// Longest string that an environment can hold, name, `=` and the final NUL included
/// (`MAX_ARG_STRLEN` of execve(2)).
const VARIABLE_LIMIT: usize = 131_072;

/// How long to wait for a killed process. One that takes longer hangs in the kernel.
const KILL_TIMEOUT: Duration = Duration::from_secs(2);

/// An event's bytes, in a file without a name: a handler reads them at its own pace, or not at
/// all, and nobody waits for it.
#[derive(Default)]
pub(crate) struct Event {
    file: Option<io::Result<File>>,
    length: u64,
}

impl Event {
    /// Adds a part. A failure is kept until [`Event::take`].
    pub(crate) fn receive(&mut self, part: &[u8]) {
        let file = self.file.take().unwrap_or_else(sys::memory_file);
        // Written at a place, the file's own offset stays at the start, where the handler reads.
        self.file = Some(file.and_then(|file| file.write_all_at(part, self.length).map(|()| file)));
        self.length = self.length.saturating_add(part.len() as u64);
    }

    /// The whole event, or why it could not be kept.
    pub(crate) fn take(&mut self) -> io::Result<File> {
        self.length = 0;
        self.file.take().unwrap_or_else(sys::memory_file)
    }
}

/// What an event adds to a handler's environment. What no environment can hold is left out.
pub(crate) fn variables(invocation: &Invocation) -> impl Iterator<Item = CString> {
    invocation.variables().filter_map(move |variable| {
        let why = match CString::new(variable.as_slice()) {
            Ok(variable) if variable.count_bytes() < VARIABLE_LIMIT => return Some(variable),
            Ok(_) => "is over 128 KiB",
            Err(_) => "has a NUL",
        };
        let name = variable
            .split(|&byte| byte == b'=')
            .next()
            .unwrap_or_default();
        let name = String::from_utf8_lossy(name);
        let message = format!("{name} is not in the handler's environment: its value {why}");
        log::write(Level::Warn, Some(invocation), &message);
        None
    })
}

/// The environment that every event's handler has: this process's own, without what only an event
/// may set and what is not a handler's.
pub(crate) fn base_environment() -> Vec<CString> {
    let is_a_handlers = |name: &OsStr| {
        name != "_LAMBDA_TELEMETRY_LOG_FD" && EVENT_VARIABLES.split(' ').all(|known| name != known)
    };
    let own = std::env::vars_os().filter(|(name, _)| is_a_handlers(name));
    let pairs = own.map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat());
    pairs.filter_map(|pair| CString::new(pair).ok()).collect()
}

/// A child that leads a process group of its own.
pub(crate) struct Process {
    /// 0 once it was collected.
    pid: i32,
    /// For waiting on its end.
    pub(crate) descriptor: OwnedFd,
    /// Its standard error, where that is ours to log.
    pub(crate) log: Pump,
}

impl Process {
    /// Starts a program in a new group, which does not outlive this process, with these descriptors
    /// as its standard input and output. In JSON form its standard error is `log`.
    pub(crate) fn spawn(
        arguments: &[&CStr],
        environment: &[CString],
        [stdin, stdout]: [BorrowedFd<'_>; 2],
        log: Option<(PipeReader, &PipeWriter)>,
    ) -> io::Result<Process> {
        let inherited = io::stderr();
        let stderr = match log {
            Some((_, writer)) if log::is_json() => writer.as_fd(),
            _ => inherited.as_fd(),
        };
        let (pid, descriptor) = sys::spawn(arguments, environment, [stdin, stdout, stderr])?;
        Ok(Process {
            pid,
            descriptor,
            log: Pump::new(log.map(|(reader, _)| reader)),
        })
    }

    /// Signals everyone in the group: the leader, and what it left behind.
    pub(crate) fn signal_group(&self, signal: i32) {
        sys::kill(self.pid.saturating_neg(), signal);
    }

    /// Collects the process, which has ended or was killed. After this its id may be another's.
    ///
    /// # Errors
    /// It hangs in the kernel.
    pub(crate) fn collect(&mut self) -> io::Result<ExitStatus> {
        let [has_ended] = sys::poll([Some(self.descriptor.as_fd())], Some(KILL_TIMEOUT))?;
        let pid = std::mem::take(&mut self.pid);
        if has_ended && pid > 0 {
            sys::wait(pid)
        } else {
            Err(io::ErrorKind::TimedOut.into())
        }
    }

    /// Ends everyone in the group, and collects the process.
    pub(crate) fn end(&mut self) -> io::Result<ExitStatus> {
        self.signal_group(sys::SIGKILL);
        self.collect()
    }

    /// Whether it was collected.
    pub(crate) fn is_gone(&self) -> bool {
        self.pid == 0
    }
}

/// Whoever gives a process up ends it.
impl Drop for Process {
    fn drop(&mut self) {
        if !self.is_gone() {
            let _ = self.end();
        }
    }
}
