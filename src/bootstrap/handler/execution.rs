//! One event in a handler's process: its output, its log, its end and its deadline, in one place.
//!
//! A single poll(2) waits for all of them, so there is no thread that a child could hold, and no
//! wait for a handler without a way out.

use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant, SystemTime};

use zerostrap::{Answered, Failure, Invocation, Reply, Settings};

use super::child::Process;
use super::output::{Buffer, Output, PART, PIPE_LIMIT, Way};
use crate::sys;

/// Why an event cannot go on.
pub(crate) enum Stop {
    /// It is not done at the deadline less the margin.
    AtDeadline,
    /// For this reason.
    Because(Failure),
}

/// The system does not let us find out how the handler does.
impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        let message = format!("how the handler ended cannot be found out: {error}");
        Stop::Because(Failure::new("Runtime.HandlerLost", message))
    }
}

impl Stop {
    /// The Runtime API takes no more of a streamed response. A write that took too long is the
    /// deadline's doing: it bounds the write.
    pub(crate) fn refused(error: io::Error) -> Stop {
        let is_ours = error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none();
        if is_ours || error.kind() == io::ErrorKind::WouldBlock {
            return Stop::AtDeadline;
        }
        let message =
            format!("the Runtime API takes no more of the response: {error}; handler stopped");
        Stop::Because(Failure::new("Function.StreamRefused", message))
    }
}

/// An event that is being handled.
pub(crate) struct Run<'r> {
    settings: &'r Settings,
    invocation: &'r Invocation,
    process: &'r mut Process,
    /// The handler's standard output; `None` once it ended.
    pipe: Option<PipeReader>,
    /// The warm shell's word that the event ended.
    words: Option<&'r mut PipeReader>,
    /// The other end of the output, which must stay open for the warm shell to find.
    writer: Option<PipeWriter>,
    /// When the handler is stopped; `None`: it is not.
    stop_at: Option<SystemTime>,
    margin: Duration,
}

impl<'r> Run<'r> {
    /// A deadline nearer than two margins leaves half of the time to the handler. `shell`: the process
    /// is a warm shell, which stays when the event ended.
    pub(crate) fn new(
        settings: &'r Settings,
        invocation: &'r Invocation,
        process: &'r mut Process,
        pipe: PipeReader,
        shell: Option<(&'r mut PipeReader, PipeWriter)>,
    ) -> Run<'r> {
        let time = settings.deadline_margin.zip(invocation.time_left());
        let margin = time.map_or(Duration::ZERO, |(margin, left)| margin.min(half(left)));
        let stop_at = time.and_then(|_| invocation.deadline()?.checked_sub(margin));
        let (words, writer) = shell.unzip();
        Run {
            settings,
            invocation,
            process,
            pipe: Some(pipe),
            words,
            writer,
            stop_at,
            margin,
        }
    }

    /// Sees the event to its end and answers it.
    pub(crate) fn answer(mut self, reply: Reply<'_>, buffer: &mut Buffer) -> Answered {
        let content_type = self.settings.content_type.as_str();
        let way = match self.settings.streaming {
            true => Way::Streaming(reply.stream(content_type, self.stop_at)),
            false => Way::Buffered(reply),
        };
        let drops_newlines = self.words.is_some();
        let mut output = Output {
            way,
            buffer,
            length: 0,
            drops_newlines,
            nuls: 0,
        };
        let failure = match self.end(&mut output) {
            Ok(status) if status.success() => None,
            Ok(status) => Some(failure(status, &output)),
            Err(failure) => Some(failure),
        };
        let answered = output.answer(content_type, self.invocation, failure);
        // A log that is read slowly must not make the answer late.
        self.process.log.drain(self.invocation);
        answered
    }

    /// How the handler ended, or why it was stopped. Its group is signalled and its output taken
    /// before it is collected, while the id is surely its own.
    fn end(&mut self, output: &mut Output<'_>) -> Result<ExitStatus, Failure> {
        let told = self.wait(output).and_then(|told| {
            if told.is_none() {
                self.process.signal_group(sys::SIGKILL);
            }
            self.drain(output).map(|()| told)
        });
        match told {
            Ok(Some(status)) => Ok(status),
            Ok(None) => match self.process.collect() {
                // Nobody saw the function succeed whose shell ended in its place.
                Ok(status) if self.words.is_some() && status.success() => {
                    Ok(ExitStatus::from_raw(sys::SIGKILL))
                }
                Ok(status) => Ok(status),
                Err(error) => Err(self.stop(error.into())),
            },
            Err(stop) => Err(self.stop(stop)),
        }
    }

    /// Moves output and log until the event ended. Gives the status that the warm shell told;
    /// `None`: the process that should tell how the event ended did so itself.
    fn wait(&mut self, output: &mut Output<'_>) -> Result<Option<ExitStatus>, Stop> {
        loop {
            let now = SystemTime::now();
            let left = self
                .stop_at
                .map(|at| at.duration_since(now).unwrap_or_default());
            if left == Some(Duration::ZERO) {
                return Err(Stop::AtDeadline);
            }
            let waited_for = [
                self.process.log.descriptor(),
                self.words.as_ref().map(|words| words.as_fd()),
                Some(self.process.descriptor.as_fd()),
                self.pipe.as_ref().map(AsFd::as_fd),
                output.descriptor(),
            ];
            let [log, word, process, pipe, peer] = sys::poll(waited_for, left)?;
            if log {
                self.process.log.take(Some(self.invocation));
            }
            if word && let Some(words) = &mut self.words {
                let status = zerostrap::http::number(read_word(words)?.as_bytes(), 10);
                return Ok(status
                    .and_then(|status| u8::try_from(status).ok())
                    .map(of_shell));
            }
            if pipe {
                self.take(output)?;
            }
            // What else it wrote before is in the pipe, and taken by drain.
            if process {
                return Ok(None);
            }
            if peer && !pipe {
                return Err(Stop::refused(io::ErrorKind::ConnectionAborted.into()));
            }
        }
    }

    /// Ends the handler, and says why.
    fn stop(&mut self, stop: Stop) -> Failure {
        let failure = match stop {
            Stop::Because(failure) => failure,
            Stop::AtDeadline => {
                self.terminate();
                let message = format!(
                    "the handler was not done {} ms before the deadline and was stopped; give the \
                     function more time, or change BOOTSTRAP_DEADLINE_MARGIN_MS",
                    u64::try_from(self.margin.as_millis()).unwrap_or_default()
                );
                Failure::new("Function.TimedOut", message)
            }
        };
        let _ = self.process.end();
        failure
    }

    /// Asks the group to end, and waits half of the margin. Whoever of it handles SIGTERM has that
    /// time: the leader is waited for, and everyone who holds the output, which nobody wants now.
    fn terminate(&mut self) {
        self.process.signal_group(sys::SIGTERM);
        self.writer = None;
        let (begun, grace) = (Instant::now(), half(self.margin));
        let mut ended = false;
        while !ended || self.pipe.is_some() {
            let left = grace.saturating_sub(begun.elapsed());
            let process = Some(self.process.descriptor.as_fd()).filter(|_| !ended);
            let waited_for = [process, self.pipe.as_ref().map(AsFd::as_fd)];
            let Ok([process, pipe]) = sys::poll(waited_for, Some(left)) else {
                break;
            };
            if left.is_zero() {
                break;
            }
            ended |= process;
            self.pipe
                .take_if(|output| pipe && output.read(&mut [0; 4_096]).unwrap_or(0) == 0);
        }
    }

    /// Takes what is in the output now; who still holds it is not waited for.
    fn drain(&mut self, output: &mut Output<'_>) -> Result<(), Stop> {
        let mut taken = 0_usize;
        while taken < PIPE_LIMIT && self.pipe.as_ref().is_some_and(sys::is_readable) {
            taken = taken.saturating_add(self.take(output)?);
        }
        Ok(())
    }

    /// One read of the output, which must be readable.
    fn take(&mut self, output: &mut Output<'_>) -> Result<usize, Stop> {
        let Some(pipe) = &mut self.pipe else {
            return Ok(0);
        };
        let length = output.take(pipe)?;
        if output.length == PART {
            // The first read found the pipe full.
            sys::widen(pipe);
        }
        self.pipe.take_if(|_| length == 0);
        Ok(length)
    }
}

/// The warm shell's word, without the end of its line; empty when the shell ended.
pub(crate) fn read_word(words: &mut PipeReader) -> io::Result<String> {
    let mut space = [0; 16];
    let length = words.read(&mut space)?;
    let word = String::from_utf8_lossy(space.get(..length).unwrap_or_default());
    Ok(word.trim_ascii_end().to_owned())
}

/// A status above 128 is a shell's way to say "killed by a signal" (POSIX, Shell Command Language
/// §2.8.2). Linux has 64 signals. Given in the form of wait(2).
fn of_shell(status: u8) -> ExitStatus {
    match i32::from(status) {
        signal @ 129..=192 => ExitStatus::from_raw(signal & 0x7f),
        status => ExitStatus::from_raw(status << 8),
    }
}

/// The failure of a handler that ended so. Its output may be its own error document, unless it was
/// killed while it wrote that.
fn failure(status: ExitStatus, output: &Output<'_>) -> Failure {
    let message = format!("the handler {}; see its log lines", describe(status));
    match status.signal() {
        Some(_) => Failure::new("Function.KilledBySignal", message),
        None => Failure::new("Function.ExitNonZero", message).with_document(output.kept()),
    }
}

/// "ended with status 1", "was killed by SIGKILL (signal 9)": signals by name where the number is the
/// same on every Linux.
pub(crate) fn describe(status: ExitStatus) -> String {
    let names = [
        "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE",
        "SIGKILL", "SIGUSR1", "SIGSEGV", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM",
    ];
    let Some(signal) = status.signal() else {
        return format!("ended with status {}", status.code().unwrap_or_default());
    };
    match names.iter().zip(1..).find(|(_, number)| *number == signal) {
        Some((name, _)) => format!("was killed by {name} (signal {signal})"),
        None => format!("was killed by signal {signal}"),
    }
}

fn half(time: Duration) -> Duration {
    time.checked_div(2).unwrap_or_default()
}
