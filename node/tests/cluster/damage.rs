//! A data folder that is damaged, or another's: the node refuses it and names it, and the others go on.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::json;

use crate::api::{Call, submit};
use crate::cluster::{ALL, Cluster, QUICK, free_port};
use crate::wait::until;

const REFUSED: Option<i32> = Some(3);
/// The log does not go back to the beginning, so rows that are lost cannot be made again from it.
const PURGED: &str = "snapshot_every = 20\nkeep_log = 10\n";

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    files
}

/// The longest write-ahead log of the log: the one that holds the records.
fn log_wal(data: &Path) -> PathBuf {
    let wals = files(&data.join("log"), "log");
    wals.into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 0x10;
    fs::write(file, bytes).unwrap();
}

/// Damages the first block of each table.
fn flip_all(tables: &[PathBuf]) {
    for table in tables {
        flip(table, 4);
    }
}

/// The table files of the rows that hold this column.
fn tables_of(data: &Path, column: &str) -> Vec<PathBuf> {
    let current = fs::read_to_string(data.join("CURRENT_SM")).unwrap();
    // Every table says in its properties which column it belongs to; the key's common part is left out there.
    let mark = format!("name{column}");
    let holds =
        |file: &PathBuf| fs::read(file).unwrap().windows(mark.len()).any(|window| window == mark.as_bytes());
    let tables: Vec<PathBuf> = files(&data.join(current.trim()), "sst").into_iter().filter(holds).collect();
    assert!(!tables.is_empty(), "no table holds {column}");
    tables
}

/// A cluster with some history, one of whose nodes was stopped in good order, so that its rows are on its disk.
async fn one_stopped(extra: &str) -> (Cluster, String, u64, [u64; 2]) {
    let mut cluster = Cluster::start(&format!("{QUICK}{extra}")).await;
    let function = cluster.api.function(&ALL, "24h").await;
    for n in 0..60 {
        cluster.api.submit(&ALL, &function, json!([n])).await;
    }
    cluster.until_equal().await;
    if !extra.is_empty() {
        until("every log was purged", async || {
            for id in ALL {
                let purged = cluster.api.info(id).await?["purged"].as_u64();
                purged.filter(|purged| *purged > 0)?;
            }
            Some(())
        })
        .await;
    }
    let victim = Cluster::others(cluster.leader().await)[0];
    cluster.daemon(victim).signal(Signal::TERM);
    assert_eq!(cluster.daemon(victim).end().await.code(), Some(0));
    cluster.forget(victim);
    (cluster, function, victim, Cluster::others(victim))
}

/// Does something to the stopped node's folder, and starts it on that, which must say all of `parts` and end.
async fn refused(cluster: &mut Cluster, victim: u64, what: &str, parts: &[&str], damage: impl Fn(&Path)) {
    let (data, whole) = (cluster.data(victim), cluster.path().join("whole"));
    if !whole.exists() {
        copy(&data, &whole);
    }
    damage(&data);
    let (code, said) = cluster.launch(victim).refused().await;
    assert_eq!(code, REFUSED, "{what}: {said}");
    for part in parts {
        assert!(said.contains(part), "{what}: '{part}' is not in: {said}");
    }
    fs::remove_dir_all(&data).unwrap();
    copy(&whole, &data);
}

#[tokio::test]
async fn a_damaged_folder_is_refused_and_the_others_go_on() {
    let (mut cluster, function, victim, rest) = one_stopped(PURGED).await;
    let data = cluster.data(victim);
    let named = data.to_str().unwrap().to_owned();
    let advice = "ebuild this node";
    let log = format!("{named}/log");
    refused(&mut cluster, victim, "a flipped bit in the log", &[&log, advice], |data| {
        let wal = log_wal(data);
        let middle = usize::try_from(fs::metadata(&wal).unwrap().len()).unwrap() / 2;
        flip(&wal, middle);
    })
    .await;
    refused(&mut cluster, victim, "a log that was cut", &[&log, advice], |data| {
        let wal = log_wal(data);
        let length = fs::metadata(&wal).unwrap().len();
        fs::File::options().write(true).open(&wal).unwrap().set_len(length / 2).unwrap();
    })
    .await;
    refused(&mut cluster, victim, "a log that is gone", &[&log, advice], |data| {
        fs::remove_dir_all(data.join("log")).unwrap();
    })
    .await;
    refused(&mut cluster, victim, "a log's file that is gone", &[&log, advice], |data| {
        fs::remove_file(log_wal(data)).unwrap();
    })
    .await;
    refused(&mut cluster, victim, "a flipped bit in the live tasks", &[&named, advice], |data| {
        flip_all(&tables_of(data, "live"));
    })
    .await;
    refused(&mut cluster, victim, "rows that are gone", &[&named, advice], |data| {
        let current = fs::read_to_string(data.join("CURRENT_SM")).unwrap();
        fs::remove_dir_all(data.join(current.trim())).unwrap();
    })
    .await;
    refused(&mut cluster, victim, "a pointer to nothing", &["CURRENT_SM"], |data| {
        fs::write(data.join("CURRENT_SM"), "sm-banana").unwrap();
    })
    .await;
    refused(&mut cluster, victim, "no identity", &[&named, "identity.json"], |data| {
        fs::remove_file(data.join("identity.json")).unwrap();
    })
    .await;
    refused(&mut cluster, victim, "another node's folder", &["belongs to node", "its own"], |data| {
        let file = data.join("identity.json");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace(&format!("\"node_id\": {victim}"), "\"node_id\": 9")).unwrap();
    })
    .await;
    for id in rest {
        let answer = cluster.api.ask(id, &submit(&function, &json!(["meanwhile", id]))).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
    }
    // The undamaged folder is taken, whatever was tried with its copies.
    cluster.spawn(victim);
    cluster.until_ready(&ALL).await;
    cluster.until_equal().await;
}

/// Damage in rows that nobody looks at when the node starts is found when they are read: the node stops rather than
/// answer, and does not spread it.
#[tokio::test]
async fn damage_in_old_rows_stops_the_node_when_it_is_read() {
    let (mut cluster, function, victim, rest) = one_stopped("").await;
    let data = cluster.data(victim);
    let tables = tables_of(&data, "tasks");
    flip_all(&tables);
    cluster.spawn(victim);
    // Whoever reads the rows gets no answer; the digest reads them all.
    until("the node has read its rows and stopped", async || {
        let digest = Call::get("/v1/cluster/digest");
        let answer = cluster.api.within(std::time::Duration::from_secs(5), victim, &digest).await;
        assert!(answer.is_none(), "it answered from damaged rows: {answer:?}");
        cluster.daemon(victim).ended()
    })
    .await;
    let log = cluster.log(victim);
    let names = |table: &PathBuf| log.contains(table.file_name().unwrap().to_str().unwrap());
    assert!(log.contains("failed; the node stops") && tables.iter().any(names), "{log}");
    cluster.forget(victim);
    for id in rest {
        assert_eq!(cluster.api.ask(id, &submit(&function, &json!(["meanwhile", id]))).await.status, 201);
    }
}

#[tokio::test]
async fn a_mistake_in_starting_a_node_is_explained_and_harms_nobody() {
    let (mut cluster, function, victim, rest) = one_stopped("").await;
    let config = cluster.launch(victim).config.clone();
    let good = fs::read_to_string(&config).unwrap();
    let mut wrong = cluster.launch(victim).clone();
    wrong.config = cluster.path().join("wrong.toml");
    let try_with = async |text: String, node: u64| {
        fs::write(&wrong.config, text).unwrap();
        let launch = crate::daemon::Launch { node, ..wrong.clone() };
        launch.refused().await
    };
    // A second process for a node that runs: the port tells first, then, on another port, the folder.
    let running = rest[0];
    let (code, said) = try_with(good.clone(), running).await;
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("is in use") && said.contains("change addr"), "{said}");
    let port = cluster.api.url(running).rsplit(':').next().unwrap();
    let elsewhere = good.replace(port, &free_port().to_string());
    let (code, said) = try_with(elsewhere, running).await;
    assert_eq!(code, REFUSED, "{said}");
    let pid = cluster.daemon(running).pid();
    assert!(said.contains(&format!("in use by process {pid}")), "{said}");
    // The same folder under another name.
    let (code, said) = try_with(good.replace("\"test\"", "\"prod\""), victim).await;
    assert_eq!(code, REFUSED, "{said}");
    for part in ["cluster \"test\"", "cluster \"prod\"", &*cluster.data(victim).to_string_lossy()] {
        assert!(said.contains(part), "'{part}' is not in: {said}");
    }
    // A typo.
    let (code, said) = try_with(good.replace("heartbeat =", "hartbeat ="), victim).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("did you mean `heartbeat`?") && said.contains("wrong.toml"), "{said}");
    // A data folder that cannot be one.
    fs::write(cluster.path().join("file"), "").unwrap();
    let (code, said) = try_with(good.replace(&format!("\"n{victim}\""), "\"file/n\""), victim).await;
    assert_eq!(code, REFUSED, "{said}");
    assert!(said.contains("file/n"), "{said}");
    for id in rest {
        assert_eq!(cluster.api.ask(id, &submit(&function, &json!(["meanwhile", id]))).await.status, 201);
    }
    cluster.spawn(victim);
    cluster.until_ready(&ALL).await;
    cluster.until_equal().await;
}
