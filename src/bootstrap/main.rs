//! The `bootstrap` of a Lambda function: runs a shell function or an executable for each event.
// No panic is reachable from any input: nothing that could panic is written at all.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
// std's own start costs page faults and 5 KB of code for what a program of one thread does not need;
// sys.rs has the rest of it.
#![no_main]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("bootstrap runs on 64-bit Linux, as Lambda does");

mod handler;
mod supervisor;
mod sys;

use std::io::Write;

use zerostrap::{Failure, Settings};

const HELP: &str = include_str!("help.txt");

/// What build.rs found out of the source tree and the compiler.
const VERSION: &str = concat!("bootstrap ", env!("ZEROSTRAP_VERSION"), "\n");

/// The exit status of all that fails; Lambda only cares that it is not 0.
const FAILURE: u8 = 1;

/// The program, given its first argument. Emulators pass the handler as an argument: only three
/// mean anything.
fn run(argument: &[u8]) -> u8 {
    match argument {
        b"--version" => print(VERSION),
        b"--help" => print(HELP),
        b"--check" => check(),
        _ => serve(),
    }
}

fn serve() -> u8 {
    let begun = zerostrap::begin(settings, || sys::open(c"/etc/hosts"));
    let Some((address, settings)) = begun else {
        return FAILURE;
    };
    // PID 1 of a container has orphans to collect, which a process that waits for events cannot.
    let supervised = settings.concurrency > 1 || std::process::id() == 1;
    if supervised && let Err(error) = supervisor::divide(settings.concurrency) {
        let message = format!("a process for a slot cannot be made: {error}");
        let failure = Failure::new("Runtime.HandlerInitFailed", message);
        zerostrap::report_init_error(&address, &failure);
        return FAILURE;
    }
    match handler::start(&settings) {
        Ok(mut handler) => zerostrap::serve_slot(&address, &settings, &mut *handler),
        Err(failure) => {
            zerostrap::report_init_error(&address, &failure);
            return if supervised {
                supervisor::INIT_FAILED
            } else {
                FAILURE
            };
        }
    }
    FAILURE
}

/// Starts the handler as serving would. Standard output says that it can be, or what is wrong.
fn check() -> u8 {
    match settings().and_then(|settings| handler::start(&settings).map(drop)) {
        Ok(()) => print("ok\n"),
        Err(failure) => {
            print(&[failure.error_type(), ": ", failure.message(), "\n"].concat());
            FAILURE
        }
    }
}

/// Reads the environment, and goes where handlers run.
fn settings() -> Result<Settings, Failure> {
    let mut settings = Settings::from_environment()?;
    std::env::set_current_dir(&settings.task_root).map_err(|error| {
        let root = settings.task_root.display();
        let message = format!("LAMBDA_TASK_ROOT {root}: {error}; set it to a folder");
        Failure::new("Runtime.NoSuchHandler", message)
    })?;
    if settings.task_root.is_relative() {
        settings.task_root = ".".into();
    }
    Ok(settings)
}

/// `println!` would panic on a closed standard output. Gives the exit status.
fn print(text: &str) -> u8 {
    sys::standard_output()
        .write_all(text.as_bytes())
        .map_or(FAILURE, |()| 0)
}
