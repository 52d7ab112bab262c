//! An event's bytes, in a file without a name: a handler reads them at its own pace, or not at all,
//! and nothing waits for it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::sys;

/// The event that is being received.
#[derive(Debug, Default)]
pub(crate) struct EventFile {
    state: State,
    length: u64,
}

#[derive(Debug, Default)]
enum State {
    /// No byte came yet.
    #[default]
    Empty,
    Open(File),
    /// Why the event could not be kept.
    Failed(io::Error),
}

impl EventFile {
    /// Appends a part. A failure is kept until [`EventFile::take`].
    pub(crate) fn receive(&mut self, part: &[u8]) {
        let file = std::mem::take(&mut self.state).into_file();
        // pwrite(2) leaves the file's own offset at the start, where the handler begins to read.
        let written = file.and_then(|file| {
            file.write_all_at(part, self.length)?;
            Ok(file)
        });
        self.state = match written {
            Ok(file) => State::Open(file),
            Err(error) => State::Failed(error),
        };
        self.length = self.length.saturating_add(part.len() as u64);
    }

    /// Returns the whole event, and is empty again.
    ///
    /// # Errors
    /// The event could not be kept: no memory is left.
    pub(crate) fn take(&mut self) -> io::Result<File> {
        self.length = 0;
        std::mem::take(&mut self.state).into_file()
    }
}

impl State {
    fn into_file(self) -> io::Result<File> {
        match self {
            State::Empty => sys::memory_file(),
            State::Open(file) => Ok(file),
            State::Failed(error) => Err(error),
        }
    }
}
