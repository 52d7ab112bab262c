//! The log: what a handler writes to its standard error, and what the bootstrap says itself, as
//! plain text and as JSON objects.

use crate::emulator::api::Action;
use crate::emulator::event::Event;
use crate::emulator::process::signal;
use crate::emulator::record::Endpoint;
use crate::harness::failure::assert_failure;
use crate::harness::folder::Folder;
use crate::harness::json::{self, Value};
use crate::harness::lambda::{Setup, each_kind, shells};
use crate::harness::scripted::{make_fifo, state};
use crate::harness::wait::{turn, wait_until};
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Longest line that becomes one object.
const LINE_LIMIT: usize = 131_072;

fn each_kind_in_json(commands: &str) -> Vec<(Folder, Setup)> {
    let all = each_kind(commands).into_iter();
    all.map(|(folder, setup)| (folder, setup.env("AWS_LAMBDA_LOG_FORMAT", "JSON")))
        .collect()
}

/// The log as a whole, each line of which must be an object.
fn objects(log: &str) -> Vec<Value> {
    assert!(
        log.is_empty() || log.ends_with('\n'),
        "the last line has no end: {log:.400}"
    );
    let object = |line: &str| {
        let value = json::parse(line.as_bytes());
        let value = value.filter(|value| matches!(value, Value::Object(_)));
        value.unwrap_or_else(|| panic!("not a JSON object: {line:.400}"))
    };
    log.lines().map(object).collect()
}

fn messages(log: &str) -> Vec<String> {
    objects(log)
        .iter()
        .map(|object| object.text("message").to_owned())
        .collect()
}

/// 2026-11-22T09:30:00.123Z
fn is_timestamp(text: &str) -> bool {
    let form = "9999-99-99T99:99:99.999Z";
    let fits = |(byte, class): (u8, u8)| match class {
        b'9' => byte.is_ascii_digit(),
        other => byte == other,
    };
    text.len() == form.len() && text.bytes().zip(form.bytes()).all(fits)
}

#[test]
fn each_line_of_a_handler_becomes_an_object() {
    let commands = r#"echo 'a "quoted" back\slash' >&2; printf 'tab\there\001\n\n\377\376bytes\n' >&2
        printf 'no newline' >&2"#;
    for (_folder, setup) in each_kind_in_json(commands) {
        let lambda = setup.start();
        lambda.invoke(Event::new("1").id("first"));
        lambda.invoke(
            Event::new("1")
                .id("second")
                .header("Lambda-Runtime-Aws-Tenant-Id", "acme"),
        );
        lambda.wait_idle();
        let log = lambda.end();
        // An empty line says nothing and becomes nothing.
        let expected = [
            "a \"quoted\" back\\slash",
            "tab\there\u{1}",
            "\u{fffd}\u{fffd}bytes",
            "no newline",
        ];
        assert_eq!(messages(&log), [expected, expected].concat());
        for (number, object) in objects(&log).iter().enumerate() {
            let mut names = vec!["timestamp", "level", "requestId", "tenantId", "message"];
            let id = if number < expected.len() {
                names.retain(|name| *name != "tenantId");
                "first"
            } else {
                assert_eq!(object.text("tenantId"), "acme");
                "second"
            };
            assert_eq!(object.names(), names);
            assert_eq!(object.text("requestId"), id);
            assert_eq!(object.text("level"), "INFO");
            assert!(
                is_timestamp(object.text("timestamp")),
                "{}",
                object.text("timestamp")
            );
        }
    }
}

#[test]
fn line_that_is_an_object_passes_as_it_is() {
    let own = [
        r#"{"level":"debug","a":[1,{"b":null}],"message":"own"}"#,
        r#"  { "spaces" : "kept" }  "#,
        "{}",
    ];
    let wrapped = [r#"{"cut": "#, "[1]", "{not json}", "\"text\"", "1"];
    let all = [&own[..], &wrapped[..]].concat();
    let commands = all
        .iter()
        .map(|line| format!("printf '%s\\n' '{line}' >&2; "));
    for (_folder, setup) in each_kind_in_json(&commands.collect::<String>()) {
        let lambda = setup.start();
        lambda.call("1");
        lambda.wait_idle();
        let log = lambda.end();
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines[..own.len()], own);
        assert_eq!(messages(&log)[own.len()..], wrapped);
    }
}

#[test]
fn line_at_the_limit_is_whole_and_a_longer_one_is_cut_with_a_note() {
    let commands = "line() { head -c \"$1\" /dev/zero | tr '\\0' x >&2; echo >&2; }
        line 131072; line 131073; line 1000000; echo after >&2
        head -c 1000000 /dev/zero | tr '\\0' y >&2";
    for (_folder, setup) in each_kind_in_json(commands) {
        let lambda = setup.start();
        lambda.call("1");
        lambda.wait_idle();
        let messages = messages(&lambda.end());
        assert_eq!(messages.len(), 5);
        assert!(
            messages[0] == "x".repeat(LINE_LIMIT),
            "{}",
            messages[0].len()
        );
        for (number, filler) in [(1, "x"), (2, "x"), (4, "y")] {
            let note = messages[number].strip_prefix(&filler.repeat(LINE_LIMIT));
            let note = note.unwrap_or_else(|| panic!("line {number} is not cut at the limit"));
            assert!(
                note.contains("131072") && note.len() < 100,
                "line {number}: {note}"
            );
        }
        assert_eq!(messages[3], "after");
    }
}

#[test]
fn lines_below_the_level_are_left_out_and_objects_pass_at_any() {
    let own = r#"{"level":"TRACE","message":"own"}"#;
    let commands = format!("echo wrapped >&2; echo '{own}' >&2; exit 3");
    for (level, expected) in [
        ("TRACE", &["wrapped", "own", "Function.ExitNonZero"][..]),
        ("debug", &["wrapped", "own", "Function.ExitNonZero"]),
        ("INFO", &["wrapped", "own", "Function.ExitNonZero"]),
        ("", &["wrapped", "own", "Function.ExitNonZero"]),
        ("WARN", &["own", "Function.ExitNonZero"]),
        ("Error", &["own", "Function.ExitNonZero"]),
        ("FATAL", &["own"]),
    ] {
        for (_folder, setup) in each_kind_in_json(&commands) {
            let lambda = setup.env("AWS_LAMBDA_LOG_LEVEL", level).start();
            assert_failure(&lambda.call("1"), "Function.ExitNonZero", "status 3");
            lambda.wait_idle();
            let messages = messages(&lambda.end());
            let starts: Vec<&str> = messages
                .iter()
                .map(|text| text.split(':').next().unwrap_or_default())
                .collect();
            assert_eq!(starts, expected, "level {level:?}");
        }
    }
}

#[test]
fn warning_of_the_bootstrap_is_below_error() {
    for (level, expected) in [("WARN", 1), ("ERROR", 0)] {
        for (_folder, setup) in each_kind_in_json(":") {
            let lambda = setup.env("AWS_LAMBDA_LOG_LEVEL", level).start();
            let long = "x".repeat(LINE_LIMIT);
            lambda.invoke(Event::new("1").header("Lambda-Runtime-Client-Context", long));
            lambda.wait_idle();
            let objects = objects(&lambda.end());
            assert_eq!(objects.len(), expected);
            for object in objects {
                assert_eq!(object.text("level"), "WARN");
                assert!(
                    object
                        .text("message")
                        .contains("LAMBDA_RUNTIME_CLIENT_CONTEXT")
                );
            }
        }
    }
}

#[test]
fn failure_of_an_event_is_an_object_with_its_request_id_and_tenant() {
    for (_folder, setup) in each_kind_in_json("exit 3") {
        let lambda = setup.start();
        let event = Event::new("1")
            .id("some-id")
            .header("Lambda-Runtime-Aws-Tenant-Id", "a\"b");
        lambda.invoke(event);
        lambda.wait_idle();
        let objects = objects(&lambda.end());
        assert_eq!(objects.len(), 1);
        assert_eq!(objects[0].text("level"), "ERROR");
        assert_eq!(objects[0].text("requestId"), "some-id");
        assert_eq!(objects[0].text("tenantId"), "a\"b");
        assert!(
            objects[0]
                .text("message")
                .starts_with("Function.ExitNonZero: ")
        );
    }
}

#[test]
fn what_a_script_writes_at_init_is_logged_without_a_request_id() {
    for shell in shells() {
        let script = format!("{shell}echo at-init; echo to-stderr >&2; handler() {{ :; }}");
        let folder = Folder::with_script(&script);
        let lambda = Setup::function(&folder)
            .env("AWS_LAMBDA_LOG_FORMAT", "json")
            .start();
        lambda.wait_idle();
        let log = lambda.end();
        assert_eq!(messages(&log), ["at-init", "to-stderr"]);
        for object in objects(&log) {
            assert_eq!(object.names(), ["timestamp", "level", "message"]);
        }
    }
}

#[test]
fn init_error_is_an_object_too() {
    let folder = Folder::with_script("echo last words >&2; exit 3");
    let lambda = Setup::function(&folder)
        .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
        .start();
    assert_eq!(lambda.wait_exit().code(), Some(1));
    let log = lambda.end();
    let objects = objects(&log);
    assert_eq!(objects.len(), 2, "{log}");
    assert_eq!(objects[0].text("message"), "last words");
    assert_eq!(objects[1].text("level"), "FATAL");
    assert!(
        objects[1]
            .text("message")
            .contains("Runtime.HandlerInitFailed")
    );
}

/// The log at the moment when a request for an event arrives. Standard error is a file then, so
/// that what is written is there to be read.
fn logs_at_each_next(setup: Setup, folder: &Folder, events: usize) -> Vec<String> {
    let log: PathBuf = folder.path().join("log");
    let logs = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&logs);
    let file = log.clone();
    let setup = setup.launched_by(&format!("exec 2>>'{}'", log.display()));
    let lambda = setup
        .script(move |request, _| {
            if request.endpoint == Endpoint::Next {
                let text = fs::read(&file).unwrap();
                seen.lock()
                    .unwrap()
                    .push(String::from_utf8_lossy(&text).into_owned());
            }
            Action::Usual
        })
        .start();
    for _ in 0..events {
        lambda.call("1");
    }
    lambda.wait("the last request", |state| {
        (state.counts.gets == events + 1).then_some(())
    });
    lambda.wait_idle();
    logs.lock().unwrap().clone()
}

#[test]
fn what_was_written_before_the_handler_ended_is_logged_before_the_next_event_is_asked_for() {
    // Far more than a pipe holds, and a last line without an end.
    let commands = "n=0; while [ $n -lt 3000 ]; do echo \"line $n ----------------------------\"; \
                    n=$((n + 1)); done >&2; printf 'the last' >&2";
    for (folder, setup) in each_kind_in_json(commands) {
        let logs = logs_at_each_next(setup, &folder, 2);
        for (number, log) in logs.iter().enumerate() {
            let messages = messages(log);
            assert_eq!(messages.len(), number * 3_001);
            if let Some(last) = messages.last() {
                assert_eq!(last, "the last");
            }
        }
    }
    for (folder, setup) in each_kind(commands) {
        let logs = logs_at_each_next(setup, &folder, 2);
        for (number, log) in logs.iter().enumerate() {
            assert_eq!(log.matches("the last").count(), number);
            assert_eq!(log.matches("line ").count(), number * 3_000);
        }
    }
}

#[test]
fn log_that_a_process_in_the_background_holds_delays_nothing() {
    for (_folder, setup) in each_kind_in_json("echo before >&2; sleep 600 & echo done") {
        let lambda = setup.start();
        let begin = Instant::now();
        for _ in 0..3 {
            assert_eq!(lambda.call("1").text().trim(), "done");
        }
        lambda.wait_idle();
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "the background was waited for"
        );
        assert_eq!(messages(&lambda.end()), ["before"; 3]);
    }
}

/// A log that nobody reads holds whoever writes to it: what a handler wrote last, but not the
/// answer.
#[test]
fn log_that_is_not_read_for_now_does_not_hold_the_answer() {
    // As much as a pipe holds: the bootstrap, which stands still, forwards nothing of it meanwhile.
    const LENGTH: usize = 65_536;
    for (format, status) in [("text", 0), ("JSON", 3)] {
        let folder = Folder::with_app(&format!(
            "echo $$ >pid; kill -STOP $PPID; head -c {LENGTH} /dev/zero | tr '\\0' '#' >&2; exit {status}"
        ));
        let path = folder.path().join("fifo");
        make_fifo(&path);
        let log = OpenOptions::new().read(true).write(true).open(&path);
        let mut log = log.unwrap();
        // Half of what fits in it.
        log.write_all(&[b'\n'; LENGTH / 2]).unwrap();
        let lambda = Setup::app(&folder)
            .env("AWS_LAMBDA_LOG_FORMAT", format)
            .launched_by(&format!("exec 2>'{}'", path.display()))
            .start();
        let id = lambda.api.push(Event::new("1"));
        wait_until("the handler has ended", || {
            let pid = folder.read("pid").trim().parse();
            pid.is_ok_and(|pid| state(pid) == Some('Z'))
        });
        signal("CONT", &[lambda.bootstrap.pid]);
        let answer = lambda.answer(&id);
        assert_eq!(answer.is_error(), status != 0, "{format}");
        let reader = thread::spawn(move || {
            let mut bytes = [0; 4_096];
            let mut left = LENGTH;
            while left > 0 {
                let length = log.read(&mut bytes).unwrap();
                left -= bytes[..length].iter().filter(|byte| **byte == b'#').count();
            }
        });
        wait_until("all of it is logged", || reader.is_finished());
    }
}

#[test]
fn flood_of_log_lines_is_complete_and_the_event_is_answered() {
    let _turn = turn();
    let commands = "head -c 200000 /dev/zero | tr '\\0' '\\n' | sed 's/$/0123456789/' >&2; \
                    echo done";
    for (_folder, setup) in each_kind_in_json(commands) {
        let lambda = setup.start();
        assert_eq!(lambda.call("1").text().trim(), "done");
        lambda.wait_idle();
        let log = lambda.end();
        assert_eq!(log.lines().count(), 200_000);
        assert_eq!(
            log.matches("\"message\":\"0123456789\"}\n").count(),
            200_000
        );
    }
}

#[test]
fn lines_of_a_handler_pass_byte_for_byte_in_text_form() {
    let commands = "printf 'plain \"line\"\\n\\n\\001\\377\\tx\\r\\n' >&2";
    for (folder, setup) in each_kind(commands) {
        let log = folder.path().join("log");
        let setup = setup.launched_by(&format!("exec 2>>'{}'", log.display()));
        let lambda = setup.start();
        lambda.call("1");
        lambda.wait_idle();
        lambda.end();
        let bytes = fs::read(log).unwrap();
        let expected = b"plain \"line\"\n\n\x01\xff\tx\r\n";
        assert_eq!(bytes, expected, "{}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn line_without_an_end_is_ended_before_a_line_of_the_bootstrap() {
    for (_folder, setup) in each_kind("printf half >&2; exit 3") {
        let lambda = setup.start();
        for id in ["one", "two"] {
            lambda.invoke(Event::new("1").id(id));
        }
        lambda.wait_idle();
        let log = lambda.end();
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(
            (lines.len(), lines[0], lines[2]),
            (4, "half", "half"),
            "{log}"
        );
        assert!(
            lines[1].starts_with("bootstrap: ERROR RequestId: one "),
            "{log}"
        );
        assert!(
            lines[3].starts_with("bootstrap: ERROR RequestId: two "),
            "{log}"
        );
    }
}

#[test]
fn line_without_an_end_is_ended_before_a_line_of_the_next_event() {
    for (_folder, setup) in each_kind("printf half >&2") {
        let lambda = setup.start();
        lambda.call("1");
        lambda.call("2");
        lambda.wait_idle();
        assert_eq!(lambda.end(), "half\nhalf\n");
    }
}

/// A failure refers to log lines only where there are some: those of an earlier event are none.
#[test]
fn message_of_a_failure_mentions_log_lines_if_there_are_some() {
    let commands = "case ${1-$(cat)} in loud) echo why >&2 ;; esac; exit 3";
    for (_folder, setup) in each_kind(commands) {
        let lambda = setup.start();
        for event in ["silent", "loud", "silent", "loud", "loud"] {
            let text = lambda.call(event).text();
            let mentions = text.contains("; see its log lines\"");
            assert_eq!(mentions, event == "loud", "{event}: {text}");
        }
    }
}

#[test]
fn own_lines_are_text_with_level_and_request_id() {
    for (_folder, setup) in each_kind("exit 3") {
        let setup = setup.env("AWS_LAMBDA_LOG_FORMAT", "text");
        let lambda = setup.start();
        lambda.invoke(Event::new("1").id("some-id"));
        lambda.wait_idle();
        let log = lambda.end();
        let start = "bootstrap: ERROR RequestId: some-id Function.ExitNonZero: ";
        assert!(log.starts_with(start) && log.lines().count() == 1, "{log}");
    }
}

#[test]
fn format_or_level_that_is_none_is_an_init_error_that_names_it() {
    let folder = Folder::with_app(":");
    for (name, value, allowed) in [
        ("AWS_LAMBDA_LOG_FORMAT", "xml", "Text, JSON"),
        ("AWS_LAMBDA_LOG_FORMAT", "JSON ", "Text, JSON"),
        (
            "AWS_LAMBDA_LOG_LEVEL",
            "loud",
            "TRACE, DEBUG, INFO, WARN, ERROR, FATAL",
        ),
        (
            "AWS_LAMBDA_LOG_LEVEL",
            "1",
            "TRACE, DEBUG, INFO, WARN, ERROR, FATAL",
        ),
    ] {
        let lambda = Setup::app(&folder).env(name, value).start();
        let report = lambda.request(&Endpoint::InitError);
        for part in [name, &format!("'{value}'"), allowed] {
            assert_failure(&report, "Runtime.ConfigInvalid", part);
        }
        assert_eq!(lambda.wait_exit().code(), Some(1));
    }
}
