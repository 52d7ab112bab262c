//! Status line and headers of a reply (RFC 9112 §4 and §5).
//!
//! In: the bytes received so far. Out: the end of the header block once it is there, then a
//! [`Head`] that looks things up in it. A line is judged as soon as it is complete, so that a peer
//! that does not speak HTTP is found out at its first line and not at a limit or never. An error is
//! one phrase for the log. It must never choose between two headers of which one is allowed.

use std::borrow::Cow;

use super::{HEADER_BLOCK_LIMIT, HEADER_COUNT_LIMIT, number, same};

const LINE_END: &str = "a header line does not end in CR LF";
const TOO_LONG: &str = "the header block is over 1048576 bytes";
const NOT_HTTP: &str = "the reply does not start with an HTTP/1 status line";

/// Reads a header block in a growing buffer: each byte once, however it arrives.
#[derive(Debug, Default)]
pub struct Scanner {
    /// Where the current line starts.
    line: usize,
    /// How far the current line was searched for its end.
    seen: usize,
    /// Where the token ends that it begins with: its name, if it is a header.
    name_end: usize,
    /// Control characters in it that no text may hold: its CR, and what makes it malformed.
    controls: usize,
    /// From the status line, once it is complete: status, and whether it is HTTP/1.0.
    status: Option<(u16, bool)>,
    /// Where the headers are. Its memory is used again for the next block.
    fields: Vec<Field>,
}

/// Where a header's name starts, where its colon is, and where its line ends.
#[derive(Clone, Debug)]
struct Field {
    name: usize,
    colon: usize,
    end: usize,
}

impl Field {
    fn read<'a>(&self, block: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let value = block.get(self.colon..self.end)?.strip_prefix(b":")?;
        Some((block.get(self.name..self.colon)?, value.trim_ascii()))
    }
}

impl Scanner {
    /// Forgets all it knows: another block begins.
    pub fn restart(&mut self) {
        self.fields.clear();
        (self.line, self.seen, self.name_end, self.controls, self.status) = (0, 0, 0, 0, None);
    }

    /// Looks at all bytes received since the reply began.
    ///
    /// `true`: the block is there, with its empty line. `false`: more bytes are needed.
    ///
    /// # Errors
    /// The first rule that a line breaks.
    pub fn scan(&mut self, received: &[u8]) -> Result<bool, &'static str> {
        while let Some(at) = self.next_control(received) {
            self.seen = at.saturating_add(1);
            match received.get(at) {
                Some(b'\n') => {}
                // What a value may hold (RFC 9110 §5.5), and NUL. The leniency: Lambda's headers carry
                // callers' text, and one with a NUL costs its own variable, not the event (it is left
                // out of the handler's environment with a log line). No framing depends on it.
                Some(b'\t' | b'\0') => continue,
                _ => {
                    self.controls = self.controls.saturating_add(1);
                    continue;
                }
            }
            if self.seen > HEADER_BLOCK_LIMIT {
                return Err(TOO_LONG);
            }
            let line = received.get(self.line..at).unwrap_or_default();
            let line = line.strip_suffix(b"\r").ok_or(LINE_END)?;
            // The CR at its end.
            let is_text = self.controls == 1;
            if self.status.is_none() {
                self.status = Some(status_line(line).filter(|_| is_text).ok_or(NOT_HTTP)?);
            } else if line.is_empty() {
                return Ok(true);
            } else if self.fields.len() == HEADER_COUNT_LIMIT {
                return Err("the reply has more than 256 headers");
            } else {
                // `token ":" OWS value OWS` (RFC 9112 §5).
                let is_named =
                    self.name_end > self.line && received.get(self.name_end) == Some(&b':');
                if !is_named || !is_text {
                    return Err(explain(line));
                }
                self.fields.push(Field { name: self.line, colon: self.name_end, end: at });
            }
            (self.line, self.name_end, self.controls) = (self.seen, self.seen, 0);
        }
        self.seen = received.len();
        // A first line that is not yet complete must at least begin like one.
        let begins_well = received.iter().zip(b"HTTP/1.").all(|(byte, expected)| byte == expected);
        match self.status {
            None if !begins_well => Err(NOT_HTTP),
            _ if self.seen > HEADER_BLOCK_LIMIT => Err(TOO_LONG),
            _ => Ok(false),
        }
    }

    /// The place of the next control character that was not seen yet. The token at the start of a
    /// line has none.
    fn next_control(&mut self, received: &[u8]) -> Option<usize> {
        if self.name_end == self.seen {
            let name = received.get(self.seen..).unwrap_or_default().iter();
            let length = name.take_while(|&&byte| is_token(byte)).count();
            self.name_end = self.seen.saturating_add(length);
            self.seen = self.name_end;
        }
        let mut new = received.get(self.seen..)?.iter();
        new.position(u8::is_ascii_control).map(|at| self.seen.saturating_add(at))
    }

    /// How many bytes the block has whose end was found.
    pub fn length(&self) -> usize {
        self.seen
    }

    /// That block, which `received` begins with.
    pub fn head<'a>(&'a self, received: &'a [u8]) -> Head<'a> {
        let (status, is_http_1_0) = self.status.unwrap_or_default();
        let block = received.get(..self.length()).unwrap_or_default().into();
        Head { status, is_http_1_0, block, fields: (&self.fields).into() }
    }
}

/// A complete header block, in the buffer it was received in or with a copy of its own.
#[derive(Debug)]
pub struct Head<'a> {
    /// Three digits, 100 to 599 in a sane peer; 0 to 999 here.
    pub status: u16,
    /// HTTP/1.0, whose connections end after a reply.
    pub is_http_1_0: bool,
    block: Cow<'a, [u8]>,
    fields: Cow<'a, [Field]>,
}

impl Head<'_> {
    /// A copy that outlives the buffer.
    pub fn into_owned(self) -> Head<'static> {
        let (block, fields) = (self.block.into_owned().into(), self.fields.into_owned().into());
        Head { block, fields, ..self }
    }

    /// All headers in their order: name as sent, value without the white space around it.
    pub fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().filter_map(|field| field.read(&self.block))
    }

    /// The values of a header that may be repeated. `name` in any case; names of another length
    /// are not looked at.
    fn all(&self, name: &[u8]) -> impl Iterator<Item = &[u8]> {
        self.fields.iter().filter_map(move |field| {
            let may_be = field.colon.checked_sub(field.name) == Some(name.len());
            let (found, value) = may_be.then(|| field.read(&self.block))??;
            same(found, name).then_some(value)
        })
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
        let mut options = self.all(b"Connection").flat_map(|list| list.split(|&byte| byte == b','));
        self.is_http_1_0 || options.any(|name| same(name.trim_ascii(), b"close"))
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
    let status = u16::try_from(number(code, 10)?).ok()?;
    matches!(reason, [] | [b' ', ..]).then_some((status, is_http_1_0))
}

/// Why a line is no header.
fn explain(line: &[u8]) -> &'static str {
    match line {
        [b' ' | b'\t', ..] => "a header is folded over two lines",
        _ if line.contains(&b'\r') => LINE_END,
        _ => "a header line is malformed",
    }
}

/// tchar of RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'!' | b'#'..=b'\'' | b'*' | b'+' | b'.' | b'^'..=b'`' | b'|' | b'~')
}
