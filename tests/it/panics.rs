//! Rust functions that panic: what their callers are told, and who serves the next event.

use crate::emulator::api::{Action, Options};
use crate::emulator::event::Event;
use crate::emulator::record::Endpoint;
use crate::harness::failure::{assert_failure, assert_response};
use crate::harness::folder::Folder;
use crate::harness::lambda::{Lambda, Setup};
use crate::library::example;

const PANICKED: &str = "Function.Panicked";

/// The function of this name, with so many slots.
fn function(name: &str, slots: usize) -> (Folder, Setup) {
    let (folder, setup) = example("panics");
    let options = Options {
        slots,
        ..Options::default()
    };
    let setup = setup
        .options(options)
        .env("FUNCTION", name)
        .env("AWS_LAMBDA_MAX_CONCURRENCY", slots.to_string());
    (folder, setup)
}

fn wait_idle(lambda: &Lambda, slots: usize) {
    lambda.wait("every slot to ask", |state| {
        (state.idle == slots).then_some(())
    });
}

#[test]
fn panic_fails_its_event_and_each_slot_serves_on() {
    let table = [
        ("closure", "panic", ": words of number 5"),
        ("closure", "index", "the len is 5 but the index is 5"),
        ("closure", "value", "the function panicked at "),
        ("handler", "receive", ": words of receive"),
        ("handler", "handle", ": words of handle"),
        ("handler", "unsent", ": words before a stream"),
    ];
    for slots in [1, 4] {
        for (name, event, words) in table {
            let (_folder, setup) = function(name, slots);
            let lambda = setup.start();
            wait_idle(&lambda, slots);
            let ids: Vec<String> = (0..slots)
                .map(|_| lambda.api.push(Event::new(event)))
                .collect();
            for id in &ids {
                let answer = lambda.answer(id);
                assert_failure(&answer, PANICKED, words);
                assert_failure(&answer, PANICKED, "tests/it/functions/panics.rs:");
                lambda.wait_log(&format!("bootstrap: ERROR RequestId: {id} {PANICKED}: "));
            }
            wait_idle(&lambda, slots);
            for _ in 0..slots {
                assert_response(&lambda.call("next"), b"next");
            }
        }
    }
}

#[test]
fn panic_in_a_stream_is_told_in_its_trailers() {
    let (_folder, setup) = function("handler", 1);
    let lambda = setup.start();
    let answer = lambda.call("stream");
    assert_eq!(answer.text(), "begun");
    let error_type = answer.trailer("Lambda-Runtime-Function-Error-Type");
    assert_eq!(error_type, Some(PANICKED));
    lambda.wait_log(": words in a stream");
    assert_response(&lambda.call("next"), b"next");
}

#[test]
fn panic_after_the_answer_sends_no_second_one() {
    let (_folder, setup) = function("handler", 1);
    let lambda = setup.start();
    assert_response(&lambda.call("answered"), b"an answer");
    lambda.wait_log("words after the answer");
    assert_response(&lambda.call("next"), b"next");
    let requests = lambda.api.requests();
    let failures = requests.iter().filter(|request| request.is_error()).count();
    assert_eq!(failures, 0);
}

#[test]
fn panic_of_recover_ends_the_process_after_the_answer() {
    for slots in [1, 4] {
        let (_folder, setup) = function("handler", slots);
        let lambda = setup.start();
        assert_response(&lambda.call("recover"), b"recover");
        assert_eq!(lambda.wait_exit().code(), Some(1));
        lambda.wait_log("words of recover");
        lambda.wait_log("bootstrap: FATAL a slot ended by a panic; the runtime ends, too");
    }
}

#[test]
fn panic_of_the_init_or_of_a_hook_is_an_init_error() {
    for slots in [1, 4] {
        let (_folder, setup) = function("init", slots);
        let lambda = setup.start();
        let report = lambda.request(&Endpoint::InitError);
        assert_failure(&report, PANICKED, ": words of the init");
        assert_eq!(lambda.wait_exit().code(), Some(1));
        lambda.wait_log(&format!("bootstrap: FATAL {PANICKED}: "));
    }
    let (_folder, setup) = function("hook", 1);
    let lambda = setup
        .env("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
        .start();
    let report = lambda.request(&Endpoint::InitError);
    assert_failure(&report, PANICKED, ": words of the hook");
    assert_eq!(lambda.wait_exit().code(), Some(1));
}

#[test]
fn panic_after_the_restore_is_a_restore_error() {
    let (_folder, setup) = function("restored", 1);
    let options = Options {
        restore: true,
        ..Options::default()
    };
    let lambda = setup
        .options(options)
        .env("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
        .start();
    let report = lambda.request(&Endpoint::RestoreError);
    assert_eq!(report.error_type(), PANICKED);
    assert!(
        report.text().contains(": words after the restore"),
        "{}",
        report.text()
    );
    assert_eq!(lambda.wait_exit().code(), Some(1));
}

/// The words are then those of the panic's value, and never those of an earlier event.
#[test]
fn panic_under_a_hook_of_the_function_is_told_by_its_value() {
    let (_folder, setup) = function("closure", 1);
    let lambda = setup.start();
    assert_response(&lambda.call("caught"), b"true");
    for _ in 0..2 {
        let words = "the function panicked: words under its own hook";
        assert_failure(&lambda.call("hook"), PANICKED, words);
    }
    assert_failure(&lambda.call("value"), PANICKED, "the function panicked");
    assert_response(&lambda.call("next"), b"next");
}

/// What still comes of such an event is received by nobody.
#[test]
fn panic_at_the_first_part_of_an_event_fails_it_once() {
    let (_folder, setup) = function("handler", 1);
    let lambda = setup.start();
    let event = Event::new("receive and more of it").in_chunks_of(7);
    assert_failure(&lambda.invoke(event), PANICKED, ": words of receive");
    assert_response(&lambda.call("next"), b"next");
}

/// The others wait for events, and would have gone on as if nothing were missing.
#[test]
fn slot_that_ends_ends_the_process() {
    let (_folder, setup) = function("closure", 4);
    let lambda = setup
        .script(|request, before| match request.endpoint {
            Endpoint::Next if before == 4 => Action::Status(500),
            _ => Action::Usual,
        })
        .start();
    assert_response(&lambda.call("last"), b"last");
    assert_eq!(lambda.wait_exit().code(), Some(1));
    lambda.wait_log("bootstrap: FATAL GET /runtime/invocation/next: status 500, ");
}

#[test]
fn slot_that_cannot_be_started_is_an_init_error() {
    let (_folder, setup) = function("closure", 4);
    let lambda = setup.env("RUST_MIN_STACK", "1000000000000000").start();
    let report = lambda.request(&Endpoint::InitError);
    let words = "a slot cannot be started: ";
    assert_failure(&report, "Runtime.HandlerInitFailed", words);
    assert_eq!(lambda.wait_exit().code(), Some(1));
}
