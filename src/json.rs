//! JSON text: written for error documents and log lines, and recognised in a handler's output.
//!
//! In: any bytes. Out: valid JSON, or whether it is some. It must never recurse without a bound.

/// Deepest nesting that [`object`] follows; deeper text is taken as "not an object".
const DEPTH_LIMIT: usize = 64;

/// Appends `text` as a JSON string, quotes included, after a comma unless it begins a list or is a
/// member's value. Invalid UTF-8 becomes U+FFFD.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &[u8]) {
    if !matches!(out.last(), Some(b'{' | b'[' | b':')) {
        out.push(b',');
    }
    out.push(b'"');
    for byte in String::from_utf8_lossy(text).bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ if byte.is_ascii_control() => out.extend(format!("\\u{byte:04x}").into_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// Appends `"name":"value"`, after a comma unless it is the first member of its object.
pub(crate) fn push_member(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    push_string(out, name.as_bytes());
    out.push(b':');
    push_string(out, value);
}

/// A value as far as it is looked at: a string without its quotes, escapes left as they are. `None` is
/// any other.
type Value<'a> = Option<&'a [u8]>;

/// What is done with each member of a list: its name and value.
type Each<'a, 'e> = &'e mut dyn FnMut(&[u8], Value<'a>);

/// Recognises a text that is one JSON object (RFC 8259) with white space around it at most. What
/// it says of an error: its members `errorType` and `errorMessage`.
///
/// `None` for anything else, also for text that is not UTF-8 or nests deeper than 64 levels.
pub(crate) fn object(text: &[u8]) -> Option<(Value<'_>, Value<'_>)> {
    std::str::from_utf8(text).ok()?;
    let (mut error_type, mut message) = (None, None);
    let text = token(skip_space(text), b'{')?;
    let rest = list(text, b'}', DEPTH_LIMIT, &mut |name, string| match name {
        b"errorType" => error_type = string,
        b"errorMessage" => message = string,
        _ => {}
    })?;
    rest.is_empty().then_some((error_type, message))
}

fn skip_space(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = text {
        text = rest;
    }
    text
}

/// What follows `token` and white space, if `text` begins so.
///
/// The readers below are of the same kind: each returns what follows what it reads and white space;
/// `None` if it is not there or not well formed.
fn token(text: &[u8], token: u8) -> Option<&[u8]> {
    text.strip_prefix(&[token]).map(skip_space)
}

/// The members of an object or an array and its `end`, after its first byte. `each` is given each
/// one's name and value.
fn list<'a>(mut text: &'a [u8], end: u8, depth: usize, each: Each<'a, '_>) -> Option<&'a [u8]> {
    let inner = depth.checked_sub(1)?;
    if let Some(rest) = token(text, end) {
        return Some(rest);
    }
    loop {
        let mut name: &[u8] = b"";
        if end == b'}' {
            (name, text) = string(text)?;
            text = token(text, b':')?;
        }
        let (string, rest) = value(text, inner)?;
        each(name, string);
        match token(rest, b',') {
            Some(rest) => text = rest,
            None => return token(rest, end),
        }
    }
}

fn value(text: &[u8], depth: usize) -> Option<(Value<'_>, &[u8])> {
    let rest = match text {
        [b'"', ..] => return string(text).map(|(string, rest)| (Some(string), rest)),
        [b'{', rest @ ..] => list(skip_space(rest), b'}', depth, &mut |_, _| {}),
        [b'[', rest @ ..] => list(skip_space(rest), b']', depth, &mut |_, _| {}),
        [b't', rest @ ..] => rest.strip_prefix(b"rue"),
        [b'f', rest @ ..] => rest.strip_prefix(b"alse"),
        [b'n', rest @ ..] => rest.strip_prefix(b"ull"),
        _ => number(text),
    };
    Some((None, skip_space(rest?)))
}

/// A string, which is given without its quotes.
fn string(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.strip_prefix(b"\"")?;
    let mut rest = text;
    loop {
        rest = match rest {
            [b'"', after @ ..] => {
                let length = text.len().checked_sub(rest.len())?;
                return Some((text.get(..length)?, skip_space(after)));
            }
            // The digits are checked, and read as any others next.
            [b'\\', b'u', hex @ ..] => hex
                .get(..4)?
                .iter()
                .all(u8::is_ascii_hexdigit)
                .then_some(hex)?,
            [b'\\', escaped, rest @ ..] => b"\"\\/bfnrt".contains(escaped).then_some(rest)?,
            [b' '..=b'\xff', rest @ ..] => rest,
            _ => return None,
        };
    }
}

fn number(text: &[u8]) -> Option<&[u8]> {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let mut rest = text.strip_prefix(b"0").or_else(|| digits(text))?;
    if let [b'.', fraction @ ..] = rest {
        rest = digits(fraction)?;
    }
    if let [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] = rest {
        rest = digits(exponent)?;
    }
    Some(rest)
}

/// One digit or more.
fn digits(text: &[u8]) -> Option<&[u8]> {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    text.get(count..).filter(|_| count > 0)
}
