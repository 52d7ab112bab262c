//! Status line and headers of a reply (RFC 9112 §4 and §5).
//!
//! In: the bytes received so far. Out: the end of the header block once it is there, then a
//! [`Head`] that looks things up in it. A line is judged as soon as it is complete, so that a peer
//! that does not speak HTTP is found out at its first line and not at a limit or never.

use super::{HEADER_BLOCK_LIMIT, HEADER_COUNT_LIMIT, number};

/// Why a header block was refused. The text is for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// The first line is not a status line.
    NotHttp,
    /// A line ends in LF without CR, or holds CR elsewhere.
    LineEnding,
    /// A header line has no name, a name that is no token, or a control character in its value.
    HeaderLine,
    /// A header line starts with white space: obsolete folding.
    Folded,
    /// More than [`HEADER_COUNT_LIMIT`] lines.
    TooManyHeaders,
    /// More than [`HEADER_BLOCK_LIMIT`] bytes.
    TooLong,
    /// A header that must stand once stands twice.
    Repeated,
}

impl HeadError {
    /// One phrase for the log.
    pub fn explain(self) -> &'static str {
        match self {
            HeadError::NotHttp => "the reply does not start with an HTTP/1 status line",
            HeadError::LineEnding => "a header line does not end in CR LF",
            HeadError::HeaderLine => "a header line is malformed",
            HeadError::Folded => "a header is folded over two lines",
            HeadError::TooManyHeaders => "the reply has more than 256 headers",
            HeadError::TooLong => "the header block is over 1048576 bytes",
            HeadError::Repeated => "a header that must stand once stands twice",
        }
    }
}

/// Finds the end of a header block in a growing buffer, and remembers how far it looked.
#[derive(Debug, Default)]
pub struct Scanner {
    /// Where the current line starts.
    line: usize,
    /// How far the current line was searched for its end.
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
    pub fn scan(&mut self, received: &[u8]) -> Result<Option<usize>, HeadError> {
        while let Some(end) = find_newline(received, self.seen) {
            let line = received.get(self.line..end).unwrap_or_default();
            self.line = end.saturating_add(1);
            self.seen = self.line;
            if self.line > HEADER_BLOCK_LIMIT {
                return Err(HeadError::TooLong);
            }
            let line = line.strip_suffix(b"\r").ok_or(HeadError::LineEnding)?;
            if self.lines == 0 {
                status_line(line)?;
            } else if line.is_empty() {
                return Ok(Some(self.line));
            } else {
                header_line(line)?;
            }
            self.lines = self.lines.saturating_add(1);
            // The status line is counted too, hence "more than", not "at least".
            if self.lines > HEADER_COUNT_LIMIT.saturating_add(1) {
                return Err(HeadError::TooManyHeaders);
            }
        }
        self.seen = received.len();
        if self.lines == 0 && !may_become_http(received) {
            return Err(HeadError::NotHttp);
        }
        if received.len() > HEADER_BLOCK_LIMIT {
            return Err(HeadError::TooLong);
        }
        Ok(None)
    }
}

/// A complete header block. Borrowed from the buffer it was received in.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Three digits, 100 to 599 in a sane peer; 0 to 999 here.
    pub status: u16,
    /// HTTP/1.0, whose connections end after a reply.
    pub is_http_1_0: bool,
    /// Read again at each look-up: there are few headers, and taking memory for a list of them costs
    /// more, with musl even system calls.
    lines: &'a [u8],
}

impl<'a> Head<'a> {
    /// Takes a block whose end a [`Scanner`] found.
    ///
    /// # Errors
    /// The first line is no status line.
    pub fn parse(block: &'a [u8]) -> Result<Head<'a>, HeadError> {
        let end = find_newline(block, 0).ok_or(HeadError::NotHttp)?;
        let (first, lines) = block.split_at_checked(end).ok_or(HeadError::NotHttp)?;
        let (status, is_http_1_0) = status_line(first.strip_suffix(b"\r").unwrap_or(first))?;
        Ok(Head { status, is_http_1_0, lines })
    }

    /// All headers in their order: name as sent, value without the white space around it.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.lines.split(|&byte| byte == b'\n').filter_map(|line| {
            let colon = line.iter().position(|&byte| byte == b':')?;
            let (name, value) = line.split_at_checked(colon)?;
            Some((name, value.strip_prefix(b":")?.trim_ascii()))
        })
    }

    /// The value of a header that may stand once. `name` in any case.
    ///
    /// # Errors
    /// It stands twice. Which one to believe is a guess that request smuggling lives on, so there
    /// is none, even where both are equal (RFC 9110 §8.6 allows refusing them).
    pub fn get(&self, name: &str) -> Result<Option<&'a [u8]>, HeadError> {
        let mut found = None;
        for (_, value) in self.headers().filter(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())) {
            if found.replace(value).is_some() {
                return Err(HeadError::Repeated);
            }
        }
        Ok(found)
    }

    /// Whether the peer will close the connection after this reply (RFC 9112 §9.6).
    ///
    /// `Connection` may be repeated and is a list. HTTP/1.0's keep-alive is not taken up.
    pub fn closes_connection(&self) -> bool {
        self.is_http_1_0
            || self
                .headers()
                .filter(|(name, _)| name.eq_ignore_ascii_case(b"connection"))
                .flat_map(|(_, value)| value.split(|&byte| byte == b','))
                .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
    }
}

fn find_newline(bytes: &[u8], from: usize) -> Option<usize> {
    let found = bytes.get(from..)?.iter().position(|&byte| byte == b'\n')?;
    from.checked_add(found)
}

/// A first line that is not yet complete must at least begin like one.
fn may_become_http(start: &[u8]) -> bool {
    start.iter().zip(b"HTTP/1.").all(|(byte, expected)| byte == expected)
}

/// `HTTP/1.x SP 3DIGIT [SP reason]`. RFC 9112 §4 wants the second space even before an empty
/// reason; that it may be missing is our leniency, since no framing depends on it.
fn status_line(line: &[u8]) -> Result<(u16, bool), HeadError> {
    let rest = line.strip_prefix(b"HTTP/1.").ok_or(HeadError::NotHttp)?;
    let (&minor, rest) = rest.split_first().ok_or(HeadError::NotHttp)?;
    let rest = rest.strip_prefix(b" ").ok_or(HeadError::NotHttp)?;
    let (code, reason) = rest.split_at_checked(3).ok_or(HeadError::NotHttp)?;
    let reason_is_apart = reason.is_empty() || reason.starts_with(b" ");
    if !matches!(minor, b'0' | b'1') || !reason_is_apart || !reason.iter().all(|&b| is_text(b)) {
        return Err(HeadError::NotHttp);
    }
    let status = number(code, 10).and_then(|code| u16::try_from(code).ok());
    Ok((status.ok_or(HeadError::NotHttp)?, minor == b'0'))
}

/// `token ":" OWS value OWS` (RFC 9112 §5).
fn header_line(line: &[u8]) -> Result<(), HeadError> {
    if line.first().is_some_and(|&byte| byte == b' ' || byte == b'\t') {
        return Err(HeadError::Folded);
    }
    let mut bytes = line.iter();
    let name = bytes.by_ref().take_while(|&&byte| is_token(byte)).count();
    let is_named = name > 0 && line.get(name) == Some(&b':');
    if is_named && bytes.all(|&byte| is_text(byte)) {
        return Ok(());
    }
    Err(if line.contains(&b'\r') { HeadError::LineEnding } else { HeadError::HeaderLine })
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
    matches!(byte, b'\t' | b'\0' | b' '..=b'~' | 0x80..=0xff)
}
