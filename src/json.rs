//! JSON text: written for error documents and log lines, and recognised in a handler's output.
//!
//! In: any bytes. Out: valid JSON, or whether it is some. It must never recurse without a bound.

/// Deepest nesting that [`object`] follows; deeper text is taken as "not an object".
const DEPTH_LIMIT: usize = 64;

/// Appends `text` as a JSON string, quotes included. Invalid UTF-8 becomes U+FFFD.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for character in String::from_utf8_lossy(text).chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            control if control.is_ascii_control() => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(control)).as_bytes());
            }
            other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

/// Appends `"name":"value"`, after a comma unless it is the first member of its object.
pub(crate) fn push_member(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    push_string(out, name.as_bytes());
    out.push(b':');
    push_string(out, value);
}

/// What a JSON object says of an error, if it says anything.
#[derive(Default)]
pub(crate) struct ErrorFields<'a> {
    /// The text of a string member `errorType`, escapes left as they are.
    pub(crate) error_type: Option<&'a [u8]>,
    /// Whether there is a string member `errorMessage`.
    pub(crate) has_message: bool,
}

/// Recognises a text that is one JSON object (RFC 8259) with white space around it at most.
///
/// `None` for anything else, also for text that is not UTF-8 or nests deeper than 64 levels.
pub(crate) fn object(text: &[u8]) -> Option<ErrorFields<'_>> {
    std::str::from_utf8(text).ok()?;
    let mut reader = Reader { rest: text, fields: ErrorFields::default() };
    reader.token(b"{")?;
    reader.list(DEPTH_LIMIT, b"}")?;
    reader.skip_space();
    reader.rest.is_empty().then_some(reader.fields)
}

struct Reader<'a> {
    rest: &'a [u8],
    fields: ErrorFields<'a>,
}

impl<'a> Reader<'a> {
    fn skip_space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// Takes `text` if it stands next.
    fn take(&mut self, text: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(text)?;
        Some(())
    }

    /// The same, after white space.
    fn token(&mut self, text: &[u8]) -> Option<()> {
        self.skip_space();
        self.take(text)
    }

    /// A value after white space; its text if it is a string.
    fn value(&mut self, depth: usize) -> Option<Option<&'a [u8]>> {
        self.skip_space();
        let (first, rest) = self.rest.split_first()?;
        match first {
            b'"' => return self.string().map(Some),
            b'{' | b'[' => {
                self.rest = rest;
                self.list(depth, if *first == b'{' { b"}" } else { b"]" })?;
            }
            b't' => self.take(b"true")?,
            b'f' => self.take(b"false")?,
            b'n' => self.take(b"null")?,
            _ => self.number()?,
        }
        Some(None)
    }

    /// The members of an object or an array and its `end`, after its first byte.
    fn list(&mut self, depth: usize, end: &[u8; 1]) -> Option<()> {
        let inner = depth.checked_sub(1)?;
        if self.token(end).is_some() {
            return Some(());
        }
        loop {
            let mut name: &[u8] = b"";
            if end == b"}" {
                self.skip_space();
                name = self.string()?;
                self.token(b":")?;
            }
            let text = self.value(inner)?;
            match name {
                b"errorType" if depth == DEPTH_LIMIT => self.fields.error_type = text,
                b"errorMessage" if depth == DEPTH_LIMIT => self.fields.has_message = text.is_some(),
                _ => {}
            }
            if self.token(b",").is_none() {
                return self.take(end);
            }
        }
    }

    /// A string's text between its quotes.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.take(b"\"")?;
        let start = self.rest;
        loop {
            let length = start.len().checked_sub(self.rest.len())?;
            self.rest = match self.rest {
                [b'"', rest @ ..] => {
                    self.rest = rest;
                    return start.get(..length);
                }
                [b'\\', b'u', a, b, c, d, rest @ ..] => {
                    [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()).then_some(rest)?
                }
                [b'\\', escaped, rest @ ..] => b"\"\\/bfnrt".contains(escaped).then_some(rest)?,
                [b' '..=b'\xff', rest @ ..] => rest,
                _ => return None,
            };
        }
    }

    fn number(&mut self) -> Option<()> {
        let _ = self.take(b"-");
        if self.take(b"0").is_none() {
            self.digits()?;
        }
        if self.take(b".").is_some() {
            self.digits()?;
        }
        if self.take(b"e").or_else(|| self.take(b"E")).is_some() {
            let _ = self.take(b"+").or_else(|| self.take(b"-"));
            self.digits()?;
        }
        Some(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Option<()> {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.rest = self.rest.get(count..)?;
        (count > 0).then_some(())
    }
}
