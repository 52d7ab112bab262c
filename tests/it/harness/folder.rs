//! A folder of its own for one test, removed with all in it when it is dropped, unless the test fails.

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("zerostrap-test-{}-{number}", process::id()));
        fs::create_dir(&path).expect("the folder for temporary files can be written");
        Folder(path)
    }

    /// A folder with a script `function.sh`.
    pub(crate) fn with_script(text: &str) -> Folder {
        let folder = Folder::new();
        folder.file("function.sh", text);
        folder
    }

    /// A folder with an executable `app`, which is a script for `/bin/sh`.
    pub(crate) fn with_app(text: &str) -> Folder {
        let folder = Folder::new();
        folder.executable("app", format!("#!/bin/sh\n{text}"));
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file that is only read, for example a script to be sourced.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        self.with_mode(name, content, 0o644)
    }

    /// Makes a file that can be executed. Another process writes it: what this one has open for
    /// writing, a process that another thread starts just then has open too, for a moment, and such
    /// a file cannot be executed (ETXTBSY).
    pub(crate) fn executable(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let draft = self.with_mode(&format!("{name}.draft"), content, 0o755);
        let path = self.0.join(name);
        let copied = Command::new("cp").arg("-p").args([&draft, &path]).status();
        assert!(copied.is_ok_and(|status| status.success()), "cp(1) copies");
        fs::remove_file(draft).expect("a file of a test can be removed");
        path
    }

    fn with_mode(&self, name: &str, content: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        let parent = path.parent().expect("a file of a folder has a parent");
        fs::create_dir_all(parent).expect("a folder of a test can be made");
        fs::write(&path, content).expect("a file of a test can be written");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("a mode can be set");
        path
    }

    /// The text of a file; nothing while it is not there.
    pub(crate) fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.0.join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Everything in it, at its top.
    pub(crate) fn entries(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("a folder of a test can be listed");
        entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed stays in the folder for temporary files; no test depends on it.
        if !thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}
