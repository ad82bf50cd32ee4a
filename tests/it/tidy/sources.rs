//! How source files look: short, explained, finished, and tied to no machine.

use super::tree::{File, expect_none, files, has_word};

/// Longest file, its tests not counted.
const LINES_MAX: usize = 500;
/// Largest file in the repository, in bytes: clones stay quick, and data belongs elsewhere.
const BYTES_MAX: u64 = 500_000;

/// Written in two parts, as all words below that this file must not contain itself.
const UNFINISHED: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
];
const MACHINE_PATHS: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];
const REGISTRY_HOSTS: [&str; 6] = [
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("py", "pi.org"),
    concat!("pythonhosted", ".org"),
    concat!("registry.npm", "js.org"),
    concat!("proxy.go", "lang.org"),
];

/// Findings of a check that looks at single lines of all text files.
fn find_lines(wrong: impl Fn(&File, &str) -> Option<String>) -> Vec<String> {
    let mut findings = Vec::new();
    for file in files() {
        for (number, line) in file.lines() {
            if let Some(what) = wrong(&file, &line) {
                findings.push(format!("{}:{number}: {what}", file.path));
            }
        }
    }
    findings
}

/// Lines before the unit tests, which come last in a file.
fn lines_without_tests(file: &File) -> usize {
    let lines = file.lines();
    let tests = lines.iter().position(|(_, line)| line == "#[cfg(test)]");
    tests.unwrap_or(lines.len())
}

fn is_test(file: &File) -> bool {
    file.path.split('/').any(|part| part == "tests")
}

#[test]
fn source_files_are_short() {
    let findings: Vec<_> = files()
        .iter()
        .filter(|file| (file.has_extension("rs") || file.has_extension("py")) && !is_test(file))
        .map(|file| (file, lines_without_tests(file)))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(file, lines)| {
            format!("{}:{LINES_MAX}: {lines} lines; give a part of it its own file", file.path)
        })
        .collect();
    expect_none(&format!("a source file has more than {LINES_MAX} lines without tests"), &findings);
}

#[test]
fn every_rust_file_says_what_it_is_for() {
    let findings: Vec<_> = files()
        .iter()
        .filter(|file| file.has_extension("rs") && !file.text().unwrap_or_default().starts_with("//!"))
        .map(|file| format!("{}:1: begin with //! and what the module is for", file.path))
        .collect();
    expect_none("a Rust file does not say what it is for", &findings);
}

#[test]
fn every_python_file_says_what_it_is_for() {
    let explained = |text: &str| {
        let mut lines = text.lines().skip_while(|line| line.starts_with("#!") || line.trim().is_empty());
        lines.next().is_none_or(|line| line.starts_with("\"\"\"") || line.starts_with("r\"\"\""))
    };
    let findings: Vec<_> = files()
        .iter()
        .filter(|file| file.has_extension("py") && !explained(&file.text().unwrap_or_default()))
        .map(|file| format!("{}:1: begin with a docstring: what the module is for", file.path))
        .collect();
    expect_none("a Python file does not say what it is for", &findings);
}

#[test]
fn nothing_is_left_unfinished() {
    let findings = find_lines(|_, line| {
        let word = UNFINISHED
            .iter()
            .find(|word| has_word(line, word.trim_end_matches('!')) && line.contains(*word))?;
        Some(format!("`{word}`: finish it, or open an issue and take the mark out"))
    });
    expect_none("a mark of unfinished work", &findings);
}

#[test]
fn no_path_of_one_machine() {
    let starts_a_path = |line: &str, path: &str| {
        line.match_indices(path).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || "_-.}".contains(c))
        })
    };
    let findings = find_lines(|_, line| {
        let path = MACHINE_PATHS.iter().find(|path| starts_a_path(line, path))?;
        Some(format!("`{path}`: make the path relative, or an argument"))
    });
    expect_none("a path that exists on one machine only", &findings);
}

#[test]
fn no_registry_is_named() {
    let findings = find_lines(|_, line| {
        let host = REGISTRY_HOSTS.iter().find(|host| line.contains(*host))?;
        Some(format!("`{host}`: leave the choice of the registry to the tool's configuration"))
    });
    expect_none("a package registry is named", &findings);
}

#[test]
fn no_file_is_large() {
    let findings: Vec<_> = files()
        .iter()
        .filter(|file| file.bytes() > BYTES_MAX)
        .map(|file| format!("{}:1: {} bytes; generate or download it", file.path, file.bytes()))
        .collect();
    expect_none(&format!("a file is larger than {BYTES_MAX} bytes"), &findings);
}
