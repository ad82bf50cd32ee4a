//! Documents and example files that people copy from: they keep their form.

use std::collections::BTreeSet;
use std::fs;

use toml::{Table, Value};

use super::tree::{expect_none, file, files, root};

/// The headings of <https://keepachangelog.com/en/1.1.0/>.
const CHANGE_KINDS: [&str; 6] = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"];

#[test]
fn the_changelog_keeps_its_form() {
    let findings: Vec<_> = file("CHANGELOG.md")
        .lines()
        .iter()
        .filter_map(|(number, line)| Some(format!("CHANGELOG.md:{number}: {}", wrong_change_line(line)?)))
        .collect();
    expect_none("the changelog has the form of Keep a Changelog 1.1.0", &findings);
}

#[test]
fn the_changelog_begins_with_what_is_unreleased() {
    let lines = file("CHANGELOG.md").lines();
    let versions: Vec<_> = lines.iter().filter(|(_, line)| line.starts_with("## ")).collect();
    assert_eq!(lines.first().map(|(_, line)| line.as_str()), Some("# Changelog"));
    assert_eq!(versions.first().map(|(_, line)| line.as_str()), Some("## [Unreleased]"));
}

/// What is wrong with a line of the changelog.
fn wrong_change_line(line: &str) -> Option<String> {
    if let Some(version) = line.strip_prefix("## ") {
        let fits = version == "[Unreleased]" || is_release(version);
        return (!fits).then(|| "write `## [1.2.3] - 2026-01-31`, or `## [Unreleased]`".to_owned());
    }
    let kind = line.strip_prefix("### ")?;
    (!CHANGE_KINDS.contains(&kind)).then(|| format!("`{kind}` is none of {CHANGE_KINDS:?}"))
}

fn is_release(heading: &str) -> bool {
    let Some((version, date)) = heading.strip_prefix('[').and_then(|rest| rest.split_once("] - ")) else {
        return false;
    };
    let numbers = |text: &str, separator: char| -> Vec<usize> {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        text.split(separator).map(|part| if digits(part) { part.len() } else { 0 }).collect()
    };
    let version = numbers(version, '.');
    version.len() == 3 && !version.contains(&0) && numbers(date, '-') == [4, 2, 2]
}

#[test]
fn headings_of_releases_are_told_from_others() {
    assert!(is_release("[0.1.0] - 2026-11-24"));
    for wrong in ["0.1.0 - 2026-11-24", "[0.1] - 2026-11-24", "[0.1.0] - 24.11.2026", "[0.1.0]"] {
        assert!(!is_release(wrong), "{wrong}");
    }
}

#[test]
fn every_page_has_one_title_and_begins_with_it() {
    let mut findings = Vec::new();
    for page in files().iter().filter(|file| file.has_extension("md")) {
        let lines = page.lines();
        if !lines.first().is_some_and(|(_, line)| line.starts_with("# ")) {
            findings.push(format!("{}:1: begin with `# ` and the title", page.path));
        }
        for (number, _) in titles(&lines).iter().skip(1) {
            findings.push(format!("{}:{number}: a second title; use `## `", page.path));
        }
    }
    expect_none("a page has exactly one title, on its first line", &findings);
}

/// Lines with `# ` outside of code blocks.
fn titles(lines: &[(usize, String)]) -> Vec<(usize, &str)> {
    let mut in_code = false;
    let mut found = Vec::new();
    for (number, line) in lines {
        in_code ^= line.trim_start().starts_with("```");
        if !in_code && line.starts_with("# ") {
            found.push((*number, line.as_str()));
        }
    }
    found
}

#[test]
fn the_example_cluster_is_one_that_can_be_started() {
    let text = fs::read_to_string(root().join("cluster.toml")).expect("cluster.toml is there");
    let table: Table = text.parse().expect("cluster.toml is TOML");
    let nodes = table["node"].as_array().expect("cluster.toml has [[node]] tables");
    let text_of = |node: &Value, key: &str| node[key].as_str().unwrap_or_default().to_owned();
    assert!(table["cluster"]["name"].as_str().is_some_and(|name| !name.is_empty()));
    let ids: Vec<_> = nodes.iter().map(|node| node["id"].as_integer()).collect();
    assert_eq!(ids, [Some(1), Some(2), Some(3)]);
    let addresses: Vec<_> = nodes.iter().map(|node| text_of(node, "addr")).collect();
    assert_eq!(addresses, ["127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"]);
    let folders: BTreeSet<_> = nodes.iter().map(|node| text_of(node, "data")).collect();
    assert_eq!(folders.len(), 3, "every node needs a data folder of its own");
}

#[test]
fn both_licences_are_there() {
    for (path, begins) in [("LICENSE-MIT", "MIT License"), ("LICENSE-APACHE", "Apache License")] {
        let text = fs::read_to_string(root().join(path)).unwrap_or_default();
        assert!(text.trim_start().starts_with(begins), "{path} must hold the whole licence");
    }
}
