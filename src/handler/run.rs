//! One event in a handler's process: its output, its log, its end and its deadline, in one place.
//!
//! A single poll(2) waits for all of them, so there is no thread that a child could hold, and no
//! wait without a way out.

use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant, SystemTime};

use zerostrap::{Answered, Failure, Invocation, PAYLOAD_LIMIT, too_large};

use super::logs::Pump;
use super::output::{Output, Taken};
use super::process::Process;
use crate::sys::{self, PollFd};

/// Most bytes that a pipe can hold when its last writer is gone (/proc/sys/fs/pipe-max-size).
const PIPE_LIMIT: usize = 1_048_576;

/// How an event ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    /// With a status, of the process or of the shell function.
    Exited(i32),
    /// By a signal that nobody here sent.
    Killed(i32),
    /// The process that should say how the event ended did so itself: to be collected.
    ProcessEnded,
    /// Not done at the deadline less the margin.
    TimedOut,
    /// The response is over the limit.
    TooLarge,
    /// The Runtime API takes no more of a streamed response.
    Refused(io::ErrorKind),
    /// The system does not let us find out.
    Unknown(io::ErrorKind),
}

/// What is waited for while an event runs.
#[derive(Debug)]
pub(crate) struct Watch<'w> {
    pub(crate) invocation: &'w Invocation,
    pub(crate) process: &'w Process,
    /// The handler's standard output.
    pub(crate) pipe: &'w mut PipeReader,
    /// Its other end, where it must stay open for the handler to find.
    pub(crate) writer: Option<PipeWriter>,
    /// The handler's standard error, where it is ours to log.
    pub(crate) log: Option<&'w mut Pump>,
    /// The warm shell's word that the event ended.
    pub(crate) word: Option<&'w mut PipeReader>,
    pub(crate) limit: Limit,
    /// The output has not ended: true at first.
    pub(crate) open: bool,
}

/// When an event is stopped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    /// `None`: it is not.
    pub(crate) stop_at: Option<SystemTime>,
    margin: Duration,
}

impl Limit {
    /// A deadline nearer than two margins leaves half of the time to the handler.
    pub(crate) fn of(invocation: &Invocation, margin: Option<Duration>) -> Limit {
        let time = margin.zip(invocation.time_left());
        let margin = time.map_or(Duration::ZERO, |(margin, left)| margin.min(half(left)));
        let stop_at = time.and_then(|_| invocation.deadline()?.checked_sub(margin));
        Limit { stop_at, margin }
    }
}

impl Watch<'_> {
    /// Moves output and log until the event ended or must be ended, and stops it if so.
    pub(crate) fn run(&mut self, output: &mut Output<'_>) -> Ending {
        let ending = self.wait(output);
        match ending {
            Ending::Exited(_) | Ending::Killed(_) => {}
            Ending::ProcessEnded => self.process.kill_group(),
            Ending::TimedOut => self.terminate(),
            Ending::TooLarge | Ending::Refused(_) | Ending::Unknown(_) => self.process.kill_group(),
        }
        match self.drain(output) {
            Some(worse) if matches!(ending, Ending::Exited(_) | Ending::ProcessEnded) => {
                self.process.kill_group();
                worse
            }
            _ => ending,
        }
    }

    fn wait(&mut self, output: &mut Output<'_>) -> Ending {
        loop {
            let left = self
                .limit
                .stop_at
                .map(|at| at.duration_since(SystemTime::now()).unwrap_or_default());
            if left.is_some_and(|left| left.is_zero()) {
                return Ending::TimedOut;
            }
            let mut fds = [
                PollFd::maybe(self.log.as_ref().and_then(|log| log.descriptor())),
                PollFd::maybe(self.word.as_ref().map(|word| word.as_fd())),
                PollFd::readable(self.process.descriptor()),
                PollFd::maybe(self.open.then(|| self.pipe.as_fd())),
                PollFd::maybe(output.descriptor()),
            ];
            if let Err(error) = sys::poll(&mut fds, left) {
                return Ending::Unknown(error.kind());
            }
            let [log, word, process, pipe, peer] = fds.map(|fd| fd.is_ready());
            if log && let Some(log) = &mut self.log {
                log.take(Some(self.invocation));
            }
            if word {
                return self.read_word();
            }
            // What it wrote before is in the pipe, and taken by drain.
            if process {
                return Ending::ProcessEnded;
            }
            if pipe {
                match output.take(self.pipe) {
                    Taken::More => {}
                    Taken::End => self.open = false,
                    Taken::TooLarge => return Ending::TooLarge,
                    Taken::Refused(error) => return refused(error),
                }
            } else if peer {
                return Ending::Refused(io::ErrorKind::ConnectionAborted);
            }
        }
    }

    /// Asks the group to end, and ends it when half of the margin is over. Whoever of it handles
    /// SIGTERM has that time: the leader is waited for, and everyone who holds the output.
    fn terminate(&mut self) {
        self.process.signal_group(sys::SIGTERM);
        self.writer = None;
        let until = Instant::now().checked_add(half(self.limit.margin));
        let (mut ended, mut released) = (false, false);
        while !ended || !released {
            let left = until.and_then(|until| until.checked_duration_since(Instant::now()));
            let Some(left) = left.filter(|left| !left.is_zero()) else { break };
            let process = PollFd::maybe((!ended).then(|| self.process.descriptor()));
            let pipe = if released { PollFd::none() } else { PollFd::hung_up(self.pipe.as_fd()) };
            let mut fds = [process, pipe];
            if sys::poll(&mut fds, Some(left)).is_err() {
                break;
            }
            let [process, pipe] = fds.map(|fd| fd.is_ready());
            (ended, released) = (ended || process, released || pipe);
        }
        self.process.kill_group();
    }

    /// Takes what is in the output now; who still holds it is not waited for.
    fn drain(&mut self, output: &mut Output<'_>) -> Option<Ending> {
        let mut room = PIPE_LIMIT;
        while room > 0 && self.open {
            let mut fds = [PollFd::readable(self.pipe.as_fd())];
            sys::poll(&mut fds, Some(Duration::ZERO)).ok()?;
            if !fds.iter().all(PollFd::is_ready) {
                break;
            }
            let (taken, length) = output.take_counted(self.pipe);
            room = room.saturating_sub(length.max(1));
            match taken {
                Taken::More => {}
                Taken::End => self.open = false,
                Taken::TooLarge => return Some(Ending::TooLarge),
                Taken::Refused(error) => return Some(refused(error)),
            }
        }
        None
    }

    /// The warm shell writes the status of its subshell as a line.
    fn read_word(&mut self) -> Ending {
        let mut space = [0; 16];
        let read = self.word.as_mut().map_or(Ok(0), |word| word.read(&mut space));
        let line = match read {
            Ok(0) => return Ending::ProcessEnded,
            Ok(length) => space.get(..length).unwrap_or_default(),
            Err(error) => return Ending::Unknown(error.kind()),
        };
        let digits = line.strip_suffix(b"\n").unwrap_or(line);
        match std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<i32>().ok()) {
            Some(status) => ending_of_shell(status),
            None => Ending::Unknown(io::ErrorKind::InvalidData),
        }
    }
}

/// Logs what a handler wrote before it ended. Not before its event is answered: a log that is read
/// slowly must not make the answer late.
pub(crate) fn drain_log(log: &mut Pump, invocation: &Invocation) {
    let mut room = PIPE_LIMIT;
    while let Some(descriptor) = log.descriptor().filter(|_| room > 0) {
        let mut fds = [PollFd::readable(descriptor)];
        let polled = sys::poll(&mut fds, Some(Duration::ZERO));
        if polled.is_err() || !fds.iter().all(PollFd::is_ready) {
            break;
        }
        room = room.saturating_sub(log.take(Some(invocation)).max(1));
    }
    log.end_line(Some(invocation));
}

fn half(time: Duration) -> Duration {
    time.checked_div(2).unwrap_or_default()
}

/// A write that took too long is the deadline's doing: it bounds the write.
fn refused(error: io::ErrorKind) -> Ending {
    match error {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Ending::TimedOut,
        _ => Ending::Refused(error),
    }
}

/// A status above 128 is a shell's way to say "killed by a signal" (POSIX, Shell Command Language
/// §2.8.2). Linux has 64 signals.
pub(crate) fn ending_of_shell(status: i32) -> Ending {
    match status {
        129..=192 => Ending::Killed(status.saturating_sub(128)),
        status => Ending::Exited(status),
    }
}

/// The ending that a collected process tells.
pub(crate) fn ending_of(status: io::Result<ExitStatus>) -> Ending {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => Ending::Exited(code),
            (None, Some(signal)) => Ending::Killed(signal),
            (None, None) => Ending::Unknown(io::ErrorKind::InvalidData),
        },
        Err(error) => Ending::Unknown(error.kind()),
    }
}

/// Answers the event by how it ended.
pub(crate) fn answer(
    ending: Ending,
    output: Output<'_>,
    invocation: &Invocation,
    limit: Limit,
) -> Answered {
    let failure = match ending {
        Ending::Exited(0) => return output.succeed(invocation),
        Ending::Exited(status) => {
            let message = format!("the handler ended with status {status}; see its log lines");
            return output.fail(Failure::new("Function.ExitNonZero", message), true);
        }
        Ending::Killed(signal) => Failure::new(
            "Function.KilledBySignal",
            format!("the handler was killed by {}", signal_name(signal)),
        ),
        Ending::TimedOut => Failure::new(
            "Function.TimedOut",
            format!(
                "the handler was not done {} ms before the deadline and was stopped; give the \
                 function more time, or change BOOTSTRAP_DEADLINE_MARGIN_MS",
                u64::try_from(limit.margin.as_millis()).unwrap_or_default()
            ),
        ),
        Ending::TooLarge => {
            too_large(&format!("{} bytes or more", PAYLOAD_LIMIT.saturating_add(1)))
        }
        Ending::Refused(error) => Failure::new(
            "Function.StreamRefused",
            format!("the Runtime API takes no more of the response: {error}; handler stopped"),
        ),
        Ending::ProcessEnded => Failure::new("Runtime.HandlerLost", "the handler is gone"),
        Ending::Unknown(error) => Failure::new(
            "Runtime.HandlerLost",
            format!("how the handler ended cannot be found out: {error}"),
        ),
    };
    output.fail(failure, false)
}

/// By name where the number is the same on every Linux.
pub(crate) fn signal_name(signal: i32) -> String {
    let names = [
        "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE",
        "SIGKILL", "SIGUSR1", "SIGSEGV", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM",
    ];
    let index = usize::try_from(signal).ok().and_then(|signal| signal.checked_sub(1));
    match index.and_then(|index| names.get(index)) {
        Some(name) => format!("{name} (signal {signal})"),
        None => format!("signal {signal}"),
    }
}
