//! A handler's process: what it is given, how it is started, and how it is collected.
//!
//! It is known by a pidfd and collected last: until then its id, and its group's, can be nobody
//! else's.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::process::ExitStatus;
use std::time::Duration;

use zerostrap::log::{self, Level};
use zerostrap::{EVENT_VARIABLES, Invocation, Settings};

use crate::sys::{self, PollFd};

/// Longest string that an environment can hold, name, `=` and the final NUL included
/// (`MAX_ARG_STRLEN` of execve(2)).
const VARIABLE_LIMIT: usize = 131_072;

/// How long to wait for a killed process. One that takes longer hangs in the kernel.
const KILL_TIMEOUT: Duration = Duration::from_secs(2);

/// Seen in /proc only.
const EVENT_NAME: &CStr = c"event";

/// An event's bytes, in a file without a name: a handler reads them at its own pace, or not at
/// all, and nobody waits for it.
#[derive(Debug, Default)]
pub(crate) struct Event {
    file: Option<io::Result<File>>,
    length: u64,
}

impl Event {
    /// Adds a part. A failure is kept until [`Event::take`].
    pub(crate) fn receive(&mut self, part: &[u8]) {
        let file = self.file.get_or_insert_with(|| sys::memory_file(EVENT_NAME));
        let written = match file {
            // Written at a place, the file's own offset stays at the start, where the handler reads.
            Ok(file) => file.write_all_at(part, self.length),
            Err(_) => return,
        };
        match written {
            Ok(()) => self.length = self.length.saturating_add(part.len() as u64),
            Err(error) => *file = Err(error),
        }
    }

    /// The whole event, or why it could not be kept.
    pub(crate) fn take(&mut self) -> io::Result<File> {
        self.length = 0;
        self.file.take().unwrap_or_else(|| sys::memory_file(EVENT_NAME))
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
        let name = variable.split(|&byte| byte == b'=').next().unwrap_or_default();
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
        name != "_LAMBDA_TELEMETRY_LOG_FD" && EVENT_VARIABLES.iter().all(|known| name != *known)
    };
    let own = std::env::vars_os().filter(|(name, _)| is_a_handlers(name));
    let pairs = own.map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat());
    pairs.filter_map(|pair| CString::new(pair).ok()).collect()
}

/// What must be so before the first handler is started, once. At start-up it would be in the way.
pub(crate) fn prepare(settings: &Settings) -> io::Result<()> {
    sys::prepare_signals();
    std::env::set_current_dir(&settings.task_root)
}

/// A child that leads a process group of its own.
#[derive(Debug)]
pub(crate) struct Process {
    descriptor: OwnedFd,
    pid: i32,
}

impl Process {
    /// Starts a program in a new group, which does not outlive this process.
    pub(crate) fn spawn(
        path: &CStr,
        arguments: &[&CStr],
        environment: &[CString],
        descriptors: [BorrowedFd<'_>; 3],
    ) -> io::Result<Process> {
        let pid = sys::spawn(path, arguments, environment, descriptors)?;
        match sys::process_descriptor(pid) {
            Ok(descriptor) => Ok(Process { descriptor, pid }),
            Err(error) => {
                sys::signal_group(pid, sys::SIGKILL);
                let _ = sys::wait(pid);
                Err(error)
            }
        }
    }

    /// For waiting on its end.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// Ends everyone in the group: the leader, and what it left behind.
    pub(crate) fn kill_group(&self) {
        self.signal_group(sys::SIGKILL);
    }

    /// Signals everyone in the group.
    pub(crate) fn signal_group(&self, signal: i32) {
        sys::signal_group(self.pid, signal);
    }

    /// Collects the ended process. After this its id may be somebody else's.
    pub(crate) fn collect(mut self) -> io::Result<ExitStatus> {
        let mut ended = [PollFd::readable(self.descriptor())];
        sys::poll(&mut ended, Some(KILL_TIMEOUT))?;
        if !ended.iter().all(PollFd::is_ready) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let pid = std::mem::take(&mut self.pid);
        sys::wait(pid)
    }
}

/// Whoever gives a process up without collecting it ends it, and does not wait.
impl Drop for Process {
    fn drop(&mut self) {
        self.kill_group();
    }
}
