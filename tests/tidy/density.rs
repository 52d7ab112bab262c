//! How densely the code is written: what a reader pays for is tokens, not line ends.
//!
//! A token is an identifier, a number, a literal or a punctuation mark. What is counted are the
//! lines of code: no blanks, no comments, no unit tests.

use super::source::{code_lines, functions};
use super::{File, assert_none, code_below, root};

/// Most tokens of code below src/.
///
/// The first proposal was 32,000, for a program that did less, and by a counter that lost strings
/// that go over a line end. The limit was raised openly rather than met by packing, for what the
/// code does since: the conversation with a warm shell whose subshell is forked before its event
/// comes, the guard process that outlives a SIGKILL, restarts in the background, the places where
/// a function failed, panics, and error types with a phrase for each variant. From 45,000 to 46,000:
/// a new handler in place of one that panicked, and pipes whose reader never waits. docs/design.md,
/// "Size of the source", says what each of them is for. From 46,000 to 46,500: options of shopt that
/// the script's functions are to see as they were, panics under a hook of the function, interpreters
/// behind env that do not exist.
const TOKEN_LIMIT: usize = 46_500;

/// Tokens in a line of a function, in tenths: at most so many in half of the functions, and in nine
/// of ten. Libraries that people like to read have 7 to 8.5, and 10 to 12.5.
const MEDIAN_LIMIT: usize = 90;
const P90_LIMIT: usize = 125;

/// Functions of fewer lines say nothing about density.
const SHORTEST: usize = 5;

/// Most columns of a line with a comment of its own; rustfmt leaves comments as they are.
const COMMENT_WIDTH: usize = 100;

/// How many tokens a text has.
pub(crate) fn tokens(text: &str) -> usize {
    let text: Vec<char> = text.chars().collect();
    let mut count = 0;
    let mut at = 0;
    while let Some(&first) = text.get(at) {
        let rest = &text[at..];
        let length = match first {
            '\'' => character(rest).unwrap_or(1),
            '"' => string(rest).unwrap_or(1),
            _ if is_of_word(first) => rest.iter().take_while(|c| is_of_word(**c)).count(),
            _ => 1,
        };
        count += usize::from(!first.is_whitespace());
        at += length;
    }
    count
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of a character literal; a lifetime is none.
fn character(text: &[char]) -> Option<usize> {
    match text {
        ['\'', '\\', _, '\'', ..] => Some(4),
        ['\'', c, '\'', ..] if !matches!(c, '\'' | '\\') => Some(3),
        _ => None,
    }
}

/// The length of a string literal, over lines too.
fn string(text: &[char]) -> Option<usize> {
    let mut at = 1;
    loop {
        match text.get(at)? {
            '"' => return Some(at + 1),
            '\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The code of a file in one text.
fn code(file: &File) -> String {
    code_lines(file)
        .map(|(_, line)| [line, "\n"].concat())
        .collect()
}

/// How many tokens of code a file has.
pub(crate) fn tokens_of(file: &File) -> usize {
    tokens(&code(file))
}

/// Tokens in a line of each function of [`SHORTEST`] lines or more, in tenths, with its place. What
/// follows the function's first line counts, without its closing brace.
fn densities(file: &File) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (name, first, length) in functions(file) {
        let inside = |line: usize| line > first && line < first + length - 1;
        let lines = code_lines(file).filter(|(number, _)| inside(*number));
        let (count, body) = lines.fold((0, String::new()), |(count, body), (_, line)| {
            (count + 1, body + line + "\n")
        });
        if count >= SHORTEST {
            let place = format!("{}:{first} {name}", file.path);
            found.push((10 * tokens(&body) / count, place));
        }
    }
    found
}

/// Comments that end beyond a column.
fn wide_comments(file: &File, width: usize) -> Vec<String> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        let columns = line.chars().count();
        if line.trim_start().starts_with("//") && columns > width {
            findings.push(format!(
                "{}:{number}: a comment of {columns} columns, at most {width}",
                file.path
            ));
        }
    }
    findings
}

#[test]
fn source_is_within_its_budget_of_tokens() {
    let files = code_below("src");
    let count: usize = files.iter().map(tokens_of).sum();
    println!(
        "src: {count} tokens in {} files; the limit is {TOKEN_LIMIT}",
        files.len()
    );
    assert!(
        count <= TOKEN_LIMIT,
        "src has {count} tokens: leave something out"
    );
}

#[test]
fn functions_are_not_packed() {
    let files = code_below("src");
    let mut found: Vec<_> = files.iter().flat_map(densities).collect();
    assert!(found.len() > 100, "only {} functions", found.len());
    found.sort();
    let [median, p90] = [5, 9].map(|tenths| found[found.len() * tenths / 10].0);
    println!(
        "tokens in a line of a function, in tenths: median {median}, p90 {p90}, of {} functions",
        found.len()
    );
    let densest: Vec<&str> = found
        .iter()
        .rev()
        .take(5)
        .map(|(_, place)| &**place)
        .collect();
    assert!(
        median <= MEDIAN_LIMIT && p90 <= P90_LIMIT,
        "lines are packed: median {median}, p90 {p90}; the densest: {densest:?}"
    );
}

#[test]
fn comments_fit_the_page() {
    let files = code_below("src");
    let find = |file| wide_comments(file, COMMENT_WIDTH);
    assert_none(&files.iter().flat_map(find).collect::<Vec<_>>());
}

/// rustfmt as it comes: a file of options could pack the same code into fewer lines.
#[test]
fn format_is_rustfmts_own() {
    for name in ["rustfmt.toml", ".rustfmt.toml"] {
        assert!(!root().join(name).exists(), "{name}: delete it");
    }
}

#[test]
fn tokens_are_counted_as_a_reader_sees_them() {
    let table = [
        ("", 0),
        ("let a = 1_000;", 5),
        ("f(\"a \\\" b\", b\"c\")", 7),
        ("'a', '\\n', '\\''", 5),
        ("fn f<'a>(x: &'a str) {}", 16),
        ("a.b() >> 2", 8),
        ("\"over \\\n lines\"", 1),
        ("open \" quote", 3),
    ];
    for (text, expected) in table {
        assert_eq!(tokens(text), expected, "{text}");
    }
}

#[test]
fn dense_functions_and_wide_comments_are_found() {
    let text =
        "fn one() {\n    a(b);\n    // Why.\n    a(b);\n    a(b);\n    a(b);\n    a(b);\n}\n";
    let file = File {
        path: "src/a.rs".to_owned(),
        text: text.to_owned(),
    };
    assert_eq!(densities(&file), [(50, "src/a.rs:1 one".to_owned())]);
    assert_eq!(tokens_of(&file), 31);
    assert_eq!(wide_comments(&file, 11), [""; 0]);
    assert_eq!(wide_comments(&file, 10).len(), 1);
}
