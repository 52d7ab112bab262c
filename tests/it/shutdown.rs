//! Graceful shutdown: an internal extension, without which Lambda sends no SIGTERM, and what
//! handlers can do between that signal and the end.

use crate::emulator::api::{Action, Options};
use crate::emulator::event::Event;
use crate::emulator::process::signal;
use crate::emulator::record::Endpoint;
use crate::harness;
use crate::harness::failure::assert_failure;
use crate::harness::folder::Folder;
use crate::harness::json;
use crate::harness::lambda::{Lambda, Setup, shells};
use crate::harness::scripted::missing;
use crate::harness::wait::{turn, wait_until};
use std::fs;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// Lambda kills a runtime that has an internal extension so long after SIGTERM.
const LAMBDAS_LIMIT: Duration = Duration::from_millis(500);

/// SIGTERM in a mask of signals, where signal 1 is the lowest bit.
const SIGTERM_BIT: u64 = 1 << 14;

/// 128 and the number of SIGTERM.
const ENDED_BY_TERM: Option<i32> = Some(143);

/// The same commands as a handler of each kind, with graceful shutdown.
fn each_kind(commands: &str) -> Vec<(Folder, Setup)> {
    harness::lambda::each_kind(commands)
        .into_iter()
        .map(|(folder, setup)| (folder, setup.env("BOOTSTRAP_GRACEFUL_SHUTDOWN", "1")))
        .collect()
}

/// Waits until the handler runs and the bootstrap has its own hand on SIGTERM. The one can come a
/// moment before the other.
fn wait_begun(lambda: &Lambda, folder: &Folder) {
    wait_until("the handler runs", || folder.path().join("begun").exists());
    wait_until("SIGTERM is handled", || {
        let status = fs::read_to_string(format!("/proc/{}/status", lambda.bootstrap.pid));
        let status = status.unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = u64::from_str_radix(caught.unwrap_or_default().trim(), 16).unwrap_or(0);
        caught & SIGTERM_BIT != 0
    });
}

/// Sends SIGTERM and waits for the end; how it ended and how long that took.
fn terminate(lambda: &Lambda) -> (ExitStatus, Duration) {
    let begin = Instant::now();
    signal("TERM", &[lambda.bootstrap.pid]);
    let exit = lambda.wait_exit();
    (exit, begin.elapsed())
}

#[test]
fn extension_is_registered_before_the_first_event_is_asked_for() {
    for (_folder, setup) in each_kind("echo ok") {
        let lambda = setup.start();
        assert_eq!(lambda.call("1").text().trim(), "ok");
        lambda.request(&Endpoint::ExtensionNext);
        let requests = lambda.api.requests();
        let register = &requests[0];
        assert_eq!(register.endpoint, Endpoint::Register);
        assert_eq!(register.header("Lambda-Extension-Name"), Some("bootstrap"));
        let body = json::parse(&register.body).expect("JSON");
        assert_eq!(body, json::parse(b"{\"events\":[]}").unwrap());
        let next = requests
            .iter()
            .find(|r| r.endpoint == Endpoint::ExtensionNext)
            .unwrap();
        assert_eq!(
            next.header("Lambda-Extension-Identifier"),
            Some("emulated-extension")
        );
        // It waits on a connection of its own, and is asked for once.
        let first = requests
            .iter()
            .find(|r| r.endpoint == Endpoint::Next)
            .unwrap();
        assert_eq!(next.connection, register.connection);
        assert_ne!(next.connection, first.connection);
        let asked = requests
            .iter()
            .filter(|r| r.endpoint == Endpoint::ExtensionNext);
        assert_eq!(asked.count(), 1);
    }
}

#[test]
fn extension_is_not_registered_without_the_setting() {
    for value in ["0", ""] {
        for (_folder, setup) in each_kind("echo ok") {
            let lambda = setup.env("BOOTSTRAP_GRACEFUL_SHUTDOWN", value).start();
            assert_eq!(lambda.call("1").text().trim(), "ok");
            lambda.wait_idle();
            let endpoints: Vec<Endpoint> = lambda
                .api
                .requests()
                .into_iter()
                .map(|request| request.endpoint)
                .collect();
            let id = endpoints[1].answered_id().expect("the answer").to_owned();
            assert_eq!(
                endpoints,
                [Endpoint::Next, Endpoint::Response(id), Endpoint::Next]
            );
            assert_eq!(lambda.api.counts().connections, 2);
        }
    }
}

#[test]
fn extension_is_registered_once_for_all_slots() {
    for (_folder, setup) in each_kind("echo ok") {
        let options = Options {
            slots: 4,
            ..Options::default()
        };
        let lambda = setup
            .options(options)
            .env("AWS_LAMBDA_MAX_CONCURRENCY", "4")
            .start();
        lambda.wait("every slot to ask", |state| (state.idle == 4).then_some(()));
        let requests = lambda.api.requests();
        let registered = requests
            .iter()
            .filter(|r| r.endpoint == Endpoint::Register)
            .count();
        assert_eq!(registered, 1);
    }
}

#[test]
fn extension_that_is_refused_ends_the_bootstrap_with_a_line() {
    for status in [400, 403, 500] {
        for (_folder, setup) in each_kind("echo ok") {
            let lambda = setup
                .script(move |request, _| match request.endpoint {
                    Endpoint::Register => Action::Status(status),
                    _ => Action::Usual,
                })
                .start();
            assert_eq!(lambda.wait_exit().code(), Some(1));
            let log = lambda.end();
            let line = format!("bootstrap: FATAL POST /extension/register: status {status}");
            assert!(log.starts_with(&line) && log.lines().count() == 1, "{log}");
            assert_eq!(lambda.api.counts().gets, 0);
        }
    }
}

#[test]
fn trap_of_a_handler_runs_while_an_event_is_served() {
    let commands =
        "trap 'sleep 0.1; echo 1 >cleaned; exit 0' TERM; echo 1 >begun; sleep 600 & wait";
    for (folder, setup) in each_kind(commands) {
        let lambda = setup.start();
        lambda.api.push(Event::new("1"));
        wait_begun(&lambda, &folder);
        let (exit, _) = terminate(&lambda);
        assert_eq!(exit.code(), ENDED_BY_TERM);
        assert!(folder.path().join("cleaned").exists());
        lambda.wait_nobody();
        assert_eq!(
            lambda.api.counts().posts,
            1,
            "only the extension's registration"
        );
    }
}

#[test]
fn trap_at_the_top_of_a_script_runs() {
    for shell in shells() {
        for is_idle in [true, false] {
            let folder = Folder::with_script(&format!(
                "{shell}trap 'echo 1 >cleaned; exit 0' TERM
                handler() {{ if [ \"$1\" = wait ]; then echo 1 >begun; sleep 600; fi; }}"
            ));
            let lambda = Setup::function(&folder)
                .env("BOOTSTRAP_GRACEFUL_SHUTDOWN", "1")
                .start();
            lambda.call("1");
            if is_idle {
                lambda.wait_idle();
            } else {
                lambda.api.push(Event::new("wait"));
                wait_begun(&lambda, &folder);
            }
            let (exit, _) = terminate(&lambda);
            assert_eq!(exit.code(), ENDED_BY_TERM);
            let cleaned = folder.path().join("cleaned").exists();
            assert!(
                cleaned,
                "{shell} idle: {is_idle}; {}",
                lambda.bootstrap.log()
            );
        }
    }
}

/// The signal comes while the shell forks the subshell of its next event, which then has none.
#[test]
fn trap_runs_when_the_signal_comes_while_the_shell_forks() {
    // Each fork is delayed by 100 ms. With -D the bootstrap is the process that was started.
    let tracer = "strace -D -f -qq -o /dev/null -e trace=clone,fork,vfork \
        -e inject=clone,fork:delay_enter=100000";
    let trial: Vec<&str> = tracer.split_whitespace().chain(["true"]).collect();
    if let Some(why) = missing(&trial) {
        eprintln!("skipped: trap_runs_when_the_signal_comes_while_the_shell_forks: {why}");
        return;
    }
    for shell in shells() {
        let folder = Folder::with_script(&format!(
            "{shell}trap 'echo 1 >>cleaned; exit 0' TERM; handler() {{ :; }}"
        ));
        let lambda = Setup::function(&folder)
            .env("BOOTSTRAP_GRACEFUL_SHUTDOWN", "1")
            .launched_by(&format!("set -- {tracer} \"$@\""))
            .start();
        lambda.call("1");
        let (exit, _) = terminate(&lambda);
        assert_eq!(exit.code(), ENDED_BY_TERM);
        let cleaned = fs::read_to_string(folder.path().join("cleaned"));
        assert_eq!(cleaned.unwrap_or_default(), "1\n", "{shell}");
    }
}

#[test]
fn traps_of_every_slot_run() {
    let commands = "trap 'echo 1 >>cleaned; exit 0' TERM; echo 1 >>begun; sleep 600 & wait";
    for (folder, setup) in each_kind(commands) {
        let options = Options {
            slots: 4,
            ..Options::default()
        };
        let lambda = setup
            .options(options)
            .env("AWS_LAMBDA_MAX_CONCURRENCY", "4")
            .start();
        let lines = |name: &str| {
            let text = fs::read_to_string(folder.path().join(name)).unwrap_or_default();
            text.lines().count()
        };
        for number in 1..=4 {
            lambda.api.push(Event::new("1"));
            wait_until("one more runs", || lines("begun") == number);
        }
        terminate(&lambda);
        assert_eq!(lines("cleaned"), 4);
        lambda.wait_nobody();
    }
}

#[test]
fn handler_that_ignores_the_signal_is_ended_within_lambdas_limit() {
    let _turn = turn();
    for kind in 0..3 {
        // On a machine that is busy with other tests a round can take longer for that alone.
        let mut rounds = (0..10).map(|_| time_of_a_stubborn_end(kind));
        assert!(
            rounds.any(|took| took < LAMBDAS_LIMIT),
            "kind {kind}: not once in ten rounds"
        );
    }
}

fn time_of_a_stubborn_end(kind: usize) -> Duration {
    let mut all = each_kind("trap '' TERM; echo 1 >begun; sleep 600");
    let (folder, setup) = all.swap_remove(kind);
    let lambda = setup.start();
    lambda.api.push(Event::new("1"));
    wait_begun(&lambda, &folder);
    let (exit, took) = terminate(&lambda);
    assert_eq!(exit.code(), ENDED_BY_TERM);
    lambda.wait_nobody();
    assert!(
        took > Duration::from_millis(300),
        "it was given no time: {took:?}"
    );
    took
}

#[test]
fn what_a_trap_writes_is_logged() {
    let commands = "trap 'echo \"cleaned up\" >&2; exit 0' TERM; echo 1 >begun; sleep 600 & wait";
    for (folder, setup) in each_kind(commands) {
        let lambda = setup.start();
        lambda.api.push(Event::new("1"));
        wait_begun(&lambda, &folder);
        terminate(&lambda);
        assert_eq!(lambda.end(), "cleaned up\n");
    }
    // As it is in JSON form, too: nothing can be trusted with wrapping it then.
    for (folder, setup) in each_kind(commands) {
        let lambda = setup.env("AWS_LAMBDA_LOG_FORMAT", "JSON").start();
        lambda.api.push(Event::new("1"));
        wait_begun(&lambda, &folder);
        terminate(&lambda);
        assert_eq!(lambda.end(), "cleaned up\n");
    }
}

#[test]
fn setting_with_another_value_is_an_init_error_that_names_it() {
    let folder = Folder::with_app(":");
    for value in ["2", "true", "00"] {
        let lambda = Setup::app(&folder)
            .env("BOOTSTRAP_GRACEFUL_SHUTDOWN", value)
            .start();
        let report = lambda.request(&Endpoint::InitError);
        for part in ["BOOTSTRAP_GRACEFUL_SHUTDOWN", &format!("'{value}'"), "0, 1"] {
            assert_failure(&report, "Runtime.ConfigInvalid", part);
        }
        assert_eq!(lambda.wait_exit().code(), Some(1));
    }
}
