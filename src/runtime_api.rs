//! The Runtime API's endpoints as verbs: the requests that are no answers, and what all share.
//!
//! In: an event's context and its answer. Out: requests, and what their replies mean for the loop.
//! It must never report a cut event as an event, nor send an answer twice.

use std::time::Duration;

use crate::address::Address;
use crate::connection::{Connection, ReplyHead};
use crate::error::Kind;
use crate::failure::Failure;
use crate::http::request::Request;
use crate::invocation::Invocation;
use crate::log::{self, Level};

/// Most bytes of an event, and of a buffered response (AWS emulator: `6 MiB + 100`).
pub const PAYLOAD_LIMIT: usize = 6_291_556;

/// Most bytes of a reply's body that is read only to keep the connection.
const REPLY_BODY_LIMIT: u64 = 65_536;

/// How long to wait after a 204, with which cargo lambda says that there is no event yet.
const NO_EVENT_PAUSE: Duration = Duration::from_millis(50);

/// What all paths of the Runtime API begin with, and those of the Extensions API.
const RUNTIME: &[u8] = b"/2018-06-01";
const EXTENSIONS: &[u8] = b"/2020-01-01";

pub(crate) const ERROR_TYPE: &str = "Lambda-Runtime-Function-Error-Type";
pub(crate) const ERROR_BODY: &str = "Lambda-Runtime-Function-Error-Body";

/// One slot's connection to the Runtime API.
#[derive(Debug)]
pub(crate) struct RuntimeApi {
    pub(crate) connection: Connection,
    pub(crate) request: Request,
    /// The request that was begun last, as the log names it: method and path.
    pub(crate) during: &'static str,
}

impl RuntimeApi {
    /// Connects at the first request.
    pub(crate) fn new(address: &Address) -> RuntimeApi {
        let connection = Connection::new(address.clone());
        RuntimeApi { connection, request: Request::default(), during: "" }
    }

    /// Asks for the next event and waits for it without limit: the sandbox may be frozen for hours
    /// in between. Parts of the event go to `sink` as they come; they are an event only if this
    /// returns `Ok`.
    pub(crate) fn next(&mut self, sink: &mut dyn FnMut(&[u8])) -> Result<Invocation, Kind> {
        loop {
            let reply = self.get("GET /runtime/invocation/next").and_then(successful)?;
            if reply.status != 204 {
                let head = self.connection.head()?;
                let invocation = Invocation::read(&head, self.connection.last_heard)?;
                self.connection.body(&reply, PAYLOAD_LIMIT as u64, sink)?;
                return Ok(invocation);
            }
            self.connection.body(&reply, 0, &mut |_| {})?;
            std::thread::sleep(NO_EVENT_PAUSE);
        }
    }

    /// Logs and reports that the function cannot be initialised or restored, as `during` says.
    pub(crate) fn report(&mut self, during: &'static str, failure: &Failure) -> Result<(), Kind> {
        failure.log(Level::Fatal, None);
        self.begin(during, RUNTIME);
        self.post_failure(None, failure)
    }

    /// Waits until a snapshot was taken and restored. The old connection did not survive that.
    pub(crate) fn restore_next(&mut self) -> Result<(), Kind> {
        let reply = self.get("GET /runtime/restore/next");
        self.connection.close();
        reply.and_then(successful).map(drop)
    }

    /// Registers an internal extension, without which Lambda sends no SIGTERM (AWS, Extensions
    /// API). Its next event is asked for and never read: there is none, as none is subscribed to.
    /// The connection must live as long as the process.
    pub(crate) fn register_extension(&mut self) -> Result<(), Kind> {
        self.begin("POST /extension/register", EXTENSIONS);
        self.request.header("Lambda-Extension-Name", b"bootstrap");
        self.request.header("Content-Type", b"application/json");
        let reply = self.post(b"{\"events\":[]}").and_then(successful)?;
        let head = self.connection.head()?;
        let id = head.get("Lambda-Extension-Identifier")?.map(<[u8]>::to_vec);
        let id = id.ok_or("the reply has no extension identifier")?;
        self.connection.body(&reply, REPLY_BODY_LIMIT, &mut |_| {})?;
        self.begin("GET /extension/event/next", EXTENSIONS);
        self.request.header("Lambda-Extension-Identifier", &id);
        self.connection.send(self.request.finish(), b"", None).map_err(Kind::Io)
    }

    /// Begins a request. `during` is its name: the method, and the path after `base`, which stands in
    /// the place of an ellipsis.
    fn begin(&mut self, during: &'static str, base: &[u8]) {
        self.during = during;
        let (method, path) = during.split_once(' ').unwrap_or_default();
        let path = path.trim_start_matches('…').as_bytes();
        let Address { prefix, authority, .. } = &self.connection.address;
        self.request.begin(method, &[prefix.as_bytes(), base, path], authority);
    }

    /// Begins the answer to an event: `POST …/response` or `POST …/error`.
    pub(crate) fn begin_answer(&mut self, during: &'static str, invocation: &Invocation) {
        self.begin(
            during,
            &[RUNTIME, b"/runtime/invocation/", &invocation.path_segment()].concat(),
        );
        // Sent back unchanged, so that an answer that comes late cannot answer a later attempt
        // with the same request id.
        if let Some(id) = invocation.invocation_id() {
            self.request.header("Lambda-Runtime-Invocation-Id", id);
        }
    }

    fn get(&mut self, during: &'static str) -> Result<ReplyHead, Kind> {
        self.begin(during, RUNTIME);
        self.connection.request(self.request.finish(), b"")
    }

    /// Ends the begun request with `body`, and sends it, once.
    pub(crate) fn post(&mut self, body: &[u8]) -> Result<ReplyHead, Kind> {
        self.request.header("Content-Length", body.len().to_string().as_bytes());
        self.connection.request(self.request.finish(), body)
    }

    /// Ends the begun request with a failure, and sends it, once.
    pub(crate) fn post_failure(
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
    pub(crate) fn conclude(
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
            Err(kind @ Kind::Status(_)) => format!("{}: {kind}; going on", self.during),
            Err(kind) => {
                self.connection.close();
                format!("{}: {kind}; not sent again, going on", self.during)
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
