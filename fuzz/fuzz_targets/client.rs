//! The whole client against a Runtime API that answers its first request with any bytes, and every
//! other one by closing the connection.
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
static REPLY: Mutex<Option<Vec<u8>>> = Mutex::new(None);

fuzz_target!(
    init: start_api(),
    |data: &[u8]| -> Corpus { check(data) }
);

fn check(data: &[u8]) -> Corpus {
    let Some((&pieces, reply)) = data.split_first() else { return Corpus::Reject };
    let Some(expected) = event(reply) else { return Corpus::Reject };
    *REPLY.lock().unwrap() = Some(data.to_vec());
    let handled = Mutex::new(Vec::new());
    let _ = zerostrap::run(|_, event| {
        handled.lock().unwrap().push(event.to_vec());
        Ok(Vec::new())
    });
    let handled = handled.into_inner().unwrap();
    assert_eq!(handled, Vec::from_iter(expected), "in pieces of {pieces}");
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
            if let (Ok(stream), Some(reply)) = (stream, reply) {
                // A client that gives up early resets the connection: no error of this side.
                let _ = answer(stream, &reply);
            }
        }
    });
}

/// Reads a request and answers it in pieces, whose size is the first byte of the input.
fn answer(mut stream: TcpStream, input: &[u8]) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = [0; 4_096];
    let length = stream.read(&mut request)?;
    assert!(request[..length].ends_with(b"\r\n\r\n"), "a request in one write");
    if let Some((&size, reply)) = input.split_first() {
        let size = if size == 0 { reply.len().max(1) } else { usize::from(size) * 4 };
        for piece in reply.chunks(size) {
            stream.write_all(piece)?;
        }
    }
    stream.shutdown(Shutdown::Write)?;
    while stream.read(&mut request)? > 0 {}
    Ok(())
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
