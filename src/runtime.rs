//! The loop: next event, handler, answer; in as many slots as Lambda asks for.
//!
//! In: what makes a handler. Out: nothing, once the Runtime API cannot be used. It must never give
//! a handler an event that was cut, nor go on after the Runtime API said that it cannot.

use std::fs::File;
use std::io;
use std::process::ExitCode;

use crate::api::RuntimeApi;
use crate::api::address::Address;
use crate::api::error::Outcome;
use crate::context::Invocation;
use crate::failure::Failure;
use crate::log::{self, Level};
use crate::responder::{Answered, Reply};
use crate::settings::Settings;

const INIT_ERROR: &str = "POST /runtime/init/error";

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
pub fn serve<H: Handler>(make: impl Fn(&Settings) -> Result<H, Failure> + Sync) -> ExitCode {
    let begun = begin(Settings::from_environment, || File::open("/etc/hosts"));
    let Some((address, settings)) = begun else {
        return ExitCode::FAILURE;
    };
    let slot = || match make(&settings) {
        Ok(mut handler) => serve_slot(&address, &settings, &mut handler),
        Err(failure) => {
            // Any slot's init failure is the function's. The Runtime API takes one report.
            report_init_error(&address, &failure);
            std::process::exit(1)
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..settings.concurrency {
            if let Err(error) = std::thread::Builder::new().spawn_scoped(scope, slot) {
                log::write(
                    Level::Error,
                    None,
                    &format!("a slot cannot be started: {error}"),
                );
            }
        }
        slot();
    });
    ExitCode::FAILURE
}

/// Reads the environment, `settings` a part of it, and registers the extension that makes Lambda send
/// SIGTERM where the settings ask for it. `None` where that fails, which is logged and reported.
///
/// `open_hosts` opens /etc/hosts, in case that the Runtime API's host is a name.
pub fn begin(
    settings: fn() -> Result<Settings, Failure>,
    open_hosts: fn() -> io::Result<File>,
) -> Option<(Address, Settings)> {
    let address = Address::from_environment(open_hosts)?;
    let settings = settings()
        .map_err(|failure| report_init_error(&address, &failure))
        .ok()?;
    if settings.graceful_shutdown {
        // Never dropped: the extension is registered as long as its connection is open.
        std::mem::forget(attempt(&address, RuntimeApi::register_extension)?);
    }
    Some((address, settings))
}

/// Serves events for ever in one slot, whatever the settings say of concurrency: for a process that
/// is a slot itself. Returns as [`serve`] does.
pub fn serve_slot(address: &Address, settings: &Settings, handler: &mut dyn Handler) {
    attempt(address, |api| {
        if settings.snap_start {
            if let Err(failure) = handler.before_snapshot() {
                return api.report(INIT_ERROR, None, &failure);
            }
            api.restore_next()?;
            if let Err(failure) = handler.after_restore() {
                return api.report("POST /runtime/restore/error", None, &failure);
            }
        }
        loop {
            let invocation = api.next(&mut |part| handler.receive(part))?;
            handler
                .handle(
                    &invocation,
                    Reply {
                        api,
                        invocation: &invocation,
                    },
                )
                .0?;
            if let Err(failure) = handler.recover() {
                failure.log(Level::Fatal, None);
                return Ok(());
            }
        }
    });
}

/// Logs a failure before the first event, and reports it.
pub fn report_init_error(address: &Address, failure: &Failure) {
    attempt(address, |api| api.report(INIT_ERROR, None, failure));
}

/// Does `work` on a connection of its own, and returns that; logs why the Runtime API could not be
/// used.
fn attempt(address: &Address, work: impl FnOnce(&mut RuntimeApi) -> Outcome) -> Option<RuntimeApi> {
    let mut api = RuntimeApi::new(address);
    if let Err(kind) = work(&mut api) {
        log::write(Level::Fatal, None, &format!("{}: {kind}", api.during));
        return None;
    }
    Some(api)
}
