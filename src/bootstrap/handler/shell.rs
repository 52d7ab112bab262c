//! A shell function: the script is sourced once, into a shell that stays; each event runs in a
//! subshell of it, forked by it. Whatever happens to that shell, the next event finds a new one.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use zerostrap::{Answered, Failure, Handler, Invocation, Reply, Settings};

use super::child::{self, Event, Process};
use super::execution::{self, Run};
use super::output::Buffer;
use super::program;
use crate::sys;

/// The shell's side of the conversation.
const PROGRAM: &str = include_str!("shell.sh");

/// Shells that can run it.
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "ash", "ksh", "mksh"];

/// Longest `#!` line that is looked at, as the kernel does.
const FIRST_LINE: usize = 256;

/// A handler that is a function of a script.
pub(crate) struct Shell<'a> {
    settings: &'a Settings,
    script: PathBuf,
    function: &'a str,
    warm: Warm,
    event: Event,
    buffer: Buffer,
}

/// A shell that has sourced the script.
struct Warm {
    /// Its log is all of its standard error in JSON form; in text what the script started at init
    /// still writes.
    process: Process,
    commands: PipeWriter,
    words: PipeReader,
    /// Where the shell finds an event's variables. It has read them before the function runs, so that
    /// one file serves all events.
    context: File,
}

impl<'a> Shell<'a> {
    /// Starts the shell and sources the script.
    ///
    /// # Errors
    /// `Runtime.HandlerNotExecutable`, `Runtime.NoSuchHandler` or `Runtime.HandlerInitFailed`.
    pub(crate) fn start(
        settings: &'a Settings,
        script: PathBuf,
        function: &'a str,
    ) -> Result<Shell<'a>, Failure> {
        sys::prepare_signals();
        let warm = Warm::start(&script, function)?;
        let (event, buffer) = (Event::default(), Buffer::default());
        Ok(Shell {
            settings,
            script,
            function,
            warm,
            event,
            buffer,
        })
    }

    /// Hands the event to the warm shell, which opens it, and the output's end, by the numbers of
    /// our descriptors: both must stay open until the event ended.
    fn give(&mut self, invocation: &Invocation) -> Result<(PipeReader, PipeWriter, File), Failure> {
        let event = self.event.take()?;
        let (pipe, writer) = io::pipe()?;
        // The event's variables, a line each.
        let mut context = Vec::new();
        for pair in child::variables(invocation) {
            context.extend_from_slice(pair.as_bytes());
            context.push(b'\n');
        }
        let command = format!("event {} {}\n", event.as_raw_fd(), writer.as_raw_fd());
        // A shell that died while it was idle does not cost this event: nobody reads its commands.
        if self.warm.command(&command, &context).is_err() {
            let _ = self.warm.process.end();
            self.warm = Warm::start(&self.script, self.function)?;
            self.warm.command(&command, &context)?;
        }
        Ok((pipe, writer, event))
    }

    /// Runs a function in the warm shell itself, if the script defines it.
    fn hook(&mut self, name: &str, error_type: &'static str) -> Result<(), Failure> {
        let asked = self
            .warm
            .commands
            .write_all(format!("hook {name}\n").as_bytes());
        let result = asked.and_then(|()| self.warm.word());
        let why = match result.as_deref() {
            Ok("0") => return Ok(()),
            Ok("") => "ended the shell".to_owned(),
            Ok(status) => format!("ended with status {status}"),
            Err(error) => format!("did not end: {error}"),
        };
        Err(Failure::new(error_type, format!("the hook {name} {why}")))
    }
}

impl Handler for Shell<'_> {
    fn receive(&mut self, part: &[u8]) {
        self.event.receive(part);
    }

    fn handle(&mut self, invocation: &Invocation, reply: Reply<'_>) -> Answered {
        let (pipe, writer, _event) = match self.give(invocation) {
            Ok(given) => given,
            Err(failure) => {
                let message = format!(
                    "{} cannot be run: {}",
                    self.script.display(),
                    failure.message()
                );
                return reply.fail(&Failure::new("Runtime.HandlerStartFailed", message));
            }
        };
        let Warm { process, words, .. } = &mut self.warm;
        let run = Run::new(
            self.settings,
            invocation,
            process,
            pipe,
            Some((words, writer)),
        );
        run.answer(reply, &mut self.buffer)
    }

    /// Starts a new shell if the event cost the old one.
    fn recover(&mut self) -> Result<(), Failure> {
        if self.warm.process.is_gone() {
            self.warm = Warm::start(&self.script, self.function)?;
        }
        Ok(())
    }

    fn before_snapshot(&mut self) -> Result<(), Failure> {
        self.hook("before_snapshot", "Runtime.BeforeSnapshotError")
    }

    fn after_restore(&mut self) -> Result<(), Failure> {
        self.hook("after_restore", "Runtime.AfterRestoreError")
    }
}

impl Warm {
    /// Starts the shell and waits until it has sourced the script. Without limit: Lambda has one for
    /// init.
    fn start(script: &Path, function: &str) -> Result<Warm, Failure> {
        let shell = interpreter(script)?;
        let failed = |why: String| {
            let message = format!("{} with {}: {why}", script.display(), shell.display());
            Failure::new("Runtime.HandlerInitFailed", message)
        };
        let spawned = Warm::spawn(&shell, script, function);
        let (mut warm, log_writer) = spawned.map_err(|error| failed(error.to_string()))?;
        let word = warm.word().unwrap_or_default();
        drop(log_writer);
        let last_words = warm.process.log.take_tail();
        if word == "ready" {
            return Ok(warm);
        }
        let ended = warm.process.end();
        if word == "missing" {
            let message = format!("{} does not define {function}()", script.display());
            return Err(Failure::new("Runtime.NoSuchHandler", message));
        }
        let why = match ended {
            Ok(status) => format!("{} while it was sourced", execution::describe(status)),
            Err(error) => format!("cannot be sourced: {error}"),
        };
        let text = String::from_utf8_lossy(&last_words);
        let last = text
            .trim_ascii_end()
            .rsplit('\n')
            .next()
            .unwrap_or_default();
        Err(failed(format!("{why}; last words: {last}")).with_trace(&last_words))
    }

    /// The shell, and the end of its log that it opens by its number until it has sourced the script.
    fn spawn(shell: &Path, script: &Path, function: &str) -> io::Result<(Warm, PipeWriter)> {
        let (stdin, commands) = io::pipe()?;
        let (words, stdout) = io::pipe()?;
        let (log, log_writer) = io::pipe()?;
        let context = sys::memory_file()?;
        let [log_fd, context_fd] =
            [log_writer.as_raw_fd(), context.as_raw_fd()].map(|fd| fd.to_string());
        let [program, function, log_fd, context_fd] = [PROGRAM, function, &log_fd, &context_fd]
            .map(|text| CString::new(text).unwrap_or_default());
        let (path, script) = (super::path_string(shell), super::path_string(script));
        let arguments = [
            &path,
            c"-c",
            &program,
            c"bootstrap",
            &script,
            &function,
            &log_fd,
            &context_fd,
        ];
        let (streams, log) = ([stdin.as_fd(), stdout.as_fd()], Some((log, &log_writer)));
        let process = Process::spawn(&arguments, &child::base_environment(), streams, log)?;
        Ok((
            Warm {
                process,
                commands,
                words,
                context,
            },
            log_writer,
        ))
    }

    /// Gives the shell an event: its variables first, then the line that makes it begin.
    fn command(&mut self, command: &str, context: &[u8]) -> io::Result<()> {
        self.context.set_len(0)?;
        self.context.write_all_at(context, 0)?;
        self.commands.write_all(command.as_bytes())
    }

    /// Waits for the shell's next word, and logs meanwhile; empty when there is none any more.
    fn word(&mut self) -> io::Result<String> {
        loop {
            let (words, process) = (self.words.as_fd(), self.process.descriptor.as_fd());
            let waited_for = [self.process.log.descriptor(), Some(words), Some(process)];
            let [written, word, ended] = sys::poll(waited_for, None)?;
            // First, so that what the shell wrote before its word is logged before it counts.
            if written {
                self.process.log.take(None);
            } else if word {
                return execution::read_word(&mut self.words);
            } else if ended {
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
        Failure::new(
            "Runtime.HandlerNotExecutable",
            format!("{}: {why}", script.display()),
        )
    };
    let mut first = [0; FIRST_LINE];
    let read = sys::open(&super::path_string(script)).and_then(|mut file| file.read(&mut first));
    let length = read.map_err(|error| refuse(format!("cannot be read: {error}")))?;
    let line = program::interpreter_line(first.get(..length).unwrap_or_default());
    let mut words = program::words(line.unwrap_or_default());
    let is_env = |word: &&Path| word.file_name() == Some(OsStr::new("env"));
    let is_shell = |word: &&Path| SHELLS.iter().any(|shell| word.ends_with(shell));
    let named = words.find(|word| !is_env(word)).filter(is_shell);
    let wanted = named.map_or([Path::new("bash"), Path::new("/bin/sh")], |named| {
        [named; 2]
    });
    let [shell, _] = wanted.map(Path::display);
    let missing = || refuse(format!("it runs in the shell {shell}, which is not there"));
    wanted
        .into_iter()
        .find_map(program::find)
        .ok_or_else(missing)
}
