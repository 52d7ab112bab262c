//! The `bootstrap` of a Lambda function: runs a shell function or an executable for each event.
// No panic is reachable from any input: nothing that could panic is written at all.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
// Without std's own start; the program's is `sys::main`, which calls `run`.
#![no_main]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("bootstrap runs on 64-bit Linux, as Lambda does");

mod handler;
mod settings;
mod status;
mod supervisor;
mod sys;

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;

use zerostrap::Failure;
use zerostrap::internal::log::{self, Level};
use zerostrap::internal::{self, ErrorType};

use sys::OneThread;

const HELP: &str = include_str!("help.txt");

/// What build.rs found out about the source tree and the compiler.
const VERSION: &str = concat!("bootstrap ", env!("ZEROSTRAP_VERSION"), "\n");

/// The program, with its first argument: a flag, or the handler.
fn run(argument: Option<&[u8]>, thread: OneThread) -> u8 {
    match argument {
        Some(b"--version" | b"-V") => print(VERSION),
        Some(b"--help" | b"-h") => print(HELP),
        Some(b"--check") => check(),
        Some(option @ [b'-', ..]) => refuse(option),
        // Images have the handler as an argument: Lambda leaves _HANDLER empty there.
        other => serve(other.map(OsStr::from_bytes), &thread),
    }
}

/// Serves events for ever: finds the Runtime API, reads the settings, forks slots, starts the
/// handler, and runs the loop.
fn serve(argument: Option<&OsStr>, thread: &OneThread) -> u8 {
    let Some(address) = internal::find_api(|| sys::open(c"/etc/hosts")) else {
        return status::FAILURE;
    };
    let (settings, handler_settings) = match settings::from_environment(argument) {
        Ok(settings) => settings,
        Err(failure) => {
            internal::report_init_error(&address, &failure);
            return status::FAILURE;
        }
    };
    if !internal::register_extension(&address, &settings) {
        return status::FAILURE;
    }
    // PID 1 of a container must reap orphans. A process that waits for events cannot.
    let is_supervised = settings.concurrency > 1 || std::process::id() == 1;
    if is_supervised && let Err(error) = supervisor::fork_slots(settings.concurrency, thread) {
        let message = format!("cannot fork a process for a slot: {error}");
        let failure = internal::failure(ErrorType::HandlerInitFailed, message);
        internal::report_init_error(&address, &failure);
        return status::FAILURE;
    }
    match handler::start(&handler_settings, &settings) {
        Ok(mut handler) => {
            internal::serve_slot(&address, &settings, &mut *handler);
            status::FAILURE
        }
        Err(failure) => {
            internal::report_init_error(&address, &failure);
            match is_supervised {
                true => status::INIT_FAILED,
                false => status::FAILURE,
            }
        }
    }
}

/// Starts the handler as serving would, and says on standard output whether that works.
fn check() -> u8 {
    match start_only() {
        Ok(()) => print("ok\n"),
        Err(failure) => {
            print(&[failure.error_type(), ": ", failure.message(), "\n"].concat());
            status::FAILURE
        }
    }
}

fn start_only() -> Result<(), Failure> {
    let (settings, handler_settings) = settings::from_environment(None)?;
    handler::start(&handler_settings, &settings).map(drop)
}

/// Logs that the option is unknown, and which there are.
fn refuse(option: &[u8]) -> u8 {
    let option = String::from_utf8_lossy(option);
    log::write(Level::Fatal, None, &format!("unknown option '{option}'"));
    log::write_raw(HELP.as_bytes());
    status::USAGE
}

/// Writes to standard output and returns the exit status: `println!` would panic if it is closed.
fn print(text: &str) -> u8 {
    match sys::standard_output().write_all(text.as_bytes()) {
        Ok(()) => status::SUCCESS,
        Err(_) => status::FAILURE,
    }
}
