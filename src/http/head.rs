//! Status line and headers of a reply (RFC 9112 §4 and §5).
//!
//! In: the bytes received so far. Out: the end of the header block once it is there, then a
//! [`Head`] that looks things up in it. A line is judged as soon as it is complete, so that a peer
//! that does not speak HTTP is found out at its first line and not at a limit or never. An error is
//! one phrase for the log. It must never choose between two headers of which one is allowed.

use super::{HEADER_BLOCK_LIMIT, HEADER_COUNT_LIMIT, number};

const NOT_HTTP: &str = "the reply does not start with an HTTP/1 status line";

/// Reads a header block in a growing buffer: each byte once, however it arrives.
#[derive(Debug, Default)]
pub struct Scanner {
    /// Where the current line starts.
    line: usize,
    /// How far the current line was searched for its end.
    seen: usize,
    /// From the status line, once it is complete: status, and whether it is HTTP/1.0.
    status: Option<(u16, bool)>,
    /// Where the headers are. Its memory is used again for the next block.
    fields: Vec<Field>,
}

/// Where a header's name starts, where its colon is, and where its line ends.
#[derive(Debug)]
struct Field {
    name: usize,
    colon: usize,
    end: usize,
}

impl Scanner {
    /// Forgets all it knows: another block begins.
    pub fn restart(&mut self) {
        self.fields.clear();
        (self.line, self.seen, self.status) = (0, 0, None);
    }

    /// Looks at all bytes received since the reply began.
    ///
    /// `Ok(Some(n))`: the block, with its empty line, is the first `n` bytes. `Ok(None)`: more
    /// bytes are needed.
    ///
    /// # Errors
    /// The first rule that a line breaks.
    pub fn scan(&mut self, received: &[u8]) -> Result<Option<usize>, &'static str> {
        loop {
            let new = received.get(self.seen..).unwrap_or_default();
            let found = new.iter().position(|&byte| byte == b'\n');
            let end = self.seen.saturating_add(found.unwrap_or(new.len()));
            if end.saturating_add(usize::from(found.is_some())) > HEADER_BLOCK_LIMIT {
                return Err("the header block is over 1048576 bytes");
            }
            if found.is_none() {
                self.seen = end;
                let may_be_http = self.status.is_some()
                    || received.iter().zip(b"HTTP/1.").all(|(byte, expected)| byte == expected);
                return if may_be_http { Ok(None) } else { Err(NOT_HTTP) };
            }
            let name = self.line;
            let line = received.get(name..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").ok_or("a header line does not end in CR LF")?;
            self.line = end.saturating_add(1);
            self.seen = self.line;
            if self.status.is_none() {
                self.status = Some(status_line(line).ok_or(NOT_HTTP)?);
            } else if line.is_empty() {
                return Ok(Some(self.line));
            } else if self.fields.len() == HEADER_COUNT_LIMIT {
                return Err("the reply has more than 256 headers");
            } else {
                let colon = name.saturating_add(header_line(line)?);
                self.fields.push(Field { name, colon, end });
            }
        }
    }

    /// The block whose end was found.
    pub fn head<'a>(&'a self, block: &'a [u8]) -> Head<'a> {
        let (status, is_http_1_0) = self.status.unwrap_or_default();
        Head { status, is_http_1_0, block, fields: &self.fields }
    }
}

/// A complete header block. Borrowed from the buffer it was received in.
pub struct Head<'a> {
    /// Three digits, 100 to 599 in a sane peer; 0 to 999 here.
    pub status: u16,
    /// HTTP/1.0, whose connections end after a reply.
    pub is_http_1_0: bool,
    block: &'a [u8],
    fields: &'a [Field],
}

impl<'a> Head<'a> {
    /// All headers in their order: name as sent, value without the white space around it.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let block = self.block;
        self.fields.iter().filter_map(move |field| {
            let value = block.get(field.colon..field.end)?.strip_prefix(b":")?;
            Some((block.get(field.name..field.colon)?, value.trim_ascii()))
        })
    }

    /// The values of a header that may be repeated. `name` in any case.
    fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let same = move |header: &[u8]| header.eq_ignore_ascii_case(name.as_bytes());
        self.headers().filter_map(move |(header, value)| same(header).then_some(value))
    }

    /// The value of a header that may stand once. `name` in any case.
    ///
    /// # Errors
    /// It stands twice. Which one to believe is a guess that request smuggling lives on, so there
    /// is none, even where both are equal (RFC 9110 §8.6 allows refusing them).
    pub fn get(&self, name: &str) -> Result<Option<&'a [u8]>, &'static str> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err("a framing header stands twice"),
        }
    }

    /// Whether the peer will close the connection after this reply (RFC 9112 §9.6).
    ///
    /// `Connection` may be repeated and is a list. HTTP/1.0's keep-alive is not taken up.
    pub fn closes_connection(&self) -> bool {
        let mut options = self.all("connection").flat_map(|list| list.split(|&byte| byte == b','));
        self.is_http_1_0 || options.any(|name| name.trim_ascii().eq_ignore_ascii_case(b"close"))
    }
}

/// `HTTP/1.x SP 3DIGIT [SP reason]`. RFC 9112 §4 wants the second space even before an empty
/// reason; that it may be missing is our leniency, since no framing depends on it.
fn status_line(line: &[u8]) -> Option<(u16, bool)> {
    let (is_http_1_0, rest) = match line.strip_prefix(b"HTTP/1.")? {
        [minor @ (b'0' | b'1'), b' ', rest @ ..] => (*minor == b'0', rest),
        _ => return None,
    };
    let (code, reason) = rest.split_at_checked(3)?;
    let is_apart = matches!(reason, [] | [b' ', ..]) && reason.iter().all(|&byte| is_text(byte));
    let status = u16::try_from(number(code, 10)?).ok()?;
    is_apart.then_some((status, is_http_1_0))
}

/// `token ":" OWS value OWS` (RFC 9112 §5). Gives the place of the colon.
fn header_line(line: &[u8]) -> Result<usize, &'static str> {
    let name = line.iter().take_while(|&&byte| is_token(byte)).count();
    match line.get(name..) {
        Some([b':', value @ ..]) if name > 0 && value.iter().all(|&byte| is_text(byte)) => Ok(name),
        _ if line.starts_with(b" ") || line.starts_with(b"\t") => {
            Err("a header is folded over two lines")
        }
        _ if line.contains(&b'\r') => Err("a header line does not end in CR LF"),
        _ => Err("a header line is malformed"),
    }
}

/// tchar of RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'0'..=b'9' | b'A'..=b'Z' | b'^'..=b'z'
            | b'|' | b'~'
    )
}

/// What a value may hold: RFC 9110 §5.5, and NUL. The leniency: Lambda's headers carry callers'
/// text, and one with a NUL costs its own variable, not the event (it is left out of the handler's
/// environment with a log line). No framing depends on it: numbers and tokens hold no NUL.
fn is_text(byte: u8) -> bool {
    (byte >= b' ' && byte != 0x7f) || byte == b'\t' || byte == 0
}
