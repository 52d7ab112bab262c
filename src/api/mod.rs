//! The Runtime API's endpoints as verbs: the requests that are no answers, and what all share.
//!
//! In: an event's context and its answer. Out: requests, and what their replies mean for the loop.
//! It must never report a cut event as an event, nor send an answer twice.

pub(crate) mod address;
pub(crate) mod connection;
pub(crate) mod error;

use std::time::Duration;

use crate::api::address::Address;
use crate::api::connection::Connection;
use crate::api::error::{Kind, Outcome};
use crate::context::Invocation;
use crate::failure::Failure;
use crate::http::request::Request;
use crate::log::{self, Level};

/// Most bytes of an event, and of a buffered response (AWS emulator: `6 MiB + 100`).
pub const PAYLOAD_LIMIT: usize = 6_291_556;

/// Most bytes of a reply's body that is read only to keep the connection.
const REPLY_BODY_LIMIT: u64 = 65_536;

/// How long to wait after a 204, with which cargo lambda says that there is no event yet.
const NO_EVENT_PAUSE: Duration = Duration::from_millis(50);

pub(crate) const ERROR_TYPE: &str = "Lambda-Runtime-Function-Error-Type";
pub(crate) const ERROR_BODY: &str = "Lambda-Runtime-Function-Error-Body";

/// One slot's connection to the Runtime API.
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
        RuntimeApi {
            connection,
            request: Request::default(),
            during: "",
        }
    }

    /// Asks for the next event and waits for it without limit: the sandbox may be frozen for hours
    /// in between. Parts of the event go to `sink` as they come; they are an event only if this
    /// returns `Ok`.
    pub(crate) fn next(&mut self, sink: &mut dyn FnMut(&[u8])) -> Result<Invocation, Kind> {
        while self.get("GET /runtime/invocation/next")? == 204 {
            self.connection.body(0, &mut |_| {})?;
            std::thread::sleep(NO_EVENT_PAUSE);
        }
        Invocation::check(&self.connection.head)?;
        self.connection.body(PAYLOAD_LIMIT as u64, sink)?;
        Ok(Invocation::new(self.connection.head.clone()))
    }

    /// Waits until a snapshot was taken and restored. The old connection did not survive that.
    pub(crate) fn restore_next(&mut self) -> Outcome {
        self.get("GET /runtime/restore/next")?;
        self.connection.close();
        Ok(())
    }

    /// Registers an internal extension, without which Lambda sends no SIGTERM (AWS, Extensions
    /// API). Its next event is asked for and never read: there is none, as none is subscribed to.
    /// The connection must live as long as the process.
    pub(crate) fn register_extension(&mut self) -> Outcome {
        self.begin("POST /extension/register", None);
        self.request.header("Lambda-Extension-Name", b"bootstrap");
        self.post("application/json", b"{\"events\":[]}")?;
        self.check_status()?;
        let id = self.connection.head.get("Lambda-Extension-Identifier")?;
        let id = id.ok_or("the reply has no extension identifier")?.to_vec();
        self.connection.body(REPLY_BODY_LIMIT, &mut |_| {})?;
        self.begin("GET /extension/event/next", None);
        self.request.header("Lambda-Extension-Identifier", &id);
        self.connection
            .send([self.request.finish(), b"", b""], None)
            .map_err(Kind::Io)
    }

    /// Begins a request. `during` is its name: the method, and the path, in which an ellipsis stands
    /// for what an answer's begins with.
    pub(crate) fn begin(&mut self, during: &'static str, answers: Option<&Invocation>) {
        self.during = during;
        let (method, path) = during.split_once(' ').unwrap_or_default();
        let path = path.strip_prefix('…').unwrap_or(path).as_bytes();
        let events: &[u8] = if answers.is_some() {
            b"/runtime/invocation/"
        } else {
            b""
        };
        let id = answers.map(Invocation::path_segment).unwrap_or_default();
        let version = if path.starts_with(b"/extension") {
            b"/2020-01-01"
        } else {
            b"/2018-06-01"
        };
        let Address {
            prefix, authority, ..
        } = &self.connection.address;
        let start = [
            method.as_bytes(),
            b" ",
            prefix.as_bytes(),
            version,
            events,
            &id,
            path,
        ];
        self.request.begin(&start, authority);
        // The nonce of the attempt is sent back unchanged, so that an answer that comes late cannot answer a later attempt
        // with the same request id.
        if let Some(id) = answers.and_then(|event| event.get("Lambda-Runtime-Invocation-Id")) {
            self.request.header("Lambda-Runtime-Invocation-Id", id);
        }
    }

    /// Sends a request without a body, and gives the status.
    fn get(&mut self, during: &'static str) -> Result<u16, Kind> {
        self.begin(during, None);
        self.connection.request(self.request.finish(), b"")?;
        self.check_status()?;
        Ok(self.connection.head.status)
    }

    /// Ends the begun request with `body`, and sends it, once.
    pub(crate) fn post(&mut self, content_type: &str, body: &[u8]) -> Outcome {
        self.connection.close_if_stale();
        self.request.header("Content-Type", content_type.as_bytes());
        self.request
            .header("Content-Length", body.len().to_string().as_bytes());
        self.connection.request(self.request.finish(), body)
    }

    /// Logs and reports a failure: that of an event, of the init or of a restore, as `during` says.
    pub(crate) fn report(
        &mut self,
        during: &'static str,
        invocation: Option<&Invocation>,
        failure: &Failure,
    ) -> Outcome {
        failure.log(
            invocation.map_or(Level::Fatal, |_| Level::Error),
            invocation,
        );
        self.begin(during, invocation);
        self.request
            .header(ERROR_TYPE, failure.error_type().as_bytes());
        let reply = self.post("application/json", &failure.to_json());
        self.conclude(reply, invocation)
    }

    /// What the reply to a POST means for the loop. Only a status of 500 or more ends it.
    ///
    /// A POST whose reply did not come is not sent again: it may have been received. If it was
    /// not, `/next` delivers the event again.
    pub(crate) fn conclude(&mut self, reply: Outcome, about: Option<&Invocation>) -> Outcome {
        let outcome = reply.and_then(|()| {
            // The status is what counts; a body that breaks off only costs the connection.
            let _ = self.connection.body(REPLY_BODY_LIMIT, &mut |_| {});
            self.check_status()
        });
        let (kind, not_again) = match outcome {
            Ok(()) | Err(Kind::Status(500..)) => return outcome,
            Err(kind @ Kind::Status(_)) => (kind, ""),
            Err(kind) => (kind, "not sent again, "),
        };
        let message = format!("{}: {kind}; {not_again}going on", self.during);
        log::write(Level::Error, about, &message);
        Ok(())
    }

    /// Any status of 200 to 299 is as good as the one that is documented.
    fn check_status(&self) -> Outcome {
        match self.connection.head.status {
            200..=299 => Ok(()),
            status => Err(Kind::Status(status)),
        }
    }
}
