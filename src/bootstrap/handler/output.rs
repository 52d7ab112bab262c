//! A handler's standard output on its way to the Runtime API: kept until the handler ends, or sent
//! as it comes.

use std::io::{self, PipeReader, Write};
use std::os::fd::BorrowedFd;

use zerostrap::internal::log::{self, Level};
use zerostrap::internal::{self, ErrorType, PAYLOAD_LIMIT, response_too_large};
use zerostrap::{Answered, Context, Failure, Responder, Stream};

use crate::sys;

/// Bytes read at once when streaming: what a pipe holds.
pub(crate) const READ_SIZE: usize = 65_536;

/// Bytes of a response's memory that are kept for the next one. The memory of a longer response is
/// freed.
const RETAINED_BYTES: usize = 1_048_576;

/// Content type of an HTTP response that begins with a prelude: its status and headers as JSON, and
/// NUL bytes (AWS, function URLs with response streaming).
const WITH_PRELUDE: &str = "application/vnd.awslambda.http-integration-response";

/// NUL bytes in a row that end a prelude.
const PRELUDE_END: usize = 8;

/// Search window for the prelude's end, in bytes: API Gateway looks no further.
const PRELUDE_LIMIT: usize = 16_384;

/// Why an event cannot go on.
#[derive(Debug)]
pub(crate) enum Abort {
    /// It is not done at the deadline less the margin.
    TimedOut,
    /// For this reason.
    Failed(Failure),
}

/// A system call failed, so that the handler cannot be watched any more.
impl From<io::Error> for Abort {
    fn from(error: io::Error) -> Abort {
        let message = format!("cannot determine how the handler ended: {error}");
        Abort::Failed(internal::failure(ErrorType::HandlerLost, message))
    }
}

impl Abort {
    /// Returns why a streamed response cannot be sent. If the write took too long, the event timed
    /// out: both have the same limit.
    pub(crate) fn refused(error: io::Error) -> Abort {
        let is_ours = error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none();
        if is_ours || error.kind() == io::ErrorKind::WouldBlock {
            return Abort::TimedOut;
        }
        let message = format!(
            "the Runtime API stopped accepting the response: {error}; the handler was killed"
        );
        Abort::Failed(internal::failure(ErrorType::StreamRefused, message))
    }
}

/// Memory for one response and a little more.
///
/// The address space is reserved at once, and the kernel adds a page when it is written to. So a
/// slot never takes more than the limit, and a small response takes little.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    /// How much of it was written to.
    touched: usize,
}

/// Where one event's output goes.
#[derive(Debug)]
pub(crate) struct Output<'r> {
    sink: Sink<'r>,
    buffer: &'r mut Buffer,
    /// Bytes that are kept or were sent.
    length: usize,
    /// Whether trailing newlines of what is kept are dropped.
    drops_newlines: bool,
    prelude: PreludeScan,
}

/// The way to the Runtime API.
#[derive(Debug)]
pub(crate) enum Sink<'r> {
    /// Kept until the handler ends.
    Buffered(Responder<'r>),
    /// Sent as it comes.
    Streaming(Stream<'r>),
}

/// The search for the end of a prelude.
#[derive(Debug, Default)]
struct PreludeScan {
    /// NUL bytes in a row at the end of what was looked at, [`PRELUDE_END`] once there were so
    /// many.
    nuls: usize,
    /// Bytes that were looked at.
    scanned: usize,
}

impl<'r> Output<'r> {
    pub(crate) fn new(sink: Sink<'r>, buffer: &'r mut Buffer, drops_newlines: bool) -> Output<'r> {
        Output {
            sink,
            buffer,
            length: 0,
            drops_newlines,
            prelude: PreludeScan::default(),
        }
    }

    /// Moves what the pipe holds, once, and returns how much: `None` if that is nothing, 0 at the
    /// pipe's end.
    ///
    /// # Errors
    /// The event cannot go on: the response is over the limit, or is not accepted any more.
    pub(crate) fn receive(&mut self, pipe: &mut PipeReader) -> Result<Option<usize>, Abort> {
        if self.buffer.bytes.is_empty() {
            // One read more than the limit: so that a response that is too long is noticed, and
            // trailing newlines, which are dropped, may exceed the limit.
            self.buffer.bytes = vec![0; PAYLOAD_LIMIT.saturating_add(READ_SIZE)];
        }
        let space = match &self.sink {
            Sink::Buffered(_) => self.buffer.bytes.get_mut(self.length..),
            Sink::Streaming(_) => self.buffer.bytes.get_mut(..READ_SIZE),
        };
        let Some(length) = sys::read_pipe(pipe, space.unwrap_or_default())? else {
            return Ok(None);
        };
        self.length = self.length.saturating_add(length);
        match &mut self.sink {
            Sink::Buffered(_) => self.check_length()?,
            Sink::Streaming(stream) => {
                let part = self.buffer.bytes.get(..length).unwrap_or_default();
                self.prelude.scan(part);
                stream.write_all(part).map_err(Abort::refused)?;
            }
        }
        if self.length == READ_SIZE {
            // The first read found the pipe full.
            sys::enlarge_pipe(pipe);
        }
        Ok(Some(length))
    }

    /// Refuses a response over the limit. Past the limit only newlines are accepted, since trailing
    /// newlines will be dropped.
    fn check_length(&mut self) -> Result<(), Abort> {
        let excess = self.buffer.bytes.get(PAYLOAD_LIMIT..self.length);
        let excess = excess.unwrap_or_default();
        let is_dropped = |byte: &u8| *byte == b'\n' && self.drops_newlines;
        if !excess.iter().all(is_dropped) {
            let least = PAYLOAD_LIMIT.saturating_add(1);
            return Err(Abort::Failed(response_too_large(least, true)));
        }
        self.length = self.length.min(PAYLOAD_LIMIT);
        Ok(())
    }

    /// Returns what was received and not sent.
    pub(crate) fn kept(&self) -> &[u8] {
        if let Sink::Streaming(_) = self.sink {
            return &[];
        }
        let mut kept = self.buffer.bytes.get(..self.length).unwrap_or_default();
        if self.drops_newlines {
            while let [rest @ .., b'\n'] = kept {
                kept = rest;
            }
        }
        kept
    }

    /// Returns a descriptor that becomes readable when the Runtime API replies to a streamed
    /// response before its end; then call [`Output::receive_early_reply`].
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.sink {
            Sink::Buffered(_) => None,
            Sink::Streaming(stream) => internal::descriptor(stream),
        }
    }

    /// Receives that reply.
    ///
    /// # Errors
    /// The Runtime API does not accept the response.
    pub(crate) fn receive_early_reply(&mut self) -> Result<(), Abort> {
        match &mut self.sink {
            Sink::Buffered(_) => Ok(()),
            Sink::Streaming(stream) => {
                internal::receive_early_reply(stream).map_err(Abort::refused)
            }
        }
    }

    /// Answers with what was received, or with a failure.
    pub(crate) fn answer(
        self,
        content_type: &str,
        context: &Context,
        failure: Option<Failure>,
    ) -> Answered {
        let length = self.kept().len();
        let Buffer { bytes, touched } = self.buffer;
        let answered = match (self.sink, failure) {
            (Sink::Buffered(responder), None) => {
                let response = bytes.get(..length).unwrap_or_default();
                responder.respond(content_type, response)
            }
            (Sink::Streaming(stream), None) => {
                if content_type == WITH_PRELUDE && !self.prelude.is_found() {
                    log_missing_prelude(context);
                }
                stream.finish()
            }
            (Sink::Buffered(responder), Some(failure)) => responder.fail(&failure),
            (Sink::Streaming(stream), Some(failure)) => stream.fail(&failure),
        };
        if self.length <= RETAINED_BYTES && *touched > RETAINED_BYTES {
            *bytes = Vec::new();
        }
        *touched = self.length;
        answered
    }
}

impl PreludeScan {
    fn scan(&mut self, part: &[u8]) {
        let room = PRELUDE_LIMIT.saturating_sub(self.scanned);
        for byte in part.iter().take(room) {
            if self.is_found() {
                break;
            }
            self.nuls = match byte {
                0 => self.nuls.saturating_add(1),
                _ => 0,
            };
        }
        self.scanned = self.scanned.saturating_add(part.len());
    }

    fn is_found(&self) -> bool {
        self.nuls >= PRELUDE_END
    }
}

fn log_missing_prelude(context: &Context) {
    let message = format!(
        "the response has no {PRELUDE_END} NUL bytes after its JSON prelude, so that its status and \
         headers are lost; a shell variable cannot hold NULs, print them with printf '{}'",
        "\\0".repeat(PRELUDE_END)
    );
    log::write(Level::Warn, Some(context), &message);
}
