//! From `_HANDLER` to something that answers events.

mod executable;
mod logs;
mod output;
mod process;
mod program;
mod run;
mod shell;

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use zerostrap::{Failure, Handler, Settings};

/// Finds the handler, checks it, and starts it as far as it is started at init. Gives what was found
/// in words, too.
///
/// # Errors
/// `Runtime.NoSuchHandler`, `Runtime.HandlerNotExecutable` or `Runtime.HandlerInitFailed`.
pub(crate) fn start(settings: &Settings) -> Result<(String, Box<dyn Handler + '_>), Failure> {
    let no_such = |message: String| Err(Failure::new("Runtime.NoSuchHandler", message));
    let Some(handler) = &settings.handler else {
        let message = "no handler is set; set the function's handler (_HANDLER) to the name of an \
             executable, or to SCRIPT.FUNCTION";
        return no_such(message.to_owned());
    };
    let shown = handler.to_string_lossy();
    let file = settings.task_root.join(handler);
    if program::check(&file)? {
        let description = format!("executable {}", file.display());
        return Ok((description, Box::new(executable::Executable::new(settings, &file))));
    }
    let Some((stem, name)) = split(handler) else {
        return no_such(format!(
            "handler '{shown}': there is no file {}, and it is not SCRIPT.FUNCTION either",
            file.display()
        ));
    };
    let mut script = settings.task_root.join(stem).into_os_string();
    script.push(".sh");
    if !Path::new(&script).is_file() {
        return no_such(format!(
            "handler '{shown}': there is neither an executable {} nor a script {}",
            file.display(),
            script.display()
        ));
    }
    let description = format!("function {name} of {}", script.display());
    Ok((description, Box::new(shell::Shell::start(settings, script.into(), name)?)))
}

/// Splits `SCRIPT.FUNCTION` at its last dot. A function's name is `[A-Za-z_][A-Za-z0-9_]*`: nothing
/// in it means anything to a shell.
fn split(handler: &OsStr) -> Option<(&OsStr, &str)> {
    let mut parts = handler.as_bytes().rsplitn(2, |&byte| byte == b'.');
    let name = std::str::from_utf8(parts.next()?).ok()?;
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let begins = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    Some((OsStr::from_bytes(parts.next()?), name)).filter(|_| is_word && begins)
}

/// A path as system calls want it. None that the environment or a file gave us has a NUL in it.
fn path_string(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}
