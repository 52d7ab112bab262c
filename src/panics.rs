//! The words of a panic, for the failure of the event that it ended.
//!
//! In: what a panic says. Out: a failure. It must never hold an event: a panic's words are the
//! function's own.

use std::cell::RefCell;
use std::panic;

use crate::failure::{ErrorType, Failure};

thread_local! {
    /// What the last panic of this thread said, and where.
    static WORDS: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Installs a hook that notes what a panic says, and where. The panic is still printed as before.
pub(crate) fn remember() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let payload = info.payload();
        let text = match (
            payload.downcast_ref::<&str>(),
            payload.downcast_ref::<String>(),
        ) {
            (Some(text), _) => text,
            (None, Some(text)) => text.as_str(),
            (None, None) => "without words",
        };
        let place = match info.location() {
            Some(place) => format!(", at {}:{}", place.file(), place.line()),
            None => String::new(),
        };
        WORDS.set(format!("{text}{place}"));
        print(info);
    }));
}

/// Returns the failure of an event whose function panicked.
pub(crate) fn failure() -> Failure {
    let words = WORDS.take();
    let message = match words.is_empty() {
        true => "the function ended without an answer".to_owned(),
        false => format!("the function panicked: {words}"),
    };
    Failure::of(ErrorType::Panicked, message)
}
