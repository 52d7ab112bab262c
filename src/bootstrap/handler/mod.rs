//! From `_HANDLER` to something that answers events.

mod child;
mod executable;
mod execution;
mod output;
mod program;
mod shell;
mod stderr;

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use zerostrap::{Failure, Handler, Settings};

/// Finds the handler, checks it, and starts it as far as it is started at init: a file of exactly
/// the name that `_HANDLER` gives, else a function of a script.
///
/// # Errors
/// `Runtime.NoSuchHandler`, which names both, `Runtime.HandlerNotExecutable` or
/// `Runtime.HandlerInitFailed`.
pub(crate) fn start(settings: &Settings) -> Result<Box<dyn Handler + '_>, Failure> {
    let no_such = |why: String| Err(Failure::new("Runtime.NoSuchHandler", why));
    let Some(handler) = &settings.handler else {
        return no_such("_HANDLER is not set; set it to an executable or SCRIPT.FUNCTION".into());
    };
    let file = settings.task_root.join(handler);
    if program::check(&file)? {
        return Ok(Box::new(executable::Executable::new(settings, &file)));
    }
    let (shown, file) = (handler.to_string_lossy(), file.display());
    let Some((stem, name)) = split(handler) else {
        return no_such(format!(
            "handler '{shown}': no file {file}, and not SCRIPT.FUNCTION"
        ));
    };
    let mut script = settings.task_root.join(stem).into_os_string();
    script.push(".sh");
    let script = PathBuf::from(script);
    if !script.is_file() {
        let script = script.display();
        return no_such(format!(
            "handler '{shown}': neither a file {file} nor a script {script}"
        ));
    }
    Ok(Box::new(shell::Shell::start(settings, script, name)?))
}

/// Splits `SCRIPT.FUNCTION` at its last dot. A function's name is `[A-Za-z_][A-Za-z0-9_]*`: nothing
/// in it means anything to a shell.
fn split(handler: &OsStr) -> Option<(&OsStr, &str)> {
    let mut parts = handler.as_bytes().rsplitn(2, |&byte| byte == b'.');
    let name = std::str::from_utf8(parts.next()?).ok()?;
    let is_word = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let begins = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    Some((OsStr::from_bytes(parts.next()?), name)).filter(|_| is_word && begins)
}

/// A path as system calls want it. None that the environment or a file gave us has a NUL in it.
fn path_string(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}
