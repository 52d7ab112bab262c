//! JSON text: written for error documents and log lines, and recognised in a handler's output.
//!
//! In: any bytes. Out: valid JSON, or whether it is some. It must never recurse without a bound.

/// Deepest nesting that [`Object::read`] follows; deeper text counts as no object.
const DEPTH_LIMIT: usize = 64;

/// Returns a text as a JSON string, quotes included.
///
/// It is for responses of a few members; a crate for JSON does more. Rust's `{:?}` escapes as Rust
/// does, which is not JSON.
///
/// ```
/// let name = zerostrap::json_string("a \"b\"\n\u{7f}é");
/// assert_eq!(name, r#""a \"b\"\n\u007fé""#);
/// ```
pub fn json_string(text: &str) -> String {
    let mut out = Vec::new();
    push_string(&mut out, text.as_bytes());
    String::from_utf8_lossy(&out).into_owned()
}

/// Appends `text` as a JSON string, quotes included, after a comma unless it comes first or is a
/// member's value. Invalid UTF-8 becomes U+FFFD.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &[u8]) {
    if !matches!(out.last(), None | Some(b'{' | b'[' | b':')) {
        out.push(b',');
    }
    out.push(b'"');
    for byte in String::from_utf8_lossy(text).bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ if byte.is_ascii_control() => {
                out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
            }
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

/// What a JSON object says of an error.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Object<'a> {
    /// Its member `errorType`, if that is a string: without its quotes, escapes left as they are.
    pub error_type: Option<&'a [u8]>,
    /// Its member `errorMessage`, in the same form.
    pub error_message: Option<&'a [u8]>,
}

/// A value as far as it matters here.
enum Value<'a> {
    /// A string without its quotes, escapes left as they are.
    String(&'a [u8]),
    /// Any other value.
    Other,
}

/// What is done with each member of an object or an array: its name, empty in an array, and value.
type Visit<'a, 'v> = &'v mut dyn FnMut(&'a [u8], Value<'a>);

impl<'a> Object<'a> {
    /// Recognises a text that is one JSON object (RFC 8259), with white space around it at most.
    ///
    /// Returns `None` for anything else, also for text that is not UTF-8 or nests deeper than 64
    /// levels.
    pub fn read(text: &'a [u8]) -> Option<Object<'a>> {
        std::str::from_utf8(text).ok()?;
        let mut object = Object::default();
        let members = after(skip_space(text), b'{')?;
        let rest = after_list(members, b'}', DEPTH_LIMIT, &mut |name, value| {
            let string = match value {
                Value::String(string) => Some(string),
                Value::Other => None,
            };
            match name {
                b"errorType" => object.error_type = string,
                b"errorMessage" => object.error_message = string,
                _ => {}
            }
        })?;
        rest.is_empty().then_some(object)
    }
}

fn skip_space(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = text {
        text = rest;
    }
    text
}

// Each function below returns what follows the thing that it reads, and the white space after that;
// `None` if the thing is not there or not well formed.

fn after(text: &[u8], token: u8) -> Option<&[u8]> {
    text.strip_prefix(&[token]).map(skip_space)
}

/// Reads the members of an object or an array, and its end, after its first byte.
fn after_list<'a>(
    mut text: &'a [u8],
    end: u8,
    depth: usize,
    visit: Visit<'a, '_>,
) -> Option<&'a [u8]> {
    let depth = depth.checked_sub(1)?;
    if let Some(rest) = after(text, end) {
        return Some(rest);
    }
    loop {
        let mut name: &[u8] = b"";
        if end == b'}' {
            (name, text) = after_string(text)?;
            text = after(text, b':')?;
        }
        let (value, rest) = after_value(text, depth)?;
        visit(name, value);
        match after(rest, b',') {
            Some(rest) => text = rest,
            None => return after(rest, end),
        }
    }
}

fn after_value(text: &[u8], depth: usize) -> Option<(Value<'_>, &[u8])> {
    if text.starts_with(b"\"") {
        let (string, rest) = after_string(text)?;
        return Some((Value::String(string), rest));
    }
    let ignore: Visit<'_, '_> = &mut |_, _| {};
    let rest = match text.first()? {
        b'{' => after_list(after(text, b'{')?, b'}', depth, ignore)?,
        b'[' => after_list(after(text, b'[')?, b']', depth, ignore)?,
        b't' => text.strip_prefix(b"true")?,
        b'f' => text.strip_prefix(b"false")?,
        b'n' => text.strip_prefix(b"null")?,
        _ => after_number(text)?,
    };
    Some((Value::Other, skip_space(rest)))
}

/// Reads a string, and returns it without its quotes, too.
fn after_string(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.strip_prefix(b"\"")?;
    let mut rest = text;
    loop {
        rest = match rest {
            [b'"', after @ ..] => {
                let length = text.len().checked_sub(rest.len())?;
                return Some((text.get(..length)?, skip_space(after)));
            }
            [b'\\', b'u', a, b, c, d, rest @ ..] => {
                let digits = [a, b, c, d];
                digits
                    .iter()
                    .all(|digit| digit.is_ascii_hexdigit())
                    .then_some(rest)?
            }
            [
                b'\\',
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't',
                rest @ ..,
            ] => rest,
            [b'\\', ..] => return None,
            [b' '..=b'\xff', rest @ ..] => rest,
            _ => return None,
        };
    }
}

fn after_number(text: &[u8]) -> Option<&[u8]> {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let mut rest = match text {
        [b'0', rest @ ..] => rest,
        _ => after_digits(text)?,
    };
    if let [b'.', fraction @ ..] = rest {
        rest = after_digits(fraction)?;
    }
    if let [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] = rest {
        rest = after_digits(exponent)?;
    }
    Some(rest)
}

/// Reads one digit or more.
fn after_digits(text: &[u8]) -> Option<&[u8]> {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    text.get(count..).filter(|_| count > 0)
}

#[cfg(test)]
mod tests {
    use super::{Object, push_member, push_string};

    #[test]
    fn object_is_recognised_and_nothing_else() {
        let table = [
            ("{}", true),
            (
                " \t{ \"a\" : [ 1 , -0.5e+3 , true , null , \"x\" ] }\r\n",
                true,
            ),
            (r#"{"a":"\u00e9\n\"\\/"}"#, true),
            (r#"{"a":{"b":{}},"c":[]}"#, true),
            (r#"{"a":[true,false,null]}"#, true),
            (r#"{"a":falsy}"#, false),
            ("", false),
            ("[]", false),
            ("1", false),
            ("{", false),
            ("{} {}", false),
            (r#"{"a"}"#, false),
            (r#"{"a":}"#, false),
            (r#"{"a":1,}"#, false),
            (r#"{a:1}"#, false),
            (r#"{"a":01}"#, false),
            (r#"{"a":1.}"#, false),
            (r#"{"a":.5}"#, false),
            (r#"{"a":1e}"#, false),
            (r#"{"a":+1}"#, false),
            (r#"{"a":tru}"#, false),
            (r#"{"a":"\x"}"#, false),
            (r#"{"a":"\u00g0"}"#, false),
            ("{\"a\":\"\n\"}", false),
            ("{\"a\":\"", false),
        ];
        for (text, is_object) in table {
            let found = Object::read(text.as_bytes()).is_some();
            assert_eq!(found, is_object, "{text}");
        }
        assert_eq!(Object::read(b"{\"a\":\"\xff\"}"), None);
    }

    #[test]
    fn error_members_are_found_where_they_are_strings() {
        let object = |error_type: &'static str, error_message| Object {
            error_type: Some(error_type.as_bytes()),
            error_message,
        };
        let text = r#"{"errorType":"Function.My","x":{"errorMessage":"inner"},"errorMessage":1}"#;
        let expected = object("Function.My", None);
        assert_eq!(Object::read(text.as_bytes()), Some(expected));
        let text = r#"{"errorMessage":"why \"so\"","errorType":""}"#;
        let expected = object("", Some(br#"why \"so\""#.as_slice()));
        assert_eq!(Object::read(text.as_bytes()), Some(expected));
    }

    #[test]
    fn nesting_is_followed_to_its_limit() {
        let nested = |depth: usize| {
            let inner = depth - 1;
            format!("{{\"a\":{}{}}}", "[".repeat(inner), "]".repeat(inner))
        };
        assert!(Object::read(nested(64).as_bytes()).is_some());
        assert!(Object::read(nested(65).as_bytes()).is_none());
    }

    #[test]
    fn strings_are_escaped() {
        let mut out = b"{".to_vec();
        push_member(&mut out, "a", b"\"\\\n\r\t\x01\x7f\xff");
        push_string(&mut out, b"b");
        let expected = "{\"a\":\"\\\"\\\\\\n\\r\\t\\u0001\\u007f\u{fffd}\",\"b\"";
        assert_eq!(String::from_utf8_lossy(&out), expected);
        assert_eq!(super::json_string("a \"b\"\n"), r#""a \"b\"\n""#);
    }
}
