//! Whether the kernel will execute a file: known at init, so that no event is lost to it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zerostrap::Failure;

use crate::sys;

/// What is read of a file to find out what it is: enough for the kernel's 256 bytes of a `#!` line
/// and, as linkers lay files out, for the program headers of an ELF file.
const START: usize = 1_024;

/// Longest program header table that is looked at, in entries.
const PROGRAM_HEADER_LIMIT: u16 = 64;

const MACHINE: (u16, &str) =
    if cfg!(target_arch = "aarch64") { (183, "arm64") } else { (62, "x86_64") };

/// Checks mode, form, machine and interpreter. `false`: there is no file of that name.
///
/// # Errors
/// `Runtime.HandlerNotExecutable` with the file, the reason, and the mend.
pub(crate) fn check(path: &Path) -> Result<bool, Failure> {
    let shown = path.display();
    let refuse =
        |why: String| Failure::new("Runtime.HandlerNotExecutable", format!("{shown} {why}"));
    let cannot_read = |error: std::io::Error| refuse(format!("cannot be read: {error}"));
    let mut file = match sys::open(&super::path_string(path)) {
        Ok(file) => file,
        Err(_) if !path.is_file() => return Ok(false),
        Err(error) => return Err(cannot_read(error)),
    };
    let metadata = file.metadata().map_err(cannot_read)?;
    if !metadata.is_file() {
        return Ok(false);
    }
    let mode = metadata.permissions().mode();
    if mode & 0o111 == 0 {
        return Err(refuse(format!("is not executable; run chmod +x {shown} before packing")));
    }
    let mut start = [0; START];
    let length = file.read(&mut start).map_err(cannot_read)?;
    let start = start.get(..length).unwrap_or_default();
    if let Some(line) = interpreter_line(start) {
        if line.ends_with(b"\r") {
            return Err(refuse(
                "has a #! line that ends in CR; save it with Unix line ends".into(),
            ));
        }
        let interpreter = words(line).next().unwrap_or(Path::new(""));
        if !is_executable(interpreter) {
            let missing = interpreter.display();
            return Err(refuse(format!("names the interpreter '{missing}', which is not there")));
        }
        return Ok(true);
    }
    if !start.starts_with(b"\x7fELF") {
        return Err(refuse("is neither an ELF program nor a script with a #! line".into()));
    }
    check_elf(&file, start).map(|()| true).map_err(refuse)
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

/// A 64-bit little-endian ELF file for this machine whose loader, if it names one, is there.
/// Offsets are those of `Elf64_Ehdr` and `Elf64_Phdr` in elf(5).
fn check_elf(file: &File, start: &[u8]) -> Result<(), String> {
    let malformed = || "is a damaged ELF file".to_owned();
    if start.get(4..6) != Some(&[2, 1]) {
        return Err("is not a 64-bit little-endian ELF program".to_owned());
    }
    let half = |bytes: &[u8], at: usize| {
        let bytes = bytes.get(at..at.checked_add(2)?)?;
        Some(u16::from_le_bytes(bytes.try_into().ok()?))
    };
    let long = |bytes: &[u8], at: usize| {
        let bytes = bytes.get(at..at.checked_add(8)?)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    let (machine, name) = MACHINE;
    if half(start, 18).ok_or_else(malformed)? != machine {
        return Err(format!("is built for another machine than this one, which is {name}"));
    }
    let mut at = long(start, 32).ok_or_else(malformed)?;
    let size = u64::from(half(start, 54).ok_or_else(malformed)?);
    let count = half(start, 56).ok_or_else(malformed)?;
    for _ in 0..count.min(PROGRAM_HEADER_LIMIT) {
        let mut header = [0; 56];
        let known = usize::try_from(at).ok().and_then(|at| start.get(at..)?.first_chunk());
        match known {
            Some(known) => header = *known,
            None => file.read_exact_at(&mut header, at).map_err(|_| malformed())?,
        }
        // PT_INTERP: the loader's path, which ends in NUL.
        if header.starts_with(&[3, 0, 0, 0]) {
            let from = long(&header, 8).ok_or_else(malformed)?;
            let length = long(&header, 32).and_then(|length| usize::try_from(length).ok());
            let mut path = vec![0; length.filter(|length| *length <= 4_096).ok_or_else(malformed)?];
            file.read_exact_at(&mut path, from).map_err(|_| malformed())?;
            let path = path.strip_suffix(b"\0").unwrap_or(&path);
            let loader = Path::new(OsStr::from_bytes(path));
            if !is_executable(loader) {
                return Err(format!(
                    "needs the loader {}, which is not there; link it statically",
                    loader.display()
                ));
            }
        }
        at = at.checked_add(size).ok_or_else(malformed)?;
    }
    Ok(())
}
