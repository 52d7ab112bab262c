//! Where a reply's body ends, and its bytes (RFC 9112 §6 and §7).
//!
//! In: bytes in pieces of any size, whose splits must never matter. Out: the body's bytes. The end
//! of the connection is never the end of a body: whoever reads says so with an error of its own,
//! and [`Decoder::is_complete`] is the only word that a body is whole. An error is one phrase for
//! the log.

use super::head::Head;
use super::{CHUNK_LINE_LIMIT, HEADER_COUNT_LIMIT, number, same};

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
            (Some(coding), _) if same(coding, b"chunked") && !head.is_http_1_0 => {
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
    /// What is there of the current line, at most [`CHUNK_LINE_LIMIT`] bytes.
    line: Vec<u8>,
    /// Trailer lines so far.
    trailers: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a body without chunks, with this much left.
    Plain(u64),
    /// In a chunk-size line.
    Size,
    /// In a chunk, with this much left.
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
            Framing::Length(length) => State::Plain(length),
            Framing::Chunked => State::Size,
            Framing::UntilClose => State::Plain(u64::MAX),
        };
        Decoder { state, line: Vec::new(), trailers: 0 }
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

    /// One step: a run of body bytes, or a line of the framing as far as it is there.
    ///
    /// Gives how many bytes of `input` are used up, from its start, and those of the body among
    /// them, which are never more than were [`Decoder::announced`]. Bytes after the end of the body
    /// are not touched.
    ///
    /// # Errors
    /// The first rule that the framing breaks.
    pub fn decode<'a>(&mut self, input: &'a [u8]) -> Result<(usize, &'a [u8]), &'static str> {
        if let State::Plain(left) | State::Data(left) = self.state {
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
            self.state = match (self.state, left.saturating_sub(length as u64)) {
                (State::Plain(_), 0) => State::Complete,
                (State::Plain(_), left) => State::Plain(left),
                (_, 0) => State::DataEnd,
                (_, left) => State::Data(left),
            };
            return Ok((length, input.get(..length).unwrap_or_default()));
        }
        let refusal = match self.state {
            State::Complete => return Ok((0, &[])),
            State::Size => "a chunk-size line is malformed",
            State::DataEnd => "a chunk does not end in CR LF",
            _ => "a trailer line is malformed",
        };
        let newline = input.iter().position(|&byte| byte == b'\n');
        let length = newline.map_or(input.len(), |newline| newline.saturating_add(1));
        let part = input.get(..length).unwrap_or_default();
        if self.line.len().saturating_add(length) > CHUNK_LINE_LIMIT {
            return Err(refusal);
        }
        self.line.extend_from_slice(part);
        self.state = self.after_line().ok_or(refusal)?;
        Ok((length, &[]))
    }

    /// Judges the line as far as it is there: what can be no line is refused without waiting for
    /// its end, which may never come. `None`: refused.
    fn after_line(&mut self) -> Option<State> {
        let is_whole = self.line.ends_with(b"\n");
        let text = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        let text = match text.strip_suffix(b"\r") {
            Some(text) => text,
            None if is_whole => return None,
            None => text,
        };
        let begins_well = match self.state {
            State::Size => self.line.first().is_some_and(u8::is_ascii_hexdigit),
            State::DataEnd => text.is_empty(),
            _ => true,
        };
        if !begins_well || text.contains(&b'\r') {
            return None;
        }
        if !is_whole {
            return Some(self.state);
        }
        let next = match self.state {
            State::Size => match chunk_size(text)? {
                0 => State::Trailer,
                size => State::Data(size),
            },
            State::DataEnd => State::Size,
            _ if text.is_empty() => State::Complete,
            _ if self.trailers == HEADER_COUNT_LIMIT => return None,
            state => {
                self.trailers = self.trailers.saturating_add(1);
                state
            }
        };
        self.line.clear();
        Some(next)
    }
}

/// Reads `1*HEXDIG [chunk-ext]`; the extension is skipped. White space before it is "bad" but
/// permitted (RFC 9112 §7.1.1).
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, extension) = line.split_at_checked(digits)?;
    matches!(extension, [] | [b';' | b' ' | b'\t', ..]).then(|| number(digits, 16))?
}
