//! One kept-alive connection to the Runtime API: when it is opened, used again, and given up.
//!
//! In: request bytes. Out: a reply's status, headers and body. It must never send a request twice
//! that could have been received, unless the caller says that the request may be repeated.

use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant, SystemTime};

use crate::address::Address;
use crate::error::Kind;
use crate::http::INTERIM_REPLY_LIMIT;
use crate::http::body::{Decoder, Framing};
use crate::http::head::{Head, Scanner};

/// Connections that may be tried for one request.
pub const RECONNECT_LIMIT: usize = 3;

/// A connection that was heard from this recently is used without a look whether it still stands:
/// in-process handlers answer within it, and a look costs three system calls.
const TRUSTED_IDLE: Duration = Duration::from_micros(100);

/// Receive buffer at first: room for a small event with its headers.
const SMALL_BUFFER: usize = 16 * 1024;

/// Receive buffer once a body asks for more.
const LARGE_BUFFER: usize = 64 * 1024;

/// Whether a request may be sent again when the connection failed before a reply began.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It changes nothing, or the API sends the same event again.
    Allowed,
    /// It may have been received.
    Never,
}

/// What a reply's header block says of the reply, and of the connection after it.
pub(crate) struct ReplyHead {
    pub(crate) status: u16,
    framing: Framing,
    closes: bool,
}

/// One connection and the bytes received on it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) address: Address,
    stream: Option<TcpStream>,
    /// Taken when the first reply is received: the first request should not wait for it.
    buffer: Vec<u8>,
    /// Received and not yet used: `buffer[start..end]`.
    start: usize,
    end: usize,
    scanner: Scanner,
    /// Length of the header block at `start`, until its body is read.
    block: usize,
    last_heard: Option<Instant>,
    /// The socket has a limit for writing.
    is_limited: bool,
}

impl Connection {
    pub(crate) fn new(address: Address) -> Connection {
        Connection {
            address,
            stream: None,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            scanner: Scanner::default(),
            block: 0,
            last_heard: None,
            is_limited: false,
        }
    }

    /// Gives the connection up; the next request opens another.
    pub(crate) fn close(&mut self) {
        self.stream = None;
        (self.start, self.end, self.block) = (0, 0, 0);
    }

    /// For waiting on it together with other things.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.stream.as_ref().map(AsFd::as_fd)
    }

    /// Sends a request and receives the final reply's header block.
    ///
    /// 1xx replies are skipped. After an error the connection is closed.
    pub(crate) fn request(
        &mut self,
        head: &[u8],
        body: &[u8],
        repeat: Repeat,
    ) -> Result<ReplyHead, Kind> {
        let mut tries = 0..RECONNECT_LIMIT;
        loop {
            tries.next();
            // A request that may be repeated finds out by itself.
            if repeat == Repeat::Never {
                self.renew_if_stale();
            }
            let mut written = 0;
            let sent = self.send(head, body, None, &mut written);
            let reply = match sent {
                Ok(()) => self.reply_head(),
                Err(error) if written == 0 => Err(Kind::Io(error)),
                // An API that refuses a long body may answer before it read it.
                Err(error) => match self.reply_head() {
                    Ok(reply) => Ok(ReplyHead { closes: true, ..reply }),
                    Err(_) => Err(Kind::Io(error)),
                },
            };
            // Nothing of it left this process, or it may be repeated and not a byte came back.
            let may_repeat = written == 0 || (repeat == Repeat::Allowed && self.end == 0);
            match reply {
                Err(Kind::Io(_) | Kind::Cut) if may_repeat && !tries.is_empty() => self.close(),
                Err(error) => {
                    self.close();
                    return Err(error);
                }
                reply => return reply,
            }
        }
    }

    /// Opens the connection if need be, and writes until `limit`, without one as long as it takes.
    ///
    /// `written` is told how many bytes went out, also where it fails.
    pub(crate) fn send(
        &mut self,
        head: &[u8],
        body: &[u8],
        limit: Option<SystemTime>,
        written: &mut usize,
    ) -> io::Result<()> {
        let is_new = self.stream.is_none();
        // What is written after the first segment must not wait for an acknowledgement. A request
        // without a body is one segment, and it is the one that start-up waits for.
        let waits = body.is_empty();
        if is_new {
            let stream = self.address.connect()?;
            if !waits {
                stream.set_nodelay(true)?;
            }
            (self.stream, self.is_limited) = (Some(stream), false);
        }
        self.write(&mut [IoSlice::new(head), IoSlice::new(body)], limit, written)?;
        match &self.stream {
            Some(stream) if is_new && waits => stream.set_nodelay(true),
            _ => Ok(()),
        }
    }

    /// Writes all parts, in one system call where the socket takes them, without copying them
    /// together. What the peer does not take until `limit` fails with `TimedOut` or `WouldBlock`.
    pub(crate) fn write(
        &mut self,
        mut parts: &mut [IoSlice<'_>],
        limit: Option<SystemTime>,
        written: &mut usize,
    ) -> io::Result<()> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            if limit.is_some() || self.is_limited {
                let left = limit.map(|at| at.duration_since(SystemTime::now()).unwrap_or_default());
                // A timeout of zero, when there is no time left, is refused.
                stream.set_write_timeout(left).map_err(|_| io::ErrorKind::TimedOut)?;
                self.is_limited = limit.is_some();
            }
            match stream.write_vectored(parts) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => {
                    *written = written.saturating_add(length);
                    IoSlice::advance_slices(&mut parts, length);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Receives the final reply's header block; its headers are in [`Connection::head`].
    pub(crate) fn reply_head(&mut self) -> Result<ReplyHead, Kind> {
        for _ in 0..=INTERIM_REPLY_LIMIT {
            self.scanner.restart();
            self.block = loop {
                let received = self.buffer.get(self.start..self.end).unwrap_or_default();
                match self.scanner.scan(received)? {
                    Some(length) => break length,
                    None => self.receive(0)?,
                }
            };
            let head = self.head();
            let (framing, closes) = (Framing::of(&head)?, head.closes_connection());
            let reply = ReplyHead { status: head.status, framing, closes };
            if !matches!(reply.status, 100..=199) {
                return Ok(reply);
            }
            self.use_up(self.block);
        }
        Err(Kind::Protocol("the reply has more than 16 interim replies before it"))
    }

    /// The header block received last, until its body is read.
    pub(crate) fn head(&self) -> Head<'_> {
        let received = self.buffer.get(self.start..self.end).unwrap_or_default();
        self.scanner.head(received.get(..self.block).unwrap_or_default())
    }

    /// Receives the body, at most `limit` bytes of it, and gives its parts to `sink`.
    ///
    /// After a whole body the connection can be used again, unless the reply says otherwise.
    pub(crate) fn body(
        &mut self,
        reply: &ReplyHead,
        limit: u64,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Kind> {
        self.use_up(self.block);
        if reply.framing == Framing::UntilClose {
            return Err(Kind::Protocol("the reply does not say where its body ends"));
        }
        let mut decoder = Decoder::new(reply.framing);
        let mut room = limit;
        while !decoder.is_complete() {
            if decoder.announced() > room {
                return Err(Kind::Protocol("the reply's body is over the limit"));
            }
            if self.start == self.end {
                self.receive(decoder.announced())?;
            }
            let received = self.buffer.get(self.start..self.end).unwrap_or_default();
            let (used, data) = decoder.decode(received)?;
            room = room.saturating_sub(data.len() as u64);
            if !data.is_empty() {
                sink(data);
            }
            self.use_up(used);
        }
        // Bytes after the reply were not asked for: whatever they are, they answer nothing.
        if reply.closes || self.start != self.end {
            self.close();
        }
        Ok(())
    }

    /// One read of at least one byte; the end of the stream is an error of its own.
    ///
    /// The buffer grows once for a long body, and while a header block fills it: to at most twice
    /// the limit of a block, over which the scanner refuses it.
    fn receive(&mut self, announced: u64) -> Result<(), Kind> {
        if self.start == self.end || self.end == self.buffer.len() {
            // What is used up makes room before memory is taken.
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end.saturating_sub(self.start));
        }
        let length = self.buffer.len();
        let wanted = match self.end == length {
            true => length.saturating_mul(2).max(SMALL_BUFFER),
            false if announced > length as u64 => LARGE_BUFFER,
            false => length,
        };
        if wanted > length {
            // Not `resize`, which writes its zeros byte by byte when compiled for size.
            let mut larger = vec![0; wanted];
            let received = self.buffer.iter().take(self.end);
            larger.iter_mut().zip(received).for_each(|(to, from)| *to = *from);
            self.buffer = larger;
        }
        let stream = self.stream.as_mut().ok_or(Kind::Cut)?;
        let space = self.buffer.get_mut(self.end..).unwrap_or_default();
        loop {
            match stream.read(space) {
                Ok(0) => return Err(Kind::Cut),
                Ok(length) => {
                    self.end = self.end.saturating_add(length);
                    self.last_heard = Some(Instant::now());
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Kind::Io(error)),
            }
        }
    }

    fn use_up(&mut self, length: usize) {
        self.start = self.start.saturating_add(length).min(self.end);
        self.block = 0;
    }

    /// Gives the connection up if the peer closed it, or sent what nobody asked for, while it was
    /// idle. The next request opens another, and so nothing is sent that would be lost.
    pub(crate) fn renew_if_stale(&mut self) {
        let Some(stream) = &self.stream else { return };
        if self.last_heard.is_some_and(|heard| heard.elapsed() <= TRUSTED_IDLE) {
            return;
        }
        let peeked = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
        let stands = peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        if stream.set_nonblocking(false).is_err() || !stands {
            self.close();
        }
    }
}
