//! What must hold for any bytes. Shared by the fuzz targets and by `tests/it/vectors.rs`, which needs
//! no fuzzer.
//!
//! [`reference`] reads the same grammar a second time, in the plainest way: all at once, with no
//! state between calls. Where the two differ, one of them is wrong.

use zerostrap::internal::Object;
use zerostrap::internal::http::body::{Decoder, Framing};
use zerostrap::internal::http::error::Error;
use zerostrap::internal::http::head::Head;
use zerostrap::internal::http::request::{Request, chunk_size_line, last_chunk};

/// A header block in arbitrary pieces gives what the whole gives, and what the reference reads.
pub(crate) fn check_head(data: &[u8]) {
    let whole = read_in_steps(data, data.len().max(1));
    for step in [1, 2 + data.len() % 7] {
        let pieces = read_in_steps(data, step);
        // Which rule is named may depend on the pieces, that one is broken may not.
        match (&whole, &pieces) {
            (Ok((whole, _)), Ok((pieces, _))) => assert_eq!(whole, pieces, "in steps of {step}"),
            (Err(_), Err(_)) => {}
            differ => panic!("in steps of {step}: {differ:?}"),
        }
        if let (Ok((Some(_), head)), reference::Read::Whole(expected)) =
            (pieces, reference::head(data))
        {
            check_parsed(&head, &expected);
        }
    }
    match (whole, reference::head(data)) {
        (Ok((Some(length), head)), reference::Read::Whole(expected)) => {
            assert_eq!(length, expected.length);
            check_parsed(&head, &expected);
        }
        (Ok((None, _)), reference::Read::More) | (Err(_), reference::Read::Bad) => {}
        differ => panic!("the reference differs: {differ:?}"),
    }
}

/// The length of the block, once it is whole, and what was read of it.
fn read_in_steps(data: &[u8], step: usize) -> Result<(Option<usize>, Head), Error> {
    let mut head = Head::default();
    // Whatever it held before is gone.
    let _ = head.push(b"HTTP/1.0 500\r\nBefore: x\r\nA");
    head.clear();
    assert!(head.is_empty() && !head.is_complete());
    let mut length = 0;
    for piece in data.chunks(step) {
        let used = head.push(piece)?;
        length += used;
        assert!(used <= piece.len(), "the end is past the bytes given");
        if head.is_complete() {
            // Not a byte earlier: all of the block was needed.
            assert!(
                used > 0 && data[..length].ends_with(b"\r\n\r\n"),
                "the end was overlooked"
            );
            return Ok((Some(length), head));
        }
        assert_eq!(used, piece.len(), "bytes are left, and more are wanted");
    }
    Ok((None, head))
}

fn check_parsed(head: &Head, expected: &reference::Head) {
    assert_eq!(
        (head.status, head.is_http_1_0),
        (expected.status, expected.is_http_1_0)
    );
    let headers: Vec<_> = head
        .headers()
        .map(|(n, v)| (n.to_vec(), v.to_vec()))
        .collect();
    assert_eq!(headers, expected.headers);
    for (name, value) in &headers {
        assert!(!value.iter().any(|byte| b"\r\n".contains(byte)));
        let name = std::str::from_utf8(name).expect("a token");
        let same = headers
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()));
        match head.get(name.to_ascii_uppercase()) {
            Ok(found) => {
                assert_eq!(same.count(), 1);
                assert_eq!(found, Some(value.as_slice()));
            }
            Err(error) => {
                assert!(
                    matches!(
                        error,
                        Error::RepeatedHeader { .. } | Error::DuplicateFraming { .. }
                    ),
                    "{error}"
                );
                assert!(same.count() > 1);
            }
        }
    }
    assert_eq!(head.closes_connection(), expected.closes());
    assert_eq!(Framing::of(head).ok(), expected.framing());
}

/// A body in arbitrary pieces gives what the whole gives, and what the reference reads. The first
/// two bytes choose the framing, the third the pieces; one bit adds what the writer makes of it.
pub(crate) fn check_body(data: &[u8]) {
    let [kind, length, pieces, body @ ..] = data else {
        return;
    };
    let framing = match kind % 4 {
        0 => Framing::Length(u64::from(*length)),
        1 => Framing::UntilClose,
        _ => Framing::Chunked,
    };
    let whole = decode(framing, body, |rest| rest);
    // Pieces of one length, or each of another.
    let mut state = u32::from(*pieces);
    let split = decode(framing, body, |rest| {
        if *pieces < 8 {
            return usize::from(*pieces) + 1;
        }
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        1 + (state >> 16) as usize % rest
    });
    // Which rule is named may depend on the pieces, that one is broken may not.
    assert_eq!(
        (&whole.body, whole.consumed, whole.end.as_ref().ok()),
        (&split.body, split.consumed, split.end.as_ref().ok()),
        "in pieces by {pieces}"
    );
    match (reference::body(framing, body), &whole.end) {
        (reference::Read::Whole(expected), Ok(true)) => {
            assert_eq!(
                (&whole.body, whole.consumed),
                (&expected.body, expected.length)
            );
        }
        // The decoder sees a broken line at its first wrong byte, the reference at its end.
        (reference::Read::More, Ok(false) | Err(_)) | (reference::Read::Bad, Err(_)) => {}
        differ => panic!("the reference differs: {differ:?}"),
    }
    if kind & 4 != 0 {
        check_written(body, usize::from(*length) + 1);
        check_request(body);
    }
}

/// What became of a body.
#[derive(Debug, PartialEq, Eq)]
struct Decoding {
    body: Vec<u8>,
    consumed: usize,
    /// Whether it is complete, or the rule that it breaks.
    end: Result<bool, Error>,
}

/// Decodes `data`, given in pieces of `next_piece(bytes left)`.
fn decode(framing: Framing, data: &[u8], mut next_piece: impl FnMut(usize) -> usize) -> Decoding {
    let mut decoder = Decoder::new(framing);
    let mut decoding = Decoding {
        body: Vec::new(),
        consumed: 0,
        end: Ok(false),
    };
    while decoding.consumed < data.len() && !decoder.is_complete() {
        let rest = &data[decoding.consumed..];
        let mut piece = &rest[..next_piece(rest.len()).min(rest.len())];
        // As its user does: until the piece is used up.
        while !piece.is_empty() && !decoder.is_complete() {
            let announced = decoder.announced();
            match decoder.decode(piece) {
                Ok((consumed, data)) => {
                    assert!(consumed > 0, "no progress");
                    assert!(consumed <= piece.len(), "more was used than was given");
                    assert!(data.len() <= consumed);
                    assert!(data.len() as u64 <= announced, "more than announced");
                    let left = announced - data.len() as u64;
                    assert!(left == 0 || decoder.announced() == left);
                    decoding.body.extend_from_slice(data);
                    decoding.consumed += consumed;
                    piece = &piece[consumed..];
                }
                Err(error) => {
                    decoding.end = Err(error);
                    // How far into a piece the error lies is not told.
                    decoding.consumed = 0;
                    return decoding;
                }
            }
        }
    }
    decoding.end = Ok(decoder.is_complete());
    if decoder.is_complete() {
        // Bytes after the body are not touched.
        let after = decoder.decode(b"HTTP/1.1").expect("no more of this body");
        assert_eq!(after, (0, &b""[..]));
    }
    decoding
}

/// What the writer writes, the reader reads: a body in chunks of `size`, with trailers.
fn check_written(body: &[u8], size: usize) {
    let mut written = Vec::new();
    for chunk in body.chunks(size) {
        written.extend_from_slice(&chunk_size_line(chunk.len()));
        written.extend_from_slice(chunk);
        written.extend_from_slice(b"\r\n");
    }
    let value = &body[..body.len().min(100)];
    written.extend_from_slice(&last_chunk(&[("Error-Type", value), ("Error-Body", b"")]));
    let read = decode(Framing::Chunked, &written, |rest| rest);
    assert_eq!(
        read,
        Decoding {
            body: body.to_vec(),
            consumed: written.len(),
            end: Ok(true)
        }
    );
}

/// A request with any bytes as a header's value stays one request with that one header.
fn check_request(value: &[u8]) {
    let mut request = Request::default();
    // Whatever it held before is gone.
    request.header("Before", value);
    request.start("POST", &[b"/p", b"a", b"th"], "host:1");
    request.header("Some-Name", value);
    request.header("Content-Length", value.len().to_string().as_bytes());
    let bytes = request.finish().to_vec();
    let lines = bytes
        .strip_prefix(b"POST /path HTTP/1.1\r\n")
        .expect("a request line");
    // The headers of a reply have the same grammar.
    let reply = [b"HTTP/1.1 200 OK\r\n", lines].concat();
    let (length, head) = read_in_steps(&reply, reply.len()).expect("a head");
    assert_eq!(length, Some(reply.len()));
    let names: Vec<_> = head.headers().map(|(name, _)| name).collect();
    assert_eq!(names, [&b"Host"[..], b"Some-Name", b"Content-Length"]);
    let safe: Vec<u8> = value
        .iter()
        .map(|&byte| {
            if matches!(byte, 0..=8 | 10..=31 | 127) {
                b'?'
            } else {
                byte
            }
        })
        .collect();
    assert_eq!(head.get("some-name"), Ok(Some(safe.trim_ascii())));
    assert_eq!(head.get("host"), Ok(Some(&b"host:1"[..])));
}

/// The grammar a second time, for comparison.
pub(crate) mod reference {
    use super::Framing;

    /// What the bytes so far are.
    #[derive(Debug)]
    pub(crate) enum Read<T> {
        Whole(T),
        More,
        Bad,
    }

    #[derive(Debug)]
    pub(crate) struct Head {
        pub(crate) length: usize,
        pub(crate) status: u16,
        pub(crate) is_http_1_0: bool,
        pub(crate) headers: Vec<(Vec<u8>, Vec<u8>)>,
    }

    #[derive(Debug)]
    pub(crate) struct Body {
        pub(crate) body: Vec<u8>,
        pub(crate) length: usize,
    }

    /// A line with its CR LF taken off, and the bytes after it.
    fn line(data: &[u8]) -> Read<(&[u8], &[u8])> {
        let Some(end) = data.iter().position(|&byte| byte == b'\n') else {
            return Read::More;
        };
        match data[..end].split_last() {
            Some((b'\r', line)) if !line.contains(&b'\r') => Read::Whole((line, &data[end + 1..])),
            _ => Read::Bad,
        }
    }

    fn is_text(bytes: &[u8]) -> bool {
        bytes
            .iter()
            .all(|&byte| byte == 0 || byte == 9 || (byte >= 32 && byte != 127))
    }

    pub(crate) fn head(data: &[u8]) -> Read<Head> {
        let (first, mut rest) = match line(data) {
            Read::Whole(found) => found,
            Read::Bad => return Read::Bad,
            Read::More => {
                let start = &data[..data.len().min(7)];
                return if b"HTTP/1.".starts_with(start) {
                    Read::More
                } else {
                    Read::Bad
                };
            }
        };
        let is_http_1_0 = first.starts_with(b"HTTP/1.0 ");
        if !is_http_1_0 && !first.starts_with(b"HTTP/1.1 ") || first.len() < 12 {
            return Read::Bad;
        }
        let (code, reason) = first[9..].split_at(3);
        let has_reason = reason.is_empty() || reason[0] == b' ';
        if !code.iter().all(u8::is_ascii_digit) || !has_reason || !is_text(reason) {
            return Read::Bad;
        }
        let status = code
            .iter()
            .fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
        let mut headers = Vec::new();
        loop {
            let (line, after) = match line(rest) {
                Read::Whole(found) => found,
                Read::More => return Read::More,
                Read::Bad => return Read::Bad,
            };
            rest = after;
            if line.is_empty() {
                let length = data.len() - rest.len();
                return Read::Whole(Head {
                    length,
                    status,
                    is_http_1_0,
                    headers,
                });
            }
            let mut halves = line.splitn(2, |&byte| byte == b':');
            let (Some(name), Some(value)) = (halves.next(), halves.next()) else {
                return Read::Bad;
            };
            let is_mark = |byte: &u8| b"!#$%&'*+-.^_`|~".contains(byte);
            let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || is_mark(byte);
            if name.is_empty() || !name.iter().all(is_name) || !is_text(value) {
                return Read::Bad;
            }
            headers.push((name.to_vec(), value.trim_ascii().to_vec()));
            if headers.len() > 256 {
                return Read::Bad;
            }
        }
    }

    impl Head {
        pub(crate) fn all(&self, name: &str) -> Vec<&[u8]> {
            let same =
                |header: &&(Vec<u8>, Vec<u8>)| header.0.eq_ignore_ascii_case(name.as_bytes());
            self.headers
                .iter()
                .filter(same)
                .map(|(_, value)| value.as_slice())
                .collect()
        }

        pub(crate) fn closes(&self) -> bool {
            let named = self.all("Connection").join(&b',').to_ascii_lowercase();
            self.is_http_1_0
                || named
                    .split(|&b| b == b',')
                    .any(|o| o.trim_ascii() == b"close")
        }

        /// `None`: refused.
        pub(crate) fn framing(&self) -> Option<Framing> {
            let has_no_body =
                (100..200).contains(&self.status) || [204, 304].contains(&self.status);
            match (
                self.all("Transfer-Encoding").as_slice(),
                self.all("Content-Length").as_slice(),
            ) {
                ([], []) if has_no_body => Some(Framing::Length(0)),
                ([], []) => Some(Framing::UntilClose),
                ([_], []) | ([], [_]) if has_no_body => Some(Framing::Length(0)),
                ([coding], []) => {
                    let is_chunked = coding.eq_ignore_ascii_case(b"chunked");
                    (is_chunked && !self.is_http_1_0).then_some(Framing::Chunked)
                }
                ([], [length]) => {
                    let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
                    let length = std::str::from_utf8(length).ok().filter(|_| is_number)?;
                    Some(Framing::Length(length.parse().ok()?))
                }
                _ => None,
            }
        }
    }

    pub(crate) fn body(framing: Framing, data: &[u8]) -> Read<Body> {
        match framing {
            Framing::UntilClose => Read::More,
            Framing::Chunked => chunked(data),
            Framing::Length(length) => match usize::try_from(length) {
                Ok(length) if length <= data.len() => Read::Whole(Body {
                    body: data[..length].to_vec(),
                    length,
                }),
                _ => Read::More,
            },
        }
    }

    /// A line of at most so many bytes with its CR LF.
    fn line_of(limit: usize, data: &[u8]) -> Read<(&[u8], &[u8])> {
        match line(data) {
            Read::Whole((line, _)) if line.len() + 2 > limit => Read::Bad,
            Read::More if data.len() > limit => Read::Bad,
            read => read,
        }
    }

    fn chunked(data: &[u8]) -> Read<Body> {
        let (mut body, mut rest) = (Vec::new(), data);
        loop {
            let (line, after) = match line_of(256, rest) {
                Read::Whole(found) => found,
                Read::More => return Read::More,
                Read::Bad => return Read::Bad,
            };
            let digits = line
                .iter()
                .take_while(|byte| byte.is_ascii_hexdigit())
                .count();
            let (digits, extension) = line.split_at(digits);
            let extension = extension.trim_ascii_start();
            if !extension.is_empty() && extension[0] != b';' {
                return Read::Bad;
            }
            let digits = std::str::from_utf8(digits).expect("digits");
            let Ok(size) = u64::from_str_radix(digits, 16) else {
                return Read::Bad;
            };
            rest = after;
            if size == 0 {
                return trailers(body, data, rest);
            }
            let Some(size) = usize::try_from(size)
                .ok()
                .filter(|size| *size <= rest.len())
            else {
                return Read::More;
            };
            let (chunk, after) = rest.split_at(size);
            body.extend_from_slice(chunk);
            match after {
                [b'\r', b'\n', after @ ..] => rest = after,
                [] | [b'\r'] => return Read::More,
                _ => return Read::Bad,
            }
        }
    }

    fn trailers(body: Vec<u8>, data: &[u8], mut rest: &[u8]) -> Read<Body> {
        for _ in 0..=256 {
            match line_of(8_192, rest) {
                Read::Whole(([], after)) => {
                    return Read::Whole(Body {
                        body,
                        length: data.len() - after.len(),
                    });
                }
                Read::Whole((_, after)) => rest = after,
                Read::More => return Read::More,
                Read::Bad => return Read::Bad,
            }
        }
        Read::Bad
    }
}

/// A text is recognised as a JSON object if and only if the reference says so, with the same
/// members.
pub(crate) fn check_json(data: &[u8]) {
    let found = Object::read(data).map(|object| (object.error_type, object.error_message));
    let expected = json::object(data);
    assert_eq!(found, expected, "{}", data.escape_ascii());
}

/// JSON a second time: one state and a stack of what is open, no call within a call.
mod json {
    /// Most objects and arrays within one another.
    const DEPTH: usize = 64;

    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Expect {
        Value,
        ValueOrEnd,
        Name,
        NameOrEnd,
        Colon,
        CommaOrEnd,
        Nothing,
    }

    type Members<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

    /// The string members `errorType` and `errorMessage` of a text that is one object.
    pub(super) fn object(text: &[u8]) -> Option<Members<'_>> {
        if std::str::from_utf8(text).is_err() {
            return None;
        }
        let (mut open, mut expect) = (Vec::new(), Expect::Value);
        let (mut name, mut members): (&[u8], Members<'_>) = (b"", (None, None));
        let mut at = 0;
        while at < text.len() {
            let (start, byte) = (at, text[at]);
            at += 1;
            if b" \t\r\n".contains(&byte) {
                continue;
            }
            // What stands outside of all has to be an object.
            let wants_value = matches!(expect, Expect::Value | Expect::ValueOrEnd)
                && (byte == b'{' || !open.is_empty());
            let wants_name = matches!(expect, Expect::Name | Expect::NameOrEnd);
            let is_member = open == [b'{'] && wants_value;
            if byte == b'"' && (wants_value || wants_name) {
                at += string(&text[at..])?;
                let string = &text[start + 1..at - 1];
                if wants_name {
                    (name, expect) = (string, Expect::Colon);
                    continue;
                }
                if is_member {
                    keep(&mut members, name, Some(string));
                }
                expect = Expect::CommaOrEnd;
                continue;
            }
            if is_member {
                keep(&mut members, name, None);
            }
            match (byte, expect) {
                (b'{', _) if wants_value => {
                    open.push(byte);
                    expect = Expect::NameOrEnd;
                }
                (b'[', _) if wants_value => {
                    open.push(byte);
                    expect = Expect::ValueOrEnd;
                }
                (b':', Expect::Colon) => expect = Expect::Value,
                (b',', Expect::CommaOrEnd) if open.last() == Some(&b'{') => expect = Expect::Name,
                (b',', Expect::CommaOrEnd) => expect = Expect::Value,
                (b'}', Expect::NameOrEnd | Expect::CommaOrEnd)
                | (b']', Expect::ValueOrEnd | Expect::CommaOrEnd) => {
                    // `[` and `{` stand two below their partners.
                    if open.pop()? != byte - 2 {
                        return None;
                    }
                    expect = if open.is_empty() {
                        Expect::Nothing
                    } else {
                        Expect::CommaOrEnd
                    };
                }
                _ if wants_value => {
                    let is_end = |byte: &u8| b" \t\r\n,:[]{}\"".contains(byte);
                    let length = text[start..].iter().position(is_end);
                    at = start + length.unwrap_or(text.len() - start);
                    if !is_scalar(&text[start..at]) {
                        return None;
                    }
                    expect = Expect::CommaOrEnd;
                }
                _ => return None,
            }
            if open.len() > DEPTH {
                return None;
            }
        }
        (expect == Expect::Nothing).then_some(members)
    }

    fn keep<'a>(members: &mut Members<'a>, name: &[u8], value: Option<&'a [u8]>) {
        match name {
            b"errorType" => members.0 = value,
            b"errorMessage" => members.1 = value,
            _ => {}
        }
    }

    /// The length of a string after its first quote, with its last one.
    fn string(text: &[u8]) -> Option<usize> {
        let mut at = 0;
        loop {
            match *text.get(at)? {
                b'"' => return Some(at + 1),
                0..=31 => return None,
                b'\\' => {
                    let escape = *text.get(at + 1)?;
                    at += 2;
                    if escape == b'u' {
                        let digits = text.get(at..at + 4)?;
                        if !digits.iter().all(u8::is_ascii_hexdigit) {
                            return None;
                        }
                        at += 4;
                    } else if !b"\"\\/bfnrt".contains(&escape) {
                        return None;
                    }
                }
                _ => at += 1,
            }
        }
    }

    fn is_scalar(word: &[u8]) -> bool {
        if [&b"true"[..], b"false", b"null"].contains(&word) {
            return true;
        }
        let is_digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
        let (number, exponent) = match word.iter().position(|byte| b"eE".contains(byte)) {
            Some(at) => (&word[..at], Some(&word[at + 1..])),
            None => (word, None),
        };
        let (whole, fraction) = match number.iter().position(|&byte| byte == b'.') {
            Some(at) => (&number[..at], Some(&number[at + 1..])),
            None => (number, None),
        };
        let whole = whole.strip_prefix(b"-").unwrap_or(whole);
        let is_whole = is_digits(whole) && (whole == b"0" || whole[0] != b'0');
        let signed = |text: &[u8]| match text {
            [b'+' | b'-', digits @ ..] => is_digits(digits),
            digits => is_digits(digits),
        };
        is_whole && fraction.is_none_or(is_digits) && exponent.is_none_or(signed)
    }
}
