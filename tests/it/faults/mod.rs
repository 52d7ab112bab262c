//! Every fault of the Runtime API that docs/faults.md lists, played against the real executable.
//!
//! docs/faults.md holds what must come of each fault, `plays.rs` how the fault is played; a row without
//! a play, or a play without a row, fails. Whatever a row says, these hold for each: the bootstrap
//! stays within 128 MiB of address space, ends or goes on within [`scripted::PATIENCE`], no cut or
//! altered event reaches the handler, and standard error has no panic.

mod plays;
mod table;

use crate::harness::folder::Folder;
use crate::harness::scripted;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::scripted::{ACCEPTED, Kind, Scene, Setup, event};
use plays::{At, Fault, Play};
use table::Row;

/// Notes the event, then does as it says. Its answer is the event itself.
const HANDLER: &str = r#"event=$(cat; printf .)
event=${event%.}
printf '%s\n' "$event" >>"$FOLDER/seen"
case $event in
*fail*) exit 3 ;;
*wait*) read -r _ <"$FOLDER/gate" ;;
*large*) head -c 6000000 /dev/zero; exit ;;
esac
printf '%s' "$event"
"#;

/// The event after the fault: that it is answered shows a loop that is alive and in step.
const SENTINEL: &str = r#"{"sentinel":true}"#;

/// More than the bootstrap, a shell and the largest event and response need, and far less than a
/// flood that is kept in memory would take.
const BOUNDED_MEMORY: [&str; 3] = ["/bin/sh", "-c", "ulimit -v 131072; exec \"$0\""];

#[test]
fn faults_of_next_have_the_outcome_of_the_table() {
    play_all(At::Next);
}

#[test]
fn faults_of_response_have_the_outcome_of_the_table() {
    play_all(At::Response);
}

#[test]
fn faults_of_error_have_the_outcome_of_the_table() {
    play_all(At::Error);
}

#[test]
fn faults_of_init_error_have_the_outcome_of_the_table() {
    play_all(At::InitError);
}

#[test]
fn faults_of_extension_register_have_the_outcome_of_the_table() {
    play_all(At::Register);
}

#[test]
fn faults_of_restore_next_have_the_outcome_of_the_table() {
    play_all(At::RestoreNext);
}

#[test]
fn faults_of_restore_error_have_the_outcome_of_the_table() {
    play_all(At::RestoreError);
}

#[test]
fn table_and_plays_name_the_same_faults() {
    let listed: Vec<_> = table::rows().into_iter().map(|row| row.id).collect();
    let played: Vec<_> = At::ALL
        .into_iter()
        .flat_map(plays::faults)
        .map(|fault| fault.id)
        .collect();
    let rows: BTreeSet<_> = listed.iter().collect();
    let plays: BTreeSet<_> = played.iter().collect();
    assert_eq!(
        (rows.len(), plays.len()),
        (listed.len(), played.len()),
        "a name stands twice"
    );
    let unplayed: Vec<_> = rows.difference(&plays).collect();
    let unlisted: Vec<_> = plays.difference(&rows).collect();
    assert!(
        unplayed.is_empty(),
        "rows of docs/faults.md that no play has: {unplayed:?}"
    );
    assert!(
        unlisted.is_empty(),
        "plays that docs/faults.md does not list: {unlisted:?}"
    );
}

/// Plays the faults of one endpoint, several at a time, and reports all that differ at once.
fn play_all(at: At) {
    let rows = table::rows();
    let faults = plays::faults(at);
    assert!(!faults.is_empty(), "no faults for {at:?}");
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(fault) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let row = rows.iter().find(|row| row.id == fault.id);
                    let row =
                        row.unwrap_or_else(|| panic!("{} is not in docs/faults.md", fault.id));
                    let played = catch_unwind(AssertUnwindSafe(|| play(fault, row)));
                    let outcome = played.unwrap_or_else(|_| Err("panicked, see above".to_owned()));
                    if let Err(why) = outcome {
                        failures
                            .lock()
                            .unwrap()
                            .push(format!("{}: {why}", fault.id));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(
        failures.is_empty(),
        "{} differ:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

fn play(fault: &Fault, row: &Row) -> Result<(), String> {
    match &fault.play {
        Play::Reply(reply) => play_once(fault, row, &|scene| {
            read_request_at_fault(scene, fault);
            scene.send(reply);
        }),
        Play::ReplyThenClose(reply) => play_once(fault, row, &|scene| {
            read_request_at_fault(scene, fault);
            scene.send(reply);
            scene.close();
        }),
        Play::Script(script) => play_once(fault, row, script),
        Play::EveryCut(reply) => (1..reply.len()).try_for_each(|at| {
            let cut = |scene: &mut Scene| {
                read_request_at_fault(scene, fault);
                scene.send(&reply[..at]);
                scene.close();
            };
            play_once(fault, row, &cut).map_err(|why| format!("cut after byte {at}: {why}"))
        }),
        Play::EveryCutByReset(reply) => (1..reply.len()).try_for_each(|at| {
            let cut = |scene: &mut Scene| scene.reply_then_reset(&reply[..at]);
            play_once(fault, row, &cut).map_err(|why| format!("reset after byte {at}: {why}"))
        }),
        Play::EverySplit(reply) => play_splits(fault, row, reply),
    }
}

/// Starts a bootstrap, brings it to the fault, plays it, and holds what follows against the row.
fn play_once(fault: &Fault, row: &Row, script: &dyn Fn(&mut Scene)) -> Result<(), String> {
    let mut scene = start(fault);
    bring_to_fault(&mut scene, fault);
    script(&mut scene);
    let ended = be_healthy(&mut scene);
    compare(row, &outcome(&scene, fault, ended))
}

fn start(fault: &Fault) -> Scene {
    let folder = Folder::new();
    let handler = match fault.at {
        At::InitError => "absent",
        At::RestoreError => {
            folder.file(
                "function.sh",
                "handler() { :; }\nafter_restore() { return 1; }\n",
            );
            "function.handler"
        }
        _ => Kind::Executable.write(&folder, HANDLER),
    };
    scripted::make_fifo(&folder.path().join("gate"));
    Scene::start_in(folder, handler, fault.environment, &BOUNDED_MEMORY)
}

/// Up to, but not including, the request whose reply is the fault.
fn bring_to_fault(scene: &mut Scene, fault: &Fault) {
    match fault.at {
        At::Next | At::InitError | At::Register | At::RestoreNext => {}
        At::RestoreError => {
            let request = scene.request().expect("the question for a restore");
            assert_eq!(request.path, "/2018-06-01/runtime/restore/next");
            scene.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
        At::Response | At::Error => scene.deliver(&event("faulty", "", fault.event.as_bytes())),
    }
}

fn read_request_at_fault(scene: &mut Scene, fault: &Fault) {
    let request = scene.request().expect("a request");
    let is_expected = match fault.at {
        At::Next => request.is_next(),
        At::Response => request.answer() == Some(("faulty", "response")),
        At::Error => request.answer() == Some(("faulty", "error")),
        At::InitError => request.path == "/2018-06-01/runtime/init/error",
        At::Register => request.path == "/2020-01-01/extension/register",
        At::RestoreNext => request.path == "/2018-06-01/runtime/restore/next",
        At::RestoreError => request.path == "/2018-06-01/runtime/restore/error",
    };
    assert!(
        is_expected,
        "not the request to answer: {} {}",
        request.method, request.path
    );
}

/// From here on the API does all right, with one more event. The exit code, if the bootstrap ends.
fn be_healthy(scene: &mut Scene) -> Option<i32> {
    let mut delivered = false;
    while let Some(request) = scene.request() {
        if request.path == "/2020-01-01/extension/event/next" {
            scene.park();
        } else if !request.is_next() {
            scene.send(ACCEPTED);
        } else if delivered {
            return None;
        } else {
            scene.send(&event("sentinel", "", SENTINEL.as_bytes()));
            delivered = true;
        }
    }
    Some(scene.exit_code())
}

/// The columns of a row as they came out.
fn outcome(scene: &Scene, fault: &Fault, ended: Option<i32>) -> Row {
    let seen = scene.folder.read("seen");
    let stray = seen
        .lines()
        .find(|line| ![fault.event, SENTINEL].contains(line));
    assert_eq!(
        stray, None,
        "an event that was never sent whole reached the handler"
    );
    let answers_to = |wanted: &str| -> Vec<String> {
        let answers = scene.requests.iter().filter_map(|request| request.answer());
        answers
            .filter(|(id, _)| *id == wanted)
            .map(|(_, what)| what.to_owned())
            .collect()
    };
    let sentinel = answers_to("sentinel");
    let then = match ended {
        None if sentinel == ["response"] => "next event".to_owned(),
        None => format!("next event, answered by {sentinel:?}"),
        Some(code) if sentinel.is_empty() => format!("exit {code}"),
        Some(code) => format!("exit {code} after the next event"),
    };
    let mut answers = answers_to("faulty");
    let reports = [
        ("/2018-06-01/runtime/init/error", "init error"),
        ("/2018-06-01/runtime/restore/error", "restore error"),
    ];
    for (path, name) in reports {
        let sent = scene.requests.iter().filter(|request| request.path == path);
        answers.extend(sent.map(|_| name.to_owned()));
    }
    Row {
        id: fault.id.clone(),
        handler_runs: seen
            .lines()
            .filter(|line| *line == fault.event)
            .count()
            .to_string(),
        answers: if answers.is_empty() {
            "none".to_owned()
        } else {
            answers.join(", ")
        },
        then,
        log: scene
            .log_lines()
            .into_iter()
            .map(|line| plain(&line))
            .collect(),
    }
}

/// A log line without its prefix and what differs from run to run.
fn plain(line: &str) -> String {
    line.replacen("bootstrap: ", "", 1)
        .replacen("RequestId: faulty ", "", 1)
}

fn compare(row: &Row, came: &Row) -> Result<(), String> {
    let (parts, may_go_on) = match row.log.split_last() {
        Some((last, parts)) if last == "…" => (parts, true),
        _ => (row.log.as_slice(), false),
    };
    let lines_left = came.log.len().checked_sub(parts.len());
    let same_length = lines_left.is_some_and(|left| left == 0 || (left == 1 && may_go_on));
    let same_log = same_length
        && parts
            .iter()
            .zip(&came.log)
            .all(|(part, line)| line.contains(part));
    let columns = |row: &Row| {
        (
            row.handler_runs.clone(),
            row.answers.clone(),
            row.then.clone(),
        )
    };
    if same_log && columns(row) == columns(came) {
        return Ok(());
    }
    Err(format!("\n  listed {row:?}\n  came   {came:?}"))
}

/// One bootstrap, and for each place in the reply an event whose reply is split there.
fn play_splits(fault: &Fault, row: &Row, reply: &[u8]) -> Result<(), String> {
    let mut scene = start(fault);
    for at in 1..reply.len() {
        bring_to_fault(&mut scene, fault);
        read_request_at_fault(&mut scene, fault);
        scene.send_alone(&reply[..at]);
        scene.send(&reply[at..]);
        if fault.at == At::Next {
            let answer = scene.expect_answer("faulty", "response");
            assert_eq!(answer.text(), fault.event, "split after byte {at}");
            scene.send(ACCEPTED);
        }
    }
    let connections = scene.connections;
    let ended = be_healthy(&mut scene);
    assert_eq!(
        // The second one is there before the API was seen to keep the first.
        connections,
        2,
        "a split reply is no reason for a new connection"
    );
    let mut came = outcome(&scene, fault, ended);
    // The row speaks of one event: each of them must have come out alike.
    let times = reply.len() - 1;
    assert_eq!(came.handler_runs, times.to_string());
    came.handler_runs = "1".to_owned();
    let answers: Vec<_> = came.answers.split(", ").collect();
    assert_eq!(answers.len(), times);
    let alike = answers.iter().all(|answer| *answer == answers[0]);
    assert!(alike, "{answers:?}");
    came.answers = answers[0].to_owned();
    assert!([0, times].contains(&came.log.len()), "{:?}", came.log);
    came.log.dedup();
    compare(row, &came)
}

#[test]
fn no_event_yet_is_asked_again_after_a_pause_on_the_same_connection() {
    let mut scene = Scene::with(Kind::Executable, HANDLER);
    scene.expect_next();
    for _ in 0..5 {
        let answered = Instant::now();
        scene.send(b"HTTP/1.1 204 No Content\r\n\r\n");
        let asked = scene.expect_next().at;
        // Clocks of two threads: a millisecond is left for reading them.
        assert!(
            asked - answered >= Duration::from_millis(49),
            "{:?}",
            asked - answered
        );
    }
    assert_eq!(scene.connections, 1);
}

#[test]
fn waiting_for_the_api_takes_no_processor_time() {
    let reply = event("faulty", "", b"{}");
    let (head, body) = (reply.len() - 30, reply.len() - 1);
    let mut scene = Scene::with(Kind::Executable, HANDLER);
    scene.expect_next();
    assert_idle(&scene);
    scene.send_alone(&reply[..head]);
    assert_idle(&scene);
    scene.send_alone(&reply[head..body]);
    assert_idle(&scene);
    scene.send(&reply[body..]);
    scene.expect_answer("faulty", "response");
    assert_idle(&scene);
    scene.send_alone(&ACCEPTED[..20]);
    assert_idle(&scene);
    scene.send(&ACCEPTED[20..]);
    scene.expect_next();
}

/// At most one tick of 10 ms in 300 ms, which is what the kernel rounds to.
fn assert_idle(scene: &Scene) {
    let before = scripted::ticks(scene.pid());
    thread::sleep(Duration::from_millis(300));
    let used = scripted::ticks(scene.pid()) - before;
    assert!(used <= 1, "{used} ticks of processor time while waiting");
}

#[test]
fn api_that_does_not_listen_at_start_ends_the_process_with_one_line() {
    let folder = Folder::new();
    let handler = Kind::Executable.write(&folder, HANDLER);
    // A port that was free a moment ago; nothing listens there.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let environment = [("AWS_LAMBDA_RUNTIME_API", port.as_str())];
    let mut scene = Scene::start_in(folder, handler, &environment, &[]);
    assert_eq!(scene.exit_code(), 1);
    let lines = scene.log_lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("bootstrap: FATAL GET /runtime/invocation/next: "),
        "{lines:?}"
    );
}

/// Interim and final reply come as one piece. The handler says nothing more, so that only the reply
/// itself can tell that nobody wants its response.
#[test]
fn refusal_of_a_stream_right_after_an_interim_reply_stops_the_handler() {
    let mut scene = Scene::start(&Setup {
        kind: Kind::Executable,
        body: "case $(cat) in refused) printf part; exec sleep 600 ;; esac; printf next",
        environment: &[("BOOTSTRAP_RESPONSE_MODE", "streaming")],
        under: &[],
    });
    scene.deliver(&event("refused", "", b"refused"));
    scene.take_head_of_request();
    scene.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
    // Not closed: that would stop the handler, too.
    scene.park();
    scene.serve("sentinel", "1", "next");
    let lines = scene.log_lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("Function.StreamRefused"), "{lines:?}");
}
