//! The warm shell, and this side of the conversation with it; the other side is in shell_side/.
//!
//! In: an event and its context. Out: a line that wakes the event's subshell; then a line with the
//! event's number and its status. What an event needs stays open here under numbers that the shell
//! knows from its start. It must never take a report for another event than the one that runs.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zerostrap::internal::{self, ErrorType};
use zerostrap::{Context, Failure};

use super::child::Child;
use super::execution::{StatusSource, Watchdog};
use super::output::Abort;
use super::stderr::StderrForwarder;
use super::{environment, program};
use crate::settings::{EventVia, HandlerSettings};
use crate::status::{self, Report};
use crate::sys;

/// What a shell needs of the shell's side of the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bash,
    Ksh,
    Posix,
}

impl Kind {
    /// Finds the kind in the name of the shell's file, to which `sh` is a link.
    fn of(shell: &Path) -> Kind {
        let file = shell.canonicalize().unwrap_or_else(|_| shell.to_owned());
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if name.contains("bash") {
            Kind::Bash
        } else if name.contains("ksh") {
            Kind::Ksh
        } else {
            Kind::Posix
        }
    }

    /// Returns the program that the shell runs. A shell parses all of it at every start.
    fn program(self, hooks: Hooks) -> String {
        let hooks_side = match hooks {
            Hooks::None => "",
            Hooks::Both | Hooks::AfterRestore => HOOKS_SIDE,
        };
        let (kind_side, ksh_side, loop_side) = match self {
            Kind::Bash => (BASH_SIDE, "", BASH_LOOP),
            Kind::Ksh => (POSIX_SIDE, KSH_SIDE, POSIX_LOOP),
            Kind::Posix => (POSIX_SIDE, "", POSIX_LOOP),
        };
        [
            kind_side,
            ksh_side,
            SERVE_START,
            hooks_side,
            loop_side,
            SERVE_END,
        ]
        .concat()
    }
}

/// Shells that can run it.
const SHELLS: [&str; 7] = ["sh", "bash", "dash", "ash", "ksh", "ksh93", "mksh"];

/// The shell of a script that names none: the first of these that exists.
const DEFAULT_SHELLS: [&str; 2] = ["bash", "/bin/sh"];

/// Longest `#!` line that is looked at, as the kernel does.
const FIRST_LINE_LIMIT: usize = 256;

// The files of `shell_side/` as build.rs left them: without comments and indentation.
const BASH_SIDE: &str = include_str!(concat!(env!("OUT_DIR"), "/bash.sh"));
const KSH_SIDE: &str = include_str!(concat!(env!("OUT_DIR"), "/ksh.sh"));
const POSIX_SIDE: &str = include_str!(concat!(env!("OUT_DIR"), "/posix.sh"));
const HOOKS_SIDE: &str = include_str!(concat!(env!("OUT_DIR"), "/hooks.sh"));
const SERVE_START: &str = include_str!(concat!(env!("OUT_DIR"), "/serve_start.sh"));
const SERVE_END: &str = include_str!(concat!(env!("OUT_DIR"), "/serve_end.sh"));
const BASH_LOOP: &str = include_str!(concat!(env!("OUT_DIR"), "/bash_loop.sh"));
const POSIX_LOOP: &str = include_str!(concat!(env!("OUT_DIR"), "/posix_loop.sh"));

/// What wakes a subshell, between two guard bytes.
const WAKE: &[u8] = b"\x01go\x01\n";

/// The context of the trial event, which runs no function.
const TRIAL_VARIABLE: &[u8] = b"LAMBDA_RUNTIME_AWS_REQUEST_ID=trial";

/// A byte that no header value holds, and that no IFS has.
const GUARD_BYTE: u8 = 1;

/// Most bytes of a report, and of the places where a function failed.
const REPORT_LIMIT: usize = 64;
const PLACES_LIMIT: usize = 4_096;

/// What a shell is started with.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    event_via: EventVia,
    script: PathBuf,
    interpreter: PathBuf,
    kind: Kind,
    function: &'a str,
    hooks: Hooks,
}

/// The functions of the script that run before and after a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hooks {
    /// There is no snapshot.
    None,
    /// Both are still to come, each when it is called for.
    Both,
    /// The snapshot was restored: a new shell has to run both by itself.
    AfterRestore,
}

impl<'a> Start<'a> {
    /// Finds the shell of the script: the one that its `#!` line names, else bash if it exists,
    /// else /bin/sh.
    ///
    /// # Errors
    /// `Runtime.HandlerNotExecutable`: the script cannot be read, or its shell does not exist.
    pub(crate) fn new(
        settings: &HandlerSettings,
        script: PathBuf,
        function: &'a str,
        is_snap_start: bool,
    ) -> Result<Start<'a>, Failure> {
        let interpreter = match interpreter(&script) {
            Ok(interpreter) => interpreter,
            Err(reason) => {
                let message = format!("{}: {reason}", script.display());
                let error_type = ErrorType::HandlerNotExecutable;
                return Err(internal::failure(error_type, message));
            }
        };
        Ok(Start {
            event_via: settings.event_via,
            script,
            kind: Kind::of(&interpreter),
            interpreter,
            function,
            hooks: match is_snap_start {
                true => Hooks::Both,
                false => Hooks::None,
            },
        })
    }

    pub(crate) fn script(&self) -> &Path {
        &self.script
    }

    /// Notes that the snapshot was restored.
    pub(crate) fn note_restored(&mut self) {
        self.hooks = Hooks::AfterRestore;
    }

    /// Returns the names of the hooks, in the order in which the shell will run them.
    fn hook_names(&self) -> [&'static str; 2] {
        match self.hooks {
            Hooks::None => ["", ""],
            Hooks::Both | Hooks::AfterRestore => ["before_snapshot", "after_restore"],
        }
    }

    /// Creates the failure of a shell that did not source the script.
    fn failed(&self, reason: &str) -> Failure {
        let script = self.script.display();
        let shell = self.interpreter.display();
        let message = format!("{script} with {shell}: {reason}");
        internal::failure(ErrorType::HandlerInitFailed, message)
    }
}

fn interpreter(script: &Path) -> Result<PathBuf, String> {
    let mut first = [0; FIRST_LINE_LIMIT];
    let read = sys::open(&super::path_string(script)).and_then(|mut file| file.read(&mut first));
    let length = read.map_err(|error| format!("cannot be read: {error}"))?;
    let first = first.get(..length).unwrap_or_default();
    let named = program::interpreter_line(first).and_then(program::interpreter_of);
    if let Some(named) = named.filter(|named| is_shell(named)) {
        return program::find(named).ok_or_else(|| {
            let named = named.display();
            format!("it runs in the shell {named}, which does not exist")
        });
    }
    DEFAULT_SHELLS
        .iter()
        .find_map(|shell| program::find(Path::new(shell)))
        .ok_or_else(|| "it needs a shell, and there is neither bash nor /bin/sh".to_owned())
}

fn is_shell(path: &Path) -> bool {
    SHELLS.iter().any(|shell| path.ends_with(shell))
}

/// A shell that has sourced the script, or is about to.
#[derive(Debug)]
pub(crate) struct WarmShell {
    pub(crate) child: Child,
    pub(crate) stderr: StderrForwarder,
    pub(crate) conversation: Conversation,
}

/// How far a shell is.
#[derive(Debug)]
pub(crate) enum Sourced {
    Ready,
    /// The event's time is over; the failure says so.
    NotYet(Failure),
}

impl WarmShell {
    /// Starts a shell, which then sources the script.
    ///
    /// # Errors
    /// The shell cannot be started.
    pub(crate) fn spawn(start: &Start<'_>) -> Result<WarmShell, Failure> {
        WarmShell::try_spawn(start).map_err(|error| start.failed(&error.to_string()))
    }

    fn try_spawn(start: &Start<'_>) -> io::Result<WarmShell> {
        let mut stderr = StderrForwarder::new()?;
        stderr.keep_last_words(true);
        let conversation = Conversation::new(start)?;
        let via = match start.event_via {
            EventVia::Argument => c"argument",
            EventVia::Stdin => c"stdin",
        };
        let name = super::path_string(&std::env::current_dir()?.join("bootstrap"));
        let interpreter = super::path_string(&start.interpreter);
        let script = super::path_string(&start.script);
        let program = c_string(&start.kind.program(start.hooks));
        let function = c_string(start.function);
        let numbers = conversation.numbers().map(|number| c_string(&number));
        let hooks = start.hook_names().map(c_string);
        let mut arguments: Vec<&CStr> = vec![&interpreter, c"-c", &program];
        // From here on in the order in which serve.sh reads them: $0 to $11.
        arguments.extend([&*name, &script, &function, via]);
        arguments.extend(numbers.iter().chain(&hooks).map(CString::as_c_str));
        let stdin = sys::open(c"/dev/null")?;
        let descriptors = [stdin.as_fd(), stderr.writer(), stderr.writer()];
        let child = Child::spawn(&arguments, &environment::base(), descriptors)?;
        Ok(WarmShell {
            child,
            stderr,
            conversation,
        })
    }

    /// Waits until the shell is ready: it has sourced the script and answered the trial event, and
    /// after a restore run both hooks.
    ///
    /// # Errors
    /// `Runtime.NoSuchHandler` or `Runtime.HandlerInitFailed`; the shell has ended then.
    pub(crate) fn finish_sourcing(
        &mut self,
        start: &Start<'_>,
        watchdog: Option<Watchdog>,
    ) -> Result<Sourced, Failure> {
        loop {
            let report = match self.next_report(watchdog) {
                Ok(Some(report)) => report,
                Ok(None) => return Err(self.explain_end(start)),
                Err(Abort::TimedOut) => {
                    let what = format!("{} was still being sourced", start.script.display());
                    return Ok(Sourced::NotYet(timed_out(watchdog, &what)));
                }
                Err(Abort::Failed(failure)) => return Err(failure),
            };
            match report {
                Report::Sourced if start.hooks == Hooks::Both => return Ok(Sourced::Ready),
                Report::Sourced => self.conversation.wake_hooks().map_err(Failure::from)?,
                Report::Hooked => {}
                Report::Ended {
                    number: 0,
                    status: 0,
                } => {
                    self.stderr.end_line(None);
                    self.stderr.keep_last_words(false);
                    return Ok(Sourced::Ready);
                }
                report => return Err(self.refuse(start, report)),
            }
        }
    }

    /// Runs the next hook.
    ///
    /// # Errors
    /// The hook fails, which ends the shell.
    pub(crate) fn run_hook(&mut self, name: &str, error_type: ErrorType) -> Result<(), Failure> {
        let why = match self.try_hook() {
            Ok(Some(Report::Hooked)) => return Ok(()),
            Ok(None) => match self.child.kill() {
                Ok(status) => status::describe(status),
                Err(error) => format!("ended the shell: {error}"),
            },
            Ok(Some(_)) | Err(_) => "did not end".to_owned(),
        };
        let message = format!("the hook {name} {why}");
        Err(internal::failure(error_type, message))
    }

    /// Tries the trial event, which hooks have put off.
    ///
    /// # Errors
    /// As for [`WarmShell::finish_sourcing`].
    pub(crate) fn try_out(&mut self, start: &Start<'_>) -> Result<(), Failure> {
        self.conversation.wake_trial().map_err(Failure::from)?;
        self.finish_sourcing(start, None).map(drop)
    }

    fn try_hook(&mut self) -> Result<Option<Report>, Abort> {
        self.conversation.wake()?;
        self.next_report(None)
    }

    /// Waits for the shell's next report, and forwards its output meanwhile. Returns `None` if the
    /// shell ends without one.
    fn next_report(&mut self, watchdog: Option<Watchdog>) -> Result<Option<Report>, Abort> {
        loop {
            let time_left = watchdog.map(|watchdog| watchdog.time_left());
            if time_left == Some(Duration::ZERO) {
                return Err(Abort::TimedOut);
            }
            let descriptors = [
                Some(self.stderr.descriptor()),
                Some(self.conversation.status.as_fd()),
                Some(self.child.pidfd()),
            ];
            let [stderr, report, ended] = sys::poll(descriptors, time_left)?;
            // First, so that what the script wrote is logged before its end counts.
            if stderr {
                self.stderr.forward(None);
            } else if report {
                return self.conversation.read_report().map(Some);
            } else if ended {
                return Ok(None);
            }
        }
    }

    /// Why a report that does not say "ready" is a failure.
    fn refuse(&mut self, start: &Start<'_>, report: Report) -> Failure {
        let _ = self.child.kill();
        self.stderr.drain(None);
        let script = start.script.display();
        match report {
            Report::MissingFunction => {
                let function = start.function;
                let cause = known_cause(&start.script);
                let message = format!("{script} does not define {function}(){cause}");
                internal::failure(ErrorType::NoSuchHandler, message)
            }
            Report::TakenName => start.failed(
                "it defines a function named 'command' or disables a builtin, and the bootstrap's \
                 side of the shell cannot do without; rename or enable it",
            ),
            Report::Sourced | Report::Hooked | Report::Ended { .. } | Report::Unknown(_) => {
                let words = self.stderr.keep_last_words(false);
                let words = last_line(&words);
                start.failed(&format!(
                    "it changes the shell so that the bootstrap's side of it does not work: a trial \
                     before the first event failed; last words: {words}"
                ))
            }
        }
    }

    /// Why a shell has ended while it sourced the script.
    fn explain_end(&mut self, start: &Start<'_>) -> Failure {
        let ended = self.child.kill();
        self.stderr.drain(None);
        let words = self.stderr.keep_last_words(false);
        let how = match &ended {
            Ok(status) => format!("{} while it was sourced", status::describe(*status)),
            Err(error) => format!("cannot be sourced: {error}"),
        };
        let last = last_line(&words);
        let said = match ended {
            _ if !last.is_empty() => format!("; last words: {last}"),
            Ok(status) => match status.code() {
                Some(code) => {
                    format!("; it wrote nothing, its last command ended with status {code}")
                }
                None => String::new(),
            },
            Err(_) => String::new(),
        };
        let cause = known_cause(&start.script);
        start
            .failed(&format!("{how}{said}{cause}"))
            .with_trace(&words)
    }

    /// Returns how the shell was lost, if it was, or what it said unasked.
    pub(crate) fn loss_while_idle(&mut self) -> Option<String> {
        let conversation = &mut self.conversation;
        let descriptors = [
            Some(self.child.pidfd()),
            Some(conversation.status.as_fd()),
            Some(conversation.places.as_fd()),
        ];
        let [ended, report, places] = match sys::poll(descriptors, Some(Duration::ZERO)) {
            Ok(found) => found,
            Err(error) => return Some(format!("cannot be watched: {error}")),
        };
        if places {
            conversation.read_places();
        }
        if report && !ended {
            return Some("lost the subshell of its next event while it was idle".to_owned());
        }
        if !ended {
            return None;
        }
        match self.child.kill() {
            Ok(status) => Some(format!("{} while it was idle", status::describe(status))),
            Err(error) => Some(format!("ended while it was idle: {error}")),
        }
    }

    /// Hands the event to its subshell. Returns the pipe of the function's standard output.
    ///
    /// # Errors
    /// There are no more descriptors, or no memory.
    pub(crate) fn wake(&mut self, context: &Context, event: &File) -> io::Result<PipeReader> {
        let mut lines = Vec::new();
        for variable in environment::of_event(context) {
            self.conversation.push_line(&mut lines, variable.as_bytes());
        }
        let (stdout, writer) = sys::pipe()?;
        let conversation = &mut self.conversation;
        sys::replace(&conversation.event, event)?;
        sys::replace(&conversation.output, &writer)?;
        conversation.set_context(&lines)?;
        conversation.wake_next()?;
        Ok(stdout)
    }
}

/// The failure of what took longer than the event has.
fn timed_out(watchdog: Option<Watchdog>, what: &str) -> Failure {
    match watchdog {
        Some(watchdog) => watchdog.failure(what),
        None => internal::failure(ErrorType::TimedOut, what),
    }
}

/// What often is behind a script that cannot be sourced, as the end of a sentence.
fn known_cause(script: &Path) -> String {
    let text = std::fs::read(script).unwrap_or_default();
    if text.starts_with(b"\xef\xbb\xbf") {
        return "; the script starts with a byte-order mark, save it as UTF-8 without one"
            .to_owned();
    }
    if text.windows(2).any(|two| two == b"\r\n") {
        return "; the script has Windows line ends (CR LF), save it with Unix line ends"
            .to_owned();
    }
    match sys::open(c"/proc/self/exe") {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            "; this user may not read the bootstrap's file, so that the shell cannot open what is in \
             /proc/PID/fd; run chmod a+r on it before packing"
                .to_owned()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            "; /proc is not mounted, which shell functions need".to_owned()
        }
        _ => String::new(),
    }
}

/// The last line of a text.
fn last_line(text: &[u8]) -> String {
    let line = text.trim_ascii_end().rsplit(|&byte| byte == b'\n').next();
    String::from_utf8_lossy(line.unwrap_or_default()).into_owned()
}

fn c_string(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}

/// What the two sides talk through. The shell opens each thing as /proc/PID/fd/NUMBER, so all of it
/// stays open here.
#[derive(Debug)]
pub(crate) struct Conversation {
    waker: PipeWriter,
    wake_end: PipeReader,
    status: PipeReader,
    status_end: PipeWriter,
    places: PipeReader,
    places_end: PipeWriter,
    context: File,
    /// The current event's file.
    event: OwnedFd,
    /// The pipe for its response.
    output: OwnedFd,
    /// The number of the event that was woken last.
    number: u64,
    /// How the shell reads its context.
    kind: Kind,
}

impl Conversation {
    /// Makes all of it. Wakes the trial event before the shell is there, unless hooks come first.
    fn new(start: &Start<'_>) -> io::Result<Conversation> {
        let (wake_end, waker) = io::pipe()?;
        let (status, status_end) = sys::pipe()?;
        let (places, places_end) = sys::pipe()?;
        let context = sys::memory_file()?;
        let event = OwnedFd::from(sys::memory_file()?);
        let output = sys::duplicate(&context)?;
        let mut conversation = Conversation {
            waker,
            wake_end,
            status,
            status_end,
            places,
            places_end,
            context,
            event,
            output,
            number: 0,
            kind: start.kind,
        };
        sys::wake_at_shutdown(&conversation.waker);
        if start.hooks == Hooks::None {
            conversation.wake_trial()?;
        }
        Ok(conversation)
    }

    /// Wakes both hooks, and then the trial event.
    fn wake_hooks(&mut self) -> io::Result<()> {
        self.wake()?;
        self.wake()?;
        self.wake_trial()
    }

    /// Wakes the trial event.
    fn wake_trial(&mut self) -> io::Result<()> {
        let mut lines = Vec::new();
        self.push_line(&mut lines, TRIAL_VARIABLE);
        self.set_context(&lines)?;
        self.wake()
    }

    /// Appends a variable as the shell reads it: bash a bare line, others one between guard bytes.
    fn push_line(&self, lines: &mut Vec<u8>, variable: &[u8]) {
        let guard: &[u8] = match self.kind {
            Kind::Bash => &[],
            Kind::Ksh | Kind::Posix => &[GUARD_BYTE],
        };
        for part in [guard, variable, guard, b"\n"] {
            lines.extend_from_slice(part);
        }
    }

    /// Returns the numbers of what the shell opens, in the order of its arguments.
    fn numbers(&self) -> [String; 6] {
        [
            self.wake_end.as_raw_fd(),
            self.status_end.as_raw_fd(),
            self.context.as_raw_fd(),
            self.event.as_raw_fd(),
            self.output.as_raw_fd(),
            self.places_end.as_raw_fd(),
        ]
        .map(|number| number.to_string())
    }

    /// Writes the context. The end of the file is set last, so that it keeps its page.
    fn set_context(&mut self, lines: &[u8]) -> io::Result<()> {
        self.context.write_all_at(lines, 0)?;
        self.context.set_len(lines.len() as u64)
    }

    /// Wakes the subshell that waits.
    fn wake(&mut self) -> io::Result<()> {
        self.waker.write_all(WAKE)
    }

    /// Wakes the subshell that waits, for the next event.
    fn wake_next(&mut self) -> io::Result<()> {
        self.number = self.number.saturating_add(1);
        self.wake()
    }

    /// Reads a report, which must be there.
    fn read_report(&mut self) -> Result<Report, Abort> {
        let mut space = [0; REPORT_LIMIT];
        let length = self.status.read(&mut space)?;
        let line = space.get(..length).unwrap_or_default();
        Ok(status::parse_report(line).unwrap_or_else(|| {
            let line = String::from_utf8_lossy(line);
            Report::Unknown(line.trim_ascii_end().to_owned())
        }))
    }

    /// Reads the places that the shell reported. Those of other events than the current one are
    /// left out.
    fn read_places(&mut self) -> Vec<u8> {
        let mut space = [0; PLACES_LIMIT];
        let length = self.places.read(&mut space).unwrap_or(0);
        let text = space.get(..length).unwrap_or_default();
        let prefix = format!("{} ", self.number);
        let mut places = Vec::new();
        for line in text.split(|&byte| byte == b'\n') {
            if let Some(place) = line.strip_prefix(prefix.as_bytes()) {
                places.extend_from_slice(place);
                places.push(b'\n');
            }
        }
        places
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        sys::forget_waker();
    }
}

impl StatusSource for Conversation {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.status.as_fd()
    }

    fn read_status(&mut self) -> Result<u8, Abort> {
        let running = self.number;
        let said = match self.read_report()? {
            Report::Ended { number, status } if number == running => return Ok(status),
            Report::Unknown(text) => format!("'{text}'"),
            report => format!("{report:?}"),
        };
        let message = format!("the warm shell reported {said} while event {running} ran");
        Err(Abort::Failed(internal::failure(
            ErrorType::HandlerLost,
            message,
        )))
    }

    fn release_output(&mut self) {
        // Any descriptor will do that is not the pipe's.
        let _ = sys::replace(&self.output, &self.wake_end);
    }

    fn failed_at(&mut self) -> Vec<u8> {
        self.read_places()
    }
}
