//! `docs/guarantees.md` keeps what it says: every promise has its assumptions, its invariants, and tests that are there.

use std::collections::BTreeSet;

use super::tree::{File, expect_none, file, files, has_word};

const PAGE: &str = "docs/guarantees.md";
/// What every promise has to say, at the beginning of a line.
const ITEMS: [&str; 3] = ["- Assumes: ", "- Invariants: ", "- Tests: "];
/// It is about the run, not about the cluster.
const ABOUT_RUNS: &str = "I14";

fn text_of(path: &str) -> String {
    file(path).text().unwrap_or_default()
}

/// The promises: number and title, and what stands below.
fn promises(page: &str) -> Vec<(&str, &str)> {
    let promised = page.split("\n## ").find(|part| part.starts_with("What is promised")).unwrap_or_default();
    promised.split("\n### ").skip(1).filter_map(|promise| promise.split_once('\n')).collect()
}

/// What stands between backticks, in order.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Words of a letter and a number, such as `I1` or `M24`.
fn numbered(text: &str, letter: char) -> BTreeSet<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.strip_prefix(letter).is_some_and(|number| number.parse::<u32>().is_ok()))
        .map(str::to_owned)
        .collect()
}

/// The invariants that head a row of its tables.
fn invariants_of(page: &str) -> BTreeSet<String> {
    let first_cells = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    first_cells.flat_map(|cell| numbered(cell, 'I')).collect()
}

#[test]
fn every_promise_says_what_it_assumes_and_what_shows_it() {
    let page = text_of(PAGE);
    let promises = promises(&page);
    assert!(promises.len() > 15, "only {} promises were found", promises.len());
    let mut findings = Vec::new();
    for (number, (title, text)) in (1..).zip(&promises) {
        if !title.starts_with(&format!("{number}. ")) {
            findings.push(format!("`{title}` is the promise number {number}"));
        }
        let missing = ITEMS.iter().filter(|item| !text.lines().any(|line| line.starts_with(**item)));
        findings.extend(missing.map(|item| format!("`{title}` has no line `{item}...`")));
    }
    expect_none("a promise is numbered, and has all its lines", &findings);
}

#[test]
fn what_a_promise_names_is_there() {
    let (page, files) = (text_of(PAGE), files());
    let mut findings = Vec::new();
    for (title, text) in promises(&page) {
        let mut place = "";
        for name in quoted(text) {
            if name.contains('/') {
                place = name.trim_start_matches("./");
                if !files.iter().any(|file| file.is_below(place)) {
                    findings.push(format!("`{title}` names {name}, which is not there"));
                }
            } else if name.matches('_').count() > 1 && !is_defined(&files, place, name) {
                findings.push(format!("`{title}` names {name}, which is not in {place}"));
            }
        }
    }
    expect_none("files and tests that a promise names are there", &findings);
}

fn is_defined(files: &[File], place: &str, name: &str) -> bool {
    let defines = |line: &str| has_word(line, name) && (has_word(line, "fn") || has_word(line, "def"));
    files
        .iter()
        .filter(|file| file.is_below(place))
        .any(|file| file.lines().iter().any(|(_, line)| defines(line)))
}

#[test]
fn every_invariant_and_every_planted_bug_belongs_to_a_promise() {
    let page = text_of(PAGE);
    let promised: String = promises(&page).into_iter().map(|(_, text)| text).collect();
    let mut invariants = invariants_of(&text_of("docs/testing.md"));
    invariants.remove(ABOUT_RUNS);
    assert!(invariants.len() > 15, "only {} invariants were found", invariants.len());
    assert_eq!(numbered(&promised, 'I'), invariants, "invariants of {PAGE}, and of docs/testing.md");
    let bugs = numbered(&text_of("chaos/src/mutants/catalogue.rs"), 'M');
    assert_eq!(numbered(&promised, 'M'), bugs, "bugs of {PAGE}, and of the catalogue");
}
