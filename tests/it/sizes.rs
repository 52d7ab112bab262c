//! Events and responses of every size that has a power of two near it, and both limits.

use crate::harness::scripted::{
    ACCEPTED, Kind, PAYLOAD_LIMIT, STDIN, Scene, Setup, chunked_event, event, now_ms, page_faults,
    status_number,
};
use crate::harness::wait::{turn, wait_until};

/// Above the limit on a response and what a debug build needs, and far below what would be there
/// if output without an end were kept.
const PEAK_KIB: u64 = 16_384;

/// 0, 1, and 2^n - 1, 2^n, 2^n + 1 up to the limit; around pages, pipes and buffers too.
fn sizes() -> Vec<usize> {
    let powers = (1..=22).flat_map(|n| [(1 << n) - 1, 1 << n, (1 << n) + 1]);
    let mut sizes: Vec<usize> = [0, 1].into_iter().chain(powers).collect();
    sizes.extend([
        PAYLOAD_LIMIT - 101,
        PAYLOAD_LIMIT - 100,
        PAYLOAD_LIMIT - 1,
        PAYLOAD_LIMIT,
    ]);
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// Any bytes, NUL and invalid UTF-8 among them; no two stretches are alike.
fn bytes() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        // xorshift64.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..=PAYLOAD_LIMIT / 8)
        .flat_map(|_| next().to_le_bytes())
        .collect()
}

/// Text that an argument can hold, with all that a shell might take for its own.
fn text() -> Vec<u8> {
    let line = b"abcdefghij\n klmnop*?$(id)`id`\\\"'{}~!#;&|<>%s\t";
    let mut text = line.repeat(PAYLOAD_LIMIT / line.len() + 1);
    text.truncate(PAYLOAD_LIMIT);
    text
}

fn echo_each_size(kind: Kind, body: &str, environment: &[(&str, &str)], content: &[u8]) {
    let mut scene = Scene::start(&Setup {
        kind,
        body,
        environment,
        under: &[],
    });
    for size in sizes() {
        let mut sent = content[..size].to_vec();
        // A shell drops newlines at the end.
        sent.pop();
        sent.resize(size, b'x');
        // By length; in chunks of a size that no buffer has; in one, as the Runtime API sends it.
        let framings = [
            event("size", "", &sent),
            chunked_event("size", "", &sent, 10_007),
            chunked_event("size", "", &sent, PAYLOAD_LIMIT),
        ];
        for (framing, reply) in framings.iter().enumerate() {
            scene.deliver(reply);
            let answer = scene.expect_answer("size", "response");
            let same = answer.body == sent;
            assert!(
                same,
                "{kind:?}, framing {framing}: {} of {size} bytes",
                answer.body.len()
            );
            scene.send(ACCEPTED);
        }
    }
    scene.expect_next();
    assert_eq!(scene.connections, 2);
    assert_eq!(scene.log_lines(), Vec::<String>::new());
}

#[test]
fn executable_returns_events_of_every_size_byte_for_byte() {
    echo_each_size(Kind::Executable, "exec cat", &[], &bytes());
}

#[test]
fn bash_function_returns_events_of_every_size_byte_for_byte() {
    echo_each_size(Kind::Bash, "cat", &[STDIN], &bytes());
}

#[test]
fn posix_shell_function_returns_events_of_every_size_byte_for_byte() {
    echo_each_size(Kind::PosixShell, "cat", &[STDIN], &bytes());
}

#[test]
fn bash_function_has_events_of_every_size_as_its_argument() {
    echo_each_size(Kind::Bash, "printf %s \"$1\"", &[], &text());
}

#[test]
fn posix_shell_function_has_events_of_every_size_as_its_argument() {
    echo_each_size(Kind::PosixShell, "printf %s \"$1\"", &[], &text());
}

/// A response over the limit: refused once, the handler stopped at once, the loop alive.
fn assert_too_large(kind: Kind, output: &str) {
    let _turn = turn();
    let body = format!(
        "if [ \"${{LAMBDA_RUNTIME_CLIENT_CONTEXT-}}\" = large ]; then\n{output}\nelse\necho alive\nfi"
    );
    let mut scene = Scene::with(kind, &body);
    let begin = now_ms();
    scene.deliver(&event(
        "large",
        "Lambda-Runtime-Client-Context: large\r\n",
        b"{}",
    ));
    let answer = scene.expect_answer("large", "error");
    // Whoever is not stopped is waited for, for 2 s at the least.
    let took = now_ms() - begin;
    assert!(took < 1_900, "{kind:?}: refused after {took} ms");
    let error_type = answer.header("Lambda-Runtime-Function-Error-Type");
    assert_eq!(error_type, Some("Function.ResponseSizeTooLarge"));
    for part in ["\"Function.ResponseSizeTooLarge\"", "6291557", "6291556"] {
        assert!(
            answer.text().contains(part),
            "{kind:?}: no {part} in {}",
            answer.text()
        );
    }
    scene.send(ACCEPTED);
    scene.serve(
        "after",
        "{}",
        if kind == Kind::Executable {
            "alive\n"
        } else {
            "alive"
        },
    );
    scene.expect_next();
    assert_eq!(
        scene
            .requests
            .iter()
            .filter(|request| request.method == "POST")
            .count(),
        2
    );
    assert_eq!(scene.log_lines().len(), 1, "{:?}", scene.log_lines());
    let kept = if kind == Kind::Executable { 1 } else { 2 };
    wait_until("the handler is gone", || scene.processes().len() == kept);
    let peak = status_number(scene.pid(), "VmHWM");
    assert!(peak <= PEAK_KIB, "{kind:?}: {peak} KiB at the peak");
}

#[test]
fn response_one_byte_over_the_limit_is_refused_and_its_handler_stopped() {
    for kind in Kind::ALL {
        assert_too_large(kind, "head -c 6291557 /dev/zero; exec sleep 40");
    }
}

#[test]
fn response_one_byte_over_the_limit_whose_handler_has_ended_is_refused() {
    for kind in Kind::ALL {
        assert_too_large(kind, "exec head -c 6291557 /dev/zero");
    }
}

#[test]
fn response_without_an_end_is_refused_in_bounded_memory() {
    for kind in Kind::ALL {
        assert_too_large(kind, "exec cat /dev/zero");
    }
}

#[test]
fn response_without_an_end_from_many_writers_is_refused_in_bounded_memory() {
    for kind in Kind::ALL {
        assert_too_large(kind, "cat /dev/zero & cat /dev/zero & exec cat /dev/zero");
    }
}

/// What a shell drops does not count: `echo` adds a newline to a response at the limit.
#[test]
fn shell_response_at_the_limit_may_have_newlines_after_it() {
    for kind in [Kind::Bash, Kind::PosixShell] {
        let mut scene = Scene::with(kind, "head -c 6291556 /dev/zero; echo");
        scene.deliver(&event("limit", "", b"{}"));
        let answer = scene.expect_answer("limit", "response");
        assert_eq!(answer.body.len(), PAYLOAD_LIMIT, "{kind:?}");
    }
}

/// A document over its own limit of 256 KiB is no document; the failure says what happened.
#[test]
fn error_document_counts_up_to_its_limit_and_not_past_it() {
    for (length, error_type) in [(262_144, "\"Mine\""), (262_145, "\"Function.ExitNonZero\"")] {
        let rest = r#"{"errorType":"Mine","errorMessage":""}"#.len();
        let body = format!(
            "printf '{{\"errorType\":\"Mine\",\"errorMessage\":\"'\n\
             head -c {} /dev/zero | tr '\\0' x\nprintf '\"}}'\nexit 3",
            length - rest
        );
        for kind in Kind::ALL {
            let mut scene = Scene::with(kind, &body);
            scene.deliver(&event("document", "", b"{}"));
            let answer = scene.expect_answer("document", "error");
            let start = format!("{{\"errorType\":{error_type}");
            assert!(
                answer.text().starts_with(&start),
                "{kind:?}, {length} bytes"
            );
        }
    }
}

/// The buffer of a large event is given back. glibc, which the tests' own build has, learns to keep
/// large blocks; with a fixed threshold it gives them back as the musl of the release does.
#[test]
fn memory_after_large_events_is_what_it_was_before_them() {
    for kind in Kind::ALL {
        let environment = [("MALLOC_MMAP_THRESHOLD_", "131072"), STDIN];
        let setup = Setup {
            kind,
            body: "cat",
            environment: &environment,
            under: &[],
        };
        let mut scene = Scene::start(&setup);
        let large = vec![b'x'; PAYLOAD_LIMIT];
        let mut resident = Vec::new();
        scene.expect_next();
        for round in 0..10 {
            let first = if round == 0 { b"{}" } else { &large[..] };
            for body in [first, b"{}"] {
                scene.send(&event("any", "", body));
                assert!(
                    scene.expect_answer("any", "response").body == body,
                    "{kind:?}"
                );
                scene.send(ACCEPTED);
                // All that an event took is given back by the time that the next is asked for.
                scene.expect_next();
            }
            resident.push(status_number(scene.pid(), "VmRSS"));
        }
        let most = resident[0] + 256;
        assert!(
            resident.iter().all(|kib| *kib <= most),
            "{kind:?}: {resident:?} KiB"
        );
    }
}

/// Up to a mebibyte the memory of a response serves the next one: it is not mapped again, page by
/// page.
#[test]
fn memory_of_a_response_serves_the_next_one_up_to_a_mebibyte() {
    const ROUNDS: u64 = 20;
    for (length, is_kept) in [(1, true), (1_048_576, true), (1_048_577, false)] {
        let setup = Setup {
            kind: Kind::Executable,
            body: "read -r size; exec head -c \"$size\" /dev/zero",
            // As above.
            environment: &[("MALLOC_MMAP_THRESHOLD_", "131072")],
            under: &[],
        };
        let mut scene = Scene::start(&setup);
        scene.expect_next();
        let mut before = 0;
        for round in 0..=ROUNDS {
            // The first round maps what is kept.
            if round == 1 {
                before = page_faults(scene.pid());
            }
            for size in [length, 1] {
                scene.send(&event("any", "", format!("{size}\n").as_bytes()));
                let answer = scene.expect_answer("any", "response");
                assert_eq!(answer.body.len(), size);
                scene.send(ACCEPTED);
                scene.expect_next();
            }
        }
        let faults = page_faults(scene.pid()) - before;
        println!("{length} bytes: {faults} page faults in {ROUNDS} rounds");
        if is_kept {
            assert!(faults < ROUNDS, "{length} bytes: {faults} page faults");
        } else {
            assert!(faults >= ROUNDS, "{length} bytes: {faults} page faults");
        }
    }
}
