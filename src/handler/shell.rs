//! A shell function: the script is sourced once, into a shell that stays; each event runs in a
//! subshell of it, forked by it. Whatever happens to that shell, the next event finds a new one.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use zerostrap::{Answered, Failure, Invocation, Reply, Settings, log};

use super::logs::Pump;
use super::output::{Buffer, Output};
use super::process::{self, Event, Process};
use super::program;
use super::run::{self, Ending, Limit, Watch};
use crate::sys::{self, PollFd};

/// The shell's side of the conversation.
const PROGRAM: &str = include_str!("shell.sh");

/// Shells that can run it.
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "ash", "ksh", "mksh"];

/// Longest `#!` line that is looked at, as the kernel does.
const FIRST_LINE: usize = 256;

/// A handler that is a function of a script.
#[derive(Debug)]
pub(crate) struct Shell<'a> {
    settings: &'a Settings,
    script: PathBuf,
    function: String,
    warm: Option<Warm>,
    pub(super) event: Event,
    buffer: Buffer,
}

/// A shell that has sourced the script.
#[derive(Debug)]
struct Warm {
    process: Process,
    commands: PipeWriter,
    words: PipeReader,
    /// The event's variables, a line each. The shell has read them before the function runs, so
    /// that one file serves all events.
    context: File,
    /// In JSON form all of its standard error; in text what the script started at init still writes.
    log: Pump,
}

/// An event in the hands of the warm shell. The shell opens all of it by the numbers of our
/// descriptors, so that it must live until the event ended.
struct Given {
    warm: Warm,
    pipe: PipeReader,
    writer: PipeWriter,
    event: File,
}

impl<'a> Shell<'a> {
    /// Starts the shell and sources the script.
    ///
    /// # Errors
    /// `Runtime.HandlerNotExecutable`, `Runtime.NoSuchHandler` or `Runtime.HandlerInitFailed`.
    pub(crate) fn start(
        settings: &'a Settings,
        script: PathBuf,
        function: String,
    ) -> Result<Shell<'a>, Failure> {
        let (event, buffer) = (Event::default(), Buffer::default());
        let mut shell = Shell { settings, script, function, warm: None, event, buffer };
        process::prepare(settings).map_err(|error| {
            let root = settings.task_root.display();
            Failure::new("Runtime.HandlerInitFailed", format!("LAMBDA_TASK_ROOT {root}: {error}"))
        })?;
        shell.recover()?;
        Ok(shell)
    }

    pub(crate) fn describe(&self) -> String {
        format!("function {} of {}", self.function, self.script.display())
    }

    /// Starts a new shell if the last event cost the old one.
    pub(crate) fn recover(&mut self) -> Result<(), Failure> {
        if self.warm.is_none() {
            self.warm = Some(Warm::start(&self.script, &self.function)?);
        }
        Ok(())
    }

    pub(crate) fn handle(&mut self, invocation: &Invocation, reply: Reply<'_>) -> Answered {
        let given = self.give_event(invocation);
        let Given { warm, mut pipe, writer, event } = match given {
            Ok(given) => given,
            Err(error) => {
                let message = format!("{} cannot be run: {error}", self.script.display());
                return reply.fail(&Failure::new("Runtime.HandlerStartFailed", message));
            }
        };
        let Warm { process, commands, mut words, context, mut log } = warm;
        let limit = Limit::of(invocation, self.settings.deadline_margin);
        let mut output = Output::new(self.settings, &mut self.buffer, reply, limit.stop_at);
        output.drop_trailing_newlines();
        let mut watch = Watch {
            invocation,
            process: &process,
            pipe: &mut pipe,
            writer: Some(writer),
            log: Some(&mut log),
            word: Some(&mut words),
            limit,
            open: true,
        };
        let ending = watch.run(&mut output);
        drop(event);
        let is_warm = matches!(ending, Ending::Exited(_) | Ending::Killed(_));
        let mut process = Some(process);
        let collected = process.take_if(|_| !is_warm).map(Process::collect);
        let ending = match (ending, collected) {
            (Ending::ProcessEnded, Some(status)) => match run::ending_of(status) {
                // The function's status is what it would have told, had it not been killed too.
                Ending::Exited(0) => Ending::Killed(sys::SIGKILL),
                Ending::Exited(status) => run::ending_of_shell(status),
                other => other,
            },
            (other, _) => other,
        };
        let answered = run::answer(ending, output, invocation, limit);
        run::drain_log(&mut log, invocation);
        self.warm = process.map(|process| Warm { process, commands, words, context, log });
        answered
    }

    /// Runs a function in the warm shell itself, if the script defines it.
    pub(crate) fn hook(&mut self, name: &str, error_type: &'static str) -> Result<(), Failure> {
        let result = self.warm.as_mut().ok_or(io::ErrorKind::NotFound.into()).and_then(|warm| {
            warm.commands.write_all(format!("hook {name}\n").as_bytes())?;
            warm.word()
        });
        let failed = |why: String| Failure::new(error_type, format!("the hook {name} {why}"));
        match result.as_deref() {
            Ok("0") => Ok(()),
            Ok("") => Err(failed("ended the shell".to_owned())),
            Ok(status) => Err(failed(format!("ended with status {status}"))),
            Err(error) => Err(failed(format!("did not end: {error}"))),
        }
    }

    /// Hands the event to the warm shell.
    fn give_event(&mut self, invocation: &Invocation) -> io::Result<Given> {
        let event = self.event.take()?;
        let mut text = Vec::with_capacity(512);
        for pair in process::variables(invocation) {
            text.extend_from_slice(pair.as_bytes());
            text.push(b'\n');
        }
        let (pipe, writer) = io::pipe()?;
        let mut warm = self.warm.take().ok_or(io::ErrorKind::NotFound)?;
        warm.context.set_len(0)?;
        warm.context.write_all_at(&text, 0)?;
        let line = format!("event {} {}\n", event.as_raw_fd(), writer.as_raw_fd());
        // A shell that died while it was idle does not cost this event: nobody reads its commands.
        if warm.commands.write_all(line.as_bytes()).is_err() {
            let _ = warm.process.collect();
            warm =
                Warm::start(&self.script, &self.function).map_err(|_| io::ErrorKind::NotFound)?;
            warm.context.write_all_at(&text, 0)?;
            warm.commands.write_all(line.as_bytes())?;
        }
        Ok(Given { warm, pipe, writer, event })
    }
}

impl Warm {
    fn start(script: &Path, function: &str) -> Result<Warm, Failure> {
        let shell = interpreter(script)?;
        let start = || -> io::Result<(Warm, PipeWriter)> {
            let (stdin, commands) = io::pipe()?;
            let (words, stdout) = io::pipe()?;
            let (log, log_writer) = io::pipe()?;
            let context = sys::memory_file(c"context")?;
            let log_fd = log_writer.as_raw_fd().to_string();
            let context_fd = context.as_raw_fd().to_string();
            let (path, script) = (super::path_string(&shell), super::path_string(script));
            let [program, function, log_fd, context_fd] = [PROGRAM, function, &log_fd, &context_fd]
                .map(|text| CString::new(text).unwrap_or_default());
            let arguments =
                [&path, c"-c", &program, c"bootstrap", &script, &function, &log_fd, &context_fd];
            let inherited = io::stderr();
            let stderr = if log::is_json() { log_writer.as_fd() } else { inherited.as_fd() };
            let descriptors = [stdin.as_fd(), stdout.as_fd(), stderr];
            let environment = process::base_environment();
            let process = Process::spawn(&path, &arguments, &environment, descriptors)?;
            let log = Pump::new(log);
            Ok((Warm { process, commands, words, context, log }, log_writer))
        };
        let failed = |why: String| {
            let message = format!("{} with {}: {why}", script.display(), shell.display());
            Failure::new("Runtime.HandlerInitFailed", message)
        };
        let (mut warm, log_writer) = start().map_err(|error| failed(error.to_string()))?;
        let word = warm.word();
        drop(log_writer);
        let last_words = warm.log.take_tail();
        match word.as_deref() {
            Ok("ready") => return Ok(warm),
            Ok("missing") => {
                let message = format!("{} does not define {function}()", script.display());
                warm.process.kill_group();
                let _ = warm.process.collect();
                return Err(Failure::new("Runtime.NoSuchHandler", message));
            }
            _ => warm.process.kill_group(),
        }
        let why = match run::ending_of(warm.process.collect()) {
            Ending::Exited(status) => format!("ended with status {status} while it was sourced"),
            Ending::Killed(signal) => format!("was killed by {}", run::signal_name(signal)),
            _ => "cannot be sourced".to_owned(),
        };
        let text = String::from_utf8_lossy(&last_words);
        let last = text.trim_ascii_end().rsplit('\n').next().unwrap_or_default();
        Err(failed(format!("{why}; last words: {last}")).with_trace(&last_words))
    }

    /// Waits for the shell's next word, and logs meanwhile. Without limit: Lambda has one for init.
    fn word(&mut self) -> io::Result<String> {
        loop {
            let mut fds = [
                PollFd::maybe(self.log.descriptor()),
                PollFd::readable(self.words.as_fd()),
                PollFd::readable(self.process.descriptor()),
            ];
            sys::poll(&mut fds, None)?;
            let [log, word, process] = fds.map(|fd| fd.is_ready());
            // First, so that what the shell wrote before its word is logged before it counts.
            if log {
                self.log.take(None);
            } else if word {
                let mut space = [0; 16];
                let length = self.words.read(&mut space)?;
                let word = String::from_utf8_lossy(space.get(..length).unwrap_or_default());
                return Ok(word.trim_ascii_end().to_owned());
            } else if process {
                return Ok(String::new());
            }
        }
    }
}

/// The shell that the script's `#!` line names, else bash if there is one, else /bin/sh.
///
/// # Errors
/// `Runtime.HandlerNotExecutable`: the named one is not there.
fn interpreter(script: &Path) -> Result<PathBuf, Failure> {
    let refuse = |why: String| {
        Failure::new("Runtime.HandlerNotExecutable", format!("{}: {why}", script.display()))
    };
    let mut first = [0; FIRST_LINE];
    let read = sys::open(&super::path_string(script)).and_then(|mut file| file.read(&mut first));
    let length = read.map_err(|error| refuse(format!("cannot be read: {error}")))?;
    let line = program::interpreter_line(first.get(..length).unwrap_or_default());
    let mut words = program::words(line.unwrap_or_default());
    let mut named = words.next().unwrap_or(Path::new(""));
    if named.file_name() == Some(OsStr::new("env")) {
        named = words.next().unwrap_or(Path::new(""));
    }
    if SHELLS.iter().any(|shell| named.file_name() == Some(OsStr::new(shell))) {
        let found = match named.is_absolute() {
            true => program::is_executable(named).then(|| named.to_owned()),
            false => program::find(named.as_os_str()),
        };
        let missing =
            || refuse(format!("its #! line names {}, which is not there", named.display()));
        return found.ok_or_else(missing);
    }
    let standard = || Some(PathBuf::from("/bin/sh")).filter(|path| program::is_executable(path));
    let found = program::find(OsStr::new("bash")).or_else(standard);
    found.ok_or_else(|| refuse("there is no bash and no /bin/sh to run it".to_owned()))
}
