//! The `bootstrap` of a Lambda function: runs a shell function or an executable for each event.
// No panic is reachable from any input: nothing that could panic is written at all.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("bootstrap runs on 64-bit Linux, as Lambda does");

mod handler;
mod sys;

use std::process::ExitCode;

use zerostrap::{Extension, Failure, Settings};

const HELP: &str = "\
bootstrap: runs a Lambda function's handler for each event of the Runtime API.

  bootstrap             serve; needs AWS_LAMBDA_RUNTIME_API and _HANDLER
  bootstrap --check     find and start the handler as serving would, say what is wrong
  bootstrap --version   print version, commit, toolchain, target
  bootstrap --help      print this

_HANDLER is the name of an executable, or SCRIPT.FUNCTION for a function of SCRIPT.sh,
in LAMBDA_TASK_ROOT. Settings and limits: README.md.
";

fn main() -> ExitCode {
    sys::close_foreign_descriptors();
    // Emulators pass the handler as an argument: only these three mean anything.
    let mut arguments = std::env::args_os();
    let argument = arguments.nth(1).unwrap_or_default();
    match argument.to_str() {
        Some("--version") => print(&version()),
        Some("--help") => print(HELP),
        Some("--check") => check(),
        _ => serve(),
    }
}

fn serve() -> ExitCode {
    let settings = match settings() {
        Ok(settings) => settings,
        Err(failure) => return zerostrap::init_failed(&failure),
    };
    let _extension = match Extension::register(&settings) {
        Ok(extension) => extension,
        Err(error) => return zerostrap::stop(&error),
    };
    // Several slots are several processes, so that none can harm another; and PID 1 of a container
    // has orphans to collect, which a process that waits for events cannot.
    let supervised = settings.concurrency > 1 || std::process::id() == 1;
    if supervised && let Err(error) = sys::supervise(settings.concurrency) {
        let message = format!("a process for a slot cannot be made: {error}");
        return zerostrap::init_failed(&Failure::new("Runtime.HandlerInitFailed", message));
    }
    match handler::Kind::start(&settings) {
        Ok(mut handler) => zerostrap::serve_slot(&settings, &mut handler),
        Err(failure) => match zerostrap::init_failed(&failure) {
            _ if supervised => ExitCode::from(sys::INIT_FAILED),
            status => status,
        },
    }
}

/// Starts the handler as serving would. Standard output says what was found or what is wrong.
fn check() -> ExitCode {
    let settings = match settings() {
        Ok(settings) => settings,
        Err(failure) => return refuse(&failure),
    };
    match handler::Kind::start(&settings) {
        Ok(handler) => print(&format!("ok: {}\n", handler.describe())),
        Err(failure) => refuse(&failure),
    }
}

/// Reads the environment. A task root that is relative becomes the current folder.
fn settings() -> Result<Settings, Failure> {
    let mut settings = Settings::from_environment()?;
    if settings.task_root.is_relative() && settings.task_root.as_os_str() != "." {
        if let Err(error) = std::env::set_current_dir(&settings.task_root) {
            let root = settings.task_root.display();
            let message = format!("LAMBDA_TASK_ROOT {root}: {error}; set it to a folder");
            return Err(Failure::new("Runtime.NoSuchHandler", message));
        }
        settings.task_root = ".".into();
    }
    Ok(settings)
}

fn version() -> String {
    let text =
        |value: Option<&'static str>| value.filter(|text| !text.is_empty()).unwrap_or("unknown");
    format!(
        "bootstrap {} (commit {}, {}, {})\n",
        env!("CARGO_PKG_VERSION"),
        text(option_env!("ZEROSTRAP_COMMIT")),
        text(option_env!("ZEROSTRAP_TOOLCHAIN")),
        text(option_env!("ZEROSTRAP_TARGET")),
    )
}

fn refuse(failure: &Failure) -> ExitCode {
    print(&format!("{}: {}\n", failure.error_type(), failure.message()));
    ExitCode::FAILURE
}

/// `println!` would panic on a closed standard output.
fn print(text: &str) -> ExitCode {
    match std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
