//! docs/faults.md as a table: what must come of each fault is written there and nowhere else.

/// One row, or what came of one fault in the same form.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: String,
    /// How often the handler ran with the event at fault.
    pub(crate) handler_runs: String,
    /// The POSTs about that event, in their order: `response`, `error`, or `none`; or the report of a
    /// failed start: `init error`, `restore error`.
    pub(crate) answers: String,
    /// `next event`: the one after it was answered, and the next asked for. Else `exit` and a code.
    pub(crate) then: String,
    /// The bootstrap's log lines in full; of a row: a part of each.
    pub(crate) log: Vec<String>,
}

/// A row for each fault: the lines that begin with a name in back quotes, one name or several.
/// Columns: names, what the API does, handler runs, answers, then, and the log (`–` for none,
/// `<br>` between lines).
pub(crate) fn rows() -> Vec<Row> {
    let text = include_str!("../../../docs/faults.md");
    text.lines()
        .filter(|line| line.starts_with("| `"))
        .flat_map(rows_of)
        .collect()
}

fn rows_of(line: &str) -> Vec<Row> {
    let inner = line
        .strip_prefix('|')
        .and_then(|line| line.strip_suffix('|'));
    let cells: Vec<&str> = inner
        .expect("a row ends in a bar")
        .split('|')
        .map(str::trim)
        .collect();
    let [ids, _, runs, answers, then, log] = cells[..] else {
        panic!("not six columns: {line}")
    };
    let log: Vec<_> = if log == "–" {
        Vec::new()
    } else {
        log.split("<br>").map(unquoted).collect()
    };
    let row = |id| Row {
        id: unquoted(id),
        handler_runs: runs.to_owned(),
        answers: answers.to_owned(),
        then: then.to_owned(),
        log: log.clone(),
    };
    ids.split(' ').map(row).collect()
}

fn unquoted(cell: &str) -> String {
    cell.trim().trim_matches('`').to_owned()
}
