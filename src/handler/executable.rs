//! An executable: a process per event, the event on its standard input, the response from its
//! standard output, nothing of it left when the next event is asked for.

use std::io::{self, PipeReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use zerostrap::{Answered, Failure, Invocation, Reply, Settings, log};

use super::logs::Pump;
use super::output::{Buffer, Output};
use super::run::{self, Ending, Event, Process, Watch};

/// A handler that is a file.
#[derive(Debug)]
pub(crate) struct Executable<'a> {
    settings: &'a Settings,
    path: PathBuf,
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
    pub(crate) fn new(settings: &'a Settings, path: PathBuf) -> Executable<'a> {
        let path = super::with_folder(&path);
        Executable { settings, path, event: Event::default(), buffer: Buffer::default() }
    }

    pub(crate) fn describe(&self) -> String {
        format!("executable {}", self.path.display())
    }

    pub(crate) fn handle(&mut self, invocation: &Invocation, reply: Reply<'_>) -> Answered {
        let Started { process, mut pipe, mut log } = match self.start(invocation) {
            Ok(started) => started,
            Err(error) => {
                let message = format!("{} cannot be started: {error}", self.path.display());
                return reply.fail(&Failure::new("Runtime.HandlerStartFailed", message));
            }
        };
        let mut output = Output::new(self.settings, &mut self.buffer, reply);
        let margin = self.settings.deadline_margin;
        let mut watch = Watch {
            invocation,
            process: &process,
            pipe: &mut pipe,
            log: log.as_mut(),
            word: None,
            margin,
        };
        let ending = watch.run(&mut output);
        let status = process.collect();
        let ending = match ending {
            Ending::ProcessEnded => run::ending_of(status),
            other => other,
        };
        run::answer(ending, output, margin)
    }

    fn start(&mut self, invocation: &Invocation) -> io::Result<Started> {
        let event = self.event.take()?;
        let (pipe, stdout) = io::pipe()?;
        let mut command = Command::new(&self.path);
        run::clean_environment(&mut command);
        command.envs(run::variables(invocation)).stdin(event).stdout(stdout);
        let mut log = None;
        if log::is_json() {
            let (reader, writer) = io::pipe()?;
            command.stderr(writer);
            log = Some(Pump::new(reader));
        } else {
            command.stderr(Stdio::inherit());
        }
        let process = Process::spawn(&mut command)?;
        Ok(Started { process, pipe, log })
    }
}
