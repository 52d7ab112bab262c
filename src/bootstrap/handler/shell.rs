//! A shell function: the script is sourced once, into a shell that stays warm; each event runs in a
//! subshell that this shell forked before. If the shell is lost, the next event finds another.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use zerostrap::internal::log::{self, Level};
use zerostrap::internal::{self, ErrorType};
use zerostrap::{Answered, Context, Failure, Handler, Responder};

use super::event_file::EventFile;
use super::execution::{Completion, Execution, Watchdog};
use super::output::Buffer;
use super::warm_shell::{Sourced, Start, WarmShell};
use crate::settings::HandlerSettings;
use crate::sys;

/// How long a shell may take to source its script again, over several events if need be. After
/// that another shell is started. It is Lambda's own limit for an init (AWS, execution environment,
/// "Init phase").
const SOURCE_LIMIT: Duration = Duration::from_secs(10);

/// A handler that is a function of a script.
#[derive(Debug)]
pub(crate) struct Shell<'a> {
    settings: &'a HandlerSettings,
    lifecycle: Lifecycle<'a>,
    event: EventFile,
    buffer: Buffer,
}

/// The warm shell from its start to its loss, and the next one.
#[derive(Debug)]
struct Lifecycle<'a> {
    start: Start<'a>,
    state: State,
}

/// What there is of the warm shell.
#[derive(Debug)]
enum State {
    /// It was lost, and no other could be started in its place.
    None,
    /// It is sourcing the script.
    Sourcing { shell: WarmShell, since: Instant },
    /// It waits for an event.
    Ready(WarmShell),
}

impl<'a> Shell<'a> {
    /// Starts the shell, and waits until it has sourced the script. There is no limit to that,
    /// since Lambda limits the init.
    ///
    /// # Errors
    /// `Runtime.HandlerNotExecutable`, `Runtime.NoSuchHandler` or `Runtime.HandlerInitFailed`.
    pub(crate) fn start(
        settings: &'a HandlerSettings,
        script: PathBuf,
        function: &'a str,
        is_snap_start: bool,
    ) -> Result<Shell<'a>, Failure> {
        sys::reset_signals();
        let start = Start::new(settings, script, function, is_snap_start)?;
        let mut shell = WarmShell::spawn(&start)?;
        shell.finish_sourcing(&start, None)?;
        Ok(Shell {
            settings,
            lifecycle: Lifecycle {
                start,
                state: State::Ready(shell),
            },
            event: EventFile::default(),
            buffer: Buffer::default(),
        })
    }
}

impl Lifecycle<'_> {
    /// Starts a shell without waiting for it.
    fn restart(&mut self) -> Result<(), Failure> {
        self.state = State::None;
        self.state = State::Sourcing {
            shell: WarmShell::spawn(&self.start)?,
            since: Instant::now(),
        };
        Ok(())
    }

    /// Replaces the shell if it was lost while it was idle, so that the loss costs no event.
    fn replace_lost(&mut self) -> Result<(), Failure> {
        let loss = match &mut self.state {
            State::Ready(shell) => shell.loss_while_idle(),
            State::None => Some("could not be started before".to_owned()),
            State::Sourcing { .. } => None,
        };
        if let Some(reason) = loss {
            let script = self.start.script().display();
            let message = format!("the shell of {script} {reason}; another takes its place");
            log::write(Level::Warn, None, &message);
            self.restart()?;
        }
        Ok(())
    }

    /// Waits for the shell until it is ready, at most until the event's time is over.
    ///
    /// # Errors
    /// The script fails, or is not sourced in time.
    fn ready(&mut self, watchdog: Option<Watchdog>) -> Result<&mut WarmShell, Failure> {
        self.replace_lost()?;
        let was_started_before = matches!(self.state, State::Sourcing { .. });
        let mut outcome = self.wait_until_ready(watchdog);
        if outcome.is_err() && was_started_before && matches!(self.state, State::None) {
            // It failed while there was no event. Now it may work.
            self.restart()?;
            outcome = self.wait_until_ready(watchdog);
        }
        outcome?;
        match &mut self.state {
            State::Ready(shell) => Ok(shell),
            _ => Err(internal::failure(
                ErrorType::HandlerStartFailed,
                "there is no shell",
            )),
        }
    }

    /// Waits for a shell that is sourcing the script.
    fn wait_until_ready(&mut self, watchdog: Option<Watchdog>) -> Result<(), Failure> {
        let State::Sourcing { shell, since } = &mut self.state else {
            return Ok(());
        };
        match shell.finish_sourcing(&self.start, watchdog) {
            Ok(Sourced::Ready) => {
                if let State::Sourcing { shell, .. } =
                    std::mem::replace(&mut self.state, State::None)
                {
                    self.state = State::Ready(shell);
                }
                Ok(())
            }
            Ok(Sourced::NotYet(failure)) => {
                if since.elapsed() > SOURCE_LIMIT {
                    self.state = State::None;
                }
                Err(failure)
            }
            Err(failure) => {
                self.state = State::None;
                Err(failure)
            }
        }
    }
}

impl Handler for Shell<'_> {
    fn receive(&mut self, part: &[u8]) {
        self.event.receive(part);
    }

    fn handle(&mut self, context: &Context, responder: Responder<'_>) -> Answered {
        let watchdog = Watchdog::new(self.settings, context);
        let event = self.event.take();
        let shell = match self.lifecycle.ready(watchdog) {
            Ok(shell) => shell,
            Err(failure) => return responder.fail(&self.start_failed(failure)),
        };
        let stdout = match event.and_then(|event| shell.wake(context, &event)) {
            Ok(stdout) => stdout,
            Err(error) => return responder.fail(&self.start_failed(Failure::from(error))),
        };
        let WarmShell {
            child,
            stderr,
            conversation,
        } = shell;
        stderr.start_event();
        let execution = Execution {
            settings: self.settings,
            context,
            child,
            stderr,
            stdout: Some(stdout),
            completion: Completion::Report(conversation),
            watchdog,
        };
        execution.answer(responder, &mut self.buffer)
    }

    /// Starts a new shell if the old one was lost in the event. It sources the script while the
    /// next event is asked for.
    fn recover(&mut self) -> Result<(), Failure> {
        let is_lost = match &self.lifecycle.state {
            State::Ready(shell) => shell.child.is_reaped(),
            State::None => true,
            State::Sourcing { .. } => false,
        };
        if is_lost && let Err(failure) = self.lifecycle.restart() {
            let message = failure.message();
            log::write(Level::Error, None, message);
        }
        Ok(())
    }

    fn before_snapshot(&mut self) -> Result<(), Failure> {
        self.hook("before_snapshot", ErrorType::BeforeSnapshotError)
    }

    fn after_restore(&mut self) -> Result<(), Failure> {
        self.hook("after_restore", ErrorType::AfterRestoreError)?;
        self.lifecycle.start.note_restored();
        match &mut self.lifecycle.state {
            State::Ready(shell) => shell.try_out(&self.lifecycle.start),
            State::None | State::Sourcing { .. } => Ok(()),
        }
    }
}

impl Shell<'_> {
    fn hook(&mut self, name: &str, error_type: ErrorType) -> Result<(), Failure> {
        match &mut self.lifecycle.state {
            State::Ready(shell) => shell.run_hook(name, error_type),
            State::None | State::Sourcing { .. } => {
                let message = format!("the hook {name} cannot be run: there is no shell");
                Err(internal::failure(error_type, message))
            }
        }
    }

    /// The failure of an event for which there is no shell. A time-out keeps its own type.
    fn start_failed(&self, failure: Failure) -> Failure {
        if failure.error_type() == ErrorType::TimedOut.as_str() {
            return failure;
        }
        let script = self.lifecycle.start.script().display();
        let message = format!("{script} cannot be run: {}", failure.message());
        internal::failure(ErrorType::HandlerStartFailed, message)
    }
}
