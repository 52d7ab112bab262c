//! The loop: next event, handler, answer; in as many slots as Lambda asks for.
//!
//! In: what makes a handler. Out: nothing, once the Runtime API cannot be used. It must never give
//! a handler an event that was cut, nor go on after the Runtime API said that it cannot.

use std::fs::File;
use std::io::{self, Read};
use std::process::ExitCode;
use std::sync::Mutex;

use crate::address::{Address, HOSTS_LIMIT};
use crate::error::{Error, Kind};
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
pub fn serve<H: Handler>(make: impl Fn(&Settings) -> Result<H, Failure> + Sync) -> ExitCode {
    if let Err(error) = serve_slots(&make) {
        stop(&error);
    }
    ExitCode::FAILURE
}

fn serve_slots<H: Handler>(
    make: &(impl Fn(&Settings) -> Result<H, Failure> + Sync),
) -> Result<(), Error> {
    let address = Address::from_environment(read_hosts)?;
    let settings = match Settings::from_environment() {
        Ok(settings) => settings,
        Err(failure) => {
            report_init_error(&address, &failure);
            return Ok(());
        }
    };
    let _extension = Extension::register(&address, &settings)?;
    let reported = Mutex::new(());
    let slot = || match make(&settings) {
        Ok(mut handler) => serve_slot(&address, &settings, &mut handler),
        Err(failure) => {
            // Any slot's init failure is the function's: the first one reports it.
            let _guard = reported.lock();
            report_init_error(&address, &failure);
            std::process::exit(1)
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..settings.concurrency {
            if let Err(error) = std::thread::Builder::new().spawn_scoped(scope, slot) {
                log::write(Level::Error, None, &format!("a slot cannot be started: {error}"));
            }
        }
        slot();
    });
    Ok(())
}

/// Serves events for ever in one slot, whatever the settings say of concurrency: for a process that
/// is a slot itself. Returns as [`serve`] does.
pub fn serve_slot(address: &Address, settings: &Settings, handler: &mut dyn Handler) {
    let mut api = RuntimeApi::new(address);
    if let Err(kind) = run_slot(&mut api, settings, handler) {
        stop(&api.error(kind));
    }
}

/// Logs a failure before the first event, and reports it.
pub fn report_init_error(address: &Address, failure: &Failure) {
    failure.log(Level::Fatal, None);
    let mut api = RuntimeApi::new(address);
    if let Err(kind) = api.init_error(failure) {
        stop(&api.error(kind));
    }
}

/// Logs why the runtime cannot go on.
pub fn stop(error: &Error) {
    log::write(Level::Fatal, None, &error.to_string());
}

fn read_hosts() -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open("/etc/hosts")?.take(HOSTS_LIMIT).read_to_end(&mut text)?;
    Ok(text)
}

/// The internal extension that makes Lambda send SIGTERM; registered as long as this lives.
#[derive(Debug)]
pub struct Extension {
    _connection: RuntimeApi,
}

impl Extension {
    /// Registers it, if the settings ask for it. Must be done before the first event is asked for.
    ///
    /// # Errors
    /// The Runtime API cannot be used.
    pub fn register(address: &Address, settings: &Settings) -> Result<Option<Extension>, Error> {
        if !settings.graceful_shutdown {
            return Ok(None);
        }
        let mut api = RuntimeApi::new(address);
        api.register_extension().map_err(|kind| api.error(kind))?;
        Ok(Some(Extension { _connection: api }))
    }
}

/// One slot: its restore, if there is one, then its events until it cannot go on.
fn run_slot(
    api: &mut RuntimeApi,
    settings: &Settings,
    handler: &mut dyn Handler,
) -> Result<(), Kind> {
    if settings.snap_start {
        if let Err(failure) = handler.before_snapshot() {
            failure.log(Level::Fatal, None);
            return api.init_error(&failure);
        }
        api.restore_next()?;
        if let Err(failure) = handler.after_restore() {
            failure.log(Level::Fatal, None);
            return api.restore_error(&failure);
        }
    }
    loop {
        let invocation = api.next(&mut |part| handler.receive(part))?;
        handler.handle(&invocation, Reply::new(api, &invocation)).0?;
        if let Err(failure) = handler.recover() {
            failure.log(Level::Fatal, None);
            return Ok(());
        }
    }
}
