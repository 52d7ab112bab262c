//! A handler's standard output on its way to the Runtime API: kept until the handler ends, or sent
//! as it comes.

use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;
use std::time::SystemTime;

use zerostrap::log::{self, Level};
use zerostrap::{Answered, Failure, Invocation, PAYLOAD_LIMIT, Reply, Settings, Stream};

/// Bytes taken from the pipe at once when streaming: what a pipe holds.
const PART: usize = 65_536;

/// A buffer that held more than this is given back after the event.
const KEEP: usize = 1_048_576;

/// Room past the limit: a longer response is known by it, and newlines that are dropped pass
/// through it.
const EXCESS: usize = 4_096;

/// Memory for one response and a little more.
///
/// It is reserved at once and becomes real page by page as it is written to, so that a slot never
/// takes more than the limit and small responses take little.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
}

impl Buffer {
    fn space(&mut self) -> &mut [u8] {
        if self.bytes.is_empty() {
            self.bytes = vec![0; PAYLOAD_LIMIT.saturating_add(EXCESS)];
        }
        &mut self.bytes
    }
}

/// Where one event's output goes.
#[derive(Debug)]
pub(crate) struct Output<'a> {
    buffer: &'a mut Buffer,
    length: usize,
    way: Way<'a>,
    content_type: &'a str,
    drops_newlines: bool,
    prelude: Option<Prelude>,
}

#[derive(Debug)]
enum Way<'a> {
    Buffered(Reply<'a>),
    Streaming(Stream<'a>),
}

/// Content type of an HTTP response with its status and headers before the body (AWS, function URLs
/// with response streaming).
const WITH_PRELUDE: &str = "application/vnd.awslambda.http-integration-response";

/// Where API Gateway stops to look for the end of that prelude.
const PRELUDE_LIMIT: usize = 16_384;

/// Looks for the 8 NUL bytes that end the prelude of an HTTP response.
#[derive(Debug, Default)]
struct Prelude {
    seen: usize,
    nuls: usize,
    has_ended: bool,
}

impl Prelude {
    fn look_at(&mut self, part: &[u8]) {
        let room = PRELUDE_LIMIT.saturating_sub(self.seen);
        for &byte in part.iter().take(room) {
            self.nuls = if byte == 0 { self.nuls.saturating_add(1) } else { 0 };
            self.has_ended |= self.nuls == 8;
        }
        self.seen = self.seen.saturating_add(part.len());
    }
}

/// What became of one read.
#[derive(Debug)]
pub(crate) enum Taken {
    More,
    End,
    /// The response is over the limit.
    TooLarge,
    /// The Runtime API takes no more of the response.
    Refused(io::ErrorKind),
}

impl<'a> Output<'a> {
    /// What the Runtime API does not take of a stream by `until` is not sent.
    pub(crate) fn new(
        settings: &'a Settings,
        buffer: &'a mut Buffer,
        reply: Reply<'a>,
        until: Option<SystemTime>,
    ) -> Self {
        let content_type = settings.content_type.as_str();
        let way = match settings.streaming {
            true => Way::Streaming(reply.stream(content_type, until)),
            false => Way::Buffered(reply),
        };
        let prelude = (settings.streaming && content_type == WITH_PRELUDE).then(Prelude::default);
        Output { buffer, length: 0, way, content_type, drops_newlines: false, prelude }
    }

    /// Takes what the pipe holds, once. It must be readable.
    pub(crate) fn take(&mut self, pipe: &mut impl Read) -> Taken {
        self.take_counted(pipe).0
    }

    /// The same, and how many bytes that were.
    pub(crate) fn take_counted(&mut self, pipe: &mut impl Read) -> (Taken, usize) {
        let from = match self.way {
            Way::Buffered(_) => self.length,
            Way::Streaming(_) => 0,
        };
        let space = self.buffer.space().get_mut(from..).unwrap_or_default();
        let most = space.len().min(if from == 0 { PART } else { usize::MAX });
        let space = space.get_mut(..most).unwrap_or_default();
        let read = match pipe.read(space) {
            Ok(0) => return (Taken::End, 0),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return (Taken::More, 0),
            Err(_) => return (Taken::End, 0),
        };
        self.length = self.length.saturating_add(read);
        if let Some(prelude) = &mut self.prelude {
            prelude.look_at(space.get(..read).unwrap_or_default());
        }
        let taken = match &mut self.way {
            Way::Buffered(_) => self.measure(),
            Way::Streaming(stream) => match stream.write(space.get(..read).unwrap_or_default()) {
                Ok(_) => Taken::More,
                Err(error) => Taken::Refused(error.kind()),
            },
        };
        (taken, read)
    }

    /// Newlines past the limit may be dropped yet; after them only newlines may come.
    fn measure(&mut self) -> Taken {
        let excess = self.buffer.bytes.get(PAYLOAD_LIMIT..self.length).unwrap_or_default();
        if !excess.iter().all(|&byte| byte == b'\n' && self.drops_newlines) {
            return Taken::TooLarge;
        }
        self.length = self.length.min(PAYLOAD_LIMIT);
        Taken::More
    }

    /// Becomes readable when the Runtime API ends a streamed response by itself.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.way {
            Way::Buffered(_) => None,
            Way::Streaming(stream) => stream.descriptor(),
        }
    }

    /// From now on trailing newlines are dropped, as `$(…)` does. What is streamed goes as it is.
    pub(crate) fn drop_trailing_newlines(&mut self) {
        self.drops_newlines = true;
    }

    /// Answers with what was taken.
    pub(crate) fn succeed(self, invocation: &Invocation) -> Answered {
        if self.prelude.as_ref().is_some_and(|prelude| !prelude.has_ended) {
            let message = "the response has no 8 NUL bytes after its JSON prelude, so that its \
                status and headers are lost; a shell variable cannot hold NULs, print them with \
                printf '\\0\\0\\0\\0\\0\\0\\0\\0'";
            log::write(Level::Warn, Some(invocation), message);
        }
        let length = self.kept().len();
        let answered = match self.way {
            Way::Buffered(reply) => {
                let body = self.buffer.bytes.get(..length).unwrap_or_default();
                reply.respond(self.content_type, body)
            }
            Way::Streaming(stream) => stream.finish(),
        };
        give_back(self.buffer, self.length);
        answered
    }

    /// Fails the event. `may_be_document`: the output itself may be the error document.
    pub(crate) fn fail(self, failure: Failure, may_be_document: bool) -> Answered {
        let failure = match may_be_document {
            true => failure.with_document(self.kept()),
            false => failure,
        };
        let answered = match self.way {
            Way::Buffered(reply) => reply.fail(&failure),
            Way::Streaming(stream) => stream.fail(&failure),
        };
        give_back(self.buffer, self.length);
        answered
    }

    /// Output that was taken and not sent.
    fn kept(&self) -> &[u8] {
        let Way::Buffered(_) = self.way else { return &[] };
        let mut kept = self.buffer.bytes.get(..self.length).unwrap_or_default();
        while let (true, [rest @ .., b'\n']) = (self.drops_newlines, kept) {
            kept = rest;
        }
        kept
    }
}

fn give_back(buffer: &mut Buffer, used: usize) {
    if used > KEEP {
        buffer.bytes = Vec::new();
    }
}
