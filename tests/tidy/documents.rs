//! What is said of the code elsewhere, and whether it is so.

use std::collections::BTreeSet;
use std::fs;

use super::density::tokens_of;
use super::source::code_lines;
use super::{File, assert_none, code_below, read, root, tracked};

/// Where names and limits are promised to users.
const README: &str = "README.md";

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

/// Names of variables that the code reads by itself, which only `src/settings.rs` does.
fn settings_in(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let code: String = code.split_whitespace().collect();
    for start in ["value(\"", "choice(\"", "number(\"", "letname=\""] {
        for rest in code.split(start).skip(1) {
            names.extend(rest.split('"').next().map(str::to_owned));
        }
    }
    names
}

/// Constants that end in `_LIMIT` or `_LIMIT_MS`, with their values.
fn limits_in(file: &File) -> Vec<(String, u64)> {
    let mut limits = Vec::new();
    for (_, line) in code_lines(file) {
        let Some(rest) = between(line, "const ", ";") else {
            continue;
        };
        let Some((name, value)) = rest.split_once(": ") else {
            continue;
        };
        let is_number = !value.starts_with("Duration");
        if is_number && (name.ends_with("_LIMIT") || name.ends_with("_LIMIT_MS")) {
            let value = value
                .split_once(" = ")
                .map(|(_, value)| value.replace('_', ""));
            let number = value.and_then(|value| value.parse().ok());
            limits.push((
                name.to_owned(),
                number.unwrap_or_else(|| panic!("{}: {name} is no plain number", file.path)),
            ));
        }
    }
    limits
}

/// What differs between two sets of names, said of each.
fn differences(one: (&str, &BTreeSet<String>), other: (&str, &BTreeSet<String>)) -> Vec<String> {
    let mut findings = Vec::new();
    for (here, there) in [(one, other), (other, one)] {
        for name in here.1.difference(there.1) {
            findings.push(format!(
                "{name} stands in {} and not in {}",
                here.0, there.0
            ));
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
fn every_setting_stands_in_the_readme_and_the_other_way_round() {
    let files = ["src/settings.rs", "src/bootstrap/settings.rs"].map(read);
    let code = settings_in(&files.concat());
    let readme = read(README);
    let first_cells = rows(section(&readme, "Settings"))
        .into_iter()
        .map(|row| row[0]);
    let told: BTreeSet<_> = first_cells.flat_map(quoted).map(str::to_owned).collect();
    assert!(code.len() > 8, "only these were found: {code:?}");
    assert_none(&differences(("src/settings.rs", &code), (README, &told)));
}

#[test]
fn every_limit_stands_in_the_readme_with_its_value_and_the_other_way_round() {
    let code: Vec<_> = code_below("src").iter().flat_map(limits_in).collect();
    let readme = read(README);
    let told = rows(section(&readme, "Limits"));
    let mut findings = Vec::new();
    for (name, value) in &code {
        let quoted_name = format!("`{name}`");
        let number =
            |cell: &str| -> Option<u64> { cell.split(' ').next()?.replace(',', "").parse().ok() };
        match told
            .iter()
            .find(|row| row[2] == quoted_name)
            .map(|row| number(row[1]))
        {
            Some(Some(told)) if told == *value => {}
            Some(told) => findings.push(format!("{name} is {value} in src, {told:?} in {README}")),
            None => findings.push(format!("{name} = {value} has no row in {README}")),
        }
    }
    let code: BTreeSet<_> = code.into_iter().map(|(name, _)| name).collect();
    for name in told
        .iter()
        .flat_map(|row| quoted(row[2]))
        .filter(|name| !code.contains(*name))
    {
        findings.push(format!("{README} has {name}, src has not"));
    }
    assert!(code.len() > 10, "only these were found: {code:?}");
    assert_none(&findings);
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
    let (mut all_tokens, mut all_lines) = (0, 0);
    // The order is the page's own: that of reading. Files that it lacks come at the end.
    let told = rows(table).into_iter().flat_map(|row| quoted(row[0]));
    let mut paths: Vec<&str> = told.filter(|path| count(path).is_some()).collect();
    let missing = files
        .iter()
        .map(|file| file.path.as_str())
        .filter(|path| !paths.contains(path));
    paths.extend(missing.collect::<Vec<_>>());
    for path in paths {
        let (tokens, lines) = count(path).expect("a file of src");
        right.push(format!("| `{path}` | {tokens} | {lines} |"));
        (all_tokens, all_lines) = (all_tokens + tokens, all_lines + lines);
    }
    right.push(format!("| all of them | {all_tokens} | {all_lines} |"));
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
    for page in ["docs/audit.md", "SECURITY.md"] {
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
fn every_unsafe_block_stands_in_the_inventory() {
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
    let code = "value(\"_HANDLER\").or(number(\"A_B\", 0, 1)); let name = \"C\";";
    assert_eq!(
        settings_in(code),
        ["A_B", "C", "_HANDLER"].map(str::to_owned).into()
    );
    let text = "const A_LIMIT: usize = 1_024;\npub const B_LIMIT_MS: u64 = 3;\nconst C: u8 = 1;\n";
    let file = File {
        path: "src/a.rs".to_owned(),
        text: text.to_owned(),
    };
    assert_eq!(
        limits_in(&file),
        [("A_LIMIT".to_owned(), 1_024), ("B_LIMIT_MS".to_owned(), 3)]
    );
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
