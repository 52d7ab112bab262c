//! The functions that tests/it/panics.rs starts: each panics where its event says, and answers any
//! other event with itself. The variable `FUNCTION` tells which one this process is.

use std::env;
use std::io::Write;
use std::process::ExitCode;

use zerostrap::{Answered, Context, Failure, Handler, Responder, Settings};

fn main() -> ExitCode {
    match env::var("FUNCTION").as_deref() {
        Ok("closure") => zerostrap::run(closure),
        Ok("init") => zerostrap::serve(|_settings| -> Result<Parts, Failure> {
            panic!("words of the init");
        }),
        Ok("hook") => zerostrap::serve(|settings| Ok(Parts::new(settings))),
        Ok("restored") => zerostrap::serve(|_settings| {
            Ok(Parts {
                restore_panics: true,
                ..Parts::default()
            })
        }),
        _ => zerostrap::serve(|_settings| Ok(Parts::default())),
    }
}

fn closure(_context: &Context, event: &[u8]) -> Result<Vec<u8>, Failure> {
    match event {
        b"panic" => panic!("words of number {}", event.len()),
        b"index" => Ok(vec![event[event.len()]]),
        b"value" => std::panic::panic_any(7_u8),
        b"caught" => {
            let caught = std::panic::catch_unwind(|| panic!("words of a caught panic"));
            Ok(caught.is_err().to_string().into_bytes())
        }
        b"hook" => {
            std::panic::set_hook(Box::new(|_| {}));
            panic!("words under its own hook");
        }
        _ => Ok(event.to_vec()),
    }
}

/// Keeps an event until its answer, so that what a panic leaves would be seen in the next one.
#[derive(Default)]
struct Parts {
    event: Vec<u8>,
    hook_panics: bool,
    restore_panics: bool,
    is_last: bool,
}

impl Parts {
    fn new(settings: &Settings) -> Parts {
        Parts {
            hook_panics: settings.is_snap_start,
            ..Parts::default()
        }
    }
}

impl Handler for Parts {
    fn receive(&mut self, part: &[u8]) {
        assert!(part != b"receive", "words of receive");
        self.event.extend_from_slice(part);
    }

    fn handle(&mut self, context: &Context, responder: Responder<'_>) -> Answered {
        match self.event.as_slice() {
            b"handle" => panic!("words of handle"),
            b"unsent" => {
                let _stream = responder.stream("text/plain", context.deadline());
                panic!("words before a stream");
            }
            b"stream" => {
                let mut stream = responder.stream("text/plain", context.deadline());
                stream.write_all(b"begun").expect("the part is sent");
                panic!("words in a stream");
            }
            b"answered" => {
                let _answered = responder.respond("text/plain", b"an answer");
                panic!("words after the answer");
            }
            event => {
                self.is_last = event == b"recover";
                let answered = responder.respond("text/plain", event);
                self.event.clear();
                answered
            }
        }
    }

    fn recover(&mut self) -> Result<(), Failure> {
        assert!(!self.is_last, "words of recover");
        Ok(())
    }

    fn before_snapshot(&mut self) -> Result<(), Failure> {
        assert!(!self.hook_panics, "words of the hook");
        Ok(())
    }

    fn after_restore(&mut self) -> Result<(), Failure> {
        assert!(!self.restore_panics, "words after the restore");
        Ok(())
    }
}
