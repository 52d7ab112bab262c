//! What is sent: request heads, chunks, trailers (RFC 9112 §3, §6, §7.1).
//!
//! In: values from settings and from the Runtime API's own headers. Out: bytes. No value can leave
//! its line: a byte that a header value must not hold is written as `?`.

/// The head of a request, written a line at a time into a buffer that is used again.
#[derive(Debug, Default)]
pub struct Request {
    bytes: Vec<u8>,
}

impl Request {
    /// Starts anew with the request line and Host. The parts of the path are joined as they are.
    pub fn start(&mut self, method: &str, path: &[&[u8]], host: &str) {
        self.bytes.clear();
        self.bytes.extend_from_slice(method.as_bytes());
        self.bytes.push(b' ');
        for part in path {
            self.bytes.extend_from_slice(part);
        }
        self.bytes.extend_from_slice(b" HTTP/1.1\r\n");
        self.header("Host", host.as_bytes());
    }

    /// Adds one header, or trailer.
    pub fn header(&mut self, name: &str, value: &[u8]) {
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b": ");
        self.bytes.extend(value.iter().map(|&byte| sent_as(byte)));
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Ends the head, and returns it.
    pub fn finish(&mut self) -> &[u8] {
        self.bytes.extend_from_slice(b"\r\n");
        &self.bytes
    }
}

/// A byte of a header value as it may be sent.
fn sent_as(byte: u8) -> u8 {
    if byte == b'\t' || !byte.is_ascii_control() {
        byte
    } else {
        b'?'
    }
}

/// Returns the line before a chunk of `length` bytes; after the chunk goes CR LF.
///
/// A length of 0 would end the body, so the caller must skip an empty part.
pub fn chunk_size_line(length: usize) -> Vec<u8> {
    format!("{length:x}\r\n").into_bytes()
}

/// Returns the end of a chunked body: the chunk of size 0, trailers, and the empty line.
pub fn last_chunk(trailers: &[(&str, &[u8])]) -> Vec<u8> {
    let mut lines = Request {
        bytes: b"0\r\n".to_vec(),
    };
    for (name, value) in trailers {
        lines.header(name, value);
    }
    lines.finish().to_vec()
}

#[cfg(test)]
mod tests {
    use super::{Request, chunk_size_line, last_chunk};

    #[test]
    fn request_is_written_line_by_line() {
        let mut request = Request::default();
        for _ in 0..2 {
            request.start("GET", &[b"/a", b"/b"], "host:1");
            request.header("Name", b"value");
            let expected = "GET /a/b HTTP/1.1\r\nHost: host:1\r\nName: value\r\n\r\n";
            assert_eq!(String::from_utf8_lossy(request.finish()), expected);
        }
    }

    #[test]
    fn value_with_line_ends_stays_on_its_line() {
        let mut request = Request::default();
        request.header("Name", b"a\r\nb\0c\td\x7f\xff");
        assert_eq!(request.finish(), b"Name: a??b?c\td?\xff\r\n\r\n");
    }

    #[test]
    fn chunks_and_trailers_have_their_form() {
        assert_eq!(chunk_size_line(255), b"ff\r\n");
        assert_eq!(last_chunk(&[]), b"0\r\n\r\n");
        assert_eq!(
            last_chunk(&[("A", b"1"), ("B", b"2")]),
            b"0\r\nA: 1\r\nB: 2\r\n\r\n"
        );
    }
}
