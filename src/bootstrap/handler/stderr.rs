//! A handler's standard error on its way to the log: a pipe, whose bytes pass as they are in text
//! form, and become an object for each line in JSON form. While a shell starts, the last of it is
//! kept for the error.

use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, BorrowedFd};

use zerostrap::Context;
use zerostrap::internal::log;

use crate::sys;

/// Longest line that becomes one log object; Lambda's log events end at 256 KiB.
const LINE_LIMIT: usize = 131_072;

/// Most bytes of the last words that are kept.
const LAST_WORDS_LIMIT: usize = 4_096;

/// Bytes read at once.
const READ_SIZE: usize = 4_096;

/// Reads a pipe and logs what comes.
#[derive(Debug)]
pub(crate) struct StderrForwarder {
    pipe: PipeReader,
    /// The end that handlers inherit.
    writer: PipeWriter,
    /// The current line in JSON form. One byte over the limit marks a line that goes on; the rest
    /// of it is skipped.
    line: Vec<u8>,
    /// Whether the current line has bytes, in text form.
    is_in_line: bool,
    /// Whether anything came since the event started.
    has_forwarded: bool,
    last_words: Option<Vec<u8>>,
}

impl StderrForwarder {
    /// Creates the pipe. A shutdown copies what is in it to the log, too.
    ///
    /// # Errors
    /// There can be no more descriptors.
    pub(crate) fn new() -> io::Result<StderrForwarder> {
        let (pipe, writer) = sys::pipe()?;
        sys::log_at_shutdown(&pipe);
        Ok(StderrForwarder {
            pipe,
            writer,
            line: Vec::new(),
            is_in_line: false,
            has_forwarded: false,
            last_words: None,
        })
    }

    /// Returns the end that handlers inherit.
    pub(crate) fn writer(&self) -> BorrowedFd<'_> {
        self.writer.as_fd()
    }

    /// Returns a descriptor that is readable when there is something to forward.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// Starts or stops keeping the last words. Returns those that were kept so far.
    pub(crate) fn keep_last_words(&mut self, keeps: bool) -> Vec<u8> {
        let before = self.last_words.take();
        self.last_words = keeps.then(Vec::new);
        before.unwrap_or_default()
    }

    /// Forgets that anything was forwarded: another event starts.
    pub(crate) fn start_event(&mut self) {
        self.has_forwarded = false;
    }

    /// Returns whether the event wrote anything.
    pub(crate) fn has_forwarded(&self) -> bool {
        self.has_forwarded
    }

    /// Forwards what the pipe holds, once, and returns how much.
    pub(crate) fn forward(&mut self, context: Option<&Context>) -> usize {
        let mut space = [0; READ_SIZE];
        let length = self.pipe.read(&mut space).unwrap_or(0);
        let bytes = space.get(..length).unwrap_or_default();
        let Some(last) = bytes.last() else {
            return 0;
        };
        self.has_forwarded = true;
        if let Some(words) = &mut self.last_words {
            words.extend_from_slice(bytes);
            let excess = words.len().saturating_sub(LAST_WORDS_LIMIT);
            words.drain(..excess);
        }
        if log::is_json() {
            self.wrap_lines(context, bytes);
        } else {
            self.is_in_line = *last != b'\n';
            log::write_raw(bytes);
        }
        length
    }

    /// Forwards all that the pipe holds now, and ends its last line. Does not wait for what other
    /// processes write later.
    pub(crate) fn drain(&mut self, context: Option<&Context>) {
        let mut forwarded: usize = 0;
        while forwarded < sys::PIPE_LIMIT {
            let length = self.forward(context);
            if length == 0 {
                break;
            }
            forwarded = forwarded.saturating_add(length);
        }
        self.end_line(context);
    }

    /// Ends a line that has no end yet, so that a line of ours starts at the left.
    pub(crate) fn end_line(&mut self, context: Option<&Context>) {
        if log::is_json() {
            self.wrap_lines(context, b"\n");
        } else if self.is_in_line {
            log::write_raw(b"\n");
            self.is_in_line = false;
        }
    }

    /// Writes each whole line among the bytes so far as an object; an empty line is left out.
    fn wrap_lines(&mut self, context: Option<&Context>, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            let room = LINE_LIMIT.saturating_add(1).saturating_sub(self.line.len());
            self.line
                .extend_from_slice(text.get(..room).unwrap_or(text));
            if piece.ends_with(b"\n") && !self.line.is_empty() {
                self.wrap_line(context);
            }
        }
    }

    fn wrap_line(&mut self, context: Option<&Context>) {
        if self.line.len() > LINE_LIMIT {
            self.line.truncate(LINE_LIMIT);
            let note = format!(" … (the line goes on, {LINE_LIMIT} bytes are kept)");
            self.line.extend_from_slice(note.as_bytes());
        }
        log::wrap(context, &self.line);
        self.line.clear();
    }
}

impl Drop for StderrForwarder {
    fn drop(&mut self) {
        sys::forget_log();
    }
}
