//! Rust functions that use crates, as most do: what `?` makes of their errors, and a build whose
//! panics abort.
//!
//! The crates are not in the project's lock file. The program is a package of its own below
//! target/; where no registry can be reached the tests are skipped, and say so.

use crate::emulator::event::Event;
use crate::emulator::json::{self, Value};
use crate::harness::failure::{assert_failure, assert_response};
use crate::harness::folder::Folder;
use crate::harness::lambda::Setup;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PROGRAM: &str = include_str!("functions/errors.rs");

fn cargo(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command
        .args(arguments)
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", folder.join("target"));
    command
}

fn shown(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Whether the crates of this package can be had; says why not.
fn can_fetch(what: &str, package: &Path, arguments: &[&str]) -> bool {
    let mut fetch = cargo(package, arguments);
    let fetched = fetch.env("CARGO_NET_RETRY", "0").output();
    let fetched = fetched.expect("cargo runs");
    if !fetched.status.success() {
        println!(
            "skipped: {what}: no crates can be fetched here: {}",
            shown(&fetched).lines().last().unwrap_or_default()
        );
    }
    fetched.status.success()
}

/// Builds the program in a folder of this name, and returns it. `None`: its crates cannot be had.
fn program(name: &str, panics: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(folder.join("src")).expect("a folder");
    let manifest = format!(
        "[package]\nname = \"errors\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
         anyhow = \"1\"\nserde_json = \"1\"\nzerostrap = {{ path = {:?} }}\n",
        env!("CARGO_MANIFEST_DIR")
    );
    fs::write(folder.join("Cargo.toml"), manifest).expect("a manifest");
    fs::write(folder.join("src/main.rs"), PROGRAM).expect("a program");
    if !can_fetch("Rust functions with crates", &folder, &["fetch"]) {
        return None;
    }
    let mut build = cargo(&folder, &["build", "--offline"]);
    let built = build.env("CARGO_PROFILE_DEV_PANIC", panics).output();
    let built = built.expect("cargo runs");
    assert!(built.status.success(), "{}", shown(&built));
    Some(folder.join("target/debug/errors"))
}

fn function(program: &Path) -> (Folder, Setup) {
    let folder = Folder::new();
    let launch = format!("set -- '{}'", program.display());
    let setup = Setup::new(folder.path(), "none").launched_by(&launch);
    (folder, setup)
}

#[test]
fn each_kind_of_error_under_the_question_mark_fails_its_event() {
    let Some(program) = program("errors", "unwind") else {
        return;
    };
    let (_folder, setup) = function(&program);
    let lambda = setup.start();
    let table = [
        ("std", "Function.ParseIntError", "invalid digit found"),
        ("serde_json", "Function.Error", "EOF while parsing"),
        ("anyhow", "Function.Error", "outer words"),
        ("string", "Function.Error", "words of a string"),
        ("str", "Function.Error", "words of a str"),
        ("box", "Function.Error", "words of a box"),
        ("own", "Function.OutOfStock", "own words"),
        (
            "wrong",
            "Function.Unknown",
            "'out-of-stock' is no error type",
        ),
        ("endless", "Function.Endless", "no end"),
        ("panic", "Function.Panicked", ": words of a panic"),
    ];
    for (event, error_type, words) in table {
        assert_failure(&lambda.call(event), error_type, words);
        assert_response(&lambda.call("next"), b"next");
    }
    let document = json::parse(&lambda.call("anyhow").body).expect("JSON");
    let Some(Value::List(trace)) = document.get("stackTrace") else {
        panic!("{document:?}");
    };
    assert_eq!(trace.len(), 2, "{document:?}");
}

/// Lambda sees the end of the process, fails the event by itself, and starts the process again.
#[test]
fn panic_that_aborts_ends_the_process_without_an_answer() {
    let Some(program) = program("aborts", "abort") else {
        return;
    };
    let (_folder, setup) = function(&program);
    let lambda = setup.start();
    assert_response(&lambda.call("next"), b"next");
    let id = lambda.api.push(Event::new("panic"));
    assert_eq!(lambda.wait_exit().signal(), Some(6));
    lambda.wait_log("words of a panic");
    let requests = lambda.api.requests();
    let mut answered = requests
        .iter()
        .map(|request| request.endpoint.answered_id());
    assert!(!answered.any(|answered| answered == Some(&id)));
}

/// No other test compiles them: they are a package of their own, for another compiler.
#[test]
fn fuzz_targets_compile_with_this_library() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    if !can_fetch("the fuzz targets", &package, &["fetch", "--locked"]) {
        return;
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
    let mut check = cargo(&package, &["check", "--offline", "--locked"]);
    check
        .env("CARGO_TARGET_DIR", target)
        .env("RUSTFLAGS", "--cfg fuzzing")
        // Nothing is linked, so that the fuzzer itself need not be compiled.
        .env("CUSTOM_LIBFUZZER_PATH", "/none/libFuzzer.a");
    let checked = check.output().expect("cargo runs");
    assert!(checked.status.success(), "{}", shown(&checked));
}
