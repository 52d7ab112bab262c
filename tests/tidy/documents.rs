//! What is said of the code elsewhere, and whether it is so.

use std::collections::BTreeSet;
use std::fs;

use super::density::tokens_of;
use super::source::code_lines;
use super::{File, assert_none, code_below, read, root, tracked};

/// Where names and limits are promised to users.
const REFERENCE: &str = "docs/reference.md";

/// The files that read settings by themselves.
const SETTINGS_FILES: [&str; 2] = ["src/settings.rs", "src/bootstrap/settings.rs"];

/// Text between the first `before` and the next `after` of it.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    Some(text.split_once(before)?.1.split_once(after)?.0)
}

/// A section of a page: from its heading to the next of the same depth.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let heading = format!("\n## {heading}\n");
    let Some((_, rest)) = page.split_once(&heading) else {
        panic!("no section {heading:?}")
    };
    rest.split("\n## ").next().unwrap_or(rest)
}

/// The cells of a table's rows, its two heading lines left out.
fn rows(section: &str) -> Vec<Vec<&str>> {
    let lines = section.lines().filter(|line| line.starts_with('|'));
    lines
        .skip(2)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

/// What stands between backquotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Names of variables in a text of code: string literals of capitals, seven or more.
fn settings_in(code: &str) -> BTreeSet<String> {
    let is_name =
        |text: &&str| text.len() >= 7 && text.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'_'));
    let literals = code.split('"').skip(1).step_by(2);
    literals.filter(is_name).map(str::to_owned).collect()
}

/// The value of a constant as the reference page writes it: a number without separators, or a time
/// with its unit.
fn value_of(text: &str) -> Option<String> {
    let Some((unit, number)) =
        between(text, "Duration::from_", ")").and_then(|text| text.split_once('('))
    else {
        let number: u64 = text.replace('_', "").parse().ok()?;
        return Some(number.to_string());
    };
    let unit = match unit {
        "secs" => "s",
        "millis" => "ms",
        "micros" => "µs",
        _ => return None,
    };
    Some(format!("{number} {unit}"))
}

/// Constants that end in `_LIMIT` or `_LIMIT_MS`, with their values.
fn limits_in(file: &File) -> Vec<(String, String)> {
    let is_limit = |name: &str| name.ends_with("_LIMIT") || name.ends_with("_LIMIT_MS");
    constants_in(file, |name, _| is_limit(name))
}

/// Constants that are times, but limits.
fn times_in(file: &File) -> Vec<(String, String)> {
    constants_in(file, |name, kind| {
        kind == "Duration" && !name.ends_with("_LIMIT")
    })
}

fn constants_in(file: &File, is_wanted: impl Fn(&str, &str) -> bool) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (_, line) in code_lines(file) {
        let Some(rest) = between(line, "const ", ";") else {
            continue;
        };
        let Some(((name, kind), value)) = rest
            .split_once(" = ")
            .and_then(|(start, value)| Some((start.split_once(": ")?, value)))
        else {
            continue;
        };
        if is_wanted(name, kind) {
            let value = value_of(value);
            let value = value.unwrap_or_else(|| panic!("{}: {name} is no plain value", file.path));
            found.push((name.to_owned(), value));
        }
    }
    found
}

/// Compares constants with a table of the reference page, which has the value of each in one column
/// and its name in another.
fn compare_constants(code: &[(String, String)], heading: &str, value: usize, name: usize) {
    let page = read(REFERENCE);
    let rows = rows(section(&page, heading));
    let mut findings = Vec::new();
    for (constant, expected) in code {
        let quoted_name = format!("`{constant}`");
        let row = rows.iter().find(|row| row[name] == quoted_name);
        let said = row.map(|row| row[value].replace(',', ""));
        let is_same =
            |said: &String| *said == *expected || said.split(' ').next() == Some(expected.as_str());
        match said {
            Some(said) if is_same(&said) => {}
            Some(said) => findings.push(format!(
                "{constant} is {expected} in src, {said} in {REFERENCE}"
            )),
            None => findings.push(format!(
                "{constant} = {expected} has no row in {REFERENCE}, {heading}"
            )),
        }
    }
    let known: BTreeSet<&str> = code.iter().map(|(constant, _)| constant.as_str()).collect();
    for constant in rows.iter().flat_map(|row| quoted(row[name])) {
        if !known.contains(constant) {
            findings.push(format!("{REFERENCE} has {constant}, src has not"));
        }
    }
    assert_none(&findings);
}

/// What differs between two sets of names, said of each.
fn differences(one: (&str, &BTreeSet<String>), other: (&str, &BTreeSet<String>)) -> Vec<String> {
    let mut findings = Vec::new();
    for (here, there) in [(one, other), (other, one)] {
        for name in here.1.difference(there.1) {
            findings.push(format!("{name} is in {} and not in {}", here.0, there.0));
        }
    }
    findings
}

/// Names of tests that a page mentions: words of four parts or more, in backquotes.
fn tests_named(page: &str) -> BTreeSet<String> {
    let is_name = |word: &&str| {
        word.matches('_').count() >= 3
            && word
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
    };
    quoted(page)
        .into_iter()
        .filter(is_name)
        .map(str::to_owned)
        .collect()
}

/// Each line of code that has an `unsafe` block, declaration or attribute, in its order.
fn unsafe_lines(file: &File) -> Vec<&str> {
    let lines = code_lines(file).map(|(_, line)| line.trim());
    let words = [
        "unsafe {",
        "unsafe extern",
        "unsafe fn",
        "unsafe impl",
        "unsafe(",
    ];
    lines
        .filter(|line| words.iter().any(|word| line.contains(word)))
        .collect()
}

/// Places of the machine that a file was made on, and hosts that packages come from.
fn foreign_names(path: &str, text: &str) -> Vec<String> {
    // Pieced together, or this file would name them.
    let homes = ["work", "root", "home", "Users"].map(|folder| format!("/{folder}/"));
    let hosts = [
        ("crates", "io"),
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("debian", "org"),
    ];
    let hosts = hosts.map(|(name, end)| format!("{name}.{end}"));
    let words = homes
        .iter()
        .chain(&hosts)
        .filter(|word| text.contains(*word));
    words
        .map(|word| format!("{path}: {word} is of one machine or one registry"))
        .collect()
}

#[test]
fn every_setting_is_in_the_reference_and_the_other_way_round() {
    let code: BTreeSet<String> = SETTINGS_FILES
        .into_iter()
        .flat_map(|path| settings_in(&read(path)))
        .collect();
    let page = read(REFERENCE);
    let rows = rows(section(&page, "Settings"));
    let listed = rows.iter().flat_map(|row| quoted(row[0]));
    let listed: BTreeSet<_> = listed.map(str::to_owned).collect();
    assert!(code.len() > 11, "only these were found: {code:?}");
    assert_none(&differences(("src", &code), (REFERENCE, &listed)));
}

#[test]
fn every_limit_is_in_the_reference_with_its_value_and_the_other_way_round() {
    let code: Vec<_> = code_below("src").iter().flat_map(limits_in).collect();
    assert!(code.len() > 20, "only these were found: {code:?}");
    compare_constants(&code, "Limits", 1, 2);
}

#[test]
fn every_time_is_in_the_reference_with_its_value_and_the_other_way_round() {
    let code: Vec<_> = code_below("src").iter().flat_map(times_in).collect();
    assert!(code.len() > 3, "only these were found: {code:?}");
    compare_constants(&code, "Times", 1, 2);
}

#[test]
fn every_error_type_is_in_the_reference_in_its_order() {
    let page = read(REFERENCE);
    let rows = rows(section(&page, "Errors"));
    let listed: Vec<&str> = rows
        .iter()
        .filter(|row| row.len() == 3 && row[0].starts_with('`'))
        .map(|row| quoted(row[0])[0])
        .collect();
    // The second table of the section, of faults without a type, names none but a variable.
    let listed: Vec<&str> = listed
        .into_iter()
        .filter(|name| name.contains('.'))
        .collect();
    let source = read("src/failure.rs");
    let names = between(&source, "pub fn as_str(self)", "\n    }\n").expect("the types' names");
    let code: Vec<&str> = names.split('"').skip(1).step_by(2).collect();
    assert_eq!(
        listed, code,
        "{REFERENCE} (left), ErrorType::as_str (right)"
    );
    for name in code {
        let (origin, word) = name.split_once('.').expect("a name of two words");
        assert!(["Runtime", "Function"].contains(&origin), "{name}");
        let is_of_letters = word.bytes().all(|byte| byte.is_ascii_alphabetic());
        assert!(is_of_letters && word.len() > 1, "{name}");
        assert!(word.starts_with(|first: char| first.is_ascii_uppercase()));
    }
}

#[test]
fn every_flag_and_exit_status_is_in_the_reference() {
    let page = read(REFERENCE);
    let main = read("src/bootstrap/main.rs");
    let literals = main.split('"').skip(1).step_by(2);
    let code: BTreeSet<_> = literals
        .filter(|text| is_flag(text))
        .map(str::to_owned)
        .collect();
    let rows_of_flags = rows(section(&page, "Flags"));
    let listed = rows_of_flags.iter().flat_map(|row| quoted(row[0]));
    let listed: BTreeSet<_> = listed
        .filter(|text| is_flag(text))
        .map(str::to_owned)
        .collect();
    assert!(code.len() > 4, "only these were found: {code:?}");
    assert_none(&differences(("src", &code), (REFERENCE, &listed)));
    let help = read("src/bootstrap/help.txt");
    for flag in listed.iter().filter(|flag| flag.starts_with("--")) {
        assert!(
            help.contains(flag.as_str()),
            "help.txt does not have {flag}"
        );
    }
    let file = File {
        path: "src/bootstrap/status.rs".to_owned(),
        text: read("src/bootstrap/status.rs"),
    };
    let is_own = |name: &str, kind: &str| kind == "u8" && !name.starts_with("SIGNAL");
    compare_constants(&constants_in(&file, is_own), "Exit statuses", 0, 1);
}

fn is_flag(text: &str) -> bool {
    text.len() > 1 && text.starts_with('-')
}

#[test]
fn every_link_of_a_page_leads_somewhere() {
    let Some(paths) = tracked() else { return };
    let mut findings = Vec::new();
    for path in paths {
        if path.extension().is_none_or(|end| end != "md") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a page");
        let folder = path.parent().expect("a folder");
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let file = link.split('#').next().unwrap_or(link);
            let is_ours = !file.is_empty() && !link.contains("://");
            if is_ours && !folder.join(file).exists() {
                findings.push(format!("{}: no {link}", path.display()));
            }
        }
    }
    assert_none(&findings);
}

/// The library's documentation is compiled as a test. docs/rust-functions.md has a test of its own.
#[test]
fn rust_of_the_readme_is_that_of_the_librarys_documentation() {
    let library = read("src/lib.rs");
    let library: Vec<&str> = library
        .lines()
        .map(|line| line.trim_start_matches("//! "))
        .collect();
    let readme = read("README.md");
    let block = between(&readme, "\n```rust\n", "\n```\n").expect("a block in Rust");
    assert!(
        library.join("\n").contains(block),
        "src/lib.rs does not have\n{block}"
    );
}

#[test]
fn counts_of_the_reading_order_are_those_of_the_files() {
    let audit = read("docs/audit.md");
    let table = section(&audit, "Reading order");
    let files = code_below("src");
    let count = |path: &str| {
        let file = files.iter().find(|file| file.path == path);
        file.map(|file| (tokens_of(file), file.text.lines().count()))
    };
    let mut right = vec![
        "| file | tokens | lines |".to_owned(),
        "|---|---|---|".to_owned(),
    ];
    let (mut sum, mut all) = (0, 0);
    // The order is the page's own: that of reading. Files that it lacks come at the end.
    let listed = rows(table).into_iter().flat_map(|row| quoted(row[0]));
    let mut paths: Vec<&str> = listed.filter(|path| count(path).is_some()).collect();
    let missing = files
        .iter()
        .map(|file| file.path.as_str())
        .filter(|path| !paths.contains(path));
    paths.extend(missing.collect::<Vec<_>>());
    for path in paths {
        let (tokens, lines) = count(path).expect("a file of src");
        right.push(format!("| `{path}` | {tokens} | {lines} |"));
        (sum, all) = (sum + tokens, all + lines);
    }
    right.push(format!("| all of them | {sum} | {all} |"));
    let right = right.join("\n");
    assert!(
        table.contains(&right),
        "docs/audit.md: the table is not true; this one is:\n\n{right}\n"
    );
    // And each file is explained under a heading of its own.
    let headings = audit
        .lines()
        .filter(|line| line.starts_with("### "))
        .flat_map(quoted);
    let headings: BTreeSet<_> = headings.map(str::to_owned).collect();
    let paths: BTreeSet<_> = files.into_iter().map(|file| file.path).collect();
    assert_none(&differences(
        ("src", &paths),
        ("docs/audit.md's headings", &headings),
    ));
}

#[test]
fn every_test_that_a_page_names_is_there() {
    let mut code = ["src", "tests", "fuzz/fuzz_targets"]
        .map(code_below)
        .concat_text();
    for folder in ["tests/packaging", "tests/audit"] {
        for entry in fs::read_dir(root().join(folder))
            .into_iter()
            .flatten()
            .flatten()
        {
            code.push_str(&fs::read_to_string(entry.path()).unwrap_or_default());
        }
    }
    let mut findings = Vec::new();
    let mut count = 0;
    for page in ["docs/audit.md", "docs/features.md", "SECURITY.md"] {
        for name in tests_named(&read(page)) {
            count += 1;
            let is_there = [format!("fn {name}("), format!("def {name}(")];
            if !is_there.iter().any(|start| code.contains(start)) {
                findings.push(format!("{page}: there is no test {name}"));
            }
        }
    }
    assert!(count > 20, "only {count} names of tests were found");
    assert_none(&findings);
}

#[test]
fn every_unsafe_block_is_in_the_inventory() {
    let inventory = read("SECURITY.md");
    let inventory = section(&inventory, "Unsafe inventory");
    let told: Vec<_> = rows(inventory)
        .into_iter()
        .map(|row| quoted(row[0])[0])
        .collect();
    let file = File {
        path: "src/bootstrap/sys.rs".to_owned(),
        text: read("src/bootstrap/sys.rs"),
    };
    let code = unsafe_lines(&file);
    assert_eq!(
        told, code,
        "SECURITY.md (left) does not list the places of src/bootstrap/sys.rs in order"
    );
    let number = format!("{} places", code.len());
    assert!(
        inventory.contains(&number),
        "SECURITY.md does not say that there are {number}"
    );
}

#[test]
fn no_tracked_file_names_a_machine_or_a_registry() {
    let Some(paths) = tracked() else { return };
    let mut findings = Vec::new();
    for path in paths {
        let name = path
            .strip_prefix(root())
            .expect("a path below the root")
            .display()
            .to_string();
        // Cargo writes its registry into lock files. The artefacts' test names folders to look for.
        if name.ends_with("Cargo.lock") || name == "tests/artifact.rs" {
            continue;
        }
        let bytes = fs::read(&path).expect("a tracked file");
        findings.extend(foreign_names(&name, &String::from_utf8_lossy(&bytes)));
    }
    assert_none(&findings);
}

/// Texts of several lists of files in one.
trait ConcatText {
    fn concat_text(&self) -> String;
}

impl<const N: usize> ConcatText for [Vec<File>; N] {
    fn concat_text(&self) -> String {
        self.iter()
            .flatten()
            .map(|file| file.text.as_str())
            .collect()
    }
}

#[test]
fn names_are_found_in_code_and_in_pages() {
    let code = "value(\"_HANDLER\").or(number(\n\"BOOTSTRAP_A\", 0, 1)); let name = \"JSON\";";
    assert_eq!(
        settings_in(code),
        ["BOOTSTRAP_A", "_HANDLER"].map(str::to_owned).into()
    );
    let text = "const A_LIMIT: usize = 1_024;\npub const B_LIMIT_MS: u64 = 3;\nconst C: u8 = 1;\n\
                const D_LIMIT: Duration = Duration::from_secs(4);\n\
                const E: Duration = Duration::from_micros(5);\n";
    let file = File {
        path: "src/a.rs".to_owned(),
        text: text.to_owned(),
    };
    assert_eq!(
        limits_in(&file),
        [("A_LIMIT", "1024"), ("B_LIMIT_MS", "3"), ("D_LIMIT", "4 s")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    assert_eq!(times_in(&file), [("E".to_owned(), "5 µs".to_owned())]);
    assert_eq!(rows("| a | b |\n|---|---|\n| `c` | d |\n"), [["`c`", "d"]]);
    assert_eq!(quoted("a `b` c `d`"), ["b", "d"]);
    let page = "`one_is_two_now`, `memfd_create`, `One_is_two_now`";
    assert_eq!(tests_named(page), ["one_is_two_now".to_owned()].into());
    let (one, other) = (["a".to_owned()].into(), ["b".to_owned()].into());
    assert_eq!(differences(("one", &one), ("other", &other)).len(), 2);
}

#[test]
fn unsafe_lines_and_foreign_names_are_found() {
    let text =
        "// SAFETY: unsafe {\nlet a = unsafe { b() };\nunsafe extern \"C\" {\n#[unsafe(a)]\n";
    let file = File {
        path: "src/bootstrap/sys.rs".to_owned(),
        text: text.to_owned(),
    };
    let found = [
        "let a = unsafe { b() };",
        "unsafe extern \"C\" {",
        "#[unsafe(a)]",
    ];
    assert_eq!(unsafe_lines(&file), found);
    for word in [
        concat!("/wo", "rk/a"),
        concat!("index.crates", ".io"),
        concat!("/ho", "me/a"),
    ] {
        assert_eq!(foreign_names("a", word).len(), 1, "{word}");
    }
    assert_eq!(foreign_names("a", "target/framework/a"), [""; 0]);
}
