//! Restore from a snapshot (SnapStart): the bootstrap waits for it before its first event, goes on
//! with a new connection, and calls the script's hooks.

use crate::emulator::api::{Action, Options};
use crate::emulator::record::Endpoint;
use crate::harness::failure::assert_failure;
use crate::harness::folder::Folder;
use crate::harness::json;
use crate::harness::lambda::{Setup, shells};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

fn restoring(setup: Setup) -> Setup {
    let options = Options {
        restore: true,
        ..Options::default()
    };
    setup
        .options(options)
        .env("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
}

fn each_shell(script: &str) -> Vec<Folder> {
    shells()
        .map(|shell| Folder::with_script(&format!("{shell}{script}")))
        .into()
}

#[test]
fn restore_is_awaited_before_the_first_event_and_the_connection_is_new_after_it() {
    let mut folders = each_shell("handler() { echo ok; }");
    folders.push(Folder::with_app("echo ok"));
    for folder in folders {
        let is_function = folder.path().join("function.sh").exists();
        let setup = if is_function {
            Setup::function(&folder)
        } else {
            Setup::app(&folder)
        };
        let lambda = restoring(setup).start();
        for _ in 0..2 {
            assert_eq!(lambda.call("1").text().trim(), "ok");
        }
        let requests = lambda.api.requests();
        assert_eq!(requests[0].endpoint, Endpoint::RestoreNext);
        assert_eq!(
            (requests[0].method.as_str(), requests[0].connection),
            ("GET", 1)
        );
        assert_eq!(requests[1].endpoint, Endpoint::Next);
        // Nor is the one after it trusted with an answer before the API was seen to keep one.
        assert_eq!(requests[1].connection, 2);
        assert!(requests[2..].iter().all(|request| request.connection == 3));
        let restores = requests
            .iter()
            .filter(|r| r.endpoint == Endpoint::RestoreNext);
        assert_eq!(restores.count(), 1);
        assert_eq!(lambda.api.counts().connections, 3);
    }
}

#[test]
fn restore_is_not_asked_for_at_other_types_of_initialization() {
    for kind in [
        "on-demand",
        "provisioned-concurrency",
        "lambda-managed-instances",
        "SnapStart",
        "",
    ] {
        let folder = Folder::with_app("echo ok");
        let setup = restoring(Setup::app(&folder)).env("AWS_LAMBDA_INITIALIZATION_TYPE", kind);
        let lambda = setup.start();
        assert_eq!(lambda.call("1").text(), "ok\n");
        assert_eq!(lambda.api.requests()[0].endpoint, Endpoint::Next, "{kind}");
    }
}

#[test]
fn hooks_run_around_the_restore_and_what_they_set_is_there_for_events() {
    let script = "at=init
        before_snapshot() { at=\"$at before\"; echo 1 >before; echo not a response; }
        after_restore() { at=\"$at after\"; echo 1 >after; echo to the log >&2; }
        handler() { echo \"$at $1\"; }";
    for folder in each_shell(script) {
        let root: PathBuf = folder.path().into();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let lambda = restoring(Setup::function(&folder))
            .script(move |request, _| {
                let there = ["before", "after"].map(|name| root.join(name).exists());
                record
                    .lock()
                    .unwrap()
                    .push((request.endpoint.clone(), there));
                Action::Usual
            })
            .start();
        assert_eq!(lambda.call("1").text().trim(), "init before after 1");
        let seen = seen.lock().unwrap();
        assert_eq!(seen[0], (Endpoint::RestoreNext, [true, false]));
        assert_eq!(seen[1], (Endpoint::Next, [true, true]));
        lambda.wait_log("not a response\n");
        lambda.wait_log("to the log\n");
    }
}

#[test]
fn traps_that_functions_inherit_are_there_in_hooks_and_after_them() {
    let script = "#!/usr/bin/env bash
        set -E; trap 'echo \"failed in ${FUNCNAME[*]}\" >&2' ERR
        fails() { false; }
        after_restore() { fails || true; (fails) || true; set +e; fails; set -e; }
        handler() { fails; }";
    let folder = Folder::with_script(script);
    let lambda = restoring(Setup::function(&folder)).start();
    assert_failure(&lambda.call("1"), "Function.ExitNonZero", "status 1");
    lambda.wait_log("failed in fails after_restore\n");
    lambda.wait_log("failed in fails handler\n");
}

#[test]
fn hooks_are_not_called_where_there_is_no_restore() {
    let script =
        "before_snapshot() { exit 3; }; after_restore() { exit 3; }; handler() { echo ok; }";
    for folder in each_shell(script) {
        assert_eq!(
            Setup::function(&folder).start().call("1").text().trim(),
            "ok"
        );
    }
}

/// Ways for a hook to fail, and what the error says of each.
const FAILURES: [(&str, &str); 3] = [
    ("return 3", "status 3"),
    ("exit 4", "before_or_after"),
    ("kill -9 $$", "before_or_after"),
];

#[test]
fn hook_before_the_snapshot_that_fails_is_an_init_error() {
    for (failure, words) in FAILURES {
        let script = format!("before_snapshot() {{ {failure}; }}; handler() {{ :; }}");
        for folder in each_shell(&script) {
            let lambda = restoring(Setup::function(&folder)).start();
            let report = lambda.request(&Endpoint::InitError);
            let words = words.replace("before_or_after", "before_snapshot");
            assert_failure(&report, "Runtime.BeforeSnapshotError", &words);
            assert_eq!(lambda.wait_exit().code(), Some(1), "{failure}");
            assert!(
                lambda
                    .end()
                    .contains("bootstrap: FATAL Runtime.BeforeSnapshotError: ")
            );
            assert_eq!(
                (lambda.api.counts().gets, lambda.api.counts().posts),
                (0, 1)
            );
        }
    }
}

#[test]
fn hook_after_the_restore_that_fails_is_a_restore_error() {
    for (failure, words) in FAILURES {
        let script = format!("after_restore() {{ {failure}; }}; handler() {{ :; }}");
        for folder in each_shell(&script) {
            let lambda = restoring(Setup::function(&folder)).start();
            let report = lambda.request(&Endpoint::RestoreError);
            assert_eq!(report.error_type(), "Runtime.AfterRestoreError");
            let document = json::parse(&report.body).expect("JSON");
            assert_eq!(
                document.names(),
                ["errorType", "errorMessage", "stackTrace"]
            );
            assert_eq!(document.text("errorType"), "Runtime.AfterRestoreError");
            let words = words.replace("before_or_after", "after_restore");
            assert!(
                document.text("errorMessage").contains(&words),
                "{}",
                report.text()
            );
            assert_eq!(lambda.wait_exit().code(), Some(1), "{failure}");
            assert!(
                lambda
                    .end()
                    .contains("bootstrap: FATAL Runtime.AfterRestoreError: ")
            );
            let endpoints = lambda
                .api
                .requests()
                .into_iter()
                .map(|request| request.endpoint);
            assert!(endpoints.eq([Endpoint::RestoreNext, Endpoint::RestoreError]));
        }
    }
}

#[test]
fn script_that_fails_at_init_is_reported_before_any_restore() {
    for folder in each_shell("before_snapshot() { :; }; exit 3") {
        let lambda = restoring(Setup::function(&folder)).start();
        let report = lambda.request(&Endpoint::InitError);
        assert_failure(&report, "Runtime.HandlerInitFailed", "status 3");
        assert_eq!(lambda.wait_exit().code(), Some(1));
        assert_eq!(lambda.api.counts().gets, 0);
    }
}

#[test]
fn restore_that_the_api_refuses_ends_the_bootstrap_with_a_line() {
    for status in [403, 404, 500] {
        let folder = Folder::with_app("echo ok");
        let lambda = restoring(Setup::app(&folder))
            .script(move |request, _| match request.endpoint {
                Endpoint::RestoreNext => Action::Status(status),
                _ => Action::Usual,
            })
            .start();
        assert_eq!(lambda.wait_exit().code(), Some(1));
        let log = lambda.end();
        let line = format!("bootstrap: FATAL GET /runtime/restore/next: status {status}");
        assert!(log.starts_with(&line) && log.lines().count() == 1, "{log}");
        assert_eq!(lambda.api.counts().gets, 1);
    }
}

/// The new shell takes the place of one that was in the snapshot. What a hook set there, an event may
/// need, and so may the other hook.
#[test]
fn shell_that_is_lost_after_the_restore_runs_both_hooks_again() {
    let script = "at=init
        before_snapshot() { at=\"$at before\"; }
        after_restore() { at=\"$at after\"; }
        handler() { case $1 in end) kill -KILL $$ ;; esac; echo \"$at\"; }";
    for folder in each_shell(script) {
        let lambda = restoring(Setup::function(&folder)).start();
        assert_eq!(lambda.call("1").text().trim(), "init before after");
        assert!(lambda.call("end").is_error());
        for _ in 0..2 {
            assert_eq!(lambda.call("1").text().trim(), "init before after");
        }
    }
}
