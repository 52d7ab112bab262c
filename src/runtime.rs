//! The loop: next event, handler, answer; in as many slots as Lambda asks for.
//!
//! In: what makes a handler. Out: nothing, once the Runtime API cannot be used. It must never pass
//! a handler an event that was cut, nor go on after the Runtime API reported that it cannot go on.

use std::fs::File;
use std::process::ExitCode;

use crate::api::RuntimeApi;
use crate::api::address::{Address, AddressError, OpenHosts};
use crate::api::endpoint::Endpoint;
use crate::api::error::ApiError;
use crate::failure::{ErrorType, Failure};
use crate::handler::{Handler, Slot};
use crate::log::{self, Level};
use crate::panics;
use crate::responder::{Answered, Responder};
use crate::settings::{self, Settings};

/// Serves events for ever with one handler for each slot, made by `make` in its slot's thread.
///
/// Returns only when it cannot go on. The reason has been logged, and reported to the Runtime API
/// if that can still be reached.
///
/// A handler that panics fails its event with `Function.Panicked`, and `make` makes the slot's next
/// one. A panic of `make` is an init error.
pub fn serve<H: Handler>(make: impl Fn(&Settings) -> Result<H, Failure> + Sync) -> ExitCode {
    let Some(address) = find_api(|| File::open("/etc/hosts")) else {
        return ExitCode::FAILURE;
    };
    let settings = match settings::from_environment() {
        Ok(settings) => settings,
        Err(failure) => {
            report_init_error(&address, &failure);
            return ExitCode::FAILURE;
        }
    };
    if !register_extension(&address, &settings) {
        return ExitCode::FAILURE;
    }
    let make = || make(&settings);
    let run_slot = || {
        let _end = EndOfSlot;
        match panics::catch(make) {
            Ok(handler) => {
                let mut slot = Slot {
                    handler,
                    make: &make,
                    panic: None,
                };
                serve_slot(&address, &settings, &mut slot);
            }
            // Any slot's init failure is the function's. The Runtime API takes one report.
            Err(failure) => report_init_error(&address, &failure),
        }
    };
    panics::remember();
    std::thread::scope(|scope| {
        for _ in 1..settings.concurrency {
            let started = std::thread::Builder::new().spawn_scoped(scope, run_slot);
            if let Err(error) = started {
                let message = format!("a slot cannot be started: {error}");
                let failure = Failure::of(ErrorType::HandlerInitFailed, message);
                report_init_error(&address, &failure);
                std::process::exit(1);
            }
        }
        run_slot();
    });
    ExitCode::FAILURE
}

/// Ends the process when a slot ends in any way. Lambda counts on all slots: with one less, events
/// would wait for ever.
struct EndOfSlot;

impl Drop for EndOfSlot {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let message = "a slot ended by a panic; the runtime ends, too";
            log::write(Level::Fatal, None, message);
        }
        std::process::exit(1)
    }
}

/// Reads `AWS_LAMBDA_RUNTIME_API`. Returns `None` if that leads to no Runtime API. The reason is
/// only logged, since there is no API to report it to.
pub fn find_api(open_hosts: OpenHosts) -> Option<Address> {
    let address = match settings::runtime_api() {
        Some(text) => Address::parse(&text, open_hosts),
        None => Err(AddressError::Missing),
    };
    address
        .inspect_err(|error| {
            let message = format!("AWS_LAMBDA_RUNTIME_API: {error}");
            log::write(Level::Fatal, None, &message);
        })
        .ok()
}

/// Registers the extension that makes Lambda send SIGTERM, if the settings ask for that. Returns
/// `false` after a failure, which has been logged.
pub fn register_extension(address: &Address, settings: &Settings) -> bool {
    if !settings.graceful_shutdown {
        return true;
    }
    let mut api = RuntimeApi::new(address);
    let registered = api.register_extension();
    let is_registered = registered.is_ok();
    log_api_error(&api, registered);
    // Never dropped: the extension is registered as long as its connection is open.
    std::mem::forget(api);
    is_registered
}

/// Serves events for ever in one slot, and ignores the concurrency of the settings: the caller's
/// process is the slot. Returns as [`serve`] does.
pub fn serve_slot(address: &Address, settings: &Settings, handler: &mut dyn Handler) {
    let mut api = RuntimeApi::new(address);
    let outcome = run_loop(&mut api, settings, handler);
    log_api_error(&api, outcome);
}

fn run_loop(
    api: &mut RuntimeApi,
    settings: &Settings,
    handler: &mut dyn Handler,
) -> Result<(), ApiError> {
    if settings.is_snap_start {
        if let Err(failure) = handler.before_snapshot() {
            return api.fail_init(Endpoint::InitError, &failure);
        }
        api.restore_next()?;
        if let Err(failure) = handler.after_restore() {
            return api.fail_init(Endpoint::RestoreError, &failure);
        }
    }
    loop {
        let context = api.next(&mut |part| handler.receive(part))?;
        let responder = Responder::new(api, &context);
        let Answered(outcome) = handler.handle(&context, responder);
        outcome?;
        if let Err(failure) = handler.recover() {
            failure.log(Level::Fatal, None);
            return Ok(());
        }
    }
}

/// Logs a failure before the first event, and reports it.
pub fn report_init_error(address: &Address, failure: &Failure) {
    let mut api = RuntimeApi::new(address);
    let outcome = api.fail_init(Endpoint::InitError, failure);
    log_api_error(&api, outcome);
}

/// Logs why the Runtime API cannot be used.
fn log_api_error(api: &RuntimeApi, outcome: Result<(), ApiError>) {
    if let Err(error) = outcome {
        let message = format!("{}: {error}", api.endpoint.name());
        log::write(Level::Fatal, None, &message);
    }
}
