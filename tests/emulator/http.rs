//! HTTP/1.1 as the emulator speaks it: a request's head, a body in either framing, a reply; and a
//! small client to call an emulator with.
//!
//! What arrives is judged strictly: a request that is not well formed is an error, never repaired.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Names as they were sent, values as bytes: a header may hold what is not UTF-8.
pub(crate) type Headers = Vec<(String, Vec<u8>)>;

/// Longest head taken; the figure is that of Go's server, which Lambda's own is.
const HEAD_LIMIT: usize = 1_048_576 + 4096;

/// Most body bytes handed over at once, so that a streamed body is seen while it arrives.
const PIECE: usize = 65_536;

/// A request or a reply up to the blank line: its first line, its headers, and every byte of both.
pub(crate) struct Head {
    pub(crate) first_line: String,
    pub(crate) headers: Headers,
    pub(crate) raw: Vec<u8>,
}

/// The value of a header, its name compared without case.
pub(crate) fn value<'a>(headers: &'a Headers, name: &str) -> Option<&'a [u8]> {
    headers
        .iter()
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, v)| v.as_slice())
}

/// The value of a header as text; an absent header and one that is not UTF-8 are both `None`.
pub(crate) fn text<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    value(headers, name).and_then(|v| str::from_utf8(v).ok())
}

/// Reads one head. `None`: the peer closed the connection before its first byte.
pub(crate) fn read_head(reader: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut raw = Vec::new();
    let Some(first_line) = read_line(reader, &mut raw)? else {
        return Ok(None);
    };
    let first_line = String::from_utf8(first_line).map_err(|_| broken("first line: not UTF-8"))?;
    let headers = read_headers(reader, &mut raw)?;
    Ok(Some(Head {
        first_line,
        headers,
        raw,
    }))
}

/// Reads header lines up to and with the blank line; trailers have the same form.
fn read_headers(reader: &mut impl BufRead, raw: &mut Vec<u8>) -> io::Result<Headers> {
    let mut headers = Headers::new();
    loop {
        let line = read_line(reader, raw)?.ok_or_else(|| cut("in the headers"))?;
        if line.is_empty() {
            return Ok(headers);
        }
        let colon = line
            .iter()
            .position(|&b| b == b':')
            .ok_or_else(|| broken("no colon"))?;
        let name = str::from_utf8(&line[..colon]).map_err(|_| broken("name: not UTF-8"))?;
        if name.is_empty() || name.bytes().any(|b| b.is_ascii_whitespace()) {
            return Err(broken("header name: empty, or with a space"));
        }
        headers.push((name.to_owned(), line[colon + 1..].trim_ascii().to_vec()));
    }
}

/// Reads one line that ends in CR LF and returns it without these; its bytes are added to `raw`.
fn read_line(reader: &mut impl BufRead, raw: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    reader
        .take(HEAD_LIMIT as u64)
        .read_until(b'\n', &mut line)?;
    raw.extend_from_slice(&line);
    if line.is_empty() {
        return Ok(None);
    }
    if raw.len() > HEAD_LIMIT {
        return Err(broken("head: too long"));
    }
    match line.strip_suffix(b"\r\n") {
        Some(text) if text.iter().any(|&b| matches!(b, b'\r' | b'\n' | 0)) => {
            Err(broken("line: CR, LF or NUL inside"))
        }
        Some(text) => Ok(Some(text.to_vec())),
        None if line.ends_with(b"\n") => Err(broken("line: ends in LF without CR")),
        None => Err(cut("in a line")),
    }
}

/// Reads a body as the headers frame it and hands its bytes to `piece` as they arrive. Returns the
/// trailers. `piece` may refuse more, which ends the reading with its error.
pub(crate) fn read_body(
    reader: &mut impl BufRead,
    headers: &Headers,
    mut piece: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Headers> {
    match (
        value(headers, "Content-Length"),
        value(headers, "Transfer-Encoding"),
    ) {
        (Some(_), Some(_)) => Err(broken("Content-Length beside Transfer-Encoding")),
        (None, None) => Ok(Headers::new()),
        (Some(length), None) => {
            read_exactly(reader, number(length, 10)?, &mut piece)?;
            Ok(Headers::new())
        }
        (None, Some(b"chunked")) => loop {
            let mut raw = Vec::new();
            let line = read_line(reader, &mut raw)?.ok_or_else(|| cut("before a chunk"))?;
            let size = number(line.split(|&b| b == b';').next().unwrap_or_default(), 16)?;
            if size == 0 {
                return read_headers(reader, &mut raw);
            }
            read_exactly(reader, size, &mut piece)?;
            if read_line(reader, &mut raw)?.ok_or_else(|| cut("after a chunk"))? != b"" {
                return Err(broken("chunk: longer than its size"));
            }
        },
        (None, Some(_)) => Err(broken("Transfer-Encoding: not chunked")),
    }
}

fn read_exactly(
    reader: &mut impl BufRead,
    mut left: usize,
    piece: &mut impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    while left > 0 {
        let available = reader.fill_buf()?;
        if available.is_empty() {
            return Err(cut("in the body"));
        }
        let taken = available.len().min(left).min(PIECE);
        piece(&available[..taken])?;
        reader.consume(taken);
        left -= taken;
    }
    Ok(())
}

/// Digits only, at least one: `+5`, an empty number and `0x5` are errors here.
fn number(digits: &[u8], radix: u32) -> io::Result<usize> {
    let text = str::from_utf8(digits).map_err(|_| broken("number: not UTF-8"))?;
    if text.is_empty() || !text.chars().all(|c| c.is_digit(radix)) {
        return Err(broken(&format!("number: {text:?}")));
    }
    usize::from_str_radix(text, radix).map_err(|_| broken(&format!("number: {text:?}")))
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn cut(place: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("closed {place}"))
}

/// The bytes of a reply with a body.
pub(crate) fn reply(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status} {}\r\n", phrase(status)).into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    // A 204 has no body and must not announce one.
    if status != 204 {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

pub(crate) fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        410 => "Gone",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        // A client must not depend on the phrase; one that does meets an odd one here.
        _ => "(see the number)",
    }
}

/// A whole reply, as the small client below got it.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
}

/// Posts once, on a connection of its own.
pub(crate) fn post(
    address: impl ToSocketAddrs,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    patience: Duration,
) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(patience))?;
    let mut head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!(
        "Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    ));
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut reader = BufReader::new(stream);
    let head = read_head(&mut reader)?.ok_or_else(|| cut("before a reply"))?;
    let status = head
        .first_line
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok());
    let status = status.ok_or_else(|| broken("no status"))?;
    let mut body = Vec::new();
    read_body(&mut reader, &head.headers, |bytes| {
        body.extend_from_slice(bytes);
        Ok(())
    })?;
    Ok(Reply {
        status,
        headers: head.headers,
        body,
    })
}
