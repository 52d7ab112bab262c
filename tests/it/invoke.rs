//! The loop: which handler, events and responses of every size and framing, what is posted when,
//! and what is left behind. The API's own faults are in `faults`.

use crate::emulator;
use crate::emulator::api::{Action, Options};
use crate::emulator::event::Event;
use crate::emulator::process::signal;
use crate::emulator::record::{Endpoint, Request};
use crate::harness::failure::{assert_failure, assert_response};
use crate::harness::folder::Folder;
use crate::harness::lambda::{Lambda, Setup, shells};
use crate::harness::wait::PATIENCE;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::time::Instant;

/// Fixtures that answer with their event, of each kind and for each way to get it.
const ECHOES: [&str; 3] = ["function.handler", "function.stdin", "app"];

/// One of them, which is given its event as its name says.
fn echo(handler: &str) -> Setup {
    match handler {
        "function.stdin" => Setup::fixture(handler).env("BOOTSTRAP_EVENT_VIA", "stdin"),
        handler => Setup::fixture(handler),
    }
}

/// Bytes of all kinds whose pattern is never in step with a buffer: its length is a prime. No
/// newline, which a shell function's response would lose at its end.
fn bytes(length: usize) -> Vec<u8> {
    let pattern: Vec<u8> = (0..65_521_u32)
        .map(|n| ((n * n) >> 7) as u8 | 0x10)
        .collect();
    pattern.iter().copied().cycle().take(length).collect()
}

#[test]
fn handler_is_an_executable_of_that_name_else_a_function_of_a_script() {
    for (handler, response) in [
        ("app.py", "app.py\n"),
        ("bin/app", "bin/app\n"),
        ("sub/function.handler", "sub"),
        ("dotted.name.handler", "dotted"),
        ("./sub/../bin/app", "bin/app\n"),
    ] {
        assert_eq!(
            Setup::fixture(handler).start().call("1").text(),
            response,
            "{handler}"
        );
    }
}

#[test]
fn executable_of_exactly_that_name_is_taken_before_a_script() {
    let folder = Folder::with_script("handler() { echo function; }");
    folder.executable("function.handler", "#!/bin/sh\necho file\n");
    assert_eq!(Setup::function(&folder).start().call("1").text(), "file\n");
}

#[test]
fn names_that_mean_something_to_a_shell_are_names() {
    let folder = Folder::new();
    for name in ["a b", "$(touch here)", "-c", "*", "\u{e9}'\""] {
        folder.file(&format!("{name}.sh"), "handler() { echo function; }");
        folder.executable(&format!("{name}.app"), "#!/bin/sh\necho file\n");
        let function = Setup::new(folder.path(), &format!("{name}.handler")).start();
        assert_eq!(function.call("1").text(), "function", "{name}");
        let file = Setup::new(folder.path(), &format!("{name}.app")).start();
        assert_eq!(file.call("1").text(), "file\n", "{name}");
    }
    assert_eq!(folder.entries().len(), 10);
}

#[test]
fn function_name_may_have_letters_digits_and_underscores() {
    for shell in shells() {
        let folder = Folder::with_script(&format!("{shell}_Aa_1() {{ echo ok; }}"));
        let lambda = Setup::new(folder.path(), "function._Aa_1").start();
        assert_eq!(lambda.call("1").text(), "ok", "{shell}");
    }
}

/// As bash has it; a POSIX shell takes no such name.
#[test]
fn function_name_may_have_hyphens_and_colons_after_its_first_character() {
    for name in ["on-create", "a::b", ":", "_-1:"] {
        let folder = Folder::with_script(&format!("#!/bin/bash\n{name}() {{ echo ok; }}"));
        let lambda = Setup::new(folder.path(), &format!("function.{name}")).start();
        assert_eq!(lambda.call("1").text(), "ok", "{name}");
    }
}

#[test]
fn handler_variable_counts_where_the_other_is_absent_or_empty() {
    let ask = |setup: Setup| setup.start().call("1").text();
    let absent = Setup::fixture("")
        .without_env("_HANDLER")
        .env("HANDLER", "app.py");
    assert_eq!(ask(absent), "app.py\n");
    assert_eq!(ask(Setup::fixture("").env("HANDLER", "app.py")), "app.py\n");
    assert_eq!(
        ask(Setup::fixture("bin/app").env("HANDLER", "app.py")),
        "bin/app\n"
    );
}

#[test]
fn task_root_is_the_current_folder_where_it_is_not_set() {
    for setup in [
        Setup::fixture("app.py"),
        Setup::fixture("sub/function.handler"),
    ] {
        let lambda = setup.without_env("LAMBDA_TASK_ROOT").start();
        assert!(!lambda.call("1").is_error());
    }
}

/// As in an image, whose CMD Lambda passes. Emulators set the variable and pass it, too.
#[test]
fn argument_is_the_handler_where_the_variable_is_absent_or_blank() {
    let ask = |handler: Option<&str>, argument: &str| {
        let setup = Setup::fixture(handler.unwrap_or_default()).env("HANDLER", "bin/app");
        let setup = match handler {
            Some(_) => setup,
            None => setup.without_env("_HANDLER"),
        };
        setup.argument(argument).start().call("1").text()
    };
    for blank in [None, Some(""), Some(" \t")] {
        assert_eq!(ask(blank, "app.py"), "app.py\n", "{blank:?}");
    }
    for blank in ["", " \t"] {
        assert_eq!(ask(None, blank), "bin/app\n", "{blank:?}");
    }
    assert_eq!(ask(None, "function.handler"), "1");
    assert_eq!(ask(Some("app.py"), "function.handler"), "app.py\n");
}

// Payloads that fail from a certain size on.
#[test]
fn events_and_responses_of_every_size_arrive_byte_for_byte() {
    let steps = [
        1, 2, 100, 2_048, 4_096, 65_536, 131_072, 1_048_576, 4_194_304,
    ];
    let around = steps
        .into_iter()
        .flat_map(|size| [size - 1, size, size + 1]);
    let sizes: Vec<usize> = around
        .chain([6_291_455, 6_291_456, 6_291_555, 6_291_556])
        .collect();
    for handler in ECHOES {
        let lambda = echo(handler).start();
        for &size in &sizes {
            let event = bytes(size);
            assert_response(&lambda.call(&event), &event);
        }
        assert_eq!(lambda.api.counts().connections, 2, "{handler}");
    }
}

#[test]
fn event_of_every_size_that_an_argument_can_have_is_the_argument() {
    for shell in shells() {
        let script = "handler() { printf '%s' \"$1\"; }";
        let folder = Folder::with_script(&format!("{shell}{script}"));
        let lambda = Setup::function(&folder).start();
        for size in [131_071, 131_072, 2_097_152, 6_291_556] {
            let event = "x".repeat(size);
            assert_response(&lambda.call(&event), event.as_bytes());
        }
    }
}

// Events in chunks, of which Lambda sends one that is as large as the event.
#[test]
fn event_in_every_framing_arrives_byte_for_byte() {
    for handler in ECHOES {
        let lambda = echo(handler).start();
        for size in [0, 1, 2_048, 2_049, 65_536, 6_291_556] {
            let event = bytes(size);
            let framings = [
                Event::new(&event),
                Event::new(&event).with_content_length(),
                Event::new(&event).in_chunks_of(size.max(1)),
                Event::new(&event).in_chunks_of(4_093),
            ];
            for framed in framings {
                assert_response(&lambda.invoke(framed), &event);
            }
        }
        // Chunks of a byte each, with what they are followed by: all has to be skipped.
        let event = bytes(10_000);
        assert_response(&lambda.invoke(Event::new(&event).in_chunks_of(1)), &event);
        assert_eq!(lambda.api.counts().connections, 2);
    }
}

#[test]
fn interim_replies_before_an_event_are_skipped() {
    let lambda = Setup::fixture("app").start();
    let interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    assert_eq!(
        lambda.invoke(Event::new("event").after(interim)).text(),
        "event"
    );
    assert_eq!(lambda.call("next").text(), "next");
}

#[test]
fn interim_reply_before_the_answer_to_a_post_is_skipped() {
    let setup = Setup::fixture("app").script(|request, _| match request.endpoint {
        Endpoint::Response(_) => {
            let bytes = b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 202 Accepted\r\n\
                          Content-Length: 0\r\n\r\n";
            Action::Bytes {
                bytes: bytes.to_vec(),
                close: false,
            }
        }
        _ => Action::Usual,
    });
    let lambda = setup.start();
    assert_eq!(lambda.call("one").text(), "one");
    assert_eq!(lambda.call("two").text(), "two");
    assert_eq!(lambda.api.counts().connections, 2);
}

#[test]
fn reply_of_204_to_next_asks_again() {
    let setup = Setup::fixture("app").script(|request, before| match request.endpoint {
        Endpoint::Next if before < 3 => Action::Status(204),
        _ => Action::Usual,
    });
    let lambda = setup.start();
    assert_eq!(lambda.call("1").text(), "1");
    lambda.wait_idle();
    assert_eq!(lambda.api.counts().gets, 5);
}

#[test]
fn connection_that_the_api_closes_with_an_event_is_not_used_again() {
    let lambda = Setup::fixture("app").start();
    for connection in 2..5 {
        let answer = lambda.invoke(Event::new("event").closing());
        assert_eq!(
            (answer.text().as_str(), answer.connection),
            ("event", connection)
        );
    }
    assert_eq!(lambda.api.counts().posts, 3);
}

/// The line by which a handler shows that it runs, then waits until the test lets it go on.
const WAIT: &str = "echo running >&2; until [ -e go ]; do sleep 0.01; done; echo done";

/// A handler of each kind that waits, with the folder it looks into.
fn waiting() -> [(Folder, Setup); 2] {
    let function = Folder::with_script(&format!("handler() {{ {WAIT}; }}"));
    let app = Folder::with_app(WAIT);
    let setups = (Setup::function(&function), Setup::app(&app));
    [(function, setups.0), (app, setups.1)]
}

// A kept-alive connection that died while nothing was on it.
#[test]
fn answer_goes_out_once_on_a_new_connection_after_the_old_one_died_meanwhile() {
    for (folder, setup) in waiting() {
        let lambda = setup.start();
        // After an event the peer is known to keep its connections.
        let go = folder.file("go", "");
        assert_eq!(lambda.call("1").connection, 2);
        lambda.wait_idle();
        fs::remove_file(&go).unwrap();
        let id = lambda.api.push(Event::new("2"));
        lambda.wait_log_times("running\n", 2);
        lambda.api.close_connections();
        folder.file("go", "");
        let answer = lambda.answer(&id);
        assert_eq!((answer.text().trim_end(), answer.connection), ("done", 3));
        lambda.wait_idle();
        let counts = lambda.api.counts();
        assert_eq!((counts.posts, counts.connections), (2, 3));
    }
}

// A frozen sandbox, thawed after a long time.
#[test]
fn bootstrap_that_was_frozen_while_it_waited_asks_only_once_and_answers() {
    for handler in ECHOES {
        let lambda = echo(handler).start();
        lambda.wait_idle();
        signal("STOP", &lambda.everyone());
        let id = lambda.api.push(Event::new("after"));
        lambda.wait_delivered(&id);
        signal("CONT", &lambda.everyone());
        assert_eq!(lambda.answer(&id).text(), "after");
        lambda.wait_idle();
        let counts = lambda.api.counts();
        assert_eq!((counts.gets, counts.posts, counts.connections), (2, 1, 2));
    }
}

#[test]
fn connection_that_dies_while_an_event_is_waited_for_is_opened_again() {
    for handler in ECHOES {
        let lambda = echo(handler).start();
        // The event comes on the second, the third and so on. As none of them was used twice, none
        // is trusted with the answer.
        for answered_on in [3, 5, 7] {
            lambda.wait_idle();
            lambda.api.close_connections();
            let answer = lambda.call("again");
            assert_eq!(
                (answer.text().as_str(), answer.connection),
                ("again", answered_on)
            );
        }
        assert_eq!(lambda.api.counts().posts, 3);
    }
}

/// Some servers close a connection after a reply and do not say so. What was sent on it is lost, and
/// that must not happen twice.
#[test]
fn api_that_took_an_answer_and_closed_gets_later_ones_on_new_connections() {
    let setup = Setup::fixture("app").script(|request, before| match request.endpoint {
        // All of the second answer is read, and nothing is said to it.
        Endpoint::Response(_) if before == 1 => Action::CutAfter("two".len()),
        _ => Action::Usual,
    });
    let lambda = setup.start();
    // What was not answered is delivered again, on the third connection.
    for (event, connection) in [("one", 2), ("two", 4), ("three", 5), ("four", 6)] {
        let answer = lambda.call(event);
        assert_eq!(
            (answer.text().as_str(), answer.connection),
            (event, connection)
        );
    }
    lambda.wait_idle();
    assert_eq!(lambda.api.counts().posts, 5);
    assert_eq!(lambda.end().matches("not sent again").count(), 1);
}

#[test]
fn api_that_closed_a_connection_before_its_first_reply_is_trusted_with_the_next() {
    let setup = Setup::fixture("app").script(|request, before| match request.endpoint {
        Endpoint::Next if before == 0 => Action::CutAfter(0),
        _ => Action::Usual,
    });
    let lambda = setup.start();
    for event in ["one", "two"] {
        let answer = lambda.call(event);
        assert_eq!((answer.text().as_str(), answer.connection), (event, 3));
    }
}

#[test]
fn requests_have_the_form_that_the_api_wants() {
    let lambda = Setup::fixture("app").start();
    let answer = lambda.invoke(Event::new("event").id("id-1"));
    let address = lambda.api.address;
    let requests = lambda.api.requests();
    let next = &requests[0];
    assert!(
        next.raw
            .starts_with(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n")
    );
    assert_eq!(next.header("Host"), Some(address.to_string().as_str()));
    assert!(next.header("Content-Length").is_none() && next.header("Transfer-Encoding").is_none());
    let line = b"POST /2018-06-01/runtime/invocation/id-1/response HTTP/1.1\r\n";
    assert!(
        answer.raw.starts_with(line),
        "{}",
        String::from_utf8_lossy(&answer.raw)
    );
    assert_eq!(answer.header("Content-Length"), Some("5"));
    // Any value of it but `streaming` is an error to Lambda.
    assert_eq!(answer.header("Lambda-Runtime-Function-Response-Mode"), None);
    assert_eq!(answer.header("Expect"), None);
}

#[test]
fn invocation_id_is_sent_back_with_response_and_error_and_only_then() {
    let folder = Folder::with_app("exit $(cat)");
    let lambda = Setup::app(&folder).start();
    for status in ["0", "1"] {
        let event = Event::new(status).header("Lambda-Runtime-Invocation-Id", "nonce+/=1");
        let echoed = lambda.invoke(event);
        assert_eq!(
            echoed.header("Lambda-Runtime-Invocation-Id"),
            Some("nonce+/=1")
        );
        assert_eq!(
            lambda.call(status).header("Lambda-Runtime-Invocation-Id"),
            None
        );
        let empty = Event::new(status).header("Lambda-Runtime-Invocation-Id", "");
        assert_eq!(
            lambda.invoke(empty).header("Lambda-Runtime-Invocation-Id"),
            None
        );
    }
}

#[test]
fn request_id_stays_within_its_segment_of_the_path() {
    for (id, segment) in [
        (
            "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
            "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
        ),
        ("a/../b", "a%2F..%2Fb"),
        ("a b?c#d", "a%20b%3Fc%23d"),
        ("a%2Fb", "a%252Fb"),
        ("\u{e9}", "%C3%A9"),
        ("a.b_c~d", "a.b_c~d"),
    ] {
        let lambda = Setup::fixture("app").start();
        let answer = lambda.invoke(Event::new("1").id(id));
        assert_eq!(answer.endpoint, Endpoint::Response(segment.to_owned()));
        assert_eq!(lambda.call("next").text(), "next");
    }
}

#[test]
fn same_request_id_on_two_events_is_answered_twice() {
    let lambda = Setup::fixture("app").start();
    assert_eq!(lambda.invoke(Event::new("one").id("same")).text(), "one");
    lambda.api.forget();
    assert_eq!(lambda.invoke(Event::new("two").id("same")).text(), "two");
}

/// A handler that fails when its event says so, on an API that answers some posts with a status.
fn refusing(status: u16, refused: fn(&Request) -> bool) -> (Folder, Lambda) {
    let folder = Folder::with_app("event=$(cat); echo \"$event\"; [ \"$event\" != fail ]");
    let setup = Setup::app(&folder).script(move |request, before| match refused(request) {
        true if before == 0 => Action::Status(status),
        _ => Action::Usual,
    });
    (folder, setup.start())
}

// An answer that is refused costs that event only, and is not given again.
#[test]
fn refused_answer_is_logged_and_not_repeated() {
    for status in [400, 403, 404, 410, 413, 429] {
        let (_folder, lambda) = refusing(status, |request| {
            matches!(request.endpoint, Endpoint::Response(_))
        });
        lambda.invoke(Event::new("1").id("refused"));
        assert_eq!(lambda.call("2").text(), "2\n");
        let counts = lambda.api.counts();
        assert_eq!((counts.posts, counts.connections), (2, 2), "{status}");
        let log = lambda.end();
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(
            log.contains("RequestId: refused ") && log.contains(&status.to_string()),
            "{log}"
        );
    }
}

#[test]
fn refused_error_is_logged_and_not_repeated() {
    for status in [400, 403, 410, 413] {
        let (_folder, lambda) = refusing(status, |request| {
            matches!(request.endpoint, Endpoint::Error(_))
        });
        lambda.invoke(Event::new("fail").id("refused"));
        assert_eq!(lambda.call("2").text(), "2\n");
        assert_eq!(lambda.api.counts().posts, 2, "{status}");
        let log = lambda.end();
        // One line of the failure, one of the refusal.
        assert_eq!(log.matches("RequestId: refused ").count(), 2, "{log}");
        assert!(log.contains(&status.to_string()), "{log}");
    }
}

#[test]
fn api_that_fails_at_an_answer_ends_the_bootstrap() {
    for status in [500, 503] {
        let (_folder, lambda) = refusing(status, |request| {
            matches!(request.endpoint, Endpoint::Response(_))
        });
        lambda.invoke(Event::new("1").id("last"));
        assert_eq!(lambda.wait_exit().code(), Some(1), "{status}");
        assert_eq!(lambda.api.counts().posts, 1);
        assert!(lambda.end().contains(&status.to_string()));
    }
}

#[test]
fn api_that_refuses_or_garbles_the_next_event_ends_the_bootstrap() {
    let event = |headers: &str| format!("HTTP/1.1 200 OK\r\n{headers}\r\n1").into_bytes();
    let status =
        |status: &str| format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into_bytes();
    for bytes in [
        status("403 Forbidden"),
        status("500 Internal Server Error"),
        b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(),
        event("Content-Length: 1\r\n"),
        event("Lambda-Runtime-Aws-Request-Id: 1\r\nContent-Length: +1\r\n"),
        // Cut short: one byte of two came.
        event("Lambda-Runtime-Aws-Request-Id: 1\r\nContent-Length: 2\r\n"),
    ] {
        let folder = Folder::with_app(": >ran");
        let setup = Setup::app(&folder).script(move |request, before| match request.endpoint {
            Endpoint::Next if before == 0 => Action::Bytes {
                bytes: bytes.clone(),
                close: true,
            },
            _ => Action::Usual,
        });
        let lambda = setup.start();
        assert_eq!(lambda.wait_exit().code(), Some(1));
        let log = lambda.end();
        assert!(
            log.starts_with("bootstrap: FATAL ") && log.lines().count() == 1,
            "{log}"
        );
        assert!(!folder.path().join("ran").exists(), "the handler ran");
        assert_eq!(lambda.api.counts().posts, 0);
    }
}

#[test]
fn local_server_of_cargo_lambda_is_served() {
    // An address with a path, 200 for everything, and a deadline of 1970.
    let options = Options {
        accepted: 200,
        prefix: "/.rt/function".to_owned(),
        ..Options::default()
    };
    let lambda = Setup::fixture("app").options(options).start();
    for _ in 0..3 {
        assert_eq!(
            lambda.invoke(Event::new("event").deadline_at(0)).text(),
            "event"
        );
    }
    let requests = lambda.api.requests();
    assert!(
        requests
            .iter()
            .all(|r| r.target.starts_with("/.rt/function/2018-06-01/runtime/"))
    );
    assert_eq!(lambda.api.counts().connections, 2);
}

#[test]
fn address_may_be_a_host_name() {
    let api = emulator::api::Api::start(Options::default()).unwrap();
    let address = format!("localhost:{}", api.address.port());
    let lambda = Setup::fixture("app")
        .env("AWS_LAMBDA_RUNTIME_API", address)
        .start();
    let id = api.push(Event::new("1"));
    let until = Instant::now() + PATIENCE;
    assert!(
        api.wait(until, |state| state.answer(&id).cloned())
            .is_some(),
        "{}",
        lambda.end()
    );
}

// The local Runtime API waits for this before it starts a function that was edited.
#[test]
fn peer_of_a_waiting_next_that_goes_away_wakes_who_waits_for_that() {
    let api = emulator::api::Api::start(Options::default()).unwrap();
    let mut peer = TcpStream::connect(api.address).unwrap();
    let next = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: api\r\n\r\n";
    peer.write_all(next).unwrap();
    let until = Instant::now() + PATIENCE;
    let waits = api.wait(until, |state| (state.idle == 1).then_some(()));
    assert!(waits.is_some());
    drop(peer);
    let until = Instant::now() + PATIENCE;
    let gone = api.wait(until, |state| (state.idle == 0).then_some(()));
    assert!(gone.is_some());
    assert!(Instant::now() < until, "nobody was woken");
}

#[test]
fn proxy_of_the_environment_is_not_used() {
    let setup = Setup::fixture("app");
    let names = ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"];
    let setup = names
        .into_iter()
        .fold(setup, |setup, name| setup.env(name, "http://127.0.0.1:9"));
    assert_eq!(setup.start().call("1").text(), "1");
}

// Payloads have no place in a log.
#[test]
fn neither_event_nor_response_is_in_the_log_of_the_bootstrap() {
    let canary = "canary-7c1f";
    let bodies = [
        "echo \"$event\"",
        "echo \"$event\"; exit 3",
        "echo \"$event\"; kill -9 $$",
        "yes \"$event\"",
        "exec >&-; false",
    ];
    for body in bodies {
        for app in [false, true] {
            let folder = Folder::with_script(&format!("handler() {{ event=$1; {body}; }}"));
            folder.executable("app", format!("#!/bin/sh\nevent=$(cat)\n{body}\n"));
            let setup = if app {
                Setup::app(&folder)
            } else {
                Setup::function(&folder)
            };
            let setup = setup.script(|request, before| match request.endpoint {
                Endpoint::Response(_) if before == 0 => Action::Status(400),
                _ => Action::Usual,
            });
            let lambda = setup.env("AWS_LAMBDA_LOG_LEVEL", "TRACE").start();
            let header = format!("{{\"custom\":\"{canary}\"}}");
            for _ in 0..2 {
                let event = Event::new(format!("{{\"{canary}\":1}}"));
                lambda.invoke(event.header("Lambda-Runtime-Client-Context", &header));
            }
            let log = lambda.end();
            assert!(!log.contains(canary), "{body}: {log}");
        }
    }
}

#[test]
fn thousand_events_of_a_function_leave_nothing_behind() {
    assert_thousand_events_leave_nothing_behind("function.handler");
}

#[test]
fn thousand_events_of_an_executable_leave_nothing_behind() {
    assert_thousand_events_leave_nothing_behind("app");
}

fn assert_thousand_events_leave_nothing_behind(handler: &str) {
    let lambda = echo(handler).start();
    let state = || {
        lambda.wait_idle();
        (
            lambda.descriptors().len(),
            lambda.processes().len(),
            lambda.temp.entries(),
        )
    };
    let mut after_ten = None;
    for number in 1..=1000 {
        // Small ones and some that need more than one read.
        let event = bytes(if number % 50 == 0 { 100_000 } else { number });
        assert_response(&lambda.call(&event), &event);
        if number == 10 {
            after_ten = Some(state());
        }
        lambda.api.forget();
    }
    assert_eq!(Some(state()), after_ten);
    assert_eq!(lambda.temp.entries(), [""; 0]);
    let counts = lambda.api.counts();
    assert!(counts.connections <= 2, "{counts:?}");
    assert_eq!((counts.gets, counts.posts), (1001, 1000));
    assert_eq!(lambda.end(), "");
}

#[test]
fn failures_leave_nothing_behind() {
    let commands = "case $event in exit) exit 1;; kill) kill -9 $$;; *) yes;; esac";
    let function = Folder::with_script(&format!("handler() {{ event=$1; {commands}; }}"));
    let app = Folder::with_app(&format!("event=$(cat); {commands}"));
    // The bootstrap, and the warm shell if there is one.
    for (setup, processes) in [(Setup::function(&function), 2), (Setup::app(&app), 1)] {
        let lambda = setup.start();
        let mut before = None;
        for _ in 0..10 {
            assert_failure(&lambda.call("exit"), "Function.ExitNonZero", "status 1");
            assert_failure(&lambda.call("kill"), "Function.KilledBySignal", "SIGKILL");
            assert_failure(
                &lambda.call("yes"),
                "Function.ResponseSizeTooLarge",
                "6291556",
            );
            // The first events are when an executable's pipe for the log is made.
            if before.is_none() {
                lambda.wait_idle();
                lambda.wait_processes(processes);
                before = Some(lambda.descriptors().len());
            }
        }
        lambda.wait_idle();
        lambda.wait_processes(processes);
        assert_eq!(Some(lambda.descriptors().len()), before);
        assert_eq!(lambda.temp.entries(), [""; 0]);
        assert_eq!(lambda.api.counts().connections, 2);
    }
}

#[test]
fn bootstrap_needs_no_writable_folder() {
    // No file is made anywhere: not in the folder for temporary files, nor elsewhere.
    for handler in ECHOES {
        let lambda = echo(handler).env("TMPDIR", "/no/such/folder").start();
        let event = bytes(6_291_556);
        assert_response(&lambda.call(&event), &event);
    }
}
