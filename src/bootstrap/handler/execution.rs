//! One event in a handler's process: its output, its log, its end and its deadline, in one place.
//!
//! A single poll(2) waits for all of them. So no thread can be blocked by a child, and no wait for
//! a handler is without a limit.

use std::io::PipeReader;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant, SystemTime};

use zerostrap::internal::{self, ErrorType, log};
use zerostrap::{Answered, Context, Failure, Responder};

use super::child::Child;
use super::output::{Abort, Buffer, Output, Sink};
use super::stderr::StderrForwarder;
use crate::settings::{HandlerSettings, ResponseMode};
use crate::status;
use crate::sys;

/// When an overrunning handler is stopped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watchdog {
    pub(crate) stop_at: SystemTime,
    /// The time from then to the deadline.
    margin: Duration,
}

impl Watchdog {
    /// Returns `None` if the handler is not to be stopped: the margin is off, or the deadline
    /// unknown. If the deadline is nearer than two margins, the handler has half of the time.
    pub(crate) fn new(settings: &HandlerSettings, context: &Context) -> Option<Watchdog> {
        let margin = settings.deadline_margin?;
        let margin = margin.min(half(context.remaining_time()?));
        let stop_at = context.deadline()?.checked_sub(margin)?;
        Some(Watchdog { stop_at, margin })
    }

    /// Returns the time until the handler is stopped.
    pub(crate) fn time_left(&self) -> Duration {
        let left = self.stop_at.duration_since(SystemTime::now());
        left.unwrap_or_default()
    }

    /// Returns the failure of an event that took too long. `what` says what was not done, and what
    /// became of it.
    pub(crate) fn failure(&self, what: &str) -> Failure {
        let ms = self.margin.as_millis();
        let message = format!(
            "{what}, {ms} ms before the deadline; give the function more time, or change \
             BOOTSTRAP_DEADLINE_MARGIN_MS"
        );
        internal::failure(ErrorType::TimedOut, message)
    }
}

/// How an event's handler reports that the event ended.
pub(crate) enum Completion<'r> {
    /// By the end of its process.
    Exit,
    /// By a status that the warm shell reports while its process goes on.
    Report(&'r mut dyn StatusSource),
}

/// The warm shell's side of an event. It is a trait so that this file does not depend on the warm
/// shell's, which depends on this one.
pub(crate) trait StatusSource {
    /// Returns the pipe on which the status is reported.
    fn descriptor(&self) -> BorrowedFd<'_>;

    /// Reads the status. The pipe must be readable.
    ///
    /// # Errors
    /// What was read is not a status of this event.
    fn read_status(&mut self) -> Result<u8, Abort>;

    /// Closes this process's copy of the write end of the handler's standard output. The pipe can
    /// then end when the handler's own copies are closed.
    fn release_output(&mut self);

    /// Returns the places where the function failed, one per line, as far as the shell reported
    /// them.
    fn failed_at(&mut self) -> Vec<u8>;
}

/// How a handler ended.
enum End {
    /// Its process ended with this status.
    Process(ExitStatus),
    /// The warm shell reported this status.
    Reported(u8),
}

/// An event that is being handled.
pub(crate) struct Execution<'r> {
    pub(crate) settings: &'r HandlerSettings,
    pub(crate) context: &'r Context,
    pub(crate) child: &'r mut Child,
    pub(crate) stderr: &'r mut StderrForwarder,
    /// The handler's standard output; `None` once it ended.
    pub(crate) stdout: Option<PipeReader>,
    pub(crate) completion: Completion<'r>,
    pub(crate) watchdog: Option<Watchdog>,
}

impl Execution<'_> {
    /// Moves output and log until the event has ended, and answers it.
    pub(crate) fn answer(mut self, responder: Responder<'_>, buffer: &mut Buffer) -> Answered {
        let content_type = self.settings.content_type.as_str();
        let sink = match self.settings.response_mode {
            ResponseMode::Buffered => Sink::Buffered(responder),
            ResponseMode::Streaming => {
                let limit = self.watchdog.map(|watchdog| watchdog.stop_at);
                Sink::Streaming(responder.stream(content_type, limit))
            }
        };
        let is_shell = matches!(self.completion, Completion::Report(_));
        // A shell function's output loses its trailing newlines, as in `$(…)`.
        let mut output = Output::new(sink, buffer, is_shell);
        let failure = match self.run(&mut output) {
            Ok(End::Process(status)) if status.success() && !is_shell => None,
            Ok(End::Reported(0)) => None,
            Ok(end) => Some(self.failure(end, &output)),
            Err(abort) => Some(self.stop(abort)),
        };
        // First, so that the failure's own line starts at the left. In JSON form every line is an
        // object of its own anyway, and to make many objects now could make the answer late.
        if failure.is_some() && !log::is_json() {
            self.stderr.drain(Some(self.context));
        }
        let answered = output.answer(content_type, self.context, failure);
        // After the answer: a log that is read slowly must not make it late.
        self.stderr.drain(Some(self.context));
        answered
    }

    /// Returns how the handler ended. Kills its group and receives its output before it is reaped:
    /// until then no other process can have its id.
    fn run(&mut self, output: &mut Output<'_>) -> Result<End, Abort> {
        let reported = self.wait(output)?;
        if reported.is_none() {
            self.child.signal_group(sys::SIGKILL);
        }
        self.drain(output)?;
        match reported {
            Some(status) => Ok(End::Reported(status)),
            None => Ok(End::Process(self.child.reap()?)),
        }
    }

    /// Moves output and log until the event has ended. Returns the status that the warm shell
    /// reported, or `None` if the process itself ended; its wait status then tells how.
    fn wait(&mut self, output: &mut Output<'_>) -> Result<Option<u8>, Abort> {
        loop {
            let time_left = self.watchdog.map(|watchdog| watchdog.time_left());
            if time_left == Some(Duration::ZERO) {
                return Err(Abort::TimedOut);
            }
            let report = match &self.completion {
                Completion::Exit => None,
                Completion::Report(source) => Some(source.descriptor()),
            };
            let descriptors = [
                Some(self.stderr.descriptor()),
                report,
                Some(self.child.pidfd()),
                self.stdout.as_ref().map(AsFd::as_fd),
                output.descriptor(),
            ];
            let [stderr, report, ended, stdout, api] = sys::poll(descriptors, time_left)?;
            if stderr {
                self.stderr.forward(Some(self.context));
            }
            if report && let Completion::Report(source) = &mut self.completion {
                return source.read_status().map(Some);
            }
            if stdout {
                self.receive(output)?;
            }
            // What the process wrote last is in the pipe, and drain receives it.
            if ended {
                return Ok(None);
            }
            if api && !stdout {
                output.receive_early_reply()?;
            }
        }
    }

    /// Receives what is in the output now. Does not wait for processes that still hold it open.
    fn drain(&mut self, output: &mut Output<'_>) -> Result<(), Abort> {
        let mut received: usize = 0;
        while received < sys::PIPE_LIMIT
            && let Some(length) = self.receive(output)?
        {
            received = received.saturating_add(length);
        }
        Ok(())
    }

    /// Reads the output once. Returns `None` if it holds nothing now, or has ended before.
    fn receive(&mut self, output: &mut Output<'_>) -> Result<Option<usize>, Abort> {
        let Some(stdout) = &mut self.stdout else {
            return Ok(None);
        };
        let length = output.receive(stdout)?;
        if length == Some(0) {
            self.stdout = None;
        }
        Ok(length)
    }

    /// Stops the handler, and returns the event's failure.
    fn stop(&mut self, abort: Abort) -> Failure {
        let failure = match (abort, self.watchdog) {
            (Abort::Failed(failure), _) => failure,
            (Abort::TimedOut, Some(watchdog)) => {
                self.terminate(half(watchdog.margin));
                watchdog.failure("the handler was not done and was stopped")
            }
            (Abort::TimedOut, None) => {
                let message = "a part of the response was not sent before the deadline";
                internal::failure(ErrorType::TimedOut, message)
            }
        };
        let _ = self.child.kill();
        failure
    }

    /// Asks the group to end, and waits for that.
    ///
    /// This is the grace period for handlers of SIGTERM. It ends early once the leader has ended
    /// and no process holds the output open. Output is discarded.
    fn terminate(&mut self, grace: Duration) {
        self.child.signal_group(sys::SIGTERM);
        if let Completion::Report(source) = &mut self.completion {
            source.release_output();
        }
        let started = Instant::now();
        let mut has_ended = false;
        while !has_ended || self.stdout.is_some() {
            let left = grace.saturating_sub(started.elapsed());
            let leader = Some(self.child.pidfd()).filter(|_| !has_ended);
            let stdout = self.stdout.as_ref().map(AsFd::as_fd);
            let stderr = Some(self.stderr.descriptor());
            let Ok([leader, stdout, stderr]) = sys::poll([leader, stdout, stderr], Some(left))
            else {
                break;
            };
            if left.is_zero() {
                break;
            }
            has_ended |= leader;
            if stderr {
                self.stderr.forward(Some(self.context));
            }
            if stdout {
                self.discard();
            }
        }
    }

    /// Reads the output once, and forgets it.
    fn discard(&mut self) {
        let Some(stdout) = &mut self.stdout else {
            return;
        };
        let length = sys::read_pipe(stdout, &mut [0; 4_096]);
        if matches!(length, Ok(Some(0)) | Err(_)) {
            self.stdout = None;
        }
    }

    /// Returns the failure of a handler that ended in this way. Its output may be its own error
    /// document, unless it was killed while it wrote that.
    fn failure(&mut self, end: End, output: &Output<'_>) -> Failure {
        let (error_type, mut message) = describe(&end, &self.completion);
        let places = match (&end, &mut self.completion) {
            (End::Reported(_), Completion::Report(source)) => source.failed_at(),
            _ => Vec::new(),
        };
        message.push_str(&places_in_words(&places));
        let kept = output.kept();
        if error_type == ErrorType::ExitNonZero {
            let mut failure = internal::failure(error_type, message.as_str());
            if internal::take_document(&mut failure, kept) {
                return failure;
            }
        }
        if !kept.is_empty() {
            let length = kept.len();
            message.push_str(&format!("; {length} bytes of output were dropped"));
        }
        self.stderr.forward(Some(self.context));
        if self.stderr.has_forwarded() {
            message.push_str("; see its log lines");
        }
        internal::failure(error_type, message).with_trace(&places)
    }
}

/// Returns how a handler ended, as an error type and the beginning of a message.
fn describe(end: &End, completion: &Completion<'_>) -> (ErrorType, String) {
    match (end, completion) {
        (End::Reported(code), _) => match status::signal_of(*code) {
            Some(signal) => {
                let name = status::signal_name(signal);
                let message = format!(
                    "the handler ended with status {code}: a command in it was ended by {name}"
                );
                (ErrorType::KilledBySignal, message)
            }
            None => {
                let message = format!("the handler ended with status {code}");
                (ErrorType::ExitNonZero, message)
            }
        },
        (End::Process(status), Completion::Report(_)) if status.success() => {
            let message = "the handler's shell ended with status 0 before the handler did";
            (ErrorType::HandlerLost, message.to_owned())
        }
        (End::Process(status), completion) => {
            let subject = match completion {
                Completion::Exit => "the handler",
                Completion::Report(_) => "the handler's shell",
            };
            let error_type = match status.signal() {
                Some(_) => ErrorType::KilledBySignal,
                None => ErrorType::ExitNonZero,
            };
            (
                error_type,
                format!("{subject} {}", status::describe(*status)),
            )
        }
    }
}

/// Returns places, innermost first, as a part of a sentence: " at function.sh:3 in helper, called
/// at function.sh:8 in handler".
fn places_in_words(places: &[u8]) -> String {
    let mut words = String::new();
    for place in places.split(|&byte| byte == b'\n') {
        let place = String::from_utf8_lossy(place);
        let Some((line, function)) = place.rsplit_once(' ') else {
            continue;
        };
        let start = if words.is_empty() {
            " at"
        } else {
            ", called at"
        };
        words.push_str(&format!("{start} {line} in {function}"));
    }
    words
}

fn half(time: Duration) -> Duration {
    time.checked_div(2).unwrap_or_default()
}
