//! The system calls of the artefact, traced in every kind of scenario: none but those of
//! docs/system-calls.md, no connection but to the Runtime API, no file opened for writing.
//!
//! In: `dist/ARCH/bootstrap` of this machine (`ZEROSTRAP_DIST` names another folder), since std and
//! libc make calls of their own and only the artefact has the right ones; strace. Where one of them
//! is missing, or the kernel permits no tracing, the tests are skipped and say so.

#[path = "../emulator/mod.rs"]
mod emulator;
#[path = "../it/harness/mod.rs"]
mod harness;
mod trace;

use harness::wait::wait_until;
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::emulator::api::{Action, Options};
use crate::emulator::event::Event;
use crate::emulator::process;
use crate::emulator::record::Endpoint;
use crate::harness::folder::Folder;
use crate::harness::lambda::{Lambda, Setup};
use trace::Call;

/// Most calls between the start of the program and its first request.
const START_LIMIT: usize = 15;

/// Most calls from one request for an event to the next one, of either kind of handler, polls not
/// counted.
const EVENT_LIMIT: usize = 23;

/// An echo's calls for one event: the answer of the last one, its reply, and the next request.
const IN_PROCESS: [&str; 4] = ["send", "receive", "send", "receive"];

/// Events that are counted.
const EVENTS: usize = 50;

/// A bootstrap that is traced, and where to.
struct Traced {
    lambda: Lambda,
    folder: Folder,
}

impl Traced {
    fn start(setup: Setup, program: &Path) -> Traced {
        let folder = Folder::new();
        let file = folder.path().join("trace");
        // -D: the tracer is the child, so that the bootstrap is the process that was started.
        let launcher = format!(
            "shift; set -- strace -D -f -qq -s 64 -o '{}' '{}' \"$@\"",
            file.display(),
            program.display()
        );
        Traced {
            lambda: setup.launched_by(&launcher).start(),
            folder,
        }
    }

    /// Ends it as Lambda does if it goes on, waits for everyone of it, and reads the trace.
    fn end(self) -> Trace {
        let Traced { lambda, folder } = self;
        let pid = lambda.bootstrap.pid;
        if lambda.bootstrap.exit().is_none() {
            process::signal("TERM", &[pid]);
        }
        lambda.wait_exit();
        // What a handler left behind would be waited for: it is traced too.
        let is_tracer = |pid: &u32| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "strace\n")
        };
        wait_until("everyone is gone, the tracer last", || {
            let left = lambda.everyone();
            let others: Vec<u32> = left.iter().copied().filter(|pid| !is_tracer(pid)).collect();
            process::signal("KILL", &others);
            left.is_empty()
        });
        let text = fs::read_to_string(folder.path().join("trace")).expect("a trace");
        let calls = trace::of_the_bootstrap(&trace::read(&text));
        Trace {
            calls,
            port: lambda.api.address.port(),
        }
    }
}

/// What a bootstrap did, and the port that its Runtime API had.
struct Trace {
    calls: Vec<Call>,
    port: u16,
}

/// The artefact of this machine, or why nothing can be traced.
fn artefact() -> Result<PathBuf, String> {
    let arch = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "x86_64"
    };
    let dist = env::var_os("ZEROSTRAP_DIST").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("dist"),
        PathBuf::from,
    );
    let path = dist.join(arch).join("bootstrap");
    let name = path.display();
    let bytes = fs::read(&path).map_err(|error| format!("{name}: {error}; run make"))?;
    let commit = env!("ZEROSTRAP_COMMIT");
    let is_current = bytes
        .windows(commit.len().max(1))
        .any(|part| part == commit.as_bytes());
    if !commit.is_empty() && !is_current {
        return Err(format!("{name}: not of the commit {commit}; run make"));
    }
    Ok(path)
}

/// Why strace cannot be used here, if so.
fn no_tracer() -> Option<String> {
    let mut strace = Command::new("strace");
    strace
        .args(["-D", "-f", "-qq", "-o", "/dev/null", "true"])
        .stdin(Stdio::null());
    match strace.stdout(Stdio::null()).output() {
        Ok(output) if output.status.success() && output.stderr.is_empty() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(_) => Some("there is no strace; run: apt-get install strace".to_owned()),
    }
}

/// What is traced, unless it cannot be: then that is said.
fn traceable(test: &str) -> Option<PathBuf> {
    let required = env::var_os("ZEROSTRAP_REQUIRE_DIST").is_some_and(|value| value == "1");
    match (artefact(), no_tracer()) {
        (Ok(path), None) => return Some(path),
        (Err(reason), _) if required => panic!("{reason}"),
        (Err(reason), _) | (_, Some(reason)) => println!("skipped: {test}: {reason}"),
    }
    None
}

/// Both kinds of handler with the same text.
fn both(text: &str) -> [(Folder, &'static str); 2] {
    let script = format!("#!/bin/sh\nhandler() {{\n{text}\n}}\n");
    [
        (Folder::with_app(text), "app"),
        (Folder::with_script(&script), "function.handler"),
    ]
}

/// One scenario: how the bootstrap is started, and what happens then.
struct Scenario {
    name: &'static str,
    setup: Setup,
    play: fn(&Lambda),
    /// The handler's folder, which lives as long.
    _folder: Folder,
}

/// Scenarios with both kinds of handler.
fn with_handlers() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    let mut add = |name, text: &str, change: fn(Setup) -> Setup, play: fn(&Lambda)| {
        for (folder, handler) in both(text) {
            // The text is the same if the event is where an executable has it.
            let setup = Setup::new(folder.path(), handler).env("BOOTSTRAP_EVENT_VIA", "stdin");
            let setup = change(setup);
            scenarios.push(Scenario {
                name,
                setup,
                play,
                _folder: folder,
            });
        }
    };
    add(
        "events that are arguments",
        "echo \"${1-none}\"",
        |setup| setup.env("BOOTSTRAP_EVENT_VIA", "argument"),
        |lambda| {
            lambda.call("small");
            lambda.call(vec![b'a'; 3_000_000]);
        },
    );
    add(
        "events",
        "cat",
        |setup| setup,
        |lambda| {
            lambda.call("small");
            lambda.call(vec![b'a'; 3_000_000]);
            lambda.invoke(Event::new("chunks").in_chunks_of(3));
            lambda.invoke(Event::new("closing").closing());
            lambda.call("after");
        },
    );
    add(
        "headers that need a longer buffer",
        "cat",
        |setup| setup,
        |lambda| {
            let context = vec![b'a'; 300_000];
            lambda.invoke(Event::new("").header("Lambda-Runtime-Client-Context", context));
        },
    );
    add(
        "a pause before an answer",
        "cat; sleep 0.1",
        |setup| setup,
        |lambda| {
            lambda.call("late");
        },
    );
    let streaming = |setup: Setup| setup.env("BOOTSTRAP_RESPONSE_MODE", "streaming");
    add(
        "streams",
        "cat; [ \"$(cat /proc/self/stat | wc -c)\" -gt 0 ]",
        streaming,
        |lambda| {
            lambda.call("streamed");
            lambda.call("");
        },
    );
    add(
        "a stream that fails",
        "echo part; exit 3",
        streaming,
        |lambda| {
            lambda.call("");
        },
    );
    let json = |setup: Setup| setup.env("AWS_LAMBDA_LOG_FORMAT", "JSON");
    add(
        "the log as JSON",
        "echo words >&2; cat; exit 3",
        json,
        |lambda| {
            lambda.call("failed");
        },
    );
    add(
        "an overrun",
        "sleep 600",
        |setup| setup,
        |lambda| {
            lambda.invoke(Event::new("").deadline_in(Duration::from_secs(1)));
            lambda.invoke(Event::new("").deadline_in(Duration::from_secs(1)));
        },
    );
    add(
        "a signal and an endless response",
        "[ \"$(cat)\" ] && kill -9 $$; yes",
        |setup| setup,
        |lambda| {
            lambda.call("x");
            lambda.call("");
        },
    );
    let slots = |setup: Setup| {
        let options = Options {
            slots: 2,
            ..Options::default()
        };
        setup
            .options(options)
            .env("AWS_LAMBDA_MAX_CONCURRENCY", "2")
    };
    add("two slots", "cat", slots, |lambda| {
        lambda.call("one");
        lambda.call("two");
    });
    let graceful = |setup: Setup| setup.env("BOOTSTRAP_GRACEFUL_SHUTDOWN", "1");
    add(
        "an extension, ended while an event runs",
        "sleep 600",
        graceful,
        |lambda| {
            let id = lambda.api.push(Event::new("cut"));
            lambda.wait_delivered(&id);
            wait_until("the handler runs", || {
                let names = lambda
                    .processes()
                    .into_iter()
                    .map(|pid| format!("/proc/{pid}/comm"));
                names
                    .filter_map(|name| fs::read_to_string(name).ok())
                    .any(|name| name == "sleep\n")
            });
        },
    );
    let snapshot = |setup: Setup| {
        let options = Options {
            restore: true,
            ..Options::default()
        };
        setup
            .options(options)
            .env("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
    };
    add("a snapshot", "cat", snapshot, |lambda| {
        lambda.call("restored");
    });
    let answers_204 = |setup: Setup| {
        let script = Box::new(|request: &emulator::record::Request, count| {
            let is_first = request.endpoint == Endpoint::Next && count == 0;
            if is_first {
                Action::Status(204)
            } else {
                Action::Usual
            }
        });
        setup.options(Options {
            script,
            ..Options::default()
        })
    };
    add("no event yet", "cat", answers_204, |lambda| {
        lambda.call("event");
    });
    scenarios
}

/// Scenarios that end by themselves.
fn that_end() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    let mut add = |name, folder: Folder, handler: &str, change: fn(Setup) -> Setup| {
        let setup = change(Setup::new(folder.path(), handler));
        let play = |lambda: &Lambda| {
            lambda.wait_exit();
        };
        scenarios.push(Scenario {
            name,
            setup,
            play,
            _folder: folder,
        });
    };
    add("no handler", Folder::new(), "missing.handler", |setup| {
        setup
    });
    add(
        "a broken script",
        Folder::with_script("("),
        "function.handler",
        |setup| setup,
    );
    add("a bad setting", Folder::new(), "app", |setup| {
        setup.env("BOOTSTRAP_RESPONSE_MODE", "wrong")
    });
    add(
        "an address of nobody",
        Folder::with_app(""),
        "app",
        |setup| setup.env("AWS_LAMBDA_RUNTIME_API", "nobody.invalid:9"),
    );
    let program = Folder::new();
    let content = fs::read(env::current_exe().expect("this test's file")).expect("its content");
    program.executable("app", content);
    add("--check of a linked program", program, "app", |setup| {
        setup.argument("--check")
    });
    let script = "#!/usr/bin/env bash\nhandler() { :; }\n";
    add(
        "--check of a function",
        Folder::with_script(script),
        "function.handler",
        |setup| setup.argument("--check"),
    );
    add("--version", Folder::new(), "app", |setup| {
        setup.argument("--version")
    });
    scenarios
}

/// The names of a row of the table of calls: one job may have another name on each architecture.
fn listed() -> Vec<Vec<String>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/system-calls.md");
    let page = fs::read_to_string(page).expect("docs/system-calls.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let names = rows.map(|row| row.split('|').next().unwrap_or_default());
    let words = |cell: &str| {
        let words = cell.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let rows: Vec<Vec<String>> = names.map(words).collect();
    assert!(
        rows.len() > 20,
        "docs/system-calls.md has a table of calls: {rows:?}"
    );
    rows
}

/// What of a trace breaks a rule that is not about the names of calls.
fn broken_rules(trace: &Trace) -> Vec<String> {
    let api = format!(
        "sin_port=htons({}), sin_addr=inet_addr(\"127.0.0.1\")",
        trace.port
    );
    let mut broken = Vec::new();
    for Call { name, text, .. } in &trace.calls {
        let rule = match name.as_str() {
            "connect" if !text.contains(&api) => "a connection to elsewhere",
            "socket" if !text.contains("AF_INET") || !text.contains("SOCK_STREAM") => {
                "a socket that is not TCP's"
            }
            "bind" | "listen" | "accept" | "accept4" => "something that a client does not do",
            "sendto" if !text.contains(", NULL, 0)") => "a packet with an address of its own",
            "open" | "openat" | "openat2" | "creat"
                if ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"]
                    .iter()
                    .any(|f| text.contains(f))
                    || name == "creat" =>
            {
                "a file opened for writing"
            }
            "open" | "openat" | "openat2" | "socket" | "pipe2" | "memfd_create"
                if !text.contains("CLOEXEC") =>
            {
                "a descriptor that handlers inherit"
            }
            "mprotect" | "mmap" if text.contains("PROT_WRITE|PROT_EXEC") => {
                "memory that is writable and executable"
            }
            _ => continue,
        };
        broken.push(format!("{rule}: {text}"));
    }
    broken
}

#[test]
fn bootstrap_makes_no_system_call_that_is_not_listed() {
    let Some(program) = traceable("bootstrap_makes_no_system_call_that_is_not_listed") else {
        return;
    };
    let listed = listed();
    let names: BTreeSet<&str> = listed.iter().flatten().map(String::as_str).collect();
    let mut seen: BTreeMap<String, (usize, String)> = BTreeMap::new();
    let mut findings = Vec::new();
    for Scenario {
        name: scenario,
        setup,
        play,
        _folder,
    } in with_handlers().into_iter().chain(that_end())
    {
        let traced = Traced::start(setup, &program);
        play(&traced.lambda);
        let trace = traced.end();
        assert!(
            trace.calls.len() > 5,
            "{scenario}: a trace of {} calls",
            trace.calls.len()
        );
        let broken = broken_rules(&trace);
        findings.extend(broken.iter().map(|broken| format!("{scenario}: {broken}")));
        for Call { name, text, .. } in trace.calls {
            if !names.contains(name.as_str()) {
                findings.push(format!("{scenario}: not in docs/system-calls.md: {text}"));
            }
            seen.entry(name).or_insert((0, text)).0 += 1;
        }
    }
    for (name, (count, example)) in &seen {
        println!("{count:6} {name:16} {example}");
    }
    for row in listed
        .iter()
        .filter(|row| row.iter().all(|name| !seen.contains_key(name)))
    {
        findings.push(format!("in docs/system-calls.md and never made: {row:?}"));
    }
    findings.truncate(40);
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn bootstrap_asks_for_its_first_event_after_few_system_calls() {
    let test = "bootstrap_asks_for_its_first_event_after_few_system_calls";
    let Some(program) = traceable(test) else {
        return;
    };
    // A static executable as the handler: the artefact is one, and no event comes. Itself it would
    // refuse, so a byte of padding in the ELF header's e_ident differs.
    let mut other = fs::read(&program).expect("the artefact");
    other[15] = 1;
    let folder = Folder::new();
    folder.executable("app", other);
    let traced = Traced::start(Setup::app(&folder), &program);
    traced.lambda.wait_idle();
    let trace = traced.end();
    let until_asked = trace
        .calls
        .iter()
        .position(|call| call.text.contains("GET /2018-06-01/"));
    let count = until_asked.expect("a request for the next event") + 1;
    println!("{count} system calls from exec to the first request, at most {START_LIMIT}:");
    for call in &trace.calls[..count] {
        println!("    {}", call.text);
    }
    assert!(
        count <= START_LIMIT,
        "{count} system calls, at most {START_LIMIT}"
    );
}

/// docs/system-calls.md lists them one by one: 25 and 26. Where the handler's output and the handler
/// itself end in the same moment, there are fewer.
#[test]
fn event_in_a_process_takes_few_system_calls() {
    let test = "event_in_a_process_takes_few_system_calls";
    let Some(program) = traceable(test) else {
        return;
    };
    for (folder, handler) in both("exec cat") {
        let setup = Setup::new(folder.path(), handler).env("BOOTSTRAP_EVENT_VIA", "stdin");
        let traced = Traced::start(setup, &program);
        for _ in 0..EVENTS {
            assert_eq!(traced.lambda.call("event").body, b"event");
        }
        let Trace { calls, .. } = traced.end();
        let own: Vec<&Call> = calls
            .iter()
            .filter(|call| call.pid == calls[0].pid)
            .collect();
        let rounds = rounds(&own);
        let mut lengths: Vec<usize> = rounds.iter().map(Vec::len).collect();
        lengths.sort_unstable();
        // What comes together is waited for once, so a poll more or less is no matter of ours.
        let mut without_polls = rounds.clone();
        for round in &mut without_polls {
            round.retain(|call| *call != "poll");
        }
        without_polls.sort_by_key(Vec::len);
        let median = &without_polls[EVENTS / 2];
        println!(
            "{handler}: {} to {} system calls, {} of them no poll: {median:?}",
            lengths[0],
            lengths[EVENTS - 1],
            median.len()
        );
        assert!(median.len() <= EVENT_LIMIT, "{handler}: {median:?}");
        // Where the machine is slow, more moments are waited for one by one.
        assert!(
            lengths[EVENTS / 2] <= EVENT_LIMIT + 6,
            "{handler}: {rounds:?}"
        );
    }
}

/// The calls from one request for an event to the next one, for [`EVENTS`] events.
fn rounds<'a>(calls: &[&'a Call]) -> Vec<Vec<&'a str>> {
    let asks = |call: &&Call| {
        call.text
            .contains("GET /2018-06-01/runtime/invocation/next")
    };
    let start = calls.iter().position(asks).expect("a request for an event");
    let rounds = calls[start..].chunk_by(|_, next| !asks(next));
    let rounds: Vec<Vec<&str>> = rounds
        .map(|round| round.iter().map(|call| kind(call)).collect())
        .collect();
    assert!(
        rounds.len() >= EVENTS,
        "{} events in the trace",
        rounds.len()
    );
    rounds[..EVENTS].to_vec()
}

#[test]
fn function_in_process_takes_four_system_calls_an_event() {
    let test = "function_in_process_takes_four_system_calls_an_event";
    // Beside the bootstrap that cargo built for this test.
    let program = Path::new(env!("CARGO_BIN_EXE_bootstrap")).with_file_name("examples/echo");
    if let Some(reason) = no_tracer() {
        println!("skipped: {test}: {reason}");
        return;
    }
    if !program.exists() {
        println!(
            "skipped: {test}: {} is not built; run cargo test",
            program.display()
        );
        return;
    }
    let folder = Folder::new();
    let traced = Traced::start(Setup::app(&folder), &program);
    for _ in 0..EVENTS {
        let answer = traced.lambda.call("event");
        assert_eq!(answer.body, b"event");
    }
    let trace = traced.end();
    let rounds = rounds(&trace.calls.iter().collect::<Vec<_>>());
    let exact = rounds.iter().filter(|round| **round == IN_PROCESS).count();
    println!("{exact} of {EVENTS} events took the four system calls {IN_PROCESS:?}");
    // A thread that was kept waiting before its answer looks whether the connection still stands.
    let looked = |round: &&Vec<&str>| round.len() <= IN_PROCESS.len() + 3;
    // The first answer goes on a connection of its own.
    assert!(
        rounds.iter().skip(1).all(|round| looked(&round)),
        "{rounds:?}"
    );
    assert!(exact * 2 > EVENTS, "only {exact} of {EVENTS}: {rounds:?}");
}

/// What a call does on the connection.
fn kind(call: &Call) -> &str {
    match call.name.as_str() {
        "writev" | "sendmsg" | "sendto" | "write" => "send",
        "read" | "recvfrom" => "receive",
        other => other,
    }
}

#[test]
fn broken_rules_are_found() {
    let broken = |text: &str| {
        let name = text.split('(').next().expect("a name").to_owned();
        let calls = vec![Call {
            pid: 1,
            name,
            text: text.to_owned(),
        }];
        broken_rules(&Trace { calls, port: 9 }).len()
    };
    let api = "sin_port=htons(9), sin_addr=inet_addr(\"127.0.0.1\")";
    assert_eq!(
        broken(&format!("connect(3, {{sa_family=AF_INET, {api}}}, 16) = 0")),
        0
    );
    assert_eq!(
        broken("connect(3, {sa_family=AF_INET, sin_port=htons(53)}, 16) = 0"),
        1
    );
    assert_eq!(broken("openat(AT_FDCWD, \"a\", O_RDONLY|O_CLOEXEC) = 3"), 0);
    assert_eq!(broken("openat(AT_FDCWD, \"a\", O_RDONLY) = 3"), 1);
    assert_eq!(broken("open(\"a\", O_WRONLY|O_CLOEXEC) = 3"), 1);
    assert_eq!(
        broken("socket(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC, 0) = 3"),
        1
    );
    assert_eq!(broken("listen(3, 128) = 0"), 1);
    assert_eq!(
        broken("mmap(NULL, 1, PROT_READ|PROT_WRITE|PROT_EXEC, 0, 0) = 0"),
        1
    );
}
