//! Whether the kernel will execute a file: known at init, so that no event is lost to it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zerostrap::Failure;

use crate::sys;

/// What is read of a file to find out what it is: enough for the kernel's 256 bytes of a `#!` line
/// and, as linkers lay files out, for the program headers of an ELF file.
const START: usize = 1_024;

/// Longest program header table that is looked at, in entries, and longest path of a loader.
const PROGRAM_HEADER_LIMIT: u16 = 64;
const LOADER_LIMIT: u64 = 4_096;

const MACHINE: (u16, &str) =
    if cfg!(target_arch = "aarch64") { (183, "arm64") } else { (62, "x86_64") };

/// Checks mode, form, machine and interpreter. `false`: there is no file of that name.
///
/// # Errors
/// `Runtime.HandlerNotExecutable` with the file, the reason, and the mend.
pub(crate) fn check(path: &Path) -> Result<bool, Failure> {
    let refuse = |why: String| {
        Failure::new("Runtime.HandlerNotExecutable", format!("{} {why}", path.display()))
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
        return Err(refuse(format!("is not executable; run chmod +x {shown} before packing")));
    }
    let mut start = [0; START];
    let length = file.read(&mut start).map_err(cannot_read)?;
    let start = start.get(..length).unwrap_or_default();
    let checked = match interpreter_line(start) {
        Some(line) => check_script(line),
        None if start.starts_with(b"\x7fELF") => {
            check_elf(&file, start).unwrap_or_else(|_| Err("is a damaged ELF file".to_owned()))
        }
        None => Err("is neither an ELF program nor a script with a #! line".to_owned()),
    };
    checked.map(|()| true).map_err(refuse)
}

/// What follows `#!` on the first line, if that is how the file starts.
pub(crate) fn interpreter_line(start: &[u8]) -> Option<&[u8]> {
    start.strip_prefix(b"#!")?.split(|&byte| byte == b'\n').next()
}

/// The words of such a line.
pub(crate) fn words(line: &[u8]) -> impl Iterator<Item = &Path> {
    let words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.map(|word| Path::new(OsStr::from_bytes(word)))
}

/// Whether a file can be found and has an x bit.
pub(crate) fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// The first executable of that name in `PATH`.
pub(crate) fn find(name: &OsStr) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| is_executable(file))
}

fn check_script(line: &[u8]) -> Result<(), String> {
    if line.ends_with(b"\r") {
        return Err("has a #! line that ends in CR; save it with Unix line ends".to_owned());
    }
    let interpreter = words(line).next().unwrap_or(Path::new(""));
    if !is_executable(interpreter) {
        let missing = interpreter.display();
        return Err(format!("names the interpreter '{missing}', which is not there"));
    }
    Ok(())
}

/// A 64-bit little-endian ELF file for this machine whose loader, if it names one, is there.
/// Offsets are those of `Elf64_Ehdr` and `Elf64_Phdr` in elf(5).
///
/// # Errors
/// What is told of does not lie in the file. Inside: why the kernel will not execute it.
fn check_elf(file: &File, start: &[u8]) -> io::Result<Result<(), String>> {
    if start.get(4..6) != Some(&[2, 1]) {
        return Ok(Err("is not a 64-bit little-endian ELF program".to_owned()));
    }
    let (machine, name) = MACHINE;
    if u16::from_le_bytes(part(file, start, 18)?) != machine {
        return Ok(Err(format!("is built for another machine than this one, which is {name}")));
    }
    let mut at = u64::from_le_bytes(part(file, start, 32)?);
    let size = u16::from_le_bytes(part(file, start, 54)?);
    let count = u16::from_le_bytes(part(file, start, 56)?);
    for _ in 0..count.min(PROGRAM_HEADER_LIMIT) {
        // PT_INTERP: the loader's path, which ends in NUL.
        if u32::from_le_bytes(part(file, start, at)?) == 3 {
            let from = u64::from_le_bytes(part(file, start, at.saturating_add(8))?);
            let length = u64::from_le_bytes(part(file, start, at.saturating_add(32))?);
            let length = usize::try_from(length.min(LOADER_LIMIT)).unwrap_or_default();
            let mut path = vec![0; length];
            file.read_exact_at(&mut path, from)?;
            let path = path.strip_suffix(b"\0").unwrap_or(&path);
            let loader = Path::new(OsStr::from_bytes(path));
            if !is_executable(loader) {
                let loader = loader.display();
                return Ok(Err(format!(
                    "needs the loader {loader}, which is not there; link it statically"
                )));
            }
        }
        at = at.saturating_add(u64::from(size));
    }
    Ok(Ok(()))
}

/// `N` bytes of a file at an offset, out of its `start` where they lie in it.
fn part<const N: usize>(file: &File, start: &[u8], at: u64) -> io::Result<[u8; N]> {
    let known = usize::try_from(at).ok().and_then(|at| start.get(at..)?.first_chunk());
    let mut bytes = [0; N];
    match known {
        Some(known) => bytes = *known,
        None => file.read_exact_at(&mut bytes, at)?,
    }
    Ok(bytes)
}
