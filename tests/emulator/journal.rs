//! The log of a function: what its processes write and the lines about each event, in one order.
//!
//! All of them write into one pipe, so the order is that of the writing. Out: our own standard
//! error, and the end of the log for callers who ask for it.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What `X-Amz-Log-Type: Tail` returns at most; Lambda's own figure.
pub(crate) const TAIL_LIMIT: usize = 4096;

/// How long the end of an event waits for its last line to come through the pipe.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Seen {
    /// Bytes that came through so far.
    total: usize,
    /// The last of them.
    end: Vec<u8>,
}

pub(crate) struct Journal {
    writer: PipeWriter,
    seen: Arc<(Mutex<Seen>, Condvar)>,
    /// Our own last line.
    last: Mutex<String>,
}

impl Journal {
    pub(crate) fn start() -> io::Result<Journal> {
        let (reader, writer) = io::pipe()?;
        let seen = Arc::new((Mutex::new(Seen::default()), Condvar::new()));
        let kept = Arc::clone(&seen);
        thread::spawn(move || forward(reader, &kept));
        Ok(Journal {
            writer,
            seen,
            last: Mutex::default(),
        })
    }

    /// An end of the pipe for a process to write to.
    pub(crate) fn writer(&self) -> io::Result<PipeWriter> {
        self.writer.try_clone()
    }

    /// Writes a line of our own.
    pub(crate) fn line(&self, text: &str) {
        // The pipe is read as long as this process lives.
        let _ = (&self.writer).write_all(format!("{text}\n").as_bytes());
        *self
            .last
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner()) = text.to_owned();
    }

    /// Waits until our own lines have come through.
    pub(crate) fn flush(&self) {
        let last = self
            .last
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .clone();
        self.tail(0, &last);
    }

    /// How much has come through: where the log of an event begins.
    pub(crate) fn position(&self) -> usize {
        self.seen
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .total
    }

    /// Waits until this text has come through, and returns the log since `from`: its end, if it is
    /// longer than Lambda returns.
    pub(crate) fn tail(&self, from: usize, text: &str) -> Vec<u8> {
        let until = Instant::now() + PATIENCE;
        let mut seen = self
            .seen
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        while !contains(&seen.end, text.as_bytes()) {
            let Some(left) = until.checked_duration_since(Instant::now()) else {
                break;
            };
            let waited = self.seen.1.wait_timeout(seen, left);
            seen = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
        let length = seen
            .total
            .saturating_sub(from)
            .min(seen.end.len())
            .min(TAIL_LIMIT);
        seen.end[seen.end.len() - length..].to_vec()
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

fn forward(mut reader: PipeReader, seen: &(Mutex<Seen>, Condvar)) {
    let mut buffer = [0; 65_536];
    while let Ok(length @ 1..) = reader.read(&mut buffer) {
        let bytes = &buffer[..length];
        // A terminal that was closed must not stop the function.
        let _ = io::stderr().write_all(bytes);
        let mut seen_now = seen
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        seen_now.total += length;
        seen_now.end.extend_from_slice(bytes);
        let over = seen_now.end.len().saturating_sub(2 * TAIL_LIMIT);
        seen_now.end.drain(..over);
        drop(seen_now);
        seen.1.notify_all();
    }
}
