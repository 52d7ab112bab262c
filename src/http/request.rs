//! What is sent: request heads, chunks, trailers (RFC 9112 §3, §6, §7.1).
//!
//! In: values from settings and from the Runtime API's own headers. Out: bytes. None can leave its
//! line: a byte that a header value must not hold is written as `?`.

/// The head of a request, written a line at a time into a buffer that is used again.
#[derive(Default)]
pub struct Request {
    bytes: Vec<u8>,
}

impl Request {
    /// Begins anew with the request line and Host. `start` is a method, a space and a path made by
    /// `runtime_api.rs`, in parts.
    pub fn begin(&mut self, start: &[&[u8]], host: &str) {
        self.bytes.clear();
        start
            .iter()
            .for_each(|part| self.bytes.extend_from_slice(part));
        self.bytes.extend_from_slice(b" HTTP/1.1\r\n");
        self.header("Host", host.as_bytes());
    }

    /// Adds one header, or trailer.
    pub fn header(&mut self, name: &str, value: &[u8]) {
        let is_safe = |byte: u8| byte == b'\t' || !byte.is_ascii_control();
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b": ");
        self.bytes.extend(
            value
                .iter()
                .map(|&byte| if is_safe(byte) { byte } else { b'?' }),
        );
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Ends the head, and gives it.
    pub fn finish(&mut self) -> &[u8] {
        self.bytes.extend_from_slice(b"\r\n");
        &self.bytes
    }
}

/// The line before a chunk of `length` bytes; after the chunk goes CR LF.
///
/// A length of 0 would end the body, so whoever writes an empty part must skip it.
pub fn chunk_size_line(length: usize) -> Vec<u8> {
    format!("{length:x}\r\n").into_bytes()
}

/// The end of a chunked body: the chunk of size 0, trailers, and the empty line.
pub fn last_chunk(trailers: &[(&str, &[u8])]) -> Vec<u8> {
    let mut lines = Request {
        bytes: b"0\r\n".to_vec(),
    };
    trailers
        .iter()
        .for_each(|(name, value)| lines.header(name, value));
    lines.finish().to_vec()
}
