//! A disk that fails under a running node: the node stops at once and says why, and the others go on.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::api::submit;
use crate::cluster::{ALL, Cluster, QUICK};
use crate::wait::until;

const SIGABRT: i32 = 6;

/// Compiles the shim; `None` where there is no C compiler.
fn shim(cluster: &Cluster) -> Option<PathBuf> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/failing_disk.c");
    let library = cluster.path().join("failing_disk.so");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(source)
        .arg("-ldl")
        .output();
    match compiled {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        compiled => {
            let output = compiled.unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(library)
        }
    }
}

fn is_wanted(listed: &[Value], acknowledged: &[String]) -> bool {
    let ids: Vec<&str> = listed.iter().map(|task| task["task_id"].as_str().unwrap()).collect();
    acknowledged.iter().all(|task| ids.contains(&task.as_str()))
}

#[tokio::test]
async fn a_failed_fsync_stops_the_node_and_loses_nothing() {
    let mut cluster = Cluster::prepare(QUICK);
    let Some(library) = shim(&cluster) else {
        println!("skipped: there is no C compiler (cc) to make a failing disk with");
        return;
    };
    let flag = |cluster: &Cluster, id: u64| cluster.path().join(format!("disk of {id} fails"));
    for id in ALL {
        let env = [("LD_PRELOAD", library.clone()), ("FAILING_DISK", flag(&cluster, id))];
        cluster.launch(id).env =
            env.map(|(name, value)| (name.to_owned(), value.to_str().unwrap().to_owned())).into();
        cluster.spawn(id);
    }
    cluster.until_ready(&ALL).await;
    let api = cluster.api.clone();
    let function = api.function(&ALL, "24h").await;
    let mut acknowledged = Vec::new();
    // First a follower's disk, then, when that is back, the leader's.
    for round in ["follower", "leader"] {
        let leader = cluster.leader().await;
        let victim = if round == "leader" { leader } else { Cluster::others(leader)[0] };
        std::fs::write(flag(&cluster, victim), "").unwrap();
        for n in 0..20 {
            acknowledged.push(api.submit(&ALL, &function, json!([round, n])).await);
        }
        let status = cluster.daemon(victim).end().await;
        assert_eq!(status.signal(), Some(SIGABRT), "{status}");
        let log = cluster.log(victim);
        for part in ["failed; the node stops", "Input/output error"] {
            assert!(log.contains(part), "'{part}' is not in the log of node {victim}:\n{log}");
        }
        cluster.forget(victim);
        let rest = Cluster::others(victim);
        acknowledged.push(api.submit(&rest, &function, json!([round, "after"])).await);
        assert!(is_wanted(&api.tasks(&rest).await, &acknowledged));
        // The disk is well again: the node reads what it really has, and catches up.
        std::fs::remove_file(flag(&cluster, victim)).unwrap();
        cluster.spawn(victim);
        cluster.until_ready(&ALL).await;
        cluster.until_equal().await;
    }
    let listed = until("all is listed", async || Some(api.tasks(&ALL).await)).await;
    assert!(is_wanted(&listed, &acknowledged));
    assert_eq!(listed.len(), acknowledged.len());
}

/// With the disks of two nodes failing, nothing can be durable on a majority, so nothing is acknowledged.
#[tokio::test]
async fn what_no_majority_could_store_is_not_acknowledged() {
    let mut cluster = Cluster::prepare(QUICK);
    let Some(library) = shim(&cluster) else {
        println!("skipped: there is no C compiler (cc) to make a failing disk with");
        return;
    };
    let flag = cluster.path().join("disks fail");
    for id in ALL {
        let env = [("LD_PRELOAD", library.clone()), ("FAILING_DISK", flag.clone())];
        cluster.launch(id).env =
            env.map(|(name, value)| (name.to_owned(), value.to_str().unwrap().to_owned())).into();
        cluster.spawn(id);
    }
    cluster.until_ready(&ALL).await;
    let function = cluster.api.function(&ALL, "24h").await;
    let kept = cluster.api.submit(&ALL, &function, json!(["kept"])).await;
    std::fs::write(&flag, "").unwrap();
    let leader = cluster.leader().await;
    let answer =
        cluster.api.within(crate::wait::PATIENCE, leader, &submit(&function, &json!(["lost"]))).await;
    assert!(answer.as_ref().is_none_or(|answer| matches!(answer.status, 503 | 504)), "{answer:?}");
    assert_eq!(cluster.daemon(leader).end().await.signal(), Some(SIGABRT));
    cluster.kill_all();
    std::fs::remove_file(&flag).unwrap();
    cluster.spawn_all();
    cluster.until_ready(&ALL).await;
    assert!(is_wanted(&cluster.api.tasks(&ALL).await, &[kept]));
    cluster.until_equal().await;
}
