//! Many events of all kinds, with an API that misbehaves: at the end each was answered once and
//! rightly, and the bootstrap holds no more than at its start.
//!
//! `cargo test` runs 2,000 events; `make soak` 200,000, as `ZEROSTRAP_SOAK=1` says, or as many as a
//! greater number says. What is drawn is the same in each run; `ZEROSTRAP_SEED=n` draws others.

#[path = "../emulator/mod.rs"]
mod emulator;
#[path = "../it/harness/mod.rs"]
mod harness;

mod events;

use harness::folder::Folder;
use harness::scripted;
use harness::wait::wait_until;
use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::scripted::{
    ACCEPTED, Kind, PAYLOAD_LIMIT, Scene, chunked_event, descriptors, event, now_ms, status_number,
};
use events::{ApiFault, Draw, Ending, Event, HANDLER};

/// How far away an overrunning handler's deadline is, and how long before it it is stopped.
const DEADLINE_MS: u64 = 60;
const MARGIN: (&str, &str) = ("BOOTSTRAP_DEADLINE_MARGIN_MS", "30");

/// glibc, which the tests' own build has, learns to keep large blocks; with a fixed threshold it
/// gives them back as the musl of the release does.
const NO_LEARNING: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "131072");

/// A bootstrap's life ends by a fault that must end it; each lane has this many.
const LIVES: usize = 5;

/// What may be held more at the end of a life, after 10,000 events: a leak of 7 bytes an event
/// would be more.
const GROWTH_KIB: u64 = 64;

/// So many events come before the first measurement: what each kind of event touches for the first
/// time is no growth.
const WARM_UP: usize = 100;

/// One bootstrap after another, of one kind.
#[derive(Clone, Copy, Debug)]
struct Lane {
    name: &'static str,
    kind: Kind,
    is_streaming: bool,
    /// `BOOTSTRAP_EVENT_VIA`.
    via: &'static str,
    /// What the script does before it defines its function.
    first: &'static str,
}

const LANES: [Lane; 5] = [
    Lane {
        name: "executable",
        kind: Kind::Executable,
        is_streaming: false,
        via: "",
        first: "",
    },
    Lane {
        name: "executable, streaming",
        kind: Kind::Executable,
        is_streaming: true,
        via: "",
        first: "",
    },
    Lane {
        name: "bash function",
        kind: Kind::Bash,
        is_streaming: false,
        via: "argument",
        first: "",
    },
    Lane {
        name: "bash function, standard input",
        kind: Kind::Bash,
        is_streaming: false,
        via: "stdin",
        first: "set -ET; trap : EXIT ERR DEBUG",
    },
    Lane {
        name: "POSIX shell function",
        kind: Kind::PosixShell,
        is_streaming: false,
        via: "argument",
        first: "trap : EXIT",
    },
];

#[test]
fn every_event_is_answered_once_and_nothing_is_left_behind() {
    let total = match number_in("ZEROSTRAP_SOAK") {
        None => 2_000,
        Some(1) => 200_000,
        Some(total) => total,
    };
    let seed = number_in("ZEROSTRAP_SEED").unwrap_or(1);
    println!("{total} events, seed {seed}");
    let begin = Instant::now();
    thread::scope(|scope| {
        for (number, lane) in LANES.into_iter().enumerate() {
            let draw = Draw::new(seed * 100 + number);
            scope.spawn(move || run_lane(lane, total / LANES.len(), draw));
        }
    });
    println!(
        "{total} events in {:.1} s, each answered once",
        begin.elapsed().as_secs_f64()
    );
}

fn number_in(variable: &str) -> Option<usize> {
    let value = std::env::var(variable).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{variable} is {value:?}, which is no number")),
    )
}

fn run_lane(lane: Lane, events: usize, mut draw: Draw) {
    let mut counts = BTreeMap::new();
    let mut number = 0;
    for life in 0..LIVES {
        let mut scene = start(lane);
        let mut before = measure(&mut scene, lane);
        let in_life = events / LIVES;
        for nth in 0..in_life {
            if nth == WARM_UP.min(in_life / 2) {
                before = measure(&mut scene, lane);
            }
            number += 1;
            let event = draw.event(lane.is_streaming);
            *counts.entry(format!("{:?}", event.ending)).or_insert(0) += 1;
            *counts.entry(format!("API: {:?}", event.fault)).or_insert(0) += 1;
            serve(&mut scene, lane, number, &event, &mut draw);
            // Enough to see how an event came to go wrong, and no more.
            scene
                .requests
                .drain(..scene.requests.len().saturating_sub(10));
        }
        let after = measure(&mut scene, lane);
        println!(
            "{}, life {life}: {before} -> {after}, {} connections",
            lane.name, scene.connections
        );
        assert!(
            after.resident_kib <= before.resident_kib + GROWTH_KIB,
            "{before} -> {after}"
        );
        assert!(
            after.shell_kib <= before.shell_kib + GROWTH_KIB,
            "{before} -> {after}"
        );
        assert_eq!(
            after.held(),
            before.held(),
            "{}: {before} -> {after}",
            lane.name
        );
        end_life(&mut scene, life);
    }
    println!("{}: {number} events: {counts:?}", lane.name);
}

fn start(lane: Lane) -> Scene {
    let folder = Folder::new();
    let handler = lane.kind.write(&folder, HANDLER);
    if !lane.first.is_empty() {
        let path = folder.path().join("function.sh");
        let script = fs::read_to_string(path).expect("a script");
        let begin = format!("{}\nhandler() {{", lane.first);
        folder.file("function.sh", script.replacen("handler() {", &begin, 1));
    }
    let temporary = folder.path().join("tmp");
    fs::create_dir(&temporary).expect("a folder for temporary files");
    let temporary = temporary.to_str().expect("a path in UTF-8").to_owned();
    let mode = if lane.is_streaming {
        "streaming"
    } else {
        "buffered"
    };
    let environment = [
        MARGIN,
        NO_LEARNING,
        ("TMPDIR", temporary.as_str()),
        ("BOOTSTRAP_RESPONSE_MODE", mode),
        ("BOOTSTRAP_EVENT_VIA", lane.via),
    ];
    Scene::start_in(folder, handler, &environment, &[])
}

/// What a bootstrap holds when it waits for an event.
#[derive(Debug)]
struct Held {
    /// Memory of its own. Pages of files, which are shared and come by and by, do not count.
    resident_kib: u64,
    /// Of the warm shell, where there is one.
    shell_kib: u64,
    descriptors: usize,
    processes: usize,
    files: usize,
}

impl Held {
    fn held(&self) -> (usize, usize, usize) {
        (self.descriptors, self.processes, self.files)
    }
}

impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} KiB, shell {} KiB, {} descriptors, {} processes, {} files",
            self.resident_kib, self.shell_kib, self.descriptors, self.processes, self.files
        )
    }
}

/// Measures after two of the largest events, so that the allocator's own thresholds are settled.
fn measure(scene: &mut Scene, lane: Lane) -> Held {
    let largest = vec![b'x'; PAYLOAD_LIMIT];
    for _ in 0..2 {
        scene.deliver(&event("largest", "", &largest));
        assert!(scene.expect_answer("largest", "response").body == largest);
        scene.send(ACCEPTED);
        scene.serve("small", "{}", "{}");
    }
    scene.expect_next();
    // What a shell function left behind may live for a moment.
    let kept = if lane.kind == Kind::Executable { 1 } else { 2 };
    wait_until("everyone but the warm shell is gone", || {
        scene.processes().len() == kept
    });
    let pid = scene.pid();
    let shell = scene.processes().into_iter().find(|other| *other != pid);
    let held = Held {
        resident_kib: status_number(pid, "RssAnon"),
        shell_kib: shell.map_or(0, |shell| status_number(shell, "RssAnon")),
        descriptors: descriptors(pid),
        processes: kept,
        files: count_files(scene),
    };
    // The question that was read is answered by "nothing yet", so that the next event asks anew.
    scene.send(b"HTTP/1.1 204 No Content\r\n\r\n");
    held
}

fn count_files(scene: &Scene) -> usize {
    let count = |folder| fs::read_dir(folder).expect("a folder").count();
    count(scene.folder.path().to_owned()) + count(scene.folder.path().join("tmp"))
}

/// Serves one event with its fault, and checks the answer.
fn serve(scene: &mut Scene, lane: Lane, number: usize, event: &Event, draw: &mut Draw) {
    let id = format!("event-{number}");
    deliver(scene, &id, event, draw);
    if event.fault == ApiFault::ClosesInsideAnswer {
        scene.take_head_of_request();
        scene.close();
        // The API did not take the answer: it delivers the event again.
        scene.deliver(&reply(&id, event, draw));
    }
    let mut answer = scene
        .request()
        .unwrap_or_else(|| panic!("ended in {id}: {}", scene.log()));
    if answer.is_next() && event.fault == ApiFault::ClosesAfterEvent {
        // The answer was on its way when the connection ended. The API, which does not have it,
        // delivers the event again.
        scene.send(&reply(&id, event, draw));
        answer = scene
            .request()
            .unwrap_or_else(|| panic!("ended in {id}: {}", scene.log()));
    }
    let Some((answered, what)) = answer.answer() else {
        let requests = scene.requests.iter();
        let history: Vec<_> = requests
            .map(|r| (r.connection, &r.method, &r.path))
            .collect();
        panic!(
            "{} {id} {event}: no answer but {history:?}; {}",
            lane.name,
            scene.log()
        )
    };
    assert_eq!(answered, id, "{}: another event was answered", lane.name);
    let is_right = match event.ending {
        Ending::Echo => what == "response" && answer.body == event.body,
        Ending::Says(text) => what == "response" && answer.text().trim_end() == text,
        Ending::Fails(error_type) => {
            let start = format!("{{\"errorType\":\"{error_type}\"");
            what == "error" && answer.text().starts_with(&start)
        }
    };
    let text: String = answer.text().chars().take(300).collect();
    assert!(
        is_right,
        "{} {id} {event}: {what} {text}; {}",
        lane.name,
        scene.log()
    );
    accept(scene, event.fault);
}

fn reply(id: &str, event: &Event, draw: &mut Draw) -> Vec<u8> {
    let mut headers = match event.context {
        "" => String::new(),
        context => format!("Lambda-Runtime-Client-Context: {context}\r\n"),
    };
    if event.context.starts_with("overrun") {
        headers += &format!("Lambda-Runtime-Deadline-Ms: {}\r\n", now_ms() + DEADLINE_MS);
    }
    if event.fault == ApiFault::SaysClose {
        headers += "Connection: close\r\n";
    }
    match draw.below(3) {
        0 => chunked_event(id, &headers, &event.body, 1 + draw.below(100_000)),
        1 => chunked_event(id, &headers, &event.body, PAYLOAD_LIMIT),
        _ => scripted::event(id, &headers, &event.body),
    }
}

/// Answers `GET /next`, with what the API does wrong before and while it does.
fn deliver(scene: &mut Scene, id: &str, event: &Event, draw: &mut Draw) {
    match event.fault {
        ApiFault::NoEventYet => {
            scene.deliver(b"HTTP/1.1 204 No Content\r\n\r\n");
        }
        ApiFault::ClosesInsteadOfEvent => {
            scene.expect_next();
            scene.close();
        }
        ApiFault::ResetsInsteadOfEvent => scene.reply_then_reset(b""),
        ApiFault::Interim => {
            scene.expect_next();
            scene.send(b"HTTP/1.1 100 Continue\r\n\r\n");
            scene.send(&reply(id, event, draw));
            return;
        }
        _ => {}
    }
    scene.expect_next();
    let mut bytes = reply(id, event, draw);
    match event.fault {
        ApiFault::SplitsEvent => {
            let (start, rest) = bytes.split_at(1 + draw.below(bytes.len() - 1));
            scene.send_alone(start);
            scene.send(rest);
        }
        ApiFault::ClosesAfterEvent => {
            scene.send(&bytes);
            scene.close();
        }
        ApiFault::SpeaksUnasked => {
            bytes.extend_from_slice(ACCEPTED);
            scene.send(&bytes);
        }
        _ => scene.send(&bytes),
    }
}

/// Takes an answer, with what the API does wrong then.
fn accept(scene: &mut Scene, fault: ApiFault) {
    match fault {
        ApiFault::RefusesAnswer(status) => {
            let reply = format!("HTTP/1.1 {status} Refused\r\nContent-Length: 2\r\n\r\n{{}}");
            scene.send(reply.as_bytes());
        }
        ApiFault::ClosesInsteadOfTaking => scene.close(),
        ApiFault::ClosesAfterTaking => {
            scene.send(ACCEPTED);
            scene.close();
        }
        ApiFault::GarbageInsteadOfTaking => scene.send(b"SSH-2.0-OpenSSH_9.6\r\n"),
        ApiFault::SplitsTaking => {
            scene.send_alone(&ACCEPTED[..20]);
            scene.send(&ACCEPTED[20..]);
        }
        _ => scene.send(ACCEPTED),
    }
}

/// Ends a bootstrap by a fault that it must not survive, and in which nothing more may be asked or
/// answered.
fn end_life(scene: &mut Scene, life: usize) {
    scene.expect_next();
    match life % LIVES {
        0 => scene.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"),
        1 => scene.send(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"),
        2 => {
            let bytes = event("cut", "", b"{\"cut\":true}");
            scene.send(&bytes[..bytes.len() - 1]);
            scene.close();
        }
        3 => scene.send(b"SSH-2.0-OpenSSH_9.6\r\n"),
        _ => {
            scene.send(&event("last", "", b"{}"));
            scene.expect_answer("last", "response");
            scene.send(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n");
        }
    }
    assert_eq!(scene.exit_code(), 1, "life {life}: {}", scene.log());
    assert!(
        scene.request().is_none(),
        "life {life}: something was sent after the end"
    );
    let begin = Instant::now();
    wait_until("nobody is left", || scene.everyone().is_empty());
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "life {life}: somebody was left behind"
    );
}
