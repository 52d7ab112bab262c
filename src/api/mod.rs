//! The Runtime API's endpoints as verbs.
//!
//! In: an event's context and its answer. Out: requests, and what their replies mean for the loop.
//! It must never report a cut event as an event, nor send an answer twice.

pub(crate) mod address;
pub(crate) mod connection;
pub(crate) mod endpoint;
pub(crate) mod error;

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, SystemTime};

use crate::base64;
use crate::context::Context;
use crate::failure::Failure;
use crate::http::request::{Request, chunk_size_line, last_chunk};
use crate::log::{self, Level};

use address::Address;
use connection::{Connection, Repeat};
use endpoint::Endpoint;
use error::ApiError;

/// Most bytes of an event, and of a buffered response (AWS emulator: `6 MiB + 100`).
pub const PAYLOAD_LIMIT: usize = 6_291_556;

/// Most bytes of a reply's body that is read only to keep the connection.
const REPLY_BODY_LIMIT: u64 = 65_536;

/// How long to wait after a 204: cargo lambda means by it that there is no event yet.
const NO_EVENT_PAUSE: Duration = Duration::from_millis(50);

const JSON: &str = "application/json";

/// One slot's connection to the Runtime API.
pub(crate) struct RuntimeApi {
    connection: Connection,
    request: Request,
    /// Where the last request went.
    pub(crate) endpoint: Endpoint,
}

/// Shows nothing of what is sent and received.
impl fmt::Debug for RuntimeApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RuntimeApi")
    }
}

impl RuntimeApi {
    /// Connects at the first request.
    pub(crate) fn new(address: &Address) -> RuntimeApi {
        RuntimeApi {
            connection: Connection::new(address.clone()),
            request: Request::default(),
            endpoint: Endpoint::Next,
        }
    }

    /// Asks for the next event and waits for it without limit: the sandbox may be frozen for hours
    /// meanwhile. Passes the event's parts to `sink` as they come. They are an event only if this
    /// returns `Ok`.
    ///
    /// # Errors
    /// There is no event, or it was cut.
    pub(crate) fn next(&mut self, sink: &mut dyn FnMut(&[u8])) -> Result<Context, ApiError> {
        while self.get(Endpoint::Next)? == 204 {
            self.connection.receive_body(0, &mut |_| {})?;
            std::thread::sleep(NO_EVENT_PAUSE);
            // Bytes after a 204 were not asked for, and would pass for the start of the next reply.
            self.connection.close_if_stale();
        }
        let context = Context::from_head(&self.connection.head)?;
        self.connection.receive_body(PAYLOAD_LIMIT as u64, sink)?;
        Ok(context)
    }

    /// Answers an event with a whole response.
    ///
    /// # Errors
    /// The Runtime API cannot go on.
    pub(crate) fn respond(
        &mut self,
        context: &Context,
        content_type: &str,
        body: &[u8],
    ) -> Result<(), ApiError> {
        self.start(Endpoint::Response, Some(context));
        let reply = self.post(content_type, body);
        self.conclude(reply, Some(context))
    }

    /// Logs the failure of an event, and answers with it.
    ///
    /// # Errors
    /// The Runtime API cannot go on.
    pub(crate) fn fail(&mut self, context: &Context, failure: &Failure) -> Result<(), ApiError> {
        failure.log(Level::Error, Some(context));
        self.report(Endpoint::Error, Some(context), failure)
    }

    /// Logs and reports a failure that is not an event's.
    ///
    /// # Errors
    /// The Runtime API cannot go on.
    pub(crate) fn fail_init(
        &mut self,
        endpoint: Endpoint,
        failure: &Failure,
    ) -> Result<(), ApiError> {
        failure.log(Level::Fatal, None);
        self.report(endpoint, None, failure)
    }

    /// Waits until a snapshot was taken and restored. The old connection did not survive that.
    ///
    /// # Errors
    /// The Runtime API refuses, or cannot be reached.
    pub(crate) fn restore_next(&mut self) -> Result<(), ApiError> {
        self.get(Endpoint::RestoreNext)?;
        self.connection.close();
        Ok(())
    }

    /// Registers an internal extension, without which Lambda sends no SIGTERM (AWS, Extensions
    /// API). Then asks for the extension's next event. The extension subscribes to no events, so
    /// no reply comes, and none is read. The connection must live as long as the process.
    ///
    /// # Errors
    /// The Extensions API refuses, or cannot be reached.
    pub(crate) fn register_extension(&mut self) -> Result<(), ApiError> {
        self.start(Endpoint::ExtensionRegister, None);
        self.request.header(endpoint::EXTENSION_NAME, b"bootstrap");
        self.post(JSON, b"{\"events\":[]}")?;
        self.check_status()?;
        let id = self.connection.head.get(endpoint::EXTENSION_ID)?;
        let id = id.ok_or(ApiError::MissingHeader(endpoint::EXTENSION_ID))?;
        let id = id.to_vec();
        self.connection
            .receive_body(REPLY_BODY_LIMIT, &mut |_| {})?;
        self.start(Endpoint::ExtensionNext, None);
        self.request.header(endpoint::EXTENSION_ID, &id);
        self.connection
            .send([self.request.finish(), b"", b""], None)
    }

    /// Sends the head of a streamed response (AWS, custom runtimes, "Implementing response
    /// streaming"). Both error trailers are announced, since Lambda reads only announced ones.
    ///
    /// # Errors
    /// The API does not take it until `limit`.
    pub(crate) fn start_stream(
        &mut self,
        context: &Context,
        content_type: &str,
        limit: Option<SystemTime>,
    ) -> Result<(), ApiError> {
        self.start(Endpoint::Response, Some(context));
        let trailers = [endpoint::ERROR_TYPE, ", ", endpoint::ERROR_BODY].concat();
        self.request
            .header(endpoint::CONTENT_TYPE, content_type.as_bytes());
        self.request.header(endpoint::RESPONSE_MODE, b"streaming");
        self.request.header(endpoint::TRANSFER_ENCODING, b"chunked");
        self.request.header(endpoint::TRAILER, trailers.as_bytes());
        self.connection.prepare_for_post();
        let head = self.request.finish();
        let sent = self.connection.send([head, b"", b""], limit);
        sent.inspect_err(|_| self.connection.close())
    }

    /// Returns whether any of the last request's bytes left this process.
    pub(crate) fn has_written(&self) -> bool {
        self.connection.written > 0
    }

    /// Returns the connection of a streamed response, which becomes readable when the API replies.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.connection.descriptor()
    }

    /// Returns whether the API sent something that was not yet received, or ended the connection.
    pub(crate) fn has_early_reply(&mut self) -> bool {
        self.connection.is_readable()
    }

    /// Receives what came of a reply to a response that is still being sent. Returns whether the
    /// reply is complete.
    ///
    /// # Errors
    /// The reply's status says that the API does not want the rest, or the connection ended.
    pub(crate) fn receive_early_reply(&mut self) -> Result<bool, ApiError> {
        let is_complete = self.connection.receive_head_part()?;
        if is_complete {
            // The request on this connection is sent in part only, so the connection is unusable.
            self.check_status()
                .inspect_err(|_| self.connection.close())?;
        }
        Ok(is_complete)
    }

    /// Sends a part of a streamed response, which must not be empty. If that fails, the connection
    /// is closed, so that the API sees a response that is cut.
    ///
    /// # Errors
    /// The API does not take the part until `limit`.
    pub(crate) fn write_chunk(&mut self, part: &[u8], limit: Option<SystemTime>) -> io::Result<()> {
        let size = chunk_size_line(part.len());
        let sent = self.connection.write([&size, part, b"\r\n"], limit);
        sent.inspect_err(|_| self.connection.close())
    }

    /// Ends a streamed response, with the failure in its trailers if there is one. `has_reply` says
    /// that the reply was received early.
    ///
    /// # Errors
    /// The Runtime API cannot go on.
    pub(crate) fn finish_stream(
        &mut self,
        context: &Context,
        failure: Option<&Failure>,
        has_reply: bool,
    ) -> Result<(), ApiError> {
        let end = match failure {
            None => last_chunk(&[]),
            Some(failure) => last_chunk(&[
                (endpoint::ERROR_TYPE, failure.error_type().as_bytes()),
                (endpoint::ERROR_BODY, &base64::encode(&failure.to_json())),
            ]),
        };
        // The handler's own time limit no longer applies; only Lambda's deadline does.
        let sent = self
            .connection
            .write([&end, b"", b""], context.deadline())
            .and_then(|()| self.connection.lift_limit())
            .map_err(ApiError::Transport);
        let reply = match has_reply {
            true => sent,
            false => self.connection.reply_after(sent),
        };
        self.conclude(reply, Some(context))
    }

    /// Starts a request. The path of an answer holds the request id of its event.
    fn start(&mut self, endpoint: Endpoint, context: Option<&Context>) {
        self.endpoint = endpoint;
        let id = context.map(Context::path_segment).unwrap_or_default();
        let Address {
            prefix, authority, ..
        } = &self.connection.address;
        let [version, before_id, after_id] = endpoint.path();
        let path = [
            prefix.as_bytes(),
            version.as_bytes(),
            before_id.as_bytes(),
            &id,
            after_id.as_bytes(),
        ];
        self.request.start(endpoint.method(), &path, authority);
        // The id of this attempt is sent back unchanged, so that a late answer cannot answer a
        // later attempt with the same request id.
        if let Some(id) = context.and_then(|context| context.header(endpoint::INVOCATION_ID)) {
            self.request.header(endpoint::INVOCATION_ID, id);
        }
    }

    /// Sends a request without a body, and returns the status.
    fn get(&mut self, endpoint: Endpoint) -> Result<u16, ApiError> {
        self.start(endpoint, None);
        let head = self.request.finish();
        self.connection.exchange(head, b"", Repeat::Allowed)?;
        self.check_status()?;
        Ok(self.connection.head.status)
    }

    /// Ends the started request with `body`, and sends it, once.
    fn post(&mut self, content_type: &str, body: &[u8]) -> Result<(), ApiError> {
        self.connection.prepare_for_post();
        let length = body.len().to_string();
        self.request
            .header(endpoint::CONTENT_TYPE, content_type.as_bytes());
        self.request
            .header(endpoint::CONTENT_LENGTH, length.as_bytes());
        let head = self.request.finish();
        self.connection.exchange(head, body, Repeat::Forbidden)
    }

    fn report(
        &mut self,
        endpoint: Endpoint,
        context: Option<&Context>,
        failure: &Failure,
    ) -> Result<(), ApiError> {
        self.start(endpoint, context);
        self.request
            .header(endpoint::ERROR_TYPE, failure.error_type().as_bytes());
        let reply = self.post(JSON, &failure.to_json());
        self.conclude(reply, context)
    }

    /// Decides what the reply to a POST means for the loop: only a status of 500 or more ends it.
    ///
    /// A POST whose reply did not come is not sent again: it may have been received. If it was
    /// not, `/next` delivers the event again.
    fn conclude(
        &mut self,
        reply: Result<(), ApiError>,
        context: Option<&Context>,
    ) -> Result<(), ApiError> {
        let outcome = reply.and_then(|()| {
            // The status is what counts; a body that is cut only costs the connection.
            let _ = self.connection.receive_body(REPLY_BODY_LIMIT, &mut |_| {});
            self.check_status()
        });
        let not_again = match &outcome {
            Ok(()) | Err(ApiError::Status(_, 500..)) => return outcome,
            Err(ApiError::Status(..)) => "",
            Err(_) => "not sent again, ",
        };
        if let Err(error) = outcome {
            let endpoint = self.endpoint.name();
            let message = format!("{endpoint}: {error}; {not_again}going on");
            log::write(Level::Error, context, &message);
        }
        Ok(())
    }

    /// Any status of 200 to 299 is as good as the one that is documented.
    fn check_status(&self) -> Result<(), ApiError> {
        match self.connection.head.status {
            200..=299 => Ok(()),
            status => Err(ApiError::Status(self.endpoint, status)),
        }
    }
}
