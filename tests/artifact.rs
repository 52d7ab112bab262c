//! What is uploaded to Lambda is what was promised: the release artefacts, looked at from outside.
//!
//! In: `dist/x86_64/bootstrap` and `dist/arm64/bootstrap`, as `make` builds them; `ZEROSTRAP_DIST`
//! names another folder. An artefact that is not there, or not of this commit, is skipped and said
//! so, for `cargo test` alone does not build it; with `ZEROSTRAP_REQUIRE_DIST=1`, as `make test`
//! sets it, that is a failure.
//!
//! The ELF header is read here, by hand: a dozen fields at fixed places, and no tool to install.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What Lambda has to fetch at a cold start, and what an auditor has to account for: the budget, of
/// which the program takes 98 %.
const SIZE_LIMIT: usize = 163_840;
/// The same where std could not be rebuilt with the program (`dist/ARCH/recipe` says so).
const SIZE_LIMIT_PREBUILT_STD: usize = 540_672;
/// The same where the compiler is the system's: Debian's, on Debian's musl, makes 121,872 bytes.
const SIZE_LIMIT_SYSTEM: usize = 180_224;

/// The versions of Lambda's APIs that stand in its paths, all that may look like a date.
const API_VERSIONS: [&str; 2] = ["2018-06-01", "2020-01-01"];

const ET_EXEC: u64 = 2;
const ET_DYN: u64 = 3;
const EM_X86_64: u64 = 62;
const EM_AARCH64: u64 = 183;
const PT_LOAD: u64 = 1;
const PT_DYNAMIC: u64 = 2;
const PT_INTERP: u64 = 3;
const PT_GNU_STACK: u64 = 0x6474_e551;
const PF_X: u64 = 1;
const PF_W: u64 = 2;
const SHT_SYMTAB: u64 = 2;
const SHT_NOTE: u64 = 7;
const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;
const DT_FLAGS_1: u64 = 0x6fff_fffb;
const DF_1_PIE: u64 = 0x0800_0000;

struct Artifact {
    arch: &'static str,
    machine: &'static str,
    path: PathBuf,
    bytes: Vec<u8>,
    recipe: String,
}

struct Segment {
    kind: u64,
    flags: u64,
    content: std::ops::Range<usize>,
}

impl Artifact {
    /// The number of `width` bytes at `offset`, the lowest first, as both architectures have it.
    fn number(&self, offset: usize, width: usize) -> u64 {
        let field = self
            .bytes
            .get(offset..offset + width)
            .expect("the file is cut short");
        field
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn offset(&self, offset: usize) -> usize {
        usize::try_from(self.number(offset, 8)).expect("an offset fits")
    }

    fn kind(&self) -> u64 {
        self.number(16, 2)
    }

    fn machine_number(&self) -> u64 {
        self.number(18, 2)
    }

    fn segments(&self) -> Vec<Segment> {
        let (start, width, count) = (self.offset(32), self.number(54, 2), self.number(56, 2));
        assert_eq!(
            width, 56,
            "{}: a 64-bit program header has 56 bytes",
            self.arch
        );
        let entries = (0..usize::try_from(count).unwrap()).map(|index| start + index * 56);
        entries
            .map(|entry| {
                let begin = self.offset(entry + 8);
                Segment {
                    kind: self.number(entry, 4),
                    flags: self.number(entry + 4, 4),
                    content: begin..begin + self.offset(entry + 32),
                }
            })
            .collect()
    }

    /// The types of all sections.
    fn sections(&self) -> Vec<u64> {
        let (start, width, count) = (self.offset(40), self.number(58, 2), self.number(60, 2));
        assert_eq!(
            width, 64,
            "{}: a 64-bit section header has 64 bytes",
            self.arch
        );
        (0..usize::try_from(count).unwrap())
            .map(|index| self.number(start + index * 64 + 4, 4))
            .collect()
    }

    /// The dynamic section, as pairs of tag and value; empty in a program that has none.
    fn dynamic(&self) -> Vec<(u64, u64)> {
        let segments = self.segments();
        let Some(segment) = segments.iter().find(|segment| segment.kind == PT_DYNAMIC) else {
            return Vec::new();
        };
        let entries = segment.content.clone().step_by(16);
        let pairs = entries.map(|entry| (self.number(entry, 8), self.number(entry + 8, 8)));
        pairs.take_while(|pair| pair.0 != DT_NULL).collect()
    }

    fn holds(&self, text: &str) -> bool {
        self.holds_bytes(text.as_bytes())
    }

    fn holds_bytes(&self, wanted: &[u8]) -> bool {
        assert!(!wanted.is_empty());
        self.bytes
            .windows(wanted.len())
            .any(|window| window == wanted)
    }

    /// Every printable text of the file, as strings(1) finds them.
    fn texts(&self) -> Vec<&str> {
        self.bytes
            .split(|byte| !(byte.is_ascii_graphic() || *byte == b' '))
            .map(|text| std::str::from_utf8(text).expect("printable ASCII"))
            .filter(|text| text.len() >= 4)
            .collect()
    }

    fn std_is_prebuilt(&self) -> bool {
        self.recipe.contains("std prebuilt")
    }

    /// A way to run it here: itself, or the emulator of its processor, if there is one.
    fn command(&self) -> Option<Command> {
        if self.machine == env::consts::ARCH {
            return Some(Command::new(&self.path));
        }
        let emulator = format!("qemu-{}-static", self.machine);
        let folders = env::var_os("PATH").unwrap_or_default();
        let found = env::split_paths(&folders).map(|folder| folder.join(&emulator));
        let Some(emulator) = found.into_iter().find(|path| path.is_file()) else {
            println!(
                "skipped: the {} artefact: there is no {emulator}; run: apt-get install qemu-user-static",
                self.arch
            );
            return None;
        };
        let mut command = Command::new(emulator);
        command.arg(&self.path);
        Some(command)
    }
}

/// Both artefacts, less those that are skipped.
fn artifacts() -> Vec<Artifact> {
    let required = env::var_os("ZEROSTRAP_REQUIRE_DIST").is_some_and(|value| value == "1");
    let dist = env::var_os("ZEROSTRAP_DIST").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("dist"),
        PathBuf::from,
    );
    let mut found = Vec::new();
    for (arch, machine) in [("x86_64", "x86_64"), ("arm64", "aarch64")] {
        let path = dist.join(arch).join("bootstrap");
        match read(arch, machine, path) {
            Ok(artifact) => found.push(artifact),
            Err(reason) if required => panic!("{reason}"),
            Err(reason) => println!("skipped: {reason}"),
        }
    }
    found
}

fn read(arch: &'static str, machine: &'static str, path: PathBuf) -> Result<Artifact, String> {
    let name = path.display().to_string();
    let bytes =
        fs::read(&path).map_err(|error| format!("{name}: {error}; run make ARCH={arch}"))?;
    let recipe = path.with_file_name("recipe");
    let recipe = fs::read_to_string(&recipe)
        .map_err(|error| format!("{}: {error}; run make ARCH={arch}", recipe.display()))?;
    let artifact = Artifact {
        arch,
        machine,
        path,
        bytes,
        recipe,
    };
    let commit = env!("ZEROSTRAP_COMMIT");
    // In an unpacked archive there is no commit to compare with.
    if !commit.is_empty() && !artifact.holds(commit) {
        return Err(format!(
            "{name}: not of the commit {commit}; run make ARCH={arch}"
        ));
    }
    Ok(artifact)
}

#[test]
fn artifact_is_elf_of_its_architecture() {
    for artifact in artifacts() {
        let machine = if artifact.arch == "x86_64" {
            EM_X86_64
        } else {
            EM_AARCH64
        };
        // 0x7f E L F, 64 bits, lowest byte first, version 1.
        assert!(
            artifact.bytes.starts_with(b"\x7fELF\x02\x01\x01"),
            "{}",
            artifact.arch
        );
        assert_eq!(artifact.machine_number(), machine, "{}", artifact.arch);
    }
}

#[test]
fn artifact_needs_no_interpreter_and_no_library() {
    for artifact in artifacts() {
        let arch = artifact.arch;
        let segments = artifact.segments();
        assert!(
            segments.iter().any(|segment| segment.kind == PT_LOAD),
            "{arch}: nothing to load"
        );
        assert!(
            !segments.iter().any(|segment| segment.kind == PT_INTERP),
            "{arch}: PT_INTERP"
        );
        let needed = artifact
            .dynamic()
            .iter()
            .filter(|pair| pair.0 == DT_NEEDED)
            .count();
        assert_eq!(needed, 0, "{arch}: DT_NEEDED");
    }
}

#[test]
fn artifact_for_x86_64_is_position_independent() {
    for artifact in artifacts() {
        if artifact.arch == "x86_64" {
            let flags = artifact
                .dynamic()
                .into_iter()
                .find(|pair| pair.0 == DT_FLAGS_1);
            assert_eq!(artifact.kind(), ET_DYN);
            assert_ne!(flags.expect("DT_FLAGS_1").1 & DF_1_PIE, 0, "DF_1_PIE");
        } else {
            // The toolchain links this target at a fixed address when it links it statically.
            assert_eq!(artifact.kind(), ET_EXEC);
        }
    }
}

#[test]
fn artifact_maps_nothing_writable_and_executable() {
    for artifact in artifacts() {
        let arch = artifact.arch;
        let segments = artifact.segments();
        for segment in segments.iter().filter(|segment| segment.kind == PT_LOAD) {
            assert_ne!(segment.flags & (PF_W | PF_X), PF_W | PF_X, "{arch}");
        }
        let stack = segments.iter().find(|segment| segment.kind == PT_GNU_STACK);
        let stack = stack.unwrap_or_else(|| panic!("{arch}: without it the stack is executable"));
        assert_eq!(stack.flags & PF_X, 0, "{arch}: the stack is executable");
    }
}

#[test]
fn artifact_is_stripped_and_has_no_build_id() {
    for artifact in artifacts() {
        let sections = artifact.sections();
        assert!(!sections.is_empty(), "{}", artifact.arch);
        assert!(
            !sections.contains(&SHT_SYMTAB),
            "{}: symbol table",
            artifact.arch
        );
        assert!(!sections.contains(&SHT_NOTE), "{}: note", artifact.arch);
    }
}

#[test]
fn artifact_size_is_within_limit() {
    for artifact in artifacts() {
        let limit = match artifact.recipe.contains("(system)") {
            _ if artifact.std_is_prebuilt() => SIZE_LIMIT_PREBUILT_STD,
            true => SIZE_LIMIT_SYSTEM,
            false => SIZE_LIMIT,
        };
        let size = artifact.bytes.len();
        println!(
            "{}: {size} of {limit} bytes ({})",
            artifact.arch,
            artifact.recipe.trim_end()
        );
        assert!(
            size <= limit,
            "{}: {size} bytes, {limit} allowed",
            artifact.arch
        );
    }
}

#[test]
fn artifact_says_version_commit_toolchain_and_target() {
    for artifact in artifacts() {
        let Some(mut command) = artifact.command() else {
            continue;
        };
        let output = command
            .arg("--version")
            .env_clear()
            .output()
            .expect("it runs");
        let commit = match env!("ZEROSTRAP_COMMIT") {
            "" => "unknown",
            commit => commit,
        };
        let expected = format!(
            "bootstrap {} (commit {commit}, {}, {}-unknown-linux-musl)\n",
            env!("CARGO_PKG_VERSION"),
            env!("ZEROSTRAP_TOOLCHAIN"),
            artifact.machine,
        );
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            expected,
            "{}",
            artifact.arch
        );
        assert_eq!(output.stderr, b"", "{}", artifact.arch);
        assert!(output.status.success(), "{}", artifact.arch);
    }
}

#[test]
fn artifact_holds_no_folder_of_the_build_machine() {
    // Where this tree, the toolchain and the user live, and where they live on other machines.
    let mut folders: Vec<String> = [
        "/home/",
        "/root/",
        "/Users/",
        "/tmp/",
        "/builds/",
        "/usr/lib/rust",
        "/usr/src/",
    ]
    .map(String::from)
    .into();
    folders.push(env!("CARGO_MANIFEST_DIR").to_owned());
    for name in ["HOME", "CARGO_HOME", "RUSTUP_HOME", "CARGO_TARGET_DIR"] {
        // A home that is the root folder, as a container's may be, is part of every path.
        folders.extend(env::var(name).ok().filter(|folder| folder.len() > 1));
    }
    for name in ["USER", "LOGNAME"] {
        // A user may be called like a folder that every system has: dev.
        let folder = env::var(name).ok().map(|user| format!("/{user}/"));
        folders.extend(folder.filter(|folder| !Path::new(folder).is_dir()));
    }
    for artifact in artifacts() {
        for folder in &folders {
            assert!(!artifact.holds(folder), "{}: {folder}", artifact.arch);
        }
    }
}

#[test]
fn artifact_holds_no_date_of_its_build() {
    for artifact in artifacts() {
        let texts = artifact.texts();
        let dates = texts.iter().flat_map(|text| dates(text));
        let unexplained: Vec<_> = dates.filter(|date| !API_VERSIONS.contains(date)).collect();
        assert!(unexplained.is_empty(), "{}: {unexplained:?}", artifact.arch);
    }
}

/// What looks like 2026-11-22 or like "Nov 22 2026" (the form of C's `__DATE__`) in a text.
///
/// The compiler names itself in the section `.comment`, which is never loaded, with the day of its
/// own release: that is a property of the compiler, and the same in every build.
fn dates(text: &str) -> Vec<&str> {
    if text.starts_with("rustc version ") {
        return Vec::new();
    }
    let looks_like = |window: &[u8], form: &str| {
        window
            .iter()
            .zip(form.bytes())
            .all(|(byte, class)| match class {
                b'9' => byte.is_ascii_digit(),
                b'A' => byte.is_ascii_uppercase(),
                b'a' => byte.is_ascii_lowercase(),
                b'_' => *byte == b' ' || byte.is_ascii_digit(),
                other => *byte == other,
            })
    };
    let mut found = Vec::new();
    for form in ["2099-99-99", "Aaa _9 2099"] {
        for start in 0..(text.len() + 1).saturating_sub(form.len()) {
            let window = &text[start..start + form.len()];
            if looks_like(window.as_bytes(), form) {
                found.push(window);
            }
        }
    }
    found
}

#[test]
fn date_is_recognised_in_both_forms() {
    assert_eq!(dates("a2026-11-22b"), ["2026-11-22"]);
    assert_eq!(dates("Nov 22 2026"), ["Nov 22 2026"]);
    assert_eq!(dates("Nov  2 2026"), ["Nov  2 2026"]);
    assert!(dates("2026-11-2").is_empty());
    assert!(dates("1926-11-22").is_empty());
}

#[test]
fn artifact_holds_nothing_that_walks_the_stack() {
    // The unwinder's functions, the personality routine, the crates that read debug information,
    // and what std prints and reads when it shows a backtrace.
    let unwanted = [
        "_Unwind_",
        "rust_eh_personality",
        "gimli",
        "addr2line",
        "RUST_BACKTRACE",
        "stack backtrace",
        "panicked at",
    ];
    for artifact in artifacts() {
        if artifact.std_is_prebuilt() {
            println!(
                "skipped: {}: a prebuilt std holds the unwinder",
                artifact.arch
            );
            continue;
        }
        for text in unwanted {
            assert!(!artifact.holds(text), "{}: {text}", artifact.arch);
        }
    }
}

#[test]
fn artifact_holds_no_code_for_floats() {
    // The first entries of the tables that core writes and reads floating-point numbers with:
    // whatever of that is linked brings its table along. What the binary counts is whole.
    let tables = [
        ("writing", 0xe61a_cf03_3d1a_45df_u64),
        ("reading", 0xeef4_53d6_923b_d65a),
    ];
    for artifact in artifacts() {
        if artifact.std_is_prebuilt() {
            println!(
                "skipped: {}: what a prebuilt std brings along is its own",
                artifact.arch
            );
            continue;
        }
        for (table, first) in tables {
            assert!(
                !artifact.holds_bytes(&first.to_le_bytes()),
                "{}: {table}",
                artifact.arch
            );
        }
    }
}
