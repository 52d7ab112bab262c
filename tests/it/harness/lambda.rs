//! A bootstrap on an API: one execution environment, as the tests use it.

use super::attendants;
use super::folder::Folder;
use super::wait::{PATIENCE, wait_until};
use crate::emulator::api::{Action, Api, Options};
use crate::emulator::event::Event;
use crate::emulator::process::{self, Bootstrap, Log};
use crate::emulator::record::{Endpoint, Progress, Request};
use crate::emulator::state::State;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

/// The binary under test.
pub(crate) const BOOTSTRAP: &str = env!("CARGO_BIN_EXE_bootstrap");

/// An environment that is not started yet.
pub(crate) struct Setup {
    command: Command,
    options: Options,
    launcher: Option<String>,
    set_address: bool,
    temp: Folder,
}

impl Setup {
    /// A function in `task`; the environment is Lambda's, nothing of the test's own is in it.
    pub(crate) fn new(task: &Path, handler: &str) -> Setup {
        let mut command = Command::new(BOOTSTRAP);
        command.env_clear().current_dir(task);
        command.env("PATH", env::var_os("PATH").unwrap_or_default());
        command
            .env("LAMBDA_TASK_ROOT", task)
            .env("_HANDLER", handler);
        command.env("AWS_LAMBDA_FUNCTION_NAME", "function");
        command.env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST");
        command.env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128");
        let temp = Folder::new();
        command.env("TMPDIR", temp.path());
        let options = Options::default();
        Setup {
            command,
            options,
            launcher: None,
            set_address: true,
            temp,
        }
    }

    /// A function of `tests/handlers`.
    pub(crate) fn fixture(handler: &str) -> Setup {
        Setup::new(&handlers(), handler)
    }

    /// The function `handler` of a folder with a `function.sh`.
    pub(crate) fn function(folder: &Folder) -> Setup {
        Setup::new(folder.path(), "function.handler")
    }

    /// The executable of a folder with an `app`.
    pub(crate) fn app(folder: &Folder) -> Setup {
        Setup::new(folder.path(), "app")
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Setup {
        self.command.env(name, value);
        self.set_address &= name != "AWS_LAMBDA_RUNTIME_API";
        self
    }

    pub(crate) fn without_env(mut self, name: &str) -> Setup {
        self.command.env_remove(name);
        self.set_address &= name != "AWS_LAMBDA_RUNTIME_API";
        self
    }

    /// The bootstrap's current folder; otherwise that of the function.
    pub(crate) fn current_dir(mut self, path: &Path) -> Setup {
        self.command.current_dir(path);
        self
    }

    pub(crate) fn argument(mut self, argument: &str) -> Setup {
        self.command.arg(argument);
        self
    }

    pub(crate) fn options(mut self, options: Options) -> Setup {
        self.options = options;
        self
    }

    /// What to do with a request instead of what Lambda would; see `api::Script`.
    pub(crate) fn script(
        mut self,
        script: impl Fn(&Request, usize) -> Action + Send + Sync + 'static,
    ) -> Setup {
        self.options.script = Box::new(script);
        self
    }

    /// Has a shell start the bootstrap, which is `"$@"`, after these commands.
    pub(crate) fn launched_by(mut self, commands: &str) -> Setup {
        self.launcher = Some(format!("{commands}\nexec \"$@\""));
        self
    }

    pub(crate) fn start(self) -> Lambda {
        let Setup {
            mut command,
            options,
            launcher,
            set_address,
            temp,
        } = self;
        let prefix = options.prefix.clone();
        let api = Api::start(options).expect("a port of this machine can be listened on");
        if set_address {
            let scheme = if prefix.is_empty() { "" } else { "http://" };
            let address = format!("{scheme}{}{prefix}", api.address);
            command.env("AWS_LAMBDA_RUNTIME_API", address);
        }
        if let Some(script) = launcher {
            command = through_shell(&command, &script);
        }
        let started = Bootstrap::start(command, process::new_tag(), Log::Kept, api.waker());
        let bootstrap = started.expect("the bootstrap can be started");
        Lambda {
            bootstrap,
            api,
            temp,
        }
    }
}

/// First lines of scripts, one for each shell that functions are tested in: bash, and the strictest
/// POSIX shell of this machine.
pub(crate) fn shells() -> [&'static str; 2] {
    let dash = Path::new("/bin/dash").exists();
    [
        "#!/usr/bin/env bash\n",
        if dash { "#!/bin/dash\n" } else { "#!/bin/sh\n" },
    ]
}

/// The same commands as a handler of each kind: a function of each of these shells, and an
/// executable.
pub(crate) fn each_kind(commands: &str) -> Vec<(Folder, Setup)> {
    let functions = shells().map(|shell| {
        let folder = Folder::with_script(&format!("{shell}handler() {{ {commands}\n}}"));
        let setup = Setup::function(&folder);
        (folder, setup)
    });
    let app = Folder::with_app(commands);
    let setup = Setup::app(&app);
    functions.into_iter().chain([(app, setup)]).collect()
}

/// The folder of the fixtures.
pub(crate) fn handlers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/handlers")
}

fn through_shell(command: &Command, script: &str) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", script, "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    shell.env_clear().envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    if let Some(folder) = command.get_current_dir() {
        shell.current_dir(folder);
    }
    shell
}

/// A running environment. It ends, with every process in it, when this is dropped.
pub(crate) struct Lambda {
    // Dropped in this order: the process ends before its API does.
    pub(crate) bootstrap: Bootstrap,
    pub(crate) api: Api,
    /// What `TMPDIR` of the bootstrap is.
    pub(crate) temp: Folder,
}

impl Lambda {
    /// Queues an event and waits for the answer to it.
    pub(crate) fn invoke(&self, event: Event) -> Request {
        let id = self.api.push(event);
        self.answer(&id)
    }

    /// The same with an event of which only the body matters.
    pub(crate) fn call(&self, body: impl AsRef<[u8]>) -> Request {
        self.invoke(Event::new(body))
    }

    /// Waits for the answer to an event.
    pub(crate) fn answer(&self, id: &str) -> Request {
        self.wait(&format!("an answer to {id}"), |state| {
            state.answer(id).cloned()
        })
    }

    /// Waits until an event is delivered.
    pub(crate) fn wait_delivered(&self, id: &str) {
        self.wait(&format!("the delivery of {id}"), |state| {
            state.delivered(id)
        });
    }

    /// Waits until the bootstrap waits for an event.
    pub(crate) fn wait_idle(&self) {
        self.wait("GET /next", |state| (state.idle > 0).then_some(()));
    }

    /// Waits for a complete request to an endpoint.
    pub(crate) fn request(&self, endpoint: &Endpoint) -> Request {
        self.wait(&format!("{endpoint:?}"), |state| {
            let mut requests = state.requests.values();
            requests
                .find(|r| r.endpoint == *endpoint && r.progress == Progress::Taken)
                .cloned()
        })
    }

    /// Waits until something is found in the state; fails with the log when it is not.
    pub(crate) fn wait<T>(&self, what: &str, found: impl FnMut(&State) -> Option<T>) -> T {
        self.api
            .wait(Instant::now() + PATIENCE, found)
            .unwrap_or_else(|| {
                let exit = self.bootstrap.exit();
                panic!(
                    "waited in vain for {what}; exit: {exit:?}; log:\n{}",
                    self.bootstrap.log()
                )
            })
    }

    /// Waits until the bootstrap ended.
    pub(crate) fn wait_exit(&self) -> ExitStatus {
        self.bootstrap
            .wait_exit(PATIENCE)
            .unwrap_or_else(|| panic!("the bootstrap goes on; log:\n{}", self.bootstrap.log()))
    }

    /// Waits until a text is in the log.
    pub(crate) fn wait_log(&self, text: &str) {
        self.wait_log_times(text, 1);
    }

    /// Waits until a text is in the log so many times.
    pub(crate) fn wait_log_times(&self, text: &str, times: usize) {
        let found = self.bootstrap.wait_log(text, times, PATIENCE);
        assert!(
            found,
            "not in the log: {text:?}; log:\n{}",
            self.bootstrap.log()
        );
    }

    /// Ends every process, and returns the complete log.
    pub(crate) fn end(&self) -> String {
        process::kill_tagged(&self.bootstrap.tag);
        let complete = self.bootstrap.wait_log_closed(PATIENCE);
        assert!(complete, "somebody holds the log");
        self.bootstrap.log()
    }

    /// The processes of the environment, the bootstrap among them, without its attendants.
    pub(crate) fn processes(&self) -> Vec<u32> {
        attendants::without_attendants(self.everyone())
    }

    /// All processes of the environment.
    pub(crate) fn everyone(&self) -> Vec<u32> {
        process::tagged(&self.bootstrap.tag)
    }

    /// Waits until so many processes are left. One that is killed is not gone at once; what it is
    /// not any more is running.
    pub(crate) fn wait_processes(&self, count: usize) -> Vec<u32> {
        let until = Instant::now() + PATIENCE;
        loop {
            let processes = self.processes();
            if processes.len() == count {
                return processes;
            }
            assert!(
                Instant::now() < until,
                "processes: {processes:?} instead of {count}"
            );
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until nobody is left, not even an attendant.
    pub(crate) fn wait_nobody(&self) {
        wait_until("nobody is left", || self.everyone().is_empty());
    }

    /// The open descriptors of the bootstrap.
    pub(crate) fn descriptors(&self) -> Vec<String> {
        let links = fs::read_dir(format!("/proc/{}/fd", self.bootstrap.pid));
        let links = links.expect("the bootstrap runs");
        links
            .flatten()
            .map(|link| link.file_name().to_string_lossy().into_owned())
            .collect()
    }
}

impl Drop for Lambda {
    fn drop(&mut self) {
        // Whatever a test is about: what the bootstrap sent must have been HTTP.
        if !thread::panicking() {
            assert_eq!(self.api.faults(), [""; 0], "malformed requests");
        }
    }
}
