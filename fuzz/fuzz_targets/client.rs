//! The whole client against a Runtime API that answers its first request with any bytes, and the
//! next one with status 500, which ends it.
//!
//! It must come to an end, and hand to the handler exactly the event that the reference finds in
//! those bytes, once, or nothing.
#![no_main]

#[allow(dead_code, reason = "each target uses a part of it")]
#[path = "../invariants.rs"]
mod invariants;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Mutex;
use std::thread;

use invariants::reference;
use libfuzzer_sys::{Corpus, fuzz_target};

/// What the next connection is answered with.
static REPLY: Mutex<Option<Reply>> = Mutex::new(None);

struct Reply {
    bytes: Vec<u8>,
    piece: usize,
    /// Whether there is more to come after it: the answer to the event.
    is_event: bool,
}

fuzz_target!(init: start_api(), |data: &[u8]| -> Corpus { check(data) });

fn check(data: &[u8]) -> Corpus {
    let Some((&size, bytes)) = data.split_first() else { return Corpus::Reject };
    let Some(expected) = event(bytes) else { return Corpus::Reject };
    let piece = if size == 0 { usize::MAX } else { usize::from(size) * 4 };
    let reply = Reply { bytes: bytes.to_vec(), piece, is_event: expected.is_some() };
    *REPLY.lock().unwrap() = Some(reply);
    let handled = Mutex::new(Vec::new());
    let _ = zerostrap::run(|_, event| {
        handled.lock().unwrap().push(event.to_vec());
        Ok(Vec::new())
    });
    let handled = handled.into_inner().unwrap();
    assert_eq!(handled, Vec::from_iter(expected));
    assert!(REPLY.lock().unwrap().is_none(), "the API was not asked");
    Corpus::Keep
}

fn start_api() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // SAFETY: this process has one thread yet.
    unsafe { std::env::set_var("AWS_LAMBDA_RUNTIME_API", address) };
    thread::spawn(move || {
        for stream in listener.incoming() {
            let reply = REPLY.lock().unwrap().take();
            // A client that gives up early resets the connection: no error of this side.
            let _ = stream.and_then(|stream| answer(stream, reply));
        }
    });
}

/// Answers a first request with the input; a request after an event, or on another connection,
/// with an end of all.
fn answer(mut stream: TcpStream, reply: Option<Reply>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = [0; 4_096];
    if stream.read(&mut request)? == 0 {
        return Ok(());
    }
    if let Some(reply) = reply {
        for piece in reply.bytes.chunks(reply.piece) {
            stream.write_all(piece)?;
        }
        if !reply.is_event {
            stream.shutdown(Shutdown::Write)?;
        }
        if stream.read(&mut request)? == 0 {
            return Ok(());
        }
    }
    stream.write_all(b"HTTP/1.1 500 End\r\nContent-Length: 0\r\n\r\n")
}

/// The event that a client which keeps all rules takes from a connection that sends `data` and
/// closes; `None` where the outer rules leave it open.
fn event(data: &[u8]) -> Option<Option<Vec<u8>>> {
    let mut rest = data;
    for _ in 0..=16 {
        let reference::Read::Whole(head) = reference::head(rest) else { return Some(None) };
        let Some(framing) = head.framing() else { return Some(None) };
        rest = &rest[head.length..];
        if (100..200).contains(&head.status) {
            continue;
        }
        if head.status == 204 {
            // Asked again after a pause, which would take all of the fuzzer's time.
            return None;
        }
        if describes_twice(&head) {
            return None;
        }
        let id = head.all("Lambda-Runtime-Aws-Request-Id");
        let has_id = matches!(id[..], [id] if !id.is_empty() && id != b"." && id != b"..");
        if !(200..300).contains(&head.status) || !has_id {
            return Some(None);
        }
        return match reference::body(framing, rest) {
            reference::Read::Whole(body) => Some(Some(body.body)),
            reference::Read::More | reference::Read::Bad => Some(None),
        };
    }
    Some(None)
}

/// A header of the event stands twice, which is refused unless its name is no variable's.
fn describes_twice(head: &reference::Head) -> bool {
    let names: Vec<_> = head.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    let described: Vec<_> =
        names.iter().filter(|name| name.starts_with(b"lambda-runtime-")).collect();
    described.iter().any(|name| described.iter().filter(|other| other == &name).count() > 1)
}
