//! A handler's standard error where it does not go to the log by itself: in JSON form each line
//! becomes an object, and while a shell starts its last words are kept for the error.

use std::io::{PipeReader, Read};
use std::os::fd::{AsFd, BorrowedFd};

use zerostrap::{Invocation, log};

/// Longest line that becomes one log object; Lambda's log events end at 256 KiB.
const LINE_LIMIT: usize = 131_072;

/// What a pipe takes in one piece (pipe(7)).
const PIPE_BUF: usize = 4_096;

/// Last words that are kept.
const TAIL: usize = 4_096;

/// Reads a pipe and logs what comes.
#[derive(Debug)]
pub(crate) struct Pump {
    pipe: Option<PipeReader>,
    line: Vec<u8>,
    /// The current line is over the limit and its rest is skipped.
    cut: bool,
    tail: Vec<u8>,
    /// Lines in their JSON form, not yet written.
    out: Vec<u8>,
}

impl Pump {
    pub(crate) fn new(pipe: PipeReader) -> Pump {
        Pump { pipe: Some(pipe), line: Vec::new(), cut: false, tail: Vec::new(), out: Vec::new() }
    }

    /// For waiting on it; `None` once the last writer is gone.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Takes what the pipe holds, once, and tells how much. It must be readable.
    pub(crate) fn take(&mut self, invocation: Option<&Invocation>) -> usize {
        let mut space = [0; 4_096];
        let Some(pipe) = &mut self.pipe else { return 0 };
        let length = match pipe.read(&mut space) {
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return 0,
            Err(_) => 0,
        };
        if length == 0 {
            self.pipe = None;
            self.end_line(invocation);
        }
        self.log(invocation, space.get(..length).unwrap_or_default());
        self.write();
        length
    }

    /// Logs a line that has no end yet: its writer ended.
    pub(crate) fn end_line(&mut self, invocation: Option<&Invocation>) {
        self.take_line(invocation);
        self.write();
    }

    /// Many short lines are one write, of what a pipe takes in one piece: several slots may write
    /// at once.
    fn write(&mut self) {
        if !self.out.is_empty() {
            log::pass(&self.out);
            self.out.clear();
        }
    }

    fn take_line(&mut self, invocation: Option<&Invocation>) {
        if !self.line.is_empty() || self.cut {
            if self.cut {
                self.line
                    .extend_from_slice(" … (the line goes on, 131072 bytes are kept)".as_bytes());
            }
            let before = self.out.len();
            log::wrap(&mut self.out, invocation, &self.line);
            if self.out.len() > PIPE_BUF {
                let last = self.out.split_off(before);
                self.write();
                self.out = last;
            }
            self.line.clear();
            self.cut = false;
        }
    }

    /// Ends what was written while there was no event, and gives the last words of it.
    pub(crate) fn take_tail(&mut self) -> Vec<u8> {
        let tail = std::mem::take(&mut self.tail);
        if log::is_json() {
            self.end_line(None);
        } else if tail.last().is_some_and(|&byte| byte != b'\n') {
            // The next log line starts at the left.
            log::pass(b"\n");
        }
        tail
    }

    fn log(&mut self, invocation: Option<&Invocation>, bytes: &[u8]) {
        if invocation.is_none() {
            self.tail.extend_from_slice(bytes);
            let excess = self.tail.len().saturating_sub(TAIL);
            self.tail.drain(..excess);
        }
        if !log::is_json() {
            log::pass(bytes);
            return;
        }
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            let room = LINE_LIMIT.saturating_sub(self.line.len());
            self.cut |= text.len() > room;
            self.line.extend_from_slice(text.get(..room).unwrap_or(text));
            if text.len() < piece.len() {
                self.take_line(invocation);
            }
        }
    }
}
