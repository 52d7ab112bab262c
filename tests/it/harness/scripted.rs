//! A Runtime API that sends the bytes it is told to, and a bootstrap that runs against it.
//!
//! In: a handler's text, settings, and byte strings. Out: the requests as they came, the log, the
//! exit code, and what `/proc` knows of the processes. It shares no code with `src/`, since a bug
//! in both would cancel itself out. It never waits without a bound, and never sleeps for a fixed
//! time where there is a condition to wait for.

use super::attendants;
use super::folder::Folder;
use super::wait::{PATIENCE, wait_until};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Largest event and largest response that Lambda passes on: 6 MiB and 100 bytes.
pub(crate) const PAYLOAD_LIMIT: usize = 6_291_556;

/// What the Runtime API says when it took an answer.
pub(crate) const ACCEPTED: &[u8] = b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\n\
    Content-Length: 16\r\n\r\n{\"status\":\"OK\"}\n";

/// Has a shell function's event on its standard input, where an executable's always is.
pub(crate) const STDIN: (&str, &str) = ("BOOTSTRAP_EVENT_VIA", "stdin");

/// Milliseconds since 1970, as deadlines are written.
pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970");
    u64::try_from(now.as_millis()).expect("a clock before the year 500,000,000")
}

/// A reply to `GET /next`, framed by its length. `headers`: complete lines, or none.
pub(crate) fn event(id: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut reply = format!(
        "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: {id}\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    reply.extend_from_slice(body);
    reply
}

/// The same event in chunks of at most `size` bytes.
pub(crate) fn chunked_event(id: &str, headers: &str, body: &[u8], size: usize) -> Vec<u8> {
    let mut reply = format!(
        "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: {id}\r\n{headers}\
         Transfer-Encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    for chunk in body.chunks(size) {
        reply.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        reply.extend_from_slice(chunk);
        reply.extend_from_slice(b"\r\n");
    }
    reply.extend_from_slice(b"0\r\n\r\n");
    reply
}

/// How a handler is run: the same shell text serves as an executable and as a shell function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Executable,
    Bash,
    PosixShell,
}

impl Kind {
    pub(crate) const ALL: [Kind; 3] = [Kind::Executable, Kind::Bash, Kind::PosixShell];

    /// Writes the handler that has `body` as its text; gives the value for `_HANDLER`.
    pub(crate) fn write(self, folder: &Folder, body: &str) -> &'static str {
        match self {
            Kind::Executable => {
                folder.executable("app", format!("#!/bin/sh\n{body}\n"));
                "app"
            }
            Kind::Bash | Kind::PosixShell => {
                let interpreter = if self == Kind::Bash {
                    "/bin/bash"
                } else {
                    "/bin/sh"
                };
                let script = format!("#!{interpreter}\nhandler() {{\n{body}\n}}\n");
                folder.file("function.sh", &script);
                "function.handler"
            }
        }
    }
}

/// A request as it came over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Lines after a chunked body, in the form of headers.
    pub(crate) trailers: Vec<(String, String)>,
    /// Which connection it came on, counted from 1.
    pub(crate) connection: usize,
    /// When its last byte was there.
    pub(crate) at: Instant,
}

impl Request {
    pub(crate) fn is_next(&self) -> bool {
        self.method == "GET" && self.path == "/2018-06-01/runtime/invocation/next"
    }

    /// For a POST about an event: its request id and `response` or `error`.
    pub(crate) fn answer(&self) -> Option<(&str, &str)> {
        let rest = self.path.strip_prefix("/2018-06-01/runtime/invocation/")?;
        let (id, what) = rest.rsplit_once('/')?;
        (self.method == "POST").then_some((id, what))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self
            .headers
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(
            found.next().is_none(),
            "{name} was sent twice: {:?}",
            self.headers
        );
        value
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Reads one request, of which so much was `received`. `None`: the peer closed before its first byte. Panics on one that a strict
/// server would refuse, so that every test is a test of what the client writes.
pub(crate) fn read_request(
    stream: &mut TcpStream,
    connection: usize,
    mut received: Vec<u8>,
) -> Option<Request> {
    let head_end = loop {
        if let Some(at) = received.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if read_some(stream, &mut received) == 0 {
            let text = String::from_utf8_lossy(&received);
            assert!(
                received.is_empty(),
                "the connection ended inside a request head: {text:?}"
            );
            return None;
        }
    };
    let head = String::from_utf8(received.drain(..head_end).collect()).expect("a head in UTF-8");
    let mut lines = head.trim_end_matches("\r\n").split("\r\n");
    let first: Vec<&str> = lines.next().expect("a request line").split(' ').collect();
    let [method, path, "HTTP/1.1"] = first[..] else {
        panic!("bad request line: {first:?}")
    };
    let headers: Vec<_> = lines.map(field).collect();
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        headers,
        body: Vec::new(),
        trailers: Vec::new(),
        connection,
        at: Instant::now(),
    };
    assert!(
        request.header("host").is_some(),
        "a request without Host: {head:?}"
    );
    match (
        request.header("content-length"),
        request.header("transfer-encoding"),
    ) {
        (Some(length), None) => {
            let length: usize = length.parse().expect("a length");
            received.reserve(length);
            while received.len() < length {
                assert_ne!(
                    read_some(stream, &mut received),
                    0,
                    "a request body was cut short"
                );
            }
            let rest = received.split_off(length);
            request.body = std::mem::replace(&mut received, rest);
        }
        (None, Some("chunked")) => read_chunks(stream, &mut received, &mut request),
        (None, None) => assert_eq!(method, "GET", "a {method} without a length"),
        both => panic!("conflicting framing: {both:?}"),
    }
    assert!(received.is_empty(), "bytes after the request: {received:?}");
    request.at = Instant::now();
    Some(request)
}

fn read_chunks(stream: &mut TcpStream, received: &mut Vec<u8>, request: &mut Request) {
    loop {
        let line = read_line(stream, received);
        let size = usize::from_str_radix(&line, 16).expect("a chunk size");
        if size == 0 {
            break;
        }
        while received.len() < size + 2 {
            assert_ne!(read_some(stream, received), 0, "a chunk was cut short");
        }
        request.body.extend(received.drain(..size));
        assert_eq!(
            received.drain(..2).collect::<Vec<_>>(),
            b"\r\n",
            "the end of a chunk"
        );
    }
    loop {
        let line = read_line(stream, received);
        if line.is_empty() {
            return;
        }
        request.trailers.push(field(&line));
    }
}

fn read_line(stream: &mut TcpStream, received: &mut Vec<u8>) -> String {
    loop {
        if let Some(at) = received.windows(2).position(|two| two == b"\r\n") {
            let line = received.drain(..at + 2).take(at).collect();
            return String::from_utf8(line).expect("a line in UTF-8");
        }
        assert_ne!(read_some(stream, received), 0, "a line was cut short");
    }
}

fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').expect("a header with a colon");
    (name.to_owned(), value.trim().to_owned())
}

/// Appends what there is to read; 0 at the end of the connection, however it came about.
fn read_some(stream: &mut TcpStream, received: &mut Vec<u8>) -> usize {
    let mut piece = [0; 65536];
    loop {
        match stream.read(&mut piece) {
            Ok(count) => {
                received.extend_from_slice(&piece[..count]);
                return count;
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return 0,
            // The end of any child interrupts a read that has a bound.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("waited {PATIENCE:?} for bytes of a request: {error}"),
        }
    }
}

/// What a scene starts with.
pub(crate) struct Setup<'a> {
    pub(crate) kind: Kind,
    /// The handler's text.
    pub(crate) body: &'a str,
    /// Further variables of the bootstrap.
    pub(crate) environment: &'a [(&'a str, &'a str)],
    /// Program and arguments that the bootstrap is started under, which end in exec; may be empty.
    pub(crate) under: &'a [&'a str],
}

/// The scripted Runtime API with the bootstrap that talks to it.
pub(crate) struct Scene {
    pub(crate) folder: Folder,
    pub(crate) process: Child,
    listener: Option<TcpListener>,
    address: SocketAddr,
    open: Option<TcpStream>,
    parked: Vec<TcpStream>,
    /// Bytes of the next request that came with the last one, which had been replied to before.
    ahead: Vec<u8>,
    /// Connections that the bootstrap opened so far.
    pub(crate) connections: usize,
    /// All requests so far, without their bodies.
    pub(crate) requests: Vec<Request>,
    ended: Option<ExitStatus>,
}

impl Scene {
    pub(crate) fn start(setup: &Setup<'_>) -> Scene {
        let folder = Folder::new();
        let handler = setup.kind.write(&folder, setup.body);
        Scene::start_in(folder, handler, setup.environment, setup.under)
    }

    /// A handler without further settings.
    pub(crate) fn with(kind: Kind, body: &str) -> Scene {
        Scene::start(&Setup {
            kind,
            body,
            environment: &[],
            under: &[],
        })
    }

    pub(crate) fn start_in(
        folder: Folder,
        handler: &str,
        environment: &[(&str, &str)],
        under: &[&str],
    ) -> Scene {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener
            .set_nonblocking(true)
            .expect("a listener that does not block");
        let address = listener.local_addr().expect("its address");
        let log = fs::File::create(folder.path().join("log")).expect("a log file");
        let bootstrap = env!("CARGO_BIN_EXE_bootstrap");
        let mut words = under.iter().copied().chain([bootstrap]);
        let process = Command::new(words.next().expect("a program"))
            .args(words)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").expect("a PATH"))
            .env("LAMBDA_TASK_ROOT", folder.path())
            .env("_HANDLER", handler)
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("FOLDER", folder.path())
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log)
            .spawn()
            .expect("a bootstrap");
        Scene {
            folder,
            process,
            listener: Some(listener),
            address,
            open: None,
            parked: Vec::new(),
            ahead: Vec::new(),
            connections: 0,
            requests: Vec::new(),
            ended: None,
        }
    }

    /// All that the bootstrap and its handlers wrote to standard output and error.
    pub(crate) fn log(&self) -> String {
        self.folder.read("log")
    }

    /// The lines of the bootstrap itself: `bootstrap: LEVEL …`.
    pub(crate) fn log_lines(&self) -> Vec<String> {
        let is_own = |line: &&str| {
            let level = line
                .strip_prefix("bootstrap: ")
                .and_then(|rest| rest.split(' ').next());
            level.is_some_and(|level| ["INFO", "WARN", "ERROR", "FATAL"].contains(&level))
        };
        self.log()
            .lines()
            .filter(is_own)
            .map(str::to_owned)
            .collect()
    }

    /// The next request, on the open connection or on a new one. `None`: the bootstrap ended.
    #[track_caller]
    pub(crate) fn request(&mut self) -> Option<Request> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(mut stream) = self.open.take() {
                let ahead = std::mem::take(&mut self.ahead);
                if let Some(request) = read_request(&mut stream, self.connections, ahead) {
                    self.open = Some(stream);
                    self.requests.push(Request {
                        body: Vec::new(),
                        ..request.clone()
                    });
                    return Some(request);
                }
            } else if !self.accept() {
                // A connection may have come between the look at the listener and the end.
                if self.has_ended() && !self.accept() {
                    return None;
                }
                let log = self.log();
                assert!(
                    Instant::now() < end,
                    "no request within {PATIENCE:?}; log: {log}"
                );
                thread::sleep(Duration::from_micros(200));
            }
        }
    }

    /// Takes a connection if one is there.
    pub(crate) fn accept(&mut self) -> bool {
        let Some(listener) = &self.listener else {
            return false;
        };
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).expect("a stream that blocks");
                stream
                    .set_read_timeout(Some(PATIENCE))
                    .expect("a bound on reads");
                stream
                    .set_write_timeout(Some(PATIENCE))
                    .expect("a bound on writes");
                stream.set_nodelay(true).expect("pieces sent as they are");
                self.open = Some(stream);
                self.connections += 1;
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => panic!("accept: {error}"),
        }
    }

    /// Waits for `GET /next`.
    #[track_caller]
    pub(crate) fn expect_next(&mut self) -> Request {
        let request = self.request();
        let Some(request) = request else {
            panic!("ended before /next; log: {}", self.log())
        };
        assert!(
            request.is_next(),
            "expected GET /next, got {request:?}; log: {}",
            self.log()
        );
        request
    }

    /// Waits for the answer to an event: `response` or `error`.
    #[track_caller]
    pub(crate) fn expect_answer(&mut self, id: &str, what: &str) -> Request {
        let request = self.request();
        let Some(request) = request else {
            panic!("ended, no answer to {id}: {}", self.log())
        };
        let answer = request.answer();
        let log = self.log();
        let start: String = request.text().chars().take(2_000).collect();
        assert_eq!(answer, Some((id, what)), "{start}; log: {log}");
        request
    }

    /// Waits for `GET /next` and answers it.
    #[track_caller]
    pub(crate) fn deliver(&mut self, reply: &[u8]) {
        self.expect_next();
        self.send(reply);
    }

    /// Serves one small event and checks its response: the loop is alive and in step.
    #[track_caller]
    pub(crate) fn serve(&mut self, id: &str, body: &str, response: &str) {
        self.deliver(&event(id, "", body.as_bytes()));
        let answer = self.expect_answer(id, "response");
        assert_eq!(answer.text(), response, "log: {}", self.log());
        self.send(ACCEPTED);
    }

    fn stream(&mut self) -> &mut TcpStream {
        self.open.as_mut().expect("an open connection")
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream().write_all(bytes).expect("bytes sent");
    }

    /// Sends what the peer takes; `false` when it closed the connection before the end.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream().write_all(bytes).is_ok()
    }

    /// Sends, and waits until the bootstrap has read all of it: what comes next is then certain to
    /// be seen as a piece of its own.
    #[track_caller]
    pub(crate) fn send_alone(&mut self, bytes: &[u8]) {
        self.send(bytes);
        self.wait_until_taken();
    }

    /// Over the loopback what was sent is in the peer's queue when the write returns, and makes the
    /// peer runnable. When it sleeps again, it has taken all and waits for more.
    #[track_caller]
    fn wait_until_taken(&mut self) {
        wait_until("the bootstrap has read what was sent", || {
            state(self.pid()) != Some('R')
        });
    }

    /// Ends the connection as a server does.
    pub(crate) fn close(&mut self) {
        self.open = None;
    }

    /// Ends one direction: the bootstrap reads an end, yet can still send.
    pub(crate) fn half_close(&mut self) {
        self.stream()
            .shutdown(Shutdown::Write)
            .expect("one direction closed");
    }

    /// Waits for a connection that comes in place of the one that was closed.
    #[track_caller]
    pub(crate) fn wait_for_connection(&mut self) {
        wait_until("a connection comes", || {
            self.open.is_some() || self.accept()
        });
    }

    /// Puts the connection aside, open and unread; the next request comes on another.
    pub(crate) fn park(&mut self) {
        self.parked.extend(self.open.take());
    }

    /// Takes back the connection that was put aside first.
    pub(crate) fn unpark(&mut self) {
        self.park();
        self.open = Some(self.parked.remove(0));
    }

    /// Waits for a request and leaves its last byte unread. Closing then resets the connection
    /// (RFC 9293 §3.6.1: data was lost), which `std` has no other way to do.
    #[track_caller]
    pub(crate) fn leave_request_unread(&mut self) {
        self.take_part_of_request(|seen| {
            (request_length(seen)? == seen.len()).then(|| seen.len() - 1)
        });
    }

    /// Waits for the head of a request and leaves its body unread.
    #[track_caller]
    pub(crate) fn take_head_of_request(&mut self) {
        self.take_part_of_request(head_length);
    }

    #[track_caller]
    fn take_part_of_request(&mut self, wanted: fn(&[u8]) -> Option<usize>) {
        let mut seen = vec![0; 65536];
        let mut part = None;
        wait_until("the request has come so far", || {
            if self.open.is_none() && !self.accept() {
                return false;
            }
            match self.stream().peek(&mut seen) {
                // The bootstrap gave this connection up; the request comes on another.
                Ok(0) => self.close(),
                Ok(length) => part = wanted(&seen[..length]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => self.close(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("waited {PATIENCE:?} for bytes of a request: {error}"),
            }
            part.is_some()
        });
        let mut taken = vec![0; part.expect("a part of a request")];
        self.stream().read_exact(&mut taken).expect("that part");
        let text = String::from_utf8_lossy(&taken).into_owned();
        let mut words = text.split(' ').map(str::to_owned);
        self.requests.push(Request {
            method: words.next().expect("a method"),
            path: words.next().expect("a path"),
            headers: Vec::new(),
            body: Vec::new(),
            trailers: Vec::new(),
            connection: self.connections,
            at: Instant::now(),
        });
    }

    /// Reads the chunks of a body whose head was taken.
    #[track_caller]
    pub(crate) fn take_chunks(&mut self) -> Vec<u8> {
        let mut request = self.requests.last().expect("a head").clone();
        let mut received = Vec::new();
        read_chunks(self.stream(), &mut received, &mut request);
        self.ahead = received;
        request.body
    }

    /// As [`Scene::leave_request_unread`]; then replies, waits until that was read, and resets.
    pub(crate) fn reply_then_reset(&mut self, reply: &[u8]) {
        self.leave_request_unread();
        if !reply.is_empty() {
            self.send_alone(reply);
        }
        self.close();
    }

    /// No connection is accepted from now on.
    pub(crate) fn stop_listening(&mut self) {
        self.listener = None;
    }

    /// Listens at the same port again.
    pub(crate) fn listen_again(&mut self) {
        let listener = TcpListener::bind(self.address).expect("the same port");
        listener
            .set_nonblocking(true)
            .expect("a listener that does not block");
        self.listener = Some(listener);
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.process.try_wait().expect("a child's status");
        }
        self.ended.is_some()
    }

    /// Waits for the end; the exit code, or the signal as a negative number.
    #[track_caller]
    pub(crate) fn exit_code(&mut self) -> i32 {
        let end = Instant::now() + PATIENCE;
        while !self.has_ended() {
            assert!(
                Instant::now() < end,
                "still running after {PATIENCE:?}: {}",
                self.log()
            );
            thread::sleep(Duration::from_micros(200));
        }
        let status = self.ended.expect("a status");
        status
            .code()
            .unwrap_or_else(|| -status.signal().expect("a signal"))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The living processes of this scene's bootstrap, itself among them, without its attendants.
    pub(crate) fn processes(&self) -> Vec<u32> {
        attendants::without_attendants(self.everyone())
    }

    /// All living processes that descend from this scene's bootstrap, itself among them: they
    /// carry its folder in their environment, also when they left its group and session.
    pub(crate) fn everyone(&self) -> Vec<u32> {
        let mark = format!("FOLDER={}\0", self.folder.path().display());
        pids()
            .filter(|pid| environment_has(*pid, mark.as_bytes()))
            .collect()
    }

    /// The same without the bootstrap and the warm shell that it keeps.
    pub(crate) fn command_lines(&self) -> Vec<String> {
        let others = self
            .processes()
            .into_iter()
            .filter(|&pid| pid != self.pid());
        others.map(command_line).collect()
    }

    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        signal(name, self.pid());
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // Already gone is as good. The bootstrap first, so that it starts nothing more.
        let _ = self.process.kill();
        let _ = self.process.wait();
        for pid in self.everyone() {
            signal("KILL", pid);
        }
    }
}

/// A pipe with a name: whoever opens it to read waits until another opens it to write.
pub(crate) fn make_fifo(path: &Path) {
    let status = Command::new("mkfifo")
        .arg(path)
        .status()
        .expect("mkfifo(1)");
    assert!(status.success(), "mkfifo: {status}");
}

/// Sends a signal by name. `std` can only kill, and only a child.
pub(crate) fn signal(name: &str, pid: u32) {
    // The shell's own, as kill(1) is a package of its own that small systems lack.
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &pid.to_string()])
        .stderr(Stdio::null());
    // A process that ended in the meantime is none to worry about: no look at the status.
    shell.status().expect("/bin/sh runs");
}

/// How long the head at the start of `bytes` is, once it is complete.
fn head_length(bytes: &[u8]) -> Option<usize> {
    Some(bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4)
}

/// How long the request at the start of `bytes` is, once its head is complete.
fn request_length(bytes: &[u8]) -> Option<usize> {
    let head = head_length(bytes)?;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    Some(head + length.unwrap_or(0))
}

/// A process's state as one letter: R, S, D, Z and so on.
pub(crate) fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold spaces and parentheses; what follows its last one does not.
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").expect("/proc");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn environment_has(pid: u32, mark: &[u8]) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.windows(mark.len()).any(|window| window == mark)
}

/// A process's words, with spaces between.
pub(crate) fn command_line(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes)
        .replace('\0', " ")
        .trim_end()
        .to_owned()
}

/// A number from `/proc/PID/status`, in KiB where it is a size.
pub(crate) fn status_number(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a living process");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("no {field}: {status}"))
}

/// Processor time that a process has used, in the kernel's ticks of 10 ms.
pub(crate) fn ticks(pid: u32) -> u64 {
    let fields = stat_numbers(pid);
    fields[11] + fields[12]
}

/// How often a process found a page of its memory not mapped, without a read from a disk.
pub(crate) fn page_faults(pid: u32) -> u64 {
    stat_numbers(pid)[7]
}

/// The fields of `/proc/PID/stat` after the name; those that are no natural numbers are 0.
fn stat_numbers(pid: u32) -> Vec<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a living process");
    // The name may hold spaces and parentheses; what follows its last one does not.
    let fields = stat.rsplit_once(')').expect("a name").1;
    let numbers = fields.split_whitespace();
    numbers.map(|field| field.parse().unwrap_or(0)).collect()
}

/// Descriptors that a process has open.
pub(crate) fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("a living process")
        .count()
}

/// Why a tool cannot be used here, and what brings it; `None` if it can be used.
pub(crate) fn missing(words: &[&str]) -> Option<String> {
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .stdin(Stdio::null());
    match command.output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(format!(
            "{}; it may need root",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Err(_) => Some(format!(
            "there is no {0}; run: apt-get install {0}",
            words[0]
        )),
    }
}

/// Whether strace(1) can be used here; says why not.
pub(crate) fn can_trace(test: &str) -> bool {
    let why = missing(&["strace", "-qq", "-o", "/dev/null", "true"]);
    if let Some(why) = &why {
        eprintln!("skipped: {test}: {why}");
    }
    why.is_none()
}
