//! A handler's process: how it is signalled, and how it is reaped.
//!
//! It is watched by a pidfd and reaped last: until it is reaped, no other process can get its id or
//! its group's.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitStatus;
use std::time::Duration;

use crate::sys::{self, Pid};

/// How long to wait for a killed process. One that takes longer hangs in the kernel.
const KILL_TIMEOUT: Duration = Duration::from_secs(2);

/// A child that leads a process group of its own.
#[derive(Debug)]
pub(crate) struct Child {
    /// `None` once it was reaped.
    pid: Option<Pid>,
    pidfd: OwnedFd,
}

impl Child {
    /// Starts a program in a new group, which does not outlive this process, with these descriptors
    /// as its standard input, output and error.
    ///
    /// # Errors
    /// The program cannot be executed, or there can be no more processes.
    pub(crate) fn spawn(
        arguments: &[&CStr],
        environment: &[CString],
        descriptors: [BorrowedFd<'_>; 3],
    ) -> io::Result<Child> {
        let (pid, pidfd) = sys::spawn(arguments, environment, descriptors)?;
        Ok(Child {
            pid: Some(pid),
            pidfd,
        })
    }

    /// Returns a descriptor that becomes readable when the process ends.
    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Signals every process of the group: the leader, and what it left behind.
    pub(crate) fn signal_group(&self, signal: i32) {
        if let Some(pid) = self.pid {
            sys::signal_group(pid, signal);
        }
    }

    /// Reaps the process, which has ended or was killed. After this its id may be another's.
    ///
    /// # Errors
    /// The process hangs in the kernel, or was reaped before.
    pub(crate) fn reap(&mut self) -> io::Result<ExitStatus> {
        let pidfd = Some(self.pidfd());
        let [has_ended] = sys::poll([pidfd], Some(KILL_TIMEOUT))?;
        let pid = self.pid.take();
        match pid {
            Some(pid) if has_ended => sys::reap(pid),
            _ => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Kills every process of the group, and reaps the leader.
    ///
    /// # Errors
    /// As for [`Child::reap`].
    pub(crate) fn kill(&mut self) -> io::Result<ExitStatus> {
        self.signal_group(sys::SIGKILL);
        self.reap()
    }

    /// Returns whether the process was reaped.
    pub(crate) fn is_reaped(&self) -> bool {
        self.pid.is_none()
    }
}

/// A child that is dropped is killed.
impl Drop for Child {
    fn drop(&mut self) {
        if !self.is_reaped() {
            let _ = self.kill();
        }
    }
}
