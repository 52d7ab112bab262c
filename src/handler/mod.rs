//! From `_HANDLER` to something that answers events.

mod executable;
mod logs;
mod output;
mod process;
mod program;
mod run;
mod shell;

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use zerostrap::{Answered, Failure, Handler, Invocation, Reply, Settings};

/// The two kinds of handler.
#[derive(Debug)]
pub(crate) enum Kind<'a> {
    Executable(executable::Executable<'a>),
    Shell(shell::Shell<'a>),
}

impl<'a> Kind<'a> {
    /// Finds the handler, checks it, and starts it as far as it is started at init.
    ///
    /// # Errors
    /// `Runtime.NoSuchHandler`, `Runtime.HandlerNotExecutable` or `Runtime.HandlerInitFailed`.
    pub(crate) fn start(settings: &'a Settings) -> Result<Kind<'a>, Failure> {
        match resolve(settings)? {
            Found::File(path) => Ok(Kind::Executable(executable::Executable::new(settings, &path))),
            Found::Function { script, name } => {
                Ok(Kind::Shell(shell::Shell::start(settings, script, name)?))
            }
        }
    }

    /// What was found, for `--check`.
    pub(crate) fn describe(&self) -> String {
        match self {
            Kind::Executable(executable) => executable.describe(),
            Kind::Shell(shell) => shell.describe(),
        }
    }
}

impl Handler for Kind<'_> {
    fn receive(&mut self, part: &[u8]) {
        match self {
            Kind::Executable(executable) => executable.event.receive(part),
            Kind::Shell(shell) => shell.event.receive(part),
        }
    }

    fn handle(&mut self, invocation: &Invocation, reply: Reply<'_>) -> Answered {
        match self {
            Kind::Executable(executable) => executable.handle(invocation, reply),
            Kind::Shell(shell) => shell.handle(invocation, reply),
        }
    }

    fn recover(&mut self) -> Result<(), Failure> {
        match self {
            Kind::Executable(_) => Ok(()),
            Kind::Shell(shell) => shell.recover(),
        }
    }

    fn before_snapshot(&mut self) -> Result<(), Failure> {
        match self {
            Kind::Executable(_) => Ok(()),
            Kind::Shell(shell) => shell.hook("before_snapshot", "Runtime.BeforeSnapshotError"),
        }
    }

    fn after_restore(&mut self) -> Result<(), Failure> {
        match self {
            Kind::Executable(_) => Ok(()),
            Kind::Shell(shell) => shell.hook("after_restore", "Runtime.AfterRestoreError"),
        }
    }
}

enum Found {
    File(PathBuf),
    Function { script: PathBuf, name: String },
}

/// A file of exactly that name, else a function of a script, else an error that names both.
fn resolve(settings: &Settings) -> Result<Found, Failure> {
    let no_such = |message: String| Failure::new("Runtime.NoSuchHandler", message);
    let Some(handler) = &settings.handler else {
        return Err(no_such(
            "no handler is set; set the function's handler (_HANDLER) to the name of an \
             executable, or to SCRIPT.FUNCTION"
                .to_owned(),
        ));
    };
    let shown = handler.to_string_lossy();
    let file = settings.task_root.join(handler);
    if program::check(&file)? {
        return Ok(Found::File(file));
    }
    let bytes = handler.as_bytes();
    let dot = bytes.iter().rposition(|&byte| byte == b'.').unwrap_or(bytes.len());
    let (stem, name) = bytes.split_at_checked(dot).unwrap_or_default();
    let name = name.strip_prefix(b".").unwrap_or_default();
    let Some(name) = std::str::from_utf8(name).ok().filter(|name| is_function_name(name)) else {
        return Err(no_such(format!(
            "handler '{shown}': there is no file {}, and it is not SCRIPT.FUNCTION either",
            file.display()
        )));
    };
    let mut script = settings.task_root.join(std::ffi::OsStr::from_bytes(stem)).into_os_string();
    script.push(".sh");
    let script = PathBuf::from(script);
    if !script.is_file() {
        return Err(no_such(format!(
            "handler '{shown}': there is neither an executable {} nor a script {}",
            file.display(),
            script.display()
        )));
    }
    Ok(Found::Function { script, name: name.to_owned() })
}

/// `[A-Za-z_][A-Za-z0-9_]*`: nothing in it means anything to a shell.
fn is_function_name(name: &str) -> bool {
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_word && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
}

/// A path as system calls want it. None that the environment or a file gave us has a NUL in it.
fn path_string(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}
