//! The Runtime API's endpoints as verbs. The only file that spells a path or a header of it.
//!
//! In: an event's context and its answer. Out: requests, and what their replies mean for the loop.
//! It must never report a cut event as an event, nor send an answer twice.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, SystemTime};

use crate::address::Address;
use crate::connection::{Connection, ReplyHead};
use crate::error::{Error, Kind};
use crate::failure::Failure;
use crate::http::request::{Request, chunk_size_line, last_chunk};
use crate::invocation::Invocation;
use crate::log::{self, Level};

/// Most bytes of an event, and of a buffered response (AWS emulator: `6 MiB + 100`).
pub const PAYLOAD_LIMIT: usize = 6_291_556;

/// Most bytes of a reply's body that is read only to keep the connection.
const REPLY_BODY_LIMIT: u64 = 65_536;

/// How long to wait after a 204, with which cargo lambda says that there is no event yet.
const NO_EVENT_PAUSE: Duration = Duration::from_millis(50);

const RESPONSE: &str = "POST …/response";
const ERROR_TYPE: &str = "Lambda-Runtime-Function-Error-Type";
const ERROR_BODY: &str = "Lambda-Runtime-Function-Error-Body";

/// One slot's connection to the Runtime API.
#[derive(Debug)]
pub(crate) struct RuntimeApi {
    connection: Connection,
    request: Request,
    /// The request that was begun last, as the log names it: method and path.
    during: &'static str,
}

impl RuntimeApi {
    /// Connects at the first request.
    pub(crate) fn new(address: &Address) -> RuntimeApi {
        let connection = Connection::new(address.clone());
        RuntimeApi { connection, request: Request::default(), during: "" }
    }

    /// What went wrong, with the name of the request during which it did.
    pub(crate) fn error(&self, kind: Kind) -> Error {
        kind.during(self.during)
    }

    /// Asks for the next event and waits for it without limit: the sandbox may be frozen for hours
    /// in between. Parts of the event go to `sink` as they come; they are an event only if this
    /// returns `Ok`.
    pub(crate) fn next(&mut self, sink: &mut dyn FnMut(&[u8])) -> Result<Invocation, Kind> {
        loop {
            let reply = self
                .get("GET /runtime/invocation/next", b"/2018-06-01/runtime/invocation/next")
                .and_then(successful)?;
            if reply.status != 204 {
                let invocation =
                    Invocation::read(self.connection.head(), self.connection.last_heard)?;
                self.connection.body(&reply, PAYLOAD_LIMIT as u64, sink)?;
                return Ok(invocation);
            }
            self.connection.body(&reply, 0, &mut |_| {})?;
            std::thread::sleep(NO_EVENT_PAUSE);
        }
    }

    /// Reports that the function cannot be initialised.
    pub(crate) fn init_error(&mut self, failure: &Failure) -> Result<(), Kind> {
        self.begin("POST /runtime/init/error", &[b"/2018-06-01/runtime/init/error"]);
        self.post_failure(None, failure)
    }

    /// Reports that the function could not take up its work after a restore.
    pub(crate) fn restore_error(&mut self, failure: &Failure) -> Result<(), Kind> {
        self.begin("POST /runtime/restore/error", &[b"/2018-06-01/runtime/restore/error"]);
        self.post_failure(None, failure)
    }

    /// Waits until a snapshot was taken and restored. The old connection did not survive that.
    pub(crate) fn restore_next(&mut self) -> Result<(), Kind> {
        let reply = self.get("GET /runtime/restore/next", b"/2018-06-01/runtime/restore/next");
        self.connection.close();
        reply.and_then(successful).map(drop)
    }

    /// Registers an internal extension, without which Lambda sends no SIGTERM (AWS, Extensions
    /// API). Its next event is asked for and never read: there is none, as none is subscribed to.
    /// The connection must live as long as the process.
    pub(crate) fn register_extension(&mut self) -> Result<(), Kind> {
        self.begin("POST /extension/register", &[b"/2020-01-01/extension/register"]);
        self.request.header("Lambda-Extension-Name", b"bootstrap");
        self.request.header("Content-Type", b"application/json");
        let reply = self.post(b"{\"events\":[]}").and_then(successful)?;
        let head = self.connection.head();
        let id = head.get("Lambda-Extension-Identifier").ok().flatten().map(<[u8]>::to_vec);
        let id = id.ok_or("the reply has no extension identifier")?;
        self.connection.body(&reply, REPLY_BODY_LIMIT, &mut |_| {})?;
        self.begin("GET /extension/event/next", &[b"/2020-01-01/extension/event/next"]);
        self.request.header("Lambda-Extension-Identifier", &id);
        self.connection.send(self.request.finish(), b"", None).map_err(Kind::Io)
    }

    /// Posts an event's response.
    pub(crate) fn respond(
        &mut self,
        invocation: &Invocation,
        content_type: &str,
        body: &[u8],
    ) -> Result<(), Kind> {
        self.begin_answer(RESPONSE, invocation, b"/response");
        self.request.header("Content-Type", content_type.as_bytes());
        let reply = self.post(body);
        self.conclude(reply, Some(invocation))
    }

    /// Posts an event's failure.
    pub(crate) fn fail(&mut self, invocation: &Invocation, failure: &Failure) -> Result<(), Kind> {
        self.begin_answer("POST …/error", invocation, b"/error");
        self.post_failure(Some(invocation), failure)
    }

    /// Sends the head of a streamed response (AWS, custom runtimes, "Implementing response
    /// streaming"). Both error trailers are announced, since only announced ones are heard.
    pub(crate) fn begin_stream(
        &mut self,
        invocation: &Invocation,
        content_type: &str,
        until: Option<SystemTime>,
    ) -> io::Result<()> {
        self.begin_answer(RESPONSE, invocation, b"/response");
        self.request.header("Content-Type", content_type.as_bytes());
        self.request.header("Lambda-Runtime-Function-Response-Mode", b"streaming");
        self.request.header("Transfer-Encoding", b"chunked");
        self.request.header("Trailer", [ERROR_TYPE, ", ", ERROR_BODY].concat().as_bytes());
        self.connection.renew_if_stale();
        self.connection.send(self.request.finish(), b"", until)
    }

    /// Sends one part of a streamed response, at once. It must not be empty.
    pub(crate) fn send_part(&mut self, part: &[u8], until: Option<SystemTime>) -> io::Result<()> {
        let line = chunk_size_line(part.len());
        self.connection.write([&line, part, b"\r\n"], until)
    }

    /// Ends a streamed response, with a failure in its trailers if there is one.
    pub(crate) fn end_stream(
        &mut self,
        invocation: &Invocation,
        failure: Option<&Failure>,
    ) -> Result<(), Kind> {
        let end = match failure {
            None => last_chunk(&[]),
            Some(failure) => last_chunk(&[
                (ERROR_TYPE, failure.error_type().as_bytes()),
                (ERROR_BODY, &crate::base64::encode(&failure.to_json())),
            ]),
        };
        // A handler that was stopped before the deadline leaves the time to say so.
        let until = invocation.deadline();
        let sent = self.connection.write([&end, b"", b""], until);
        // An API that ended the exchange early may have said why, also where writing failed.
        let reply = self.connection.reply_head();
        let reply = reply.map_err(|kind| sent.err().map_or(kind, Kind::Io));
        self.conclude(reply, Some(invocation))
    }

    /// Gives up a streamed response in the middle: the API sees it cut.
    pub(crate) fn cut_stream(&mut self) {
        self.connection.close();
    }

    /// For noticing that the API ended a streamed response by itself.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.connection.descriptor()
    }

    /// Begins a request. `during` is its name, and the name's first word the method.
    fn begin(&mut self, during: &'static str, path: &[&[u8]]) {
        self.during = during;
        let method = during.split(' ').next().unwrap_or_default();
        let Address { prefix, authority, .. } = &self.connection.address;
        self.request.begin(method, prefix, path, authority);
    }

    fn begin_answer(&mut self, during: &'static str, invocation: &Invocation, what: &[u8]) {
        let id = invocation.path_segment();
        self.begin(during, &[b"/2018-06-01/runtime/invocation/", &id, what]);
        // Sent back unchanged, so that an answer that comes late cannot answer a later attempt
        // with the same request id.
        if let Some(id) = invocation.invocation_id() {
            self.request.header("Lambda-Runtime-Invocation-Id", id);
        }
    }

    fn get(&mut self, during: &'static str, path: &[u8]) -> Result<ReplyHead, Kind> {
        self.begin(during, &[path]);
        self.connection.request(self.request.finish(), b"")
    }

    /// Ends the begun request with `body`, and sends it, once.
    fn post(&mut self, body: &[u8]) -> Result<ReplyHead, Kind> {
        self.request.header("Content-Length", body.len().to_string().as_bytes());
        self.connection.request(self.request.finish(), body)
    }

    fn post_failure(
        &mut self,
        invocation: Option<&Invocation>,
        failure: &Failure,
    ) -> Result<(), Kind> {
        self.request.header("Content-Type", b"application/json");
        self.request.header(ERROR_TYPE, failure.error_type().as_bytes());
        let reply = self.post(&failure.to_json());
        self.conclude(reply, invocation)
    }

    /// What the reply to a POST means for the loop. Only a status of 500 or more ends it.
    ///
    /// A POST whose reply did not come is not sent again: it may have been received. If it was
    /// not, `/next` delivers the event again.
    fn conclude(
        &mut self,
        reply: Result<ReplyHead, Kind>,
        invocation: Option<&Invocation>,
    ) -> Result<(), Kind> {
        let outcome = reply.and_then(|reply| {
            // The status is what counts; a body that breaks off only costs the connection.
            if self.connection.body(&reply, REPLY_BODY_LIMIT, &mut |_| {}).is_err() {
                self.connection.close();
            }
            successful(reply)
        });
        let message = match outcome {
            Ok(_) => return Ok(()),
            Err(kind @ Kind::Status(500..)) => return Err(kind),
            Err(kind @ Kind::Status(_)) => format!("{}; going on", self.error(kind)),
            Err(kind) => {
                self.connection.close();
                format!("{}; not sent again, going on", self.error(kind))
            }
        };
        log::write(Level::Error, invocation, &message);
        Ok(())
    }
}

/// Any status of 200 to 299 is as good as the one that is documented.
fn successful(reply: ReplyHead) -> Result<ReplyHead, Kind> {
    match reply.status {
        200..=299 => Ok(reply),
        status => Err(Kind::Status(status)),
    }
}
