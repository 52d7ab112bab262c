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
use crate::http::body::{BodyError, Decoder, Framing};
use crate::http::head::{Head, HeadError, Scanner};
use crate::http::{HEADER_BLOCK_LIMIT, INTERIM_REPLY_LIMIT};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It changes nothing, or the API sends the same event again.
    Allowed,
    /// It may have been received.
    Never,
}

/// What a reply's header block says of the reply, and of the connection after it.
#[derive(Debug)]
pub(crate) struct ReplyHead {
    pub(crate) status: u16,
    framing: Framing,
    closes: bool,
}

/// One connection and the bytes received on it.
#[derive(Debug)]
pub(crate) struct Connection {
    address: Address,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
    /// Received and not yet used: `buffer[start..end]`.
    start: usize,
    end: usize,
    /// Length of the header block at `start`, until its body is read.
    block: usize,
    last_heard: Option<Instant>,
    /// Until when the peer must have taken what is written; `None`: it may take its time.
    write_limit: Option<SystemTime>,
}

impl Connection {
    pub(crate) fn new(address: Address) -> Connection {
        Connection {
            address,
            stream: None,
            // Taken when the first reply is received: the first request should not wait for it.
            buffer: Vec::new(),
            start: 0,
            end: 0,
            block: 0,
            last_heard: None,
            write_limit: None,
        }
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
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
        let mut tries_left = RECONNECT_LIMIT;
        loop {
            tries_left = tries_left.saturating_sub(1);
            // A request that may be repeated finds out by itself.
            if repeat == Repeat::Never {
                self.renew_if_stale();
            }
            let (error, may_repeat) = match self.send(head, body) {
                Ok(()) => match self.reply_head() {
                    Ok(reply) => return Ok(reply),
                    // Not a byte came back: the request may or may not have been received.
                    Err(error) if self.end == 0 => (error, repeat == Repeat::Allowed),
                    Err(error) => (error, false),
                },
                // Nothing of it left this process.
                Err((0, error)) => (Kind::Io(error), true),
                // An API that refuses a long body may answer before it read it.
                Err((_, error)) => match self.reply_head() {
                    Ok(reply) => return Ok(ReplyHead { closes: true, ..reply }),
                    Err(_) => (Kind::Io(error), repeat == Repeat::Allowed),
                },
            };
            self.close();
            let connection_failed = matches!(error, Kind::Io(_) | Kind::Cut);
            if !connection_failed || !may_repeat || tries_left == 0 {
                return Err(error);
            }
        }
    }

    /// Opens the connection if need be, and writes. The error says how much was written.
    pub(crate) fn send(&mut self, head: &[u8], body: &[u8]) -> Result<(), (usize, io::Error)> {
        let is_new = self.stream.is_none();
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => self.stream.insert(self.address.connect().map_err(|error| (0, error))?),
        };
        // What is written after the first segment must not wait for an acknowledgement. A request
        // without a body is one segment, and it is the one that start-up waits for.
        if is_new && !body.is_empty() {
            stream.set_nodelay(true).map_err(|error| (0, error))?;
        }
        let mut parts = [IoSlice::new(head), IoSlice::new(body)];
        write_all(stream, &mut parts, self.write_limit)?;
        if is_new && body.is_empty() {
            stream.set_nodelay(true).map_err(|error| (head.len(), error))?;
        }
        Ok(())
    }

    /// Writes more of a request that [`Connection::send`] began.
    pub(crate) fn send_more(&mut self, parts: [&[u8]; 3]) -> io::Result<()> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        write_all(stream, &mut parts.map(IoSlice::new), self.write_limit)
            .map_err(|(_, error)| error)
    }

    /// Bounds what is written from now on; `None` lifts the bound, on the socket too.
    pub(crate) fn set_write_limit(&mut self, limit: Option<SystemTime>) {
        let lifted = self.write_limit.is_some() && limit.is_none();
        self.write_limit = limit;
        if lifted && self.stream.as_ref().is_some_and(|s| s.set_write_timeout(None).is_err()) {
            self.close();
        }
    }

    /// Receives the final reply's header block; its headers are in [`Connection::head`].
    pub(crate) fn reply_head(&mut self) -> Result<ReplyHead, Kind> {
        for _ in 0..=INTERIM_REPLY_LIMIT {
            self.block = self.receive_block()?;
            let head = self.head()?;
            let framing = Framing::of(&head).map_err(refused_body)?;
            let reply =
                ReplyHead { status: head.status, framing, closes: head.closes_connection() };
            if !matches!(reply.status, 100..=199) {
                return Ok(reply);
            }
            self.use_up(self.block);
        }
        Err(Kind::Protocol("the reply has more than 16 interim replies before it"))
    }

    /// The header block received last, until its body is read.
    pub(crate) fn head(&self) -> Result<Head<'_>, Kind> {
        let received = self.buffer.get(self.start..self.end).unwrap_or_default();
        Head::parse(received.get(..self.block).unwrap_or_default()).map_err(refused_head)
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
            let decoded = decoder.decode(received).map_err(refused_body)?;
            let length = u64::try_from(decoded.data.len()).unwrap_or(u64::MAX);
            room = room.checked_sub(length).ok_or(Kind::Protocol("the body is over the limit"))?;
            if !decoded.data.is_empty() {
                sink(decoded.data);
            }
            self.use_up(decoded.consumed);
        }
        // Bytes after the reply were not asked for: whatever they are, they answer nothing.
        if reply.closes || self.start != self.end {
            self.close();
        }
        Ok(())
    }

    /// Receives until a header block is whole, and tells its length.
    fn receive_block(&mut self) -> Result<usize, Kind> {
        let mut scanner = Scanner::default();
        loop {
            let received = self.buffer.get(self.start..self.end).unwrap_or_default();
            if let Some(length) = scanner.scan(received).map_err(refused_head)? {
                return Ok(length);
            }
            self.receive(0)?;
        }
    }

    /// One read of at least one byte; the end of the stream is an error of its own.
    fn receive(&mut self, announced: u64) -> Result<(), Kind> {
        if self.start == self.end || self.end == self.buffer.len() {
            // What is used up makes room before memory is taken.
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end.saturating_sub(self.start));
        }
        self.make_room(announced);
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

    /// Grows the buffer for a long body once, and for a long header block up to its limit.
    fn make_room(&mut self, announced: u64) {
        let length = self.buffer.len();
        let most = HEADER_BLOCK_LIMIT.saturating_add(LARGE_BUFFER);
        let wanted = match u64::try_from(length).is_ok_and(|length| announced > length) {
            true => length.max(LARGE_BUFFER),
            false if self.end == length => length.saturating_mul(2).clamp(SMALL_BUFFER, most),
            false => return,
        };
        self.buffer.resize(wanted, 0);
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

fn refused_head(error: HeadError) -> Kind {
    Kind::Protocol(error.explain())
}

fn refused_body(error: BodyError) -> Kind {
    Kind::Protocol(error.explain())
}

/// All parts in one system call where the socket takes them, without copying them together. The
/// error says how much was written before.
fn write_all(
    stream: &mut TcpStream,
    mut parts: &mut [IoSlice<'_>],
    limit: Option<SystemTime>,
) -> Result<(), (usize, io::Error)> {
    let mut written = 0_usize;
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        if let Some(limit) = limit {
            let left = limit.duration_since(SystemTime::now()).unwrap_or_default();
            let in_time = match left.is_zero() {
                true => Err(io::ErrorKind::TimedOut.into()),
                false => stream.set_write_timeout(Some(left)),
            };
            in_time.map_err(|error| (written, error))?;
        }
        match stream.write_vectored(parts) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(length) => {
                written = written.saturating_add(length);
                IoSlice::advance_slices(&mut parts, length);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((written, error)),
        }
    }
    Ok(())
}
