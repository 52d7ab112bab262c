//! JSON, read strictly (RFC 8259): whether what the bootstrap wrote is valid, and what it says.

/// A value; numbers and literals are not looked into.
#[derive(Debug, PartialEq)]
pub(crate) enum Value {
    Plain(String),
    Text(String),
    List(Vec<Value>),
    Object(Vec<(String, Value)>),
}

impl Value {
    /// A member of an object.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        let Value::Object(members) = self else {
            return None;
        };
        members
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value)
    }

    /// A member that is a string; empty when it is not.
    pub(crate) fn text(&self, name: &str) -> &str {
        if let Some(Value::Text(text)) = self.get(name) {
            text
        } else {
            ""
        }
    }

    /// The names of the members, in their order.
    pub(crate) fn names(&self) -> Vec<&str> {
        let Value::Object(members) = self else {
            return Vec::new();
        };
        members.iter().map(|(name, _)| name.as_str()).collect()
    }
}

/// Reads one value and nothing after it.
pub(crate) fn parse(bytes: &[u8]) -> Option<Value> {
    let text = str::from_utf8(bytes).ok()?;
    let mut rest = text;
    let value = value(&mut rest)?;
    rest.trim_start_matches(SPACE).is_empty().then_some(value)
}

const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

fn value(rest: &mut &str) -> Option<Value> {
    *rest = rest.trim_start_matches(SPACE);
    match rest.chars().next()? {
        '"' => string(rest).map(Value::Text),
        '[' => members(rest, '[', ']', value).map(Value::List),
        '{' => members(rest, '{', '}', member).map(Value::Object),
        _ => plain(rest),
    }
}

fn member(rest: &mut &str) -> Option<(String, Value)> {
    *rest = rest.trim_start_matches(SPACE);
    let name = string(rest)?;
    take(rest, ':')?;
    Some((name, value(rest)?))
}

fn members<T>(
    rest: &mut &str,
    open: char,
    close: char,
    one: impl Fn(&mut &str) -> Option<T>,
) -> Option<Vec<T>> {
    take(rest, open)?;
    let mut all = Vec::new();
    if take(rest, close).is_some() {
        return Some(all);
    }
    loop {
        all.push(one(rest)?);
        if take(rest, ',').is_none() {
            take(rest, close)?;
            return Some(all);
        }
    }
}

/// Takes a character if it is the next one after white space.
fn take(rest: &mut &str, wanted: char) -> Option<()> {
    *rest = rest.trim_start_matches(SPACE).strip_prefix(wanted)?;
    Some(())
}

fn plain(rest: &mut &str) -> Option<Value> {
    let end = rest.find(|c: char| !matches!(c, '0'..='9' | 'a'..='z' | 'E' | '.' | '+' | '-'));
    let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
    let number = |word: &str| {
        let digits = word.strip_prefix('-').unwrap_or(word);
        let starts = digits.starts_with(|c: char| c.is_ascii_digit());
        starts
            && (digits == "0" || !digits.starts_with('0') || digits.starts_with("0."))
            && word.parse::<f64>().is_ok()
    };
    if !matches!(word, "true" | "false" | "null") && !number(word) {
        return None;
    }
    *rest = after;
    Some(Value::Plain(word.to_owned()))
}

fn string(rest: &mut &str) -> Option<String> {
    let mut characters = rest.strip_prefix('"')?.chars();
    let mut text = String::new();
    loop {
        match characters.next()? {
            '"' => break,
            '\\' => text.push(escape(&mut characters)?),
            // Control characters must be escaped.
            '\0'..='\x1f' => return None,
            plain => text.push(plain),
        }
    }
    *rest = characters.as_str();
    Some(text)
}

fn escape(characters: &mut std::str::Chars<'_>) -> Option<char> {
    Some(match characters.next()? {
        same @ ('"' | '\\' | '/') => same,
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let first = four_digits(characters)?;
            if !(0xd800..0xdc00).contains(&first) {
                return char::from_u32(first);
            }
            // A surrogate has its pair after it.
            let second = (characters.next()? == '\\' && characters.next()? == 'u')
                .then(|| four_digits(characters))??;
            let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
            char::from_u32(0x10000 + ((first - 0xd800) << 10) + low)?
        }
        _ => return None,
    })
}

fn four_digits(characters: &mut std::str::Chars<'_>) -> Option<u32> {
    (0..4).try_fold(0, |number, _| {
        Some(number * 16 + characters.next()?.to_digit(16)?)
    })
}
