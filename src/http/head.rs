//! Status line and headers of a reply (RFC 9112 §4 and §5).
//!
//! In: the bytes received so far. Out: the end of the header block once it is there, then a
//! [`Head`] that looks things up in it. A line is judged as soon as it is complete, so that a peer
//! that does not speak HTTP is found out at its first line and not at a limit or never. An error is
//! one phrase for the log. It must never choose between two headers of which one is allowed.

use super::{HEADER_BLOCK_LIMIT, HEADER_COUNT_LIMIT, number};

const NOT_HTTP: &str = "the reply does not start with an HTTP/1 status line";
const LINE_END: &str = "a header line does not end in CR LF";
const TOO_LONG: &str = "the header block is over 1048576 bytes";

/// Finds the end of a header block in a growing buffer, and remembers how far it looked.
#[derive(Debug, Default)]
pub struct Scanner {
    /// Where the current line starts, and how far it was searched for its end.
    line: usize,
    seen: usize,
    /// Complete lines so far, the status line among them.
    lines: usize,
}

impl Scanner {
    /// Looks at all bytes received since the reply began.
    ///
    /// `Ok(Some(n))`: the block, with its empty line, is the first `n` bytes. `Ok(None)`: more
    /// bytes are needed.
    ///
    /// # Errors
    /// The first rule that a line breaks.
    pub fn scan(&mut self, received: &[u8]) -> Result<Option<usize>, &'static str> {
        while let Some(end) = newline(received, self.seen) {
            let line = received.get(self.line..end).unwrap_or_default();
            self.seen = end.saturating_add(1);
            self.line = self.seen;
            if self.seen > HEADER_BLOCK_LIMIT {
                return Err(TOO_LONG);
            }
            let line = line.strip_suffix(b"\r").ok_or(LINE_END)?;
            if self.lines == 0 {
                status_line(line)?;
            } else if line.is_empty() {
                return Ok(Some(self.seen));
            } else if self.lines > HEADER_COUNT_LIMIT {
                return Err("the reply has more than 256 headers");
            } else {
                header_line(line)?;
            }
            self.lines = self.lines.saturating_add(1);
        }
        self.seen = received.len();
        // A first line that is not yet complete must at least begin like one.
        let begins_well = received.iter().zip(b"HTTP/1.").all(|(byte, expected)| byte == expected);
        match self.lines {
            0 if !begins_well => Err(NOT_HTTP),
            _ if self.seen > HEADER_BLOCK_LIMIT => Err(TOO_LONG),
            _ => Ok(None),
        }
    }
}

/// A complete header block. Borrowed from the buffer it was received in.
#[derive(Debug)]
pub struct Head<'a> {
    /// Three digits, 100 to 599 in a sane peer; 0 to 999 here.
    pub status: u16,
    /// HTTP/1.0, whose connections end after a reply.
    pub is_http_1_0: bool,
    /// All headers in their order: name as sent, value without the white space around it.
    pub headers: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> Head<'a> {
    /// Takes a block whose end a [`Scanner`] found.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(block: &'a [u8]) -> Result<Head<'a>, &'static str> {
        let lines = block.split(|&byte| byte == b'\n');
        let mut lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let (status, is_http_1_0) = status_line(lines.next().unwrap_or_default())?;
        let lines = lines.take_while(|line| !line.is_empty());
        let headers = lines.map(header_line).collect::<Result<_, _>>()?;
        Ok(Head { status, is_http_1_0, headers })
    }

    /// The values of a header that may be repeated. `name` in any case.
    fn all(&self, name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
        let same = move |(found, _): &&(&[u8], &[u8])| found.eq_ignore_ascii_case(name);
        self.headers.iter().filter(same).map(|(_, value)| *value)
    }

    /// The value of a header that may stand once. `name` in any case.
    ///
    /// # Errors
    /// It stands twice. Which one to believe is a guess that request smuggling lives on, so there
    /// is none, even where both are equal (RFC 9110 §8.6 allows refusing them).
    pub fn get(&self, name: impl AsRef<[u8]>) -> Result<Option<&'a [u8]>, &'static str> {
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
        let mut options = self.all(b"connection").flat_map(|list| list.split(|&byte| byte == b','));
        self.is_http_1_0 || options.any(|name| name.trim_ascii().eq_ignore_ascii_case(b"close"))
    }
}

fn newline(bytes: &[u8], from: usize) -> Option<usize> {
    from.checked_add(bytes.get(from..)?.iter().position(|&byte| byte == b'\n')?)
}

/// `HTTP/1.x SP 3DIGIT [SP reason]`: the status, and whether x is 0. RFC 9112 §4 wants the second
/// space even before an empty reason; that it may be missing is our leniency, since no framing
/// depends on it.
fn status_line(line: &[u8]) -> Result<(u16, bool), &'static str> {
    let read = || {
        let (is_http_1_0, rest) = match line.strip_prefix(b"HTTP/1.")? {
            [minor @ (b'0' | b'1'), b' ', rest @ ..] => (*minor == b'0', rest),
            _ => return None,
        };
        let (code, reason) = rest.split_at_checked(3)?;
        let is_reason = matches!(reason, [] | [b' ', ..]) && reason.iter().all(is_text);
        let status = u16::try_from(number(code, 10)?).ok()?;
        is_reason.then_some((status, is_http_1_0))
    };
    read().ok_or(NOT_HTTP)
}

/// `token ":" OWS value OWS` (RFC 9112 §5): name and value.
fn header_line(line: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let colon = line.iter().take_while(|byte| is_token(byte)).count();
    match line.split_at_checked(colon) {
        Some((name @ [_, ..], [b':', value @ ..])) if value.iter().all(is_text) => {
            Ok((name, value.trim_ascii()))
        }
        _ if line.starts_with(b" ") || line.starts_with(b"\t") => {
            Err("a header is folded over two lines")
        }
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
fn is_text(byte: &u8) -> bool {
    matches!(byte, b'\t' | b'\0') || !byte.is_ascii_control()
}
