//! Where a reply's body ends, and its bytes (RFC 9112 §6 and §7).
//!
//! In: bytes in pieces of any size, whose splits must never matter. Out: the body's bytes. The end
//! of the connection is never the end of a body: whoever reads says so with an error of its own,
//! and [`Decoder::is_complete`] is the only word that a body is whole. An error is one phrase for
//! the log.

use super::head::Head;
use super::{CHUNK_LINE_LIMIT, HEADER_COUNT_LIMIT, number};

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
    /// Decides by RFC 9112 §6.3, strictly: what is ambiguous is refused. Content-Length and
    /// Transfer-Encoding at once are what request smuggling is made of.
    ///
    /// # Errors
    /// Conflicting, repeated or unreadable framing headers.
    pub fn of(head: &Head<'_>) -> Result<Framing, &'static str> {
        match (head.get("Transfer-Encoding")?, head.get("Content-Length")?) {
            (Some(_), Some(_)) => Err("the reply has Content-Length and Transfer-Encoding"),
            _ if matches!(head.status, 100..=199 | 204 | 304) => Ok(Framing::Length(0)),
            (Some(coding), _) if coding.eq_ignore_ascii_case(b"chunked") && !head.is_http_1_0 => {
                Ok(Framing::Chunked)
            }
            (Some(_), _) => Err("the reply has a transfer coding other than chunked"),
            (None, Some(length)) => {
                number(length, 10).map(Framing::Length).ok_or("Content-Length is not a number")
            }
            (None, None) => Ok(Framing::UntilClose),
        }
    }
}

/// Takes a body out of its framing.
pub struct Decoder {
    state: State,
    is_chunked: bool,
    /// What is there of the current line, at most [`CHUNK_LINE_LIMIT`] bytes.
    line: Vec<u8>,
    /// Trailer lines so far.
    trailers: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a chunk-size line.
    Size,
    /// In a chunk, or in a body without chunks, with this much left.
    Data(u64),
    /// In the empty line after a chunk.
    DataEnd,
    /// In a trailer line, or in the empty line that ends the body.
    Trailer,
    /// The body is whole.
    Complete,
}

impl Decoder {
    /// For a body of `framing`; one that only ends with the connection is never complete.
    pub fn new(framing: Framing) -> Decoder {
        let state = match framing {
            Framing::Length(0) => State::Complete,
            Framing::Length(length) => State::Data(length),
            Framing::Chunked => State::Size,
            Framing::UntilClose => State::Data(u64::MAX),
        };
        let is_chunked = framing == Framing::Chunked;
        Decoder { state, is_chunked, line: Vec::new(), trailers: 0 }
    }

    /// Whether the last byte of the body, and of its framing, was seen.
    pub fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// Bytes of the body that are certain to come: the rest of it, or of the current chunk.
    pub fn announced(&self) -> u64 {
        if let State::Data(left) = self.state { left } else { 0 }
    }

    /// One step: a run of body bytes, or a line of the framing as far as it is there.
    ///
    /// Gives how many bytes of `input` are used up, from its start, and those of the body among
    /// them, which are never more than were [`Decoder::announced`]. Bytes after the end of the body
    /// are not touched.
    ///
    /// # Errors
    /// The first rule that the framing breaks.
    pub fn decode<'a>(&mut self, input: &'a [u8]) -> Result<(usize, &'a [u8]), &'static str> {
        let refusal = match self.state {
            State::Complete => return Ok((0, &[])),
            State::Data(left) => {
                let length = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                self.state = match left.saturating_sub(length as u64) {
                    0 if self.is_chunked => State::DataEnd,
                    0 => State::Complete,
                    left => State::Data(left),
                };
                return Ok((length, input.get(..length).unwrap_or_default()));
            }
            State::Size => "a chunk-size line is malformed",
            State::DataEnd => "a chunk does not end in CR LF",
            State::Trailer => "a trailer line is malformed",
        };
        let newline = input.iter().position(|&byte| byte == b'\n');
        let length = newline.map_or(input.len(), |newline| newline.saturating_add(1));
        if self.line.len().saturating_add(length) > CHUNK_LINE_LIMIT {
            return Err(refusal);
        }
        let mut line = std::mem::take(&mut self.line);
        line.extend_from_slice(input.get(..length).unwrap_or_default());
        match line.strip_suffix(b"\r\n") {
            Some(text) => self.state = self.after(text).ok_or(refusal)?,
            None if newline.is_none() && self.may_begin(&line) => self.line = line,
            None => return Err(refusal),
        }
        Ok((length, &[]))
    }

    /// Whether a line that is not yet whole can become one. What cannot is refused without waiting
    /// for its end, which may never come.
    fn may_begin(&self, line: &[u8]) -> bool {
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        let begins_well = match self.state {
            State::Size => line.first().is_none_or(u8::is_ascii_hexdigit),
            State::DataEnd => text.is_empty(),
            _ => true,
        };
        begins_well && !text.contains(&b'\r')
    }

    /// What comes after a line; `None`: it is malformed.
    fn after(&mut self, line: &[u8]) -> Option<State> {
        match self.state {
            _ if line.contains(&b'\r') => None,
            State::Size => match chunk_size(line)? {
                0 => Some(State::Trailer),
                size => Some(State::Data(size)),
            },
            State::DataEnd => line.is_empty().then_some(State::Size),
            _ if line.is_empty() => Some(State::Complete),
            _ => {
                self.trailers = self.trailers.saturating_add(1);
                (self.trailers <= HEADER_COUNT_LIMIT).then_some(State::Trailer)
            }
        }
    }
}

/// Reads `1*HEXDIG [chunk-ext]`; the extension is skipped. White space before it is "bad" but
/// permitted (RFC 9112 §7.1.1).
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, extension) = line.split_at_checked(digits)?;
    matches!(extension, [] | [b';' | b' ' | b'\t', ..]).then(|| number(digits, 16))?
}
