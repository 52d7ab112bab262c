//! From `_HANDLER` to something that answers events.

mod child;
mod environment;
mod event_file;
mod executable;
mod execution;
mod output;
mod program;
mod shell;
mod stderr;
mod warm_shell;

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use zerostrap::internal::{self, ErrorType};
use zerostrap::{Failure, Handler, Settings};

use crate::settings::HandlerSettings;

/// Finds the handler, checks it, and starts it as far as it is started at init: a file of exactly
/// the handler's name, else a function of a script.
///
/// # Errors
/// `Runtime.NoSuchHandler`, which says what was looked for, `Runtime.HandlerNotExecutable` or
/// `Runtime.HandlerInitFailed`.
pub(crate) fn start<'a>(
    settings: &'a HandlerSettings,
    runtime: &Settings,
) -> Result<Box<dyn Handler + 'a>, Failure> {
    let Some(handler) = &settings.handler else {
        return Err(no_handler(
            "no handler is set: _HANDLER, the argument and HANDLER are empty; set the function's \
             handler to an executable or to SCRIPT.FUNCTION"
                .to_owned(),
        ));
    };
    let file = settings.task_root.join(handler);
    let is_file = program::check(&file)?;
    match is_file {
        true => Ok(Box::new(executable::Executable::new(settings, &file))),
        false => start_function(settings, runtime, handler),
    }
}

fn start_function<'a>(
    settings: &'a HandlerSettings,
    runtime: &Settings,
    handler: &'a OsStr,
) -> Result<Box<dyn Handler + 'a>, Failure> {
    let shown = handler.to_string_lossy();
    let file = settings.task_root.join(handler);
    let file = file.display();
    let Some((stem, function)) = split(handler) else {
        return Err(no_handler(format!(
            "handler '{shown}': there is no file {file}, and it is not SCRIPT.FUNCTION"
        )));
    };
    let script = script_of(&settings.task_root, stem);
    if !script.is_file() {
        let script = script.display();
        return Err(no_handler(format!(
            "handler '{shown}': there is neither a file {file} nor a script {script}"
        )));
    }
    let Some(function) = function_name(function) else {
        let script = script.display();
        return Err(no_handler(format!(
            "handler '{shown}': a function of {script} has a name of letters, digits, '_', '-' and \
             ':', which does not begin with a digit, '-' or '_zs_'"
        )));
    };
    let is_snap_start = runtime.is_snap_start;
    let shell = shell::Shell::start(settings, script, function, is_snap_start)?;
    Ok(Box::new(shell))
}

fn no_handler(message: String) -> Failure {
    internal::failure(ErrorType::NoSuchHandler, message)
}

/// Splits `SCRIPT.FUNCTION` at its last dot.
fn split(handler: &OsStr) -> Option<(&[u8], &[u8])> {
    let bytes = handler.as_bytes();
    let dot = bytes.iter().rposition(|&byte| byte == b'.')?;
    let (stem, function) = bytes.split_at_checked(dot)?;
    let function = function.strip_prefix(b".")?;
    Some((stem, function))
}

/// Returns the script that a stem names: `function.sh` for `function`, and for `function.sh`, as
/// images write it.
fn script_of(task_root: &Path, stem: &[u8]) -> PathBuf {
    let mut script = task_root.join(OsStr::from_bytes(stem)).into_os_string();
    if !stem.ends_with(b".sh") {
        script.push(".sh");
    }
    PathBuf::from(script)
}

/// Returns the name of a function, if no shell can take it for anything else.
fn function_name(name: &[u8]) -> Option<&str> {
    let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-:".contains(byte);
    let [first, rest @ ..] = name else {
        return None;
    };
    let is_first = first.is_ascii_alphabetic() || b"_:".contains(first);
    if !is_first || !rest.iter().all(is_inner) || name.starts_with(b"_zs_") {
        return None;
    }
    std::str::from_utf8(name).ok()
}

/// A path as system calls want it. No path that comes from the environment or a file holds a NUL.
fn path_string(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}
