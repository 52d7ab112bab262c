//! What the code may hold, and how much of it.
//!
//! The code is formatted by rustfmt, which the rules lean on: a function ends at the first line
//! that is its closing brace at its own depth, and a comment stands on lines of its own.

use super::{File, assert_none, code_below, read, root};

/// Most tokens below src/, without comments and unit tests: what an auditor reads, whatever the line
/// breaks. 32,000 was the aim; the conversation with the warm shell, the guard, restarts in the
/// background, places of failures, panics and a phrase for each error are more than that. It was
/// raised rather than met by packing.
const TOKEN_LIMIT: usize = 45_000;

/// Most tokens on a line of a function, in the median and in the densest tenth. The figures of code
/// that engineers like to read are 7 to 8.5 and 10 to 12.5.
const MEDIAN_DENSITY_LIMIT: f64 = 9.0;
const P90_DENSITY_LIMIT: f64 = 12.5;

/// Functions of fewer lines say little about density.
const DENSITY_LEAST_LINES: usize = 5;

/// Most lines of any kind in one function.
const FUNCTION_LIMIT: usize = 70;

/// Most columns of a comment. rustfmt leaves comments alone.
const COMMENT_LIMIT: usize = 100;

/// The one file that may hold `unsafe`.
const UNSAFE_FILE: &str = "src/bootstrap/sys.rs";

/// Lines of code with their numbers: no blanks, no comments, no unit tests.
pub(crate) fn code_lines(file: &File) -> impl Iterator<Item = (usize, &str)> {
    let comment = if file.path.ends_with(".rs") {
        "//"
    } else {
        "#"
    };
    let lines = (1..).zip(file.text.lines());
    let lines = lines.take_while(|(_, line)| !line.starts_with("#[cfg(test)]"));
    lines.filter(move |(_, line)| {
        let line = line.trim_start();
        !line.is_empty() && !line.starts_with(comment)
    })
}

/// Functions by name, first line and length.
fn functions(file: &File) -> Vec<(String, usize, usize)> {
    let lines: Vec<&str> = file.text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let (qualifiers, rest) = match code.split_once("fn ") {
            Some(parts) if !code.starts_with("//") => parts,
            _ => continue,
        };
        let qualifies = |word: &str| {
            word.starts_with("pub")
                || ["const", "unsafe", "extern", "\"C\"", "safe"].contains(&word)
        };
        if !qualifiers.split_whitespace().all(qualifies) {
            continue;
        }
        let name: String = rest
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        let end = format!("{}}}", &line[..line.len() - code.len()]);
        let body = &lines[index..];
        // A declaration ends in a semicolon before any body begins.
        let first_end = body
            .iter()
            .position(|line| line.ends_with(';') || line.contains('{'));
        let has_body = first_end.is_some_and(|at| body[at].contains('{'));
        let on_one_line = first_end.is_some_and(|at| body[at].ends_with('}'));
        if has_body && !on_one_line {
            let length = body
                .iter()
                .position(|line| *line == end)
                .expect("a closing brace")
                + 1;
            found.push((name, index + 1, length));
        }
    }
    found
}

/// Tokens of a text: identifiers, numbers, literals and punctuation marks.
pub(crate) fn tokens(text: &str) -> usize {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut count = 0;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else {
            literal_length(rest).unwrap_or(first.len_utf8())
        };
        if !first.is_whitespace() {
            count += 1;
        }
        rest = &rest[length..];
    }
    count
}

/// The length of a character or a string in quotes, if the text starts with one.
fn literal_length(text: &str) -> Option<usize> {
    let mut chars = text.char_indices();
    let (_, quote) = chars.next().filter(|(_, c)| matches!(c, '\'' | '"'))?;
    let mut inner = 0;
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return (quote == '"' || inner == 1).then_some(at + 1);
        }
        if c == '\\' {
            chars.next();
        }
        inner += 1;
        if quote == '\'' && inner > 1 {
            return None;
        }
    }
    None
}

/// The code of a file: no unit tests, no lines that are comments.
pub(crate) fn code(file: &File) -> String {
    let comment = if file.path.ends_with(".rs") {
        "//"
    } else {
        "#"
    };
    file.text
        .lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .filter(|line| !line.trim_start().starts_with(comment))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Tokens a line of each function that is long enough.
fn densities(file: &File) -> Vec<f64> {
    let lines: Vec<&str> = file.text.lines().collect();
    let tests = lines
        .iter()
        .position(|line| line.starts_with("#[cfg(test)]"));
    let mut found = Vec::new();
    for (_, first, length) in functions(file) {
        if tests.is_some_and(|tests| first > tests) {
            continue;
        }
        let body = &lines[first..first + length - 2];
        let is_code = |line: &&&str| {
            let line = line.trim_start();
            !line.is_empty() && !line.starts_with("//")
        };
        let body: Vec<&str> = body.iter().filter(is_code).copied().collect();
        if body.len() >= DENSITY_LEAST_LINES {
            found.push(tokens(&body.join("\n")) as f64 / body.len() as f64);
        }
    }
    found
}

fn too_long(file: &File, function_limit: usize) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, line, length) in functions(file) {
        if length > function_limit {
            findings.push(format!(
                "{}:{line}: {name} has {length} lines, at most {function_limit}: split it",
                file.path
            ));
        }
    }
    for (number, line) in (1..).zip(file.text.lines()) {
        let is_comment = line.trim_start().starts_with("//");
        if is_comment && line.chars().count() > COMMENT_LIMIT {
            findings.push(format!(
                "{}:{number}: a comment of over {COMMENT_LIMIT} columns: break it",
                file.path
            ));
        }
    }
    findings
}

/// A word that some files must not hold.
struct Ban {
    word: &'static str,
    /// Paths begin so where it is banned.
    within: &'static [&'static str],
    /// Paths where it stands all the same.
    except: &'static [&'static str],
    instead: &'static str,
}

const SRC: &[&str] = &["src/"];
const HTTP: &[&str] = &["src/http/"];
const BINARY: &[&str] = &[
    "src/bootstrap/main.rs",
    "src/bootstrap/sys.rs",
    "src/bootstrap/handler/",
];

const PANICS: &str = "return an error: a panic ends the process in the middle of an event";
const PRINTS: &str = "log::write: it knows the log's form and does not panic on a closed one";
const WRITES: &str = "sys::memory_file: the program writes no file that has a name";
const LISTENS: &str = "nothing: the program talks to the Runtime API, over address.rs, only";
const PURE: &str = "a parameter: src/http/ turns bytes into values and knows no outside";
const CHILDREN: &str = "sys::spawn: std's Command sets no process group that is watched by pidfd";
const THREADS: &str = "sys::poll: a thread that waits for a handler can be held by it";
const NUMBERS: &str = "http::number: parsers of std take a leading `+`";
const UNFINISHED: &str = "do it, or file an issue";
const LINTS: &str = "code that the lint accepts";

const fn ban(
    word: &'static str,
    within: &'static [&'static str],
    except: &'static [&'static str],
    instead: &'static str,
) -> Ban {
    Ban {
        word,
        within,
        except,
        instead,
    }
}

const BANS: &[Ban] = &[
    ban("println!(", SRC, &[], PRINTS),
    ban("print!(", SRC, &[], PRINTS),
    ban("dbg!(", SRC, &[], PRINTS),
    ban(".unwrap()", SRC, &[], PANICS),
    ban(".expect(", SRC, &[], PANICS),
    ban("panic!(", SRC, &[], PANICS),
    ban("todo!(", SRC, &[], PANICS),
    ban("unreachable!(", SRC, &[], PANICS),
    ban("unimplemented!(", SRC, &[], PANICS),
    ban("assert!(", SRC, &[], PANICS),
    ban("assert_eq!(", SRC, &[], PANICS),
    ban("from_str_radix", SRC, &[], NUMBERS),
    ban(".parse::<u", SRC, &[], NUMBERS),
    ban(".parse", HTTP, &[], NUMBERS),
    ban("std::process::Command", BINARY, &[], CHILDREN),
    ban("Command::new", SRC, &[], CHILDREN),
    ban("thread::", BINARY, &[], THREADS),
    ban(
        "use std::{",
        HTTP,
        &[],
        "a line each: this list looks for whole paths",
    ),
    ban("std::net", HTTP, &[], PURE),
    ban("std::io", HTTP, &[], PURE),
    ban("std::fs", HTTP, &[], PURE),
    ban("std::process", HTTP, &[], PURE),
    ban("std::env", HTTP, &[], PURE),
    ban("std::time", HTTP, &[], PURE),
    ban("std::thread", HTTP, &[], PURE),
    ban("File::create", SRC, &[], WRITES),
    ban("OpenOptions", SRC, &[], WRITES),
    ban("fs::write", SRC, &[], WRITES),
    ban("create_dir", SRC, &[], WRITES),
    ban("Listener", SRC, &[], LISTENS),
    ban("UdpSocket", SRC, &[], LISTENS),
    ban("UnixStream", SRC, &[], LISTENS),
    ban("ToSocketAddrs", SRC, &[], LISTENS),
    ban("TcpStream::connect", SRC, &["src/api/address.rs"], LISTENS),
    ban(
        "env::var",
        SRC,
        &[
            "src/settings.rs",
            "src/bootstrap/handler/program.rs",
            "src/bootstrap/handler/environment.rs",
        ],
        "a field of Settings: the environment is read once, in one place",
    ),
    ban(
        "unsafe",
        SRC,
        &[UNSAFE_FILE],
        "a function of src/bootstrap/sys.rs",
    ),
    ban("#[allow(", SRC, &[], LINTS),
    ban("#![allow(", SRC, &[UNSAFE_FILE], LINTS),
    ban(
        "/*",
        &["src/"],
        &[],
        "//: the line count knows no other comments",
    ),
];

/// Words that comments must not hold either.
const UNFINISHED_WORDS: [&str; 4] = ["TODO", "FIXME", "XXX", "HACK"];

fn banned(file: &File) -> Vec<String> {
    let concerns = |ban: &&Ban| {
        ban.within.iter().any(|start| file.path.starts_with(start))
            && !ban.except.contains(&file.path.as_str())
    };
    let mut findings = Vec::new();
    for ban in BANS.iter().filter(concerns) {
        for (number, line) in code_lines(file) {
            // `unsafe_code` is the name of a lint, which forbids.
            if line.replace("unsafe_code", "").contains(ban.word) {
                let Ban { word, instead, .. } = ban;
                findings.push(format!(
                    "{}:{number}: no {word} here; instead: {instead}",
                    file.path
                ));
            }
        }
    }
    for (number, line) in (1..).zip(file.text.lines()) {
        for word in UNFINISHED_WORDS.iter().filter(|word| line.contains(*word)) {
            findings.push(format!(
                "{}:{number}: {word}; instead: {UNFINISHED}",
                file.path
            ));
        }
    }
    findings
}

/// How many packages a lock file names.
fn packages(lock: &str) -> usize {
    lock.lines().filter(|line| *line == "[[package]]").count()
}

fn file(path: &str, text: &str) -> File {
    File {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

#[test]
fn source_is_no_longer_and_no_denser_than_its_limits() {
    let files = code_below("src");
    let total: usize = files.iter().map(|file| tokens(&code(file))).sum();
    let is_rust = |file: &&File| file.path.ends_with(".rs");
    let mut found: Vec<f64> = files.iter().filter(is_rust).flat_map(densities).collect();
    found.sort_by(f64::total_cmp);
    assert!(
        found.len() > 100,
        "only {} functions were found",
        found.len()
    );
    let (median, p90) = (found[found.len() / 2], found[found.len() * 9 / 10]);
    println!("src: {total} tokens; a line of a function has {median:.1}, p90 {p90:.1}");
    assert!(total <= TOKEN_LIMIT, "src has {total} tokens");
    assert!(median <= MEDIAN_DENSITY_LIMIT, "median {median:.2}");
    assert!(p90 <= P90_DENSITY_LIMIT, "p90 {p90:.2}");
    assert!(
        !root().join("rustfmt.toml").exists(),
        "the format is stock rustfmt's"
    );
}

#[test]
fn no_function_and_no_comment_is_long() {
    let files = code_below("src");
    let find = |file| too_long(file, FUNCTION_LIMIT);
    assert_none(&files.iter().flat_map(find).collect::<Vec<_>>());
}

#[test]
fn no_banned_call_is_made() {
    assert_none(
        &code_below("src")
            .iter()
            .flat_map(banned)
            .collect::<Vec<_>>(),
    );
}

#[test]
fn unsafe_is_forbidden_outside_its_file() {
    assert!(
        read("src/lib.rs").contains("\n#![forbid(unsafe_code)]\n"),
        "src/lib.rs"
    );
    let manifest = read("Cargo.toml");
    for lint in [
        "unsafe_code",
        "unsafe_op_in_unsafe_fn",
        "undocumented_unsafe_blocks",
    ] {
        let line = format!("\n{lint} = \"deny\"\n");
        assert!(manifest.contains(&line), "Cargo.toml does not deny {lint}");
    }
    // Both crates refuse to compile what could panic.
    for start in ["src/lib.rs", "src/bootstrap/main.rs"] {
        for lint in [
            "unwrap_used",
            "expect_used",
            "panic",
            "indexing_slicing",
            "arithmetic_side_effects",
        ] {
            let denied = |line: &str| {
                line.starts_with("#![deny(") && line.contains(&format!("clippy::{lint}"))
            };
            assert!(
                read(start).lines().any(denied),
                "{start} does not deny clippy::{lint}"
            );
        }
    }
}

#[test]
fn lock_file_has_one_package() {
    assert_eq!(
        packages(&read("Cargo.lock")),
        1,
        "the program has no dependency"
    );
    let manifest = read("Cargo.toml");
    for section in [
        "[dependencies",
        "[dev-dependencies",
        "[build-dependencies",
        "[target.",
    ] {
        assert!(!manifest.contains(section), "Cargo.toml has {section}");
    }
}

#[test]
fn version_stands_in_one_place_and_in_the_change_log() {
    let version = env!("CARGO_PKG_VERSION");
    let heading = format!("\n## {version}");
    assert!(
        read("CHANGELOG.md").contains(&heading),
        "CHANGELOG.md has no heading for {version}"
    );
    // The three numbers in quotes: only the manifest and the lock file may say them.
    let quoted = format!("\"{version}\"");
    for file in ["src", "deploy", "examples"]
        .into_iter()
        .flat_map(code_below)
    {
        let File { path, text } = file;
        assert!(
            !text.contains(&quoted),
            "{path} repeats the version: take CARGO_PKG_VERSION"
        );
    }
}

#[test]
fn licence_is_there_and_is_that_of_the_manifest() {
    assert!(
        read("Cargo.toml").contains("\nlicense = \"MIT\"\n"),
        "Cargo.toml"
    );
    assert!(read("LICENSE").starts_with("MIT License"), "LICENSE");
    assert!(!root().join("COPYING").exists(), "a second licence");
}

#[test]
fn lines_are_counted_without_blanks_comments_and_tests() {
    let text =
        "//! Of.\n\nfn one() {\n    // Why.\n    two(); // x\n}\n\n#[cfg(test)]\nmod tests {}\n";
    assert_eq!(code_lines(&file("src/a.rs", text)).count(), 3);
    assert_eq!(
        code_lines(&file("src/a.sh", "# Of.\n\nset -e\n")).count(),
        1
    );
}

#[test]
fn long_functions_and_long_comments_are_found() {
    let text =
        "    pub(crate) fn one(\n        a: u8,\n    ) {\n        two();\n    }\nfn three();\n";
    let short = file("src/a.rs", text);
    assert_eq!(functions(&short), [("one".to_owned(), 1, 5)]);
    assert_eq!(too_long(&short, 5), [""; 0]);
    assert_eq!(too_long(&short, 4).len(), 1);
    let comment = format!("// {}\n", "x".repeat(COMMENT_LIMIT));
    assert_eq!(too_long(&file("src/a.rs", &comment), 5).len(), 1);
}

#[test]
fn tokens_are_words_literals_and_marks() {
    assert_eq!(tokens("let a_1 = 0x2f;"), 5);
    assert_eq!(tokens("f(\"a \\\" b\", 'c', '\\n')"), 8);
    assert_eq!(tokens("fn f<'a>(x: &'a str) -> u8"), 17);
    assert_eq!(tokens(" \n\t"), 0);
}

#[test]
fn every_banned_word_is_found_where_it_is_banned() {
    for ban in BANS {
        let within = ban.within[0];
        let path = if within.ends_with('/') {
            format!("{within}x.rs")
        } else {
            within.to_owned()
        };
        let text = format!("    {}\n", ban.word);
        assert_ne!(banned(&file(&path, &text)), [""; 0], "{}", ban.word);
        let comment = format!("// {}\n", ban.word);
        assert_eq!(banned(&file(&path, &comment)), [""; 0], "{}", ban.word);
        for except in ban.except {
            assert_eq!(banned(&file(except, &text)), [""; 0], "{}", ban.word);
        }
    }
    for word in UNFINISHED_WORDS {
        assert_eq!(banned(&file("src/a.rs", &format!("// {word}\n"))).len(), 1);
    }
    assert_eq!(
        packages("[[package]]\nname = \"a\"\n\n[[package]]\nname = \"b\"\n"),
        2
    );
}
