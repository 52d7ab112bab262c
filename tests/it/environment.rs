//! The environment and the descriptors that handlers of both kinds get.

use crate::emulator::event::Event;
use crate::harness::folder::Folder;
use crate::harness::lambda::{Lambda, Setup, each_kind, shells};
use crate::harness::scripted::can_trace;
use std::collections::BTreeMap;

/// What `env -0` prints for an event.
fn environment(lambda: &Lambda, event: Event) -> BTreeMap<String, Vec<u8>> {
    let answer = lambda.invoke(event);
    let pairs = answer
        .body
        .split(|&byte| byte == 0)
        .filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| {
        let equals = pair.iter().position(|&byte| byte == b'=').unwrap();
        (
            String::from_utf8(pair[..equals].to_vec()).unwrap(),
            pair[equals + 1..].to_vec(),
        )
    });
    pairs.collect()
}

fn text<'a>(environment: &'a BTreeMap<String, Vec<u8>>, name: &str) -> Option<&'a str> {
    environment
        .get(name)
        .map(|value| str::from_utf8(value).unwrap())
}

const PRINT: &str = "env -0";

#[test]
fn each_header_of_the_event_is_a_variable() {
    for (_folder, setup) in each_kind(PRINT) {
        let lambda = setup.start();
        let event = Event::new("1")
            .id("the-id")
            .deadline_at(4_102_444_800_000)
            .header(
                "Lambda-Runtime-Invoked-Function-Arn",
                "arn:aws:lambda:::f:1",
            )
            .header("Lambda-Runtime-Trace-Id", "Root=1-2;Parent=3;Sampled=1")
            .header(
                "Lambda-Runtime-Client-Context",
                r#"{"custom": {"k": "v  w"}}"#,
            )
            .header(
                "Lambda-Runtime-Cognito-Identity",
                r#"{"cognitoIdentityId":"i"}"#,
            )
            .header("Lambda-Runtime-Aws-Tenant-Id", "tenant")
            .header("Lambda-Runtime-Something-New", "new")
            .header("Not-Lambda-Runtime-Trace-Id", "other");
        let environment = environment(&lambda, event);
        for (name, value) in [
            ("LAMBDA_RUNTIME_AWS_REQUEST_ID", "the-id"),
            ("LAMBDA_RUNTIME_DEADLINE_MS", "4102444800000"),
            (
                "LAMBDA_RUNTIME_INVOKED_FUNCTION_ARN",
                "arn:aws:lambda:::f:1",
            ),
            ("LAMBDA_RUNTIME_TRACE_ID", "Root=1-2;Parent=3;Sampled=1"),
            ("_X_AMZN_TRACE_ID", "Root=1-2;Parent=3;Sampled=1"),
            (
                "LAMBDA_RUNTIME_CLIENT_CONTEXT",
                r#"{"custom": {"k": "v  w"}}"#,
            ),
            (
                "LAMBDA_RUNTIME_COGNITO_IDENTITY",
                r#"{"cognitoIdentityId":"i"}"#,
            ),
            ("LAMBDA_RUNTIME_AWS_TENANT_ID", "tenant"),
            ("LAMBDA_RUNTIME_SOMETHING_NEW", "new"),
        ] {
            assert_eq!(text(&environment, name), Some(value), "{name}");
        }
        let others = environment
            .values()
            .filter(|value| *value == b"other")
            .count();
        assert_eq!(others, 0);
    }
}

#[test]
fn header_names_are_read_in_any_case() {
    for (_folder, setup) in each_kind(PRINT) {
        let lambda = setup.start();
        let event = Event::new(vec![b' '; 3000])
            .lower_case()
            .header("lambda-RUNTIME-trace-ID", "t");
        assert_eq!(
            text(&environment(&lambda, event), "LAMBDA_RUNTIME_TRACE_ID"),
            Some("t")
        );
    }
}

// All headers but the request id are optional.
#[test]
fn absent_and_empty_headers_are_absent_variables() {
    let headers = [
        "Trace-Id",
        "Client-Context",
        "Cognito-Identity",
        "Aws-Tenant-Id",
    ];
    let optional = ["Deadline-Ms", "Invoked-Function-Arn"];
    for (_folder, setup) in each_kind(PRINT) {
        let lambda = setup.start();
        let mut absent = Event::new("1").no_deadline();
        let mut empty = Event::new("1");
        for header in headers.iter().chain(&optional) {
            let header = format!("Lambda-Runtime-{header}");
            absent = absent.without(&header);
            empty = empty.header(&header, "");
        }
        for event in [absent, empty] {
            let environment = environment(&lambda, event);
            let names: Vec<_> = environment
                .keys()
                .filter(|name| is_of_event(name))
                .collect();
            assert_eq!(names, ["LAMBDA_RUNTIME_AWS_REQUEST_ID"]);
        }
    }
}

fn is_of_event(name: &str) -> bool {
    name.starts_with("LAMBDA_RUNTIME_") || name == "_X_AMZN_TRACE_ID"
}

#[test]
fn trace_id_and_others_of_an_earlier_event_or_of_the_bootstrap_are_not_carried_over() {
    for (_folder, setup) in each_kind(PRINT) {
        // `LAMBDA_RUNTIME_DIR` is Lambda's own and no event's.
        let setup = setup.env("LAMBDA_RUNTIME_DIR", "/var/runtime");
        let setup = setup
            .env("_X_AMZN_TRACE_ID", "stale")
            .env("LAMBDA_RUNTIME_TRACE_ID", "stale");
        let lambda = setup.env("LAMBDA_RUNTIME_AWS_TENANT_ID", "stale").start();
        let with = Event::new("1")
            .header("Lambda-Runtime-Trace-Id", "Root=1")
            .header("Lambda-Runtime-Aws-Tenant-Id", "one")
            .header("Lambda-Runtime-New-Header", "one");
        assert_eq!(
            text(&environment(&lambda, with), "_X_AMZN_TRACE_ID"),
            Some("Root=1")
        );
        let without = environment(&lambda, Event::new("2"));
        let mut names: Vec<_> = without.keys().filter(|name| is_of_event(name)).collect();
        names.retain(|name| *name != "LAMBDA_RUNTIME_DIR");
        let expected = ["AWS_REQUEST_ID", "DEADLINE_MS", "INVOKED_FUNCTION_ARN"];
        assert_eq!(
            names,
            expected
                .map(|name| format!("LAMBDA_RUNTIME_{name}"))
                .each_ref()
        );
        assert_eq!(text(&without, "LAMBDA_RUNTIME_DIR"), Some("/var/runtime"));
    }
}

#[test]
fn environment_of_the_bootstrap_is_passed_but_for_the_telemetry_descriptor() {
    for (_folder, setup) in each_kind(PRINT) {
        let setup = setup
            .env("_LAMBDA_TELEMETRY_LOG_FD", "62")
            .env("AWS_SESSION_TOKEN", "a b=c");
        let setup = setup.env("WITH_NEWLINE", "a\nb\n").env("EMPTY", "");
        let lambda = setup.start();
        let environment = environment(&lambda, Event::new("1"));
        assert_eq!(text(&environment, "_LAMBDA_TELEMETRY_LOG_FD"), None);
        assert_eq!(text(&environment, "AWS_SESSION_TOKEN"), Some("a b=c"));
        assert_eq!(text(&environment, "WITH_NEWLINE"), Some("a\nb\n"));
        assert_eq!(text(&environment, "EMPTY"), Some(""));
        assert_eq!(
            text(&environment, "AWS_LAMBDA_FUNCTION_NAME"),
            Some("function")
        );
    }
}

#[test]
fn nothing_in_a_header_or_an_event_is_evaluated() {
    let hostile = r#"$(touch here) `touch here` "; touch here; ' && touch here | ${IFS} \ %s * ~"#;
    let print = "printf '%s\\n' \"$LAMBDA_RUNTIME_CLIENT_CONTEXT\"; cat; printf '%s' \"${1-}\"";
    let each_way = ["argument", "stdin"].into_iter().flat_map(|via| {
        let all = each_kind(print).into_iter();
        all.map(move |(folder, setup)| (folder, setup.env("BOOTSTRAP_EVENT_VIA", via)))
    });
    for (folder, setup) in each_way {
        let lambda = setup.start();
        let id = "$(touch here)`touch here`;touch here";
        let event = Event::new(hostile)
            .id(id)
            .header("Lambda-Runtime-Client-Context", hostile);
        let text = lambda.invoke(event).text();
        assert!(text.starts_with(&format!("{hostile}\n{hostile}")), "{text}");
        assert!(!folder.path().join("here").exists());
        assert!(!lambda.temp.path().join("here").exists());
    }
}

#[test]
fn header_that_is_no_utf8_arrives_as_it_is() {
    for (_folder, setup) in each_kind(PRINT) {
        let lambda = setup.start();
        let value = b"\xff\xfe caf\xc3\xa9\ttab";
        let event = Event::new("1").header("Lambda-Runtime-Client-Context", value);
        assert_eq!(
            environment(&lambda, event)["LAMBDA_RUNTIME_CLIENT_CONTEXT"],
            value
        );
    }
}

#[test]
fn header_that_names_no_variable_is_left_out() {
    for (_folder, setup) in each_kind(PRINT) {
        let lambda = setup.start();
        let event = Event::new("1")
            .header("Lambda-Runtime-A.B", "x")
            .header("Lambda-Runtime-", "x");
        let environment = environment(&lambda, event);
        assert_eq!(
            environment.values().filter(|value| *value == b"x").count(),
            0
        );
    }
}

#[test]
fn header_of_the_limit_is_a_variable_and_one_byte_more_is_left_out_with_a_line() {
    let name = "LAMBDA_RUNTIME_CLIENT_CONTEXT";
    // An environment holds strings of 131,072 bytes, the `=` and the final NUL among them.
    let fits = 131_072 - name.len() - 2;
    for (_folder, setup) in each_kind(PRINT) {
        let lambda = setup.start();
        let event = |id: &str, length| {
            let header = "Lambda-Runtime-Client-Context";
            Event::new("1")
                .id(id)
                .header(header, vec![b'x'; length])
                .header("Lambda-Runtime-B", "b")
        };
        let longest = environment(&lambda, event("fits", fits));
        assert_eq!(longest[name].len(), fits);
        for (id, length) in [("long", fits + 1), ("longer", 900_000)] {
            let environment = environment(&lambda, event(id, length));
            assert_eq!(environment.get(name), None);
            // The others are there all the same.
            assert_eq!(text(&environment, "LAMBDA_RUNTIME_B"), Some("b"));
        }
        let log = lambda.end();
        assert_eq!(log.lines().count(), 2, "{log}");
        for (line, id) in log.lines().zip(["long", "longer"]) {
            assert!(
                line.starts_with(&format!("bootstrap: WARN RequestId: {id} {name}")),
                "{line}"
            );
        }
    }
}

#[test]
fn header_with_a_nul_is_left_out_with_a_line() {
    for (_folder, setup) in each_kind(PRINT) {
        let lambda = setup.start();
        let event = Event::new("1")
            .id("nul")
            .header("Lambda-Runtime-Client-Context", "a\0b");
        let environment = environment(&lambda, event);
        assert_eq!(environment.get("LAMBDA_RUNTIME_CLIENT_CONTEXT"), None);
        let log = lambda.end();
        let start = "bootstrap: WARN RequestId: nul LAMBDA_RUNTIME_CLIENT_CONTEXT";
        assert!(log.starts_with(start) && log.lines().count() == 1, "{log}");
    }
}

/// Prints the descriptors that a program started from here has. The list is made before it is
/// looked at, since making it takes a descriptor.
const DESCRIPTORS: &str = r#"
    sh -c 'for link in /proc/self/fd/*; do
        if [ -e "$link" ]; then echo "${link##*/}"; fi
    done'"#;

#[test]
fn no_descriptor_but_the_standard_ones_is_inherited() {
    for (_folder, setup) in each_kind(DESCRIPTORS) {
        // As on Lambda's Managed Instances, where descriptors of others are open at the start.
        let lambda = setup
            .launched_by("exec 5</dev/null 7>/dev/null 8</")
            .start();
        for event in ["1", "2"] {
            assert_eq!(lambda.call(event).text().trim_end(), "0\n1\n2");
        }
    }
}

#[test]
fn program_started_by_the_script_at_init_has_the_standard_descriptors_only() {
    for shell in shells() {
        let folder = Folder::with_script(&format!("{shell}{DESCRIPTORS}\nhandler() {{ :; }}"));
        let lambda = Setup::function(&folder)
            .launched_by("exec 5</dev/null 7>/dev/null")
            .start();
        lambda.call("1");
        assert_eq!(lambda.end(), "0\n1\n2\n", "{shell}");
    }
}

#[test]
fn signals_have_their_defaults_in_a_program_of_the_handler() {
    // Also where whoever started the bootstrap ignores some, as shells and supervisors may.
    let launcher = "trap '' PIPE CHLD USR1";
    for (_folder, setup) in each_kind("cat /proc/self/status") {
        let lambda = setup.launched_by(launcher).start();
        let status = lambda.call("1").text();
        let mask = |name: &str| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap();
            // The real-time signals above bit 31 are a C library's own affair.
            u64::from_str_radix(line.trim(), 16).unwrap() & 0x7fff_ffff
        };
        // Blocked and caught: none. Ignored: neither of the two that programs depend on.
        assert_eq!((mask("SigBlk:"), mask("SigCgt:")), (0, 0), "{status}");
        let (pipe, chld) = (1 << (13 - 1), 1 << (17 - 1));
        assert_eq!(mask("SigIgn:") & (pipe | chld), 0, "{status}");
    }
}

/// The environment uses up the memory that the bootstrap has by itself. What events take after that
/// is of other lengths each time.
#[test]
fn environment_of_a_megabyte_is_handed_on() {
    let values: Vec<String> = (0..400)
        .map(|number| format!("{number} ").repeat(3 * (number + 1)))
        .collect();
    for (_folder, setup) in each_kind(PRINT) {
        let named = values.iter().enumerate();
        let setup = named.fold(setup, |setup, (number, value)| {
            setup.env(&format!("MANY_{number}"), value)
        });
        let lambda = setup.start();
        for length in [1_100, 2_000, 500, 1_030, 2_040, 300, 900, 1_010] {
            let long = "c".repeat(length);
            let event = Event::new("1").header("Lambda-Runtime-Client-Context", &long);
            let environment = environment(&lambda, event);
            let context = text(&environment, "LAMBDA_RUNTIME_CLIENT_CONTEXT");
            assert_eq!(context, Some(long.as_str()));
            for (number, value) in values.iter().enumerate() {
                let name = format!("MANY_{number}");
                assert_eq!(text(&environment, &name), Some(value.as_str()), "{name}");
            }
        }
    }
}

/// docs/design.md, "The allocator": libc's first memory would cost a sixth of a start.
#[test]
fn start_takes_no_memory_of_libc() {
    if !can_trace("start_takes_no_memory_of_libc") {
        return;
    }
    let folder = Folder::with_app("#!/bin/sh\n");
    let traces = Folder::new();
    let trace = traces.path().join("trace");
    let trace = trace.display();
    let lambda = Setup::app(&folder)
        .launched_by(&format!("set -- strace -qq -o {trace} \"$@\""))
        .start();
    lambda.wait_idle();
    lambda.end();
    let text = traces.read("trace");
    // Before that, the loader and libc start.
    let start = text.find("close_range(").expect("the program's own start");
    let end = text.find("GET /2018-06-01/").expect("a request");
    for call in ["brk(", "mmap("] {
        assert!(!text[start..end].contains(call), "{}", &text[start..end]);
    }
}
