//! Shell functions, judged from outside: the rule that an event gets what it would get from the
//! plainest loop, whatever the script does to its shell.
//!
//! - `table`: scripts, events, and what must come. Known answers.
//! - `reference`: the same scripts in a fresh shell that does nothing but source and call.
//! - `vocabulary`: composes scripts from lines that are known to be troublesome; what must come is
//!   what comes from the reference.
//! - `bootstrap`: runs a case with the bootstrap, against a Runtime API of its own.
//! - `case`: what both are given, and what they give.
//!
//! Nothing here is shared with `src`, nor with the emulator: an error would cancel itself out.
//!
//! Table and reference are held against each other too, so that neither is wrong alone.
//!
//! Compared are the answers, with the status of each failure; how often the function ran and how
//! often the script was sourced, by lines that both write to the log; and all lines of the log that
//! begin with a mark. What may differ is listed in `permitted`, with the reason.
//!
//! `cargo test --test scripts` composes 300 scripts, always the same. `ZEROSTRAP_SCRIPTS=20000` composes
//! more, `ZEROSTRAP_SEED=7` others, and `ZEROSTRAP_SCRIPT=17` only that one of them. Twenty differences
//! are told in full, or `ZEROSTRAP_TOLD` of them. `ZEROSTRAP_ROW=IFS` tries only rows of the table whose
//! name holds that.

mod bootstrap;
mod case;
mod reference;
mod table;
mod vocabulary;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use case::{ALL, Answer, Case, Form, Outcome, Shell};
use table::{ROWS, Row};
use vocabulary::Composition;

/// Each test keeps all processors busy.
static ONE: Mutex<()> = Mutex::new(());

/// Does the work for each of so many numbers, on all processors; gives what came, sorted by number.
fn each<T: Send>(count: usize, work: impl Fn(usize) -> Option<T> + Sync) -> Vec<T> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let threads = std::thread::available_parallelism().map_or(2, usize::from) * 2;
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    if let Some(one) = work(number) {
                        found
                            .lock()
                            .expect("no thread panicked")
                            .insert(number, one);
                    }
                }
            });
        }
    });
    found
        .into_inner()
        .expect("no thread panicked")
        .into_values()
        .collect()
}

/// A number from the environment.
fn number(name: &str) -> Option<usize> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {text}")),
    )
}

/// Debian's package of a shell.
fn package(shell: &str) -> &str {
    match shell {
        "ash" => "busybox-static",
        "ksh" => "ksh93u+m",
        _ => shell,
    }
}

/// Rows and the shells that they are for and that are here.
fn rows() -> Vec<(&'static Row, Shell)> {
    for shell in ALL.iter().filter(|shell| shell.path().is_none()) {
        let name = shell.name();
        let package = package(name);
        println!("skipped: scripts in {name}: there is no {name}; run: apt-get install {package}");
    }
    let wanted = std::env::var("ZEROSTRAP_ROW").unwrap_or_default();
    let ignores = case::ignores_signals();
    if ignores {
        println!("skipped: signals of shell functions: these tests were started with some ignored");
    }
    let named = ROWS.iter().filter(|row| row.name.contains(&wanted));
    let named = named.filter(|row| !ignores || !row.name.starts_with("signals:"));
    let pairs = named.flat_map(|row| row.shells.iter().map(move |shell| (row, *shell)));
    pairs.filter(|(_, shell)| shell.path().is_some()).collect()
}

/// Whether an answer is what a row says.
fn is_answer(answer: &Answer, said: &str) -> bool {
    match answer {
        Answer::Response(text) => text == said,
        Answer::Failed(status) => said
            .strip_prefix('!')
            .is_some_and(|said| said.split('|').any(|said| said == status.to_string())),
        Answer::Document(text) => said.strip_prefix('=') == Some(text),
        // In the form "type: text".
        Answer::Other(text) => said
            .strip_prefix('!')
            .is_some_and(|said| said.split('|').any(|said| text.starts_with(said))),
    }
}

/// Whether an error at init says that a name is taken, and not just what a shell says of any name.
fn refuses(why: &str, name: &str) -> bool {
    why.replace("command not found", "").contains(name) && why.contains("HandlerInitFailed")
}

/// What is wrong with an outcome of a row. `words`: also what the bootstrap says in words.
fn faults(row: &Row, outcome: &Outcome, words: bool) -> Vec<String> {
    let mut faults = Vec::new();
    if let Some(why) = &outcome.init {
        let refused = !row.may_refuse.is_empty() && refuses(why, row.may_refuse);
        if row.answers == ["!init"] {
            if words && !why.contains(row.says) {
                faults.push(format!("the error at init does not say {:?}", row.says));
            }
        } else if !refused {
            faults.push("no event was served".to_owned());
        }
        return faults;
    }
    if row.answers == ["!init"] {
        faults.push("no error at init".to_owned());
        return faults;
    }
    for more in outcome.answers.iter().skip(row.answers.len()) {
        faults.push(format!("{more:?}"));
    }
    for (number, (answer, said)) in outcome.answers.iter().zip(row.answers).enumerate() {
        if !is_answer(answer, said) {
            faults.push(format!(
                "event {number}: {said:?} must come, {answer:?} came"
            ));
        }
    }
    // A script that sends its standard error elsewhere, or has its own `echo`, logs nothing.
    let is_plain = row.function.contains("LOG: run") && row.runs.is_none();
    let expected = if is_plain {
        Some(row.events.len())
    } else {
        row.runs.filter(|&runs| runs > 0)
    };
    let runs = outcome.count("run");
    if expected.is_some_and(|expected| expected != runs) {
        faults.push(format!("the function ran {runs} times"));
    }
    let sourced = outcome.count("sourced");
    if row.sourced > 0 && sourced != row.sourced {
        faults.push(format!("the script was sourced {sourced} times"));
    }
    for line in row.holds {
        if outcome.count(line) != 1 {
            faults.push(format!(
                "the log has {line:?} {} times",
                outcome.count(line)
            ));
        }
    }
    for text in row.lacks {
        if outcome.raw_log.contains(text) {
            faults.push(format!("the log has {text:?}"));
        }
    }
    faults
}

/// Tries each row for each of its shells; gives descriptions of those that do not hold.
fn judge(run: impl Fn(&Row, &Case) -> Option<(Outcome, Vec<String>)> + Sync) {
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let rows = rows();
    let tried: Mutex<BTreeMap<Shell, [usize; 2]>> = Mutex::default();
    let broken = each(rows.len(), |number| {
        let (row, shell) = rows[number];
        let case = row.case(shell);
        let (outcome, faults) = run(row, &case)?;
        let mut tried = tried.lock().expect("no thread panicked");
        let [holds, all] = tried.entry(shell).or_default();
        *holds += usize::from(faults.is_empty());
        *all += 1;
        if faults.is_empty() {
            return None;
        }
        let name = shell.name();
        let text = format!("{name}, {}:\n  - {}", row.name, faults.join("\n  - "));
        Some(format!("{text}\n{}", outcome.shown()))
    });
    for (shell, [holds, all]) in tried.into_inner().expect("no thread panicked") {
        println!("{}: {holds} of {all} rows hold", shell.name());
    }
    assert!(
        broken.is_empty(),
        "{} rows do not hold\n\n{}",
        broken.len(),
        broken.join("\n")
    );
}

#[test]
fn every_row_of_the_table_holds() {
    judge(|row, case| {
        let outcome = bootstrap::run(case);
        let faults = faults(row, &outcome, true);
        Some((outcome, faults))
    });
}

#[test]
fn table_and_reference_agree() {
    judge(|row, case| {
        if !row.unlike_reference.is_empty() {
            return None;
        }
        let outcome = reference::run(case);
        let faults = faults(row, &outcome, false);
        Some((outcome, faults))
    });
}

/// Why an outcome of the bootstrap may differ from the reference's; `None`: it may not.
fn permitted(composition: &Composition, ours: &Outcome, loops: &Outcome) -> Option<&'static str> {
    // The reference page: where the script takes a name that the bootstrap's own side cannot do without,
    // init fails and says so.
    if let Some(why) = &ours.init
        && composition.taken().any(|name| refuses(why, name))
    {
        return Some("init names what the script took");
    }
    // The reference page: standard error is the log, and the answer does not depend on it. Whether a script
    // that sends it elsewhere does so for its function too is not said.
    if composition.moves_log() && ours.init.is_none() && ours.answers == loops.answers {
        return Some("the script moves its standard error");
    }
    // The shell that is to call the function ends at its first command after the script. The
    // reference has no such command, a loop of any use has one.
    if let Some(why) = &ours.init
        && composition.fails_at_debug()
        && why.contains("while it was sourced")
    {
        return Some("a failing DEBUG trap ends the shell");
    }
    // Init says what the shell said; where the script has sent that to a file, it cannot.
    if let Some(why) = &ours.init
        && composition.moves_log()
        && composition.taken().next().is_some()
        && why.contains("it changes the shell so that")
    {
        return Some("the script moves the words that name what it took");
    }
    // The reference page: each slot sources the script in the same folder.
    if let Some(why) = &ours.init
        && composition.has_slots()
        && ["cannot overwrite existing file", "File exists"]
            .iter()
            .any(|words| why.contains(words))
    {
        return Some("the slots share a file that may be made once");
    }
    // A script whose end was never reached defines no function: init says so, a loop at each event.
    if let Some(why) = &ours.init
        && why.contains("while it was sourced")
        && loops
            .answers
            .iter()
            .all(|answer| *answer == Answer::Failed(127))
    {
        return Some("the loop calls a function that is not there");
    }
    // The run may end before the last of the slots has sourced the script, and what two of them write
    // at once may be on one line.
    let runs = |outcome: &Outcome| outcome.raw_log.matches("LOG: run").count();
    if composition.writes_at_once()
        && ours.init.is_none()
        && ours.answers == loops.answers
        && runs(ours) == runs(loops)
    {
        return Some("processes write to the log at once");
    }
    // A reference that hangs tells nothing; the bootstrap's deadline ends such an event.
    if loops
        .answers
        .iter()
        .any(|answer| matches!(answer, Answer::Other(_)))
    {
        return Some("the loop itself does not end");
    }
    None
}

/// The difference of the two outcomes, if it is none that is permitted.
fn difference(composition: &Composition) -> Option<(Outcome, Outcome)> {
    let case = composition.case();
    let loops = reference::run(&case);
    let ours = bootstrap::run(&case);
    // The reference page: which status a script failed with at init is told in words, and no event saw it.
    let same = match (&ours.init, &loops.init) {
        (Some(why), Some(_)) => why.starts_with("Runtime.HandlerInitFailed"),
        (None, None) => ours.answers == loops.answers && ours.log == loops.log,
        _ => false,
    };
    if same || permitted(composition, &ours, &loops).is_some() {
        return None;
    }
    Some((ours, loops))
}

/// Leaves lines out while the difference stays.
fn minimised(mut composition: Composition) -> (Composition, Outcome, Outcome) {
    let mut outcomes = difference(&composition);
    let mut at = 0;
    while let Some(smaller) = composition.without(at) {
        match difference(&smaller) {
            Some(found) => (composition, outcomes) = (smaller, Some(found)),
            None => at += 1,
        }
    }
    let (ours, loops) = outcomes.unwrap_or_default();
    (composition, ours, loops)
}

#[test]
fn composed_scripts_are_answered_as_the_reference_answers() {
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let seed = number("ZEROSTRAP_SEED").unwrap_or(1);
    let (only, told) = (
        number("ZEROSTRAP_SCRIPT"),
        number("ZEROSTRAP_TOLD").unwrap_or(20),
    );
    let count = only.map_or(number("ZEROSTRAP_SCRIPTS").unwrap_or(300), |_| 1);
    let tried: Mutex<BTreeMap<Shell, [usize; 2]>> = Mutex::default();
    let shown = AtomicUsize::new(0);
    let broken = each(count, |number| {
        let number = only.unwrap_or(number);
        let composition = Composition::new(seed, number)?;
        let (shell, found) = (composition.shell, difference(&composition));
        {
            let mut tried = tried.lock().expect("no thread panicked");
            let [same, all] = tried.entry(shell).or_default();
            *same += usize::from(found.is_none());
            *all += 1;
        }
        let (ours, loops) = found?;
        // A few are enough to mend something.
        if shown.fetch_add(1, Ordering::Relaxed) >= told {
            return Some(String::new());
        }
        let (small, small_ours, small_loops) = minimised(composition.clone());
        // One that is seen once and not again is told as it was.
        let (small, ours, loops) = match small_ours == small_loops {
            true => (composition, ours, loops),
            false => (small, small_ours, small_loops),
        };
        let case = small.case();
        let repeat = format!(
            "ZEROSTRAP_SEED={seed} ZEROSTRAP_SCRIPT={number} cargo test --test scripts composed"
        );
        Some(format!(
            "script {number}, {}, {:?}, environment {:?}, events {:?}\n{}\nbootstrap:\n{}\
             reference:\n{}again: {repeat}\n",
            shell.name(),
            case.form,
            case.env,
            case.events,
            case.script,
            ours.shown(),
            loops.shown(),
        ))
    });
    for (shell, [same, all]) in tried.into_inner().expect("no thread panicked") {
        println!(
            "{}: {same} of {all} composed scripts are answered alike",
            shell.name()
        );
    }
    let (differ, told) = (broken.len(), broken.join("\n"));
    assert!(
        broken.is_empty(),
        "{differ} of {count} scripts differ\n\n{}",
        told.trim_end()
    );
}

#[test]
fn vocabulary_is_large_and_each_form_is_tried() {
    assert!(vocabulary::lines() >= 80, "{} lines", vocabulary::lines());
    assert!(ROWS.len() >= 100, "{} rows", ROWS.len());
    for form in [Form::Buffered, Form::Streaming, Form::Json, Form::Slots] {
        assert!(ROWS.iter().any(|row| row.form == form), "{form:?}");
    }
    println!(
        "{} rows, {} lines of vocabulary",
        ROWS.len(),
        vocabulary::lines()
    );
}
