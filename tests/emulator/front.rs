//! Lambda's invoke API: what `curl`, `aws lambda invoke` and `cargo lambda invoke` call.

use super::base64;
use super::connection::RESPONSE_LIMIT;
use super::event::Event;
use super::http::{self, Head};
use super::sandbox::{Outcome, Sandbox};
use std::io::{self, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// Serves until the process is ended. Callers wait in line for the one sandbox.
pub(crate) fn serve(listener: &TcpListener, sandbox: Sandbox) -> io::Result<()> {
    let sandbox = Arc::new(Mutex::new(sandbox));
    for stream in listener.incoming() {
        let stream = stream?;
        let sandbox = Arc::clone(&sandbox);
        thread::spawn(move || {
            // A caller that went away needs no answer.
            let _ = converse(&stream, &sandbox);
        });
    }
    Ok(())
}

fn converse(mut stream: &TcpStream, sandbox: &Mutex<Sandbox>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(head) = http::read_head(&mut reader)? {
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
        stream.write_all(&respond(&head, body, sandbox)?)?;
        if http::text(&head.headers, "Connection").is_some_and(|v| v.eq_ignore_ascii_case("close"))
        {
            return Ok(());
        }
    }
    Ok(())
}

fn respond(head: &Head, body: Vec<u8>, sandbox: &Mutex<Sandbox>) -> io::Result<Vec<u8>> {
    let refused = |status, error: &str, message: &str| {
        let body = format!("{{\"Type\":\"User\",\"Message\":\"{message}\"}}");
        let headers = [
            ("Content-Type", "application/json"),
            ("X-Amzn-ErrorType", error),
        ];
        Ok(http::reply(status, &headers, body.as_bytes()))
    };
    if !is_invoke(&head.first_line) {
        let message = "POST to /2015-03-31/functions/function/invocations";
        return refused(404, "ResourceNotFoundException", message);
    }
    if body.len() > RESPONSE_LIMIT {
        let message = "the event is larger than 6291556 bytes";
        return refused(413, "RequestTooLargeException", message);
    }
    let mut event = Event::new(body);
    if let Some(encoded) = http::text(&head.headers, "X-Amz-Client-Context") {
        let Some(context) = base64::decode(encoded) else {
            let message = "X-Amz-Client-Context is not base64";
            return refused(400, "InvalidRequestContentException", message);
        };
        event = event.header("Lambda-Runtime-Client-Context", context);
    }
    // A panic while it was held would have been a bug of the sandbox; the next event is served.
    let mut sandbox = sandbox
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let Outcome {
        request_id,
        body,
        failed,
    } = sandbox.invoke(event)?;
    let mut headers = vec![
        ("Content-Type", "application/json"),
        ("X-Amzn-Requestid", request_id.as_str()),
        ("X-Amz-Executed-Version", "$LATEST"),
    ];
    if failed {
        headers.push(("X-Amz-Function-Error", "Unhandled"));
    }
    Ok(http::reply(200, &headers, &body))
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
