//! The whole client against a Runtime API that answers its first request with any bytes, and the
//! next one with status 500, which ends it.
//!
//! It must come to an end, and hand to the handler exactly the event that the reference finds in
//! those bytes, once, or nothing.
#![no_main]

#[allow(dead_code, reason = "each target uses a part of it")]
#[path = "../invariants.rs"]
mod invariants;

use std::io;

use invariants::reference;
use libfuzzer_sys::{Corpus, fuzz_target};
use zerostrap::internal::settings::from_environment;
use zerostrap::internal::stream::{self, Peer};
use zerostrap::internal::{Address, serve_slot};
use zerostrap::{Answered, Context, Handler, Responder};

/// What ends the client.
const END: &[u8] = b"HTTP/1.1 500 End\r\nContent-Length: 0\r\n\r\n";

fuzz_target!(|data: &[u8]| -> Corpus { check(data) });

/// Keeps each event, and answers it with nothing.
#[derive(Default)]
struct Keeper {
    event: Vec<u8>,
    handled: Vec<Vec<u8>>,
}

impl Handler for Keeper {
    fn receive(&mut self, part: &[u8]) {
        self.event.extend_from_slice(part);
    }

    fn handle(&mut self, _context: &Context, responder: Responder<'_>) -> Answered {
        self.handled.push(std::mem::take(&mut self.event));
        responder.respond("application/json", &[])
    }
}

fn check(data: &[u8]) -> Corpus {
    let Some((&size, bytes)) = data.split_first() else { return Corpus::Reject };
    let Some(expected) = event(bytes) else { return Corpus::Reject };
    let piece = if size == 0 { usize::MAX } else { usize::from(size) * 4 };
    // A connection ends after bytes that are no event; what is asked after an event, or on another
    // connection, gets the end of all.
    let first = match expected {
        Some(_) => vec![bytes.to_vec(), END.to_vec()],
        None => vec![bytes.to_vec()],
    };
    let connections = [first, vec![END.to_vec()]].map(Into::into).into();
    stream::replace(Peer { connections, piece, requests: Vec::new() });
    // Nothing listens there, and nothing connects. A slot, for a whole runtime ends its process.
    let address = Address::parse("127.0.0.1:9", || Err(io::ErrorKind::NotFound.into())).unwrap();
    let settings = from_environment().unwrap();
    let mut keeper = Keeper::default();
    serve_slot(&address, &settings, &mut keeper);
    let handled = keeper.handled;
    let asked = stream::replace(Peer::default()).requests;
    assert_eq!(handled, Vec::from_iter(expected));
    // An event is answered once, whatever comes of the answer, and nothing else is.
    let is_post = |request: &Vec<u8>| request.starts_with(b"POST ");
    assert_eq!(asked.iter().filter(|request| is_post(request)).count(), handled.len());
    assert!(asked.len() <= 3, "{} requests", asked.len());
    Corpus::Keep
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
