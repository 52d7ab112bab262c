//! One kept-alive connection to the Runtime API: when it is opened, used again, and given up.
//!
//! In: request bytes. Out: a reply's status, headers and body. It must never send a request twice
//! that could have been received, unless the caller says that the request may be repeated.

use std::io::{self, BufRead, BufReader, IoSlice, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant, SystemTime};

use super::address::Address;
use super::error::ApiError;
use crate::http::INTERIM_REPLY_LIMIT;
use crate::http::body::{Decoder, Framing};
use crate::http::error::Error;
use crate::http::head::Head;
use crate::stream::TcpStream;

/// Connections that may be tried for one request.
const RECONNECT_LIMIT: usize = 3;

/// A connection that was used this recently is used again unchecked: handlers in this process
/// answer within that time, and a check costs three system calls.
const TRUSTED_IDLE: Duration = Duration::from_micros(100);

/// Most bytes received at once. A long body passes through this much memory.
const RECEIVE_SIZE: usize = 32_768;

/// One connection and the reply that was received last on it.
pub(crate) struct Connection {
    pub(crate) address: Address,
    stream: Option<BufReader<TcpStream>>,
    /// Replies that were received on this connection.
    replies: usize,
    peer: Peer,
    /// Status and headers of the last reply.
    pub(crate) head: Head,
    /// How the end of its body is marked.
    framing: Framing,
    /// Interim replies before it.
    interim_replies: usize,
    /// When the reply to the last GET began; `None` after a POST.
    last_heard: Option<Instant>,
    /// Bytes of the last request that were written.
    pub(crate) written: usize,
}

/// What is known of how the peer treats its connections.
///
/// Some servers close a connection after each reply without saying so. A POST that is sent on such
/// a connection is lost, and must not be sent again, since it may have been received. So a
/// connection is used for a POST after a reply only once the peer has shown that it keeps
/// connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    /// No connection was used twice yet.
    Unknown,
    /// A second request on a connection was answered.
    KeepsAlive,
    /// A POST on a used connection got no reply.
    Closes,
}

/// Whether a request may be sent again when no reply to it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// The request changes nothing, or the API sends the same event again.
    Allowed,
    /// The request may have been received, and must not be received twice.
    Forbidden,
}

impl Connection {
    pub(crate) fn new(address: Address) -> Connection {
        Connection {
            address,
            stream: None,
            replies: 0,
            peer: Peer::Unknown,
            head: Head::default(),
            framing: Framing::UntilClose,
            interim_replies: 0,
            last_heard: None,
            written: 0,
        }
    }

    /// Closes the connection; the next request opens another.
    pub(crate) fn close(&mut self) {
        self.stream = None;
    }

    /// Returns the descriptor of an open connection, to wait on it together with others.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.stream.as_ref().map(|stream| stream.get_ref().as_fd())
    }

    /// Sends a request and receives the final reply's header block.
    ///
    /// A request that may be repeated is sent again as long as nothing of its reply came. Any other
    /// request is sent again only if none of its bytes was written. After an error the connection
    /// is closed.
    ///
    /// # Errors
    /// No connection brought a reply, or the reply is malformed.
    pub(crate) fn exchange(
        &mut self,
        head: &[u8],
        body: &[u8],
        repeat: Repeat,
    ) -> Result<(), ApiError> {
        let mut attempts: usize = 1;
        loop {
            let sent = self.send([head, body, b""], None);
            let reply = self.reply_after(sent);
            let is_unanswered = self.head.is_empty();
            let may_repeat = self.written == 0 || (repeat == Repeat::Allowed && is_unanswered);
            if reply.is_err() && may_repeat && attempts < RECONNECT_LIMIT {
                attempts = attempts.saturating_add(1);
                continue;
            }
            self.last_heard = match repeat {
                Repeat::Allowed => Some(Instant::now()),
                Repeat::Forbidden => None,
            };
            return reply;
        }
    }

    /// Opens the connection if need be, and writes as [`Connection::write`] does. If nothing was
    /// written, the connection is closed.
    ///
    /// # Errors
    /// The connection cannot be opened, or the peer does not take the bytes.
    pub(crate) fn send(
        &mut self,
        parts: [&[u8]; 3],
        limit: Option<SystemTime>,
    ) -> Result<(), ApiError> {
        self.written = 0;
        self.head.clear();
        self.interim_replies = 0;
        let is_new = self.stream.is_none();
        if is_new {
            let stream = self.address.connect().map_err(ApiError::Connect)?;
            self.stream = Some(BufReader::with_capacity(RECEIVE_SIZE, stream));
            self.replies = 0;
        }
        let sent = self.write(parts, limit);
        if self.written == 0 {
            self.close();
        }
        // Start-up waits for the first segment; no later one may wait for an acknowledgement.
        if is_new && let Some(stream) = &self.stream {
            let set = stream.get_ref().set_nodelay(true);
            set.map_err(ApiError::Transport)?;
        }
        sent.map_err(ApiError::Transport)
    }

    /// Writes all parts, in one system call where the socket takes them, without copying them
    /// together.
    ///
    /// # Errors
    /// `TimedOut` or `WouldBlock` if the peer has not taken all parts at `limit`.
    pub(crate) fn write(&mut self, parts: [&[u8]; 3], limit: Option<SystemTime>) -> io::Result<()> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let stream = stream.get_mut();
        let mut slices: &mut [IoSlice<'_>] = &mut parts.map(IoSlice::new);
        // Empty parts at the start are passed over, so that a write of nothing ends at once.
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            if let Some(limit) = limit {
                let left = limit.duration_since(SystemTime::now()).unwrap_or_default();
                // A timeout of zero, when there is no time left, is refused.
                let set = stream.set_write_timeout(Some(left));
                set.map_err(|_| io::ErrorKind::TimedOut)?;
            }
            match stream.write_vectored(slices) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => {
                    self.written = self.written.saturating_add(length);
                    IoSlice::advance_slices(&mut slices, length);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes without a limit again.
    ///
    /// # Errors
    /// There is no connection, or the socket refuses the option.
    pub(crate) fn lift_limit(&self) -> io::Result<()> {
        let stream = self.stream.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        stream.get_ref().set_write_timeout(None)
    }

    /// Receives the final reply's header block after a request was `sent`, completely or not.
    ///
    /// An API that refuses a long body may reply before it read all of it: then the reply counts,
    /// and the connection is closed.
    ///
    /// # Errors
    /// The error of the write if no reply explains it; else the reply is cut or malformed.
    pub(crate) fn reply_after(&mut self, sent: Result<(), ApiError>) -> Result<(), ApiError> {
        let Err(error) = sent else {
            return self.receive_head();
        };
        // The write timed out: the peer is not reading, so it will not reply.
        let reply = match error.is_timeout() {
            true => Err(ApiError::Cut),
            false => self.receive_head(),
        };
        self.close();
        reply.map_err(|_| error)
    }

    /// Receives the final reply's header block.
    ///
    /// # Errors
    /// The reply is cut or malformed. The connection is closed then.
    pub(crate) fn receive_head(&mut self) -> Result<(), ApiError> {
        while !self.receive_head_part()? {}
        Ok(())
    }

    /// Receives once, and returns whether the final reply's header block is complete. Interim
    /// replies are skipped.
    ///
    /// # Errors
    /// As for [`Connection::receive_head`].
    pub(crate) fn receive_head_part(&mut self) -> Result<bool, ApiError> {
        // Put back at the end. After an error it is not, which closes the connection.
        let mut stream = self.stream.take().ok_or(ApiError::Cut)?;
        let bytes = received(&mut stream).inspect_err(|_| self.note_end())?;
        let used = self.head.push(bytes)?;
        stream.consume(used);
        self.stream = Some(stream);
        if !self.head.is_complete() {
            return Ok(false);
        }
        if is_interim(self.head.status) {
            self.interim_replies = self.interim_replies.saturating_add(1);
            if self.interim_replies > INTERIM_REPLY_LIMIT {
                self.close();
                return Err(ApiError::TooManyInterimReplies);
            }
            self.head.clear();
            // The final reply may be in memory already.
            return match self.has_received() {
                true => self.receive_head_part(),
                false => Ok(false),
            };
        }
        // If a reply contradicts itself about its body, its status cannot be trusted either.
        let framing = Framing::of(&self.head);
        self.framing = framing.inspect_err(|_| self.close())?;
        self.replies = self.replies.saturating_add(1);
        if self.replies > 1 && self.peer == Peer::Unknown {
            self.peer = Peer::KeepsAlive;
        }
        Ok(true)
    }

    fn has_received(&self) -> bool {
        match &self.stream {
            Some(stream) => !stream.buffer().is_empty(),
            None => false,
        }
    }

    /// Notes that the connection ended where it should have brought a reply.
    fn note_end(&mut self) {
        if self.replies > 0 && self.head.is_empty() {
            self.peer = Peer::Closes;
        }
    }

    /// Receives the reply's body, at most `limit` bytes of it, and passes its parts to `sink`.
    ///
    /// After a whole body the connection can be used again, unless the reply says otherwise.
    ///
    /// # Errors
    /// The body is cut, malformed, too long, or of unknown length.
    pub(crate) fn receive_body(
        &mut self,
        limit: u64,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<(), ApiError> {
        let mut stream = self.stream.take().ok_or(ApiError::Cut)?;
        if self.framing == Framing::UntilClose {
            return Err(ApiError::Http(Error::NoLength));
        }
        let mut decoder = Decoder::new(self.framing);
        let mut room = limit;
        while !decoder.is_complete() {
            if decoder.announced() > room {
                return Err(ApiError::BodyTooLong(limit));
            }
            let (used, data) = decoder.decode(received(&mut stream)?)?;
            room = room.saturating_sub(data.len() as u64);
            if !data.is_empty() {
                sink(data);
            }
            stream.consume(used);
        }
        // If bytes follow the reply, they were not asked for: the connection is not used again.
        if stream.buffer().is_empty() && !self.head.closes_connection() {
            self.stream = Some(stream);
        }
        Ok(())
    }

    /// Closes the connection unless a POST can be sent on it without being lost.
    pub(crate) fn prepare_for_post(&mut self) {
        if self.peer != Peer::KeepsAlive {
            self.close();
        }
        let was_just_used = match self.last_heard {
            Some(at) => at.elapsed() <= TRUSTED_IDLE,
            None => false,
        };
        if !was_just_used {
            self.close_if_stale();
        }
    }

    /// Closes the connection if the peer closed it, or sent what was not asked for, while it was
    /// idle.
    pub(crate) fn close_if_stale(&mut self) {
        if self.is_readable() {
            self.close();
        }
    }

    /// Returns whether there are bytes to receive, or the end of the stream.
    pub(crate) fn is_readable(&self) -> bool {
        match &self.stream {
            Some(stream) => self.has_received() || !is_quiet(stream.get_ref()),
            None => false,
        }
    }
}

/// 101 ends HTTP on a connection (RFC 9110 §15.2.2), so no reply follows it. It counts as a final
/// reply, with a status that is not documented.
fn is_interim(status: u16) -> bool {
    matches!(status, 100 | 102..=199)
}

/// Whether nothing can be received now, neither bytes nor the end of the stream.
fn is_quiet(stream: &TcpStream) -> bool {
    if stream.set_nonblocking(true).is_err() {
        return false;
    }
    let peeked = stream.peek(&mut [0]);
    let is_quiet = peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
    stream.set_nonblocking(false).is_ok() && is_quiet
}

/// Returns what was received and not yet used, at least a byte.
///
/// # Errors
/// The stream ended, or cannot be read.
fn received(stream: &mut BufReader<TcpStream>) -> Result<&[u8], ApiError> {
    while let Err(error) = stream.fill_buf() {
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(ApiError::Transport(error));
        }
    }
    match stream.buffer() {
        [] => Err(ApiError::Cut),
        bytes => Ok(bytes),
    }
}
