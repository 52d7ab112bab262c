//! JSON text: written for error documents and log lines, and recognised in a handler's output.

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
            control if u32::from(control) < 0x20 || control == '\u{7f}' => {
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
#[derive(Debug, Default)]
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
    let mut reader = Reader { rest: text };
    let mut fields = ErrorFields::default();
    reader.skip_space();
    reader.object(DEPTH_LIMIT, &mut |name, string| match name {
        b"errorType" => fields.error_type = string,
        b"errorMessage" => fields.has_message = string.is_some(),
        _ => {}
    })?;
    reader.skip_space();
    reader.rest.is_empty().then_some(fields)
}

/// Told of each member: its name, and its text if its value is a string.
type Member<'a, 'f> = &'f mut dyn FnMut(&'a [u8], Option<&'a [u8]>);

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn skip_space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// Takes `token` if it stands next.
    fn take(&mut self, token: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(token)?;
        Some(())
    }

    /// A value; its text if it is a string.
    fn value(&mut self, depth: usize) -> Option<Option<&'a [u8]>> {
        match self.rest.first()? {
            b'"' => return self.string().map(Some),
            b'{' => self.object(depth, &mut |_, _| {})?,
            b'[' => self.array(depth)?,
            b't' => self.take(b"true")?,
            b'f' => self.take(b"false")?,
            b'n' => self.take(b"null")?,
            _ => self.number()?,
        }
        Some(None)
    }

    fn object(&mut self, depth: usize, member: Member<'a, '_>) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        self.take(b"{")?;
        self.skip_space();
        if self.take(b"}").is_some() {
            return Some(());
        }
        loop {
            self.skip_space();
            let name = self.string()?;
            self.skip_space();
            self.take(b":")?;
            self.skip_space();
            member(name, self.value(depth)?);
            self.skip_space();
            if self.take(b",").is_none() {
                return self.take(b"}");
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        self.take(b"[")?;
        self.skip_space();
        if self.take(b"]").is_some() {
            return Some(());
        }
        loop {
            self.skip_space();
            self.value(depth)?;
            self.skip_space();
            if self.take(b",").is_none() {
                return self.take(b"]");
            }
        }
    }

    /// A string's text between its quotes.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.take(b"\"")?;
        let start = self.rest;
        loop {
            let (&byte, rest) = self.rest.split_first()?;
            match byte {
                b'"' => {
                    let length = start.len().checked_sub(self.rest.len())?;
                    self.rest = rest;
                    return start.get(..length);
                }
                b'\\' => self.rest = after_escape(rest)?,
                0..=0x1f => return None,
                _ => self.rest = rest,
            }
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

fn after_escape(rest: &[u8]) -> Option<&[u8]> {
    match rest {
        [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', rest @ ..] => Some(rest),
        [b'u', hex @ ..] => {
            let (digits, rest) = hex.split_at_checked(4)?;
            digits.iter().all(u8::is_ascii_hexdigit).then_some(rest)
        }
        _ => None,
    }
}
