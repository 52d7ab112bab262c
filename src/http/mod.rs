//! HTTP/1.1 as a client of one server needs it: bytes in, values out.
//!
//! Nothing in this folder knows a socket, a process, a clock or the environment. What is read here
//! comes from outside and is taken as hostile: a reader answers "complete", "more bytes needed" or
//! an error, never a guess. Supported, and nothing else:
//!
//! - replies of HTTP/1.0 and 1.1, framed by Content-Length or by `Transfer-Encoding: chunked` with
//!   extensions and trailers (both skipped), or without a body;
//! - requests with a Content-Length body, a chunked body with trailers, or none.
//!
//! Not supported: obsolete line folding, bare LF, other transfer codings, `Expect`, upgrades,
//! pipelining, HTTP/0.9.

pub mod body;
pub mod head;
pub mod request;

/// Most bytes that a status line and its headers may have.
///
/// Lambda's own limit for an invocation's headers is 1 MB (AWS, Lambda quotas).
pub const HEADER_BLOCK_LIMIT: usize = 1_048_576;

/// Most header lines in a reply, and most trailer lines after a chunked body.
///
/// The Runtime API sends about ten; hyper stops at 100, Apache at 100, nginx has no limit.
pub const HEADER_COUNT_LIMIT: usize = 256;

/// Most bytes in a chunk-size line with its extensions, and in a trailer line.
pub const CHUNK_LINE_LIMIT: usize = 256;

/// Most interim (1xx) replies before a final one.
pub const INTERIM_REPLY_LIMIT: usize = 16;

/// Reads an unsigned number as the grammar of HTTP has it: digits only, at least one.
///
/// The only reader of numbers from the wire: `str::parse` and `from_str_radix` accept a leading
/// `+`. `None` for anything else than digits of `radix` (10 or 16), and for a number over `u64`.
pub fn number(digits: &[u8], radix: u32) -> Option<u64> {
    let value = digits.iter().try_fold(0_u64, |value, &byte| {
        let digit = char::from(byte).to_digit(radix)?;
        value
            .checked_mul(u64::from(radix))?
            .checked_add(u64::from(digit))
    });
    value.filter(|_| !digits.is_empty())
}
