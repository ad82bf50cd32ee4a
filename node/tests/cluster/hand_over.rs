//! A planned stop of the leader: nobody who repeats a refused request notices more than a pause.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::cluster::{ALL, Cluster};

/// Elections that take so long that a leader who just went away would be noticed.
const SLOW_ELECTIONS: &str =
    "[raft]\nheartbeat = \"100ms\"\nelection_min = \"2500ms\"\nelection_max = \"3500ms\"\n";
/// Far below the shortest election.
const GAP_MAX: Duration = Duration::from_millis(1500);

#[tokio::test]
async fn a_planned_stop_costs_no_election_and_no_request() {
    let mut cluster = Cluster::start(SLOW_ELECTIONS).await;
    let api = cluster.api.clone();
    let function = api.function(&ALL, "24h").await;
    let leader = cluster.leader().await;
    let term = api.info(leader).await.unwrap()["term"].as_u64().unwrap();
    let over = Arc::new(AtomicBool::new(false));
    // One client at the node that stops, who then goes on to the next, and one at each of the others.
    let clients: Vec<_> = ALL
        .into_iter()
        .map(|first| {
            let (api, function, over) = (api.clone(), function.clone(), Arc::clone(&over));
            let [second, third] = Cluster::others(first);
            tokio::spawn(async move {
                let (mut count, mut longest) = (0, Duration::ZERO);
                while !over.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    api.submit(&[first, second, third], &function, json!([first, count])).await;
                    longest = longest.max(began.elapsed());
                    count += 1;
                }
                (count, longest)
            })
        })
        .collect();
    cluster.daemon(leader).signal(Signal::TERM);
    let status = cluster.daemon(leader).end().await;
    assert_eq!(status.code(), Some(0), "{}", cluster.log(leader));
    cluster.forget(leader);
    let heir = cluster.leader().await;
    over.store(true, Ordering::Relaxed);
    let mut total = 0;
    for client in clients {
        let (count, longest) = client.await.unwrap();
        println!("{count} submits, the longest took {longest:?}");
        assert!(longest < GAP_MAX, "a request took {longest:?}: longer than a hand-over");
        total += count;
    }
    assert_eq!(api.info(heir).await.unwrap()["term"], json!(term + 1), "it was an election, not a hand-over");
    assert_eq!(api.tasks(&Cluster::others(leader)).await.len(), total);
    cluster.spawn(leader);
    cluster.until_ready(&ALL).await;
    cluster.until_equal().await;
}
