//! The one answer to an event.
//!
//! A [`Responder`] is made for an event, cannot be copied, and is used up by answering; what comes
//! out is an [`Answered`], which nothing else makes and which a [`crate::Handler`] must return. So
//! the compiler refuses a handler that answers twice or not at all.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::SystemTime;

use crate::api::error::ApiError;
use crate::api::{PAYLOAD_LIMIT, RuntimeApi};
use crate::context::Context;
use crate::failure::{ErrorType, Failure};
use crate::log::Level;
use crate::panics;

/// Proof that an event was answered, or that its answer cannot be delivered.
#[derive(Debug)]
#[must_use = "the loop must learn that the event was answered"]
pub struct Answered(pub(crate) Result<(), ApiError>);

/// The right to answer one event, once. If a handler panics and drops it unused, the event fails
/// with `Function.Panicked`.
#[derive(Debug)]
#[must_use = "an event must be answered"]
pub struct Responder<'a> {
    /// `None` once the event was answered.
    api: Option<&'a mut RuntimeApi>,
    context: &'a Context,
}

impl<'a> Responder<'a> {
    pub(crate) fn new(api: &'a mut RuntimeApi, context: &'a Context) -> Responder<'a> {
        Responder {
            api: Some(api),
            context,
        }
    }

    /// Answers with a whole response of 0 to 6,291,556 bytes; a longer one fails the event with
    /// `Function.ResponseSizeTooLarge`, as Lambda would.
    pub fn respond(mut self, content_type: &str, body: &[u8]) -> Answered {
        if body.len() > PAYLOAD_LIMIT {
            return self.fail(&response_too_large(body.len(), false));
        }
        let api = self.api.take();
        let answer = api.map(|api| api.respond(self.context, content_type, body));
        Answered(answer.unwrap_or(Ok(())))
    }

    /// Answers with a failure, and logs it.
    pub fn fail(self, failure: &Failure) -> Answered {
        self.stream("", None).fail(failure)
    }

    /// Returns a streamed response. Nothing is sent before its first byte.
    ///
    /// A write waits while the Runtime API takes no more. At `limit` it fails with
    /// [`io::ErrorKind::TimedOut`]; without a limit it waits for ever.
    pub fn stream(mut self, content_type: &'a str, limit: Option<SystemTime>) -> Stream<'a> {
        Stream {
            api: self.api.take(),
            context: self.context,
            content_type,
            limit,
            has_started: false,
            has_reply: false,
        }
    }
}

impl Drop for Responder<'_> {
    fn drop(&mut self) {
        if let Some(api) = self.api.take() {
            let _ = api.fail(self.context, &panics::failure());
        }
    }
}

/// Returns the failure of a response over the limit. `size` is its length in bytes; if `is_least`,
/// the response has at least so many.
pub fn response_too_large(size: usize, is_least: bool) -> Failure {
    let or_more = if is_least { " or more" } else { "" };
    let message = format!(
        "the response is {size} bytes{or_more}, the limit is {PAYLOAD_LIMIT} bytes; return a \
         reference to the data, or stream the response"
    );
    Failure::of(ErrorType::ResponseSizeTooLarge, message)
}

/// A response that is sent while it is made. Each write goes out at once, and waits while the
/// Runtime API takes no more. If a handler panics and drops it unfinished, the event fails.
#[derive(Debug)]
#[must_use = "a streamed response must be finished or failed"]
pub struct Stream<'a> {
    /// `None` once the event was answered.
    api: Option<&'a mut RuntimeApi>,
    context: &'a Context,
    content_type: &'a str,
    limit: Option<SystemTime>,
    /// Bytes of the response were sent, or may have been.
    has_started: bool,
    /// The Runtime API has accepted the response before its end.
    has_reply: bool,
}

impl Stream<'_> {
    /// Ends the response; one without a byte is sent as an empty one.
    pub fn finish(mut self) -> Answered {
        // The handler's own time limit no longer applies; only Lambda's deadline does.
        self.limit = self.context.deadline();
        if let Err(error) = self.start() {
            return self.fail(&Failure::of(ErrorType::StreamFailed, error.to_string()));
        }
        self.end(None)
    }

    /// Fails the event. If nothing was sent yet, the failure is an error document of its own; later
    /// it goes into the trailers of the response. If the API has stopped reading, the response
    /// stays cut.
    pub fn fail(mut self, failure: &Failure) -> Answered {
        self.end(Some(failure))
    }

    /// Returns the connection of a response that has started and has no reply yet. It becomes
    /// readable when the Runtime API replies early; then call [`Stream::receive_early_reply`].
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        if !self.has_started || self.has_reply {
            return None;
        }
        self.api.as_ref()?.descriptor()
    }

    /// Receives what came of an early reply. If it accepts the response, the response goes on:
    /// cargo lambda replies right after the head.
    ///
    /// # Errors
    /// The Runtime API refuses the response, or ended the connection.
    pub(crate) fn receive_early_reply(&mut self) -> io::Result<()> {
        let api = self.api.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        match api.receive_early_reply() {
            Ok(is_complete) => self.has_reply = is_complete,
            Err(error) => return Err(io::Error::other(error.to_string())),
        }
        Ok(())
    }

    fn start(&mut self) -> io::Result<()> {
        if self.has_started {
            return Ok(());
        }
        let api = self.api.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let started = api.start_stream(self.context, self.content_type, self.limit);
        // If no byte was written, the response has not started.
        self.has_started = api.has_written();
        started.map_err(io::Error::from)
    }

    fn end(&mut self, failure: Option<&Failure>) -> Answered {
        let Some(api) = self.api.take() else {
            return Answered(Ok(()));
        };
        match failure {
            Some(failure) if !self.has_started => {
                return Answered(api.fail(self.context, failure));
            }
            Some(failure) => failure.log(Level::Error, Some(self.context)),
            None => {}
        }
        if api.descriptor().is_none() {
            return Answered(Ok(()));
        }
        Answered(api.finish_stream(self.context, failure, self.has_reply))
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        if self.api.is_some() {
            let _ = self.end(Some(&panics::failure()));
        }
    }
}

impl io::Write for Stream<'_> {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if part.is_empty() {
            return Ok(0);
        }
        let is_awaited = self.has_started && !self.has_reply;
        if is_awaited && self.api.as_mut().is_some_and(|api| api.has_early_reply()) {
            self.receive_early_reply()?;
        }
        self.start()?;
        let api = self.api.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        api.write_chunk(part, self.limit)?;
        Ok(part.len())
    }

    /// Does nothing: each write goes out at once.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
mod tests {
    use std::io::{self, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::BorrowedFd;
    use std::sync::mpsc;
    use std::time::{Duration, SystemTime};

    use super::{Answered, Responder};
    use crate::api::address::Address;
    use crate::api::{PAYLOAD_LIMIT, RuntimeApi};
    use crate::context::Context;
    use crate::failure::Failure;
    use crate::http::head::Head;

    /// The context of an event with the id `one`.
    fn event() -> Context {
        let mut head = Head::default();
        let block = b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: one\r\n\r\n";
        assert_eq!(head.push(block), Ok(block.len()));
        Context::from_head(&head).expect("an event")
    }

    /// What listens in place of a Runtime API, and a client of it.
    fn api() -> (TcpListener, RuntimeApi) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let address = Address::parse(&address, || Err(io::ErrorKind::NotFound.into()));
        let client = RuntimeApi::new(&address.expect("an address"));
        (listener, client)
    }

    /// Has that event answered, and returns the request that the Runtime API got.
    fn request_of(answer: impl FnOnce(Responder<'_>) -> Answered) -> String {
        let (listener, mut client) = api();
        let address = listener.local_addr().expect("its address");
        let api = std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let mut request = [0; 4_096];
                let length = stream.read(&mut request).expect("a request");
                if length > 0 {
                    let accepted = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
                    stream.write_all(accepted).expect("the reply is taken");
                    return String::from_utf8_lossy(&request[..length]).into_owned();
                }
            }
            String::new()
        });
        let context = event();
        let answered = answer(Responder::new(&mut client, &context));
        assert!(answered.0.is_ok());
        // If no request came, this one ends the wait for it.
        if let Ok(mut stream) = TcpStream::connect(address) {
            let _ = stream.write_all(b"no request");
        }
        api.join().expect("a request")
    }

    /// The request is an error document of this type.
    fn assert_error(request: &str, error_type: &str) {
        let start = "POST /2018-06-01/runtime/invocation/one/error ";
        assert!(request.starts_with(start), "{request}");
        let member = format!("{{\"errorType\":\"{error_type}\",");
        assert!(request.contains(&member), "{request}");
    }

    /// A first byte that comes when the stream may not be sent any more: nothing has left this
    /// process, so the event is answered by an error document. It once was not answered at all.
    #[test]
    fn stream_of_which_nothing_was_sent_in_time_is_answered_by_an_error() {
        let request = request_of(|responder| {
            let past = SystemTime::now() - Duration::from_secs(1);
            let mut stream = responder.stream("text/plain", Some(past));
            let error = stream.write(b"late").expect_err("it is too late");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            stream.fail(&Failure::new("Function.TimedOut", "late"))
        });
        assert_error(&request, "Function.TimedOut");
        assert!(request.ends_with("\"stackTrace\":[]}"), "{request}");
    }

    #[test]
    fn stream_of_empty_parts_has_not_started() {
        let request = request_of(|responder| {
            let mut stream = responder.stream("text/plain", None);
            assert_eq!(stream.write(b"").expect("nothing is written"), 0);
            stream.flush().expect("nothing is flushed");
            stream.fail(&Failure::new("Function.Empty", "no part"))
        });
        assert_error(&request, "Function.Empty");
    }

    /// Most of a response that is refused is never sent.
    #[test]
    fn write_to_a_stream_that_was_refused_fails() {
        let (listener, mut client) = api();
        let (refuse, refused) = mpsc::channel();
        let api = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let reply = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(reply).expect("the reply is taken");
            refuse.send(()).expect("the test waits for it");
            let mut request = Vec::new();
            stream.read_to_end(&mut request).expect("a request");
            String::from_utf8_lossy(&request).into_owned()
        });
        let context = event();
        let mut stream = Responder::new(&mut client, &context).stream("text/plain", None);
        stream.write_all(b"first").expect("the part is sent");
        refused.recv().expect("a reply");
        let error = stream.write(b"second").expect_err("it was refused");
        assert!(error.to_string().contains("status 413"), "{error}");
        let failed = stream.fail(&Failure::new("Function.Refused", "why"));
        assert!(failed.0.is_ok());
        let request = api.join().expect("a request");
        // It stays cut.
        assert!(request.ends_with("\r\n5\r\nfirst\r\n"), "{request}");
    }

    /// What follows on its connection may take longer.
    #[test]
    fn stream_that_has_ended_leaves_no_limit_on_its_connection() {
        let (listener, mut client) = api();
        let api = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let (mut request, mut part) = (Vec::new(), [0; 4_096]);
            while !request.ends_with(b"\r\n0\r\n\r\n") {
                let length = stream.read(&mut part).expect("a part of the request");
                assert_ne!(length, 0, "the request is cut");
                request.extend_from_slice(&part[..length]);
            }
            let accepted = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(accepted).expect("the reply is taken");
        });
        let context = event();
        let limit = SystemTime::now() + Duration::from_secs(3_600);
        let mut stream = Responder::new(&mut client, &context).stream("text/plain", Some(limit));
        stream.write_all(b"part").expect("the part is sent");
        assert!(write_timeout(stream.descriptor()).is_some());
        let answered = stream.finish();
        assert!(answered.0.is_ok());
        assert_eq!(write_timeout(client.descriptor()), None);
        api.join().expect("a request");
    }

    /// How long a write on this connection may take.
    fn write_timeout(connection: Option<BorrowedFd<'_>>) -> Option<Duration> {
        let connection = connection.expect("a connection").try_clone_to_owned();
        let stream = TcpStream::from(connection.expect("a copy"));
        stream.write_timeout().expect("the option")
    }

    #[test]
    fn response_over_the_limit_is_answered_by_an_error() {
        let body = vec![b'x'; PAYLOAD_LIMIT + 1];
        let request = request_of(|responder| responder.respond("text/plain", &body));
        assert_error(&request, "Function.ResponseSizeTooLarge");
        assert!(
            request.contains("the response is 6291557 bytes, the limit"),
            "{request}"
        );
    }

    #[test]
    fn answer_that_is_dropped_is_a_panic() {
        for is_stream in [false, true] {
            let request = request_of(|responder| {
                match is_stream {
                    true => drop(responder.stream("text/plain", None)),
                    false => drop(responder),
                }
                Answered(Ok(()))
            });
            assert_error(&request, "Function.Panicked");
        }
    }

    #[test]
    fn debug_shows_the_id_of_the_event_and_no_header_of_it() {
        let assert_shown = |shown: String| {
            assert!(shown.contains("api: Some(RuntimeApi)"), "{shown}");
            assert!(shown.contains("request_id: \"one\""), "{shown}");
            assert!(!shown.contains("Lambda-Runtime"), "{shown}");
        };
        let request = request_of(|responder| {
            assert_shown(format!("{responder:?}"));
            let stream = responder.stream("text/plain", None);
            assert_shown(format!("{stream:?}"));
            stream.fail(&Failure::new("Function.Test", "why"))
        });
        assert_error(&request, "Function.Test");
    }
}
