//! Whether the kernel will execute a file: known at init, so that no event is lost to it.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use zerostrap::Failure;

use crate::sys;

/// What is read of a file to find out what it is: the kernel's 256 bytes of a `#!` line, and of an
/// ELF file what linkers put at its start, which is the program headers and the loader's name.
/// Where another tool moved these, the kernel is the first to say what is wrong with them.
const START: usize = 4_096;

const MACHINE: (usize, &str) = if cfg!(target_arch = "aarch64") {
    (183, "arm64")
} else {
    (62, "x86_64")
};

/// Checks mode, form, machine and interpreter. `false`: there is no file of that name.
///
/// # Errors
/// `Runtime.HandlerNotExecutable` with the file, the reason, and the mend.
pub(crate) fn check(path: &Path) -> Result<bool, Failure> {
    let refuse = |why: String| {
        Failure::new(
            "Runtime.HandlerNotExecutable",
            format!("{} {why}", path.display()),
        )
    };
    let cannot_read = |error: io::Error| refuse(format!("cannot be read: {error}"));
    let mut file = match sys::open(&super::path_string(path)) {
        Ok(file) => file,
        Err(_) if !path.is_file() => return Ok(false),
        Err(error) => return Err(cannot_read(error)),
    };
    let metadata = file.metadata().map_err(cannot_read)?;
    if !metadata.is_file() {
        return Ok(false);
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        let shown = path.display();
        return Err(refuse(format!(
            "is not executable; run chmod +x {shown} before packing"
        )));
    }
    let mut start = [0; START];
    let length = file.read(&mut start).map_err(cannot_read)?;
    let start = start.get(..length).unwrap_or_default();
    let checked = match interpreter_line(start) {
        Some(line) => check_script(line),
        None => check_elf(start),
    };
    checked.map(|()| true).map_err(refuse)
}

/// What follows `#!` on the first line, if that is how the file starts.
pub(crate) fn interpreter_line(start: &[u8]) -> Option<&[u8]> {
    start
        .strip_prefix(b"#!")?
        .split(|&byte| byte == b'\n')
        .next()
}

/// The words of such a line.
pub(crate) fn words(line: &[u8]) -> impl Iterator<Item = &Path> {
    let words = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    words.map(|word| Path::new(OsStr::from_bytes(word)))
}

/// Whether a file can be found and has an x bit.
pub(crate) fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// The first executable of that name in `PATH`; a whole path stands for itself.
pub(crate) fn find(name: &Path) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
}

fn check_script(line: &[u8]) -> Result<(), String> {
    if line.ends_with(b"\r") {
        return Err("has a #! line that ends in CR; save it with Unix line ends".to_owned());
    }
    let interpreter = words(line).next().unwrap_or(Path::new(""));
    if !is_executable(interpreter) {
        let missing = interpreter.display();
        return Err(format!(
            "names the interpreter '{missing}', which is not there"
        ));
    }
    Ok(())
}

/// A 64-bit little-endian ELF file for this machine whose loader, if it names one, is there.
/// Offsets are those of `Elf64_Ehdr` and `Elf64_Phdr` in elf(5).
fn check_elf(start: &[u8]) -> Result<(), String> {
    if !start.starts_with(b"\x7fELF") {
        return Err("is neither an ELF program nor a script with a #! line".to_owned());
    }
    let (machine, name) = MACHINE;
    if start.get(4..6) != Some(&[2, 1]) || number(start, 18, 2) != Some(machine) {
        return Err(format!(
            "is an ELF program for another machine than this one, which is 64-bit {name}"
        ));
    }
    match loader(start) {
        Some(loader) if !is_executable(loader) => {
            let loader = loader.display();
            Err(format!(
                "needs the loader {loader}, which is not there; link it statically"
            ))
        }
        _ => Ok(()),
    }
}

/// The loader that a PT_INTERP header names, by a path that ends in NUL.
fn loader(start: &[u8]) -> Option<&Path> {
    let (table, size) = (number(start, 32, 8)?, number(start, 54, 2)?);
    let mut headers = (0..number(start, 56, 2)?)
        .map_while(|index| start.get(table.checked_add(size.checked_mul(index)?)?..));
    let header = headers.find(|header| number(header, 0, 4) == Some(3))?;
    let path = start
        .get(number(header, 8, 8)?..)?
        .get(..number(header, 32, 8)?)?;
    Some(Path::new(OsStr::from_bytes(path.strip_suffix(b"\0")?)))
}

/// A little-endian number of so many bytes at an offset.
fn number(bytes: &[u8], at: usize, length: usize) -> Option<usize> {
    let bytes = bytes.get(at..)?.get(..length)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | usize::from(*byte)),
    )
}
