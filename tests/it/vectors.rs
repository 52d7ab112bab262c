//! What the fuzz targets check, without a fuzzer: on every input of `fuzz/corpus`, which holds the
//! bytes of all bugs found so far too, on what the fuzzer reached beside them (`fuzz/found`), and on
//! all short sentences over a vocabulary of the words that HTTP framing is made of.

#[path = "../../fuzz/invariants.rs"]
mod invariants;
#[path = "../../fuzz/report.rs"]
mod report;

use std::fs;
use std::path::Path;

#[test]
fn corpus_of_heads_keeps_the_invariants() {
    replay("head", invariants::check_head);
}

#[test]
fn corpus_of_bodies_keeps_the_invariants() {
    replay("body", invariants::check_body);
}

#[test]
fn corpus_of_json_keeps_the_invariants() {
    replay("json", invariants::check_json);
}

#[test]
fn corpus_of_reports_keeps_the_invariants() {
    replay("report", report::check);
}

/// What the client is fed is, after a byte about pieces, a head and a body; here each half is
/// checked by itself.
#[test]
fn corpus_of_the_client_keeps_the_invariants() {
    replay("client", |data| {
        let data = data.get(1..).unwrap_or_default();
        invariants::check_head(data);
        if let invariants::reference::Read::Whole(head) = invariants::reference::head(data) {
            invariants::check_body(&[b"\x06\0\x01", &data[head.length..]].concat());
        }
    });
}

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let mut inputs = found(&folder.join("found").join(target));
    assert!(inputs.len() >= 10, "{} inputs were found", inputs.len());
    for entry in fs::read_dir(folder.join("corpus").join(target)).expect("a corpus") {
        let path = entry.expect("an entry").path();
        let data = fs::read(&path).expect("an input");
        inputs.push((path.display().to_string(), data));
    }
    for (name, data) in inputs {
        let checked = std::panic::catch_unwind(|| check(&data));
        assert!(checked.is_ok(), "{name} breaks an invariant");
    }
}

/// The inputs of a file that fuzz/keep.py wrote, each with its line.
fn found(file: &Path) -> Vec<(String, Vec<u8>)> {
    let text = fs::read_to_string(file).expect("what the fuzzer found");
    let byte = |digits: &[u8]| {
        let digits = str::from_utf8(digits).expect("hexadecimal digits");
        u8::from_str_radix(digits, 16).expect("a byte")
    };
    let lines = text.lines();
    lines
        .map(|line| {
            let data = line.as_bytes().chunks(2).map(byte).collect();
            (line.to_owned(), data)
        })
        .collect()
}

/// Every sentence of up to six words.
#[test]
fn all_short_heads_keep_the_invariants() {
    let words: [&[u8]; 13] = [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 204\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"A: b\r\n",
        b"a:",
        b"\0",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: x, Close\r\n",
        b"\x7f",
    ];
    // A head that does not begin as one is refused at once: all others begin with one of two.
    for first in &words[..2] {
        sentences(&words, 5, &mut first.to_vec(), &mut |data| {
            invariants::check_head(data)
        });
    }
    sentences(&words, 2, &mut Vec::new(), &mut |data| {
        invariants::check_head(data)
    });
}

#[test]
fn all_short_status_lines_keep_the_invariants() {
    let words: [&[u8]; 12] = [
        b"HTTP/1.",
        b"1",
        b"0",
        b"2",
        b" ",
        b"20",
        b"+",
        b"OK",
        b"\xff",
        b"\t",
        b"\x1b",
        b"\r\n\r\n",
    ];
    sentences(&words, 5, &mut b"HTTP/1.1".to_vec(), &mut |data| {
        invariants::check_head(data)
    });
    sentences(&words, 5, &mut Vec::new(), &mut |data| {
        invariants::check_head(data)
    });
}

#[test]
fn all_short_chunked_bodies_keep_the_invariants() {
    let words: [&[u8]; 12] = [
        b"0",
        b"3",
        b"abc",
        b"\r\n",
        b"\n",
        b"\r",
        b";x",
        b" ",
        b"+",
        b"g",
        b"A: b\r\n",
        b"fffffffffffffffff",
    ];
    // Chunked, pieces of one byte.
    sentences(&words, 6, &mut b"\x02\0\0".to_vec(), &mut |data| {
        invariants::check_body(data)
    });
    let start = b"\x02\0\x013\r\nabc\r\n";
    sentences(&words, 5, &mut start.to_vec(), &mut |data| {
        invariants::check_body(data)
    });
}

#[test]
fn bodies_of_every_short_length_keep_the_invariants() {
    for length in 0..=u8::MAX {
        for given in [
            0,
            1,
            2,
            length,
            length.saturating_sub(1),
            length.saturating_add(1),
        ] {
            let body = vec![b'x'; usize::from(given)];
            invariants::check_body(&[&[4, length, length], body.as_slice()].concat());
        }
    }
}

#[test]
fn all_short_json_texts_keep_the_invariants() {
    let words: [&[u8]; 14] = [
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\"errorType\"",
        b"\"\\u00",
        b"\"",
        b"0",
        b"-1.5e+",
        b"tr",
        b"ue",
        b" ",
    ];
    sentences(&words, 5, &mut b"{\"a\":".to_vec(), &mut |data| {
        invariants::check_json(data)
    });
    sentences(&words, 4, &mut Vec::new(), &mut |data| {
        invariants::check_json(data)
    });
    let nested = |depth: usize| [b"{\"a\":".repeat(depth), b"{}".to_vec(), b"}".repeat(depth)];
    for depth in 60..70 {
        invariants::check_json(&nested(depth).concat());
    }
}

/// Calls `check` with `start` followed by each sequence of up to `depth` words.
fn sentences(words: &[&[u8]], depth: usize, start: &mut Vec<u8>, check: &mut dyn FnMut(&[u8])) {
    check(start);
    if depth == 0 {
        return;
    }
    for word in words {
        let length = start.len();
        start.extend_from_slice(word);
        sentences(words, depth - 1, start, check);
        start.truncate(length);
    }
}
