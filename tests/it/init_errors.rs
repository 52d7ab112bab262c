//! Failures before the first event.

use crate::emulator::record::{Endpoint, Request};
use crate::harness::failure::assert_failure;
use crate::harness::folder::Folder;
use crate::harness::json;
use crate::harness::lambda::{BOOTSTRAP, Lambda, Setup, shells};
use crate::harness::scripted::{make_fifo, missing};
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::Duration;

/// Waits for the report, and for all that has to follow it: exit with 1, one log line that names
/// the type, and nothing more to the Runtime API.
#[track_caller]
fn report(lambda: &Lambda) -> Request {
    let report = lambda.request(&Endpoint::InitError);
    assert_eq!(lambda.wait_exit().code(), Some(1));
    let counts = lambda.api.counts();
    assert_eq!((counts.gets, counts.posts, counts.connections), (0, 1, 1));
    let log = lambda.end();
    let line = format!("bootstrap: FATAL {}: ", report.error_type());
    assert_eq!(
        log.lines().filter(|l| l.starts_with(&line)).count(),
        1,
        "{log}"
    );
    assert_eq!(lambda.processes(), [0; 0]);
    report
}

#[track_caller]
fn assert_init_fails(setup: Setup, error_type: &str, parts: &[&str]) {
    let lambda = setup.start();
    let report = report(&lambda);
    for part in parts {
        assert_failure(&report, error_type, part);
    }
}

// The message names what was looked for, and where.
#[test]
fn handler_that_is_not_there_is_named_with_what_was_looked_for() {
    let folder = Folder::with_script("handler() { :; }");
    folder.file("sub/other.sh", "handler() { :; }");
    let no_such = |handler: &str, parts: &[&str]| {
        let setup = Setup::new(folder.path(), handler);
        assert_init_fails(setup, "Runtime.NoSuchHandler", parts);
    };
    let path = |name: &str| folder.path().join(name).display().to_string();
    no_such("missing", &["missing", &path("missing")]);
    no_such("missing.handler", &["missing.handler", &path("missing.sh")]);
    no_such("function.missing", &[&path("function.sh"), "missing"]);
    no_such("other.handler", &[&path("other.sh")]);
    no_such("sub/missing.handler", &[&path("sub/missing.sh")]);
    // A folder is no file.
    no_such("sub", &["sub"]);
    // The name of the script alone is no handler, nor is that of the function.
    no_such("function", &[&path("function")]);
    no_such("handler", &[&path("handler")]);
}

#[test]
fn handler_that_is_not_set_is_an_error() {
    let folder = Folder::with_script("handler() { :; }");
    let unset = Setup::function(&folder).without_env("_HANDLER");
    assert_init_fails(unset, "Runtime.NoSuchHandler", &["_HANDLER"]);
    let empty = Setup::function(&folder)
        .env("_HANDLER", "")
        .env("HANDLER", "");
    assert_init_fails(empty, "Runtime.NoSuchHandler", &["_HANDLER"]);
}

#[test]
fn name_that_is_no_function_name_is_refused_and_never_evaluated() {
    let folder = Folder::with_script("handler() { :; }");
    for name in [
        "$(touch here)",
        "`touch here`",
        "handler;touch here",
        "handler here",
        "handler\ntouch here",
        "1handler",
        "-handler",
        "han dler",
        "",
        "handler()",
        "-v",
        "\u{e9}",
        "_zs_report",
    ] {
        let setup = Setup::new(folder.path(), &format!("function.{name}"));
        let parts = ["function.", "letters, digits, '_', '-' and ':'", "'_zs_'"];
        assert_init_fails(setup, "Runtime.NoSuchHandler", &parts);
    }
    // The part before the dot is a file's name and nothing else.
    for script in [
        "$(touch here)",
        "`touch here`",
        "function;touch here",
        "-c touch here",
        "*",
    ] {
        let setup = Setup::new(folder.path(), &format!("{script}.handler"));
        assert_init_fails(setup, "Runtime.NoSuchHandler", &[script]);
    }
    assert_eq!(folder.entries(), ["function.sh"]);
}

#[test]
fn name_of_a_builtin_or_a_program_is_not_a_function_of_the_script() {
    for shell in shells() {
        let folder = Folder::with_script(&format!("{shell}handler() {{ :; }}"));
        for name in ["cat", "read", "eval", "no_such_thing"] {
            let setup = Setup::new(folder.path(), &format!("function.{name}"));
            assert_init_fails(setup, "Runtime.NoSuchHandler", &[name]);
        }
    }
}

#[test]
fn file_that_cannot_be_executed_is_named_with_the_reason() {
    let machine: [u8; 2] = if cfg!(target_arch = "x86_64") {
        [183, 0]
    } else {
        [62, 0]
    };
    let mut foreign = fs::read("/bin/cat").unwrap();
    foreign[18..20].copy_from_slice(&machine);
    let shell = "#!/bin/sh\necho no\n";
    for (content, executable, reason) in [
        (shell.as_bytes(), false, "chmod +x"),
        (b"#!/no/such/interpreter\n", true, "/no/such/interpreter"),
        (b"#!/no/such/interpreter -x", true, "/no/such/interpreter"),
        (b"#!/bin/sh\r\necho no\r\n", true, "CR"),
        (b"#!/\n", true, "'/'"),
        (b"#!\n", true, "interpreter"),
        (b"echo no first line\n", true, "#!"),
        (b"", true, "ELF"),
        (b"\x7fELF", true, "ELF"),
        (b"MZ\x90\0", true, "ELF"),
        (&foreign, true, "another machine"),
    ] {
        let folder = Folder::new();
        match executable {
            true => folder.executable("app", content),
            false => folder.file("app", content),
        };
        assert_init_fails(
            Setup::app(&folder),
            "Runtime.HandlerNotExecutable",
            &["app", reason],
        );
    }
}

#[test]
fn interpreter_that_cannot_be_executed_counts_as_missing() {
    let folder = Folder::new();
    let interpreter = folder.file("interpreter", "#!/bin/sh\n");
    folder.executable("app", format!("#!{}\n", interpreter.display()));
    let parts = ["app", "/interpreter'", "does not exist"];
    assert_init_fails(Setup::app(&folder), "Runtime.HandlerNotExecutable", &parts);
}

/// The program that env(1) will run is looked for as env does it, so that no event is lost to it.
#[test]
fn interpreter_behind_env_that_is_not_in_the_search_path_is_named() {
    for (first_line, named) in [
        (
            "#!/usr/bin/env no-such-interpreter",
            "'no-such-interpreter'",
        ),
        (
            "#!/usr/bin/env -S no-such-interpreter -x",
            "'no-such-interpreter'",
        ),
        (
            "#!/usr/bin/env -S A=1 no-such-interpreter",
            "'no-such-interpreter'",
        ),
        (
            "#!/usr/bin/env /no/such/interpreter",
            "'/no/such/interpreter'",
        ),
        (
            "#!/usr/bin/env -S -i -u PATH no-such-interpreter",
            "'no-such-interpreter'",
        ),
        (
            "#!/usr/bin/env --split-string=no-such-interpreter -x",
            "'no-such-interpreter'",
        ),
        (
            "#!/usr/bin/env -vS no-such-interpreter",
            "'no-such-interpreter'",
        ),
        // Without -S this is one word to env.
        ("#!/usr/bin/env sh -e", "'sh -e'"),
    ] {
        let folder = Folder::new();
        folder.executable("app", format!("{first_line}\necho no\n"));
        let parts = ["app", named, "env", "not in PATH"];
        assert_init_fails(Setup::app(&folder), "Runtime.HandlerNotExecutable", &parts);
    }
}

/// env would run the file itself again, for ever, or refuse its options.
#[test]
fn env_without_an_interpreter_is_refused() {
    for first_line in [
        "#!/usr/bin/env",
        "#!/usr/bin/env -",
        "#!/usr/bin/env -i",
        "#!/usr/bin/env -i sh",
        "#!/usr/bin/env -S -i A=1",
        "#!/usr/bin/env A=1",
    ] {
        let folder = Folder::new();
        folder.executable("app", format!("{first_line}\necho no\n"));
        let parts = ["app", "no interpreter behind env", "env -S"];
        assert_init_fails(Setup::app(&folder), "Runtime.HandlerNotExecutable", &parts);
    }
}

#[test]
fn interpreter_behind_env_that_is_in_the_search_path_is_run() {
    let folder = Folder::new();
    folder.executable("own/interpreter", "#!/bin/sh\necho run\n");
    let path = format!("{}/own:/usr/bin:/bin", folder.path().display());
    for first_line in [
        "#!/usr/bin/env interpreter",
        "#! /usr/bin/env  interpreter",
        "#!/usr/bin/env -S interpreter -e",
        "#!/usr/bin/env -S A=1 interpreter",
        "#!/usr/bin/env -S -i /bin/sh",
        "#!/usr/bin/env -iS /bin/sh",
        "#!/usr/bin/env --split-string=-u A interpreter",
        "#!/usr/bin/env -S \"interpreter\"",
    ] {
        folder.executable("app", format!("{first_line}\necho run\n"));
        let lambda = Setup::app(&folder).env("PATH", &path).start();
        assert_eq!(lambda.call("1").text(), "run\n", "{first_line}");
    }
}

/// It would start itself for each event.
#[test]
fn bootstrap_is_no_handler() {
    let folder = Folder::new();
    let program = fs::read(BOOTSTRAP).unwrap();
    let program = folder.executable("bootstrap", program);
    symlink("bootstrap", folder.path().join("link")).unwrap();
    fs::hard_link(&program, folder.path().join("hard")).unwrap();
    fs::copy(&program, folder.path().join("copy")).unwrap();
    let through_link = Folder::new();
    symlink(&program, through_link.path().join("bootstrap")).unwrap();
    for (task, handler) in [
        (&folder, "bootstrap".to_owned()),
        (&folder, "./bootstrap".to_owned()),
        (&folder, "link".to_owned()),
        (&folder, "hard".to_owned()),
        (&folder, "copy".to_owned()),
        (&folder, program.display().to_string()),
        (&through_link, "bootstrap".to_owned()),
    ] {
        let setup = Setup::new(task.path(), &handler)
            .launched_by(&format!("shift; set -- '{}' \"$@\"", program.display()));
        let parts = [handler.as_str(), "is the bootstrap itself"];
        assert_init_fails(setup, "Runtime.NoSuchHandler", &parts);
    }
    // Nor is a copy of it, where the runtime is another file.
    let setup = Setup::new(folder.path(), "bootstrap");
    let parts = ["bootstrap", "is the bootstrap itself"];
    assert_init_fails(setup, "Runtime.NoSuchHandler", &parts);
    let none = Folder::new();
    let setup = Setup::new(none.path(), "bootstrap");
    assert_init_fails(setup, "Runtime.NoSuchHandler", &["bootstrap", "no file"]);
}

#[test]
fn program_named_bootstrap_is_a_handler_also_with_the_size_of_the_bootstrap() {
    let size = fs::metadata(BOOTSTRAP).unwrap().len() as usize;
    let short = b"#!/bin/sh\necho other; exit\n".to_vec();
    let mut long = short.clone();
    long.resize(size, b'\n');
    for program in [short, long] {
        let folder = Folder::new();
        folder.executable("bootstrap", program);
        let lambda = Setup::new(folder.path(), "bootstrap").start();
        assert_eq!(lambda.call("1").text(), "other\n");
    }
}

#[test]
fn option_that_is_unknown_is_refused_with_status_2_and_the_usage() {
    let folder = Folder::with_app("echo no");
    let help = Setup::app(&folder).argument("--help").start();
    assert_eq!(help.wait_exit().code(), Some(0));
    let usage = help.end();
    for option in ["--serve", "-x", "-", "--version=1", "--Check"] {
        let lambda = Setup::app(&folder).argument(option).start();
        assert_eq!(lambda.wait_exit().code(), Some(2), "{option}");
        let log = lambda.end();
        let line = format!("bootstrap: FATAL unknown option '{option}'\n");
        assert_eq!(log, line + &usage);
        assert_eq!(lambda.api.counts().connections, 0);
    }
}

#[test]
fn options_print_and_ask_no_api() {
    let folder = Folder::with_app("echo no");
    for (options, start) in [
        (["--version", "-V"], "bootstrap 0."),
        (
            ["--help", "-h"],
            "bootstrap: runs a Lambda function's handler",
        ),
    ] {
        let [long, short] = options.map(|option| {
            let lambda = Setup::app(&folder).argument(option).start();
            assert_eq!(lambda.wait_exit().code(), Some(0), "{option}");
            assert_eq!(lambda.api.counts().connections, 0);
            lambda.end()
        });
        assert!(long.starts_with(start), "{long}");
        assert_eq!(long, short);
    }
}

#[test]
fn check_starts_the_handler_as_serving_would_and_says_what_is_wrong() {
    let folder = Folder::with_script("handler() { :; }");
    folder.file("failing.sh", "exit 3");
    for (handler, status, starts) in [
        ("function.handler", 0, "ok\n"),
        ("function.other", 1, "Runtime.NoSuchHandler: "),
        ("failing.handler", 1, "Runtime.HandlerInitFailed: "),
    ] {
        let setup = Setup::new(folder.path(), handler).argument("--check");
        let lambda = setup.without_env("AWS_LAMBDA_RUNTIME_API").start();
        assert_eq!(lambda.wait_exit().code(), Some(status), "{handler}");
        let log = lambda.end();
        assert!(log.starts_with(starts) && log.lines().count() == 1, "{log}");
        assert_eq!(lambda.api.counts().connections, 0);
    }
}

/// Has the bootstrap, a copy of it with this mode, run by nobody where the test is root, who may
/// read all. Nobody may execute it where it was built.
fn by_nobody(setup: Setup, folder: &Folder, mode: u32) -> Setup {
    let program = fs::read(BOOTSTRAP).unwrap();
    let program = folder.executable("bin/bootstrap", program);
    fs::set_permissions(&program, Permissions::from_mode(mode)).unwrap();
    let nobody = match fs::metadata(&program).unwrap().uid() {
        0 => "setpriv --reuid=65534 --regid=65534 --clear-groups",
        _ => "",
    };
    let program = program.display();
    // Through a shell: setpriv itself still may read what nobody may not.
    let shell = "/bin/sh -c 'exec \"$0\" \"$@\"'";
    setup.launched_by(&format!(
        "shift; set -- {nobody} {shell} '{program}' \"$@\""
    ))
}

#[test]
fn file_that_cannot_be_read_is_named_with_the_reason() {
    let folder = Folder::new();
    let file = folder.executable("app", "#!/bin/sh\n");
    fs::set_permissions(&file, Permissions::from_mode(0o111)).unwrap();
    let setup = by_nobody(Setup::app(&folder), &folder, 0o755);
    let parts = ["app", "cannot be read", "Permission denied"];
    assert_init_fails(setup, "Runtime.HandlerNotExecutable", &parts);
}

/// The kernel hides the descriptors of a program that its user may not read.
#[test]
fn bootstrap_that_its_user_may_not_read_runs_programs_and_says_why_no_functions() {
    let folder = Folder::with_script("handler() { :; }");
    folder.executable("app", "#!/bin/sh\nexec cat\n");
    if fs::metadata(folder.path()).unwrap().uid() != 0 {
        eprintln!("skipped: a bootstrap that its user may not read: needs root");
        return;
    }
    let of_nobody = Folder::new();
    let lambda = by_nobody(Setup::app(&folder), &of_nobody, 0o711).start();
    assert_eq!(lambda.call("event").text(), "event");
    let setup = by_nobody(Setup::function(&folder), &folder, 0o711);
    let parts = [
        "function.sh",
        "may not read the bootstrap's file",
        "chmod a+r",
    ];
    assert_init_fails(setup, "Runtime.HandlerInitFailed", &parts);
}

#[test]
fn function_where_proc_is_not_mounted_is_refused_for_that() {
    let alone = ["unshare", "--mount", "umount", "-l", "/proc"];
    if let Some(why) = missing(&alone) {
        eprintln!("skipped: a function where /proc is not mounted: {why}");
        return;
    }
    let folder = Folder::with_script("handler() { :; }");
    // Another one may be below it.
    let without = "while umount -l /proc 2>/dev/null; do :; done; exec \"$0\" \"$@\"";
    let setup = Setup::function(&folder).launched_by(&format!(
        "set -- unshare --mount /bin/sh -c '{without}' \"$@\""
    ));
    let parts = ["function.sh", "/proc is not mounted"];
    assert_init_fails(setup, "Runtime.HandlerInitFailed", &parts);
}

#[test]
fn program_whose_loader_is_there_is_run() {
    let folder = Folder::new();
    folder.executable("app", fs::read("/bin/cat").unwrap());
    let lambda = Setup::app(&folder).start();
    assert_eq!(lambda.call("1").text(), "1");
}

#[test]
fn program_whose_loader_is_missing_is_named_with_the_loader() {
    let program = fs::read("/bin/cat").unwrap();
    let name = b"/ld-linux-";
    let found = program
        .windows(name.len())
        .position(|window| window == name);
    let at = found.expect("/bin/cat of this machine names its loader");
    let mut program = program;
    program[at..at + name.len()].copy_from_slice(b"/no-loader");
    let folder = Folder::new();
    folder.executable("app", program);
    let parts = ["loader", "no-loader", "statically"];
    assert_init_fails(Setup::app(&folder), "Runtime.HandlerNotExecutable", &parts);
}

#[test]
fn script_whose_shell_is_missing_is_named_with_the_shell() {
    for first_line in ["#!/no/such/bash", "#!/no/such/dash -x"] {
        let folder = Folder::with_script(&format!("{first_line}\nhandler() {{ :; }}"));
        let parts = ["function.sh", "/no/such/"];
        assert_init_fails(
            Setup::function(&folder),
            "Runtime.HandlerNotExecutable",
            &parts,
        );
    }
}

#[test]
fn script_that_fails_while_it_is_sourced_is_reported_with_the_shells_last_words() {
    for shell in shells() {
        for (script, last_words) in [
            ("echo last words; false", "last words"),
            ("echo last words; exit 3", "status 3"),
            (
                "exit 6",
                "it wrote nothing, its last command ended with status 6",
            ),
            ("kill -KILL $$", "SIGKILL"),
            ("echo last words; exit 0", "last words"),
            ("echo last words; return 4", "status 4"),
            ("echo first; echo last words >&2; (exit 5)", "status 5"),
            ("handler() { :; }; no_such_command", "no_such_command"),
            (
                "handler() { :; }; echo \"$nobody_set_this\"",
                "nobody_set_this",
            ),
            ("handler() {", "function.sh"),
            ("if", "function.sh"),
            ("echo last words; kill -KILL $$", "SIGKILL"),
            ("echo last words; cat /no/such/file", "/no/such/file"),
        ] {
            let folder = Folder::with_script(&format!("{shell}{script}\n"));
            let setup = Setup::function(&folder);
            let parts = ["function.sh", last_words];
            assert_init_fails(setup, "Runtime.HandlerInitFailed", &parts);
        }
    }
}

/// A shell takes what another system's editor left for a part of names, and cannot say so.
#[test]
fn script_with_bytes_of_another_system_is_told_how_to_save_it() {
    let no_such = "Runtime.NoSuchHandler";
    let failed = "Runtime.HandlerInitFailed";
    for (script, error_type, remedy) in [
        ("\u{feff}handler() { :; }\n", no_such, "UTF-8 without one"),
        ("\u{feff}set -e\n", failed, "UTF-8 without one"),
        ("if true\r\nthen :; fi\r\n", failed, "Unix line ends"),
    ] {
        let folder = Folder::with_script(script);
        let parts = ["function.sh", remedy];
        assert_init_fails(Setup::function(&folder), error_type, &parts);
    }
}

#[test]
fn script_that_is_named_as_an_executable_is_told_of_its_functions() {
    const HINT: &str = "set the handler to function.FUNCTION";
    for (name, script, has_hint) in [
        ("function.sh", "handler() { :; }\n", true),
        ("function.sh", "echo no functions\n", false),
        ("function.bash", "handler() { :; }\n", false),
        ("function.sh.txt", "echo no functions\n", false),
    ] {
        let folder = Folder::new();
        folder.file(name, script);
        let lambda = Setup::new(folder.path(), name).start();
        let report = report(&lambda);
        let refusal = format!("{name} is not executable");
        assert_failure(&report, "Runtime.HandlerNotExecutable", &refusal);
        assert_eq!(report.text().contains(HINT), has_hint, "{}", report.text());
    }
}

#[test]
fn last_words_of_any_bytes_and_any_length_give_valid_json_of_bounded_size() {
    let long = "head -c 2000000 /dev/zero | tr '\\0' x; ";
    for words in [
        r"\377\376\n",
        r"\001\033[31m\177\n",
        r#""\\\n"#,
        r"a\000b\r\nc\n",
        "\u{2028}x\\n",
    ] {
        for before in ["", long] {
            let script = format!("{before} printf '{words}'; exit 1");
            let folder = Folder::with_script(&script);
            let lambda = Setup::function(&folder).start();
            let report = report(&lambda);
            assert_failure(&report, "Runtime.HandlerInitFailed", "status 1");
            assert!(report.body.len() <= 262_144, "{}", report.body.len());
        }
    }
}

#[test]
fn log_line_stands_alone_also_after_words_without_a_newline() {
    for shell in shells() {
        let folder = Folder::with_script(&format!("{shell}printf 'last words'; exit 1"));
        let lambda = Setup::function(&folder).start();
        report(&lambda);
        assert!(
            lambda.end().starts_with("last words\nbootstrap: FATAL "),
            "{}",
            lambda.end()
        );
    }
}

#[test]
fn script_that_cannot_be_read_is_an_error() {
    let folder = Folder::new();
    // A script that is a link to itself can be read by nobody, root included.
    std::os::unix::fs::symlink("function.sh", folder.path().join("function.sh")).unwrap();
    assert_init_fails(
        Setup::function(&folder),
        "Runtime.NoSuchHandler",
        &["function.sh"],
    );
}

#[test]
fn task_root_that_is_not_there_is_an_error_that_names_it() {
    let folder = Folder::with_script("handler() { :; }");
    let setup = Setup::function(&folder).env("LAMBDA_TASK_ROOT", "/no/such/root");
    let lambda = setup.start();
    let report = report(&lambda);
    let document = json::parse(&report.body).unwrap();
    assert!(
        document.text("errorMessage").contains("/no/such/root"),
        "{}",
        report.text()
    );
}

#[test]
fn setting_with_a_bad_value_is_named_with_its_value_and_what_is_allowed() {
    let folder = Folder::with_script("handler() { :; }");
    for (name, value, allowed) in [
        (
            "BOOTSTRAP_RESPONSE_MODE",
            "sideways",
            "one of: buffered, streaming. Change it in the function's configuration",
        ),
        (
            "BOOTSTRAP_EVENT_VIA",
            "both",
            "one of: argument, stdin. Change it in the function's configuration",
        ),
        ("BOOTSTRAP_CONTENT_TYPE", "no media type", "media type"),
        ("BOOTSTRAP_CONTENT_TYPE", "/", "media type"),
        ("BOOTSTRAP_CONTENT_TYPE", "text/", "media type"),
        ("BOOTSTRAP_CONTENT_TYPE", "/plain", "media type"),
        (
            "BOOTSTRAP_CONTENT_TYPE",
            "text/plain\r\nX-Injected: 1",
            "media type",
        ),
        ("BOOTSTRAP_DEADLINE_MARGIN_MS", "-1", "60000"),
        ("BOOTSTRAP_DEADLINE_MARGIN_MS", "+1", "60000"),
        ("BOOTSTRAP_DEADLINE_MARGIN_MS", "60001", "60000"),
        (
            "BOOTSTRAP_DEADLINE_MARGIN_MS",
            "99999999999999999999",
            "60000",
        ),
        ("BOOTSTRAP_DEADLINE_MARGIN_MS", "1.5", "60000"),
        ("BOOTSTRAP_GRACEFUL_SHUTDOWN", "2", "0, 1"),
        ("BOOTSTRAP_GRACEFUL_SHUTDOWN", "yes", "0, 1"),
    ] {
        let setup = Setup::function(&folder).env(name, value);
        let shown = value.split("\r\n").next().unwrap();
        let start = format!("{name} is '{shown}");
        assert_init_fails(
            setup,
            "Runtime.ConfigInvalid",
            &[&start, "expected ", allowed],
        );
    }
}

#[test]
fn setting_at_its_limit_or_empty_is_taken() {
    let folder = Folder::with_script("handler() { echo ok; }");
    for (name, value) in [
        ("BOOTSTRAP_RESPONSE_MODE", "buffered"),
        ("BOOTSTRAP_RESPONSE_MODE", ""),
        ("BOOTSTRAP_EVENT_VIA", "argument"),
        ("BOOTSTRAP_EVENT_VIA", "stdin"),
        ("BOOTSTRAP_EVENT_VIA", ""),
        ("BOOTSTRAP_CONTENT_TYPE", "text/html; charset=utf-8"),
        ("BOOTSTRAP_CONTENT_TYPE", ""),
        ("BOOTSTRAP_DEADLINE_MARGIN_MS", "0"),
        ("BOOTSTRAP_DEADLINE_MARGIN_MS", "60000"),
        ("BOOTSTRAP_DEADLINE_MARGIN_MS", ""),
        ("BOOTSTRAP_GRACEFUL_SHUTDOWN", "0"),
        ("BOOTSTRAP_GRACEFUL_SHUTDOWN", ""),
    ] {
        let lambda = Setup::function(&folder).env(name, value).start();
        assert_eq!(lambda.call("1").text(), "ok", "{name}={value}");
    }
}

#[test]
fn content_type_is_that_of_the_setting() {
    let folder = Folder::with_script("handler() { echo ok; }");
    let lambda = Setup::function(&folder).start();
    assert_eq!(
        lambda.call("1").header("Content-Type"),
        Some("application/json")
    );
    let lambda = Setup::function(&folder)
        .env("BOOTSTRAP_CONTENT_TYPE", "text/html")
        .start();
    assert_eq!(lambda.call("1").header("Content-Type"), Some("text/html"));
}

#[test]
fn address_that_is_missing_or_malformed_is_logged_and_the_exit_status_is_1() {
    let folder = Folder::with_script("handler() { :; }");
    let unset = Setup::function(&folder).without_env("AWS_LAMBDA_RUNTIME_API");
    let with = |address: &str| Setup::function(&folder).env("AWS_LAMBDA_RUNTIME_API", address);
    let malformed = [
        "",
        "localhost",
        ":9001",
        "127.0.0.1:",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:+80",
        "127.0.0.1:9001:1",
        "https://127.0.0.1:9001",
        "ftp://127.0.0.1:9001",
        "[::1:9001",
        "127.0.0.1:9001\r\nX: 1",
        "127.0.0.1 :9001",
    ];
    for setup in malformed.map(with).into_iter().chain([unset]) {
        let lambda = setup.start();
        assert_eq!(lambda.wait_exit().code(), Some(1));
        let log = lambda.end();
        assert!(
            log.starts_with("bootstrap: FATAL ") && log.contains("AWS_LAMBDA_RUNTIME_API"),
            "{log}"
        );
        assert_eq!(log.lines().count(), 1, "{log}");
        assert_eq!(lambda.api.counts().connections, 0);
    }
}

#[test]
fn address_where_nobody_listens_is_logged_and_the_exit_status_is_1() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let folder = Folder::with_script("handler() { :; }");
    let lambda = Setup::function(&folder)
        .env("AWS_LAMBDA_RUNTIME_API", &address)
        .start();
    let exit = lambda.bootstrap.wait_exit(Duration::from_secs(10));
    assert_eq!(exit.and_then(|exit| exit.code()), Some(1));
    let log = lambda.end();
    assert!(log.contains("bootstrap: FATAL "), "{log}");
}

#[test]
fn report_that_the_api_refuses_changes_nothing_about_the_exit() {
    use crate::emulator::api::Action;
    for status in [400, 403, 413, 500] {
        let folder = Folder::new();
        let setup = Setup::app(&folder).script(move |_, _| Action::Status(status));
        let lambda = setup.start();
        assert_eq!(lambda.wait_exit().code(), Some(1));
        assert_eq!(lambda.api.counts().posts, 1, "{status}");
        assert!(lambda.end().contains("Runtime.NoSuchHandler"));
    }
}

/// A FIFO is neither waited for nor run.
#[test]
fn name_of_a_fifo_is_no_handler() {
    let folder = Folder::new();
    let fifo = folder.path().join("app");
    make_fifo(&fifo);
    assert_init_fails(
        Setup::new(folder.path(), "app"),
        "Runtime.NoSuchHandler",
        &["app"],
    );
}
