//! The deadline watchdog from outside: what overruns is stopped and reported before Lambda's own
//! limit, with everyone it started, and the same process answers the next event.

use crate::harness::folder::Folder;
use crate::harness::wait::{PATIENCE, turn, wait_until};
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::scripted::{
    ACCEPTED, Kind, PAYLOAD_LIMIT, STDIN, Scene, Setup, can_trace, event, now_ms, signal, state,
    status_number,
};

/// How far away the deadlines below are, and how long before them handlers are stopped. Far
/// apart from each other and from what a loaded machine adds.
const DEADLINE_MS: u64 = 1_200;
const MARGIN_MS: u64 = 600;
const MARGIN: (&str, &str) = ("BOOTSTRAP_DEADLINE_MARGIN_MS", "600");

/// The clocks of two processes and rounding to milliseconds.
const CLOCK_MS: u64 = 2;

/// A handler that does as `overrun` says when its event asks for it, and else answers `alive`.
fn handler(overrun: &str) -> String {
    format!(
        "if [ \"${{LAMBDA_RUNTIME_CLIENT_CONTEXT-}}\" = overrun ]; then\n{overrun}\nelse\n\
         echo alive\nfi"
    )
}

fn overrunning_event(deadline_ms: u64, body: &[u8]) -> Vec<u8> {
    let headers = format!(
        "Lambda-Runtime-Deadline-Ms: {deadline_ms}\r\nLambda-Runtime-Client-Context: overrun\r\n"
    );
    event("overrun", &headers, body)
}

/// The next event finds the same process, in step.
fn assert_alive(scene: &mut Scene, kind: Kind) {
    scene.serve(
        "after",
        "{}",
        if kind == Kind::Executable {
            "alive\n"
        } else {
            "alive"
        },
    );
    scene.expect_next();
    assert!(!scene.has_ended());
}

/// Nobody is left but the bootstrap and its warm shell, and those who are always there with them.
fn assert_nobody_left(scene: &Scene, kind: Kind) {
    let kept = if kind == Kind::Executable { 1 } else { 2 };
    wait_until("everyone whom the handler started is gone", || {
        scene.processes().len() == kept
    });
}

/// Plays one overrun and checks all that must hold for it.
fn stop_in_time(kind: Kind, overrun: &str) -> Scene {
    let (scene, lines) = stop_in_time_with(kind, overrun, &[MARGIN, STDIN]);
    assert_eq!(lines.len(), 1, "{kind:?}: {lines:?}");
    let prefix = "bootstrap: ERROR RequestId: overrun Function.TimedOut: ";
    assert!(lines[0].starts_with(prefix), "{kind:?}: {lines:?}");
    scene
}

/// Starts a bootstrap as an ordinary process, with this environment.
fn start_with(kind: Kind, body: &str, environment: &[(&str, &str)]) -> Scene {
    Scene::start(&Setup {
        kind,
        body,
        environment,
        under: &[],
    })
}

/// The same in another environment; gives the bootstrap's log lines up to the answer too.
fn stop_in_time_with(
    kind: Kind,
    overrun: &str,
    environment: &[(&str, &str)],
) -> (Scene, Vec<String>) {
    let body = handler(overrun);
    let mut scene = start_with(kind, &body, environment);
    scene.expect_next();
    let deadline = now_ms() + DEADLINE_MS;
    // As long as can be: the handler need not read it to be stopped. As an argument it would take
    // bash a part of the time that is measured here.
    scene.send(&overrunning_event(deadline, &vec![b'x'; PAYLOAD_LIMIT]));
    let answer = scene.expect_answer("overrun", "error");
    let answered = now_ms();
    let stop = deadline - MARGIN_MS;
    assert!(
        answered + CLOCK_MS >= stop,
        "{kind:?}: {} ms too early",
        stop - answered
    );
    assert!(
        answered < deadline,
        "{kind:?}: {} ms after the deadline",
        answered - deadline
    );
    let error_type = answer.header("Lambda-Runtime-Function-Error-Type");
    assert_eq!(
        error_type,
        Some("Function.TimedOut"),
        "{kind:?}: {}",
        answer.text()
    );
    assert!(
        answer
            .text()
            .starts_with("{\"errorType\":\"Function.TimedOut\""),
        "{}",
        answer.text()
    );
    let lines = scene.log_lines();
    scene.send(ACCEPTED);
    assert_alive(&mut scene, kind);
    (scene, lines)
}

fn stop_each_kind(overrun: &str) {
    with_each_kind(|kind| {
        let scene = stop_in_time(kind, overrun);
        assert_nobody_left(&scene, kind);
    });
}

/// Side by side: nearly all of the time is waiting. But one test after another.
fn with_each_kind(check: impl Fn(Kind) + Sync) {
    let _turn = turn();
    std::thread::scope(|scope| {
        for kind in Kind::ALL {
            let check = &check;
            scope.spawn(move || check(kind));
        }
    });
}

#[test]
fn handler_that_sleeps_is_stopped_in_time() {
    stop_each_kind("sleep 40");
}

#[test]
fn handler_that_computes_is_stopped_in_time() {
    stop_each_kind("while :; do :; done");
}

#[test]
fn handler_that_ignores_term_is_stopped_in_time() {
    stop_each_kind("trap '' TERM; while :; do sleep 40; done");
}

#[test]
fn handler_whose_children_hold_its_output_is_stopped_in_time() {
    stop_each_kind("sleep 40 & sleep 40");
}

#[test]
fn handler_whose_children_ignore_term_is_stopped_in_time() {
    stop_each_kind("(trap '' TERM; sleep 40) & (trap '' TERM; sleep 40 & sleep 40)");
}

#[test]
fn handler_that_closed_its_output_is_stopped_in_time() {
    stop_each_kind("echo a; exec >&-; sleep 40");
}

#[test]
fn handler_that_closed_all_it_has_is_stopped_in_time() {
    stop_each_kind("exec <&- >&- 2>&-; sleep 40");
}

#[test]
fn handler_that_writes_slowly_for_ever_is_stopped_in_time() {
    stop_each_kind("while :; do echo x; sleep 0.01; done");
}

#[test]
fn handler_that_logs_for_ever_is_stopped_in_time() {
    stop_each_kind("while :; do echo x >&2; sleep 0.01; done");
}

/// With JSON logs the bootstrap moves the handler's standard error, and is kept busy by this.
#[test]
fn handler_that_floods_the_json_log_is_stopped_in_time() {
    let environment = [MARGIN, STDIN, ("AWS_LAMBDA_LOG_FORMAT", "JSON")];
    for overrun in ["yes >&2", "cat /dev/zero >&2", "yes >&2 & sleep 40"] {
        with_each_kind(|kind| {
            let (scene, _) = stop_in_time_with(kind, overrun, &environment);
            assert_nobody_left(&scene, kind);
            let log = scene.log();
            let own = log
                .lines()
                .filter(|line| line.contains("\"Function.TimedOut: "));
            assert_eq!(own.count(), 1, "{kind:?}: one line about it");
        });
    }
}

/// In a shell function `$$` is the warm shell: the one that should say how the event ended.
#[test]
fn handler_that_stops_the_warm_shell_is_stopped_in_time() {
    stop_each_kind("kill -STOP $$; sleep 40");
}

#[test]
fn handler_in_the_background_of_a_stopped_one_is_stopped_in_time() {
    stop_each_kind("(while :; do echo x; sleep 0.01; done) & kill -STOP $$; sleep 40");
}

/// A process that left the group and the session lives on, as the README says; it delays nothing.
#[test]
fn handler_whose_child_left_its_session_is_stopped_in_time() {
    with_each_kind(|kind| {
        let scene = stop_in_time(kind, "setsid sleep 40 & sleep 41");
        let kept = if kind == Kind::Executable { 2 } else { 3 };
        wait_until("the group is gone", || scene.processes().len() == kept);
        let lines = scene.command_lines();
        assert!(
            lines.contains(&"sleep 40".to_owned()),
            "{kind:?}: {lines:?}"
        );
        assert!(
            !lines.contains(&"sleep 41".to_owned()),
            "{kind:?}: {lines:?}"
        );
    });
}

#[test]
fn handler_that_handles_term_is_given_time_for_it() {
    let overrun = "trap 'sleep 0.1; echo cleaned >\"$FOLDER/cleaned\"; exit 0' TERM\n\
        sleep 40 & wait";
    with_each_kind(|kind| {
        let scene = stop_in_time(kind, overrun);
        assert_nobody_left(&scene, kind);
        assert_eq!(
            scene.folder.read("cleaned"),
            "cleaned\n",
            "{kind:?}: no time for its trap"
        );
    });
}

/// A program whose output is closed has the same time: it ends when its process ends.
#[test]
fn program_that_closed_its_output_is_given_time_for_term() {
    let _turn = turn();
    let overrun = "trap 'sleep 0.1; echo cleaned >\"$FOLDER/cleaned\"; exit 0' TERM\n\
        exec >&-; sleep 40 & wait";
    let scene = stop_in_time(Kind::Executable, overrun);
    assert_nobody_left(&scene, Kind::Executable);
    assert_eq!(scene.folder.read("cleaned"), "cleaned\n");
}

/// Whoever ends at SIGTERM costs no more of the grace period, which is half of the margin: a second
/// here.
#[test]
fn handler_that_ends_at_term_is_not_waited_for_any_longer() {
    const STOP_MS: u64 = 2_000;
    const GRACE_MS: u64 = 1_000;
    let environment = [("BOOTSTRAP_DEADLINE_MARGIN_MS", "2000")];
    with_each_kind(|kind| {
        // The second writes more than a pipe holds before it ends.
        for overrun in [
            "sleep 40",
            "trap 'head -c 1000000 /dev/zero; exit 0' TERM; sleep 40 & wait",
        ] {
            let body = handler(overrun);
            let mut scene = start_with(kind, &body, &environment);
            scene.expect_next();
            let stop = now_ms() + STOP_MS;
            scene.send(&overrunning_event(stop + 2_000, b"{}"));
            scene.expect_answer("overrun", "error");
            let answered = now_ms();
            assert!(answered + CLOCK_MS >= stop, "{kind:?}: too early");
            assert!(
                answered < stop + GRACE_MS,
                "{kind:?} {overrun}: {} ms after it was stopped",
                answered - stop
            );
        }
    });
}

/// A process that hangs in the kernel does not end by SIGKILL. Nor does one whose tracer stands
/// still: its last step is the tracer's to allow.
#[test]
fn handler_that_cannot_be_killed_costs_its_own_event_only() {
    if !can_trace("handler_that_cannot_be_killed_costs_its_own_event_only") {
        return;
    }
    let kind = Kind::Executable;
    // What is too large ends the event, so that no deadline hurries.
    let overrun = "echo $$ >\"$FOLDER/pid\"
        (until [ -e \"$FOLDER/traced\" ]; do sleep 0.01; done; cat /dev/zero) & wait";
    let mut scene = Scene::with(kind, &handler(overrun));
    scene.expect_next();
    scene.send(&overrunning_event(now_ms() + 60_000, b"{}"));
    wait_until("the handler runs", || {
        scene.folder.read("pid").ends_with('\n')
    });
    let pid = scene.folder.read("pid").trim().to_owned();
    let mut strace = Command::new("strace");
    strace.args(["-qq", "-o", "/dev/null", "-p", &pid]);
    // By this the scene knows it, and ends it.
    strace.env("FOLDER", scene.folder.path());
    let mut tracer = strace.spawn().expect("strace(1)");
    let pid = pid.parse().expect("a process id");
    wait_until("the handler is traced", || {
        status_number(pid, "TracerPid") == u64::from(tracer.id())
    });
    signal("STOP", tracer.id());
    scene.folder.file("traced", "");
    let answer = scene.expect_answer("overrun", "error").text();
    assert!(
        answer.contains("\"Function.ResponseSizeTooLarge\""),
        "{answer}"
    );
    assert_eq!(state(pid), Some('t'), "it could be killed");
    scene.send(ACCEPTED);
    assert_alive(&mut scene, kind);
    tracer.kill().expect("strace(1) is killed");
    tracer.wait().expect("its end");
}

/// The six shapes that take a 6 MiB event and are done before their deadline.
#[test]
fn handler_that_is_done_in_time_is_not_stopped() {
    let event_bytes = vec![b'x'; PAYLOAD_LIMIT];
    let shapes: [(&str, &[u8]); 6] = [
        ("cat >/dev/null; echo hi", b"hi\n"),
        ("cat", &event_bytes),
        ("true", b""),
        ("sleep 40 & echo hi", b"hi\n"),
        ("setsid sleep 40 & echo hi", b"hi\n"),
        ("echo a; exec >&-", b"a\n"),
    ];
    with_each_kind(|kind| {
        for (shape, response) in shapes {
            let body = handler(shape);
            let environment = if shape.starts_with("cat") {
                &[STDIN][..]
            } else {
                &[]
            };
            let mut scene = start_with(kind, &body, environment);
            scene.deliver(&overrunning_event(now_ms() + 20_000, &event_bytes));
            let answer = scene.expect_answer("overrun", "response");
            let expected = match kind {
                Kind::Executable => response,
                Kind::Bash | Kind::PosixShell => response.trim_ascii_end(),
            };
            assert!(
                answer.body == expected,
                "{kind:?} {shape}: {} bytes",
                answer.body.len()
            );
            scene.send(ACCEPTED);
            assert_alive(&mut scene, kind);
            // What an executable leaves in its group ends with it; a shell function's may go on.
            if kind == Kind::Executable && !shape.starts_with("setsid") {
                assert_nobody_left(&scene, kind);
            }
        }
    });
}

#[test]
fn streamed_response_is_stopped_in_time_with_an_error_in_its_trailers() {
    with_each_kind(|kind| {
        let body = handler("echo begun; sleep 40");
        let environment = [MARGIN, ("BOOTSTRAP_RESPONSE_MODE", "streaming")];
        let setup = Setup {
            kind,
            body: &body,
            environment: &environment,
            under: &[],
        };
        let mut scene = Scene::start(&setup);
        let deadline = now_ms() + DEADLINE_MS;
        scene.deliver(&overrunning_event(deadline, b"{}"));
        let answer = scene.expect_answer("overrun", "response");
        assert!(now_ms() < deadline, "{kind:?}");
        assert_eq!(answer.text(), "begun\n");
        let trailer = answer
            .trailers
            .iter()
            .find(|(name, _)| name.ends_with("Error-Type"));
        assert_eq!(
            trailer.map(|(_, value)| value.as_str()),
            Some("Function.TimedOut"),
            "{kind:?}"
        );
        scene.send(ACCEPTED);
        scene.serve("after", "{}", "alive\n");
        assert_nobody_left(&scene, kind);
    });
}

/// Back-pressure: the API takes nothing of a stream. The handler must not outlive its deadline.
#[test]
fn streamed_response_that_the_api_does_not_take_is_stopped_in_time() {
    with_each_kind(|kind| {
        // Fast enough to fill all buffers on the way long before it is to be stopped.
        let body = handler("cat /dev/zero");
        let environment = [MARGIN, ("BOOTSTRAP_RESPONSE_MODE", "streaming")];
        let setup = Setup {
            kind,
            body: &body,
            environment: &environment,
            under: &[],
        };
        let mut scene = Scene::start(&setup);
        let deadline = now_ms() + DEADLINE_MS;
        scene.deliver(&overrunning_event(deadline, b"{}"));
        scene.take_head_of_request();
        let writes = |scene: &Scene| scene.command_lines().contains(&"cat /dev/zero".to_owned());
        // It has written: the head of the request is sent with the first of its output.
        wait_until("the handler is gone", || !writes(&scene));
        let gone = now_ms();
        assert!(
            gone < deadline,
            "{kind:?}: {} ms after the deadline",
            gone - deadline
        );
        scene.close();
        scene.serve("after", "{}", "alive\n");
        let log = scene.log();
        let line = "bootstrap: ERROR RequestId: overrun Function.TimedOut: ";
        assert!(log.contains(line), "{kind:?}: {log}");
    });
}

#[test]
fn deadline_that_is_absent_or_past_means_none() {
    let past = (now_ms() - 1_000).to_string();
    for kind in [Kind::Executable, Kind::Bash] {
        for deadline in ["", "0", "1", past.as_str()] {
            let mut scene = Scene::with(kind, "sleep 0.4; echo done");
            let header = match deadline {
                "" => String::new(),
                deadline => format!("Lambda-Runtime-Deadline-Ms: {deadline}\r\n"),
            };
            scene.deliver(&event("late", &header, b"{}"));
            let answer = scene.expect_answer("late", "response");
            assert_eq!(
                answer.text().trim_end(),
                "done",
                "{kind:?}, deadline {deadline:?}"
            );
        }
    }
}

#[test]
fn margin_of_zero_stops_nobody() {
    let environment = [("BOOTSTRAP_DEADLINE_MARGIN_MS", "0")];
    for kind in [Kind::Executable, Kind::Bash] {
        let body = "sleep 0.6; echo done";
        let mut scene = start_with(kind, body, &environment);
        scene.expect_next();
        let deadline = now_ms() + 200;
        let header = format!("Lambda-Runtime-Deadline-Ms: {deadline}\r\n");
        scene.send(&event("late", &header, b"{}"));
        let answer = scene.expect_answer("late", "response");
        assert!(now_ms() > deadline, "the handler was to overrun");
        assert_eq!(answer.text().trim_end(), "done", "{kind:?}");
    }
}

/// The default, the ends of the range, and one that is longer than all the time there is: then
/// half of it is the handler's.
#[test]
fn margin_decides_when_a_handler_is_stopped() {
    let _turn = turn();
    for (margin, least_ms) in [(None, 1_000), (Some("1"), 1_199), (Some("60000"), 600)] {
        let environment: Vec<_> = margin
            .iter()
            .map(|margin| ("BOOTSTRAP_DEADLINE_MARGIN_MS", *margin))
            .collect();
        let body = handler("exec sleep 40");
        let kind = Kind::Executable;
        let mut scene = start_with(kind, &body, &environment);
        scene.expect_next();
        let sent = now_ms();
        scene.send(&overrunning_event(sent + 1_200, b"{}"));
        scene.expect_answer("overrun", "error");
        let took = now_ms() - sent;
        assert!(
            took + CLOCK_MS >= least_ms,
            "margin {margin:?}: stopped after {took} ms"
        );
        // The next margin's least time is far off; only 1 ms of margin leaves no room.
        let most_ms = if margin == Some("1") {
            u64::MAX
        } else {
            least_ms + 200
        };
        assert!(took < most_ms, "margin {margin:?}: stopped after {took} ms");
    }
}

#[test]
fn margin_that_is_no_number_in_range_is_an_init_error_that_names_it() {
    for value in [
        "-1",
        "+5",
        "1.5",
        "60001",
        "18446744073709551616",
        "200ms",
        " 200",
        "0x10",
        "off",
    ] {
        let folder = Folder::new();
        let handler = Kind::Executable.write(&folder, "cat");
        let environment = [("BOOTSTRAP_DEADLINE_MARGIN_MS", value)];
        let mut scene = Scene::start_in(folder, handler, &environment, &[]);
        let report = scene.request().expect("a report");
        assert_eq!(report.path, "/2018-06-01/runtime/init/error");
        let error_type = report.header("Lambda-Runtime-Function-Error-Type");
        assert_eq!(error_type, Some("Runtime.ConfigInvalid"));
        for part in ["BOOTSTRAP_DEADLINE_MARGIN_MS", value, "0 to 60000"] {
            assert!(
                report.text().contains(part),
                "{part:?} is not in {}",
                report.text()
            );
        }
        scene.send(ACCEPTED);
        assert_eq!(scene.exit_code(), 1);
    }
}

/// While a handler runs nobody looks at the clock: fewer than 20 system calls in 5 s.
#[test]
fn waiting_for_a_handler_takes_few_system_calls() {
    let _turn = turn();
    if !can_trace("waiting_for_a_handler_takes_few_system_calls") {
        return;
    }
    let buffered: &[(&str, &str)] = &[];
    let streaming: &[_] = &[("BOOTSTRAP_RESPONSE_MODE", "streaming")];
    let json: &[_] = &[("AWS_LAMBDA_LOG_FORMAT", "JSON")];
    std::thread::scope(|scope| {
        for kind in [Kind::Executable, Kind::Bash] {
            for environment in [buffered, streaming, json] {
                scope.spawn(move || {
                    let calls = calls_in_five_seconds(kind, environment);
                    let count = calls.lines().count();
                    println!("{kind:?} {environment:?}: {count} system calls in 5 s\n{calls}");
                    assert!(count < 20, "{kind:?} {environment:?}: {count}\n{calls}");
                });
            }
        }
    });
}

/// Traces the bootstrap for 5 s in the middle of an event that takes longer.
fn calls_in_five_seconds(kind: Kind, environment: &[(&str, &str)]) -> String {
    let body = "echo begun >\"$FOLDER/begun\"; exec sleep 40";
    let mut scene = start_with(kind, body, environment);
    scene.expect_next();
    let header = format!("Lambda-Runtime-Deadline-Ms: {}\r\n", now_ms() + 30_000);
    scene.send(&event("long", &header, b"{}"));
    wait_until("the handler runs", || {
        scene.folder.read("begun") == "begun\n"
    });
    let trace = scene.folder.path().join("trace");
    let mut strace = Command::new("timeout");
    strace
        .args(["5", "strace", "-qq", "-o"])
        .arg(&trace)
        .args(["-p", &scene.pid().to_string()]);
    let status = strace.status().expect("timeout(1)");
    assert_eq!(
        status.code(),
        Some(124),
        "strace ended before its time: {status}"
    );
    fs::read_to_string(trace).expect("a trace")
}

/// Not a check but a measurement, on request: how exact the watchdog is on a loaded machine.
#[test]
fn measure_overruns_on_a_loaded_machine() {
    if std::env::var_os("ZEROSTRAP_MEASURE").is_none() {
        eprintln!("skipped: measure_overruns_on_a_loaded_machine: ZEROSTRAP_MEASURE is not set");
        return;
    }
    let _load = [Load::start(), Load::start()];
    println!("100 overruns of each, margin 200 ms, two busy loops on this machine; ms:");
    for kind in [Kind::Executable, Kind::Bash] {
        for (name, overrun) in [
            ("ends at TERM", "sleep 40"),
            ("ignores TERM", "trap '' TERM; while :; do sleep 40; done"),
        ] {
            let mut scene = Scene::with(kind, &handler(overrun));
            let (mut after_stop, mut before_deadline) = (Vec::new(), Vec::new());
            for _ in 0..100 {
                scene.expect_next();
                let deadline = now_ms() + 450;
                scene.send(&overrunning_event(deadline, b"{}"));
                scene.expect_answer("overrun", "error");
                let answered = now_ms();
                after_stop.push(i128::from(answered) - i128::from(deadline - 200));
                before_deadline.push(i128::from(deadline) - i128::from(answered));
                scene.send(ACCEPTED);
            }
            println!(
                "{kind:?}, {name}: margin to POST {}",
                figures(&mut after_stop)
            );
            println!(
                "{kind:?}, {name}: POST to deadline {}",
                figures(&mut before_deadline)
            );
        }
    }
}

fn figures(values: &mut [i128]) -> String {
    values.sort_unstable();
    let at = |share: usize| values[(values.len() - 1) * share / 100];
    format!(
        "min {} median {} p99 {} max {}",
        at(0),
        at(50),
        at(99),
        at(100)
    )
}

/// A process that does nothing but use a processor.
struct Load(Child);

impl Load {
    fn start() -> Load {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "while :; do :; done"])
            .stdin(Stdio::null());
        Load(shell.spawn().expect("a shell"))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.kill().expect("a busy loop stopped");
        self.0.wait().expect("its end");
    }
}

/// A function that overruns when its event says so, in a script that from then on takes `seconds`
/// to be sourced.
fn slow_to_source(kind: Kind, seconds: &str) -> Scene {
    let folder = Folder::new();
    let interpreter = match kind {
        Kind::Bash => "/bin/bash",
        _ => "/bin/sh",
    };
    let script = format!(
        "#!{interpreter}\necho 1 >>\"$FOLDER/sourced\"\n\
         if [ -e \"$FOLDER/slow\" ]; then sleep {seconds}; fi\n\
         handler() {{\n{}\n}}\n",
        handler(": >\"$FOLDER/slow\"; sleep 40")
    );
    folder.file("function.sh", &script);
    let mut scene = Scene::start_in(folder, "function.handler", &[MARGIN], &[]);
    scene.expect_next();
    scene.send(&overrunning_event(now_ms() + DEADLINE_MS, b"{}"));
    scene.expect_answer("overrun", "error");
    scene.send(ACCEPTED);
    scene
}

fn usual_event(id: &str, deadline_ms: u64) -> Vec<u8> {
    let header = format!("Lambda-Runtime-Deadline-Ms: {deadline_ms}\r\n");
    event(id, &header, b"{}")
}

/// The next event is asked for at once; it waits for the new shell.
#[test]
fn script_that_is_slow_to_source_delays_no_request_after_an_overrun() {
    with_each_kind(|kind| {
        if kind == Kind::Executable {
            return;
        }
        let mut scene = slow_to_source(kind, "1.5");
        let answered = Instant::now();
        scene.expect_next();
        let took = answered.elapsed();
        assert!(took < Duration::from_millis(700), "{kind:?}: {took:?}");
        scene.send(&usual_event("next", now_ms() + 20_000));
        let answer = scene.expect_answer("next", "response");
        assert_eq!(answer.text(), "alive", "{kind:?}");
        assert!(
            answered.elapsed() > Duration::from_millis(1_400),
            "{kind:?}"
        );
        assert_eq!(scene.folder.read("sourced"), "1\n1\n", "{kind:?}");
        scene.send(ACCEPTED);
        scene.expect_next();
        assert_nobody_left(&scene, kind);
    });
}

/// An event for which the new shell is not ready costs no more than its own time, nor does it cost
/// the shell: the sourcing goes on.
#[test]
fn event_that_a_new_shell_is_not_ready_for_is_answered_in_time() {
    with_each_kind(|kind| {
        if kind == Kind::Executable {
            return;
        }
        let mut scene = slow_to_source(kind, "2");
        scene.expect_next();
        let deadline = now_ms() + DEADLINE_MS;
        scene.send(&usual_event("early", deadline));
        let answer = scene.expect_answer("early", "error");
        let answered = now_ms();
        assert!(
            answered < deadline,
            "{kind:?}: {} ms late",
            answered - deadline
        );
        assert!(
            answered + CLOCK_MS >= deadline - MARGIN_MS,
            "{kind:?}: too early"
        );
        let text = answer.text();
        for part in [
            "\"Function.TimedOut\"",
            "function.sh",
            "still being sourced",
        ] {
            assert!(text.contains(part), "{kind:?}: no {part} in {text}");
        }
        scene.send(ACCEPTED);
        scene.expect_next();
        scene.send(&usual_event("late", now_ms() + 20_000));
        assert_eq!(scene.expect_answer("late", "response").text(), "alive");
        assert_eq!(scene.folder.read("sourced"), "1\n1\n", "{kind:?}");
    });
}

/// A script that hangs may work when it is sourced anew: after ten seconds an event ends the shell.
#[test]
fn script_that_hangs_while_it_is_sourced_is_sourced_anew() {
    let mut scene = slow_to_source(Kind::Bash, "600");
    let began = Instant::now();
    scene.expect_next();
    while scene.folder.read("sourced").lines().count() < 3 {
        assert!(began.elapsed() < PATIENCE, "never sourced again");
        scene.send(&usual_event("early", now_ms() + DEADLINE_MS));
        scene.expect_answer("early", "error");
        scene.send(ACCEPTED);
        scene.expect_next();
    }
    // The ten seconds began with the second shell, a moment before.
    assert!(began.elapsed() > Duration::from_secs(9));
    scene.send(&usual_event("hung", now_ms() + DEADLINE_MS));
    scene.expect_answer("hung", "error");
    // The shell that hung is gone, and all that it started: the third one and its sleep are left.
    wait_until("the shell that hung is gone", || {
        let lines = scene.command_lines();
        lines.iter().filter(|line| *line == "sleep 600").count() == 1
    });
}

/// A handler that is stopped leaves the time of the next one alone.
#[test]
fn overrun_does_not_shorten_the_next_event() {
    with_each_kind(|kind| {
        let mut scene = stop_in_time(kind, "sleep 40");
        let begin = Instant::now();
        let header = format!("Lambda-Runtime-Deadline-Ms: {}\r\n", now_ms() + 20_000);
        scene.send(&event("next", &header, b"{}"));
        scene.expect_answer("next", "response");
        assert!(begin.elapsed() < Duration::from_secs(10), "{kind:?}");
    });
}
