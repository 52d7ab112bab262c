//! A handler's standard output on its way to the Runtime API: kept until the handler ends, or sent
//! as it comes.

use std::io::{PipeReader, Read, Write};
use std::os::fd::BorrowedFd;

use zerostrap::log::{self, Level};
use zerostrap::{Answered, Failure, Invocation, PAYLOAD_LIMIT, Reply, Stream, too_large};

use super::execution::Stop;

/// Most bytes that a pipe can hold when its last writer is gone (/proc/sys/fs/pipe-max-size).
pub(crate) const PIPE_LIMIT: usize = 1_048_576;

/// Bytes taken from the pipe at once when streaming: what a pipe holds.
pub(crate) const PART: usize = 65_536;

/// Memory for responses of more than this is given back once one did not need it.
const KEEP: usize = 1_048_576;

/// Content type of an HTTP response with its status and headers before the body, and the NUL bytes
/// between them (AWS, function URLs with response streaming).
const WITH_PRELUDE: &str = "application/vnd.awslambda.http-integration-response";
const PRELUDE_END: usize = 8;

/// Where API Gateway stops to look for them.
const PRELUDE_LIMIT: usize = 16_384;

const NO_PRELUDE_END: &str = "the response has no 8 NUL bytes after its JSON prelude, so that its \
    status and headers are lost; a shell variable cannot hold NULs, print them with printf \
    '\\0\\0\\0\\0\\0\\0\\0\\0'";

/// Memory for one response and a little more.
///
/// It is reserved at once and becomes real page by page as it is written to, so that a slot never
/// takes more than the limit and small responses take little.
#[derive(Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    /// How much of it is real.
    touched: usize,
}

/// Where one event's output goes.
pub(crate) struct Output<'r> {
    pub(crate) way: Way<'r>,
    pub(crate) buffer: &'r mut Buffer,
    /// Bytes that are kept or were sent.
    pub(crate) length: usize,
    /// Trailing newlines of what is kept are dropped, as `$(…)` does.
    pub(crate) drops_newlines: bool,
    /// NUL bytes in a row at the end of what was sent, until there were [`PRELUDE_END`].
    pub(crate) nuls: usize,
}

/// Kept until the handler ends, or sent as it comes.
pub(crate) enum Way<'r> {
    Buffered(Reply<'r>),
    Streaming(Stream<'r>),
}

impl Output<'_> {
    /// Takes what the pipe holds, once, and tells how much; 0 is its end. It must be readable.
    ///
    /// # Errors
    /// The event cannot go on: the response is over the limit, or is not taken any more.
    pub(crate) fn take(&mut self, pipe: &mut PipeReader) -> Result<usize, Stop> {
        if self.buffer.bytes.is_empty() {
            // Room past the limit: a longer response is known by it, newlines that are dropped pass
            // through it, and there is always room for a part.
            self.buffer.bytes = vec![0; PAYLOAD_LIMIT.saturating_add(PART)];
        }
        let space = match self.way {
            Way::Buffered(_) => self.buffer.bytes.get_mut(self.length..),
            Way::Streaming(_) => self.buffer.bytes.get_mut(..PART),
        };
        let space = space.unwrap_or_default();
        let length = pipe.read(space)?;
        let before = self.length;
        self.length = before.saturating_add(length);
        let Way::Streaming(stream) = &mut self.way else {
            return self.keep().map(|()| length);
        };
        let part = space.get(..length).unwrap_or_default();
        let looked_at = part.iter().take(PRELUDE_LIMIT.saturating_sub(before));
        self.nuls = looked_at.fold(self.nuls, |nuls, &byte| match (nuls, byte) {
            (PRELUDE_END, _) => PRELUDE_END,
            (_, 0) => nuls.saturating_add(1),
            _ => 0,
        });
        stream.write_all(part).map_err(Stop::refused)?;
        Ok(length)
    }

    /// Newlines past the limit may be dropped yet; after them only newlines may come.
    fn keep(&mut self) -> Result<(), Stop> {
        let excess = self
            .buffer
            .bytes
            .get(PAYLOAD_LIMIT..self.length)
            .unwrap_or_default();
        if !excess
            .iter()
            .all(|&byte| byte == b'\n' && self.drops_newlines)
        {
            let size = format!("{} bytes or more", PAYLOAD_LIMIT.saturating_add(1));
            return Err(Stop::Because(too_large(&size)));
        }
        self.length = self.length.min(PAYLOAD_LIMIT);
        Ok(())
    }

    /// What was taken and not sent.
    pub(crate) fn kept(&self) -> &[u8] {
        let Way::Buffered(_) = self.way else {
            return &[];
        };
        let mut kept = self.buffer.bytes.get(..self.length).unwrap_or_default();
        while let (true, [rest @ .., b'\n']) = (self.drops_newlines, kept) {
            kept = rest;
        }
        kept
    }

    /// Becomes readable when the Runtime API ends a streamed response by itself.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        let Way::Streaming(stream) = &self.way else {
            return None;
        };
        stream.descriptor()
    }

    /// Answers with what was taken, or with a failure.
    pub(crate) fn answer(
        self,
        content_type: &str,
        invocation: &Invocation,
        failure: Option<Failure>,
    ) -> Answered {
        let length = self.kept().len();
        let Buffer { bytes, touched } = self.buffer;
        let answered = match (self.way, failure) {
            (Way::Buffered(reply), None) => {
                reply.respond(content_type, bytes.get(..length).unwrap_or_default())
            }
            (Way::Buffered(reply), Some(failure)) => reply.fail(&failure),
            (Way::Streaming(stream), None) => {
                if content_type == WITH_PRELUDE && self.nuls < PRELUDE_END {
                    log::write(Level::Warn, Some(invocation), NO_PRELUDE_END);
                }
                stream.finish()
            }
            (Way::Streaming(stream), Some(failure)) => stream.fail(&failure),
        };
        if self.length <= KEEP && *touched > KEEP {
            *bytes = Vec::new();
        }
        *touched = self.length;
        answered
    }
}
