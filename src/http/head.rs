//! Status line and headers of a reply (RFC 9112 §4 and §5).
//!
//! In: the bytes of a reply in pieces of any size. Out: a [`Head`] that looks headers up in them.
//! Each line is checked as soon as it is complete, so that a peer that does not speak HTTP fails at
//! its first line, not at a limit or never. If a header may appear once and appears twice, it must
//! never choose one of the two.

use std::ops::Range;

use super::error::{Error, shown};
use super::{HEADER_BLOCK_LIMIT, HEADER_COUNT_LIMIT};
use crate::number;

/// How every reply starts.
const START: &[u8] = b"HTTP/1.";

/// Bytes of a header block's memory that are kept for the next one. A longer block is rare, and its
/// memory is freed.
const RETAINED_BYTES: usize = 4_096;

/// A header block, as far as it came.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// Three digits, 100 to 599 in a sane peer; 0 to 999 here.
    pub status: u16,
    /// Whether the reply is of HTTP/1.0, whose connections end after a reply.
    pub is_http_1_0: bool,
    /// All bytes so far.
    text: Vec<u8>,
    /// Where in `text` the line starts that is not yet complete.
    line_start: usize,
    headers: Vec<Header>,
}

/// Where name and value of a header are in a head's text.
#[derive(Clone, Debug)]
struct Header {
    name: Range<usize>,
    value: Range<usize>,
}

impl Head {
    /// Forgets all but its memory, for the next reply.
    pub fn clear(&mut self) {
        self.line_start = 0;
        self.text.clear();
        self.text.shrink_to(RETAINED_BYTES);
        self.headers.clear();
    }

    /// Returns whether nothing came yet.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Returns whether the empty line was seen, after which no more may be pushed. No other line
    /// is empty.
    pub fn is_complete(&self) -> bool {
        self.text.ends_with(b"\r\n\r\n")
    }

    /// Appends what `input` has of the header block, and returns how many bytes that is.
    ///
    /// # Errors
    /// The first rule that a line breaks.
    pub fn push(&mut self, input: &[u8]) -> Result<usize, Error> {
        let mut used: usize = 0;
        for piece in input.split_inclusive(|&byte| byte == b'\n') {
            used = used.saturating_add(piece.len());
            self.text.extend_from_slice(piece);
            if self.text.len() > HEADER_BLOCK_LIMIT {
                return Err(Error::HeaderBlockTooLong);
            }
            // A first line that is not yet complete must at least begin like one.
            if self.line_start == 0 && !begins_like(&self.text, START) {
                return Err(Error::NotHttp);
            }
            if !piece.ends_with(b"\n") {
                break;
            }
            self.read_line()?;
            self.line_start = self.text.len();
            if self.is_complete() {
                break;
            }
        }
        Ok(used)
    }

    /// Reads the line that was just completed.
    fn read_line(&mut self) -> Result<(), Error> {
        let line = self.text.get(self.line_start..).unwrap_or_default();
        let line = line.strip_suffix(b"\r\n").ok_or(Error::LineEnd)?;
        if self.line_start == 0 {
            (self.status, self.is_http_1_0) = status_line(line).ok_or(Error::NotHttp)?;
            return Ok(());
        }
        if line.is_empty() {
            return Ok(());
        }
        if self.headers.len() >= HEADER_COUNT_LIMIT {
            return Err(Error::TooManyHeaders);
        }
        let start = self.line_start;
        let colon = start.saturating_add(name_length(line)?);
        let end = start.saturating_add(line.len());
        self.headers.push(Header {
            name: start..colon,
            value: colon.saturating_add(1)..end,
        });
        Ok(())
    }

    /// Returns all headers in their order: name as sent, value without the white space around it.
    pub fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.headers
            .iter()
            .map(|header| (self.at(&header.name), self.value(header)))
    }

    /// Returns the values of a header that may be repeated. `name` in any case.
    fn values_of(&self, name: &[u8]) -> impl Iterator<Item = &[u8]> {
        let is_named = move |header: &&Header| {
            // The lengths first: they are cheaper to compare, and most of them differ.
            header.name.len() == name.len() && self.at(&header.name).eq_ignore_ascii_case(name)
        };
        self.headers
            .iter()
            .filter(is_named)
            .map(|header| self.value(header))
    }

    fn at(&self, range: &Range<usize>) -> &[u8] {
        self.text.get(range.clone()).unwrap_or_default()
    }

    fn value(&self, header: &Header) -> &[u8] {
        self.at(&header.value).trim_ascii()
    }

    /// Returns the value of a header that may appear once. `name` in any case.
    ///
    /// # Errors
    /// The header appears twice. To believe one of the two is a guess that request smuggling lives
    /// on, so both are refused, even where they are equal (RFC 9110 §8.6 allows that).
    pub fn get(&self, name: impl AsRef<[u8]>) -> Result<Option<&[u8]>, Error> {
        let name = name.as_ref();
        let mut values = self.values_of(name);
        match (values.next(), values.next()) {
            (Some(first), Some(second)) if is_framing(name) => Err(Error::DuplicateFraming {
                name: shown(name),
                values: [shown(first), shown(second)],
            }),
            (Some(_), Some(_)) => Err(Error::RepeatedHeader { name: shown(name) }),
            (value, _) => Ok(value),
        }
    }

    /// Returns whether the peer will close the connection after this reply (RFC 9112 §9.6).
    ///
    /// `Connection` may be repeated and is a list. HTTP/1.0's keep-alive is not taken up.
    pub fn closes_connection(&self) -> bool {
        if self.is_http_1_0 {
            return true;
        }
        let is_close = |option: &[u8]| option.trim_ascii().eq_ignore_ascii_case(b"close");
        self.values_of(b"Connection")
            .any(|list| list.split(|&byte| byte == b',').any(is_close))
    }
}

/// The headers that say where a body ends.
fn is_framing(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"Content-Length") || name.eq_ignore_ascii_case(b"Transfer-Encoding")
}

/// Whether one of the two is the beginning of the other.
fn begins_like(text: &[u8], expected: &[u8]) -> bool {
    text.iter()
        .zip(expected)
        .all(|(byte, expected)| byte == expected)
}

/// Reads `HTTP/1.x SP 3DIGIT [SP reason]`: the status, and whether x is 0.
///
/// The leniency: RFC 9112 §4 wants the second space even before an empty reason, and here it may be
/// missing. No framing depends on it.
fn status_line(line: &[u8]) -> Option<(u16, bool)> {
    let rest = line.strip_prefix(START)?;
    let (is_http_1_0, rest) = match rest {
        [b'0', b' ', rest @ ..] => (true, rest),
        [b'1', b' ', rest @ ..] => (false, rest),
        _ => return None,
    };
    let (digits, reason) = rest.split_at_checked(3)?;
    let status = number::decimal(digits)?;
    let is_reason = matches!(reason, [] | [b' ', ..]);
    if !is_reason || !is_text(reason) {
        return None;
    }
    Some((status as u16, is_http_1_0))
}

/// Checks `token ":" OWS value OWS` (RFC 9112 §5), and returns the length of the name.
fn name_length(line: &[u8]) -> Result<usize, Error> {
    if let [b' ' | b'\t', ..] = line {
        return Err(Error::FoldedHeader);
    }
    let length = line.iter().take_while(|byte| is_token(byte)).count();
    let rest = line.get(length..).unwrap_or_default();
    if let Some(value) = rest.strip_prefix(b":")
        && length > 0
        && is_text(value)
    {
        return Ok(length);
    }
    // A bare CR is the more exact reason.
    match line.contains(&b'\r') {
        true => Err(Error::LineEnd),
        false => Err(Error::MalformedHeader),
    }
}

/// tchar of RFC 9110 §5.6.2.
fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-!#$%&'*+.^_`|~".contains(byte)
}

/// Whether a value holds only what RFC 9110 §5.5 allows, or NUL.
///
/// The leniency: Lambda's headers carry callers' text. A NUL in one costs its own variable, not the
/// event: it is left out of the handler's environment with a log line. No framing depends on it:
/// numbers and tokens hold no NUL.
fn is_text(value: &[u8]) -> bool {
    let is_allowed = |byte: &u8| matches!(byte, b'\t' | b'\0' | b' '..=b'~' | 0x80..);
    // No early return, so that the compiler can vectorise the loop.
    value.iter().fold(true, |all, byte| all & is_allowed(byte))
}

#[cfg(test)]
#[allow(clippy::expect_used, clippy::indexing_slicing)]
mod tests {
    use super::Head;
    use crate::http::error::Error;

    /// Pushes a block in pieces of `size` bytes; returns the status of a complete one.
    fn read(input: &[u8], size: usize) -> Result<Option<u16>, Error> {
        let mut head = Head::default();
        for piece in input.chunks(size) {
            assert_eq!(head.push(piece)?, piece.len());
        }
        Ok(head.is_complete().then_some(head.status))
    }

    #[test]
    fn head_in_pieces_of_any_size_is_judged_the_same() {
        let table: [(&str, Result<Option<u16>, Error>); 20] = [
            ("HTTP/1.1 200 OK\r\n\r\n", Ok(Some(200))),
            ("HTTP/1.0 204 \r\n\r\n", Ok(Some(204))),
            ("HTTP/1.1 202\r\n\r\n", Ok(Some(202))),
            ("HTTP/1.1 200 OK\r\nA: b\r\nC:\r\n\r\n", Ok(Some(200))),
            ("HTTP/1.1 200 OK\r\nA: b\0\u{e9}\r\n\r\n", Ok(Some(200))),
            ("HTTP/1.1 200 OK\r\nA: b\r\n", Ok(None)),
            ("HTTP/1.1 200 OK\r\nA", Ok(None)),
            ("HTTP/2 200 OK\r\n\r\n", Err(Error::NotHttp)),
            ("SSH-2.0-OpenSSH\r\n", Err(Error::NotHttp)),
            ("SSH-2.0-OpenSSH\n", Err(Error::NotHttp)),
            ("HTTP/1.1  200 OK\r\n\r\n", Err(Error::NotHttp)),
            ("HTTP/1.1 2oo OK\r\n\r\n", Err(Error::NotHttp)),
            ("HTTP/1.1 2000\r\n\r\n", Err(Error::NotHttp)),
            ("HTTP/1.1 +20 OK\r\n\r\n", Err(Error::NotHttp)),
            ("HTTP/1.1 200 OK\n\n", Err(Error::LineEnd)),
            ("HTTP/1.1 200 OK\r\nA: b\n\r\n", Err(Error::LineEnd)),
            ("HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", Err(Error::LineEnd)),
            (
                "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
                Err(Error::FoldedHeader),
            ),
            (
                "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
                Err(Error::MalformedHeader),
            ),
            (
                "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
                Err(Error::MalformedHeader),
            ),
        ];
        for (input, expected) in table {
            for size in 1..=input.len() {
                assert_eq!(
                    read(input.as_bytes(), size),
                    expected,
                    "{input:?} in pieces of {size}"
                );
            }
        }
    }

    /// The values of a header that may hold what a caller sent are not shown.
    #[test]
    fn header_that_appears_twice_is_refused_and_values_of_framing_are_shown() {
        let twice = |name: &str| {
            let mut head = Head::default();
            let lower = name.to_lowercase();
            let block = format!("HTTP/1.1 200 OK\r\n{name}: 3\r\n{lower}: 4\r\n\r\n");
            assert_eq!(head.push(block.as_bytes()), Ok(block.len()));
            assert_eq!(head.get("Content-Type"), Ok(None));
            head.get(name).expect_err(name)
        };
        for name in ["Content-Length", "Transfer-Encoding"] {
            let error = Error::DuplicateFraming {
                name: name.to_owned(),
                values: ["3".to_owned(), "4".to_owned()],
            };
            assert_eq!(twice(name), error);
            let said = format!("the header {name} appears twice: '3' and '4'");
            assert_eq!(error.to_string(), said);
        }
        let name = "Lambda-Runtime-Trace-Id";
        let error = Error::RepeatedHeader {
            name: name.to_owned(),
        };
        assert_eq!(twice(name), error);
    }

    #[test]
    fn connection_options_are_found_in_any_list() {
        let table = [
            ("", false),
            ("Connection: close\r\n", true),
            ("Connection: Keep-Alive\r\nconnection: a, CLOSE\r\n", true),
            ("Connection: closed\r\n", false),
        ];
        for (headers, closes) in table {
            let mut head = Head::default();
            let block = format!("HTTP/1.1 200 OK\r\n{headers}\r\n");
            assert_eq!(head.push(block.as_bytes()), Ok(block.len()));
            assert_eq!(head.closes_connection(), closes, "{headers:?}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "a block of a mebibyte takes it an hour")]
    fn block_is_taken_up_to_its_limits() {
        let start = "HTTP/1.1 200 OK\r\n";
        let lines = |count: usize| format!("{start}{}\r\n", "A: b\r\n".repeat(count));
        assert_eq!(read(lines(256).as_bytes(), 99), Ok(Some(200)));
        assert_eq!(read(lines(257).as_bytes(), 99), Err(Error::TooManyHeaders));
        let block = |length: usize| {
            let rest = length - start.len() - "A: \r\n\r\n".len();
            format!("{start}A: {}\r\n\r\n", "x".repeat(rest))
        };
        assert_eq!(read(block(1_048_576).as_bytes(), 99_999), Ok(Some(200)));
        let error = Err(Error::HeaderBlockTooLong);
        assert_eq!(read(block(1_048_577).as_bytes(), 99_999), error);
    }

    #[test]
    fn head_is_empty_until_something_comes_and_after_it_is_cleared() {
        let mut head = Head::default();
        assert!(head.is_empty() && !head.is_complete());
        let block = b"HTTP/1.0 200 OK\r\nA:  b \r\nc: \r\n\r\nmore";
        assert_eq!(head.push(block), Ok(block.len() - 4));
        assert!(!head.is_empty() && head.is_complete() && head.is_http_1_0);
        assert!(head.closes_connection());
        let headers: Vec<_> = head.headers().collect();
        assert_eq!(headers, [(&b"A"[..], &b"b"[..]), (b"c", b"")]);
        assert_eq!(head.get("C"), Ok(Some(&b""[..])));
        head.clear();
        assert!(head.is_empty() && !head.is_complete());
        assert_eq!(head.headers().count(), 0);
    }

    #[test]
    fn names_are_tokens_and_text_has_no_control_character() {
        let mut table = Vec::new();
        for byte in 0..=u8::MAX {
            let is_token = byte.is_ascii_alphanumeric() || b"-!#$%&'*+.^_`|~".contains(&byte);
            let is_text = matches!(byte, 0 | 9 | 32..=126 | 128..);
            table.push((
                [&b"A"[..], &[byte], b": b"].concat(),
                is_token || byte == b':',
            ));
            table.push(([&b"A: "[..], &[byte], b"b"].concat(), is_text));
        }
        for (line, is_header) in table {
            let block = [b"HTTP/1.1 200 OK\r\n", &line[..], b"\r\n\r\n"].concat();
            let found = read(&block, block.len()) == Ok(Some(200));
            assert_eq!(found, is_header, "{}", line.escape_ascii());
        }
    }
}
