//! A function URL: a browser's request as an event of payload format 2.0, and a response or a
//! stream as what a browser is shown.

use super::base64;
use super::http::{self, Head, Headers};
use super::json::{self, Value};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where it is; what follows is the path that the function sees.
pub(crate) const PREFIX: &str = "/lambda-url";

/// The content type of a stream that begins with a status and headers.
const WITH_PRELUDE: &str = "application/vnd.awslambda.http-integration-response";
/// What ends that prelude.
const PRELUDE_END: &[u8] = &[0; 8];
/// Where it has to end by.
const PRELUDE_LIMIT: usize = 16_384;
/// Deeper documents are not looked into.
const DEPTH_LIMIT: usize = 100;

/// The path and the query of a request to the function URL.
pub(crate) fn target(request_line: &str) -> Option<(&str, &str)> {
    let target = request_line.split(' ').nth(1)?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = path.strip_prefix(PREFIX)?;
    match path {
        "" => Some(("/", query)),
        _ if path.starts_with('/') => Some((path, query)),
        _ => None,
    }
}

/// The event for a request.
pub(crate) fn event(head: &Head, (path, query): (&str, &str), body: &[u8], id: &str) -> String {
    let quoted = json::quoted;
    let header = |name: &str| http::text(&head.headers, name).unwrap_or_default();
    let host = header("Host");
    let method = head.first_line.split(' ').next().unwrap_or_default();
    let mut members = vec![
        r#""version":"2.0","routeKey":"$default""#.to_owned(),
        format!(
            "\"rawPath\":{},\"rawQueryString\":{}",
            quoted(path),
            quoted(query)
        ),
    ];
    let cookies: Vec<_> = header("Cookie").split(';').map(str::trim).collect();
    if cookies != [""] {
        let cookies: Vec<_> = cookies.into_iter().map(quoted).collect();
        members.push(format!("\"cookies\":[{}]", cookies.join(",")));
    }
    members.push(format!("\"headers\":{}", object(headers(&head.headers))));
    if !query.is_empty() {
        members.push(format!(
            "\"queryStringParameters\":{}",
            object(parameters(query))
        ));
    }
    let (time, milliseconds) = now();
    members.push(format!(
        "\"requestContext\":{{\"accountId\":\"anonymous\",\"apiId\":\"local\",\
         \"domainName\":{},\"domainPrefix\":\"local\",\"http\":{{\"method\":{},\"path\":{},\
         \"protocol\":\"HTTP/1.1\",\"sourceIp\":\"127.0.0.1\",\"userAgent\":{}}},\
         \"requestId\":{},\"routeKey\":\"$default\",\"stage\":\"$default\",\"time\":{},\
         \"timeEpoch\":{milliseconds}}}",
        quoted(host),
        quoted(method),
        quoted(path),
        quoted(header("User-Agent")),
        quoted(id),
        quoted(&time),
    ));
    let text = str::from_utf8(body)
        .ok()
        .filter(|_| is_text(header("Content-Type")));
    if !body.is_empty() {
        let body = text.map_or_else(|| base64::encode(body), str::to_owned);
        members.push(format!("\"body\":{}", quoted(&body)));
    }
    members.push(format!(
        "\"isBase64Encoded\":{}",
        !body.is_empty() && text.is_none()
    ));
    format!("{{{}}}", members.join(","))
}

/// Bodies of other types arrive in base64.
fn is_text(content_type: &str) -> bool {
    let kind = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let known = [
        "application/json",
        "application/javascript",
        "application/xml",
    ];
    kind.starts_with("text/")
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
        || known.contains(&kind.as_str())
}

fn object(members: Vec<(String, String)>) -> String {
    let members: Vec<_> = members
        .iter()
        .map(|(name, value)| format!("{}:{}", json::quoted(name), json::quoted(value)))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// Names in lower case; values of one name joined by commas.
fn joined(pairs: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for (name, value) in pairs {
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => *values = format!("{values},{value}"),
            None => all.push((name, value)),
        }
    }
    all
}

fn headers(headers: &Headers) -> Vec<(String, String)> {
    let theirs = headers
        .iter()
        .filter(|(name, _)| !name.eq_ignore_ascii_case("Cookie"));
    let added = [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
    ];
    let added = added
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    joined(
        theirs
            .map(|(name, value)| (name.to_ascii_lowercase(), text(value)))
            .chain(added),
    )
}

fn parameters(query: &str) -> Vec<(String, String)> {
    let decoded = |text: &str| super::state::percent_decoded(&text.replace('+', " "));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    joined(pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    }))
}

/// The time as access logs write it, and in milliseconds.
fn now() -> (String, u128) {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let (mut day, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let leap =
        |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let mut year = 1970;
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 0;
    for length in [
        31,
        28 + u64::from(leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
    ] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let month = MONTHS[month];
    let text = format!(
        "{:02}/{month}/{year}:{hour:02}:{minute:02}:{second:02} +0000",
        day + 1
    );
    (text, since.as_millis())
}

/// The head of a reply to a browser: a status, and headers as they go over the wire.
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Page {
    fn with_type(content_type: &str, body: &[u8]) -> Page {
        let headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
        Page {
            status: 200,
            headers,
            body: body.to_vec(),
        }
    }

    /// What Lambda shows for a function that failed; why is in the log.
    pub(crate) fn failed() -> Page {
        Page {
            status: 502,
            ..Page::with_type("text/plain", b"Internal Server Error")
        }
    }
}

/// The page for a whole response; an error says what is wrong with it.
pub(crate) fn page(response: &[u8]) -> Result<Page, &'static str> {
    let depth = json::depth(response).ok_or("the response is not JSON")?;
    let document = if depth > DEPTH_LIMIT {
        None
    } else {
        json::parse(response)
    };
    let Some(document) = document.filter(|document| document.get("statusCode").is_some()) else {
        return Ok(Page::with_type("application/json", response));
    };
    let mut page = head(&document)?;
    let body = match document.get("body") {
        None => "",
        Some(Value::Text(body)) => body,
        Some(Value::Plain(null)) if null == "null" => "",
        Some(_) => return Err("the response's body is not a string"),
    };
    let encoded = document.get("isBase64Encoded") == Some(&Value::Plain("true".to_owned()));
    page.body = match encoded {
        true => base64::decode(body).ok_or("the response's body is not base64")?,
        false => body.as_bytes().to_vec(),
    };
    Ok(page)
}

/// Status, headers and cookies of a document.
fn head(document: &Value) -> Result<Page, &'static str> {
    let status = match document.get("statusCode") {
        Some(Value::Plain(number) | Value::Text(number)) => number.parse().ok(),
        _ => None,
    };
    let status = status.filter(|status| (200..600).contains(status));
    let mut headers = Vec::new();
    if let Some(Value::Object(members)) = document.get("headers") {
        for (name, value) in members {
            if let Value::Text(value) | Value::Plain(value) = value {
                headers.push((name.clone(), value.clone()));
            }
        }
    }
    if let Some(Value::List(cookies)) = document.get("cookies") {
        for cookie in cookies {
            if let Value::Text(cookie) = cookie {
                headers.push(("Set-Cookie".to_owned(), cookie.clone()));
            }
        }
    }
    // How long it is, and how it is sent, is not the function's to say.
    headers.retain(|(name, value)| {
        let framing = ["content-length", "transfer-encoding", "connection"];
        let clean = |text: &str| !text.contains(|c: char| c.is_ascii_control());
        let is_token = !name.is_empty() && !name.contains([' ', ':', '"']);
        is_token
            && clean(name)
            && clean(value)
            && !framing.contains(&name.to_ascii_lowercase().as_str())
    });
    let has_type = headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("Content-Type"));
    if !has_type {
        headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
    }
    let status = status.ok_or("the response's statusCode is not a number from 200 to 599")?;
    Ok(Page {
        status,
        headers,
        body: Vec::new(),
    })
}

/// The beginning of a stream, as it comes; then everything of it goes to the browser.
pub(crate) struct Beginning {
    with_prelude: bool,
    content_type: String,
    held: Vec<u8>,
}

impl Beginning {
    pub(crate) fn new(content_type: &str) -> Beginning {
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        let with_prelude = kind.eq_ignore_ascii_case(WITH_PRELUDE);
        Beginning {
            with_prelude,
            content_type: content_type.to_owned(),
            held: Vec::new(),
        }
    }

    /// The page once its head is known; its body is what came so far of the stream's.
    pub(crate) fn push(&mut self, part: &[u8]) -> Option<Result<Page, &'static str>> {
        self.held.extend_from_slice(part);
        if !self.with_prelude {
            return Some(Ok(Page::with_type(&self.content_type, &self.held)));
        }
        let end = self
            .held
            .windows(PRELUDE_END.len())
            .position(|bytes| bytes == PRELUDE_END);
        let Some(end) = end else {
            let too_long = self.held.len() > PRELUDE_LIMIT;
            return too_long.then_some(Err("no eight NUL bytes end the stream's prelude"));
        };
        let prelude = &self.held[..end];
        let document = json::depth(prelude).filter(|depth| *depth <= DEPTH_LIMIT);
        let document = document.and_then(|_| json::parse(prelude));
        let Some(document) = document else {
            return Some(Err("the stream's prelude is not JSON"));
        };
        Some(head(&document).map(|mut page| {
            page.body = self.held[end + PRELUDE_END.len()..].to_vec();
            page
        }))
    }
}
