//! Several events at once, as on Managed Instances: each slot is a process with a connection and a
//! handler of its own, and what happens in one is nothing to the others.

use crate::emulator::api::{Action, Options};
use crate::emulator::event::Event;
use crate::emulator::process;
use crate::emulator::record::{Endpoint, Request};
use crate::harness::failure::assert_failure;
use crate::harness::folder::Folder;
use crate::harness::json;
use crate::harness::lambda::{BOOTSTRAP, Lambda, Setup};
use crate::harness::scripted::make_fifo;
use crate::harness::wait::wait_until;
use std::collections::BTreeSet;
use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

/// An API of so many slots, and a bootstrap that is told so.
fn with_slots(setup: Setup, slots: usize) -> Setup {
    let options = Options {
        slots,
        ..Options::default()
    };
    setup
        .options(options)
        .env("AWS_LAMBDA_MAX_CONCURRENCY", slots.to_string())
}

/// The same commands as a function and as an executable; `$event` is the event. A handler that
/// reads a line of the FIFO `gate` waits there, after it wrote to `started`.
struct Scene {
    folder: Folder,
    gate: File,
}

impl Scene {
    fn new(commands: &str) -> Scene {
        let folder = Folder::with_script(&format!("handler() {{ event=$1; {commands}\n}}"));
        folder.executable("app", format!("#!/bin/sh\nevent=$(cat); {commands}\n"));
        let path = folder.path().join("gate");
        make_fifo(&path);
        // For both: so that no reader waits for a writer, and none ever sees the end.
        let gate = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .unwrap();
        Scene { folder, gate }
    }

    fn each_kind(&self) -> [Setup; 2] {
        [Setup::function(&self.folder), Setup::app(&self.folder)]
    }

    fn started(&self) -> usize {
        fs::read_to_string(self.folder.path().join("started"))
            .unwrap_or_default()
            .lines()
            .count()
    }

    /// Lets so many handlers go on: each takes one line.
    fn open_gate(&mut self, handlers: usize) {
        self.gate
            .write_all("\n".repeat(handlers).as_bytes())
            .unwrap();
    }

    /// Pushes events and waits until the handlers of all of them run, none being answered.
    fn start_events(&self, lambda: &Lambda, events: Vec<Event>) -> Vec<String> {
        let before = self.started();
        let count = events.len();
        let ids: Vec<String> = events
            .into_iter()
            .map(|event| lambda.api.push(event))
            .collect();
        for id in &ids {
            lambda.wait_delivered(id);
        }
        wait_until("all handlers run", || self.started() == before + count);
        let answered = lambda.api.requests();
        let answered = answered.iter().any(|request| answers_any(request, &ids));
        assert!(!answered, "a handler did not wait at the gate");
        ids
    }
}

const WAIT: &str = "echo 1 >>started; read -r _ <gate";

fn answers_any(request: &Request, ids: &[String]) -> bool {
    request
        .endpoint
        .answered_id()
        .is_some_and(|id| ids.iter().any(|known| known == id))
}

fn wait_idle(lambda: &Lambda, slots: usize) {
    lambda.wait("every slot to ask", |state| {
        (state.idle == slots).then_some(())
    });
}

#[test]
fn sixty_four_events_run_at_the_same_time_in_processes_of_their_own() {
    let mut scene = Scene::new(&format!("{WAIT}; echo \"$event $PPID\""));
    for setup in scene.each_kind() {
        let lambda = with_slots(setup, 64).start();
        wait_idle(&lambda, 64);
        let events = (0..64).map(|number| Event::new(format!("event-{number}")));
        let events = events.map(|event| event.deadline_in(Duration::from_secs(120)));
        let ids = scene.start_events(&lambda, events.collect());
        scene.open_gate(64);
        let (mut slots, mut connections) = (BTreeSet::new(), BTreeSet::new());
        for (number, id) in ids.iter().enumerate() {
            let answer = lambda.answer(id);
            let text = answer.text();
            let slot = text.trim().strip_prefix(&format!("event-{number} "));
            slots.insert(slot.expect("the answer is that of the event").to_owned());
            connections.insert(answer.connection);
        }
        assert_eq!(slots.len(), 64, "processes that handlers were started by");
        assert_eq!(connections.len(), 64, "connections that answers came on");
        // The first request of each slot, and on another connection all that follow.
        assert_eq!(lambda.api.counts().connections, 128);
    }
}

#[test]
fn failure_of_one_slot_leaves_the_others_alone() {
    let commands = format!(
        "case $event in
            exit) exit 3 ;;
            kill) sh -c 'kill -9 $PPID' ;;
            *) {WAIT}; echo ok ;;
        esac"
    );
    let mut scene = Scene::new(&commands);
    for setup in scene.each_kind() {
        let lambda = with_slots(setup, 4).start();
        let waiting = vec![Event::new("1"), Event::new("2")];
        let ids = scene.start_events(&lambda, waiting);
        for _ in 0..4 {
            assert_failure(&lambda.call("exit"), "Function.ExitNonZero", "status 3");
            assert_failure(&lambda.call("kill"), "Function.KilledBySignal", "SIGKILL");
        }
        scene.open_gate(2);
        for id in ids {
            assert_eq!(lambda.answer(&id).text().trim(), "ok");
        }
        // All four are there again.
        let again = (0..4).map(|_| Event::new("1")).collect();
        let ids = scene.start_events(&lambda, again);
        scene.open_gate(4);
        for id in ids {
            assert_eq!(lambda.answer(&id).text().trim(), "ok");
        }
    }
}

#[test]
fn slot_that_is_killed_is_logged_and_another_takes_its_place() {
    let mut scene = Scene::new(&format!(
        "case $event in die) kill -9 $PPID; sleep 600 ;; *) {WAIT}; echo ok ;; esac"
    ));
    for (setup, shells) in scene.each_kind().into_iter().zip([3, 0]) {
        let lambda = with_slots(setup, 3).start();
        wait_idle(&lambda, 3);
        for times in 1..=4 {
            lambda.api.push(Event::new("die"));
            lambda.wait_log_times("was killed by SIGKILL (signal 9)", times);
            wait_idle(&lambda, 3);
            // The slot's handler is gone as well; the supervisor and three slots are there.
            lambda.wait_processes(4 + shells);
        }
        // All of them serve.
        let ids = scene.start_events(&lambda, (0..3).map(|_| Event::new("1")).collect());
        scene.open_gate(3);
        for id in ids {
            assert_eq!(lambda.answer(&id).text().trim(), "ok");
        }
        assert_eq!(lambda.bootstrap.exit(), None);
        let log = lambda.end();
        let lines = log.lines().filter(|line| line.starts_with("bootstrap: "));
        assert_eq!(lines.count(), 4, "{log}");
    }
}

#[test]
fn slot_that_ends_by_itself_ends_the_bootstrap() {
    let scene = Scene::new("echo ok");
    for setup in scene.each_kind() {
        // The fourth request for an event is one slot's second.
        let script = |request: &Request, before| match request.endpoint {
            Endpoint::Next if before == 3 => Action::Status(500),
            _ => Action::Usual,
        };
        let lambda = with_slots(setup, 3).script(script).start();
        wait_idle(&lambda, 3);
        lambda.api.push(Event::new("1"));
        assert_eq!(lambda.wait_exit().code(), Some(1));
        lambda.wait_nobody();
        let log = lambda.end();
        assert!(log.contains("status 500"), "{log}");
        let own = log.lines().find(|line| line.contains(" slot "));
        let own = own.unwrap_or_else(|| panic!("not a word of the slot: {log}"));
        assert!(own.contains("ended with status 1; the runtime ends, too"));
    }
}

#[test]
fn slot_whose_connection_breaks_goes_on_with_a_new_one() {
    let scene = Scene::new("echo ok");
    for setup in scene.each_kind() {
        let lambda = with_slots(setup, 4).start();
        wait_idle(&lambda, 4);
        lambda.api.close_connections();
        lambda.wait("connections", |state| {
            (state.counts.connections == 8).then_some(())
        });
        for _ in 0..8 {
            assert_eq!(lambda.call("1").text().trim(), "ok");
        }
    }
}

#[test]
fn slot_of_an_overrunning_handler_is_freed() {
    let commands = format!("case $event in hang) sleep 600 ;; *) {WAIT}; echo ok ;; esac");
    let mut scene = Scene::new(&commands);
    for setup in scene.each_kind() {
        let lambda = with_slots(setup, 2).start();
        let waiting = scene.start_events(&lambda, vec![Event::new("1")]);
        for _ in 0..2 {
            let hanging = Event::new("hang").deadline_in(Duration::from_millis(700));
            assert_failure(
                &lambda.invoke(hanging),
                "Function.TimedOut",
                "before the deadline",
            );
        }
        // The slot is free again, while the other still has its event.
        let second = scene.start_events(&lambda, vec![Event::new("2")]);
        scene.open_gate(2);
        for id in waiting.iter().chain(&second) {
            assert_eq!(lambda.answer(id).text().trim(), "ok");
        }
    }
}

#[test]
fn late_answer_that_is_refused_costs_nothing() {
    let scene = Scene::new("case $event in fail) exit 3 ;; *) echo ok ;; esac");
    for setup in scene.each_kind() {
        let script = |request: &Request, before| match (&request.endpoint, before) {
            (Endpoint::Response(_) | Endpoint::Error(_), 0) => Action::Status(410),
            (Endpoint::Response(_) | Endpoint::Error(_), 1) => Action::Status(400),
            _ => Action::Usual,
        };
        let lambda = with_slots(setup, 2).script(script).start();
        for event in ["ok", "ok", "fail", "fail"] {
            lambda.call(event);
        }
        lambda.wait_log_times("status 410, the event timed out", 2);
        lambda.wait_log_times("status 400, the request id is unknown", 2);
        wait_idle(&lambda, 2);
        assert_eq!(lambda.call("1").text().trim(), "ok");
        // Each answer was posted once, and no refusal cost a connection.
        assert_eq!(lambda.api.counts().posts, 5);
        assert!(lambda.api.counts().connections <= 4);
    }
}

#[test]
fn trace_id_is_in_the_environment_of_its_own_event_alone() {
    let mut scene = Scene::new(&format!("{WAIT}; echo \"${{_X_AMZN_TRACE_ID-none}}\""));
    for setup in scene.each_kind() {
        let lambda = with_slots(setup, 3)
            .env("_X_AMZN_TRACE_ID", "stale")
            .start();
        for round in ["a", "b"] {
            let traced = |name| {
                let value = format!("Root={round}-{name}");
                Event::new("1").header("Lambda-Runtime-Trace-Id", value)
            };
            let events = vec![traced("first"), traced("second"), Event::new("1")];
            let ids = scene.start_events(&lambda, events);
            scene.open_gate(3);
            let seen: Vec<String> = ids.iter().map(|id| lambda.answer(id).text()).collect();
            let seen: Vec<&str> = seen.iter().map(|text| text.trim()).collect();
            assert_eq!(
                seen,
                [
                    &format!("Root={round}-first"),
                    &format!("Root={round}-second"),
                    "none"
                ]
            );
        }
    }
}

#[test]
fn log_lines_of_slots_are_told_apart_by_their_request_id() {
    // Lines of up to 4,096 bytes go to a pipe as a whole.
    let filler = "x".repeat(3_000);
    let scene = Scene::new(&format!(
        "for n in 1 2 3 4 5; do echo \"$event {filler}\" >&2; done"
    ));
    for setup in scene.each_kind() {
        let lambda = with_slots(setup, 8)
            .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
            .start();
        let ids: Vec<String> = (0..40)
            .map(|number| lambda.api.push(Event::new(number.to_string())))
            .collect();
        for id in &ids {
            lambda.answer(id);
        }
        wait_idle(&lambda, 8);
        let log = lambda.end();
        let mut lines = 0;
        for line in log.lines() {
            let object = json::parse(line.as_bytes()).unwrap_or_else(|| panic!("not JSON: {line}"));
            let event = object.text("message").split(' ').next().unwrap_or_default();
            let number: usize = event.parse().expect("the number of the event");
            assert_eq!(object.text("requestId"), ids[number]);
            lines += 1;
        }
        assert_eq!(lines, 200);
    }
}

#[test]
fn init_error_of_a_slot_ends_them_all() {
    let folder = Folder::with_script("exit 3");
    let lambda = with_slots(Setup::function(&folder), 8).start();
    let exit = lambda.wait_exit();
    assert_eq!(exit.code(), Some(1), "{}", lambda.bootstrap.log());
    let report = lambda.request(&Endpoint::InitError);
    assert_failure(&report, "Runtime.HandlerInitFailed", "status 3");
    lambda.wait_nobody();
}

#[test]
fn concurrency_that_is_absent_or_no_number_means_one_slot() {
    let folder = Folder::with_app("echo ok");
    for value in [
        None,
        Some(""),
        Some("many"),
        Some("-1"),
        Some("1.5"),
        Some(" 4"),
        Some("1"),
    ] {
        let setup = Setup::app(&folder);
        let setup = match value {
            Some(value) => setup.env("AWS_LAMBDA_MAX_CONCURRENCY", value),
            None => setup,
        };
        let lambda = setup.start();
        assert_eq!(lambda.call("1").text(), "ok\n", "{value:?}");
        lambda.wait_idle();
        lambda.wait_processes(1);
        assert_eq!(lambda.api.counts().connections, 2, "{value:?}");
    }
}

#[test]
fn concurrency_out_of_range_is_an_init_error_that_names_it() {
    let folder = Folder::with_app("echo ok");
    for value in ["0", "2049", "99999999999999999999"] {
        let lambda = Setup::app(&folder)
            .env("AWS_LAMBDA_MAX_CONCURRENCY", value)
            .start();
        let report = lambda.request(&Endpoint::InitError);
        for part in [
            "AWS_LAMBDA_MAX_CONCURRENCY",
            &format!("'{value}'"),
            "from 1 to 2048",
        ] {
            assert_failure(&report, "Runtime.ConfigInvalid", part);
        }
        assert_eq!(lambda.wait_exit().code(), Some(1));
        assert_eq!(lambda.api.counts().gets, 0);
    }
}

#[test]
fn concurrency_at_its_limit_is_taken() {
    let folder = Folder::with_app("echo ok");
    // Not served: 2,048 processes are too many for a machine that tests.
    let mut check = Command::new(BOOTSTRAP);
    check
        .arg("--check")
        .env("LAMBDA_TASK_ROOT", folder.path())
        .env("_HANDLER", "app");
    let output = check
        .env("AWS_LAMBDA_MAX_CONCURRENCY", "2048")
        .output()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[test]
fn nothing_is_left_of_the_slots_when_the_bootstrap_is_killed() {
    let scene = Scene::new(&format!("{WAIT}; echo ok"));
    for setup in scene.each_kind() {
        let lambda = with_slots(setup, 4).start();
        scene.start_events(&lambda, vec![Event::new("1"), Event::new("2")]);
        process::signal("KILL", &[lambda.bootstrap.pid]);
        lambda.wait_nobody();
    }
}

/// Not a check but a measurement, on request: what an event costs with 1, 4 and 64 slots.
#[test]
fn measure_cost_of_an_event_by_slots() {
    const EVENTS: usize = 4_000;
    if env::var_os("ZEROSTRAP_MEASURE").is_none() {
        eprintln!("skipped: measure_cost_of_an_event_by_slots: ZEROSTRAP_MEASURE is not set");
        return;
    }
    let folder = Folder::with_script("handler() { printf '%s' \"$1\"; }");
    fs::copy("/bin/cat", folder.path().join("app")).unwrap();
    for handler in ["app", "function.handler"] {
        for slots in [1, 4, 64] {
            let rounds = (0..3).map(|_| {
                let lambda = with_slots(Setup::new(folder.path(), handler), slots).start();
                wait_idle(&lambda, slots);
                let begin = Instant::now();
                let hour = Duration::from_secs(3_600);
                for _ in 0..EVENTS {
                    lambda.api.push(Event::new("{}").deadline_in(hour));
                }
                lambda.wait("all answers", |state| {
                    (state.counts.posts == EVENTS).then_some(())
                });
                begin.elapsed().as_micros() / EVENTS as u128
            });
            let least = rounds.min().expect("three rounds");
            println!("{handler}, {slots} slots: {least} us an event, the best of three rounds");
        }
    }
}
