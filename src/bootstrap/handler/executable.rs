//! An executable: a process per event, the event on its standard input, the response from its
//! standard output, nothing of it left when the next event is asked for.

use std::ffi::CString;
use std::io::{self, PipeReader};
use std::os::fd::AsFd;
use std::path::Path;

use zerostrap::{Answered, Failure, Handler, Invocation, Reply, Settings, log};

use super::child::{self, Event, Process};
use super::execution::Run;
use super::output::Buffer;
use crate::sys;

/// A handler that is a file.
pub(crate) struct Executable<'a> {
    settings: &'a Settings,
    path: CString,
    /// What every event's environment begins with; made at the first event.
    environment: Vec<CString>,
    event: Event,
    buffer: Buffer,
}

impl<'a> Executable<'a> {
    pub(crate) fn new(settings: &'a Settings, path: &Path) -> Executable<'a> {
        let (path, environment) = (super::path_string(path), Vec::new());
        let (event, buffer) = (Event::default(), Buffer::default());
        Executable {
            settings,
            path,
            environment,
            event,
            buffer,
        }
    }

    fn start(&mut self, invocation: &Invocation) -> io::Result<(Process, PipeReader)> {
        let event = self.event.take()?;
        let (pipe, stdout) = io::pipe()?;
        if self.environment.is_empty() {
            // At start-up both would be in the way.
            sys::prepare_signals();
            self.environment = child::base_environment();
        }
        let (log, writer) = if log::is_json() {
            Some(io::pipe()?)
        } else {
            None
        }
        .unzip();
        let base = self.environment.len();
        self.environment.extend(child::variables(invocation));
        let (streams, log) = ([event.as_fd(), stdout.as_fd()], log.zip(writer.as_ref()));
        let process = Process::spawn(&[&self.path], &self.environment, streams, log);
        self.environment.truncate(base);
        Ok((process?, pipe))
    }
}

impl Handler for Executable<'_> {
    fn receive(&mut self, part: &[u8]) {
        self.event.receive(part);
    }

    fn handle(&mut self, invocation: &Invocation, reply: Reply<'_>) -> Answered {
        match self.start(invocation) {
            Ok((mut process, pipe)) => {
                let run = Run::new(self.settings, invocation, &mut process, pipe, None);
                run.answer(reply, &mut self.buffer)
            }
            Err(error) => {
                let message = format!("{} cannot be started: {error}", self.path.to_string_lossy());
                reply.fail(&Failure::new("Runtime.HandlerStartFailed", message))
            }
        }
    }
}
