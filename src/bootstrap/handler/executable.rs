//! An executable: a process per event, the event on its standard input, the response from its
//! standard output, nothing of it left when the next event is asked for.

use std::ffi::CString;
use std::io::{self, PipeReader};
use std::os::fd::AsFd;
use std::path::Path;

use zerostrap::internal::{self, ErrorType};
use zerostrap::{Answered, Context, Handler, Responder};

use super::child::Child;
use super::environment;
use super::event_file::EventFile;
use super::execution::{Completion, Execution, Watchdog};
use super::output::Buffer;
use super::stderr::StderrForwarder;
use crate::settings::HandlerSettings;
use crate::sys;

/// A handler that is a file.
#[derive(Debug)]
pub(crate) struct Executable<'a> {
    settings: &'a HandlerSettings,
    path: CString,
    event: EventFile,
    buffer: Buffer,
    /// What all events share. It is made at the first event, to keep it out of the start-up time.
    shared: Option<Shared>,
}

#[derive(Debug)]
struct Shared {
    environment: Vec<CString>,
    stderr: StderrForwarder,
}

impl<'a> Executable<'a> {
    pub(crate) fn new(settings: &'a HandlerSettings, path: &Path) -> Executable<'a> {
        Executable {
            settings,
            path: super::path_string(path),
            event: EventFile::default(),
            buffer: Buffer::default(),
            shared: None,
        }
    }
}

impl Shared {
    fn new() -> io::Result<Shared> {
        sys::reset_signals();
        Ok(Shared {
            environment: environment::base(),
            stderr: StderrForwarder::new()?,
        })
    }

    /// Starts the program for one event, and before the first event makes what all events share.
    /// Returns that, the program, and the pipe of its standard output.
    fn spawn<'s>(
        shared: &'s mut Option<Shared>,
        path: &CString,
        event: &mut EventFile,
        context: &Context,
    ) -> io::Result<(&'s mut Shared, Child, PipeReader)> {
        let existing = match shared.take() {
            Some(existing) => existing,
            None => Shared::new()?,
        };
        let shared = shared.insert(existing);
        let stdin = event.take()?;
        let (pipe, stdout) = sys::pipe()?;
        let base = shared.environment.len();
        shared.environment.extend(environment::of_event(context));
        let descriptors = [stdin.as_fd(), stdout.as_fd(), shared.stderr.writer()];
        let child = Child::spawn(&[path], &shared.environment, descriptors);
        shared.environment.truncate(base);
        Ok((shared, child?, pipe))
    }
}

impl Handler for Executable<'_> {
    fn receive(&mut self, part: &[u8]) {
        self.event.receive(part);
    }

    fn handle(&mut self, context: &Context, responder: Responder<'_>) -> Answered {
        let watchdog = Watchdog::new(self.settings, context);
        let spawned = Shared::spawn(&mut self.shared, &self.path, &mut self.event, context);
        let (shared, mut child, stdout) = match spawned {
            Ok(spawned) => spawned,
            Err(error) => {
                let path = self.path.to_string_lossy();
                let message = format!("{path} cannot be started: {error}");
                let failure = internal::failure(ErrorType::HandlerStartFailed, message);
                return responder.fail(&failure);
            }
        };
        shared.stderr.start_event();
        let execution = Execution {
            settings: self.settings,
            context,
            child: &mut child,
            stderr: &mut shared.stderr,
            stdout: Some(stdout),
            completion: Completion::Exit,
            watchdog,
        };
        execution.answer(responder, &mut self.buffer)
    }
}
