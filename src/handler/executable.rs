//! An executable: a process per event, the event on its standard input, the response from its
//! standard output, nothing of it left when the next event is asked for.

use std::ffi::CString;
use std::io::{self, PipeReader};
use std::os::fd::AsFd;
use std::path::Path;

use zerostrap::{Answered, Failure, Invocation, Reply, Settings, log};

use super::logs::Pump;
use super::output::{Buffer, Output};
use super::process::{self, Event, Process};
use super::run::{self, Ending, Limit, Watch};

/// A handler that is a file.
#[derive(Debug)]
pub(crate) struct Executable<'a> {
    settings: &'a Settings,
    path: CString,
    /// What every event's environment begins with; made at the first event.
    environment: Vec<CString>,
    pub(super) event: Event,
    buffer: Buffer,
}

/// A process that runs one event.
struct Started {
    process: Process,
    pipe: PipeReader,
    log: Option<Pump>,
}

impl<'a> Executable<'a> {
    pub(crate) fn new(settings: &'a Settings, path: &Path) -> Executable<'a> {
        let (event, buffer) = (Event::default(), Buffer::default());
        let path = super::path_string(path);
        Executable { settings, path, environment: Vec::new(), event, buffer }
    }

    pub(crate) fn describe(&self) -> String {
        format!("executable {}", self.path.to_string_lossy())
    }

    pub(crate) fn handle(&mut self, invocation: &Invocation, reply: Reply<'_>) -> Answered {
        let Started { process, mut pipe, mut log } = match self.start(invocation) {
            Ok(started) => started,
            Err(error) => {
                let message = format!("{} cannot be started: {error}", self.path.to_string_lossy());
                return reply.fail(&Failure::new("Runtime.HandlerStartFailed", message));
            }
        };
        let limit = Limit::of(invocation, self.settings.deadline_margin);
        let mut output = Output::new(self.settings, &mut self.buffer, reply, limit.stop_at);
        let mut watch = Watch {
            invocation,
            process: &process,
            pipe: &mut pipe,
            writer: None,
            log: log.as_mut(),
            word: None,
            limit,
            open: true,
        };
        let ending = watch.run(&mut output);
        let status = process.collect();
        let ending = match ending {
            Ending::ProcessEnded => run::ending_of(status),
            other => other,
        };
        let answered = run::answer(ending, output, invocation, limit);
        if let Some(log) = &mut log {
            run::drain_log(log, invocation);
        }
        answered
    }

    fn start(&mut self, invocation: &Invocation) -> io::Result<Started> {
        let event = self.event.take()?;
        let (pipe, stdout) = io::pipe()?;
        if self.environment.is_empty() {
            process::prepare(self.settings)?;
            self.environment = process::base_environment();
        }
        let base = self.environment.len();
        self.environment.extend(process::variables(invocation));
        let log = if log::is_json() { Some(io::pipe()?) } else { None };
        let inherited = io::stderr();
        let stderr = log.as_ref().map_or(inherited.as_fd(), |(_, writer)| writer.as_fd());
        let descriptors = [event.as_fd(), stdout.as_fd(), stderr];
        let process = Process::spawn(&self.path, &[&self.path], &self.environment, descriptors);
        self.environment.truncate(base);
        Ok(Started { process: process?, pipe, log: log.map(|(reader, _)| Pump::new(reader)) })
    }
}
