//! Which file uses which: no two of them need each other to be understood.

use std::collections::{BTreeMap, BTreeSet};

use super::source::code_lines;
use super::{File, code_below};

/// For each file, by its module path, the files that its `use` declarations name.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// `src/api/mod.rs` is the module `api`, `src/lib.rs` the module that has no name.
fn module_of(path: &str, root: &str) -> String {
    let path = path.strip_prefix(root).unwrap_or(path);
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let path = path.strip_suffix("/mod").unwrap_or(path);
    match path {
        "lib" | "main" => String::new(),
        path => path.replace('/', "::"),
    }
}

/// The paths of a file's `use` declarations, with their lists in braces spread out.
fn used_paths(file: &File) -> Vec<String> {
    let code: String = code_lines(file)
        .map(|(_, line)| [line.trim(), " "].concat())
        .collect();
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let is_start = matches!(
            code[..at].trim_end().chars().last(),
            None | Some(';' | '}' | ']' | '{')
        ) || code[..at].ends_with("pub ")
            || code[..at].ends_with("pub(crate) ");
        let end = code[at..].find(';');
        if let (true, Some(end)) = (is_start, end) {
            spread(&code[at + 4..at + end], "", &mut paths);
        }
    }
    paths
}

fn spread(tree: &str, before: &str, paths: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((start, list)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or(tree);
        paths.push(format!("{before}{path}"));
        return;
    };
    let list = list.trim_end().strip_suffix('}').unwrap_or(list);
    let (mut depth, mut from) = (0, 0);
    for (at, c) in list.char_indices().chain([(list.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !list[from..at].trim().is_empty() {
                    spread(&list[from..at], &format!("{before}{start}"), paths);
                }
                from = at + 1;
            }
            _ => {}
        }
    }
}

/// The module that a path of `use` leads to: the longest beginning of it that is one.
fn target(path: &str, from: &str, modules: &BTreeSet<String>) -> Option<String> {
    let (mut base, mut rest) = (from, path);
    if let Some(after) = rest.strip_prefix("crate::") {
        (base, rest) = ("", after);
    }
    while let Some(after) = rest.strip_prefix("super::") {
        (base, rest) = (base.rsplit_once("::").map_or("", |(up, _)| up), after);
    }
    let rest = rest.strip_prefix("self::").unwrap_or(rest);
    let whole = match base {
        "" => rest.to_owned(),
        base => format!("{base}::{rest}"),
    };
    let mut path = whole.as_str();
    loop {
        if modules.contains(path) {
            return Some(path.to_owned()).filter(|path| path != from);
        }
        path = path.rsplit_once("::")?.0;
    }
}

fn graph(files: &[File], root: &str) -> Graph {
    let modules: BTreeSet<String> = files
        .iter()
        .map(|file| module_of(&file.path, root))
        .collect();
    let mut graph = Graph::new();
    for file in files {
        let from = module_of(&file.path, root);
        let used = used_paths(file);
        let targets = used.iter().filter_map(|path| target(path, &from, &modules));
        graph.insert(from.clone(), targets.collect());
    }
    graph
}

/// A circle, as the modules on it, if there is one.
fn circle(graph: &Graph) -> Option<Vec<String>> {
    // A module that uses none of those left is taken away, until all that is left are circles.
    let mut left = graph.clone();
    loop {
        let leaf = left
            .iter()
            .find(|(_, used)| used.iter().all(|name| !left.contains_key(name)));
        match leaf.map(|(name, _)| name.clone()) {
            Some(name) => left.remove(&name),
            None => break,
        };
    }
    let mut path = vec![left.keys().next()?.clone()];
    loop {
        let used = &left[path.last()?];
        let next = used.iter().find(|name| left.contains_key(*name))?;
        if let Some(at) = path.iter().position(|name| name == next) {
            return Some(path.split_off(at));
        }
        path.push(next.clone());
    }
}

#[test]
fn no_two_files_import_each_other() {
    let (program, library): (Vec<File>, Vec<File>) = code_below("src")
        .into_iter()
        .filter(|file| file.path.ends_with(".rs"))
        .partition(|file| file.path.starts_with("src/bootstrap/"));
    for (mut files, root) in [(program, "src/bootstrap/"), (library, "src/")] {
        // The public surface names everything, and what names it means the thing behind the name.
        files.retain(|file| file.path != "src/lib.rs" && file.path != "src/internal.rs");
        let graph = graph(&files, root);
        let uses: usize = graph.values().map(BTreeSet::len).sum();
        assert!(uses > 20, "{root}: only {uses} uses were found: {graph:?}");
        assert_eq!(circle(&graph), None, "{root}: break the circle");
    }
}

#[test]
fn circles_are_found_through_lists_and_parents() {
    let file = |path: &str, text: &str| File {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    let files = [
        file(
            "src/a/mod.rs",
            "pub mod b;\nuse crate::c::{\n    self, D,\n};\n",
        ),
        file(
            "src/a/b.rs",
            "pub(crate) use super::super::d::{E, f::{G}};\nuse std::fmt;\n",
        ),
        file("src/c.rs", "use crate::a::b::H;\n"),
        file(
            "src/d.rs",
            "// use crate::a;\n#[cfg(test)]\nmod tests { use crate::a; }\n",
        ),
    ];
    let found = graph(&files, "src/");
    assert_eq!(found["a"], ["c".to_owned()].into());
    assert_eq!(found["c"], ["a::b".to_owned()].into());
    assert_eq!(found["d"], BTreeSet::new());
    assert_eq!(circle(&found), None);
    let mut files = files;
    files[1].text = "use crate::c::I;\n".to_owned();
    let circle = circle(&graph(&files, "src/"));
    assert_eq!(circle, Some(vec!["c".to_owned(), "a::b".to_owned()]));
}
