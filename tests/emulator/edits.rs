//! Whether anything of a function changed since it was started.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A folder with more files than this is looked at in part.
const FILES_LIMIT: usize = 50_000;

/// What tools write beside a function by themselves.
const NOT_OF_THE_FUNCTION: [&str; 2] = ["__pycache__", ".git"];

/// A number that is another one once a file was edited, replaced, added or removed. Links are
/// followed, also out of the folder. A file that cannot be read is the bootstrap's to complain
/// about.
pub(crate) fn fingerprint(paths: &[&Path]) -> u64 {
    let mut state = State::default();
    for path in paths {
        state.add(path);
    }
    state.hasher.finish()
}

#[derive(Default)]
struct State {
    hasher: DefaultHasher,
    folders: HashSet<(u64, u64)>,
    files: usize,
}

impl State {
    fn add(&mut self, path: &Path) {
        path.hash(&mut self.hasher);
        let Ok(metadata) = fs::metadata(path) else {
            return;
        };
        if metadata.is_dir() {
            self.add_folder(path, &metadata);
        } else if self.files < FILES_LIMIT {
            self.files += 1;
            // The time of the last change of the inode cannot be set back, that of the content can.
            let times = (metadata.mtime(), metadata.mtime_nsec(), metadata.ctime());
            (
                metadata.ino(),
                metadata.size(),
                times,
                metadata.ctime_nsec(),
            )
                .hash(&mut self.hasher);
        }
    }

    fn add_folder(&mut self, path: &Path, metadata: &Metadata) {
        // A link may lead back to a folder above it.
        if !self.folders.insert((metadata.dev(), metadata.ino())) {
            return;
        }
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
        names.retain(|name| !NOT_OF_THE_FUNCTION.iter().any(|other| name == other));
        names.sort();
        for name in names {
            self.add(&path.join(name));
        }
    }
}
