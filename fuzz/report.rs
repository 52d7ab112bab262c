//! A line of the warm shell's status pipe, which a function can write to as well: what the program
//! reads in it, beside a reference.

#[allow(dead_code, reason = "only a part of it is used")]
#[path = "../src/bootstrap/status.rs"]
mod status;

use status::Report;

pub(super) fn check(line: &[u8]) {
    assert_eq!(
        status::parse_report(line),
        reference(line),
        "{}",
        line.escape_ascii()
    );
}

fn reference(line: &[u8]) -> Option<Report> {
    let line = std::str::from_utf8(line).ok()?;
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["0", "missing\n"] => Some(Report::MissingFunction),
        ["0", "taken\n"] => Some(Report::TakenName),
        ["sourced\n"] => Some(Report::Sourced),
        ["hooked\n"] => Some(Report::Hooked),
        [number, status] => {
            let number = digits(number)?;
            let status = u8::try_from(digits(status.strip_suffix('\n')?)?).ok()?;
            Some(Report::Ended { number, status })
        }
        _ => None,
    }
}

fn digits(word: &str) -> Option<u64> {
    let is_number = !word.is_empty() && word.chars().all(|digit| digit.is_ascii_digit());
    word.parse().ok().filter(|_| is_number)
}
