//! Panics of functions, and their words for the failure of the event that they ended.
//!
//! In: what may panic. Out: its result, or a failure. It must never hold an event: a panic's words
//! are the function's own.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};

use crate::failure::{ErrorType, Failure};

thread_local! {
    /// What the last panic of this thread said, and where.
    static WORDS: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Installs a hook that notes what a panic says, and where. The panic is still printed as before.
pub(crate) fn remember() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        WORDS.set(info.to_string());
        print(info);
    }));
}

/// Returns what `work` returns.
///
/// # Errors
/// Its own, or `Function.Panicked`. What a panic leaves half done is not to be used again.
pub(crate) fn catch<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    // What an earlier event noted is not this one's: its function may have caught that panic.
    WORDS.take();
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|value| {
        // The hook noted nothing where the function has set its own.
        if WORDS.with_borrow(String::is_empty) {
            WORDS.set(words_of(&*value));
        }
        Err(failure())
    })
}

/// Returns the words of a panic by its value, which is text unless `panic_any` made it.
fn words_of(value: &(dyn Any + Send)) -> String {
    let literal = value.downcast_ref::<&str>().copied();
    let text = literal.or_else(|| value.downcast_ref().map(String::as_str));
    match text {
        Some(text) => format!("panicked: {text}"),
        None => "panicked".to_owned(),
    }
}

/// Returns the failure of an event whose function panicked, or gave no answer.
pub(crate) fn failure() -> Failure {
    let words = WORDS.take();
    let message = match words.is_empty() {
        true => "the function ended without an answer".to_owned(),
        // The place is on a line of its own.
        false => format!("the function {}", words.replacen('\n', " ", 1)),
    };
    Failure::of(ErrorType::Panicked, message)
}
