//! What the code may hold, and how long a function may be.
//!
//! The code is formatted by rustfmt, which the rules lean on: a function ends at the first line
//! that is its closing brace at its own depth, and a comment stands on lines of its own.

use super::{File, assert_none, code_below, read, root};

/// Most lines of any kind in one function.
const FUNCTION_LIMIT: usize = 70;

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
pub(crate) fn functions(file: &File) -> Vec<(String, usize, usize)> {
    // Unit tests are not what a reader of the program reads.
    let lines: Vec<&str> = file
        .text
        .lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .collect();
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

fn too_long(file: &File, limit: usize) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, line, length) in functions(file) {
        if length > limit {
            findings.push(format!(
                "{}:{line}: {name} has {length} lines, at most {limit}: split it",
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
const BINARY: &[&str] = &["src/bootstrap/"];

const PANICS: &str = "return an error: a panic ends the process in the middle of an event";
const PRINTS: &str = "log::write: it knows the log's form and does not panic on a closed one";
const WRITES: &str = "sys::memory_file: the program writes no file that has a name";
const LISTENS: &str = "nothing: the program talks to the Runtime API, over address.rs, only";
const PURE: &str = "a parameter: src/http/ turns bytes into values and knows no outside";
const CHILDREN: &str = "sys::spawn: std's Command sets no process group that is watched by pidfd";
const THREADS: &str = "sys::poll: a thread that waits for a handler can be held by it";
const THREAD_FILES: &[&str] = &["src/runtime.rs", "src/api/mod.rs"];
const NUMBERS: &str = "number::decimal: parsers of std take a leading `+`";
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
    // The slots of the library are threads; a pause is a sleep.
    ban("thread::", SRC, THREAD_FILES, THREADS),
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
            "src/bootstrap/settings.rs",
            "src/bootstrap/handler/program.rs",
            "src/bootstrap/handler/environment.rs",
        ],
        "a field of Settings or HandlerSettings: the environment is read once",
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
        "//: the counts know no other comments",
    ),
];

/// Words that comments must not hold either.
const UNFINISHED_WORDS: [&str; 4] = ["TODO", "FIXME", "XXX", "HACK"];

/// Words that make a reader of a comment look twice: a verb with ten meanings, or a person where a
/// process or a peer is meant.
const OBSCURE_WORDS: [&str; 6] = ["everyone", "gives", "nobody", "somebody", "told", "whoever"];

/// Words of a comment that [`OBSCURE_WORDS`] has; "gives up" is plain.
fn obscure(file: &File) -> Vec<String> {
    let mark = if file.path.ends_with(".rs") {
        "//"
    } else {
        "#"
    };
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        let Some((_, comment)) = line.split_once(mark) else {
            continue;
        };
        let comment = comment.to_lowercase().replace("gives up", "");
        let comment = format!(" {} ", comment.replace(|c: char| !c.is_alphanumeric(), " "));
        for word in OBSCURE_WORDS {
            if comment.contains(&format!(" {word} ")) {
                findings.push(format!(
                    "{}:{number}: '{word}' in a comment; say it plainly",
                    file.path
                ));
            }
        }
    }
    findings
}

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
fn no_function_is_long() {
    let files = code_below("src");
    let count: usize = files.iter().map(|file| functions(file).len()).sum();
    assert!(
        count > 100,
        "only {count} functions were found: the reader of this test is broken"
    );
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
fn comments_are_in_plain_words() {
    let files = code_below("src");
    assert_none(&files.iter().flat_map(obscure).collect::<Vec<_>>());
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
fn long_functions_are_found() {
    let text =
        "    pub(crate) fn one(\n        a: u8,\n    ) {\n        two();\n    }\nfn three();\n";
    let file = file("src/a.rs", text);
    assert_eq!(functions(&file), [("one".to_owned(), 1, 5)]);
    assert_eq!(too_long(&file, 5), [""; 0]);
    assert_eq!(too_long(&file, 4).len(), 1);
}

#[test]
fn obscure_words_are_found_in_comments_alone() {
    let text = "//! Gives the end.\nlet told = \"Gives\"; // Gives up the pipe.\n";
    assert_eq!(obscure(&file("src/a.rs", text)).len(), 1);
    assert_eq!(obscure(&file("src/a.sh", "# Whoever waits.\n")).len(), 1);
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
