//! Where a reply's body ends, and its bytes (RFC 9112 §6 and §7).
//!
//! The end of the connection is never the end of a body: whoever reads says so with an error of
//! its own, and [`Decoder::is_complete`] is the only word that a body is whole.

use super::head::{Head, HeadError};
use super::{CHUNK_LINE_LIMIT, HEADER_COUNT_LIMIT, number};

/// Why a body was refused. The text is for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// Content-Length is not a plain number.
    Length,
    /// Content-Length and Transfer-Encoding at once: what request smuggling is made of.
    TwoFramings,
    /// A transfer coding other than exactly `chunked`, or in an HTTP/1.0 reply.
    Coding,
    /// A framing header stands twice.
    Repeated,
    /// A chunk-size line is malformed, empty, or over [`CHUNK_LINE_LIMIT`].
    ChunkSize,
    /// The two bytes after a chunk are not CR LF.
    ChunkEnd,
    /// A trailer line is malformed or too long, or there are too many.
    Trailer,
}

impl BodyError {
    /// One phrase for the log.
    pub fn explain(self) -> &'static str {
        match self {
            BodyError::Length => "Content-Length is not a number",
            BodyError::TwoFramings => "the reply has Content-Length and Transfer-Encoding",
            BodyError::Coding => "the reply has a transfer coding other than chunked",
            BodyError::Repeated => "a framing header stands twice",
            BodyError::ChunkSize => "a chunk-size line is malformed",
            BodyError::ChunkEnd => "a chunk does not end in CR LF",
            BodyError::Trailer => "a trailer line is malformed",
        }
    }
}

/// How the end of a body is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By its length in bytes; also "no body", as length 0.
    Length(u64),
    /// By a chunk of size 0.
    Chunked,
    /// By nothing but the end of the connection, which looks the same when the reply was cut.
    UntilClose,
}

impl Framing {
    /// Decides by RFC 9112 §6.3, strictly: what is ambiguous is refused.
    ///
    /// # Errors
    /// Conflicting, repeated or unreadable framing headers.
    pub fn of(head: &Head<'_>) -> Result<Framing, BodyError> {
        let repeated = |_: HeadError| BodyError::Repeated;
        let coding = head.get("transfer-encoding").map_err(repeated)?;
        let length = head.get("content-length").map_err(repeated)?;
        match (coding, length) {
            (Some(_), Some(_)) => Err(BodyError::TwoFramings),
            _ if matches!(head.status, 100..=199 | 204 | 304) => Ok(Framing::Length(0)),
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => {
                if head.is_http_1_0 {
                    Err(BodyError::Coding)
                } else {
                    Ok(Framing::Chunked)
                }
            }
            (Some(_), None) => Err(BodyError::Coding),
            (None, Some(length)) => {
                number(length, 10).map(Framing::Length).ok_or(BodyError::Length)
            }
            (None, None) => Ok(Framing::UntilClose),
        }
    }
}

/// Takes a body out of its framing, fed in pieces of any size.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    /// Bytes in the current chunk-size or trailer line.
    line: usize,
    /// Trailer lines so far.
    trailers: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A body without chunks, with this much left.
    Plain(u64),
    /// In a chunk-size line; the number so far, `None` before its first digit.
    Size(Option<u64>),
    /// In a chunk extension, which is skipped.
    Extension(u64),
    /// After the CR of a chunk-size line.
    SizeEnd(u64),
    /// In a chunk, with this much left.
    Data(u64),
    /// After a chunk, before its CR.
    DataEnd,
    /// Between the CR and the LF after a chunk.
    DataNewline,
    /// At the start of a trailer line, or of the empty line that ends the body.
    TrailerStart,
    /// In a trailer line, which is skipped.
    Trailer,
    /// After the CR of a trailer line.
    TrailerEnd,
    /// After the CR of the empty line.
    LastNewline,
    /// The body is whole.
    Complete,
}

/// What one call of [`Decoder::decode`] made of its input.
#[derive(Debug, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// How many bytes of the input are used up, from its start.
    pub consumed: usize,
    /// Bytes of the body among them; may be empty.
    pub data: &'a [u8],
}

impl Decoder {
    /// For a body of `framing`; one that only ends with the connection is never complete.
    pub fn new(framing: Framing) -> Decoder {
        let state = match framing {
            Framing::Length(0) => State::Complete,
            Framing::Length(length) => State::Plain(length),
            Framing::Chunked => State::Size(None),
            Framing::UntilClose => State::Plain(u64::MAX),
        };
        Decoder { state, line: 0, trailers: 0 }
    }

    /// Whether the last byte of the body, and of its framing, was seen.
    pub fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// Bytes of the body that are certain to come: the rest of it, or of the current chunk.
    pub fn announced(&self) -> u64 {
        match self.state {
            State::Plain(left) | State::Data(left) => left,
            _ => 0,
        }
    }

    /// Uses up bytes until one run of body bytes was found or the input is spent.
    ///
    /// Call again with the rest of the input until [`Decoder::is_complete`] or nothing is left.
    /// Bytes after the end of the body are not touched.
    ///
    /// # Errors
    /// The first rule that the framing breaks.
    pub fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<'a>, BodyError> {
        let mut rest = input;
        while self.state != State::Complete {
            if let State::Plain(left) | State::Data(left) = self.state {
                let length = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                let (data, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
                self.state = self.after_data(left.saturating_sub(data.len() as u64));
                return Ok(Decoded { consumed: input.len().saturating_sub(after.len()), data });
            }
            let Some((&byte, after)) = rest.split_first() else { break };
            self.state = self.after_byte(byte)?;
            rest = after;
        }
        Ok(Decoded { consumed: input.len().saturating_sub(rest.len()), data: &[] })
    }

    fn after_data(&self, left: u64) -> State {
        match (self.state, left) {
            (State::Plain(_), 0) => State::Complete,
            (State::Plain(_), left) => State::Plain(left),
            (_, 0) => State::DataEnd,
            (_, left) => State::Data(left),
        }
    }

    /// The chunk framing, a byte at a time, so that where the input is split cannot matter.
    fn after_byte(&mut self, byte: u8) -> Result<State, BodyError> {
        let error = match self.state {
            State::DataEnd | State::DataNewline => BodyError::ChunkEnd,
            State::Size(_) | State::Extension(_) | State::SizeEnd(_) => BodyError::ChunkSize,
            _ => BodyError::Trailer,
        };
        self.line = self.line.saturating_add(1);
        if self.line > CHUNK_LINE_LIMIT {
            return Err(error);
        }
        let next = match (self.state, byte) {
            (State::Size(Some(size)), b'\r') => State::SizeEnd(size),
            (State::Size(Some(size)), b';') => State::Extension(size),
            // White space before an extension: RFC 9112 §7.1.1 has it as "bad" but permitted.
            (State::Size(Some(size)), b' ' | b'\t') => State::Extension(size),
            (State::Size(size), digit) => State::Size(Some(longer_size(size, digit)?)),
            (State::Extension(size), b'\r') => State::SizeEnd(size),
            (State::Extension(size), byte) if byte != b'\n' => State::Extension(size),
            (State::SizeEnd(0), b'\n') => State::TrailerStart,
            (State::SizeEnd(size), b'\n') => State::Data(size),
            (State::DataEnd, b'\r') => State::DataNewline,
            (State::DataNewline, b'\n') => State::Size(None),
            (State::TrailerStart, b'\r') => State::LastNewline,
            (State::TrailerStart | State::Trailer, byte) if !matches!(byte, b'\r' | b'\n') => {
                State::Trailer
            }
            (State::Trailer, b'\r') => State::TrailerEnd,
            (State::TrailerEnd, b'\n') => State::TrailerStart,
            (State::LastNewline, b'\n') => State::Complete,
            _ => return Err(error),
        };
        if byte == b'\n' {
            self.line = 0;
            self.trailers =
                self.trailers.saturating_add(usize::from(self.state == State::TrailerEnd));
            if self.trailers > HEADER_COUNT_LIMIT {
                return Err(BodyError::Trailer);
            }
        }
        Ok(next)
    }
}

/// One more hexadecimal digit of a chunk size.
fn longer_size(size: Option<u64>, digit: u8) -> Result<u64, BodyError> {
    let digit = number(&[digit], 16).ok_or(BodyError::ChunkSize)?;
    let size = size.unwrap_or(0).checked_mul(16).ok_or(BodyError::ChunkSize)?;
    size.checked_add(digit).ok_or(BodyError::ChunkSize)
}
