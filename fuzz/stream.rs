//! What stands in for a socket while fuzzing: a peer in memory, which the target scripts and
//! inspects. Compiled into the library with `--cfg fuzzing` alone.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// What one connection answers: a reply for each request; after the last one it ends.
pub type Replies = VecDeque<Vec<u8>>;

/// The peer of this thread.
#[derive(Debug, Default)]
pub struct Peer {
    /// The connections to come. One more is refused.
    pub connections: VecDeque<Replies>,
    /// Most bytes that one read gives.
    pub piece: usize,
    /// Every write, in order; a request is one.
    pub requests: Vec<Vec<u8>>,
}

thread_local! {
    static PEER: RefCell<Peer> = RefCell::default();
}

/// Gives this thread's peer a new script, and returns the old one with what was asked of it.
pub fn replace(peer: Peer) -> Peer {
    PEER.with(|old| old.replace(peer))
}

/// One connection to the peer.
#[derive(Debug)]
pub struct TcpStream {
    replies: Replies,
    arrived: VecDeque<u8>,
    descriptor: io::Stdin,
}

impl TcpStream {
    /// The script's next connection.
    pub fn connect(_: &[SocketAddr]) -> io::Result<TcpStream> {
        let replies = PEER.with(|peer| peer.borrow_mut().connections.pop_front());
        let replies = replies.ok_or(io::ErrorKind::ConnectionRefused)?;
        Ok(TcpStream {
            replies,
            arrived: VecDeque::new(),
            descriptor: io::stdin(),
        })
    }

    /// Nothing is ever waited for.
    pub fn set_nodelay(&self, _: bool) -> io::Result<()> {
        Ok(())
    }

    /// The same.
    pub fn set_nonblocking(&self, _: bool) -> io::Result<()> {
        Ok(())
    }

    /// The same.
    pub fn set_write_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    /// Whether something arrived.
    pub fn peek(&self, _: &mut [u8]) -> io::Result<usize> {
        if self.arrived.is_empty() {
            Err(io::ErrorKind::WouldBlock.into())
        } else {
            Ok(1)
        }
    }
}

impl Read for TcpStream {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let piece = PEER.with(|peer| peer.borrow().piece).min(space.len());
        self.arrived
            .read(space.get_mut(..piece).unwrap_or_default())
    }
}

impl Write for TcpStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let request: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let length = request.len();
        PEER.with(|peer| peer.borrow_mut().requests.push(request));
        // What was not read before the next request does not arrive any more: within the time that
        // a connection is trusted for, the client could not tell it from the reply.
        self.arrived.clear();
        self.arrived
            .extend(self.replies.pop_front().unwrap_or_default());
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
