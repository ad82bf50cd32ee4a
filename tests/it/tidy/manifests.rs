//! Who may depend on whom. The arrows of ARCHITECTURE.md hold because these tests do.

use std::collections::BTreeSet;
use std::fs;

use toml::Table;

use super::tree::{expect_none, files, has_word, root};

/// Folder of each crate, its name, and the crates of this workspace that it may depend on (for its tests, too).
const ARROWS: [(&str, &str, &[&str]); 9] = [
    ("kernel", "raftwork-kernel", &[]),
    ("api", "raftwork-api", &["raftwork-kernel"]),
    ("node", "raftwork-node", &["raftwork-kernel", "raftwork-api"]),
    ("client", "raftwork-client", &["raftwork-api"]),
    ("worker", "raftwork-worker", &["raftwork-api", "raftwork-client"]),
    ("client/python", "raftwork-python", &["raftwork-api", "raftwork-client", "raftwork-worker"]),
    ("chaos", "raftwork-chaos", &["raftwork-api", "raftwork-client"]),
    ("chaos/model", "raftwork-model", &[]),
    ("sim", "raftwork-sim", &["raftwork-kernel", "raftwork-api", "raftwork-node"]),
];

/// What the state machine may use. No runtime, no clock, no randomness, no logging.
const KERNEL_MAY_USE: [&str; 5] = ["bytes", "postcard", "serde", "thiserror", "uuid"];

/// Crates that stay behind one wall: the crate's name in code, and the places that may name it.
const WALLS: [(&str, &[&str]); 4] = [
    ("openraft", &["node/src/raft", "node/src/store/log"]),
    ("rocksdb", &["node/src/store", "node/src/raft/snapshot.rs"]),
    ("axum", &["node/src/http"]),
    ("pyo3", &["client/python"]),
];

fn manifest(folder: &str) -> Table {
    let path = root().join(folder).join("Cargo.toml");
    let text = fs::read_to_string(&path).expect("every crate has a manifest");
    text.parse().expect("cargo parsed it before this test ran")
}

/// Names in the given dependency tables, those under `[target.*]` included.
fn dependencies(manifest: &Table, sections: &[&str]) -> BTreeSet<String> {
    let targets = manifest.get("target").and_then(|target| target.as_table());
    let of_targets = targets.into_iter().flat_map(Table::values).filter_map(|target| target.as_table());
    std::iter::once(manifest)
        .chain(of_targets)
        .flat_map(|table| sections.iter().filter_map(|section| table.get(*section)?.as_table()))
        .flat_map(Table::keys)
        .cloned()
        .collect()
}

const ALL_SECTIONS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

#[test]
fn crates_depend_only_along_the_arrows() {
    let mut findings = Vec::new();
    for (folder, _, allowed) in ARROWS {
        for name in dependencies(&manifest(folder), &ALL_SECTIONS) {
            if name.starts_with("raftwork-") && !allowed.contains(&name.as_str()) {
                findings.push(format!("{folder}/Cargo.toml: depends on {name}; allowed: {allowed:?}"));
            }
        }
    }
    expect_none("a crate depends on a crate that it must not know (see ARCHITECTURE.md)", &findings);
}

#[test]
fn every_crate_is_covered_by_the_arrows() {
    let members = manifest("")["workspace"]["members"].clone();
    let members: BTreeSet<_> =
        members.as_array().expect("a list").iter().filter_map(|member| member.as_str()).collect();
    let covered: BTreeSet<_> = ARROWS.iter().map(|(folder, ..)| *folder).chain(["tests"]).collect();
    assert_eq!(members, covered, "add the new crate to ARROWS, with what it may depend on");
    for (folder, name, _) in ARROWS {
        assert_eq!(manifest(folder)["package"]["name"].as_str(), Some(name));
    }
}

#[test]
fn the_kernel_uses_nothing_that_could_make_replicas_differ() {
    let findings: Vec<_> = dependencies(&manifest("kernel"), &["dependencies", "build-dependencies"])
        .into_iter()
        .filter(|name| !KERNEL_MAY_USE.contains(&name.as_str()))
        .map(|name| format!("kernel/Cargo.toml: depends on {name}; allowed: {KERNEL_MAY_USE:?}"))
        .collect();
    expect_none("the kernel is pure: pass in what it would fetch", &findings);
}

#[test]
fn every_crate_takes_the_lints_and_versions_of_the_workspace() {
    let mut findings = Vec::new();
    for folder in ARROWS.iter().map(|(folder, ..)| *folder).chain(["tests"]) {
        let manifest = manifest(folder);
        let inherits = |table: &str| {
            let value = manifest.get(table).and_then(|table| table.get("workspace"));
            value.and_then(toml::Value::as_bool) == Some(true)
        };
        if !inherits("lints") {
            findings.push(format!("{folder}/Cargo.toml: add [lints] workspace = true"));
        }
        for section in ALL_SECTIONS {
            let table = manifest.get(section).and_then(|table| table.as_table());
            for (name, value) in table.into_iter().flatten() {
                if value.get("workspace").is_none() {
                    findings.push(format!(
                        "{folder}/Cargo.toml: move the version of {name} to [workspace.dependencies]"
                    ));
                }
            }
        }
    }
    expect_none("lints and versions are written once, in the root manifest", &findings);
}

#[test]
fn big_dependencies_stay_behind_their_walls() {
    let mut findings = Vec::new();
    for file in files().iter().filter(|file| file.has_extension("rs") && !file.is_below("tests")) {
        for (name, places) in WALLS {
            if places.iter().any(|place| file.is_below(place)) {
                continue;
            }
            for (number, line) in file.lines() {
                if has_word(code_of(&line), name) {
                    let path = &file.path;
                    findings.push(format!("{path}:{number}: names {name}; only {places:?} may"));
                }
            }
        }
    }
    expect_none("a dependency leaks out of its module: give it a name of ours there and use that", &findings);
}

/// The line without its comment and without its string literals.
fn code_of(line: &str) -> &str {
    let code = line.split("//").next().unwrap_or_default();
    code.split('"').next().unwrap_or_default()
}
