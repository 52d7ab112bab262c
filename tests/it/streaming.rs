//! Streamed responses: what is sent when, how one ends and fails, and what an API that is slow or
//! goes away does to the handler.

use crate::emulator::api::Action;
use crate::emulator::base64;
use crate::emulator::event::Event;
use crate::emulator::http;
use crate::emulator::process::{self, Bootstrap, Log};
use crate::emulator::record::{Endpoint, Progress, Request};
use crate::harness;
use crate::harness::failure::assert_failure;
use crate::harness::folder::Folder;
use crate::harness::json;
use crate::harness::lambda::{Lambda, Setup};
use crate::harness::scripted::{make_fifo, state};
use crate::harness::wait::{PATIENCE, wait_until};
use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

const TYPE_TRAILER: &str = "Lambda-Runtime-Function-Error-Type";
const BODY_TRAILER: &str = "Lambda-Runtime-Function-Error-Body";

/// What tells Lambda that a response is the head and the body of an HTTP response.
const HTTP: &str = "application/vnd.awslambda.http-integration-response";

/// A handler's folder, and the FIFO `gate` in it: who reads a line of it waits until it is opened.
struct Scene {
    folder: Folder,
    gate: File,
}

impl Scene {
    fn new(folder: Folder) -> Scene {
        let path = folder.path().join("gate");
        make_fifo(&path);
        // For both, and kept: so that no end waits for the other one, and no reader sees an end. A
        // handler that came back while a gate was still being closed took that for an answer.
        let gate = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .unwrap();
        Scene { folder, gate }
    }

    /// Lets a handler go on that waits at its gate.
    fn open_gate(&mut self) {
        self.gate
            .write_all(b"\n")
            .expect("a gate can be written to");
    }
}

/// The same commands as a handler of each kind, streaming.
fn each_kind(commands: &str) -> Vec<(Scene, Setup)> {
    let all = harness::lambda::each_kind(commands).into_iter();
    // The commands are the same if the event is where an executable has it.
    let settings = [
        ("BOOTSTRAP_RESPONSE_MODE", "streaming"),
        ("BOOTSTRAP_EVENT_VIA", "stdin"),
    ];
    all.map(|(folder, setup)| {
        let setup = settings
            .into_iter()
            .fold(setup, |setup, (name, value)| setup.env(name, value));
        (Scene::new(folder), setup)
    })
    .collect()
}

/// Waits until so much of a response has arrived.
fn wait_body(lambda: &Lambda, body: &[u8]) -> Request {
    lambda.wait("a part of the response", |state| {
        let mut requests = state.requests.values();
        requests
            .find(|r| matches!(r.endpoint, Endpoint::Response(_)) && r.body == body)
            .cloned()
    })
}

fn assert_streamed(request: &Request, body: &[u8]) {
    assert!(
        matches!(request.endpoint, Endpoint::Response(_)),
        "{}",
        request.text()
    );
    assert_eq!(
        request.header("Lambda-Runtime-Function-Response-Mode"),
        Some("streaming")
    );
    assert!(
        request.body == body,
        "{} bytes: {:.400}",
        request.body.len(),
        request.text()
    );
    assert_eq!(request.status, 202);
}

#[test]
fn output_arrives_while_the_handler_still_runs() {
    for (mut scene, setup) in each_kind("printf one; read -r _ <gate; printf two; read -r _ <gate")
    {
        let lambda = setup.start();
        let id = lambda.api.push(Event::new("1"));
        for part in ["one", "onetwo"] {
            assert_eq!(
                wait_body(&lambda, part.as_bytes()).progress,
                Progress::Arriving
            );
            scene.open_gate();
        }
        let answer = lambda.answer(&id);
        assert_streamed(&answer, b"onetwo");
        let sizes: Vec<usize> = answer.pieces.iter().map(|(_, size)| *size).collect();
        assert_eq!(sizes, [3, 3]);
    }
}

#[test]
fn head_of_a_stream_announces_mode_framing_and_both_trailers() {
    for (_scene, setup) in each_kind("printf response") {
        let lambda = setup.start();
        let answer = lambda.call("1");
        assert_streamed(&answer, b"response");
        let values = |name: &str| {
            let of_name = |(n, _): &&(String, Vec<u8>)| n.eq_ignore_ascii_case(name);
            let values = answer.headers.iter().filter(of_name);
            values
                .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            values("Lambda-Runtime-Function-Response-Mode"),
            ["streaming"]
        );
        assert_eq!(values("Transfer-Encoding"), ["chunked"]);
        assert_eq!(values("Content-Type"), ["application/octet-stream"]);
        assert_eq!(
            values("Trailer"),
            [format!("{TYPE_TRAILER}, {BODY_TRAILER}")]
        );
        assert_eq!(values("Content-Length"), [""; 0]);
        assert!(
            answer.trailers.is_empty(),
            "a success has no error in its trailers"
        );
    }
}

#[test]
fn buffered_response_has_a_length_and_no_mode() {
    for (_scene, setup) in each_kind("printf response") {
        let answer = setup
            .env("BOOTSTRAP_RESPONSE_MODE", "buffered")
            .start()
            .call("1");
        assert_eq!(answer.header("Content-Length"), Some("8"));
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
        for name in [
            "Lambda-Runtime-Function-Response-Mode",
            "Transfer-Encoding",
            "Trailer",
        ] {
            assert_eq!(answer.header(name), None);
        }
    }
}

#[test]
fn streams_follow_each_other_on_a_connection() {
    for (_scene, setup) in each_kind("cat") {
        let lambda = setup.start();
        for size in [1, 65_536, 0, 1_048_577, 1] {
            let event: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            assert_streamed(&lambda.call(&event), &event);
        }
        assert_eq!(lambda.api.counts().connections, 2);
    }
}

#[test]
fn event_that_is_an_argument_is_streamed_whole() {
    for (_scene, setup) in each_kind("printf '%s' \"${1-$(cat)}\"") {
        let lambda = setup.env("BOOTSTRAP_EVENT_VIA", "argument").start();
        for size in [1, 65_536, 0, 6_291_556] {
            let event = vec![b'x'; size];
            assert_streamed(&lambda.call(&event), &event);
        }
    }
}

#[test]
fn output_is_sent_as_it_was_written() {
    for (_scene, setup) in each_kind("cat; printf '\\n\\n\\0\\n'") {
        let every_byte: Vec<u8> = (0..=255).collect();
        let answer = setup.start().call(&every_byte);
        assert_streamed(&answer, &[&every_byte[..], b"\n\n\0\n"].concat());
    }
}

#[test]
fn stream_may_be_longer_than_a_buffered_response() {
    for (_scene, setup) in each_kind("head -c 7000000 /dev/zero") {
        assert_streamed(&setup.start().call("1"), &[0; 7_000_000]);
    }
}

#[test]
fn empty_output_ends_the_response() {
    for (_scene, setup) in each_kind(":") {
        let lambda = setup.start();
        for _ in 0..2 {
            let answer = lambda.call("1");
            assert_streamed(&answer, b"");
            assert!(answer.trailers.is_empty());
        }
    }
}

#[test]
fn failure_before_the_first_byte_is_posted_as_an_error() {
    let commands = "case $(cat) in
        exit) exit 3 ;;
        kill) sh -c 'kill -9 $PPID' ;;
        *) printf ok ;;
    esac";
    for (_scene, setup) in each_kind(commands) {
        let lambda = setup.start();
        assert_failure(&lambda.call("exit"), "Function.ExitNonZero", "status 3");
        assert_failure(&lambda.call("kill"), "Function.KilledBySignal", "SIGKILL");
        assert_streamed(&lambda.call("1"), b"ok");
    }
}

#[test]
fn failure_after_the_first_byte_is_in_the_trailers() {
    let commands = "event=$(cat); printf part; case $event in
        exit) read -r _ <gate; exit 3 ;;
        kill) read -r _ <gate; sh -c 'kill -9 $PPID' ;;
    esac";
    for (mut scene, setup) in each_kind(commands) {
        let lambda = setup.start();
        for (event, error_type, message) in [
            ("exit", "Function.ExitNonZero", "status 3"),
            ("kill", "Function.KilledBySignal", "SIGKILL"),
        ] {
            let id = lambda.api.push(Event::new(event));
            wait_body(&lambda, b"part");
            scene.open_gate();
            let answer = lambda.answer(&id);
            assert_streamed(&answer, b"part");
            assert_eq!(answer.trailers.len(), 2);
            assert_eq!(answer.trailer(TYPE_TRAILER), Some(error_type));
            let document = base64::decode(answer.trailer(BODY_TRAILER).unwrap()).unwrap();
            let document = json::parse(&document).expect("the document is JSON");
            assert_eq!(
                document.names(),
                ["errorType", "errorMessage", "stackTrace"]
            );
            assert_eq!(document.text("errorType"), error_type);
            assert!(
                document.text("errorMessage").contains(message),
                "{document:?}"
            );
            lambda.wait_log(error_type);
            lambda.api.forget();
        }
        // The API took that as an answer: nothing else is posted, and the next event is served.
        assert_streamed(&lambda.call("1"), b"part");
        assert_eq!(lambda.api.counts().posts, 3);
    }
}

#[test]
fn api_that_takes_no_more_for_now_holds_the_writer() {
    // More than the buffers of a loopback connection ever hold.
    const BLOCKS: u64 = 64;
    const BLOCK: usize = 1_048_576;
    let commands = "head -c 1048576 /dev/zero >block; n=0
        while [ $n -lt 64 ]; do cat block; n=$((n + 1)); echo $n >count; done";
    for (scene, setup) in each_kind(commands) {
        let (release, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        // The body is read once the script returns.
        let lambda = setup
            .script(move |request, _| {
                if matches!(request.endpoint, Endpoint::Response(_)) {
                    let _ = held.lock().unwrap().recv_timeout(Duration::from_secs(60));
                }
                Action::Usual
            })
            .start();
        let id = lambda
            .api
            .push(Event::new("1").deadline_in(Duration::from_secs(120)));
        let count = || {
            let text = fs::read_to_string(scene.folder.path().join("count")).unwrap_or_default();
            text.trim().parse::<u64>().unwrap_or(0)
        };
        let stopped_at = wait_until_steady(count);
        assert!(
            stopped_at < BLOCKS,
            "all was written, and nobody had read it"
        );
        release.send(()).unwrap();
        let answer = lambda.answer(&id);
        assert_eq!(answer.body.len(), usize::try_from(BLOCKS).unwrap() * BLOCK);
        assert_eq!(count(), BLOCKS);
    }
}

/// A handler that fills its pipe finds room for more from then on, lest it wait at each 64 KiB.
/// Whenever it writes, the bootstrap stands still.
#[test]
fn pipe_that_was_found_full_holds_a_mebibyte_from_then_on() {
    const FULL: usize = 65_536;
    const LARGE: usize = 1_048_576;
    let commands = format!(
        "kill -STOP $PPID; head -c {FULL} /dev/zero; : >full; read -r _ <gate
        kill -STOP $PPID; head -c {LARGE} /dev/zero; : >large"
    );
    for (mut scene, setup) in each_kind(&commands) {
        let lambda = setup.start();
        let bootstrap = lambda.bootstrap.pid;
        let id = lambda.api.push(Event::new("1"));
        let full = scene.folder.path().join("full");
        wait_until("the pipe is full", || full.exists());
        process::signal("CONT", &[bootstrap]);
        wait_body(&lambda, &[0; FULL]);
        wait_until("the bootstrap waits", || state(bootstrap) == Some('S'));
        scene.open_gate();
        let large = scene.folder.path().join("large");
        wait_until("all of it is in the pipe", || large.exists());
        process::signal("CONT", &[bootstrap]);
        assert_streamed(&lambda.answer(&id), &vec![0; FULL + LARGE]);
    }
}

/// Waits until a number over 0 has not changed for half a second.
fn wait_until_steady(number: impl Fn() -> u64) -> u64 {
    let until = Instant::now() + PATIENCE;
    let (mut last, mut since) = (number(), Instant::now());
    while last == 0 || since.elapsed() < Duration::from_millis(500) {
        assert!(Instant::now() < until, "it goes on and on: {last}");
        thread::sleep(Duration::from_millis(10));
        let now = number();
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    last
}

#[test]
fn api_that_goes_away_stops_the_handler() {
    for way in ["sleep 600", "while :; do printf more; done"] {
        // An event that was not answered is delivered again.
        let commands =
            format!("if [ -e seen ]; then printf again; else : >seen; printf one; {way}; fi");
        for (scene, setup) in each_kind(&commands) {
            let begin = Instant::now();
            let lambda = setup
                .script(|request, before| match request.endpoint {
                    Endpoint::Response(_) if before == 0 => Action::CutAfter(3),
                    _ => Action::Usual,
                })
                .start();
            let answer = lambda.call("1");
            assert_streamed(&answer, b"again");
            assert!(
                begin.elapsed() < Duration::from_secs(20),
                "the handler was waited for"
            );
            lambda.wait_log("Function.StreamRefused");
            // The bootstrap, and the warm shell of a function: nobody of the first attempt is left.
            let warm = scene.folder.path().join("function.sh").exists();
            lambda.wait_idle();
            lambda.wait_processes(1 + usize::from(warm));
        }
    }
}

/// The connection that an event came on is nothing to a response before its first byte.
#[test]
fn stream_begins_on_a_new_connection_after_the_old_one_died_meanwhile() {
    for (mut scene, setup) in each_kind("echo running >&2; read -r _ <gate; printf one") {
        let lambda = setup.start();
        let id = lambda.api.push(Event::new("1"));
        lambda.wait_log("running\n");
        lambda.api.close_connections();
        wait_until("the bootstrap waits again, if the end woke it", || {
            state(lambda.bootstrap.pid) != Some('R')
        });
        scene.open_gate();
        assert_streamed(&lambda.answer(&id), b"one");
        assert_eq!(lambda.api.counts().posts, 1);
    }
}

#[test]
fn output_that_a_process_in_the_background_holds_does_not_hold_the_response() {
    for (_scene, setup) in each_kind("printf one; sleep 600 &") {
        let lambda = setup.start();
        for _ in 0..2 {
            let begin = Instant::now();
            assert_streamed(&lambda.call("1"), b"one");
            assert!(
                begin.elapsed() < Duration::from_secs(20),
                "the background was waited for"
            );
        }
    }
}

#[test]
fn http_response_is_sent_with_its_prelude_first() {
    let prelude = b"{\"statusCode\":418,\"headers\":{\"X-A\":\"b\"}}\0\0\0\0\0\0\0\0";
    let commands =
        "printf '{\"statusCode\":418,\"headers\":{\"X-A\":\"b\"}}\\0\\0\\0\\0\\0\\0\\0\\0'
        read -r _ <gate; cat";
    for body in [&b"the body\n"[..], b""] {
        for (mut scene, setup) in each_kind(commands) {
            let lambda = setup.env("BOOTSTRAP_CONTENT_TYPE", HTTP).start();
            let id = lambda.api.push(Event::new(body));
            wait_body(&lambda, prelude);
            scene.open_gate();
            let answer = lambda.answer(&id);
            assert_streamed(&answer, &[&prelude[..], body].concat());
            assert_eq!(answer.header("Content-Type"), Some(HTTP));
            assert!(!lambda.end().contains("WARN"), "nothing is wrong with it");
        }
    }
}

const NO_NULS: &str = "has no 8 NUL bytes after its JSON prelude";

/// Where API Gateway stops to look for the end of the prelude.
const PRELUDE_LIMIT: usize = 16_384;

#[test]
fn http_response_that_lost_its_nuls_is_sent_as_it_is_and_a_line_says_so() {
    let long = |length: usize| format!("{{\"statusCode\":{:>1$}}}", 200, length - 15);
    let at_the_limit = long(PRELUDE_LIMIT - 8);
    let past_the_limit = long(PRELUDE_LIMIT - 7);
    assert_eq!((at_the_limit.len(), past_the_limit.len()), (16_376, 16_377));
    let nuls = "\0".repeat(8);
    for (response, is_told) in [
        (format!("{{\"statusCode\":200}}{nuls}body"), false),
        (format!("{at_the_limit}{nuls}body"), false),
        (format!("{past_the_limit}{nuls}body"), true),
        (format!("{}body", long(60_000)), true),
        ("{\"statusCode\":200}body".to_owned(), true),
        (format!("{{\"statusCode\":200}}{}body", &nuls[1..]), true),
        (
            format!("{{\"statusCode\":200}}{}x{}", &nuls[4..], &nuls[4..]),
            true,
        ),
        (String::new(), true),
    ] {
        // The first part ends in the middle of the NULs, or of what is there instead.
        let commands = "dd bs=22 count=1 2>/dev/null; cat";
        for (_scene, setup) in each_kind(commands) {
            let lambda = setup.env("BOOTSTRAP_CONTENT_TYPE", HTTP).start();
            assert_streamed(
                &lambda.invoke(Event::new(&response).id("a")),
                response.as_bytes(),
            );
            lambda.wait_idle();
            let log = lambda.end();
            let line = format!("bootstrap: WARN RequestId: a the response {NO_NULS}");
            assert_eq!(
                log.matches(&line).count(),
                usize::from(is_told),
                "{response:.30}: {log}"
            );
        }
    }
}

#[test]
fn nuls_are_missed_in_http_responses_alone_and_in_successful_ones() {
    let streaming = "streaming";
    for (mode, content_type, event, lines) in [
        (streaming, HTTP, "part", 1),
        (streaming, "application/json", "part", 0),
        (streaming, "", "part", 0),
        ("buffered", HTTP, "part", 0),
        (streaming, HTTP, "fail", 0),
    ] {
        for (_scene, setup) in each_kind("event=$(cat); echo \"$event\"; [ \"$event\" = part ]") {
            let setup = setup.env("BOOTSTRAP_RESPONSE_MODE", mode);
            let lambda = setup.env("BOOTSTRAP_CONTENT_TYPE", content_type).start();
            lambda.call(event);
            lambda.wait_idle();
            let log = lambda.end();
            assert_eq!(
                log.matches(NO_NULS).count(),
                lines,
                "{mode} {content_type} {event}: {log}"
            );
        }
    }
}

/// A server that takes one streamed response without keeping it: the time of each piece, and its
/// length. The embedded API would hold all of it in memory.
struct Sink {
    bootstrap: Bootstrap,
    pieces: Receiver<(Instant, usize)>,
}

impl Sink {
    fn start(artifact: &Path, folder: &Folder, handler: &str) -> Sink {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut command = Command::new(artifact);
        command
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default());
        command.current_dir(folder.path()).env("_HANDLER", handler);
        command.env(
            "AWS_LAMBDA_RUNTIME_API",
            listener.local_addr().unwrap().to_string(),
        );
        command.env("BOOTSTRAP_RESPONSE_MODE", "streaming");
        let tag = process::new_tag();
        let bootstrap = Bootstrap::start(command, tag, Log::Kept, || ()).unwrap();
        let (sender, pieces) = mpsc::channel();
        thread::spawn(move || -> io::Result<()> {
            let (mut stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            let mut reader = BufReader::with_capacity(65_536, stream.try_clone()?);
            http::read_head(&mut reader)?;
            let hour = Duration::from_secs(3_600);
            stream.write_all(&Event::new("").id("1").deadline_in(hour).bytes())?;
            // The first answer comes on a connection of its own.
            let (mut stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            let mut reader = BufReader::with_capacity(65_536, stream.try_clone()?);
            let head = http::read_head(&mut reader)?.expect("a response");
            http::read_body(&mut reader, &head.headers, |piece| {
                // Who measures may have seen enough.
                let _ = sender.send((Instant::now(), piece.len()));
                Ok(())
            })?;
            stream.write_all(&http::reply(202, &[], b""))?;
            // The next event is asked for: the last one is over.
            http::read_head(&mut reader)?;
            drop(sender);
            reader.read_exact(&mut [0])
        });
        Sink { bootstrap, pieces }
    }
}

/// The release's bootstrap for this machine, as `make` builds it; `ZEROSTRAP_DIST` names another
/// folder than `dist`. Where it is not of this commit, says so, and the test has nothing to do.
fn artifact(test: &str) -> Option<PathBuf> {
    let dist = env::var_os("ZEROSTRAP_DIST").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("dist"),
        PathBuf::from,
    );
    let arch = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "x86_64"
    };
    let path = dist.join(arch).join("bootstrap");
    let commit = env!("ZEROSTRAP_COMMIT").as_bytes();
    let bytes = fs::read(&path).unwrap_or_default();
    if !bytes.is_empty() && (commit.is_empty() || bytes.windows(commit.len()).any(|w| w == commit))
    {
        return Some(path);
    }
    let required = env::var_os("ZEROSTRAP_REQUIRE_DIST").is_some_and(|value| value == "1");
    let why = format!(
        "{} is not there, or not of this commit; run make",
        path.display()
    );
    assert!(!required, "{why}");
    // To the descriptor itself: what a passing test prints is kept back.
    writeln!(io::stderr(), "skipped: {test}: {why}").expect("standard error can be written to");
    None
}

/// The most memory that a process had resident, in KiB.
fn peak_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .expect("VmHWM");
    line.trim()
        .trim_end_matches(" kB")
        .parse()
        .expect("a number of KiB")
}

/// Most memory of the bootstrap while a stream of 200 MB passes through it.
const STREAM_MEMORY_KIB: u64 = 1_024;

#[test]
fn stream_of_200_megabytes_takes_less_than_a_mebibyte_of_memory() {
    let test = "stream_of_200_megabytes_takes_less_than_a_mebibyte_of_memory";
    let Some(artifact) = artifact(test) else {
        return;
    };
    let commands = "head -c 200000000 /dev/zero";
    let folder = Folder::with_script(&format!("handler() {{ {commands}; }}"));
    folder.executable("app", format!("#!/bin/sh\n{commands}\n"));
    for handler in ["app", "function.handler"] {
        let sink = Sink::start(&artifact, &folder, handler);
        let sizes = sink.pieces.iter().map(|(_, size)| size);
        assert_eq!(
            sizes.sum::<usize>(),
            200_000_000,
            "{}",
            sink.bootstrap.log()
        );
        let peak = peak_memory(sink.bootstrap.pid);
        println!("{handler}: peak memory of the bootstrap {peak} KiB");
        assert!(peak <= STREAM_MEMORY_KIB, "{handler}: {peak} KiB");
    }
}

/// Not a check but a measurement, on request: from a handler's write to the byte at the server,
/// beside the same write into a plain pipe.
#[test]
fn measure_latency_of_a_stream() {
    let test = "measure_latency_of_a_stream";
    if env::var_os("ZEROSTRAP_MEASURE").is_none() {
        eprintln!("skipped: {test}: ZEROSTRAP_MEASURE is not set");
        return;
    }
    let Some(artifact) = artifact(test) else {
        return;
    };
    let folder = Folder::with_script("handler() { exec cat <gate; }");
    folder.executable("app", "#!/bin/sh\nexec cat <gate\n");
    let gate = folder.path().join("gate");
    make_fifo(&gate);
    for handler in ["app", "function.handler"] {
        let sink = Sink::start(&artifact, &folder, handler);
        let seen = || sink.pieces.recv_timeout(PATIENCE).expect("a piece").0;
        println!("{handler}, stream: {}", latencies(&gate, seen));
    }
    let mut cat = Command::new("sh");
    cat.args(["-c", "exec cat <gate"])
        .current_dir(folder.path())
        .stdout(Stdio::piped());
    let mut cat = cat.spawn().unwrap();
    let mut pipe = cat.stdout.take().unwrap();
    let seen = || {
        pipe.read_exact(&mut [0]).unwrap();
        Instant::now()
    };
    println!("plain pipe: {}", latencies(&gate, seen));
    cat.wait().unwrap();
}

/// How long a byte takes from the gate through `cat` to where it is seen; the first one, and how
/// it is for a thousand more.
fn latencies(gate: &Path, mut seen: impl FnMut() -> Instant) -> String {
    // Opening waits until the handler is there to read.
    let mut gate = OpenOptions::new().write(true).open(gate).unwrap();
    let mut times: Vec<u128> = Vec::new();
    for _ in 0..1001 {
        // The way is idle before each byte.
        thread::sleep(Duration::from_millis(1));
        let written = Instant::now();
        gate.write_all(b"x").unwrap();
        times.push(seen().duration_since(written).as_nanos() / 1_000);
    }
    let first = times.remove(0);
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    format!(
        "us: first {first}, median {} p90 {} p99 {}",
        at(50),
        at(90),
        at(99)
    )
}
