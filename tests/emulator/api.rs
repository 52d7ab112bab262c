//! The server: a thread that accepts, a thread for each connection, one state behind a lock.

use super::connection::Connection;
use super::event::Event;
use super::record::{Counts, Progress, Request};
use super::state::State;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// What to do with a request instead of what Lambda would.
pub(crate) enum Action {
    Usual,
    /// Take the body, then answer with this status. An answer to an event counts as given.
    Status(u16),
    /// Take the body, then send these bytes; then close the connection if so told.
    Bytes {
        bytes: Vec<u8>,
        close: bool,
    },
    /// Close the connection without a reply once so many bytes of the body are read.
    CutAfter(usize),
}

/// Decides on a request when its head is read, knowing how many came to its endpoint before.
pub(crate) type Script = Box<dyn Fn(&Request, usize) -> Action + Send + Sync>;

pub(crate) struct Options {
    /// One: classic Lambda. More: Managed Instances.
    pub(crate) slots: usize,
    /// The status of an accepted POST.
    pub(crate) accepted: u16,
    /// A path before the Runtime API's own, as cargo lambda has it.
    pub(crate) prefix: String,
    /// Whether `/restore/next` is there.
    pub(crate) restore: bool,
    pub(crate) script: Script,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            slots: 1,
            accepted: 202,
            prefix: String::new(),
            restore: false,
            script: Box::new(|_, _| Action::Usual),
        }
    }
}

/// What the threads have in common.
pub(crate) struct Shared {
    pub(crate) options: Options,
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Changes the state and wakes who waits for that.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.wake();
        result
    }

    /// Has whoever waits look again.
    pub(crate) fn wake(&self) {
        self.changed.notify_all();
    }

    /// Waits for a change, at most so long.
    pub(crate) fn pause<'a>(
        &self,
        state: MutexGuard<'a, State>,
        at_most: Duration,
    ) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, at_most);
        waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0
    }
}

/// A running server; it ends when this is dropped.
pub(crate) struct Api {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

impl Api {
    pub(crate) fn start(options: Options) -> io::Result<Api> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let state = Mutex::new(State::new(options.slots));
        let shared = Arc::new(Shared {
            options,
            state,
            changed: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Ok(Api { address, shared })
    }

    /// Queues an event; returns its request id.
    pub(crate) fn push(&self, event: Event) -> String {
        self.shared.change(|state| state.push(event))
    }

    pub(crate) fn counts(&self) -> Counts {
        self.shared.state().counts
    }

    pub(crate) fn faults(&self) -> Vec<String> {
        self.shared.state().faults.clone()
    }

    /// Every request so far; of one that is arriving, what is there.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.values().cloned().collect()
    }

    /// Changes the state and wakes who waits for that.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        self.shared.change(change)
    }

    /// Empties the record. The counts go on.
    pub(crate) fn forget(&self) {
        self.shared.change(|state| {
            state
                .requests
                .retain(|_, r| r.progress == Progress::Arriving)
        });
    }

    /// Closes every connection, as a peer does that went away.
    pub(crate) fn close_connections(&self) {
        self.shared.change(|state| {
            for connection in state.connections.drain(..) {
                // One that the peer closed already is as closed as it should be.
                let _ = connection.shutdown(Shutdown::Both);
            }
        });
    }

    /// Makes ready for a new process after the old one ended.
    pub(crate) fn restart(&self) {
        self.close_connections();
        self.shared.change(State::restart);
    }

    /// Has whoever waits look again, because something outside of the state changed.
    pub(crate) fn waker(&self) -> impl FnOnce() + Send + 'static {
        let shared = Arc::clone(&self.shared);
        move || shared.change(|_| ())
    }

    /// Waits until `found` finds something in the state. `None`: not by then.
    pub(crate) fn wait<T>(
        &self,
        until: Instant,
        mut found: impl FnMut(&State) -> Option<T>,
    ) -> Option<T> {
        let mut state = self.shared.state();
        loop {
            if let Some(result) = found(&state) {
                return Some(result);
            }
            let left = until.checked_duration_since(Instant::now())?;
            state = self.shared.pause(state, left);
        }
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.shared.change(|state| state.closed = true);
        self.close_connections();
        // The accepting thread sees this connection, and then that it shall end.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { return };
        if shared.state().closed {
            return;
        }
        let Ok(kept) = stream.try_clone() else { return };
        let number = shared.change(|state| {
            state.connections.push(kept);
            state.counts.connections += 1;
            state.counts.connections
        });
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            // What can fail here is the connection, and that is the bootstrap's to notice.
            let _ = Connection {
                shared,
                number,
                stream,
            }
            .serve();
        });
    }
}
