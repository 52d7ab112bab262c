//! The library's side: the examples as processes, each a function that is its own bootstrap.

use crate::emulator::api::{Action, Options};
use crate::emulator::event::Event;
use crate::emulator::process::signal;
use crate::emulator::record::{Endpoint, Progress};
use crate::harness::failure::{assert_failure, assert_response};
use crate::harness::folder::Folder;
use crate::harness::json::{self, Value};
use crate::harness::lambda::{BOOTSTRAP, Setup};
use crate::harness::scripted::state;
use crate::harness::wait::{PATIENCE, wait_until};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Barrier, Mutex, mpsc};
use std::time::Duration;

/// An example in place of the bootstrap. Cargo builds them with the tests, beside it.
pub(crate) fn example(name: &str) -> (Folder, Setup) {
    let path = Path::new(BOOTSTRAP).with_file_name("examples").join(name);
    assert!(
        path.is_file(),
        "{} is missing: cargo build --examples",
        path.display()
    );
    let folder = Folder::new();
    let setup =
        Setup::new(folder.path(), "none").launched_by(&format!("set -- '{}'", path.display()));
    (folder, setup)
}

#[test]
fn echo_answers_each_event_with_itself() {
    let (_folder, setup) = example("echo");
    let lambda = setup.start();
    for size in [0, 1, 2_049, 6_291_556] {
        let event: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        let answer = lambda.call(&event);
        assert_response(&answer, &event);
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
    }
    assert_eq!(lambda.api.counts().connections, 2);
    assert_eq!(lambda.processes().len(), 1);
}

#[test]
fn content_type_and_settings_are_the_librarys_too() {
    let (_folder, setup) = example("echo");
    let answer = setup
        .env("BOOTSTRAP_CONTENT_TYPE", "text/html")
        .start()
        .call("1");
    assert_eq!(answer.header("Content-Type"), Some("text/html"));
    let (_folder, setup) = example("echo");
    let lambda = setup.env("BOOTSTRAP_GRACEFUL_SHUTDOWN", "perhaps").start();
    let report = lambda.request(&Endpoint::InitError);
    assert_failure(
        &report,
        "Runtime.ConfigInvalid",
        "BOOTSTRAP_GRACEFUL_SHUTDOWN is 'perhaps'; expected one of: 0, 1",
    );
    assert_eq!(lambda.wait_exit().code(), Some(1));
}

#[test]
fn context_tells_id_tenant_and_time_left() {
    let (_folder, setup) = example("context");
    let lambda = setup.start();
    let event = Event::new("1")
        .id("some-id")
        .header("Lambda-Runtime-Aws-Tenant-Id", "acme");
    let answer = lambda.invoke(event.deadline_in(Duration::from_secs(20)));
    let document = json::parse(&answer.body).expect("JSON");
    assert_eq!(document.names(), ["id", "tenant", "left", "before"]);
    assert_eq!(
        (document.text("id"), document.text("tenant")),
        ("some-id", "acme")
    );
    let left = number(&document, "left");
    assert!((1..=20_000).contains(&left), "{left} ms");
    assert_eq!(number(&document, "before"), 0);
    // Without a tenant and without a deadline.
    let document = json::parse(&lambda.invoke(Event::new("1").no_deadline()).body).expect("JSON");
    assert_eq!(document.text("tenant"), "");
    assert_eq!(
        (number(&document, "left"), number(&document, "before")),
        (0, 1)
    );
}

fn number(document: &Value, name: &str) -> u64 {
    let Some(Value::Plain(text)) = document.get(name) else {
        panic!("{name}: {document:?}")
    };
    text.parse().expect("a number")
}

#[test]
fn error_of_a_function_is_posted_and_the_next_event_is_served() {
    let (_folder, setup) = example("context");
    let lambda = setup.start();
    assert_failure(
        &lambda.call(""),
        "Function.EmptyEvent",
        "send a JSON document",
    );
    assert!(!lambda.call("1").is_error());
    lambda.wait_log("Function.EmptyEvent");
}

#[test]
fn slots_are_threads_that_share_what_the_function_captures() {
    let (_folder, setup) = example("context");
    let options = Options {
        slots: 4,
        ..Options::default()
    };
    let lambda = setup
        .options(options)
        .env("AWS_LAMBDA_MAX_CONCURRENCY", "4")
        .start();
    lambda.wait("every slot to ask", |state| (state.idle == 4).then_some(()));
    assert_eq!(lambda.processes().len(), 1);
    assert_eq!(lambda.api.counts().connections, 4);
    let ids: Vec<String> = (0..100).map(|_| lambda.api.push(Event::new("1"))).collect();
    let counted = ids.iter().map(|id| {
        let document = json::parse(&lambda.answer(id).body).expect("JSON");
        assert_eq!(document.text("id"), *id);
        number(&document, "before")
    });
    // Each event was counted once, whichever thread had it.
    assert_eq!(counted.collect::<BTreeSet<_>>(), (0..100).collect());
}

#[test]
fn stream_sends_each_write_at_once() {
    let (_folder, setup) = example("stream");
    let lambda = setup.start();
    let answer = lambda.call("one\ntwo\n\nthree");
    assert_response(&answer, b"one\ntwo\n\nthree");
    assert_eq!(
        answer.header("Lambda-Runtime-Function-Response-Mode"),
        Some("streaming")
    );
    assert_eq!(answer.header("Content-Type"), Some("text/plain"));
    let trailers = "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body";
    assert_eq!(answer.header("Trailer"), Some(trailers));
    let sizes: Vec<usize> = answer.pieces.iter().map(|(_, size)| *size).collect();
    assert_eq!(sizes, [4, 4, 1, 5]);
    assert_response(&lambda.call(""), b"");
    assert_eq!(lambda.api.counts().connections, 2);
}

#[test]
fn streams_of_several_slots_are_open_at_the_same_time() {
    let (_folder, setup) = example("stream");
    let all = Barrier::new(4);
    let options = Options {
        slots: 4,
        ..Options::default()
    };
    let lambda = setup
        .options(options)
        .script(move |request, _| {
            // Nobody's body is read before the heads of all four are there.
            if matches!(request.endpoint, Endpoint::Response(_)) {
                all.wait();
            }
            Action::Usual
        })
        .env("AWS_LAMBDA_MAX_CONCURRENCY", "4")
        .start();
    let ids: Vec<String> = (0..4)
        .map(|n| lambda.api.push(Event::new(n.to_string())))
        .collect();
    for (n, id) in ids.iter().enumerate() {
        assert_response(&lambda.answer(id), n.to_string().as_bytes());
    }
}

#[test]
fn stream_that_the_api_cuts_fails_its_event_and_the_next_is_served() {
    let (_folder, setup) = example("stream");
    let lambda = setup
        .script(|request, before| match request.endpoint {
            Endpoint::Response(_) if before == 0 => Action::CutAfter(1),
            _ => Action::Usual,
        })
        .start();
    let event = "line\n".repeat(1_000);
    // It is delivered again, for it was not answered.
    assert_response(&lambda.call(&event), event.as_bytes());
    lambda.wait_log("bootstrap: ERROR RequestId: ");
    let cut = lambda
        .api
        .requests()
        .iter()
        .filter(|r| r.progress == Progress::Cut)
        .count();
    assert_eq!(cut, 1);
}

/// After a stop, a write that has a time limit ends early, with nothing written (signal(7)).
#[test]
fn stream_is_whole_after_its_process_was_stopped_in_a_write() {
    let (_folder, setup) = example("stream");
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let lambda = setup
        .script(move |request, _| {
            if matches!(request.endpoint, Endpoint::Response(_)) {
                // The body is read once the other end is dropped.
                let _ = held.lock().unwrap().recv_timeout(PATIENCE);
            }
            Action::Usual
        })
        .start();
    // One line, so one write: of more than the buffers of a connection hold while nobody reads.
    let event = vec![b'x'; 6_291_556];
    let hour = Duration::from_secs(3_600);
    let id = lambda.api.push(Event::new(&event).deadline_in(hour));
    let endpoint = Endpoint::Response(id.clone());
    lambda.wait("the head of the response", |state| {
        let mut requests = state.requests.values();
        requests.any(|r| r.endpoint == endpoint).then_some(())
    });
    let pid = lambda.bootstrap.pid;
    let wait_asleep = || wait_until("the write waits", || state(pid) == Some('S'));
    // A write that the first stop ends has written a part.
    for _ in 0..10 {
        wait_asleep();
        signal("STOP", &[pid]);
        wait_until("the process is stopped", || state(pid) == Some('T'));
        signal("CONT", &[pid]);
    }
    wait_asleep();
    drop(release);
    assert_response(&lambda.answer(&id), &event);
    assert_eq!(lambda.api.counts().posts, 1);
    assert_eq!(lambda.end(), "");
}

#[test]
fn library_registers_the_extension_and_waits_for_a_restore() {
    let (_folder, setup) = example("echo");
    let options = Options {
        restore: true,
        ..Options::default()
    };
    let lambda = setup
        .options(options)
        .env("BOOTSTRAP_GRACEFUL_SHUTDOWN", "1")
        .env("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
        .start();
    assert_response(&lambda.call("1"), b"1");
    let endpoints = lambda
        .api
        .requests()
        .into_iter()
        .map(|request| request.endpoint);
    let endpoints: Vec<_> = endpoints
        .filter(|e| *e != Endpoint::ExtensionNext)
        .collect();
    assert_eq!(
        endpoints[..3],
        [Endpoint::Register, Endpoint::RestoreNext, Endpoint::Next]
    );
}

#[test]
fn function_that_fails_in_any_way_answers_and_serves_on() {
    let table = [
        ("", "Function.EmptyEvent", "send a number"),
        ("x", "Function.ParseIntError", "invalid digit"),
        ("13", "Function.Error", "13 is out of stock"),
        ("4294967295", "Function.Panicked", ": a small number"),
    ];
    for slots in ["1", "4"] {
        let (_folder, setup) = example("failures");
        let lambda = setup.env("AWS_LAMBDA_MAX_CONCURRENCY", slots).start();
        for (event, error_type, words) in table {
            assert_failure(&lambda.call(event), error_type, words);
            assert_eq!(lambda.call("21").text(), "42", "{slots} slots");
        }
    }
}

#[test]
fn setting_that_a_buffered_function_cannot_honour_is_an_init_error() {
    let name = "BOOTSTRAP_RESPONSE_MODE";
    let (_folder, setup) = example("failures");
    let lambda = setup.env(name, "streaming").start();
    let report = lambda.request(&Endpoint::InitError);
    let words = format!("{name} is 'streaming'; expected one of: buffered");
    assert_failure(&report, "Runtime.ConfigInvalid", &words);
    // A handler of another kind can do either, and the bootstrap's margin is for its children.
    for (function, name, value) in [
        ("failures", name, "buffered"),
        ("stream", name, "streaming"),
        ("failures", "BOOTSTRAP_DEADLINE_MARGIN_MS", "500"),
    ] {
        let (_folder, setup) = example(function);
        let lambda = setup.env(name, value).start();
        assert!(!lambda.call("21").is_error(), "{function}, {name}={value}");
    }
}

#[test]
fn library_without_an_api_or_without_its_extension_ends_with_a_line() {
    let (_folder, setup) = example("echo");
    let lambda = setup.env("AWS_LAMBDA_RUNTIME_API", "nowhere").start();
    assert_eq!(lambda.wait_exit().code(), Some(1));
    let log = lambda.end();
    let line = "bootstrap: FATAL AWS_LAMBDA_RUNTIME_API: the value is not host:port; ";
    assert!(log.starts_with(line) && log.lines().count() == 1, "{log}");
    let (_folder, setup) = example("echo");
    let lambda = setup
        .script(|_, _| Action::Status(403))
        .env("BOOTSTRAP_GRACEFUL_SHUTDOWN", "1")
        .start();
    assert_eq!(lambda.wait_exit().code(), Some(1));
    let log = lambda.end();
    let line = "bootstrap: FATAL POST /extension/register: status 403, ";
    assert!(log.starts_with(line) && log.lines().count() == 1, "{log}");
    assert_eq!(lambda.api.counts().gets, 0);
}
