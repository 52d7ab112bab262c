//! A handler's standard error where it does not go to the log by itself: in JSON form each line
//! becomes an object, and while a shell starts its last words are kept for the error.

use std::io::{PipeReader, Read};
use std::os::fd::{AsFd, BorrowedFd};

use zerostrap::{Invocation, log};

use super::output::PIPE_LIMIT;
use crate::sys;

/// Longest line that becomes one log object; Lambda's log events end at 256 KiB.
const LINE_LIMIT: usize = 131_072;

const CUT: &str = " … (the line goes on, 131072 bytes are kept)";

/// Last words that are kept.
const TAIL: usize = 4_096;

/// Reads a pipe and logs what comes.
#[derive(Default)]
pub(crate) struct Pump {
    /// `None` where there is none, or its last writer is gone.
    pipe: Option<PipeReader>,
    /// The current line; one byte more than the limit means that there was more, which is skipped.
    line: Vec<u8>,
    tail: Vec<u8>,
}

impl Pump {
    pub(crate) fn new(pipe: Option<PipeReader>) -> Pump {
        Pump {
            pipe,
            ..Pump::default()
        }
    }

    /// For waiting on it.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Takes what the pipe holds, once, and tells how much. It must be readable.
    pub(crate) fn take(&mut self, invocation: Option<&Invocation>) -> usize {
        let mut space = [0; 4_096];
        let length = self
            .pipe
            .as_mut()
            .map_or(0, |pipe| pipe.read(&mut space).unwrap_or(0));
        let bytes = space.get(..length).unwrap_or_default();
        if invocation.is_none() {
            self.tail.extend_from_slice(bytes);
            let excess = self.tail.len().saturating_sub(TAIL);
            self.tail.drain(..excess);
        }
        if log::is_json() {
            self.wrap(invocation, bytes);
        } else {
            log::pass(bytes);
        }
        self.pipe.take_if(|_| length == 0);
        length
    }

    /// Logs what a handler wrote before it ended, with a line that has no end yet. Whoever still
    /// holds the pipe is not waited for.
    pub(crate) fn drain(&mut self, invocation: &Invocation) {
        let mut taken = 0_usize;
        while taken < PIPE_LIMIT && self.pipe.as_ref().is_some_and(sys::is_readable) {
            taken = taken.saturating_add(self.take(Some(invocation)));
        }
        self.wrap(Some(invocation), b"\n");
    }

    /// Ends what was written while there was no event, and gives the last words of it.
    pub(crate) fn take_tail(&mut self) -> Vec<u8> {
        let tail = std::mem::take(&mut self.tail);
        if log::is_json() {
            self.wrap(None, b"\n");
        } else if tail.last().is_some_and(|&byte| byte != b'\n') {
            // The next log line starts at the left.
            log::pass(b"\n");
        }
        tail
    }

    /// Writes each whole line among the bytes so far as an object; an empty one is none.
    fn wrap(&mut self, invocation: Option<&Invocation>, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            let room = LINE_LIMIT.saturating_add(1).saturating_sub(self.line.len());
            self.line
                .extend_from_slice(text.get(..room).unwrap_or(text));
            if text.len() < piece.len() && !self.line.is_empty() {
                if self.line.len() > LINE_LIMIT {
                    self.line.truncate(LINE_LIMIT);
                    self.line.extend_from_slice(CUT.as_bytes());
                }
                log::wrap(invocation, &self.line);
                self.line.clear();
            }
        }
    }
}
