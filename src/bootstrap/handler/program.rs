//! Whether the kernel will execute a file: known at init, so that no event is lost to it.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use zerostrap::Failure;
use zerostrap::internal::{self, ErrorType};

use crate::sys;

/// Bytes of a file that are read to find out what it is. A `#!` line is at most 256 bytes for the
/// kernel. In an ELF file, linkers put the program headers and the loader's name within these
/// bytes; if a tool put them elsewhere, this check is skipped and execve reports the problem.
const HEADER_BYTES: usize = sys::PROGRAM_START_SIZE;

/// Where a program is looked for if PATH is not set.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Checks mode, form, machine and interpreter. Returns whether there is a file of that name.
///
/// # Errors
/// `Runtime.HandlerNotExecutable` with the file, the reason, and what to do.
/// `Runtime.NoSuchHandler` if the file is this program or a copy of it.
pub(crate) fn check(path: &Path) -> Result<bool, Failure> {
    let mut file = match sys::open(&super::path_string(path)) {
        Ok(file) => file,
        Err(_) if !path.is_file() => return Ok(false),
        Err(error) => return Err(unreadable(path, error)),
    };
    let metadata = file.metadata().map_err(|error| unreadable(path, error))?;
    if !metadata.is_file() {
        return Ok(false);
    }
    let mut start = [0; HEADER_BYTES];
    let length = file
        .read(&mut start)
        .map_err(|error| unreadable(path, error))?;
    let start = start.get(..length).unwrap_or_default();
    // It would start for each event, and ask for events itself.
    if start == sys::program_start() {
        let shown = path.display();
        let message =
            format!("{shown} is the bootstrap itself; name another program, or SCRIPT.FUNCTION");
        return Err(internal::failure(ErrorType::NoSuchHandler, message));
    }
    if !has_execute_bit(&metadata) {
        return Err(refusal(path, &not_executable(path, start)));
    }
    let checked = match interpreter_line(start) {
        Some(line) => check_script(line),
        None => elf::check(start),
    };
    match checked {
        Ok(()) => Ok(true),
        Err(reason) => Err(refusal(path, &reason)),
    }
}

fn refusal(path: &Path, reason: &str) -> Failure {
    let message = format!("{} {reason}", path.display());
    internal::failure(ErrorType::HandlerNotExecutable, message)
}

fn unreadable(path: &Path, error: io::Error) -> Failure {
    refusal(path, &format!("cannot be read: {error}"))
}

/// Why a file without an execute bit is refused. A script with functions may be meant for one.
fn not_executable(path: &Path, start: &[u8]) -> String {
    let shown = path.display();
    let has_functions = start.windows(2).any(|two| two == b"()");
    let hint = match path.file_stem() {
        Some(stem) if has_functions && path.extension() == Some(OsStr::new("sh")) => {
            let stem = stem.to_string_lossy();
            format!("; for a function of it, set the handler to {stem}.FUNCTION")
        }
        _ => String::new(),
    };
    format!("is not executable; run chmod +x {shown} before packing{hint}")
}

fn has_execute_bit(metadata: &Metadata) -> bool {
    metadata.permissions().mode() & 0o111 != 0
}

/// Returns what follows `#!` on the first line, if that is how the file starts.
pub(crate) fn interpreter_line(start: &[u8]) -> Option<&[u8]> {
    start
        .strip_prefix(b"#!")?
        .split(|&byte| byte == b'\n')
        .next()
}

/// Splits such a line as the kernel does: the interpreter, and the rest as one argument.
fn interpreter_and_argument(line: &[u8]) -> (&[u8], &[u8]) {
    let line = line.trim_ascii();
    let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t'));
    let (interpreter, argument) = line
        .split_at_checked(end.unwrap_or(line.len()))
        .unwrap_or_default();
    (interpreter, argument.trim_ascii())
}

/// Returns the program that a `#!` line runs in the end, by path or by name: behind env(1) it is
/// the command that env will run. Returns `None` if env gets no command.
pub(crate) fn interpreter_of(line: &[u8]) -> Option<&Path> {
    let (interpreter, argument) = interpreter_and_argument(line);
    let interpreter = Path::new(OsStr::from_bytes(interpreter));
    let is_env = interpreter.file_name() == Some(OsStr::new("env"));
    // What env itself unquotes and expands is left to it.
    if !is_env || argument.iter().any(|byte| b"'\"\\$".contains(byte)) {
        return Some(interpreter);
    }
    let command = match split_string(argument) {
        Some(words) => command_in(words),
        // The whole argument is one word then.
        None => Some(argument).filter(|word| is_command(word)),
    };
    command.map(|command| Path::new(OsStr::from_bytes(command)))
}

/// Returns the value of env's option -S, which it splits into words.
fn split_string(argument: &[u8]) -> Option<&[u8]> {
    if let Some(words) = argument.strip_prefix(b"--split-string=") {
        return Some(words);
    }
    let options = argument.strip_prefix(b"-")?;
    // Options without a value may stand before S.
    let flags = options.iter().take_while(|byte| b"0iv".contains(byte));
    options.get(flags.count()..)?.strip_prefix(b"S")
}

/// Returns the first of these words that is neither an option of env(1) nor an assignment.
fn command_in(words: &[u8]) -> Option<&[u8]> {
    let mut words = words.split(u8::is_ascii_whitespace);
    while let Some(word) = words.next() {
        if is_command(word) {
            return Some(word);
        }
        // These have an argument.
        if matches!(word, b"-u" | b"-C") {
            words.next();
        }
    }
    None
}

fn is_command(word: &[u8]) -> bool {
    !word.is_empty() && !word.starts_with(b"-") && !word.contains(&b'=')
}

/// Returns whether a file can be found and has an execute bit.
pub(crate) fn is_executable(path: &Path) -> bool {
    let metadata = path.metadata();
    metadata.is_ok_and(|metadata| metadata.is_file() && has_execute_bit(&metadata))
}

/// Returns the first executable of that name in `PATH`; a path with a slash is taken as it is.
pub(crate) fn find(name: &Path) -> Option<PathBuf> {
    if name.as_os_str().as_bytes().contains(&b'/') {
        return is_executable(name).then(|| name.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
}

fn check_script(line: &[u8]) -> Result<(), String> {
    if line.ends_with(b"\r") {
        return Err("has a #! line that ends in CR; save it with Unix line ends".to_owned());
    }
    let (first, _) = interpreter_and_argument(line);
    let first = Path::new(OsStr::from_bytes(first));
    if !is_executable(first) {
        let first = first.display();
        return Err(format!(
            "names the interpreter '{first}', which does not exist"
        ));
    }
    let Some(command) = interpreter_of(line) else {
        return Err("names no interpreter behind env; options need env -S".to_owned());
    };
    if find(command).is_none() {
        let command = command.display();
        return Err(format!(
            "names the interpreter '{command}' behind env, which is not in PATH; several words need \
             env -S"
        ));
    }
    Ok(())
}

/// The parts of an ELF file that decide whether the kernel executes it (elf(5)).
mod elf {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    /// EI_CLASS and EI_DATA: 64-bit, little-endian.
    const CLASS_AND_DATA: [u8; 2] = [2, 1];
    const EI_CLASS: usize = 4;
    /// Offsets of members of `Elf64_Ehdr`.
    const E_MACHINE: usize = 18;
    const E_PHOFF: usize = 32;
    const E_PHENTSIZE: usize = 54;
    const E_PHNUM: usize = 56;
    /// Offsets of members of `Elf64_Phdr`, and the type of one that names the loader.
    const P_TYPE: usize = 0;
    const P_OFFSET: usize = 8;
    const P_FILESZ: usize = 32;
    const PT_INTERP: usize = 3;

    #[cfg(target_arch = "aarch64")]
    const MACHINE: (usize, &str) = (183, "arm64");
    #[cfg(not(target_arch = "aarch64"))]
    const MACHINE: (usize, &str) = (62, "x86_64");

    /// Accepts a program for this machine whose loader, if it names one, exists.
    pub(super) fn check(start: &[u8]) -> Result<(), String> {
        if !start.starts_with(b"\x7fELF") {
            return Err("is neither an ELF program nor a script with a #! line".to_owned());
        }
        let (machine, name) = MACHINE;
        let has_form = bytes(start, EI_CLASS, 2) == Some(&CLASS_AND_DATA);
        if !has_form || number(start, E_MACHINE, 2) != Some(machine) {
            return Err(format!(
                "is an ELF program for another machine than this one, which is 64-bit {name}"
            ));
        }
        match loader(start) {
            Some(loader) if !super::is_executable(loader) => {
                let loader = loader.display();
                Err(format!(
                    "needs the loader {loader}, which does not exist; link it statically"
                ))
            }
            _ => Ok(()),
        }
    }

    /// Returns the loader that a PT_INTERP header names, by a path that ends in NUL.
    fn loader(start: &[u8]) -> Option<&Path> {
        let table = number(start, E_PHOFF, 8)?;
        let size = number(start, E_PHENTSIZE, 2)?;
        for index in 0..number(start, E_PHNUM, 2)? {
            let offset = table.checked_add(size.checked_mul(index)?)?;
            let header = start.get(offset..)?;
            if number(header, P_TYPE, 4)? == PT_INTERP {
                let offset = number(header, P_OFFSET, 8)?;
                let length = number(header, P_FILESZ, 8)?;
                let path = bytes(start, offset, length)?.strip_suffix(b"\0")?;
                return Some(Path::new(OsStr::from_bytes(path)));
            }
        }
        None
    }

    fn bytes(text: &[u8], offset: usize, length: usize) -> Option<&[u8]> {
        text.get(offset..)?.get(..length)
    }

    /// Reads a little-endian number.
    fn number(text: &[u8], offset: usize, length: usize) -> Option<usize> {
        let mut number: usize = 0;
        for byte in bytes(text, offset, length)?.iter().rev() {
            number = number << 8 | usize::from(*byte);
        }
        Some(number)
    }
}
