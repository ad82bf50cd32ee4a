//! The source tree as rules see it: which files there are, and how findings are reported.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that builds, tools and clusters fill; in a worktree, `.git` is a file.
const SKIPPED_FOLDERS: [&str; 9] = [
    ".git",
    ".raftwork",
    ".raftwork-local",
    ".venv",
    "target",
    "dist",
    "__pycache__",
    "node_modules",
    ".hypothesis",
];

/// A file of the project.
pub(crate) struct File {
    /// Path from the root of the checkout, with `/`.
    pub(crate) path: String,
    /// Where it is on this machine.
    place: PathBuf,
}

impl File {
    pub(crate) fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|own| own == extension)
    }

    pub(crate) fn is_below(&self, folder: &str) -> bool {
        self.path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    pub(crate) fn bytes(&self) -> u64 {
        fs::metadata(&self.place).map_or(0, |found| found.len())
    }

    /// Its text; `None` if it is not UTF-8, so not for people to read.
    pub(crate) fn text(&self) -> Option<String> {
        fs::read(&self.place).ok().and_then(|bytes| String::from_utf8(bytes).ok())
    }

    /// Its lines, counted from 1.
    pub(crate) fn lines(&self) -> Vec<(usize, String)> {
        let text = self.text().unwrap_or_default();
        text.lines().enumerate().map(|(index, line)| (index + 1, line.to_owned())).collect()
    }
}

/// Root of the checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests crate lies in the checkout")
}

/// Every file of the project, in the order of paths; committed or not, so that a rule speaks before the commit.
pub(crate) fn files() -> Vec<File> {
    let mut found = Vec::new();
    collect(root(), &mut found);
    assert!(found.len() > 50, "only {} files found below {}", found.len(), root().display());
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The file at that path.
pub(crate) fn file(path: &str) -> File {
    files().into_iter().find(|file| file.path == path).unwrap_or_else(|| panic!("{path} is there"))
}

fn collect(folder: &Path, found: &mut Vec<File>) {
    for entry in fs::read_dir(folder).expect("a folder of the checkout can be listed").flatten() {
        let place = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().expect("the kind of a listed file is known");
        let skipped = SKIPPED_FOLDERS.contains(&name.as_str()) || name.ends_with("_cache");
        if kind.is_dir() && !skipped {
            collect(&place, found);
        } else if kind.is_file() && !skipped && !is_built(&name) {
            let path = place.strip_prefix(root()).expect("the walk starts at the root");
            found.push(File { path: path.to_string_lossy().into_owned(), place });
        }
    }
}

/// What a Python build leaves beside the sources.
fn is_built(name: &str) -> bool {
    [".so", ".pyc"].iter().any(|ending| name.ends_with(ending))
}

/// Fails with the list of findings, if there are any.
pub(crate) fn expect_none(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "\n{rule}\n  {}\n", findings.join("\n  "));
}

/// Whether `word` stands in `line` with no letter, digit or underscore on either side.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(joins) && !after.is_some_and(joins)
    })
}

#[test]
fn a_word_is_found_only_as_a_whole() {
    assert!(has_word("use openraft::Raft;", "openraft"));
    assert!(!has_word("use openraft_memstore::X;", "openraft"));
    assert!(!has_word("let my_openraft = 1;", "openraft"));
}
