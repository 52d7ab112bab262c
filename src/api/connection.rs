//! One kept-alive connection to the Runtime API: when it is opened, used again, and given up.
//!
//! In: request bytes. Out: a reply's status, headers and body. It must never send a request twice
//! that could have been received, unless the caller says that the request may be repeated.

use std::io::{self, BufRead, BufReader, IoSlice, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant, SystemTime};

use crate::api::address::Address;
use crate::api::error::{Kind, Outcome};
use crate::http::INTERIM_REPLY_LIMIT;
use crate::http::body::{Decoder, Framing};
use crate::http::head::Head;
use crate::stream::TcpStream;

/// Connections that may be tried for one request.
const RECONNECT_LIMIT: usize = 3;

/// A connection that was heard from this recently is used without a look whether it still stands:
/// in-process handlers answer within it, and a look costs three system calls.
const TRUSTED_IDLE: Duration = Duration::from_micros(100);

/// Most bytes received at once. A long body passes through this much memory.
const PART: usize = 32_768;

const CUT: &str = "the connection ended before the reply was whole";

/// One connection and the reply that was received last on it.
pub(crate) struct Connection {
    pub(crate) address: Address,
    stream: Option<BufReader<TcpStream>>,
    /// Status and headers of the last reply.
    pub(crate) head: Head,
    /// How the end of its body is marked.
    framing: Framing,
    /// When the reply to the last GET began; `None` after a POST with its whole body.
    last_heard: Option<Instant>,
    /// Bytes of the last request that went out.
    pub(crate) written: usize,
}

impl Connection {
    pub(crate) fn new(address: Address) -> Connection {
        let (head, framing) = (Head::default(), Framing::UntilClose);
        Connection {
            address,
            stream: None,
            head,
            framing,
            last_heard: None,
            written: 0,
        }
    }

    /// Gives the connection up; the next request opens another.
    pub(crate) fn close(&mut self) {
        self.stream = None;
    }

    /// For waiting on it together with other things.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.stream.as_ref().map(|stream| stream.get_ref().as_fd())
    }

    /// Sends a request and receives the final reply's header block.
    ///
    /// A GET may be repeated while nothing of its reply came: it changes nothing, or the API sends
    /// the same event again. A POST may have been received, and is sent again only if nothing of it
    /// left this process. After an error the connection is closed.
    pub(crate) fn request(&mut self, head: &[u8], body: &[u8]) -> Outcome {
        let is_get = head.starts_with(b"GET ");
        let mut more = 1..RECONNECT_LIMIT;
        loop {
            let sent = self.send([head, body, b""], None);
            let reply = self.reply(sent);
            self.last_heard = is_get.then(Instant::now);
            let may_repeat = self.written == 0 || (is_get && self.head.is_empty());
            if reply.is_ok() || !may_repeat || more.next().is_none() {
                return reply;
            }
        }
    }

    /// Opens the connection if need be, and writes as [`Connection::write`] does. If nothing was
    /// written, the connection is closed.
    pub(crate) fn send(&mut self, parts: [&[u8]; 3], limit: Option<SystemTime>) -> io::Result<()> {
        self.written = 0;
        let is_new = self.stream.is_none();
        if is_new {
            self.stream = Some(BufReader::with_capacity(PART, self.address.connect()?));
        }
        let sent = self.write(parts, limit);
        if self.written == 0 {
            self.close();
        }
        // After the first segment, which start-up waits for, none must wait for an acknowledgement.
        match &self.stream {
            Some(stream) if is_new => sent.and(stream.get_ref().set_nodelay(true)),
            _ => sent,
        }
    }

    /// Writes all parts, in one system call where the socket takes them, without copying them
    /// together. What the peer does not take until `limit` fails with `TimedOut` or `WouldBlock`.
    pub(crate) fn write(&mut self, parts: [&[u8]; 3], limit: Option<SystemTime>) -> io::Result<()> {
        let stream = self
            .stream
            .as_mut()
            .ok_or(io::ErrorKind::NotConnected)?
            .get_mut();
        let mut parts: &mut [IoSlice<'_>] = &mut parts.map(IoSlice::new);
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            if let Some(at) = limit {
                let left = at.duration_since(SystemTime::now()).unwrap_or_default();
                // A timeout of zero, when there is no time left, is refused.
                stream
                    .set_write_timeout(Some(left))
                    .map_err(|_| io::ErrorKind::TimedOut)?;
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

    /// Writes without a limit again.
    pub(crate) fn lift_limit(&self) -> io::Result<()> {
        let stream = self.stream.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        stream.get_ref().set_write_timeout(None)
    }

    /// Receives the header block of the final reply to a request that was `sent`. An API that
    /// refuses a long body may answer before it read it: then only the header block counts.
    pub(crate) fn reply(&mut self, sent: io::Result<()>) -> Outcome {
        let Err(error) = sent else {
            return self.receive_head();
        };
        // An API that takes no more has no answer before it has the rest.
        let is_stuck = matches!(
            error.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
        );
        let reply = if is_stuck {
            Err(CUT.into())
        } else {
            self.receive_head()
        };
        self.close();
        reply.map_err(|_| Kind::Io(error))
    }

    /// 1xx replies are skipped.
    fn receive_head(&mut self) -> Outcome {
        // Put back when all is well: an error closes it.
        let mut stream = self.stream.take().ok_or(CUT)?;
        for _ in 0..=INTERIM_REPLY_LIMIT {
            self.head.clear();
            while !self.head.is_complete() {
                let used = self.head.take(received(&mut stream)?)?;
                stream.consume(used);
            }
            // Where it contradicts itself about its body, its status is not to be trusted either.
            self.framing = Framing::of(&self.head)?;
            if !matches!(self.head.status, 100..=199) {
                self.stream = Some(stream);
                return Ok(());
            }
        }
        Err(Kind::Protocol(
            "the reply has more than 16 interim replies before it",
        ))
    }

    /// Receives the reply's body, at most `room` bytes of it, and gives its parts to `sink`.
    ///
    /// After a whole body the connection can be used again, unless the reply says otherwise.
    pub(crate) fn body(&mut self, mut room: u64, sink: &mut dyn FnMut(&[u8])) -> Outcome {
        let mut stream = self.stream.take().ok_or(CUT)?;
        if self.framing == Framing::UntilClose {
            return Err(Kind::Protocol("the reply does not say where its body ends"));
        }
        let mut decoder = Decoder::new(self.framing);
        while !decoder.is_complete() {
            if decoder.announced() > room {
                return Err(Kind::Protocol("the reply's body is over the limit"));
            }
            let (used, data) = decoder.decode(received(&mut stream)?)?;
            room = room.saturating_sub(data.len() as u64);
            if !data.is_empty() {
                sink(data);
            }
            stream.consume(used);
        }
        // Bytes after the reply were not asked for: whatever they are, they answer nothing.
        if stream.buffer().is_empty() && !self.head.closes_connection() {
            self.stream = Some(stream);
        }
        Ok(())
    }

    /// Gives the connection up if the peer closed it, or sent what nobody asked for, while it was
    /// idle, so that nothing is sent that would be lost. A GET finds out by itself, and is repeated.
    pub(crate) fn close_if_stale(&mut self) {
        let is_trusted = self
            .last_heard
            .is_some_and(|at| at.elapsed() <= TRUSTED_IDLE);
        let Some(stream) = self.stream.as_ref().filter(|_| !is_trusted) else {
            return;
        };
        let stream = stream.get_ref();
        let peeked = stream
            .set_nonblocking(true)
            .and_then(|()| stream.peek(&mut [0]));
        let stands = peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        if stream.set_nonblocking(false).is_err() || !stands {
            self.close();
        }
    }
}

/// What was received and not yet used, at least a byte. The end of the stream is an error of its own.
fn received(stream: &mut BufReader<TcpStream>) -> Result<&[u8], Kind> {
    while let Err(error) = stream.fill_buf() {
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(Kind::Io(error));
        }
    }
    Some(stream.buffer())
        .filter(|bytes| !bytes.is_empty())
        .ok_or(CUT.into())
}
