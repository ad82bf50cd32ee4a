//! `raftworkd` as a process: what a person can get wrong, and what they are told.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use reqwest::StatusCode;

use crate::support::{cluster_toml, until};

fn raftworkd(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_raftworkd"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn write(folder: &Path, text: &str) -> String {
    let path = folder.join("cluster.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Runs it to its end, which must have this code and say all of this.
fn refuses(arguments: &[&str], code: i32, parts: &[&str]) {
    let output = raftworkd(arguments).output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for part in parts {
        assert!(said.contains(part), "'{part}' is not in: {said}");
    }
}

#[test]
fn help_teaches() {
    refuses(&["--help"], 0, &["[[node]]", "raftworkd serve --config cluster.toml --node 1", "Exit codes"]);
    refuses(&["serve"], 2, &["--config", "--node"]);
}

#[test]
fn a_typo_is_found_before_anything_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let (good, _) = cluster_toml(1, "");
    let config = write(folder.path(), &good.replace("data =", "dtaa ="));
    for arguments in [&["check", "--config", &config][..], &["serve", "--config", &config, "--node", "1"]] {
        refuses(arguments, 2, &["line 6", "did you mean `data`?"]);
    }
    let config = write(folder.path(), &good);
    refuses(&["check", "--config", &config], 0, &["is fine: cluster test", "node 1  http://127.0.0.1:"]);
    refuses(&["serve", "--config", &config, "--node", "2"], 2, &["no [[node]] with id = 2; it has 1"]);
    refuses(
        &["serve", "--config", "/nowhere/cluster.toml", "--node", "1"],
        2,
        &["cannot read /nowhere/cluster.toml"],
    );
}

#[test]
fn an_address_that_others_can_reach_needs_a_decision() {
    let folder = tempfile::tempdir().unwrap();
    let (good, _) = cluster_toml(1, "");
    let open =
        good.replace("127.0.0.1", "0.0.0.0").replace("data =", "advertise = \"127.0.0.1:7001\"\ndata =");
    let config = write(folder.path(), &open);
    refuses(&["serve", "--config", &config, "--node", "1"], 2, &["run any code", "--insecure"]);
}

#[test]
fn a_port_in_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (text, ports) = cluster_toml(1, "");
    let _taken = TcpListener::bind(("127.0.0.1", ports[0])).unwrap();
    let config = write(folder.path(), &text);
    let named = format!("127.0.0.1:{} is in use", ports[0]);
    refuses(&["serve", "--config", &config, "--node", "1"], 4, &[&named, "change addr"]);
}

#[tokio::test]
async fn it_serves_stops_on_a_signal_and_guards_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (text, ports) = cluster_toml(1, "");
    let config = write(folder.path(), &text);
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let mut node = raftworkd(&["serve", "--config", &config, "--node", "1", "--log", "json"])
        .stderr(log)
        .spawn()
        .unwrap();
    let url = format!("http://127.0.0.1:{}/readyz", ports[0]);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    until("the daemon is ready", async || {
        http.get(&url).send().await.is_ok_and(|answer| answer.status() == StatusCode::OK).then_some(())
    })
    .await;
    let killed = Command::new("kill").arg("-TERM").arg(node.id().to_string()).status().unwrap();
    assert!(killed.success());
    let status = until("the daemon has stopped", async || node.try_wait().unwrap()).await;
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    for line in log.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "not JSON: {line}");
    }
    let foreign = write(folder.path(), &text.replace("\"test\"", "\"other\""));
    refuses(&["serve", "--config", &foreign, "--node", "1"], 3, &["belongs to node 1 of cluster \"test\""]);
}
