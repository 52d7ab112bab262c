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

    /// Starts the program for one event. Returns it and the pipe of its standard output.
    fn spawn(
        &mut self,
        path: &CString,
        event: &mut EventFile,
        context: &Context,
    ) -> io::Result<(Child, PipeReader)> {
        let stdin = event.take()?;
        let (pipe, stdout) = sys::pipe()?;
        let base = self.environment.len();
        self.environment.extend(environment::of_event(context));
        let descriptors = [stdin.as_fd(), stdout.as_fd(), self.stderr.writer()];
        let child = Child::spawn(&[path], &self.environment, descriptors);
        self.environment.truncate(base);
        Ok((child?, pipe))
    }
}

impl Handler for Executable<'_> {
    fn receive(&mut self, part: &[u8]) {
        self.event.receive(part);
    }

    fn handle(&mut self, context: &Context, responder: Responder<'_>) -> Answered {
        let watchdog = Watchdog::new(self.settings, context);
        let shared = match self.shared.take() {
            Some(shared) => Ok(shared),
            None => Shared::new(),
        };
        let started = shared.and_then(|mut shared| {
            let spawned = shared.spawn(&self.path, &mut self.event, context);
            Ok((self.shared.insert(shared), spawned?))
        });
        match started {
            Ok((shared, (mut child, pipe))) => {
                shared.stderr.start_event();
                let execution = Execution {
                    settings: self.settings,
                    context,
                    child: &mut child,
                    stderr: &mut shared.stderr,
                    stdout: Some(pipe),
                    completion: Completion::Exit,
                    watchdog,
                };
                execution.answer(responder, &mut self.buffer)
            }
            Err(error) => {
                let path = self.path.to_string_lossy();
                let message = format!("{path} cannot be started: {error}");
                responder.fail(&internal::failure(ErrorType::HandlerStartFailed, message))
            }
        }
    }
}
