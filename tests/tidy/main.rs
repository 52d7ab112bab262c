//! House rules as tests: what a reader of this project may rely on without reading all of it.
//!
//! In: the tracked files. Out: for each rule that is broken, the file, the line, and what to write
//! instead. A rule is a function from text to findings, and the tests at the end of each
//! module show that each of them finds what it is for.
//!
//! - `source`: what the code may hold, and how long a function may be.
//! - `density`: how much of it there is, in tokens, and how densely it is written.
//! - `imports`: which file uses which, without a circle.
//! - `documents`: what is said of the code elsewhere, and whether it is so.

mod density;
mod documents;
mod imports;
mod source;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file as it lies in the tree; the path is relative to its root.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files below a folder whose names end in `.rs` or `.sh`, sorted by path.
pub(crate) fn code_below(folder: &str) -> Vec<File> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the tree") {
            let path = entry.expect("its entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|end| end == "rs" || end == "sh")
            {
                let relative = path.strip_prefix(root()).expect("a path below the root");
                let relative = relative.to_str().expect("a name in UTF-8").to_owned();
                found.push(File {
                    text: read(&relative),
                    path: relative,
                });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(!found.is_empty(), "no code below {folder}");
    found
}

/// The paths that git tracks; `None`, said in a line, in an unpacked archive.
pub(crate) fn tracked() -> Option<Vec<PathBuf>> {
    let output = Command::new("git")
        .args(["-c", "safe.directory=*", "ls-files", "-z"])
        .current_dir(root())
        .output();
    let output = output
        .ok()
        .filter(|output| root().join(".git").exists() && !output.stdout.is_empty());
    let Some(output) = output else {
        println!("skipped: rules about tracked files: there is no git, or no repository");
        return None;
    };
    let names = String::from_utf8(output.stdout).expect("names in UTF-8");
    let paths = names.split_terminator('\0').map(|name| root().join(name));
    // A file that is deleted and not yet committed is tracked all the same.
    Some(paths.filter(|path| path.is_file()).collect())
}

/// Fails with all findings at once.
#[track_caller]
pub(crate) fn assert_none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}
