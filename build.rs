//! Records where a binary comes from, for `--version`. Takes comments and indentation off the
//! shell's side.
//!
//! In: the source tree, its git folder or what `cargo package` noted of it, the compiler. Out:
//! three variables that the program and its tests read with `env!`; the shell's side in `OUT_DIR`.
//! Never: a clock, the network, a user's name, a folder's name; the same tree and the same compiler
//! give the same texts on every machine.
//!
//! - `ZEROSTRAP_COMMIT`: the commit, with `-dirty` if what the binary is made of differs from it;
//!   empty in an unpacked archive that is no package of Cargo's.
//! - `ZEROSTRAP_TOOLCHAIN`: such as `rustc 1.95.0 (59807616e)`.
//! - `ZEROSTRAP_VERSION`: what `--version` prints: the version, and after it all of these.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What decides the bytes of the binary, and so what "dirty" is about: a change to the README
/// neither rebuilds it nor marks it.
const SOURCES: [&str; 6] = [
    "Cargo.toml",
    "Cargo.lock",
    "build.rs",
    "rust-toolchain.toml",
    "deploy/build.sh",
    "src",
];

/// The shell's side of the conversation. What is run of it has neither comments nor indentation: a
/// shell would read them at every start.
const SHELL_SIDE: &str = "src/bootstrap/handler/shell_side";

/// The line of serve.sh at which it is cut in two: what serves the events stands there, and differs
/// from shell to shell.
const PLACE_OF_LOOP: &str = "_zs_loop\n";

/// Where git keeps what the current commit is, in its different ways of storing it. Cargo takes a
/// path that does not exist for a changed one, so it gets only those that exist.
const HEADS: [&str; 4] = ["HEAD", "packed-refs", "refs/heads", "reftable"];

fn main() {
    strip_shell_side();
    // A package lacks some of them, and Cargo takes what does not exist for changed.
    for source in SOURCES.iter().filter(|source| Path::new(source).exists()) {
        println!("cargo:rerun-if-changed={source}");
    }
    let commit = commit().or_else(packaged_commit).unwrap_or_default();
    let (version, target) = (variable("CARGO_PKG_VERSION"), variable("TARGET"));
    let known = if commit.is_empty() {
        "unknown"
    } else {
        &commit
    };
    let toolchain = toolchain();
    println!("cargo:rustc-env=ZEROSTRAP_COMMIT={commit}");
    println!("cargo:rustc-env=ZEROSTRAP_TOOLCHAIN={toolchain}");
    println!("cargo:rustc-env=ZEROSTRAP_VERSION={version} (commit {known}, {toolchain}, {target})");
}

/// Writes each file of the shell's side, without comments and indentation, to a file of that name;
/// serve.sh to two.
fn strip_shell_side() {
    let out = variable("OUT_DIR");
    for entry in fs::read_dir(SHELL_SIDE).expect("the shell's side is there") {
        let file = entry.expect("its files can be listed");
        let text = fs::read_to_string(file.path()).expect("it is text");
        let mut program = String::new();
        for line in text.lines() {
            let line = line.trim_start();
            if !line.is_empty() && !line.starts_with('#') {
                program.push_str(line);
                program.push('\n');
            }
        }
        let name = file.file_name();
        let write = |name: &OsStr, text: &str| {
            fs::write(Path::new(&out).join(name), text).expect("cargo's own folder");
        };
        match program.split_once(PLACE_OF_LOOP) {
            Some((start, end)) => {
                write(OsStr::new("serve_start.sh"), start);
                write(OsStr::new("serve_end.sh"), end);
            }
            None => write(&name, &program),
        }
    }
}

/// Returns the commit of this tree, or `None` without git, a repository, or a first commit.
fn commit() -> Option<String> {
    // First, because git also looks in the folders above: an archive that is unpacked inside
    // another project's repository would get that project's commit.
    if !Path::new(".git").exists() {
        return None;
    }
    for head in HEADS {
        let path = git(&["rev-parse", "--git-path", head])?;
        if Path::new(&path).exists() {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    let commit = git(&["rev-parse", "--verify", "HEAD"])?;
    let changes = git(&[&["status", "--porcelain", "--"], &SOURCES[..]].concat())?;
    Some(if changes.is_empty() {
        commit
    } else {
        format!("{commit}-dirty")
    })
}

/// Returns the commit that `cargo package` was run at, or `None` if this is not what it wrote.
fn packaged_commit() -> Option<String> {
    let note = fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, rest) = note.split_once("\"sha1\": \"")?;
    let (commit, _) = rest.split_once('"')?;
    Some(match note.contains("\"dirty\": true") {
        true => format!("{commit}-dirty"),
        false => commit.to_owned(),
    })
}

/// Returns what git prints, without its last newline, or `None` if it fails.
///
/// git gets an empty environment: no settings of the user's, and no variables that git sets for
/// hooks, which would lead to another repository. It takes no locks: another git may be about to
/// use the index that it would write. It reads a tree that another user owns, as in a container:
/// whatever could be run from there is run by the build anyway.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .args(["--no-optional-locks", "-c", "safe.directory=*"])
        .args(arguments)
        .env_clear()
        .env("PATH", variable("PATH"))
        .output()
        .ok()?;
    let answer = String::from_utf8(output.stdout).ok()?;
    output
        .status
        .success()
        .then(|| answer.trim_end().to_owned())
}

/// Returns the compiler's version and commit. The date in `rustc --version` is left out: the commit
/// says more, and a binary without any date needs no explanation for it.
fn toolchain() -> String {
    let output = Command::new(variable("RUSTC"))
        .arg("-vV")
        .output()
        .expect("rustc runs");
    let text = String::from_utf8(output.stdout).expect("rustc speaks UTF-8");
    let field = |name: &str| {
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.unwrap_or("unknown")
    };
    let hash = field("commit-hash");
    format!(
        "rustc {} ({})",
        field("release"),
        hash.get(..9).unwrap_or(hash)
    )
}

/// Returns a variable that Cargo sets, or without which Cargo would not have been found.
fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|reason| panic!("{name}: {reason}"))
}
