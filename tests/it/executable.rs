//! Executables as handlers.

use crate::emulator::event::Event;
use crate::emulator::process::signal;
use crate::harness::attendants;
use crate::harness::failure::{assert_failure, assert_response};
use crate::harness::folder::Folder;
use crate::harness::lambda::{Lambda, Setup};
use crate::harness::scripted::missing;
use crate::harness::wait::turn;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Starts an executable `app`, a script for `/bin/sh`.
fn start(script: &str) -> (Folder, Lambda) {
    let folder = Folder::with_app(script);
    let lambda = Setup::app(&folder).start();
    (folder, lambda)
}

#[test]
fn response_is_standard_output_byte_for_byte() {
    let all: Vec<u8> = (0..=255).collect();
    let (_folder, lambda) = start("exec cat");
    for event in [&all[..], b"", b"\n", b"a\n\n", b"\0", b"\r\n"] {
        assert_response(&lambda.call(event), event);
    }
}

#[test]
fn program_that_is_no_script_is_run() {
    let folder = Folder::new();
    let program = fs::read("/bin/cat").unwrap();
    folder.executable("app", program);
    let lambda = Setup::app(&folder).start();
    assert_eq!(lambda.call("through cat").text(), "through cat");
}

/// A pipe that a handler made one of packets gives one write at each read, and is not empty after it.
#[test]
fn response_in_packets_is_whole() {
    let (_folder, lambda) = start("exec dd if=/dev/zero bs=100 count=40 oflag=direct 2>/dev/null");
    for _ in 0..20 {
        assert_response(&lambda.call("1"), &[0; 4_000]);
    }
}

/// Whatever is closed when the bootstrap starts is open for its handlers, and no socket takes the
/// number.
#[test]
fn standard_descriptors_are_open_when_the_bootstrap_was_started_without() {
    let script = "for fd in 0 1 2; do readlink /proc/self/fd/$fd >/dev/null || echo $fd; done";
    for (closed, numbers) in [
        ("exec 2>&-", &[2][..]),
        ("exec 1>&-", &[1]),
        ("exec 0<&- 1>&- 2>&-", &[0, 1, 2]),
    ] {
        let folder = Folder::with_app(&format!("{script}; echo all"));
        let lambda = Setup::app(&folder).launched_by(closed).start();
        assert_eq!(lambda.call("1").text(), "all\n", "{closed}");
        for number in numbers {
            let link = fs::read_link(format!("/proc/{}/fd/{number}", lambda.bootstrap.pid));
            let file = link.expect("an open descriptor");
            assert_eq!(file, Path::new("/dev/null"), "{closed}");
        }
    }
}

#[test]
fn each_event_has_a_process_of_its_own_that_leads_its_group() {
    // Fields 1 and 5 of /proc/self/stat: process id, and the id of its group.
    let (_folder, lambda) = start("read -r id _ _ _ group _ </proc/self/stat; echo $$ $id $group");
    let mut seen = Vec::new();
    for _ in 0..3 {
        let text = lambda.call("1").text();
        let ids: Vec<&str> = text.split_whitespace().collect();
        assert!(ids[0] == ids[1] && ids[1] == ids[2], "{text}");
        assert!(!seen.contains(&text), "{text} again");
        seen.push(text);
    }
}

#[test]
fn current_folder_is_the_task_root() {
    let folder = Folder::with_app("pwd -P; cd /");
    // Wherever the bootstrap itself was started.
    let lambda = Setup::app(&folder).current_dir("/".as_ref()).start();
    let root = fs::canonicalize(folder.path())
        .unwrap()
        .display()
        .to_string();
    for _ in 0..2 {
        assert_eq!(lambda.call("1").text(), format!("{root}\n"));
    }
}

// Which of the two outputs is the response?
#[test]
fn standard_output_is_the_response_and_standard_error_the_log() {
    let (_folder, lambda) = start("echo out; echo err >&2");
    assert_eq!(lambda.call("1").text(), "out\n");
    assert_eq!(lambda.end(), "err\n");
}

#[test]
fn leftovers_are_killed_before_the_next_event_and_delay_nothing() {
    // They hold every descriptor; one ignores all signals but KILL, one is a child of a child.
    let script = "
        sleep 600 &
        (trap '' TERM HUP INT; while :; do sleep 600; done) &
        sh -c 'sleep 600 & sleep 600' &
        echo done";
    let (_folder, lambda) = start(script);
    for _ in 0..3 {
        assert_eq!(lambda.call("1").text(), "done\n");
        lambda.wait_idle();
        assert_eq!(lambda.wait_processes(1), [lambda.bootstrap.pid]);
    }
}

#[test]
fn leftovers_of_a_failed_event_are_killed_too() {
    let (_folder, lambda) = start("sleep 600 & exit 3");
    assert_failure(&lambda.call("1"), "Function.ExitNonZero", "status 3");
    lambda.wait_idle();
    assert_eq!(lambda.wait_processes(1), [lambda.bootstrap.pid]);
}

// A handler that ignores its event or closes early must not end or hang the loop.
#[test]
fn program_that_reads_nothing_of_a_large_event_or_closes_its_output_is_answered() {
    for script in [
        "echo done",
        "echo done; exec >&-; cat >/dev/null",
        "echo done; exec <&- >&-",
        "echo done; exec <&-; exit 0",
        "head -c 1 >/dev/null; echo done",
    ] {
        let (_folder, lambda) = start(script);
        assert_response(&lambda.call(vec![b'x'; 6_291_556]), b"done\n");
        assert_response(&lambda.call("1"), b"done\n");
    }
}

#[test]
fn program_that_works_on_after_closing_its_output_is_waited_for() {
    let (folder, lambda) = start("echo done; exec >&-; sleep 0.1; : >worked");
    assert_eq!(lambda.call("1").text(), "done\n");
    assert!(folder.path().join("worked").exists());
}

#[test]
fn every_status_is_answered_as_what_it_is() {
    let (_folder, lambda) = start("read -r status; echo ok; exit $status");
    assert_eq!(lambda.call("0\n").text(), "ok\n");
    for status in 1..=255 {
        let answer = lambda.call(format!("{status}\n"));
        assert_failure(
            &answer,
            "Function.ExitNonZero",
            &format!("status {status};"),
        );
    }
}

#[test]
fn signal_that_ends_the_program_is_named() {
    let (_folder, lambda) = start("read -r signal; echo partial; kill -s $signal $$; sleep 600");
    let named = [
        "HUP", "INT", "QUIT", "ABRT", "KILL", "USR1", "SEGV", "PIPE", "ALRM", "TERM",
    ];
    for signal in named {
        let answer = lambda.call(format!("{signal}\n"));
        assert_failure(&answer, "Function.KilledBySignal", &format!("SIG{signal}"));
    }
    // A real-time signal has no name that is the same everywhere.
    assert_failure(&lambda.call("40\n"), "Function.KilledBySignal", "40");
}

// Stable types to route on; the handler's own where it has one.
#[test]
fn error_document_of_the_program_is_passed_on() {
    let (_folder, lambda) = start("cat; exit 7");
    for (document, error_type) in [
        (
            r#"{"errorType":"Function.Own","errorMessage":"own","extra":[1]}"#,
            "Function.Own",
        ),
        (r#"{"errorType":"Runtime.Own"}"#, "Runtime.Own"),
        (
            " {\n\"errorMessage\" : \"\\u00e9 \u{e9}\"} \n",
            "Function.ExitNonZero",
        ),
        // A type that Lambda would not keep is in the document, and another one in the header.
        (
            r#"{"errorType":"MyError","errorMessage":"own"}"#,
            "Function.ExitNonZero",
        ),
        (r#"{"errorType":"Function.lower"}"#, "Function.ExitNonZero"),
        (
            "{\"errorType\":\"Function.Own\\r\\nX-Injected: 1\"}",
            "Function.ExitNonZero",
        ),
    ] {
        let answer = lambda.call(document);
        assert_eq!(
            (answer.is_error(), answer.text().as_str()),
            (true, document)
        );
        assert_eq!(answer.error_type(), error_type, "{document}");
        assert_eq!(answer.header("X-Injected"), None);
    }
}

#[test]
fn output_that_is_no_error_document_is_not_passed_on() {
    let (_folder, lambda) = start("cat; exit 7");
    for output in [
        "secret half of a response",
        r#"["errorType","secret"]"#,
        r#"{"errorType":1,"secret":1}"#,
        r#"{"errorMessage":null,"secret":1}"#,
        r#"{"inner":{"errorType":"secret"}}"#,
        r#"{"errorType":"secret"} more"#,
        r#"{"errorType":"secret""#,
        "{\"errorType\":\"secret\u{1}\"}",
        r#"{"errorType":"secret",}"#,
        r#""errorType""#,
        "{}",
        "",
    ] {
        let answer = lambda.call(output);
        assert_failure(&answer, "Function.ExitNonZero", "status 7");
        assert!(!answer.text().contains("secret"), "{}", answer.text());
    }
    // Not valid UTF-8, so not JSON.
    let answer = lambda.call(b"{\"errorType\":\"secret\xff\"}");
    assert_failure(&answer, "Function.ExitNonZero", "status 7");
}

#[test]
fn error_document_of_a_successful_program_is_a_response() {
    let (_folder, lambda) = start("cat");
    let document = br#"{"errorType":"Function.Own","errorMessage":"own"}"#;
    assert_response(&lambda.call(document), document);
}

#[test]
fn error_document_of_the_limit_is_passed_on_and_a_longer_one_is_not() {
    let document = |length: usize| {
        let frame = r#"{"errorMessage":""}"#;
        let text = "x".repeat(length - frame.len());
        format!(r#"{{"errorMessage":"{text}"}}"#)
    };
    let (_folder, lambda) = start("cat; exit 1");
    assert_eq!(lambda.call(document(262_144)).body.len(), 262_144);
    assert_failure(
        &lambda.call(document(262_145)),
        "Function.ExitNonZero",
        "status 1",
    );
}

// The size is looked at before posting, and costs that event only.
#[test]
fn response_of_the_limit_arrives_and_one_byte_more_is_too_large() {
    let (_folder, lambda) = start("read -r size; exec head -c $size /dev/zero");
    assert_response(&lambda.call("6291556\n"), &vec![0; 6_291_556]);
    let answer = lambda.call("6291557\n");
    assert_failure(&answer, "Function.ResponseSizeTooLarge", "6291557");
    assert_failure(&answer, "Function.ResponseSizeTooLarge", "6291556");
    assert_response(&lambda.call("3\n"), &[0; 3]);
    // One POST for each event.
    assert_eq!(lambda.api.counts().posts, 3);
}

#[test]
fn program_with_an_endless_response_is_stopped() {
    let (_folder, lambda) = start("(trap '' TERM; yes) & yes");
    let answer = lambda.call("1");
    assert_failure(&answer, "Function.ResponseSizeTooLarge", "6291556");
    lambda.wait_idle();
    assert_eq!(lambda.wait_processes(1), [lambda.bootstrap.pid]);
}

#[test]
fn program_that_cannot_be_started_costs_that_event_only() {
    let (folder, lambda) = start("echo done");
    let app = folder.path().join("app");
    assert_eq!(lambda.call("1").text(), "done\n");
    fs::set_permissions(&app, Permissions::from_mode(0o644)).unwrap();
    assert_failure(&lambda.call("2"), "Runtime.HandlerStartFailed", "app");
    let text = fs::read(&app).unwrap();
    fs::remove_file(&app).unwrap();
    assert_failure(&lambda.call("3"), "Runtime.HandlerStartFailed", "app");
    folder.executable("app", text);
    assert_eq!(lambda.call("4").text(), "done\n");
}

/// Nobody can handle SIGKILL: another process sees to it.
#[test]
fn program_does_not_outlive_a_bootstrap_that_is_killed() {
    let _turn = turn();
    for script in [
        "echo on >&2; sleep 600",
        "trap '' TERM HUP INT; (sleep 600) & echo on >&2; while :; do sleep 1; done",
        "sleep 600 & echo on >&2; kill -STOP $$; sleep 600",
    ] {
        let (_folder, lambda) = start(script);
        lambda.api.push(Event::new("1"));
        lambda.wait_log("on\n");
        let killed = Instant::now();
        signal("KILL", &[lambda.bootstrap.pid]);
        lambda.wait_nobody();
        let took = killed.elapsed();
        assert!(took < Duration::from_secs(1), "{script}: {took:?}");
    }
}

/// The guard cannot be started for the first event. The second does not run without one, either.
#[test]
fn program_does_not_outlive_a_bootstrap_whose_first_fork_failed() {
    let _turn = turn();
    // With -D the bootstrap is the process that was started.
    let tracer = "strace -D -qq -o /dev/null -e trace=clone,fork \
        -e inject=clone,fork:error=EAGAIN:when=1";
    let trial: Vec<&str> = tracer.split_whitespace().chain(["true"]).collect();
    if let Some(why) = missing(&trial) {
        eprintln!("skipped: program_does_not_outlive_a_bootstrap_whose_first_fork_failed: {why}");
        return;
    }
    let folder = Folder::with_app("echo on >&2; sleep 600");
    let lambda = Setup::app(&folder)
        .launched_by(&format!("set -- {tracer} \"$@\""))
        .start();
    assert_failure(&lambda.call("1"), "Runtime.HandlerStartFailed", "app");
    lambda.api.push(Event::new("2"));
    lambda.wait_log("on\n");
    signal("KILL", &[lambda.bootstrap.pid]);
    lambda.wait_nobody();
}

/// What a signal to everyone in the bootstrap's group reaches, the guard is not.
#[test]
fn guard_is_in_a_group_of_its_own_and_ends_with_the_bootstrap() {
    let (_folder, lambda) = start("echo done");
    lambda.wait_idle();
    assert_eq!(lambda.everyone(), [lambda.bootstrap.pid]);
    for _ in 0..3 {
        lambda.call("1");
    }
    lambda.wait_idle();
    let guards = attendants::guards(&lambda.everyone());
    let [guard] = guards[..] else {
        panic!("not one guard: {guards:?}")
    };
    let stat = fs::read_to_string(format!("/proc/{guard}/stat")).unwrap();
    let group = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(2);
    assert_eq!(group, Some(guard.to_string().as_str()));
    signal("TERM", &[guard, lambda.bootstrap.pid]);
    lambda.wait_nobody();
}

#[test]
fn program_finds_an_empty_event_at_its_end() {
    let (_folder, lambda) = start("cat; echo end");
    assert_eq!(lambda.call("").text(), "end\n");
}
