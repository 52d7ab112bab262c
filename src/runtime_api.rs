//! The Runtime API's endpoints as verbs. The only file that spells a path or a header of it.

use std::time::{Duration, SystemTime};

use crate::address::Address;
use crate::connection::{Connection, Repeat, ReplyHead};
use crate::error::{Error, Kind, explain_status};
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

const NEXT: &str = "GET /runtime/invocation/next";

/// One slot's connection to the Runtime API.
#[derive(Debug)]
pub(crate) struct RuntimeApi {
    connection: Connection,
    request: Request,
}

impl RuntimeApi {
    /// Connects at the first request.
    pub(crate) fn new(address: &Address) -> RuntimeApi {
        let connection = Connection::new(address.clone());
        RuntimeApi { connection, request: Request::default() }
    }

    /// Asks for the next event and waits for it without limit: the sandbox may be frozen for hours
    /// in between. Parts of the event go to `sink` as they come; they are an event only if this
    /// returns `Ok`.
    pub(crate) fn next(&mut self, sink: &mut dyn FnMut(&[u8])) -> Result<Invocation, Error> {
        self.try_next(sink).map_err(|kind| {
            self.connection.close();
            kind.during(NEXT)
        })
    }

    fn try_next(&mut self, sink: &mut dyn FnMut(&[u8])) -> Result<Invocation, Kind> {
        loop {
            let reply = self.get("/2018-06-01/runtime/invocation/next")?;
            if reply.status == 204 {
                self.connection.body(&reply, 0, &mut |_| {})?;
                std::thread::sleep(NO_EVENT_PAUSE);
                continue;
            }
            if !matches!(reply.status, 200..=299) {
                return Err(Kind::Status(reply.status));
            }
            let invocation = Invocation::read(&self.connection.head()?, SystemTime::now())?;
            self.connection.body(&reply, PAYLOAD_LIMIT as u64, sink)?;
            return Ok(invocation);
        }
    }

    /// Reports that the function cannot be initialised.
    pub(crate) fn init_error(&mut self, failure: &Failure) -> Result<(), Error> {
        self.report("/2018-06-01/runtime/init/error", "POST /runtime/init/error", failure)
    }

    /// Reports that the function could not take up its work after a restore.
    pub(crate) fn restore_error(&mut self, failure: &Failure) -> Result<(), Error> {
        self.report("/2018-06-01/runtime/restore/error", "POST /runtime/restore/error", failure)
    }

    /// Waits until a snapshot was taken and restored. The old connection did not survive that.
    pub(crate) fn restore_next(&mut self) -> Result<(), Error> {
        let during = "GET /runtime/restore/next";
        let reply = self.get("/2018-06-01/runtime/restore/next");
        self.connection.close();
        match reply.map_err(|kind| kind.during(during))?.status {
            200..=299 => Ok(()),
            status => Err(Kind::Status(status).during(during)),
        }
    }

    /// Registers an internal extension, without which Lambda sends no SIGTERM (AWS, Extensions
    /// API). Its next event is asked for and never read: there is none, as none is subscribed to.
    /// The connection must live as long as the process.
    pub(crate) fn register_extension(&mut self) -> Result<(), Error> {
        let during = "POST /extension/register";
        let body = b"{\"events\":[]}";
        self.begin("POST", &[b"/2020-01-01/extension/register"]);
        self.request.header("Lambda-Extension-Name", b"bootstrap");
        self.request.header("Content-Type", b"application/json");
        let registered = self.send(body);
        let reply = registered.map_err(|kind| kind.during(during))?;
        if !matches!(reply.status, 200..=299) {
            return Err(Kind::Status(reply.status).during(during));
        }
        let head = self.connection.head().map_err(|kind| kind.during(during))?;
        let id = head.get("Lambda-Extension-Identifier").ok().flatten().map(<[u8]>::to_vec);
        let id =
            id.ok_or(Kind::Protocol("the reply has no extension identifier").during(during))?;
        let body = self.connection.body(&reply, REPLY_BODY_LIMIT, &mut |_| {});
        body.map_err(|kind| kind.during(during))?;
        self.begin("GET", &[b"/2020-01-01/extension/event/next"]);
        self.request.header("Lambda-Extension-Identifier", &id);
        let sent = self.connection.send(self.request.finish(), b"");
        sent.map_err(|(_, error)| Kind::Io(error).during("GET /extension/event/next"))
    }

    /// Posts an event's response.
    pub(crate) fn respond(
        &mut self,
        invocation: &Invocation,
        content_type: &str,
        body: &[u8],
    ) -> Result<(), Error> {
        self.begin_answer(invocation, b"/response");
        self.request.header("Content-Type", content_type.as_bytes());
        let reply = self.send(body);
        self.conclude(reply, "POST …/response", Some(invocation))
    }

    /// Posts an event's failure.
    pub(crate) fn fail(&mut self, invocation: &Invocation, failure: &Failure) -> Result<(), Error> {
        self.begin_answer(invocation, b"/error");
        self.post_failure(failure, "POST …/error", Some(invocation))
    }

    /// Sends the head of a streamed response (AWS, custom runtimes, "Implementing response
    /// streaming"). Both error trailers are announced, since only announced ones are heard.
    pub(crate) fn begin_stream(
        &mut self,
        invocation: &Invocation,
        content_type: &str,
        until: Option<SystemTime>,
    ) -> std::io::Result<()> {
        self.begin_answer(invocation, b"/response");
        self.request.header("Content-Type", content_type.as_bytes());
        self.request.header("Lambda-Runtime-Function-Response-Mode", b"streaming");
        self.request.header("Transfer-Encoding", b"chunked");
        self.request.header("Trailer", [ERROR_TYPE, ", ", ERROR_BODY].concat().as_bytes());
        self.connection.renew_if_stale();
        self.connection.set_write_limit(until);
        self.connection.send(self.request.finish(), b"").map_err(|(_, error)| error)
    }

    /// Sends one part of a streamed response, at once.
    pub(crate) fn send_part(&mut self, part: &[u8]) -> std::io::Result<()> {
        if part.is_empty() {
            return Ok(());
        }
        self.connection.send_more([&chunk_size_line(part.len()), part, b"\r\n"])
    }

    /// Ends a streamed response, with a failure in its trailers if there is one.
    pub(crate) fn end_stream(
        &mut self,
        invocation: &Invocation,
        failure: Option<&Failure>,
    ) -> Result<(), Error> {
        let end = match failure {
            None => last_chunk(&[]),
            Some(failure) => last_chunk(&[
                (ERROR_TYPE, failure.error_type().as_bytes()),
                (ERROR_BODY, &crate::base64::encode(&failure.to_json())),
            ]),
        };
        // A handler that was stopped before the deadline leaves the time to say so.
        self.connection.set_write_limit(invocation.deadline());
        let sent = self.connection.send_more([&end, b"", b""]);
        // An API that ended the exchange early may have said why, also where writing failed.
        let reply = self.connection.reply_head().map_err(|kind| match sent {
            Err(error) => Kind::Io(error),
            Ok(()) => kind,
        });
        self.connection.set_write_limit(None);
        self.conclude(reply, "POST …/response", Some(invocation))
    }

    /// Gives up a streamed response in the middle: the API sees it cut.
    pub(crate) fn cut_stream(&mut self) {
        self.connection.set_write_limit(None);
        self.connection.close();
    }

    /// For noticing that the API ended a streamed response by itself.
    pub(crate) fn descriptor(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.connection.descriptor()
    }

    fn begin(&mut self, method: &str, path: &[&[u8]]) {
        let address = self.connection.address();
        let target = [&[address.prefix.as_bytes()], path].concat();
        self.request.begin(method, &target, &address.authority);
    }

    fn begin_answer(&mut self, invocation: &Invocation, what: &[u8]) {
        let id = invocation.path_segment();
        self.begin("POST", &[b"/2018-06-01/runtime/invocation/", &id, what]);
        // Sent back unchanged, so that an answer that comes late cannot answer a later attempt
        // with the same request id.
        if let Some(id) = invocation.invocation_id() {
            self.request.header("Lambda-Runtime-Invocation-Id", id);
        }
    }

    /// Ends the begun request with `body`, and sends it, once.
    fn send(&mut self, body: &[u8]) -> Result<ReplyHead, Kind> {
        self.request.content_length(body.len());
        self.connection.request(self.request.finish(), body, Repeat::Never)
    }

    fn get(&mut self, path: &str) -> Result<ReplyHead, Kind> {
        self.begin("GET", &[path.as_bytes()]);
        self.connection.request(self.request.finish(), b"", Repeat::Allowed)
    }

    fn report(&mut self, path: &str, during: &'static str, failure: &Failure) -> Result<(), Error> {
        self.begin("POST", &[path.as_bytes()]);
        self.post_failure(failure, during, None)
    }

    fn post_failure(
        &mut self,
        failure: &Failure,
        during: &'static str,
        invocation: Option<&Invocation>,
    ) -> Result<(), Error> {
        self.request.header("Content-Type", b"application/json");
        self.request.header(ERROR_TYPE, failure.error_type().as_bytes());
        let reply = self.send(&failure.to_json());
        self.conclude(reply, during, invocation)
    }

    /// What the reply to a POST means for the loop. Only a status of 500 or more ends it.
    ///
    /// A POST whose reply did not come is not sent again: it may have been received. If it was
    /// not, `/next` delivers the event again.
    fn conclude(
        &mut self,
        reply: Result<ReplyHead, Kind>,
        during: &'static str,
        invocation: Option<&Invocation>,
    ) -> Result<(), Error> {
        let outcome = reply.and_then(|reply| {
            // The status is what counts; a body that breaks off only costs the connection.
            if self.connection.body(&reply, REPLY_BODY_LIMIT, &mut |_| {}).is_err() {
                self.connection.close();
            }
            match reply.status {
                200..=299 => Ok(()),
                status => Err(Kind::Status(status)),
            }
        });
        match outcome {
            Ok(()) => Ok(()),
            Err(kind @ Kind::Status(500..)) => Err(kind.during(during)),
            Err(Kind::Status(status)) => {
                let why = explain_status(status);
                let message = format!("{during}: status {status}, {why}; going on");
                log::write(Level::Error, invocation, &message);
                Ok(())
            }
            Err(kind) => {
                self.connection.close();
                let message = format!("{}; not sent again, going on", kind.during(during));
                log::write(Level::Error, invocation, &message);
                Ok(())
            }
        }
    }
}

const ERROR_TYPE: &str = "Lambda-Runtime-Function-Error-Type";
const ERROR_BODY: &str = "Lambda-Runtime-Function-Error-Body";
