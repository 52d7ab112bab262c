//! One kept-alive connection to the Runtime API: when it is opened, used again, and given up.
//!
//! In: request bytes. Out: a reply's status, headers and body. It must never send a request twice
//! that could have been received, unless the caller says that the request may be repeated.

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, SystemTime};

use crate::address::{Address, TcpStream};
use crate::error::Kind;
use crate::http::body::{Decoder, Framing};
use crate::http::head::{Head, Scanner};
use crate::http::{HEADER_BLOCK_LIMIT, INTERIM_REPLY_LIMIT};

/// Connections that may be tried for one request.
pub const RECONNECT_LIMIT: usize = 3;

/// A connection that was heard from this recently is used without a look whether it still stands:
/// in-process handlers answer within it, and a look costs three system calls.
const TRUSTED_IDLE: Duration = Duration::from_micros(100);

/// Most bytes received at once. A long body passes through this much memory.
const PART: usize = 65_536;

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
    /// Room for the longest header block and a part. Taken when the first reply is received, since
    /// the first request should not wait for it; the kernel makes it real page by page, as it is
    /// written to, so that small events take little.
    buffer: Vec<u8>,
    /// Received and not yet used: `buffer[start..end]`.
    start: usize,
    end: usize,
    /// Length of the header block at `start`, until its body is read.
    block: usize,
    /// When the reply to the last GET came.
    pub(crate) last_heard: SystemTime,
    /// The socket has a limit for writing.
    is_limited: bool,
    /// Bytes of the last request that went out.
    written: usize,
}

impl Connection {
    pub(crate) fn new(address: Address) -> Connection {
        Connection {
            address,
            stream: None,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            block: 0,
            last_heard: SystemTime::UNIX_EPOCH,
            is_limited: false,
            written: 0,
        }
    }

    /// Gives the connection up; the next request opens another.
    pub(crate) fn close(&mut self) {
        (self.stream, self.start, self.end) = (None, 0, 0);
    }

    /// For waiting on it together with other things.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.stream.as_ref().map(AsFd::as_fd)
    }

    /// Sends a request and receives the final reply's header block.
    ///
    /// A GET may be repeated: it changes nothing, or the API sends the same event again. A POST may
    /// have been received, and is sent again only if nothing of it left this process. 1xx replies
    /// are skipped. After an error the connection is closed.
    pub(crate) fn request(&mut self, head: &[u8], body: &[u8]) -> Result<ReplyHead, Kind> {
        let is_get = head.starts_with(b"GET ");
        let mut tries = 0..RECONNECT_LIMIT;
        loop {
            tries.next();
            // A request that may be repeated finds out by itself.
            if !is_get {
                self.renew_if_stale();
            }
            let reply = match self.send(head, body, None) {
                Ok(()) => self.reply_head(),
                Err(error) if self.written == 0 => Err(Kind::Io(error)),
                // An API that refuses a long body may answer before it read it.
                Err(error) => match self.reply_head() {
                    Ok(reply) => Ok(ReplyHead { closes: true, ..reply }),
                    Err(_) => Err(Kind::Io(error)),
                },
            };
            if reply.is_ok() {
                if is_get {
                    self.last_heard = SystemTime::now();
                }
                return reply;
            }
            let may_repeat = self.written == 0 || (is_get && self.end == 0);
            self.close();
            if !matches!(reply, Err(Kind::Io(_) | Kind::Cut)) || !may_repeat || tries.is_empty() {
                return reply;
            }
        }
    }

    /// Opens the connection if need be, and writes as [`Connection::write`] does.
    pub(crate) fn send(
        &mut self,
        head: &[u8],
        body: &[u8],
        limit: Option<SystemTime>,
    ) -> io::Result<()> {
        self.written = 0;
        let is_new = self.stream.is_none();
        if is_new {
            (self.stream, self.is_limited) = (Some(self.address.connect()?), false);
        }
        // What is written after the first segment must not wait for an acknowledgement. A request
        // without a body is one segment, and it is the one that start-up waits for.
        let is_late = body.is_empty();
        let no_delay = |stream: &Option<TcpStream>, at| match stream {
            Some(stream) if is_new && is_late == at => stream.set_nodelay(true),
            _ => Ok(()),
        };
        no_delay(&self.stream, false)?;
        self.write([head, body, b""], limit)?;
        no_delay(&self.stream, true)
    }

    /// Writes all parts, in one system call where the socket takes them, without copying them
    /// together. What the peer does not take until `limit` fails with `TimedOut` or `WouldBlock`.
    pub(crate) fn write(&mut self, parts: [&[u8]; 3], limit: Option<SystemTime>) -> io::Result<()> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let mut parts: &mut [IoSlice<'_>] = &mut parts.map(IoSlice::new);
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
                    self.written = self.written.saturating_add(length);
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
            let mut scanner = Scanner::default();
            self.block = loop {
                let received = self.buffer.get(self.start..self.end).unwrap_or_default();
                match scanner.scan(received)? {
                    Some(length) => break length,
                    None => self.receive()?,
                }
            };
            let head = self.head()?;
            let (framing, closes) = (Framing::of(&head)?, head.closes_connection());
            let reply = ReplyHead { status: head.status, framing, closes };
            if !matches!(reply.status, 100..=199) {
                return Ok(reply);
            }
            self.start = self.start.saturating_add(self.block);
        }
        Err(Kind::Protocol("the reply has more than 16 interim replies before it"))
    }

    /// The header block received last, until its body is read.
    pub(crate) fn head(&self) -> Result<Head<'_>, &'static str> {
        let received = self.buffer.get(self.start..self.end).unwrap_or_default();
        Head::parse(received.get(..self.block).unwrap_or_default())
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
        self.start = self.start.saturating_add(self.block);
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
                self.receive()?;
                continue;
            }
            let received = self.buffer.get(self.start..self.end).unwrap_or_default();
            let (used, data) = decoder.decode(received)?;
            room = room.saturating_sub(data.len() as u64);
            if !data.is_empty() {
                sink(data);
            }
            self.start = self.start.saturating_add(used);
        }
        // Bytes after the reply were not asked for: whatever they are, they answer nothing.
        if reply.closes || self.start != self.end {
            self.close();
        }
        Ok(())
    }

    /// One read; the end of the stream is an error of its own.
    fn receive(&mut self) -> Result<(), Kind> {
        if self.buffer.is_empty() {
            self.buffer = vec![0; HEADER_BLOCK_LIMIT.saturating_add(PART)];
        }
        if self.start == self.end || self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end.saturating_sub(self.start));
        }
        let stream = self.stream.as_mut().ok_or(Kind::Cut)?;
        let space = self.buffer.get_mut(self.end..).unwrap_or_default();
        let most = space.len().min(PART);
        match stream.read(space.get_mut(..most).unwrap_or_default()) {
            Ok(0) => return Err(Kind::Cut),
            Ok(length) => self.end = self.end.saturating_add(length),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Kind::Io(error)),
        }
        Ok(())
    }

    /// Gives the connection up if the peer closed it, or sent what nobody asked for, while it was
    /// idle. The next request opens another, and so nothing is sent that would be lost.
    pub(crate) fn renew_if_stale(&mut self) {
        let Some(stream) = &self.stream else { return };
        if self.last_heard.elapsed().is_ok_and(|idle| idle <= TRUSTED_IDLE) {
            return;
        }
        let peeked = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
        let stands = peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        if stream.set_nonblocking(false).is_err() || !stands {
            self.close();
        }
    }
}
