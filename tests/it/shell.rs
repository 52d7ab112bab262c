//! Shell functions as handlers, in bash and in a POSIX shell.

use crate::emulator;
use crate::emulator::api::Action;
use crate::emulator::event::Event;
use crate::emulator::record::Endpoint;
use crate::harness::attendants;
use crate::harness::failure::{assert_failure, assert_response};
use crate::harness::folder::Folder;
use crate::harness::lambda::{Lambda, Setup, handlers, shells};
use crate::harness::wait::{PATIENCE, turn, wait_until};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Starts the function `handler` of a script.
fn start(script: &str) -> (Folder, Lambda) {
    let folder = Folder::with_script(script);
    let lambda = Setup::function(&folder).start();
    (folder, lambda)
}

/// The same; the script finds its folder in the variable `FOLDER`.
fn start_with_folder(script: &str) -> (Folder, Lambda) {
    let folder = Folder::with_script(script);
    let path = folder.path().display().to_string();
    let lambda = Setup::function(&folder).env("FOLDER", path).start();
    (folder, lambda)
}

/// The same, with its events on standard input.
fn start_with_stdin(script: &str) -> (Folder, Lambda) {
    let folder = Folder::with_script(script);
    let setup = Setup::function(&folder).env("BOOTSTRAP_EVENT_VIA", "stdin");
    (folder, setup.start())
}

#[test]
fn tutorial_script_with_handler_variable_works_unchanged_in_each_shell() {
    let script = fs::read_to_string(handlers().join("tutorial.sh")).unwrap();
    for shell in shells() {
        let folder = Folder::new();
        folder.file("tutorial.sh", format!("{shell}{script}"));
        // As the tutorial's image has it: HANDLER, and no _HANDLER.
        let setup = Setup::new(folder.path(), "").without_env("_HANDLER");
        let lambda = setup.env("HANDLER", "tutorial.handler").start();
        let answer = lambda.call(r#"{"a": 1}"#);
        assert_eq!(answer.text(), r#"Echoing request: '{"a": 1}'"#, "{shell}");
        lambda.wait_log("{\"a\": 1}\n");
    }
}

#[test]
fn script_is_sourced_once_and_before_the_first_event() {
    for shell in shells() {
        let script = "echo sourced; at_init=init; handler() { echo \"$at_init\"; }";
        let (_folder, lambda) = start(&format!("{shell}{script}"));
        lambda.wait_log("sourced\n");
        assert_eq!(lambda.api.counts().posts, 0);
        for _ in 0..3 {
            assert_eq!(lambda.call("1").text(), "init", "{shell}");
        }
        assert_eq!(lambda.end(), "sourced\n", "{shell}");
    }
}

#[test]
fn script_is_sourced_with_nothing_on_standard_input() {
    for shell in shells() {
        let script = "at_init=$(cat)!; handler() { echo \"$at_init\"; }";
        let (_folder, lambda) = start(&format!("{shell}{script}"));
        assert_eq!(lambda.call("1").text(), "!", "{shell}");
    }
}

#[test]
fn options_of_the_tutorial_are_on() {
    for shell in shells() {
        for failing in ["false; echo on", "echo \"$nobody_set_this\"; echo on"] {
            let (_folder, lambda) = start(&format!("{shell}handler() {{ {failing}; }}"));
            let answer = lambda.call("1");
            assert!(answer.is_error(), "{shell}{failing}: {}", answer.text());
        }
    }
    // POSIX knows no pipefail: it is promised for bash alone.
    let (_folder, lambda) = start(&format!("{}handler() {{ false | true; }}", shells()[0]));
    assert_failure(&lambda.call("1"), "Function.ExitNonZero", "status 1");
}

#[test]
fn option_that_the_script_turns_off_is_off_in_its_function() {
    for shell in shells() {
        let (_folder, lambda) = start(&format!(
            "{shell}set +eu\nhandler() {{ false; echo on$x; }}"
        ));
        assert_eq!(lambda.call("1").text(), "on", "{shell}");
    }
}

#[test]
fn what_one_event_sets_is_gone_at_the_next() {
    // Each event shows what it finds, then changes all of it.
    let script = "
        variable=init
        export exported=init
        other() { echo init; }
        handler() {
            echo \"$variable $exported $(other) $PWD $(umask) $-\"
            variable=event exported=event
            other() { echo event; }
            cd /
            umask 0
            set +e -f
        }";
    for shell in shells() {
        let (folder, lambda) = start(&format!("{shell}umask 022{script}"));
        let first = lambda.call("1").text();
        let found = format!("init init init {} 0022", folder.path().display());
        assert!(first.starts_with(&found), "{shell}{first}");
        assert_eq!(lambda.call("2").text(), first, "{shell}");
    }
}

#[test]
fn event_is_the_argument_or_standard_input_and_never_both() {
    for shell in shells() {
        let script = "handler() { printf '%s|' \"$#\" \"${1-none}\"; cat; }";
        let (_folder, argument) = start(&format!("{shell}{script}"));
        let (_folder, stdin) = start_with_stdin(&format!("{shell}{script}"));
        // What an `echo` or a `printf` might take for an option, an escape or a format.
        let events = [
            r#"{"a":1}"#,
            "",
            "-n",
            "-e",
            r"\n\0101",
            "%s",
            "a  b\tc",
            "*",
            "\u{e9}\\",
        ];
        for event in events {
            assert_eq!(
                argument.call(event).text(),
                format!("1|{event}|"),
                "{shell}"
            );
            assert_eq!(
                stdin.call(event).text(),
                format!("0|none|{event}"),
                "{shell}"
            );
        }
    }
}

#[test]
fn every_byte_of_an_event_arrives_on_standard_input() {
    let all: Vec<u8> = (0..=255).collect();
    for shell in shells() {
        let (_folder, lambda) = start_with_stdin(&format!("{shell}handler() {{ cat; echo; }}"));
        assert_eq!(lambda.call(&all).body, all, "{shell}");
        // All bytes but NUL can also be an argument.
        let (_folder, lambda) = start(&format!("{shell}handler() {{ printf '%s' \"$1\"; }}"));
        assert_eq!(lambda.call(&all[1..]).body, all[1..], "{shell}");
    }
}

#[test]
fn trailing_newlines_of_the_response_are_dropped() {
    for shell in shells() {
        let (_folder, lambda) = start(&format!("{shell}handler() {{ printf \"$1\"; }}"));
        for (printed, response) in [
            (r"a\n\nb\n\n\n", "a\n\nb"),
            (r"\na", "\na"),
            (r"\n\n", ""),
            (r"a\r\n", "a\r"),
            (r"a \n", "a "),
            ("a", "a"),
            ("", ""),
        ] {
            assert_eq!(lambda.call(printed).text(), response, "{shell}{printed}");
        }
    }
}

// Which of the two outputs is the response?
#[test]
fn standard_output_is_the_response_and_standard_error_the_log() {
    for shell in shells() {
        let script = "handler() { echo out; echo err >&2; }";
        let (_folder, lambda) = start(&format!("{shell}{script}"));
        assert_eq!(lambda.call("1").text(), "out", "{shell}");
        assert_eq!(lambda.end(), "err\n", "{shell}");
    }
}

#[test]
fn leftover_that_holds_the_response_delays_nothing_and_goes_on() {
    // The leftover holds all three of its descriptors for as long as the test takes.
    let script = "handler() { sleep 600 & echo \"$!\"; }";
    for shell in shells() {
        let (_folder, lambda) = start(&format!("{shell}{script}"));
        let leftovers = [lambda.call("1").text(), lambda.call("2").text()];
        lambda.wait_idle();
        // The bootstrap, its shell, and both.
        let processes = lambda.wait_processes(4);
        for leftover in leftovers {
            assert!(
                processes.contains(&leftover.parse().unwrap()),
                "{shell}{leftover} is gone"
            );
        }
    }
}

#[test]
fn leftover_that_writes_late_is_not_heard_in_another_response() {
    // The second event waits until the leftover of the first has written.
    let script = "
        handler() {
            if [ \"$1\" = first ]; then
                ( trap '' PIPE
                  until [ -e go ]; do sleep 0.01; done
                  echo late || :
                  : >written ) &
                return
            fi
            : >go
            until [ -e written ]; do sleep 0.01; done
            echo second
        }";
    for shell in shells() {
        let (_folder, lambda) = start(&format!("{shell}{script}"));
        assert_eq!(lambda.call("first").text(), "", "{shell}");
        assert_eq!(lambda.call("second").text(), "second", "{shell}");
    }
}

#[test]
fn function_that_reads_nothing_of_a_large_event_or_closes_its_output_is_answered() {
    for shell in shells() {
        for body in [
            "echo done",
            "echo done; exec >&-; cat >/dev/null",
            "echo done; exec <&- >&-",
        ] {
            let (_folder, lambda) = start(&format!("{shell}handler() {{ {body}; }}"));
            assert_response(&lambda.call(vec![b'x'; 6_291_556]), b"done");
            assert_eq!(lambda.call("1").text(), "done", "{shell}{body}");
        }
    }
}

// Nothing that a handler does may end the loop.
#[test]
fn function_that_kills_its_own_shell_costs_that_event_only() {
    let script = "
        echo sourced >&2
        count=$$
        handler() {
            case $1 in
                pid) echo \"$count\" ;;
                *) echo partial; kill -s \"$1\" $$; sleep 600 ;;
            esac
        }";
    for shell in shells() {
        let (_folder, lambda) = start(&format!("{shell}{script}"));
        let mut before = lambda.call("pid").text();
        for (sourced, signal) in [(2, "KILL"), (3, "TERM"), (4, "SEGV")] {
            let named = format!("SIG{signal}");
            assert_failure(&lambda.call(signal), "Function.KilledBySignal", &named);
            // A new one sources the script while the next event is asked for.
            let now = lambda.call("pid").text();
            lambda.wait_log_times("sourced\n", sourced);
            assert_ne!(now, before, "{shell}");
            before = now;
        }
        assert_eq!(lambda.api.counts().connections, 2, "{shell}");
    }
}

/// The status of the shell is not that of the function.
#[test]
fn shell_that_ends_with_status_0_in_an_event_fails_it() {
    let script = "
        trap 'exit 0' TERM
        handler() {
            case $1 in end) echo partial; kill $$ ;; *) echo \"$1\" ;; esac
        }";
    for shell in shells() {
        let (_folder, lambda) = start(&format!("{shell}{script}"));
        let words = "the handler's shell ended with status 0 before the handler did";
        assert_failure(&lambda.call("end"), "Runtime.HandlerLost", words);
        assert_response(&lambda.call("next"), b"next");
    }
}

/// A function that ends its shell for the event `break`, and leaves a file by which the script knows.
const BREAK_OR_ECHO: &str = "
    handler() {
        case $1 in break) : >\"$FOLDER/broken\"; kill -KILL $$; sleep 600 ;; *) echo \"$1\" ;; esac
    }";

/// A script that failed while there was no event may work when there is one.
#[test]
fn script_that_failed_while_idle_is_sourced_again_for_the_next_event() {
    let script = "
        echo sourced >&2
        if [ -e \"$FOLDER/broken\" ]; then rm \"$FOLDER/broken\"; exit 3; fi";
    for shell in shells() {
        let (folder, lambda) = start_with_folder(&format!("{shell}{script}{BREAK_OR_ECHO}"));
        assert_failure(&lambda.call("break"), "Function.KilledBySignal", "SIGKILL");
        wait_until("the script failed", || {
            !folder.path().join("broken").exists()
        });
        assert_response(&lambda.call("next"), b"next");
        lambda.wait_log_times("sourced\n", 3);
    }
}

#[test]
fn script_that_cannot_be_sourced_again_fails_each_event_until_it_can() {
    let script = "
        if [ -e \"$FOLDER/broken\" ]; then exit 3; fi";
    for shell in shells() {
        let (folder, lambda) = start_with_folder(&format!("{shell}{script}{BREAK_OR_ECHO}"));
        assert_failure(&lambda.call("break"), "Function.KilledBySignal", "SIGKILL");
        for _ in 0..2 {
            let words = "function.sh cannot be run: ";
            assert_failure(&lambda.call("next"), "Runtime.HandlerStartFailed", words);
        }
        fs::remove_file(folder.path().join("broken")).unwrap();
        assert_response(&lambda.call("next"), b"next");
    }
}

#[test]
fn shell_that_dies_between_two_events_costs_no_event_and_is_logged() {
    for shell in shells() {
        for signal in ["KILL", "SEGV"] {
            let (_folder, lambda) = start(&format!("{shell}handler() {{ echo $$; }}"));
            let pid = lambda.call("1").text();
            lambda.wait_idle();
            emulator::process::signal(signal, &[pid.parse().unwrap()]);
            wait_until_gone(&pid);
            let answer = lambda.call("2");
            assert!(!answer.is_error(), "{shell}{}", answer.text());
            assert_ne!(answer.text(), pid, "{shell}");
            let log = lambda.end();
            assert_eq!(log.lines().count(), 1, "{shell}{log}");
            let line = format!("was killed by SIG{signal}");
            assert!(
                log.starts_with("bootstrap: WARN ") && log.contains(&line),
                "{shell}{log}"
            );
        }
    }
}

/// The subshell of the next event is there before it: what becomes of it must not be taken for the
/// event's.
#[test]
fn subshell_that_dies_between_two_events_costs_no_event_and_is_logged() {
    for shell in shells() {
        let (_folder, lambda) = start(&format!("{shell}handler() {{ echo \"$1\"; }}"));
        assert_eq!(lambda.call("1").text(), "1", "{shell}");
        lambda.wait_idle();
        // Of processes the Runtime API hears nothing, so they are looked at again and again.
        let subshells = || attendants::subshells_of_events(&lambda.everyone());
        wait_until("there is the next subshell", || subshells().len() == 1);
        let killed = subshells();
        emulator::process::signal("KILL", &killed);
        // The shell has told of it once there is another.
        wait_until("there is another subshell", || {
            let found = subshells();
            found.len() == 1 && found != killed
        });
        for event in ["2", "3"] {
            assert_eq!(lambda.call(event).text(), event, "{shell}");
        }
        let log = lambda.end();
        let lines = log.lines().filter(|line| line.starts_with("bootstrap: "));
        assert_eq!(lines.count(), 1, "{shell}{log}");
    }
}

/// One that was killed may be in the process table until it is reaped.
fn wait_until_gone(pid: &str) {
    let until = Instant::now() + PATIENCE;
    let path = format!("/proc/{pid}/stat");
    while fs::read_to_string(&path).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(Instant::now() < until, "{pid} lives on");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Nobody can handle SIGKILL: another process sees to it.
#[test]
fn function_does_not_outlive_a_bootstrap_that_is_killed() {
    let _turn = turn();
    for shell in shells() {
        for body in [
            "echo on >&2; sleep 600",
            "trap '' TERM HUP; (sleep 600) & echo on >&2; while :; do sleep 1; done",
            "sleep 600 & echo on >&2; kill -STOP $$; sleep 600",
        ] {
            let (_folder, lambda) = start(&format!("{shell}handler() {{ {body}; }}"));
            lambda.api.push(Event::new("1"));
            lambda.wait_log("on\n");
            let killed = Instant::now();
            emulator::process::signal("KILL", &[lambda.bootstrap.pid]);
            lambda.wait_nobody();
            let took = killed.elapsed();
            assert!(took < Duration::from_secs(1), "{shell}{body}: {took:?}");
        }
    }
}

#[test]
fn warm_shell_does_not_outlive_a_bootstrap_that_is_killed_while_idle() {
    for shell in shells() {
        let (_folder, lambda) = start(&format!("{shell}handler() {{ :; }}"));
        lambda.call("1");
        lambda.wait_idle();
        emulator::process::signal("KILL", &[lambda.bootstrap.pid]);
        lambda.wait_nobody();
    }
}

#[test]
fn every_status_is_answered_as_what_it_is() {
    for shell in shells() {
        let (_folder, lambda) = start(&format!("{shell}handler() {{ echo ok; exit \"$1\"; }}"));
        assert_eq!(lambda.call("0").text(), "ok", "{shell}");
        for status in 1..=255 {
            let answer = lambda.call(status.to_string());
            // From 129 on this is how a shell says that a signal ended something; there are 64.
            match status {
                129..=192 => assert_failure(
                    &answer,
                    "Function.KilledBySignal",
                    &format!("status {status}: a command in it was ended by "),
                ),
                _ => assert_failure(
                    &answer,
                    "Function.ExitNonZero",
                    // Followed by the place or by what was dropped.
                    &format!("status {status}"),
                ),
            }
        }
    }
}

#[test]
fn variable_that_cannot_be_set_fails_the_events_that_bring_it() {
    for first in shells() {
        let script = "readonly LAMBDA_RUNTIME_TRACE_ID=mine\nhandler() { echo ok; }";
        let (_folder, lambda) = start(&format!("{first}{script}"));
        let event = || Event::new("1").header("Lambda-Runtime-Trace-Id", "Root=1-2");
        for _ in 0..2 {
            let answer = lambda.invoke(event());
            let message = "the handler ended with status ";
            assert_failure(&answer, "Function.ExitNonZero", message);
            let text = answer.text();
            assert!(text.contains("; see its log lines"), "{text}");
            assert!(text.ends_with("\"stackTrace\":[]}"), "{text}");
            assert_eq!(lambda.call("2").text(), "ok");
        }
        lambda.wait_log("LAMBDA_RUNTIME_TRACE_ID");
    }
}

/// Where it failed, innermost first: in the message, in the log, and in the document's list. In bash
/// alone; a POSIX shell cannot say it.
#[test]
fn place_where_the_function_failed_is_named() {
    let script = "
helper() {
    echo part
    false
}
handler() {
    case $1 in
    deep) helper ;;
    exit) exit 3 ;;
    subshell) (exit 4) ;;
    pipeline) false | true ;;
    last) return 5 ;;
    esac
}";
    let [bash, posix] = shells();
    let folder = Folder::with_script(&format!("{bash}{script}"));
    let lambda = Setup::function(&folder).start();
    let file = folder.path().join("function.sh").display().to_string();
    for (event, status, places, dropped) in [
        ("deep", 1, &[(5, "helper"), (9, "handler")][..], 4),
        ("subshell", 4, &[(11, "handler")], 0),
        ("pipeline", 1, &[(12, "handler")], 0),
        ("last", 5, &[(13, "handler")], 0),
    ] {
        let answer = lambda.invoke(Event::new(event).id(event));
        let mut message = format!("the handler ended with status {status}");
        for (number, (line, function)) in places.iter().enumerate() {
            let start = ["at", "called at"][number.min(1)];
            let comma = ["", ","][number.min(1)];
            message += &format!("{comma} {start} {file}:{line} in {function}");
        }
        if dropped > 0 {
            message += &format!("; {dropped} bytes of output were dropped");
        }
        assert_failure(&answer, "Function.ExitNonZero", &message);
        let listed = places.iter();
        let listed: Vec<String> = listed
            .map(|(line, function)| format!("\"{file}:{line} {function}\""))
            .collect();
        let trace = format!(
            "\"errorMessage\":\"{message}\",\"stackTrace\":[{}]}}",
            listed.join(",")
        );
        assert!(answer.text().ends_with(&trace), "{}", answer.text());
        lambda.wait_log(&format!(
            "RequestId: {event} Function.ExitNonZero: {message}\n"
        ));
    }
    // The shell says nothing of an exit that was asked for, and none of what came before it.
    let answer = lambda.call("exit");
    assert_failure(
        &answer,
        "Function.ExitNonZero",
        "the handler ended with status 3",
    );
    assert!(!answer.text().contains("helper"), "{}", answer.text());
    // No value of the event or of a variable is in any of it.
    assert_eq!(lambda.call("").text(), "");

    let (_folder, lambda) = start(&format!("{posix}{script}"));
    let answer = lambda.call("deep").text();
    let end = "status 1; 4 bytes of output were dropped\",\"stackTrace\":[]}";
    assert!(answer.ends_with(end), "{answer}");
}

#[test]
fn script_is_named_by_the_path_of_the_bootstrap() {
    for shell in shells() {
        let script = "at_init=$0; handler() { echo \"$at_init $0\"; }";
        let folder = Folder::with_script(&format!("{shell}{script}"));
        let root = fs::canonicalize(folder.path()).unwrap();
        let name = root.join("bootstrap").display().to_string();
        // Wherever the bootstrap itself was started, and however the folder is called.
        for task_root in [folder.path().to_owned(), folder.path().join(".")] {
            let setup = Setup::function(&folder).env("LAMBDA_TASK_ROOT", &task_root);
            let lambda = setup.current_dir("/".as_ref()).start();
            assert_eq!(lambda.call("1").text(), format!("{name} {name}"), "{shell}");
        }
    }
}

#[test]
fn signal_that_ends_the_function_is_named() {
    for shell in shells() {
        let script = "handler() { sh -c \"kill -s $1 \\$PPID\"; sleep 600; }";
        let (_folder, lambda) = start(&format!("{shell}{script}"));
        for signal in [
            "HUP", "QUIT", "ABRT", "KILL", "USR1", "SEGV", "PIPE", "ALRM", "TERM",
        ] {
            let named = format!("SIG{signal}");
            assert_failure(&lambda.call(signal), "Function.KilledBySignal", &named);
        }
    }
}

#[test]
fn error_document_of_the_function_is_passed_on() {
    let script = "handler() { printf '%s' \"$1\"; return 7; }";
    for shell in shells() {
        let (_folder, lambda) = start(&format!("{shell}{script}"));
        let document = r#"{"errorType":"Function.Own","errorMessage":"own","extra":[1]}"#;
        let answer = lambda.call(document);
        assert_eq!(
            (answer.is_error(), answer.text().as_str()),
            (true, document),
            "{shell}"
        );
        assert_eq!(answer.error_type(), "Function.Own", "{shell}");
    }
}

#[test]
fn output_without_a_document_is_not_passed_on() {
    let script = "handler() { printf '%s' \"$1\"; return 7; }";
    let (_folder, lambda) = start(script);
    for output in [
        "half a response",
        r#"["errorType"]"#,
        r#"{"errorType":1}"#,
        "{}",
        "",
    ] {
        let answer = lambda.call(output);
        assert_failure(&answer, "Function.ExitNonZero", "status 7");
        assert!(
            output.is_empty() || !answer.text().contains("half"),
            "{}",
            answer.text()
        );
    }
}

#[test]
fn functions_and_settings_of_the_script_do_not_get_in_the_way() {
    let definitions = "
        IFS=,
        read() { return 1; }
        echo() { return 1; }
        set_up() { :; }
        cat() { printf 'not cat'; }
        PATH=/nowhere:$PATH
        event=1 status=2 script=3 function=4";
    for shell in shells() {
        let script = format!("{shell}{definitions}\nhandler() {{ printf '%s' \"$1\"; }}");
        let (_folder, lambda) = start(&script);
        for event in ["a,b c", "second"] {
            assert_eq!(lambda.call(event).text(), event, "{shell}");
        }
    }
}

/// In bash a script may even define functions by the names of special builtins.
#[test]
fn functions_named_like_builtins_do_not_get_in_the_way_of_bash() {
    let names = ["export", "mapfile", "set", "declare", "read", "echo"];
    let functions = names
        .map(|name| format!("function {name} {{ return 1; }}\n"))
        .concat();
    let body = r#"printf '%s' "$1 $LAMBDA_RUNTIME_AWS_REQUEST_ID""#;
    let script = format!("#!/bin/bash\n{functions}handler() {{ {body}; }}");
    let (_folder, lambda) = start(&script);
    let answer = lambda.call("event").text();
    assert!(
        answer.starts_with("event ") && answer.len() > "event ".len(),
        "{answer}"
    );
}

#[test]
fn function_of_bash_needs_no_search_path() {
    // Nothing but bash itself is run for an event.
    let folder = Folder::with_script("#!/bin/bash\nhandler() { echo \"$1\"; exit \"$1\"; }");
    let lambda = Setup::function(&folder).env("PATH", "").start();
    assert_eq!(lambda.call("0").text(), "0");
    assert_failure(&lambda.call("3"), "Function.ExitNonZero", "status 3");
}

#[test]
fn response_of_the_limit_arrives_and_one_byte_more_is_too_large() {
    // The newlines at the end are dropped before the response is measured.
    let script = "
        handler() {
            head -c \"$1\" /dev/zero
            echo
        }";
    for shell in shells() {
        let (_folder, lambda) = start(&format!("{shell}{script}"));
        assert_response(&lambda.call("6291556"), &vec![0; 6_291_556]);
        let answer = lambda.call("6291557");
        assert_failure(&answer, "Function.ResponseSizeTooLarge", "6291556");
        assert_response(&lambda.call("3"), &[0; 3]);
    }
}

#[test]
fn function_with_an_endless_response_is_stopped() {
    let script = "handler() { echo \"$$\" >pid; yes; }";
    let (folder, lambda) = start(script);
    assert_failure(
        &lambda.call("1"),
        "Function.ResponseSizeTooLarge",
        "6291556",
    );
    lambda.wait_idle();
    let shell: u32 = fs::read_to_string(folder.path().join("pid"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    // The bootstrap, and the new shell.
    let processes = lambda.wait_processes(2);
    assert!(!processes.contains(&shell));
}

#[test]
fn interpreter_is_that_of_the_first_line_else_bash_else_sh() {
    // A shell says what it is by the file that it runs from; `$$` is that of the warm shell.
    let script = "handler() { cd -P \"/proc/$$\"; readlink exe; }";
    let file = |path: &str| fs::canonicalize(path).unwrap().display().to_string();
    let (bash, sh) = (file("/bin/bash"), file("/bin/sh"));
    let no_bash = Folder::new();
    std::os::unix::fs::symlink("/usr/bin/readlink", no_bash.path().join("readlink")).unwrap();
    let no_bash = no_bash.path().to_str().unwrap();
    let path = std::env::var("PATH").unwrap();
    for (first_line, path, runs_in) in [
        ("#!/bin/sh\n", path.as_str(), &sh),
        ("#!/bin/sh -x\n", &path, &sh),
        ("#! /bin/bash\n", &path, &bash),
        ("#!/usr/bin/env bash\n", &path, &bash),
        ("#!/usr/bin/env sh\n", &path, &sh),
        ("#!/usr/bin/python3\n", &path, &bash),
        ("", &path, &bash),
        ("", no_bash, &sh),
    ] {
        let folder = Folder::with_script(&format!("{first_line}{script}"));
        let lambda = Setup::function(&folder).env("PATH", path).start();
        assert_eq!(lambda.call("1").text(), **runs_in, "{first_line:?} {path}");
    }
}

#[test]
fn log_line_of_a_failure_names_type_and_request() {
    // An error that is returned to the caller must be seen in the log.
    let (_folder, lambda) = start("handler() { echo out; exit 3; }");
    lambda.invoke(Event::new("1").id("the-id"));
    let log = lambda.end();
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(
        log.starts_with("bootstrap: ERROR RequestId: the-id Function.ExitNonZero:"),
        "{log}"
    );
}

/// In each shell that a `#!` line can name and this machine has: what the function is given, and that
/// a program which a shell remembers the path of is no function. It once was one in dash, and in mksh no
/// function was found.
#[test]
fn function_is_found_and_a_program_is_none_in_each_shell_that_can_be_named() {
    for name in ["sh", "bash", "dash", "ash", "ksh", "ksh93", "mksh"] {
        let folder = Folder::new();
        // Debian has no ash but the one in busybox.
        let ash = Some(Path::new("/bin/busybox")).filter(|path| name == "ash" && path.exists());
        let shell = ash.map_or(PathBuf::from("/bin").join(name), |busybox| {
            symlink(busybox, folder.path().join("ash")).expect("a link");
            folder.path().join("ash")
        });
        if !shell.exists() {
            println!(
                "skipped: a function in {name}: there is no {}; .ci/run installs it",
                shell.display()
            );
            continue;
        }
        folder.executable("a_function/program", "#!/bin/sh\n");
        folder.file(
            "function.sh",
            format!(
                "#!{}\nPATH=$PATH:{}/a_function\nprogram\nhandler() {{ echo \"${{1-$(cat)}}\" \
                 \"$LAMBDA_RUNTIME_AWS_REQUEST_ID\"; }}",
                shell.display(),
                folder.path().display()
            ),
        );
        for via in ["argument", "stdin"] {
            let setup = Setup::function(&folder).env("BOOTSTRAP_EVENT_VIA", via);
            let lambda = setup.start();
            for id in ["one", "two"] {
                let answer = lambda.invoke(Event::new("x  *").id(id));
                assert_eq!(answer.text(), format!("x  * {id}"), "{name}, {via}");
            }
        }
        let lambda = Setup::new(folder.path(), "function.program").start();
        lambda.wait_exit();
        assert!(lambda.end().contains("Runtime.NoSuchHandler"), "{name}");
    }
}

/// bash tells of an alias or a word of its grammar first, and runs the function.
#[test]
fn function_in_bash_is_found_whatever_else_has_its_name() {
    for script in [
        "function time { echo found; }",
        "shopt -s expand_aliases\nalias time=false\nfunction time { echo found; }",
        "enable -n type\nreadonly LC_ALL=C\nfunction time { echo found; }",
    ] {
        let folder = Folder::with_script(&format!("#!/bin/bash\n{script}"));
        let lambda = Setup::new(folder.path(), "function.time").start();
        assert_eq!(lambda.call("1").text(), "found", "{script}");
    }
}

#[test]
fn what_the_script_started_at_init_is_gone_when_the_bootstrap_ends() {
    for shell in shells() {
        let script = "sleep 600 >&- 2>&- & handler() { :; }";
        let folder = Folder::with_script(&format!("{shell}{script}"));
        let setup =
            Setup::function(&folder).script(move |request, before| match request.endpoint {
                Endpoint::Next if before == 1 => Action::Status(500),
                _ => Action::Usual,
            });
        let lambda = setup.start();
        assert_eq!(lambda.call("1").text(), "", "{shell}");
        assert_eq!(lambda.wait_exit().code(), Some(1), "{shell}");
        lambda.wait_nobody();
    }
}

/// The script can find the pipe on which its shell reports: what it writes there fails its own event.
#[test]
fn function_that_writes_to_the_status_pipe_fails_its_own_event_alone() {
    for (line, words) in [
        ("junk", "the warm shell reported 'junk'"),
        ("0 missing", "while event 1 ran"),
        ("2 0", "while event 1 ran"),
    ] {
        for shell in shells() {
            let script = format!(
                "{shell}handler() {{ case $1 in say) echo '{line}' >\"$_zs_status\"; sleep 9 ;; esac; echo ok; }}"
            );
            let folder = Folder::with_script(&script);
            let lambda = Setup::function(&folder).start();
            assert_failure(&lambda.call("say"), "Runtime.HandlerLost", words);
            assert_eq!(lambda.call("1").text().trim(), "ok", "{line}, {shell}");
        }
    }
}
