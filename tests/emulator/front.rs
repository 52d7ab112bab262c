//! What callers see: Lambda's invoke API, as `curl`, `aws lambda invoke` and `cargo lambda invoke`
//! call it, and a function URL for browsers.
//!
//! It listens on this machine only, and what a web page of another site sends is refused: such a
//! page must not run functions, whatever name it gave to this address.

use super::base64;
use super::connection::RESPONSE_LIMIT;
use super::event::Event;
use super::http::{self, Head};
use super::json;
use super::sandbox::{Outcome, Sandbox};
use super::url::{self, Beginning, Page};
use std::io::{self, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// Largest event that is queued; Lambda's own figure.
const QUEUED_LIMIT: usize = 1_048_576;

type KeepAlive = bool;

/// Serves until the process is ended.
pub(crate) fn serve(listener: &TcpListener, sandbox: &Arc<Sandbox>) -> io::Result<()> {
    for stream in listener.incoming() {
        let stream = stream?;
        let sandbox = Arc::clone(sandbox);
        thread::spawn(move || {
            // A caller that went away needs no answer.
            let _ = converse(&stream, &sandbox);
        });
    }
    Ok(())
}

fn converse(mut stream: &TcpStream, sandbox: &Arc<Sandbox>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let head = match http::read_head(&mut reader) {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return stream.write_all(&http::reply(400, &[("Connection", "close")], b""));
            }
            Err(error) => return Err(error),
        };
        if http::text(&head.headers, "Expect").is_some() {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let mut body = Vec::new();
        // Bytes past the limit are read and dropped, so that the caller gets to see the refusal.
        http::read_body(&mut reader, &head.headers, |piece| {
            let room = (RESPONSE_LIMIT + 1).saturating_sub(body.len());
            body.extend_from_slice(&piece[..piece.len().min(room)]);
            Ok(())
        })?;
        let closes = http::text(&head.headers, "Connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let keep = if let Some(refusal) = foreign(&head) {
            stream.write_all(&refusal)?;
            true
        } else if let Some(target) = url::target(&head.first_line) {
            show(stream, &head, target, &body, sandbox)?
        } else {
            stream.write_all(&respond(&head, body, sandbox)?)?;
            true
        };
        if !keep || closes || head.first_line.ends_with("HTTP/1.0") {
            return Ok(());
        }
    }
}

/// An error as Lambda's API has it. Its members are not all spelt alike.
fn refused(status: u16, error: &str, message: &str) -> Vec<u8> {
    let name = if error == "ResourceNotFoundException" {
        "Message"
    } else {
        "message"
    };
    let body = format!("{{\"Type\":\"User\",\"{name}\":{}}}", json::quoted(message));
    let headers = [
        ("Content-Type", "application/json"),
        ("X-Amzn-ErrorType", error),
    ];
    http::reply(status, &headers, body.as_bytes())
}

/// The refusal of a request that a page of another site sent, or that came here by another name.
/// Programs send no Origin; browsers do, and name the site that they got this address from.
fn foreign(head: &Head) -> Option<Vec<u8>> {
    let header = |name: &str| http::value(&head.headers, name);
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let site_of = |origin: &str| {
        let rest = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"));
        rest.map(str::to_owned)
    };
    if let Some(host) = header("Host").map(text).filter(|host| !is_local(host)) {
        let message = format!("Host is {host}: call 127.0.0.1 or localhost");
        return Some(refused(403, "AccessDeniedException", &message));
    }
    if let Some(origin) = header("Origin").map(text)
        && !site_of(&origin).is_some_and(|site| is_local(&site))
    {
        let message = format!("Origin is {origin}: pages of other sites may not invoke");
        return Some(refused(403, "AccessDeniedException", &message));
    }
    // A link or a picture on another site: it has no Origin.
    (header("Sec-Fetch-Site") == Some(b"cross-site")).then(|| {
        let message = "Sec-Fetch-Site is cross-site: pages of other sites may not invoke";
        refused(403, "AccessDeniedException", message)
    })
}

/// Whether a host, with or without a port, is this machine by a name that no name server gives.
fn is_local(host: &str) -> bool {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let name = match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) && !name.ends_with(':') => name,
        _ => host,
    };
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    ["localhost", "127.0.0.1", "[::1]"].contains(&name) || name.ends_with(".localhost")
}

/// Lambda's invoke API.
fn respond(head: &Head, body: Vec<u8>, sandbox: &Arc<Sandbox>) -> io::Result<Vec<u8>> {
    let header = |name: &str| http::text(&head.headers, name);
    if !is_invoke(&head.first_line) {
        let message = "POST to /2015-03-31/functions/function/invocations, or open /lambda-url/";
        return Ok(refused(404, "ResourceNotFoundException", message));
    }
    let kind = header("X-Amz-Invocation-Type").unwrap_or("RequestResponse");
    let limit = if kind == "Event" {
        QUEUED_LIMIT
    } else {
        RESPONSE_LIMIT
    };
    if body.len() > limit {
        let message = format!("Request must be smaller than {limit} bytes for this operation");
        return Ok(refused(413, "RequestTooLargeException", &message));
    }
    let body = given(body);
    if json::depth(&body).is_none() {
        let message = "Could not parse request body into json: the payload is not one JSON value";
        return Ok(refused(400, "InvalidRequestContentException", message));
    }
    let mut event = Event::new(body);
    if let Some(encoded) = header("X-Amz-Client-Context") {
        let Some(context) = base64::decode(encoded) else {
            let message = "X-Amz-Client-Context is not base64";
            return Ok(refused(400, "InvalidRequestContentException", message));
        };
        event = event.header("Lambda-Runtime-Client-Context", context);
    }
    if let Some(tenant) = header("X-Amz-Tenant-Id") {
        event = event.header("Lambda-Runtime-Aws-Tenant-Id", tenant);
    }
    match kind {
        "DryRun" => Ok(http::reply(204, &[], b"")),
        "Event" => {
            let sandbox = Arc::clone(sandbox);
            thread::spawn(move || run(&sandbox, event));
            Ok(http::reply(202, &[], b""))
        }
        "RequestResponse" => Ok(answered(
            sandbox,
            event,
            header("X-Amz-Log-Type") == Some("Tail"),
        )),
        _ => {
            let message = format!("X-Amz-Invocation-Type {kind}: RequestResponse, Event or DryRun");
            Ok(refused(400, "InvalidParameterValueException", &message))
        }
    }
}

/// What Lambda hands on for a payload: an empty object if there is none.
pub(crate) fn given(payload: Vec<u8>) -> Vec<u8> {
    match payload.is_empty() {
        true => b"{}".to_vec(),
        false => payload,
    }
}

/// Runs an event whose response nobody waits for.
fn run(sandbox: &Sandbox, event: Event) {
    match sandbox.invoke(sandbox.new_id(), event, &mut |_, _| ()) {
        Ok(outcome) if outcome.failed => {
            let document = String::from_utf8_lossy(&outcome.body).into_owned();
            sandbox.note(&format!(
                "the queued event {} failed: {document}",
                outcome.request_id
            ));
        }
        Ok(_) => {}
        Err(error) => sandbox.note(&error.to_string()),
    }
}

fn answered(sandbox: &Sandbox, event: Event, with_log: bool) -> Vec<u8> {
    let outcome = match sandbox.invoke(sandbox.new_id(), event, &mut |_, _| ()) {
        Ok(outcome) => outcome,
        Err(error) => {
            sandbox.note(&error.to_string());
            return refused(500, "ServiceException", &error.to_string());
        }
    };
    let Outcome {
        request_id,
        body,
        failed,
        log,
        ..
    } = outcome;
    note_form(sandbox, &body);
    let log = base64::encode(&log);
    let mut headers = vec![
        ("Content-Type", "application/json"),
        ("X-Amzn-Requestid", request_id.as_str()),
        ("X-Amz-Executed-Version", "$LATEST"),
    ];
    if failed {
        headers.push(("X-Amz-Function-Error", "Unhandled"));
    }
    if with_log {
        headers.push(("X-Amz-Log-Result", &log));
    }
    http::reply(200, &headers, &body)
}

/// Most callers on Lambda read JSON.
pub(crate) fn note_form(sandbox: &Sandbox, body: &[u8]) {
    if json::depth(body).is_none() {
        sandbox.note("the response is not JSON, which most callers of a function expect.");
    }
}

/// The function URL.
fn show(
    stream: &TcpStream,
    head: &Head,
    target: (&str, &str),
    body: &[u8],
    sandbox: &Sandbox,
) -> io::Result<KeepAlive> {
    let mut reply = Reply {
        stream,
        head,
        beginning: None,
        chunked: None,
    };
    if body.len() > RESPONSE_LIMIT {
        return reply.whole(&Page {
            status: 413,
            headers: Vec::new(),
            body: Vec::new(),
        });
    }
    let id = sandbox.new_id();
    let event = url::event(head, target, body, &id);
    // What is left of the stream is of no use to a caller who is gone; the function goes on.
    let mut written = Ok(());
    let outcome = sandbox.invoke(id, Event::new(event), &mut |content_type, part| {
        if written.is_ok() {
            written = reply.part(sandbox, content_type, part);
        }
    });
    written?;
    match outcome {
        Ok(outcome) if outcome.streamed => reply.end(sandbox, outcome.failed),
        Ok(outcome) if outcome.failed => reply.whole(&Page::failed()),
        Ok(outcome) => match url::page(&outcome.body) {
            Ok(page) => reply.whole(&page),
            Err(why) => {
                sandbox.note(&format!("{why}: a function URL shows 502 for it."));
                reply.whole(&Page::failed())
            }
        },
        Err(error) => {
            sandbox.note(&error.to_string());
            reply.whole(&Page::failed())
        }
    }
}

/// The reply to one request of the function URL.
struct Reply<'a> {
    stream: &'a TcpStream,
    head: &'a Head,
    /// Of a stream that has begun.
    beginning: Option<Beginning>,
    /// Whether the head of a stream is sent, and if so, whether its body is in chunks.
    chunked: Option<bool>,
}

impl Reply<'_> {
    fn has_body(&self, status: u16) -> bool {
        !self.head.first_line.starts_with("HEAD ") && !matches!(status, 204 | 304)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut stream = self.stream;
        stream.write_all(bytes)
    }

    fn start(&self, page: &Page, framing: &str) -> io::Result<()> {
        let mut text = format!("HTTP/1.1 {} {}\r\n", page.status, http::phrase(page.status));
        for (name, value) in &page.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        self.write(format!("{text}{framing}\r\n").as_bytes())
    }

    fn whole(&self, page: &Page) -> io::Result<KeepAlive> {
        let with_length = format!("Content-Length: {}\r\n", page.body.len());
        let framing = if page.status == 204 { "" } else { &with_length };
        self.start(page, framing)?;
        if self.has_body(page.status) {
            self.write(&page.body)?;
        }
        Ok(true)
    }

    /// A part of a stream, the first of which may have the head of the page.
    fn part(&mut self, sandbox: &Sandbox, content_type: &str, part: &[u8]) -> io::Result<()> {
        if self.chunked.is_some() {
            return self.chunk(part);
        }
        let beginning = self
            .beginning
            .get_or_insert_with(|| Beginning::new(content_type));
        let page = match beginning.push(part) {
            None => return Ok(()),
            Some(Ok(page)) => page,
            Some(Err(why)) => {
                sandbox.note(&format!("{why}: a function URL shows 502 for it."));
                self.chunked = Some(false);
                return self.whole(&Page::failed()).map(|_| ());
            }
        };
        let chunked = self.has_body(page.status) && !self.head.first_line.ends_with("HTTP/1.0");
        self.chunked = Some(chunked);
        self.start(
            &page,
            if chunked {
                "Transfer-Encoding: chunked\r\n"
            } else {
                ""
            },
        )?;
        self.chunk(&page.body)
    }

    fn chunk(&self, part: &[u8]) -> io::Result<()> {
        if part.is_empty() || self.chunked != Some(true) {
            return Ok(());
        }
        let mut bytes = format!("{:x}\r\n", part.len()).into_bytes();
        bytes.extend_from_slice(part);
        bytes.extend_from_slice(b"\r\n");
        self.write(&bytes)
    }

    /// The end of a stream. One that failed is cut off, so that nobody takes it for whole.
    fn end(&self, sandbox: &Sandbox, failed: bool) -> io::Result<KeepAlive> {
        match self.chunked {
            None => {
                sandbox
                    .note("no eight NUL bytes end the stream's prelude: a function URL shows 502.");
                self.whole(&Page::failed())
            }
            Some(true) if !failed => self.write(b"0\r\n\r\n").map(|()| true),
            Some(_) => Ok(false),
        }
    }
}

/// Whether this is an invoke; of which function and version does not matter, there is but one.
fn is_invoke(request_line: &str) -> bool {
    let Some(target) = request_line.strip_prefix("POST ") else {
        return false;
    };
    let path = target.split([' ', '?']).next().unwrap_or_default();
    let name = path.strip_prefix("/2015-03-31/functions/");
    let name = name.and_then(|rest| rest.strip_suffix("/invocations"));
    name.is_some_and(|name| !name.is_empty() && !name.contains('/'))
}
