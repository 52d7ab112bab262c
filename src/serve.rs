//! The loop: next event, handler, answer; in as many slots as Lambda asks for.

use std::process::ExitCode;
use std::sync::Mutex;

use crate::error::Error;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::log::{self, Level};
use crate::reply::{Answered, Reply};
use crate::runtime_api::RuntimeApi;
use crate::settings::Settings;

/// What answers events. One for each slot, so that no two events share its memory.
pub trait Handler {
    /// Takes the next part of an event, as it arrives. The parts are an event only once
    /// [`Handler::handle`] is called; after an event that was cut, nothing is called any more.
    fn receive(&mut self, part: &[u8]);

    /// Answers the event whose parts were received since the last call.
    fn handle(&mut self, invocation: &Invocation, reply: Reply<'_>) -> Answered;

    /// Runs after an answer, before the next event is asked for: the place to mend what the event
    /// broke. While it runs, Lambda still counts the event as running.
    ///
    /// # Errors
    /// The handler cannot go on. It is logged, and the process exits with status 1.
    fn recover(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// Runs before a snapshot is taken.
    ///
    /// # Errors
    /// Reported as an init error.
    fn before_snapshot(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// Runs after the process was restored from a snapshot.
    ///
    /// # Errors
    /// Reported as a restore error.
    fn after_restore(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

/// Serves events for ever with one handler for each slot, made by `make` in its slot's thread.
///
/// Returns only when it cannot go on, after it logged why and told the Runtime API where it can.
pub fn serve<H: Handler>(
    settings: &Settings,
    make: impl Fn() -> Result<H, Failure> + Sync,
) -> ExitCode {
    let mut api = match RuntimeApi::from_environment() {
        Ok(api) => api,
        Err(error) => return stop(&error),
    };
    let _extension = match settings.graceful_shutdown.then(register_extension).transpose() {
        Ok(extension) => extension,
        Err(error) => return stop(&error),
    };
    let init_failed = Mutex::new(false);
    std::thread::scope(|scope| {
        for _ in 1..settings.concurrency {
            let slot = || {
                let api = RuntimeApi::from_environment();
                let ended =
                    api.and_then(|mut api| run_slot(&mut api, settings, &make, &init_failed));
                if let Err(error) = ended {
                    log::write(Level::Fatal, None, &format!("{error}; this slot ends"));
                }
            };
            if let Err(error) = std::thread::Builder::new().spawn_scoped(scope, slot) {
                log::write(Level::Error, None, &format!("a slot cannot be started: {error}"));
            }
        }
        match run_slot(&mut api, settings, &make, &init_failed) {
            Ok(()) => ExitCode::FAILURE,
            Err(error) => stop(&error),
        }
    })
}

/// Reports a failure before the first event, logs it, and gives the exit status.
pub fn init_failed(failure: &Failure) -> ExitCode {
    log::write(Level::Fatal, None, &format!("{}: {}", failure.error_type(), failure.message()));
    match RuntimeApi::from_environment().and_then(|mut api| api.init_error(failure)) {
        Ok(()) => ExitCode::FAILURE,
        Err(error) => stop(&error),
    }
}

fn stop(error: &Error) -> ExitCode {
    log::write(Level::Fatal, None, &error.to_string());
    ExitCode::FAILURE
}

fn register_extension() -> Result<RuntimeApi, Error> {
    let mut api = RuntimeApi::from_environment()?;
    api.register_extension()?;
    Ok(api)
}

/// One slot: its init, then its events until it cannot go on.
fn run_slot<H: Handler>(
    api: &mut RuntimeApi,
    settings: &Settings,
    make: &impl Fn() -> Result<H, Failure>,
    init_failed: &Mutex<bool>,
) -> Result<(), Error> {
    let made = make().and_then(|mut handler| {
        if settings.snap_start {
            handler.before_snapshot()?;
        }
        Ok(handler)
    });
    let mut handler = match made {
        Ok(handler) => handler,
        Err(failure) => exit_in_init(api, &failure, init_failed),
    };
    if settings.snap_start {
        api.restore_next()?;
        if let Err(failure) = handler.after_restore() {
            log::write(Level::Fatal, None, failure.message());
            return api.restore_error(&failure);
        }
    }
    loop {
        let invocation = api.next(&mut |part| handler.receive(part))?;
        handler.handle(&invocation, Reply::new(api, &invocation)).0?;
        if let Err(failure) = handler.recover() {
            let message = format!("{}: {}", failure.error_type(), failure.message());
            log::write(Level::Fatal, None, &message);
            return Ok(());
        }
    }
}

/// Any slot's init failure is the function's: the first one reports it and ends the process.
fn exit_in_init(api: &mut RuntimeApi, failure: &Failure, init_failed: &Mutex<bool>) -> ! {
    let guard = init_failed.lock();
    log::write(Level::Fatal, None, &format!("{}: {}", failure.error_type(), failure.message()));
    if let Err(error) = api.init_error(failure) {
        log::write(Level::Fatal, None, &error.to_string());
    }
    drop(guard);
    std::process::exit(1)
}
