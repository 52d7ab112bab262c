//! Our verdict of an HTTP response, for tests/verdicts/run.py to compare with that of others.
//!
//! In: what a server sent until it closed, on standard input. Out: `taken STATUS BODY`, the body in
//! hexadecimal, or `not taken: WHY`.

use std::io::Read;

use zerostrap::internal::http::INTERIM_REPLY_LIMIT;
use zerostrap::internal::http::body::{Decoder, Framing};
use zerostrap::internal::http::error::Error;
use zerostrap::internal::http::head::Head;

fn main() {
    let mut bytes = Vec::new();
    let read = std::io::stdin().read_to_end(&mut bytes);
    read.expect("standard input can be read");
    match verdict(&bytes) {
        Ok(Some((status, body))) => {
            let body: String = body.iter().map(|byte| format!("{byte:02x}")).collect();
            println!("taken {status} {body}");
        }
        Ok(None) => println!("not taken: it is cut"),
        Err(error) => println!("not taken: {error}"),
    }
}

/// Status and body of a response that is whole.
fn verdict(mut bytes: &[u8]) -> Result<Option<(u16, Vec<u8>)>, Error> {
    for _ in 0..=INTERIM_REPLY_LIMIT {
        let mut head = Head::default();
        bytes = &bytes[head.push(bytes)?..];
        if !head.is_complete() {
            return Ok(None);
        }
        if matches!(head.status, 100 | 102..=199) {
            continue;
        }
        let framing = Framing::of(&head)?;
        if framing == Framing::UntilClose {
            return Err(Error::NoLength);
        }
        let (mut decoder, mut body) = (Decoder::new(framing), Vec::new());
        while !decoder.is_complete() && !bytes.is_empty() {
            let (used, data) = decoder.decode(bytes)?;
            body.extend_from_slice(data);
            bytes = &bytes[used..];
        }
        return Ok(decoder.is_complete().then_some((head.status, body)));
    }
    Ok(None)
}
