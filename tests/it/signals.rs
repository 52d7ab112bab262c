//! Signals and processes from outside: who ends whom, what handlers inherit, who collects the dead.
//! As an ordinary process, and as PID 1 of a namespace of its own, as in a container.

use crate::harness::attendants::{parent, warm_shells};
use crate::harness::folder::Folder;
use crate::harness::scripted;
use crate::harness::wait::wait_until;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::harness::scripted::{
    ACCEPTED, Kind, STDIN, Scene, Setup, event, make_fifo, missing, signal, state,
};

/// Lambda's own limit is 500 ms from SIGTERM to SIGKILL; more is left here for a loaded machine.
const PROMPT: Duration = Duration::from_secs(3);

/// How the bootstrap is started: as an ordinary process or as PID 1.
const ORDINARY: &[&str] = &[];
const PID_1: &[&str] = &["unshare", "--pid", "--fork", "--mount-proc"];

/// Whether this machine lets us make a namespace; says why not.
fn can_be_pid_1(test: &str) -> bool {
    let why = missing(&[PID_1, &["true"]].concat());
    if let Some(why) = &why {
        eprintln!("skipped: {test}: {why}");
    }
    why.is_none()
}

/// The process to signal: the bootstrap itself, or in a namespace the one that is PID 1 there.
fn bootstrap(scene: &Scene, under: &[&str]) -> u32 {
    if under.is_empty() {
        return scene.pid();
    }
    let is_first = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
        ids.is_some_and(|ids| ids.split_whitespace().skip(1).eq(["1"]))
    };
    scene
        .processes()
        .into_iter()
        .find(is_first)
        .expect("a PID 1")
}

/// Sends a signal and checks that everybody is gone soon; gives the exit code.
fn end_by(name: &str, scene: &mut Scene, under: &[&str]) -> i32 {
    let everyone = scene.everyone();
    let begin = Instant::now();
    signal(name, bootstrap(scene, under));
    let code = scene.exit_code();
    wait_until("everyone is gone", || {
        everyone.iter().all(|pid| is_gone(*pid))
    });
    let took = begin.elapsed();
    assert!(took < PROMPT, "{name} took {took:?}; log: {}", scene.log());
    code
}

fn is_gone(pid: u32) -> bool {
    matches!(state(pid), None | Some('Z' | 'X'))
}

fn start(kind: Kind, body: &str, under: &[&str]) -> Scene {
    Scene::start(&Setup {
        kind,
        body,
        environment: &[STDIN],
        under,
    })
}

/// Brings a handler to where it waits, and checks that it is there.
fn start_event(scene: &mut Scene) {
    scene.deliver(&event("long", "", b"{}"));
    wait_until("the handler runs", || {
        scene.folder.read("begun") == "begun\n"
    });
}

fn ends_while_idle(under: &[&str]) {
    for kind in Kind::ALL {
        for (name, code) in [("TERM", 143), ("INT", 130)] {
            // Before the first event, and after one.
            for events in 0..2 {
                let mut scene = start(kind, "cat", under);
                for _ in 0..events {
                    scene.serve("before", "{}", "{}");
                }
                scene.expect_next();
                let ended = end_by(name, &mut scene, under);
                // An executable's bootstrap that started nobody yet may die of the signal itself.
                let codes = if name == "TERM" {
                    [code, -15]
                } else {
                    [code, -2]
                };
                assert!(
                    codes.contains(&ended),
                    "{kind:?} {name}, {events} events: {ended}"
                );
            }
        }
    }
}

fn ends_with_its_handlers(under: &[&str]) {
    let bodies = [
        "echo begun >\"$FOLDER/begun\"; sleep 40",
        "trap '' TERM INT; echo begun >\"$FOLDER/begun\"; sleep 40",
        "(trap '' TERM; sleep 40) & echo begun >\"$FOLDER/begun\"; sleep 40",
        "echo begun >\"$FOLDER/begun\"; while :; do :; done",
    ];
    for kind in Kind::ALL {
        for name in ["TERM", "INT"] {
            for body in bodies {
                let mut scene = start(kind, body, under);
                start_event(&mut scene);
                end_by(name, &mut scene, under);
                // The event was not answered: the sandbox ends, and Lambda says so.
                assert!(scene.request().is_none());
            }
        }
    }
}

#[test]
fn ordinary_process_ends_by_term_and_int_while_idle() {
    ends_while_idle(ORDINARY);
}

#[test]
fn ordinary_process_takes_its_handlers_along() {
    ends_with_its_handlers(ORDINARY);
}

#[test]
fn pid_1_ends_by_term_and_int_while_idle() {
    if can_be_pid_1("pid_1_ends_by_term_and_int_while_idle") {
        ends_while_idle(PID_1);
    }
}

#[test]
fn pid_1_takes_its_handlers_along() {
    if can_be_pid_1("pid_1_takes_its_handlers_along") {
        ends_with_its_handlers(PID_1);
    }
}

/// A `trap` in a handler runs: it gets TERM, and time before KILL.
#[test]
fn handler_with_a_trap_is_given_time_when_the_bootstrap_ends() {
    let body = "trap 'sleep 0.1; echo cleaned >\"$FOLDER/cleaned\"; exit 0' TERM\n\
        echo begun >\"$FOLDER/begun\"; sleep 40 & wait";
    for kind in Kind::ALL {
        let mut scene = start(kind, body, ORDINARY);
        start_event(&mut scene);
        end_by("TERM", &mut scene, ORDINARY);
        assert_eq!(scene.folder.read("cleaned"), "cleaned\n", "{kind:?}");
    }
}

/// Two slots, of which the first is idle again and the second is not.
#[test]
fn handlers_of_every_slot_are_taken_along() {
    let body = "read -r line\ncase $line in\n\
        *first*) echo 1 >\"$FOLDER/first\"; read -r _ <\"$FOLDER/gate\" || : ;;\n\
        *) echo begun >\"$FOLDER/begun\"; trap '' TERM; sleep 40 ;;\nesac";
    for kind in Kind::ALL {
        let folder = Folder::new();
        let handler = kind.write(&folder, body);
        make_fifo(&folder.path().join("gate"));
        let environment = [("AWS_LAMBDA_MAX_CONCURRENCY", "2"), STDIN];
        let mut scene = Scene::start_in(folder, handler, &environment, &[]);
        scene.expect_next();
        scene.park();
        scene.expect_next();
        // Both ask. The first event starts first, so that its place is the first one.
        scene.send(&event("first", "", b"first\n"));
        wait_until("the first handler runs", || {
            scene.folder.read("first") == "1\n"
        });
        let gate = fs::OpenOptions::new()
            .write(true)
            .open(scene.folder.path().join("gate"));
        scene.unpark();
        scene.send(&event("second", "", b"second\n"));
        wait_until("the second handler runs", || {
            scene.folder.read("begun") == "begun\n"
        });
        scene.unpark();
        drop(gate.expect("the first handler at the other end"));
        scene.expect_answer("first", "response");
        scene.send(ACCEPTED);
        scene.expect_next();
        end_by("TERM", &mut scene, ORDINARY);
        wait_until("nobody is left", || scene.everyone().is_empty());
    }
}

/// Lambda freezes the sandbox between events, and may do so in the middle of one.
#[test]
fn bootstrap_that_was_frozen_goes_on_where_it_was() {
    let body = "echo begun >\"$FOLDER/begun\"; read -r _ <\"$FOLDER/gate\" || :; cat";
    for kind in Kind::ALL {
        let mut scene = start(kind, body, ORDINARY);
        make_fifo(&scene.folder.path().join("gate"));
        // While it waits for an event.
        scene.expect_next();
        freeze(&scene);
        scene.send(&event("frozen", "", b"{}"));
        signal("CONT", scene.pid());
        // While the handler runs, which ends meanwhile.
        wait_until("the handler runs", || {
            scene.folder.read("begun") == "begun\n"
        });
        freeze(&scene);
        let gate = fs::OpenOptions::new()
            .write(true)
            .open(scene.folder.path().join("gate"));
        drop(gate.expect("the handler at the other end"));
        signal("CONT", scene.pid());
        // While it waits for the reply to its answer.
        assert_eq!(scene.expect_answer("frozen", "response").text(), "{}");
        freeze(&scene);
        scene.send(ACCEPTED);
        signal("CONT", scene.pid());
        scene.expect_next();
        assert_eq!(
            (scene.connections, scene.log_lines()),
            (2, Vec::new()),
            "{kind:?}"
        );
    }
}

fn freeze(scene: &Scene) {
    signal("STOP", scene.pid());
    wait_until("the bootstrap stands still", || {
        state(scene.pid()) == Some('T')
    });
}

/// A PID 1 that ends by itself passes its status on.
#[test]
fn pid_1_ends_with_the_status_of_the_runtime() {
    if !can_be_pid_1("pid_1_ends_with_the_status_of_the_runtime") {
        return;
    }
    let mut scene = start(Kind::Executable, "cat", PID_1);
    scene.deliver(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(scene.exit_code(), 1);
}

/// What a handler finds, whatever whoever started the bootstrap ignored. (Rust ignores SIGPIPE.)
#[test]
fn handlers_have_default_signal_dispositions() {
    let ignoring: &[&str] = &["/bin/bash", "-c", "trap '' PIPE CHLD TERM INT; exec \"$0\""];
    for kind in Kind::ALL {
        for under in [ORDINARY, ignoring] {
            // The status of a process that the handler starts: the shell's own traps are reset.
            let mut scene = start(kind, "exec cat /proc/self/status", under);
            scene.deliver(&event("signals", "", b"{}"));
            let answer = scene.expect_answer("signals", "response");
            let status = answer.text();
            let mask = |field: &str| {
                let line = status
                    .lines()
                    .find_map(|line| line.strip_prefix(field))
                    .expect(field);
                u64::from_str_radix(line.trim_start_matches(':').trim(), 16).expect("a mask")
            };
            assert_eq!(mask("SigBlk"), 0, "{kind:?} blocked: {status}");
            assert_eq!(mask("SigCgt"), 0, "{kind:?} caught: {status}");
            for (name, number) in [("PIPE", 13), ("CHLD", 17), ("TERM", 15), ("INT", 2)] {
                assert_eq!(
                    mask("SigIgn") >> (number - 1) & 1,
                    0,
                    "{kind:?} ignores {name}: {status}"
                );
            }
        }
    }
}

/// With SIGCHLD ignored the kernel collects children before anyone can ask how they ended.
#[test]
fn bootstrap_that_was_started_with_sigchld_ignored_still_knows_how_handlers_end() {
    let ignoring: &[&str] = &["/bin/bash", "-c", "trap '' CHLD; exec \"$0\""];
    for kind in Kind::ALL {
        let mut scene = start(
            kind,
            "case $(cat) in *fail*) exit 3 ;; esac; echo fine",
            ignoring,
        );
        scene.deliver(&event("good", "", b"{}"));
        assert_eq!(
            scene.expect_answer("good", "response").text().trim_end(),
            "fine"
        );
        scene.send(ACCEPTED);
        scene.deliver(&event("bad", "", b"fail"));
        let answer = scene.expect_answer("bad", "error");
        assert!(
            answer.text().contains("Function.ExitNonZero"),
            "{}",
            answer.text()
        );
    }
}

/// Killed by what an earlier event left running, say: the next event has not begun, and finds a new
/// shell.
#[test]
fn warm_shell_that_was_killed_while_idle_costs_no_event() {
    for kind in [Kind::Bash, Kind::PosixShell] {
        let mut scene = start(kind, "cat", ORDINARY);
        scene.serve("before", "{}", "{}");
        scene.expect_next();
        let pid = scene.pid();
        let shell = scene.processes().into_iter().find(|other| *other != pid);
        let shell = shell.expect("a warm shell");
        signal("KILL", shell);
        wait_until("the shell is gone", || is_gone(shell));
        scene.send(&event("after", "", b"{}"));
        let answer = scene.expect_answer("after", "response");
        assert_eq!(answer.text(), "{}", "{kind:?}");
        scene.send(ACCEPTED);
        scene.serve("later", "{}", "{}");
    }
}

/// The shell reports the end of an event that has not begun. No event takes that for its own.
#[test]
fn subshell_that_was_killed_while_idle_costs_no_event() {
    for kind in [Kind::Bash, Kind::PosixShell] {
        let mut scene = start(kind, "cat", ORDINARY);
        scene.serve("before", "{}", "{}");
        scene.expect_next();
        let shell = warm_shells(&scene.everyone())[0];
        let subshell = waiting_subshell(&scene, shell, None);
        signal("KILL", subshell);
        waiting_subshell(&scene, shell, Some(subshell));
        scene.send(&event("after", "", b"{}"));
        let answer = scene.expect_answer("after", "response");
        assert_eq!(answer.text(), "{}", "{kind:?}");
        scene.send(ACCEPTED);
        let reason = "lost the subshell of its next event while it was idle";
        assert!(scene.log().contains(reason), "{}", scene.log());
        scene.serve("later", "{}", "{}");
    }
}

/// No shell can be started again, and the event's file has the number that the lost shell's log
/// had. A shutdown does not take the one for the other.
#[test]
fn event_that_finds_no_shell_is_not_in_the_log_of_a_shutdown() {
    let canary = "canary-7c1f";
    for name in ["bash", "sh"] {
        let folder = Folder::new();
        let shell = folder.path().join(name);
        symlink(Path::new("/bin").join(name), &shell).expect("a link to the shell");
        let shell = shell.display();
        let body = format!("rm {shell}; kill -KILL $$");
        folder.file(
            "function.sh",
            format!("#!{shell}\nhandler() {{ {body}; }}\n"),
        );
        let mut scene = Scene::start_in(folder, "function.handler", &[], ORDINARY);
        scene.deliver(&event("lost", "", b"{}"));
        scene.expect_answer("lost", "error");
        scene.send(ACCEPTED);
        let begun = event("begun", "", canary.repeat(100).as_bytes());
        scene.deliver(&begun[..begun.len() - 1]);
        wait_until("the event comes", || holds_event(scene.pid()));
        scene.signal("TERM");
        assert_eq!(scene.exit_code(), 143, "{name}");
        let log = scene.log();
        assert!(!log.contains(canary), "{name}: {log}");
    }
}

/// Whether a process has a part of an event in a file without a name.
fn holds_event(pid: u32) -> bool {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("a living process");
    entries.flatten().any(|entry| {
        let path = entry.path();
        let file = fs::read_link(&path).unwrap_or_default();
        let length = fs::metadata(&path).map_or(0, |file| file.len());
        file == Path::new("/memfd:event (deleted)") && length > 0
    })
}

/// Waits until the shell has a child that is not this one.
fn waiting_subshell(scene: &Scene, shell: u32, not: Option<u32>) -> u32 {
    let mut found = None;
    wait_until("a subshell waits", || {
        let is_waiting = |pid: &u32| parent(*pid) == Some(shell) && Some(*pid) != not;
        found = scene.everyone().into_iter().find(is_waiting);
        found.is_some()
    });
    found.expect("it was found")
}

/// All ways in which handlers end, and none of them leaves an uncollected child.
#[test]
fn no_event_leaves_a_zombie() {
    let body = "case $(cat) in\n*fail*) exit 3 ;;\n*kill*) kill -KILL $$ ;;\n\
        *leave*) sleep 40 & ;;\n*orphan*) (setsid sleep 0.01 &) ;;\nesac";
    for kind in Kind::ALL {
        let mut scene = start(kind, body, ORDINARY);
        for round in 0..3 {
            for event_text in ["good", "fail", "kill", "leave", "orphan"] {
                scene.deliver(&event("any", "", event_text.as_bytes()));
                let answer = scene.request().expect("an answer");
                assert_eq!(
                    answer.answer().map(|(id, _)| id),
                    Some("any"),
                    "{kind:?} {round}"
                );
                scene.send(ACCEPTED);
            }
        }
        scene.expect_next();
        assert_eq!(zombies_of(scene.pid()), 0, "{kind:?}");
    }
}

fn zombies_of(parent: u32) -> usize {
    let entries = fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    let stats = entries.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    let of_parent = format!("Z {parent} ");
    stats
        .filter(|stat| {
            stat.rsplit_once(") ")
                .is_some_and(|(_, rest)| rest.starts_with(&of_parent))
        })
        .count()
}

/// As PID 1 it inherits every orphan of its container; each is collected soon after it ends.
#[test]
fn pid_1_collects_orphans() {
    if !can_be_pid_1("pid_1_collects_orphans") {
        return;
    }
    // Orphans in a session of their own, so that ending the handler's group does not end them.
    let body = "for n in 1 2 3 4 5; do (setsid sh -c 'sleep 0.05; exit 1' &); done; echo done";
    for kind in Kind::ALL {
        let mut scene = start(kind, body, PID_1);
        for _ in 0..5 {
            scene.deliver(&event("orphans", "", b"{}"));
            scene.expect_answer("orphans", "response");
            scene.send(ACCEPTED);
        }
        scene.expect_next();
        let first = bootstrap(&scene, PID_1);
        wait_until("the orphans have ended", || {
            !scene
                .command_lines()
                .iter()
                .any(|line| line.starts_with("sleep"))
        });
        wait_until("no zombie is left", || zombies_of(first) == 0);
        // Waiting for them takes no processor time.
        let before = scripted::ticks(first);
        std::thread::sleep(Duration::from_millis(300));
        assert!(
            scripted::ticks(first) - before <= 1,
            "{kind:?}: PID 1 is busy"
        );
    }
}

#[test]
fn pid_1_that_was_started_with_sigchld_ignored_ends_too() {
    if !can_be_pid_1("pid_1_that_was_started_with_sigchld_ignored_ends_too") {
        return;
    }
    let ignoring = [PID_1, &["/bin/bash", "-c", "trap '' CHLD; exec \"$0\""]].concat();
    let mut scene = start(Kind::Executable, "cat", &ignoring);
    scene.deliver(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(scene.exit_code(), 1);
}
