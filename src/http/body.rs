//! Where a reply's body ends, and its bytes (RFC 9112 §6 and §7).
//!
//! In: bytes in pieces of any size, whose splits must never matter. Out: the body's bytes. The end
//! of the connection is never the end of a body: the caller reports that end as an error of its
//! own, and only [`Decoder::is_complete`] says that a body is whole.

use super::error::{Error, shown};
use super::head::Head;
use super::{CHUNK_LINE_LIMIT, HEADER_COUNT_LIMIT, TRAILER_LINE_LIMIT};
use crate::number;

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
    /// Decides by RFC 9112 §6.3, strictly: an ambiguous reply is refused.
    ///
    /// # Errors
    /// Conflicting, repeated or unreadable framing headers.
    pub fn of(head: &Head) -> Result<Framing, Error> {
        let coding = head.get("Transfer-Encoding")?;
        let length = head.get("Content-Length")?;
        if let (Some(coding), Some(length)) = (coding, length) {
            let (length, coding) = (shown(length), shown(coding));
            return Err(Error::TwoFramings { length, coding });
        }
        if matches!(head.status, 100..=199 | 204 | 304) {
            return Ok(Framing::Length(0));
        }
        if let Some(coding) = coding {
            return chunked(coding, head.is_http_1_0);
        }
        let Some(length) = length else {
            return Ok(Framing::UntilClose);
        };
        match number::decimal(length) {
            Some(length) => Ok(Framing::Length(length)),
            None => Err(Error::MalformedLength {
                length: shown(length),
            }),
        }
    }
}

fn chunked(coding: &[u8], is_http_1_0: bool) -> Result<Framing, Error> {
    if coding.eq_ignore_ascii_case(b"chunked") && !is_http_1_0 {
        return Ok(Framing::Chunked);
    }
    Err(Error::UnsupportedCoding {
        coding: shown(coding),
    })
}

/// Takes a body out of its framing.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    /// The current line of the framing, as far as it came.
    line: Vec<u8>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The rest of a body of known length, in bytes; never 0.
    Length(u64),
    /// A chunk-size line.
    ChunkSize,
    /// The rest of a chunk's data, in bytes; never 0.
    ChunkData(u64),
    /// The empty line after a chunk's data.
    ChunkEnd,
    /// A trailer line, of which so many may come, or the empty line that ends the body.
    Trailers { left: usize },
    /// Nothing: the body and its framing are whole.
    Complete,
}

impl Decoder {
    /// Creates a decoder for a body of this framing. A body that only ends with the connection is
    /// never complete.
    pub fn new(framing: Framing) -> Decoder {
        let state = match framing {
            Framing::Length(0) => State::Complete,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::ChunkSize,
            Framing::UntilClose => State::Length(u64::MAX),
        };
        Decoder {
            state,
            line: Vec::new(),
        }
    }

    /// Returns whether the last byte of the body, and of its framing, was seen.
    pub fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// Returns how many bytes of the body are certain to come: the rest of it, or of the current
    /// chunk.
    pub fn announced(&self) -> u64 {
        match self.state {
            State::Length(left) | State::ChunkData(left) => left,
            _ => 0,
        }
    }

    /// Takes one step: a run of body bytes, or a line of the framing as far as it came.
    ///
    /// Returns how many bytes of `input` are used, from its start, and the body's bytes among them.
    /// These are never more than [`Decoder::announced`] said. Bytes after the end of the body are
    /// not touched.
    ///
    /// # Errors
    /// The first rule that the framing breaks.
    pub fn decode<'a>(&mut self, input: &'a [u8]) -> Result<(usize, &'a [u8]), Error> {
        match self.state {
            State::Length(left) => {
                let data = at_most(input, left);
                self.state = match left.saturating_sub(data.len() as u64) {
                    0 => State::Complete,
                    left => State::Length(left),
                };
                Ok((data.len(), data))
            }
            State::ChunkData(left) => {
                let data = at_most(input, left);
                self.state = match left.saturating_sub(data.len() as u64) {
                    0 => State::ChunkEnd,
                    left => State::ChunkData(left),
                };
                Ok((data.len(), data))
            }
            State::ChunkSize | State::ChunkEnd | State::Trailers { .. } => {
                Ok((self.take_line(input)?, &[]))
            }
            State::Complete => Ok((0, &[])),
        }
    }

    /// Takes a line of the framing as far as it came, and returns how many bytes that is.
    ///
    /// A line that is not yet whole is judged as if it were: a peer that breaks the framing is
    /// refused without waiting for the line's end, which may never come.
    fn take_line(&mut self, input: &[u8]) -> Result<usize, Error> {
        let newline = input.iter().position(|&byte| byte == b'\n');
        let used = match newline {
            Some(newline) => newline.saturating_add(1),
            None => input.len(),
        };
        self.line
            .extend_from_slice(input.get(..used).unwrap_or_default());
        if self.line.len() > self.state.line_limit() {
            return Err(self.state.line_too_long());
        }
        let text = match newline {
            Some(_) => self.line.strip_suffix(b"\r\n"),
            None => Some(self.line.strip_suffix(b"\r").unwrap_or(&self.line)),
        };
        let text = text
            .filter(|text| !text.contains(&b'\r'))
            .ok_or(Error::LineEnd)?;
        let next = self.state.after_line(text)?;
        if newline.is_some() {
            self.state = next;
            self.line.clear();
        }
        Ok(used)
    }
}

impl State {
    /// Returns the state that a whole line, without its CR LF, leads to.
    fn after_line(self, line: &[u8]) -> Result<State, Error> {
        match self {
            State::ChunkSize => after_chunk_size(line),
            State::ChunkEnd if line.is_empty() => Ok(State::ChunkSize),
            State::ChunkEnd => Err(Error::UnclosedChunk),
            State::Trailers { .. } if line.is_empty() => Ok(State::Complete),
            State::Trailers { left: 0 } => Err(Error::TooManyTrailers),
            State::Trailers { left } => Ok(State::Trailers {
                left: left.saturating_sub(1),
            }),
            State::Length(_) | State::ChunkData(_) | State::Complete => Ok(self),
        }
    }

    fn line_limit(self) -> usize {
        match self {
            State::Trailers { .. } => TRAILER_LINE_LIMIT,
            _ => CHUNK_LINE_LIMIT,
        }
    }

    fn line_too_long(self) -> Error {
        match self {
            State::Trailers { .. } => Error::TrailerTooLong,
            State::ChunkEnd => Error::UnclosedChunk,
            _ => Error::ChunkSizeTooLong,
        }
    }
}

/// Reads `1*HEXDIG [chunk-ext]`; the extension is skipped.
///
/// The leniency: white space before the extension and at the end of the line, which RFC 9112
/// §7.1.1 calls bad but permits. No framing depends on it.
fn after_chunk_size(line: &[u8]) -> Result<State, Error> {
    let count = line
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    let (digits, extension) = line.split_at_checked(count).unwrap_or_default();
    if !matches!(extension.trim_ascii_start(), [] | [b';', ..]) {
        return Err(Error::MalformedChunkSize);
    }
    match number::hexadecimal(digits) {
        Some(0) => Ok(State::Trailers {
            left: HEADER_COUNT_LIMIT,
        }),
        Some(size) => Ok(State::ChunkData(size)),
        None => Err(Error::MalformedChunkSize),
    }
}

/// The first bytes of `input`, `limit` at most.
fn at_most(input: &[u8], limit: u64) -> &[u8] {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    input.get(..limit).unwrap_or(input)
}

#[cfg(test)]
#[allow(clippy::expect_used, clippy::indexing_slicing)]
mod tests {
    use super::{Decoder, Framing};
    use crate::http::error::Error;
    use crate::http::head::Head;

    /// What a whole input leads to: the body, and whether it is complete.
    type Expected = Result<(&'static str, bool), Error>;

    /// Feeds a body in pieces of `size` bytes.
    fn decode(framing: Framing, input: &[u8], size: usize) -> Result<(String, bool), Error> {
        let mut decoder = Decoder::new(framing);
        let mut body = Vec::new();
        for mut piece in input.chunks(size) {
            while !piece.is_empty() && !decoder.is_complete() {
                let (used, data) = decoder.decode(piece)?;
                body.extend_from_slice(data);
                piece = &piece[used..];
            }
        }
        Ok((
            String::from_utf8_lossy(&body).into_owned(),
            decoder.is_complete(),
        ))
    }

    #[test]
    fn body_in_pieces_of_any_size_is_the_same() {
        let table: [(Framing, &str, Expected); 18] = [
            (Framing::Length(0), "", Ok(("", true))),
            (Framing::Length(3), "abc", Ok(("abc", true))),
            (Framing::Length(3), "ab", Ok(("ab", false))),
            (Framing::Length(3), "abcd", Ok(("abc", true))),
            (Framing::UntilClose, "abc", Ok(("abc", false))),
            (Framing::Chunked, "0\r\n\r\n", Ok(("", true))),
            (Framing::Chunked, "3\r\nabc\r\n0\r\n\r\n", Ok(("abc", true))),
            (
                Framing::Chunked,
                "1;x=y\r\na\r\n2 \r\nbc\r\n0\r\nT: v\r\n\r\nmore",
                Ok(("abc", true)),
            ),
            (Framing::Chunked, "3\r\nabc\r\n0\r\n", Ok(("abc", false))),
            (Framing::Chunked, "3\r\nabcd", Err(Error::UnclosedChunk)),
            (Framing::Chunked, "3\r\nabc\n", Err(Error::LineEnd)),
            (Framing::Chunked, "3\nabc", Err(Error::LineEnd)),
            (Framing::Chunked, "\r\n", Err(Error::MalformedChunkSize)),
            (Framing::Chunked, "+3\r\n", Err(Error::MalformedChunkSize)),
            (Framing::Chunked, "0x3\r\n", Err(Error::MalformedChunkSize)),
            (Framing::Chunked, "3 a\r\n", Err(Error::MalformedChunkSize)),
            (
                Framing::Chunked,
                "10000000000000000\r\n",
                Err(Error::MalformedChunkSize),
            ),
            (Framing::Chunked, "0\r\nT: \rv\r\n", Err(Error::LineEnd)),
        ];
        for (framing, input, expected) in table {
            let expected = expected.map(|(body, complete)| (body.to_owned(), complete));
            for size in 1..=input.len().max(1) {
                let found = decode(framing, input.as_bytes(), size);
                assert_eq!(found, expected, "{input:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn lines_are_taken_up_to_their_limits() {
        let extension = |length: usize| format!("0;{}\r\n\r\n", "x".repeat(length - 4));
        let complete = Ok((String::new(), true));
        assert_eq!(
            decode(Framing::Chunked, extension(256).as_bytes(), 999),
            complete
        );
        assert_eq!(
            decode(Framing::Chunked, extension(257).as_bytes(), 999),
            Err(Error::ChunkSizeTooLong)
        );
        let trailer = |length: usize| format!("0\r\n{}\r\n\r\n", "x".repeat(length - 2));
        assert_eq!(
            decode(Framing::Chunked, trailer(8_192).as_bytes(), 999),
            complete
        );
        assert_eq!(
            decode(Framing::Chunked, trailer(8_193).as_bytes(), 999),
            Err(Error::TrailerTooLong)
        );
        let trailers = |count: usize| format!("0\r\n{}\r\n", "a: b\r\n".repeat(count));
        assert_eq!(
            decode(Framing::Chunked, trailers(256).as_bytes(), 999),
            complete
        );
        assert_eq!(
            decode(Framing::Chunked, trailers(257).as_bytes(), 999),
            Err(Error::TooManyTrailers)
        );
        // What stands where a chunk's line end belongs is no size, however long it is.
        let unclosed = format!("1\r\na{}", "x".repeat(257));
        assert_eq!(
            decode(Framing::Chunked, unclosed.as_bytes(), 999),
            Err(Error::UnclosedChunk)
        );
    }

    #[test]
    fn framing_is_that_of_the_headers_or_refused() {
        let coded = |coding: &str| format!("Transfer-Encoding: {coding}\r\n");
        let sized = |length: &str| format!("Content-Length: {length}\r\n");
        let table = [
            ("1.1 200", sized("3"), Some(Framing::Length(3))),
            ("1.0 200", sized("3"), Some(Framing::Length(3))),
            ("1.1 200", coded("Chunked"), Some(Framing::Chunked)),
            ("1.0 200", coded("chunked"), None),
            ("1.1 200", coded("gzip"), None),
            ("1.1 200", coded("chunked, chunked"), None),
            ("1.1 200", coded("chunked") + &coded("chunked"), None),
            ("1.1 200", coded("chunked") + &sized("3"), None),
            ("1.1 200", sized("3") + &sized("3"), None),
            ("1.1 200", sized("3, 3"), None),
            ("1.1 200", sized("+3"), None),
            ("1.1 200", sized(""), None),
            ("1.1 200", String::new(), Some(Framing::UntilClose)),
            ("1.1 204", String::new(), Some(Framing::Length(0))),
            ("1.1 304", sized("3"), Some(Framing::Length(0))),
            ("1.1 100", String::new(), Some(Framing::Length(0))),
            ("1.1 199", String::new(), Some(Framing::Length(0))),
        ];
        for (start, headers, expected) in table {
            let mut head = Head::default();
            let block = format!("HTTP/{start} X\r\n{headers}\r\n");
            assert_eq!(head.push(block.as_bytes()), Ok(block.len()));
            assert_eq!(Framing::of(&head).ok(), expected, "{block:?}");
        }
    }

    #[test]
    fn bytes_that_are_certain_to_come_are_announced() {
        let mut decoder = Decoder::new(Framing::Length(3));
        assert_eq!(decoder.announced(), 3);
        assert_eq!(decoder.decode(b"a"), Ok((1, &b"a"[..])));
        assert_eq!(decoder.announced(), 2);
        let mut decoder = Decoder::new(Framing::Chunked);
        assert_eq!(decoder.announced(), 0);
        assert_eq!(decoder.decode(b"a\r\n"), Ok((3, &b""[..])));
        assert_eq!(decoder.announced(), 10);
    }
}
