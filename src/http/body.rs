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
    pub fn of(head: &Head) -> Result<Framing, &'static str> {
        let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
        match (head.get("Transfer-Encoding")?, head.get("Content-Length")?) {
            (Some(_), Some(_)) => Err("the reply has Content-Length and Transfer-Encoding"),
            _ if matches!(head.status, 100..=199 | 204 | 304) => Ok(Framing::Length(0)),
            (Some(coding), _) if is_chunked(coding) && !head.is_http_1_0 => Ok(Framing::Chunked),
            (Some(_), _) => Err("the reply has a transfer coding other than chunked"),
            (None, Some(length)) => number(length, 10)
                .map(Framing::Length)
                .ok_or("Content-Length is not a number"),
            (None, None) => Ok(Framing::UntilClose),
        }
    }
}

/// Takes a body out of its framing.
pub struct Decoder {
    state: State,
    /// What is there of the current line, at most [`CHUNK_LINE_LIMIT`] bytes.
    line: Vec<u8>,
}

enum State {
    /// In a body without chunks, with this much left. It is whole when nothing is.
    Body(u64),
    /// In a chunk-size line.
    Size,
    /// In a chunk with this much left; when nothing is, in the empty line after it.
    Chunk(u64),
    /// In a trailer line before at most so many, or in the empty line that ends the body.
    Trailer(usize),
}

impl Decoder {
    /// For a body of `framing`; one that only ends with the connection is never complete.
    pub fn new(framing: Framing) -> Decoder {
        let state = match framing {
            Framing::Length(length) => State::Body(length),
            Framing::Chunked => State::Size,
            Framing::UntilClose => State::Body(u64::MAX),
        };
        Decoder {
            state,
            line: Vec::new(),
        }
    }

    /// Whether the last byte of the body, and of its framing, was seen.
    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::Body(0))
    }

    /// Bytes of the body that are certain to come: the rest of it, or of the current chunk.
    pub fn announced(&self) -> u64 {
        if let State::Body(left) | State::Chunk(left) = self.state {
            left
        } else {
            0
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
        if let State::Body(left) | State::Chunk(left @ 1..) = &mut self.state {
            let length = usize::try_from(*left)
                .unwrap_or(usize::MAX)
                .min(input.len());
            *left = left.saturating_sub(length as u64);
            return Ok((length, input.get(..length).unwrap_or_default()));
        }
        let newline = input.iter().position(|&byte| byte == b'\n');
        let length = newline.map_or(input.len(), |newline| newline.saturating_add(1));
        self.line
            .extend_from_slice(input.get(..length).unwrap_or_default());
        // A line that is not yet whole is judged as if it were: what begins no line is refused
        // without waiting for its end, which may never come.
        let text = match newline {
            Some(_) => self.line.strip_suffix(b"\r\n"),
            None => Some(self.line.strip_suffix(b"\r").unwrap_or(&self.line)),
        };
        let text = text.filter(|it| !it.contains(&b'\r') && self.line.len() <= CHUNK_LINE_LIMIT);
        let empty = text.filter(|text| text.is_empty());
        let after_trailer = |left: usize| text.and(left.checked_sub(1)).map(State::Trailer);
        let next = match self.state {
            State::Size => text
                .and_then(after_size)
                .ok_or("a chunk-size line is malformed"),
            State::Trailer(_) if empty.is_some() => Ok(State::Body(0)),
            State::Trailer(left) => after_trailer(left).ok_or("a trailer line is malformed"),
            _ => empty
                .map(|_| State::Size)
                .ok_or("a chunk does not end in CR LF"),
        }?;
        if newline.is_some() {
            self.state = next;
            self.line.clear();
        }
        Ok((length, &[]))
    }
}

/// Reads `1*HEXDIG [chunk-ext]`; the extension is skipped. White space before it is "bad" but
/// permitted (RFC 9112 §7.1.1).
fn after_size(line: &[u8]) -> Option<State> {
    let digits = line
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    let (digits, extension) = line.split_at_checked(digits)?;
    let size = number(digits, 16)?;
    let next = if size == 0 {
        State::Trailer(HEADER_COUNT_LIMIT)
    } else {
        State::Chunk(size)
    };
    matches!(extension.trim_ascii_start(), [] | [b';', ..]).then_some(next)
}
