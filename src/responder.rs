//! The one answer to an event.
//!
//! A [`Reply`] is made for an event, cannot be copied, and is used up by answering; what comes out
//! is an [`Answered`], which nothing else makes and which a [`crate::Handler`] must return. So the
//! compiler refuses a handler that answers twice or not at all.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::SystemTime;

use crate::api::error::Outcome;
use crate::api::{ERROR_BODY, ERROR_TYPE, PAYLOAD_LIMIT, RuntimeApi};
use crate::context::Invocation;
use crate::failure::Failure;
use crate::http::request::{chunk_size_line, last_chunk};
use crate::log::Level;

const RESPONSE: &str = "POST …/response";

/// Proof that an event was answered, or that its answer cannot be delivered.
#[must_use = "the loop must be told that the event was answered"]
pub struct Answered(pub(crate) Outcome);

/// The right to answer one event, once.
#[must_use = "an event must be answered"]
pub struct Reply<'a> {
    pub(crate) api: &'a mut RuntimeApi,
    pub(crate) invocation: &'a Invocation,
}

impl<'a> Reply<'a> {
    /// Answers with a whole response of 0 to 6,291,556 bytes; a longer one fails the event with
    /// `Function.ResponseSizeTooLarge`, as Lambda would.
    pub fn respond(self, content_type: &str, body: &[u8]) -> Answered {
        if body.len() > PAYLOAD_LIMIT {
            return self.fail(&too_large(&format!("{} bytes", body.len())));
        }
        self.api.begin(RESPONSE, Some(self.invocation));
        let reply = self.api.post(content_type, body);
        Answered(self.api.conclude(reply, Some(self.invocation)))
    }

    /// Answers with a failure, and logs it.
    pub fn fail(self, failure: &Failure) -> Answered {
        Answered(
            self.api
                .report("POST …/error", Some(self.invocation), failure),
        )
    }

    /// Begins a streamed response: nothing is sent before its first byte.
    ///
    /// A write waits while the Runtime API takes no more; one that is not taken by `until` fails
    /// with [`io::ErrorKind::TimedOut`]. `None` waits for ever.
    pub fn stream(self, content_type: &'a str, until: Option<SystemTime>) -> Stream<'a> {
        Stream {
            reply: self,
            content_type,
            until,
            has_begun: false,
        }
    }
}

/// The failure of a response over the limit; `size` says how long it is as far as known.
pub fn too_large(size: &str) -> Failure {
    let mend = "return a reference to the data, or stream the response";
    let message = format!("the response is {size}, the limit is {PAYLOAD_LIMIT} bytes; {mend}");
    Failure::new("Function.ResponseSizeTooLarge", message)
}

/// A response that is sent while it is made. Each write goes out at once, and waits while the
/// Runtime API takes no more.
#[must_use = "a streamed response must be finished or failed"]
pub struct Stream<'a> {
    reply: Reply<'a>,
    content_type: &'a str,
    until: Option<SystemTime>,
    /// The head of the response went out, or may have.
    has_begun: bool,
}

impl Stream<'_> {
    /// Ends the response; one without a byte is sent as an empty one.
    pub fn finish(mut self) -> Answered {
        // What the handler had to be done by is past, the deadline is not.
        self.until = self.reply.invocation.deadline();
        match self.begin() {
            Ok(()) => self.end(&last_chunk(&[])),
            Err(error) => self.fail(&Failure::new("Function.StreamFailed", error.to_string())),
        }
    }

    /// Fails the event: by an error document of its own while nothing was sent, in the trailers of
    /// the response afterwards. A stream that the API no longer takes is cut.
    pub fn fail(self, failure: &Failure) -> Answered {
        if !self.has_begun {
            return self.reply.fail(failure);
        }
        failure.log(Level::Error, Some(self.reply.invocation));
        if self.descriptor().is_none() {
            return Answered(Ok(()));
        }
        self.end(&last_chunk(&[
            (ERROR_TYPE, failure.error_type().as_bytes()),
            (ERROR_BODY, &crate::base64::encode(&failure.to_json())),
        ]))
    }

    /// Once the response has begun: becomes readable when the Runtime API ends it by itself.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.reply
            .api
            .connection
            .descriptor()
            .filter(|_| self.has_begun)
    }

    /// Sends the head of the response (AWS, custom runtimes, "Implementing response streaming").
    /// Both error trailers are announced, since only announced ones are heard.
    fn begin(&mut self) -> io::Result<()> {
        if self.has_begun {
            return Ok(());
        }
        let Reply { api, invocation } = &mut self.reply;
        api.begin(RESPONSE, Some(invocation));
        api.request
            .header("Content-Type", self.content_type.as_bytes());
        api.request
            .header("Lambda-Runtime-Function-Response-Mode", b"streaming");
        api.request.header("Transfer-Encoding", b"chunked");
        api.request.header(
            "Trailer",
            [ERROR_TYPE, ", ", ERROR_BODY].concat().as_bytes(),
        );
        api.connection.close_if_stale();
        let sent = api
            .connection
            .send([api.request.finish(), b"", b""], self.until);
        // Of what did not leave this process, nothing has begun.
        self.has_begun = api.connection.written > 0;
        sent.inspect_err(|_| api.connection.close())
    }

    /// A handler that was stopped before the deadline leaves the time to say so.
    fn end(self, last_chunk: &[u8]) -> Answered {
        let Reply { api, invocation } = self.reply;
        let sent = api
            .connection
            .write([last_chunk, b"", b""], invocation.deadline());
        let sent = sent.and_then(|()| api.connection.lift_limit());
        // An API that ended the exchange early may have said why, also where writing failed.
        let reply = api.connection.reply(sent);
        Answered(api.conclude(reply, Some(invocation)))
    }
}

impl io::Write for Stream<'_> {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if part.is_empty() {
            return Ok(0);
        }
        let chunk = [&chunk_size_line(part.len()), part, b"\r\n"];
        let sent = self
            .begin()
            .and_then(|()| self.reply.api.connection.write(chunk, self.until));
        if sent.is_err() {
            // The API sees a response that is cut.
            self.reply.api.connection.close();
        }
        sent.map(|()| part.len())
    }

    /// Nothing to do: each write goes out at once.
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
    use std::net::TcpListener;
    use std::time::{Duration, SystemTime};

    use super::Reply;
    use crate::api::RuntimeApi;
    use crate::api::address::Address;
    use crate::context::Invocation;
    use crate::failure::Failure;
    use crate::http::head::Head;

    /// A first byte that comes when the stream may not be sent any more: nothing has left this
    /// process, so the event is answered by an error document. It once was not answered at all.
    #[test]
    fn stream_of_which_nothing_was_sent_in_time_is_answered_by_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
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
        let address = Address::parse(&address, || Err(io::ErrorKind::NotFound.into()));
        let mut client = RuntimeApi::new(&address.expect("an address"));
        let mut head = Head::default();
        let block = b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: late\r\n\r\n";
        assert_eq!(head.take(block), Ok(block.len()));
        let invocation = Invocation::new(head);
        let past = SystemTime::now() - Duration::from_secs(1);
        let reply = Reply {
            api: &mut client,
            invocation: &invocation,
        };
        let mut stream = reply.stream("text/plain", Some(past));
        let error = stream.write(b"late").expect_err("it is too late");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let answered = stream.fail(&Failure::new("Function.TimedOut", "late"));
        assert!(answered.0.is_ok());
        let request = api.join().expect("a request");
        assert!(
            request.starts_with("POST /2018-06-01/runtime/invocation/late/error "),
            "{request}"
        );
        assert!(request.ends_with("\"stackTrace\":[]}"), "{request}");
    }
}
