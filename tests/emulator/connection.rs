//! One connection of the server: requests are read into the record, judged by the state, answered.

use super::api::{Action, Shared};
use super::http::{self, Head};
use super::record::{Endpoint, Progress, Request};
use super::state::{BAD_MODE, NOT_FOUND, Refusal, State, TOO_LARGE};
use std::io::{self, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Largest buffered response; 100 bytes more than 6 MiB, as on Lambda.
pub(crate) const RESPONSE_LIMIT: usize = 6_291_556;

/// How long a waiting `/next` goes without looking whether its peer is still there.
const GLANCE: Duration = Duration::from_secs(1);

const JSON: (&str, &str) = ("Content-Type", "application/json");
const EXTENSION: (&str, &str) = ("Lambda-Extension-Identifier", "emulated-extension");
const REGISTERED: &str =
    "{\"functionName\":\"function\",\"functionVersion\":\"$LATEST\",\"handler\":\"\"}";

/// Whether a connection goes on after a request.
type KeepAlive = bool;

pub(crate) struct Connection {
    pub(crate) shared: Arc<Shared>,
    pub(crate) number: usize,
    pub(crate) stream: TcpStream,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Not left to the closing of the descriptor: the server keeps another one of this socket.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

impl Connection {
    pub(crate) fn serve(&self) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        let mut reader = BufReader::with_capacity(65_536, self.stream.try_clone()?);
        loop {
            let head = match http::read_head(&mut reader) {
                Ok(Some(head)) => head,
                Ok(None) => return Ok(()),
                Err(error) => return self.fault(&error),
            };
            let Some(request) = self.request(head) else {
                return self.fault(&io::Error::new(io::ErrorKind::InvalidData, "request line"));
            };
            if !self.handle(&mut reader, request)? {
                return Ok(());
            }
        }
    }

    /// Notes that something was not HTTP, and answers as Lambda's server does. A connection that
    /// was merely closed or reset is not a fault.
    fn fault(&self, error: &io::Error) -> io::Result<()> {
        if error.kind() != io::ErrorKind::InvalidData {
            return Ok(());
        }
        let fault = format!("connection {}: {error}", self.number);
        self.shared.change(|state| state.faults.push(fault));
        self.write(&http::reply(
            400,
            &[("Connection", "close")],
            b"400 Bad Request",
        ))
    }

    /// `None` if the request line or the headers are not what HTTP/1.1 wants.
    fn request(&self, head: Head) -> Option<Request> {
        let mut words = head.first_line.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        if words.next() != Some("HTTP/1.1") || words.next().is_some() {
            return None;
        }
        http::value(&head.headers, "Host")?;
        let path = target
            .strip_prefix(&self.shared.options.prefix)
            .unwrap_or_default();
        Some(Request {
            connection: self.number,
            at: Instant::now(),
            method: method.to_owned(),
            target: target.to_owned(),
            endpoint: Endpoint::of(method, path),
            headers: head.headers,
            raw: head.raw,
            body: Vec::new(),
            pieces: Vec::new(),
            trailers: Vec::new(),
            progress: Progress::Arriving,
            status: 0,
        })
    }

    fn handle(&self, reader: &mut BufReader<TcpStream>, request: Request) -> io::Result<KeepAlive> {
        let (key, before) = self.shared.change(|state| state.enter(request.clone()));
        let action = (self.shared.options.script)(&request, before);
        if request.header("Expect") == Some("100-continue") {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let cut = if let Action::CutAfter(bytes) = action {
            Some(bytes)
        } else {
            None
        };
        if let Err(error) = self.read_body(reader, key, &request, cut) {
            self.update(key, |request| request.progress = Progress::Cut);
            if cut.is_none() && request.endpoint.answered_id().is_some() {
                self.shared.change(State::break_off);
            }
            self.fault(&error)?;
            return Ok(false);
        }
        let keep = match action {
            Action::Usual => self.answer(key, &request)?,
            Action::Status(status) => {
                self.take(key, status, true);
                self.write(&http::reply(status, &[], b"{\"status\":\"scripted\"}\n"))?;
                true
            }
            Action::Bytes { bytes, close } => {
                self.take(key, 0, true);
                self.write(&bytes)?;
                !close
            }
            Action::CutAfter(_) => false,
        };
        Ok(keep && request.header("Connection") != Some("close"))
    }

    /// Reads the body into the record piece by piece, up to where it is to be cut.
    fn read_body(
        &self,
        reader: &mut BufReader<TcpStream>,
        key: usize,
        request: &Request,
        cut: Option<usize>,
    ) -> io::Result<()> {
        let over = || Err(io::ErrorKind::ConnectionAborted.into());
        if cut == Some(0) {
            return over();
        }
        let trailers = http::read_body(reader, &request.headers, |piece| {
            let length = self.update(key, |request| {
                request.pieces.push((Instant::now(), piece.len()));
                request.body.extend_from_slice(piece);
                request.body.len()
            });
            if cut.is_some_and(|cut| length >= cut) {
                over()
            } else {
                Ok(())
            }
        })?;
        self.update(key, |request| request.trailers = trailers);
        Ok(())
    }

    /// Changes a request in the record.
    fn update<T>(&self, key: usize, change: impl FnOnce(&mut Request) -> T) -> T {
        self.shared.change(|state| {
            change(
                state
                    .requests
                    .get_mut(&key)
                    .expect("a request that is arriving is kept"),
            )
        })
    }

    /// A request is there as a whole, and this is its status. `finish`: if it was the answer to an
    /// event, then that event is done.
    fn take(&self, key: usize, status: u16, finish: bool) {
        self.shared.change(|state| {
            let request = state
                .requests
                .get_mut(&key)
                .expect("a request that is arriving is kept");
            request.progress = Progress::Taken;
            request.status = status;
            let endpoint = request.endpoint.clone();
            if let (true, Some(segment)) = (finish, endpoint.answered_id()) {
                state.finish(segment);
            }
        });
    }

    /// What Lambda does with a request.
    fn answer(&self, key: usize, request: &Request) -> io::Result<KeepAlive> {
        let ok = |headers: &[(&str, &str)], body: &str| http::reply(200, headers, body.as_bytes());
        let (status, bytes) = match self.judge(key, request) {
            Err(refusal) => (refusal.status, refusal.reply()),
            Ok(()) => match &request.endpoint {
                Endpoint::Next => return self.next(key),
                Endpoint::ExtensionNext => return self.wait_for_ever(key),
                Endpoint::Register => (200, ok(&[EXTENSION], REGISTERED)),
                Endpoint::RestoreNext => (200, ok(&[], "")),
                _ => {
                    let status = self.shared.options.accepted;
                    (
                        status,
                        http::reply(status, &[JSON], b"{\"status\":\"OK\"}\n"),
                    )
                }
            },
        };
        // A response that is too large was an answer all the same: no other one may follow.
        self.take(key, status, matches!(status, 200..300 | 413));
        self.write(&bytes)?;
        Ok(true)
    }

    /// Whether the state allows a request.
    fn judge(&self, key: usize, request: &Request) -> Result<(), Refusal> {
        let mode = request.header("Lambda-Runtime-Function-Response-Mode");
        self.shared.change(|state| match &request.endpoint {
            Endpoint::Response(segment) => {
                state.may_answer(segment)?;
                if mode.is_some_and(|mode| mode != "streaming") {
                    state.break_off();
                    return Err(BAD_MODE);
                }
                let too_large = state.requests[&key].body.len() > RESPONSE_LIMIT;
                if too_large && mode.is_none() {
                    Err(TOO_LARGE)
                } else {
                    Ok(())
                }
            }
            Endpoint::Error(segment) => state.may_answer(segment),
            Endpoint::InitError => state.init_error(),
            Endpoint::Next | Endpoint::Register | Endpoint::ExtensionNext => Ok(()),
            Endpoint::RestoreNext | Endpoint::RestoreError if self.shared.options.restore => Ok(()),
            _ => Err(NOT_FOUND),
        })
    }

    /// Waits for an event and delivers it, unless the peer goes away meanwhile: an event sent into
    /// a closed connection would be lost.
    fn next(&self, key: usize) -> io::Result<KeepAlive> {
        self.shared.change(|state| state.idle += 1);
        let mut state = self.shared.state();
        let delivery = loop {
            if state.closed || self.peer_is_gone() {
                break None;
            }
            match state.next() {
                Ok(None) => state = self.shared.pause(state, GLANCE),
                Ok(Some((bytes, closes))) => break Some((200, bytes, !closes)),
                Err(refusal) => break Some((refusal.status, refusal.reply(), true)),
            }
        };
        state.idle -= 1;
        drop(state);
        // A restart waits for the last of these to go.
        self.shared.wake();
        let Some((status, bytes, keep)) = delivery else {
            return Ok(false);
        };
        self.take(key, status, false);
        self.write(&bytes)?;
        Ok(keep)
    }

    /// No event is ever sent to an extension: it is told of a shutdown by a signal.
    fn wait_for_ever(&self, key: usize) -> io::Result<KeepAlive> {
        self.take(key, 0, false);
        let mut state = self.shared.state();
        while !state.closed && !self.peer_is_gone() {
            state = self.shared.pause(state, GLANCE);
        }
        Ok(false)
    }

    /// Looks at the socket without waiting. Bytes of a next request mean that it is still there.
    fn peer_is_gone(&self) -> bool {
        let look = || {
            self.stream.set_nonblocking(true)?;
            let seen = self.stream.peek(&mut [0]);
            self.stream.set_nonblocking(false)?;
            seen
        };
        match look() {
            Ok(bytes) => bytes == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.stream).write_all(bytes)
    }
}
