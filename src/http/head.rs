//! Status line and headers of a reply (RFC 9112 §4 and §5).
//!
//! In: the bytes of a reply in pieces of any size. Out: a [`Head`] that looks things up in them. A
//! line is judged as soon as it is complete, so that a peer that does not speak HTTP is found out at
//! its first line and not at a limit or never. An error is one phrase for the log. It must never
//! choose between two headers of which one is allowed.

use std::ops::Range;

use super::{HEADER_BLOCK_LIMIT, HEADER_COUNT_LIMIT, number};

const NOT_HTTP: &str = "the reply does not start with an HTTP/1 status line";
const LINE_END: &str = "a header line does not end in CR LF";

/// A header block, as far as it came.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// Three digits, 100 to 599 in a sane peer; 0 to 999 here.
    pub status: u16,
    /// HTTP/1.0, whose connections end after a reply.
    pub is_http_1_0: bool,
    /// All bytes so far, and where the line starts that is not yet complete.
    text: Vec<u8>,
    line: usize,
    /// Where name and value of each header are in `text`.
    headers: Vec<(Range<usize>, Range<usize>)>,
}

impl Head {
    /// Forgets all but its memory, for the next reply.
    pub fn clear(&mut self) {
        self.line = 0;
        self.text.clear();
        // A long block is rare, its memory is given back.
        self.text.shrink_to(4_096);
        self.headers.clear();
    }

    /// Whether nothing came yet.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether the empty line was seen, after which no more may be taken. No other line is empty.
    pub fn is_complete(&self) -> bool {
        self.text.ends_with(b"\r\n\r\n")
    }

    /// Takes what `input` has of the block, and gives how many bytes that is.
    ///
    /// # Errors
    /// The first rule that a line breaks.
    pub fn take(&mut self, input: &[u8]) -> Result<usize, &'static str> {
        let mut used = 0_usize;
        for piece in input.split_inclusive(|&byte| byte == b'\n') {
            used = used.saturating_add(piece.len());
            self.text.extend_from_slice(piece);
            if self.text.len() > HEADER_BLOCK_LIMIT {
                return Err("the header block is over 1048576 bytes");
            }
            let line = self.text.get(self.line..).unwrap_or_default();
            let Some(line) = line.strip_suffix(b"\n") else {
                break;
            };
            let line = line.strip_suffix(b"\r").ok_or(LINE_END)?;
            if self.line == 0 {
                (self.status, self.is_http_1_0) = status_line(line)?;
            } else if line.is_empty() {
                break;
            } else if self.headers.len() >= HEADER_COUNT_LIMIT {
                return Err("the reply has more than 256 headers");
            } else {
                let colon = self.line.saturating_add(header_line(line)?);
                let end = self.line.saturating_add(line.len());
                self.headers
                    .push((self.line..colon, colon.saturating_add(1)..end));
            }
            self.line = self.text.len();
        }
        // A first line that is not yet complete must at least begin like one.
        let begins_well = self
            .text
            .iter()
            .zip(b"HTTP/1.")
            .all(|(byte, expected)| byte == expected);
        if begins_well { Ok(used) } else { Err(NOT_HTTP) }
    }

    /// All headers in their order: name as sent, value without the white space around it.
    pub fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.headers
            .iter()
            .map(|(name, value)| (self.at(name), self.at(value).trim_ascii()))
    }

    /// The values of a header that may be repeated. `name` in any case.
    fn all(&self, name: &[u8]) -> impl Iterator<Item = &[u8]> {
        // Most names are of another length, which is found out for less.
        let same = move |(at, _): &&(Range<usize>, _)| {
            at.len() == name.len() && self.at(at).eq_ignore_ascii_case(name)
        };
        self.headers
            .iter()
            .filter(same)
            .map(|(_, value)| self.at(value).trim_ascii())
    }

    fn at(&self, range: &Range<usize>) -> &[u8] {
        self.text.get(range.clone()).unwrap_or_default()
    }

    /// The value of a header that may stand once. `name` in any case.
    ///
    /// # Errors
    /// It stands twice. Which one to believe is a guess that request smuggling lives on, so there
    /// is none, even where both are equal (RFC 9110 §8.6 allows refusing them).
    pub fn get(&self, name: impl AsRef<[u8]>) -> Result<Option<&[u8]>, &'static str> {
        let mut values = self.all(name.as_ref());
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err("a framing header stands twice"),
        }
    }

    /// Whether the peer will close the connection after this reply (RFC 9112 §9.6).
    ///
    /// `Connection` may be repeated and is a list. HTTP/1.0's keep-alive is not taken up.
    pub fn closes_connection(&self) -> bool {
        let mut options = self
            .all(b"Connection")
            .flat_map(|list| list.split(|&byte| byte == b','));
        self.is_http_1_0 || options.any(|name| name.trim_ascii().eq_ignore_ascii_case(b"close"))
    }
}

/// `HTTP/1.x SP 3DIGIT [SP reason]`: the status, and whether x is 0. RFC 9112 §4 wants the second
/// space even before an empty reason; that it may be missing is our leniency, since no framing
/// depends on it.
fn status_line(line: &[u8]) -> Result<(u16, bool), &'static str> {
    if let Some([minor @ (b'0' | b'1'), b' ', a, b, c, reason @ ..]) = line.strip_prefix(b"HTTP/1.")
        && let Some(status) = number(&[*a, *b, *c], 10)
        && matches!(reason, [] | [b' ', ..])
        && is_text(reason)
    {
        return Ok((status as u16, *minor == b'0'));
    }
    Err(NOT_HTTP)
}

/// `token ":" OWS value OWS` (RFC 9112 §5): the length of the name.
fn header_line(line: &[u8]) -> Result<usize, &'static str> {
    let name = line.iter().take_while(|byte| is_token(byte)).count();
    match line.get(name..).unwrap_or_default() {
        [b':', value @ ..] if name > 0 && is_text(value) => Ok(name),
        [b' ' | b'\t', ..] if name == 0 => Err("a header is folded over two lines"),
        _ if line.contains(&b'\r') => Err(LINE_END),
        _ => Err("a header line is malformed"),
    }
}

/// tchar of RFC 9110 §5.6.2.
fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-!#$%&'*+.^_`|~".contains(byte)
}

/// What a value may hold: RFC 9110 §5.5, and NUL. The leniency: Lambda's headers carry callers'
/// text, and one with a NUL costs its own variable, not the event (it is left out of the handler's
/// environment with a log line). No framing depends on it: numbers and tokens hold no NUL.
fn is_text(value: &[u8]) -> bool {
    let may_stand = |byte: &u8| matches!(byte, b'\t' | b'\0' | b' '..=b'~' | 0x80..);
    // Without an early end, so that many bytes are looked at at once.
    value.iter().fold(true, |fine, byte| fine & may_stand(byte))
}
