//! A handler's standard output on its way to the Runtime API: kept until the handler ends, or sent
//! as it comes.

use std::io::{PipeReader, Read, Write};
use std::os::fd::BorrowedFd;
use std::time::SystemTime;

use zerostrap::log::{self, Level};
use zerostrap::{Answered, Failure, Invocation, PAYLOAD_LIMIT, Reply, Settings, Stream, too_large};

use super::run::Stop;

/// Most bytes that a pipe can hold when its last writer is gone (/proc/sys/fs/pipe-max-size).
pub(crate) const PIPE_LIMIT: usize = 1_048_576;

/// Bytes taken from the pipe at once when streaming: what a pipe holds.
pub(crate) const PART: usize = 65_536;

/// Room past the limit: a longer response is known by it, newlines that are dropped pass through it,
/// and there is always room for a [`PART`].
const EXCESS: usize = PART;

/// Memory for responses of more than this is given back once one did not need it.
const KEEP: usize = 1_048_576;

/// Content type of an HTTP response with its status and headers before the body, and the NUL bytes
/// between them (AWS, function URLs with response streaming).
const WITH_PRELUDE: &str = "application/vnd.awslambda.http-integration-response";
const PRELUDE_END: usize = 8;

/// Where API Gateway stops to look for them.
const PRELUDE_LIMIT: usize = 16_384;

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
pub(crate) struct Output<'a> {
    buffer: &'a mut Buffer,
    length: usize,
    way: Way<'a>,
    content_type: &'a str,
    /// As `$(…)` does. What is streamed goes as it is.
    drops_newlines: bool,
    /// NUL bytes in a row at the end of what came, until there were [`PRELUDE_END`].
    nuls: usize,
}

enum Way<'a> {
    Buffered(Reply<'a>),
    Streaming(Stream<'a>),
}

impl<'a> Output<'a> {
    /// What the Runtime API does not take of a stream by `until` is not sent.
    pub(crate) fn new(
        settings: &'a Settings,
        buffer: &'a mut Buffer,
        reply: Reply<'a>,
        until: Option<SystemTime>,
        drops_newlines: bool,
    ) -> Self {
        let content_type = settings.content_type.as_str();
        let way = match settings.streaming {
            true => Way::Streaming(reply.stream(content_type, until)),
            false => Way::Buffered(reply),
        };
        Output { buffer, length: 0, way, content_type, drops_newlines, nuls: 0 }
    }

    /// Takes what the pipe holds, once, and tells how much; 0 is its end. It must be readable.
    ///
    /// # Errors
    /// The event cannot go on: the response is over the limit, or is not taken any more.
    pub(crate) fn take(&mut self, pipe: &mut PipeReader) -> Result<usize, Stop> {
        if self.buffer.bytes.is_empty() {
            self.buffer.bytes = vec![0; PAYLOAD_LIMIT.saturating_add(EXCESS)];
        }
        let space = match self.way {
            Way::Buffered(_) => self.buffer.bytes.get_mut(self.length..),
            Way::Streaming(_) => self.buffer.bytes.get_mut(..PART),
        };
        let space = space.unwrap_or_default();
        let length = pipe.read(space)?;
        let part = space.get(..length).unwrap_or_default();
        match &mut self.way {
            Way::Buffered(_) => self.keep(length)?,
            Way::Streaming(stream) => {
                let looked_at = part.iter().take(PRELUDE_LIMIT.saturating_sub(self.length));
                self.nuls = looked_at.fold(self.nuls, |nuls, &byte| match (nuls, byte) {
                    (PRELUDE_END, _) => PRELUDE_END,
                    (_, 0) => nuls.saturating_add(1),
                    _ => 0,
                });
                self.length = self.length.saturating_add(length);
                stream.write_all(part).map_err(Stop::refused)?;
            }
        }
        Ok(length)
    }

    /// Newlines past the limit may be dropped yet; after them only newlines may come.
    fn keep(&mut self, length: usize) -> Result<(), Stop> {
        self.length = self.length.saturating_add(length);
        let excess = self.buffer.bytes.get(PAYLOAD_LIMIT..self.length).unwrap_or_default();
        if !excess.iter().all(|&byte| byte == b'\n' && self.drops_newlines) {
            let size = format!("{} bytes or more", PAYLOAD_LIMIT.saturating_add(1));
            return Err(Stop::Because(too_large(&size)));
        }
        self.length = self.length.min(PAYLOAD_LIMIT);
        Ok(())
    }

    /// Becomes readable when the Runtime API ends a streamed response by itself.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.way {
            Way::Buffered(_) => None,
            Way::Streaming(stream) => stream.descriptor(),
        }
    }

    /// Answers with what was taken.
    pub(crate) fn succeed(self, invocation: &Invocation) -> Answered {
        let answered = match self.way {
            Way::Buffered(reply) => {
                let kept = kept(&self.buffer.bytes, self.length, self.drops_newlines);
                reply.respond(self.content_type, kept)
            }
            Way::Streaming(stream) => {
                if self.content_type == WITH_PRELUDE && self.nuls < PRELUDE_END {
                    let message = "the response has no 8 NUL bytes after its JSON prelude, so that \
                        its status and headers are lost; a shell variable cannot hold NULs, print \
                        them with printf '\\0\\0\\0\\0\\0\\0\\0\\0'";
                    log::write(Level::Warn, Some(invocation), message);
                }
                stream.finish()
            }
        };
        self.buffer.give_back(self.length);
        answered
    }

    /// Fails the event. `may_be_document`: output that was not sent may be the error document.
    pub(crate) fn fail(self, failure: Failure, may_be_document: bool) -> Answered {
        let answered = match self.way {
            Way::Buffered(reply) if may_be_document => {
                let kept = kept(&self.buffer.bytes, self.length, self.drops_newlines);
                reply.fail(&failure.with_document(kept))
            }
            Way::Buffered(reply) => reply.fail(&failure),
            Way::Streaming(stream) => stream.fail(&failure),
        };
        self.buffer.give_back(self.length);
        answered
    }
}

/// Output that was taken and not sent.
fn kept(bytes: &[u8], length: usize, drops_newlines: bool) -> &[u8] {
    let mut kept = bytes.get(..length).unwrap_or_default();
    while let (true, [rest @ .., b'\n']) = (drops_newlines, kept) {
        kept = rest;
    }
    kept
}

impl Buffer {
    fn give_back(&mut self, used: usize) {
        if used <= KEEP && self.touched > KEEP {
            *self = Buffer::default();
        }
        self.touched = used;
    }
}
