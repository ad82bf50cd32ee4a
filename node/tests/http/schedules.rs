//! Schedules over REST: made, fired, paused, replaced, deleted, and dealt with once over a change of leaders.

use std::collections::BTreeSet;

use raftwork_api::schedules::{OverlapPolicy, ScheduleInfo};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Cluster, until, worker_id};

async fn put(cluster: &Cluster, name: &str, body: Value) -> Answer {
    Answer::of(cluster.request(Method::PUT, &format!("/v1/schedules/{name}")).json(&body)).await
}

async fn show(cluster: &Cluster, name: &str) -> ScheduleInfo {
    serde_json::from_value(cluster.get(&format!("/v1/schedules/{name}")).await.expect(200)).unwrap()
}

/// Nominal times of the tasks of a schedule, as often as there are tasks.
async fn nominal(cluster: &Cluster, name: &str) -> Vec<String> {
    let tasks = cluster.get("/v1/tasks?limit=1000").await.expect(200);
    let of_it = |task: &&Value| task["schedule"]["name"] == name;
    let tasks = tasks["tasks"].as_array().unwrap().iter().filter(of_it);
    tasks.map(|task| task["schedule"]["nominal"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_schedule_fires_and_its_tasks_say_where_they_come_from() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let body =
        json!({"function_id": function, "args": [1, 2], "every": "1s", "catch_up": "all", "priority": 7});
    put(&cluster, "tick", body.clone()).await.expect(200);
    // The same again changes nothing.
    put(&cluster, "tick", body).await.expect(200);
    until("it has fired three times", async || (nominal(&cluster, "tick").await.len() >= 3).then_some(()))
        .await;
    let lease = cluster.acquire(&worker_id()).await;
    assert_eq!(lease["arguments"], json!({"args": [1, 2], "kwargs": {}}), "{lease}");
    cluster.complete(&lease, json!(3)).await.expect(200);

    cluster.post("/v1/schedules/tick/pause", &json!({})).await.expect(200);
    let paused = show(&cluster, "tick").await;
    assert!(paused.paused && paused.next.is_empty());
    let times = nominal(&cluster, "tick").await;
    assert_eq!(times.len() as u64, paused.fired);
    assert_eq!(times.iter().collect::<BTreeSet<_>>().len(), times.len(), "a time was fired for twice");

    let triggered = cluster.post("/v1/schedules/tick/trigger", &json!({})).await.expect(201);
    assert_eq!((&triggered["schedule"]["name"], &triggered["priority"]), (&json!("tick"), &json!(7)));
    assert_eq!(show(&cluster, "tick").await.fired, paused.fired);

    cluster.post("/v1/schedules/tick/resume", &json!({})).await.expect(200);
    let fired = until("it fires again", async || {
        let fired = show(&cluster, "tick").await.fired;
        (fired > paused.fired).then_some(fired)
    })
    .await;
    assert!(fired <= paused.fired + 2, "what passed while it was paused is left out");
    let deleted = cluster.request(Method::DELETE, "/v1/schedules/tick").send().await.unwrap();
    assert_eq!(deleted.status(), 204);
    cluster.get("/v1/schedules/tick").await.expect_problem(404, "unknown_schedule");
    cluster.stop().await;
}

#[tokio::test]
async fn a_schedule_does_not_overlap_itself_if_it_says_so() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    for overlap in ["skip", "queue"] {
        let body = json!({"function_id": function, "every": "1s", "overlap": overlap});
        put(&cluster, overlap, body).await.expect(200);
    }
    let both = async || {
        let (skip, queue) = (show(&cluster, "skip").await, show(&cluster, "queue").await);
        (skip.skipped >= 2 && queue.skipped >= 2).then_some((skip, queue))
    };
    let (skip, queue) = until("both leave times out", both).await;
    assert_eq!((skip.fired, skip.live, skip.overlap), (1, 1, OverlapPolicy::Skip));
    assert_eq!((queue.fired, queue.live), (2, 2));
    // Of those that queue, one is leased at a time.
    let body = json!({"worker_id": worker_id(), "python": "3.11", "max": 9, "wait": "20s"});
    let leases = cluster.post("/v1/leases/acquire", &body).await.expect(200);
    assert_eq!(leases["leases"].as_array().unwrap().len(), 2, "{leases}");
    cluster.stop().await;
}

#[tokio::test]
async fn calendars_are_read_and_shown_in_their_zone() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let body = json!({"function_id": function, "cron": "30 9 * * MON-FRI", "time_zone": "Asia/Kolkata"});
    let made: ScheduleInfo =
        serde_json::from_value(put(&cluster, "a%2Fb%20c", body.clone()).await.expect(200)).unwrap();
    assert_eq!((made.name.as_str(), made.next.len(), made.fired), ("a/b c", 5, 0));
    assert!(made.next.iter().all(|next| next.ends_with("T09:30:00+05:30")), "{:?}", made.next);
    put(&cluster, "b", body).await.expect(200);
    let page = cluster.get("/v1/schedules?limit=1").await.expect(200);
    assert_eq!((&page["schedules"][0]["name"], &page["next"]), (&json!("a/b c"), &json!("a/b c")));
    let page = cluster.get("/v1/schedules?after=a%2Fb%20c").await.expect(200);
    assert_eq!((&page["schedules"][0]["name"], page["next"].as_str()), (&json!("b"), None));

    for (fields, part) in [
        (json!({"cron": "61 * * * *"}), "is no cron pattern"),
        (json!({"cron": "0 0 31 2 *"}), "never comes"),
        (json!({"cron": "@daily", "time_zone": "Mars/Olympus"}), "is no time zone"),
        (json!({"cron": "@daily", "every": "1h"}), "either cron"),
        (json!({}), "either cron"),
        (json!({"every": "100ms"}), "once a second"),
        (json!({"every": "1h", "catch_up": "all", "catch_up_max": 0}), "catch_up_max = 0"),
        (json!({"every": "1h", "catch_up_max": 5}), "goes with"),
        (json!({"every": "1h", "run_at": "2037-12-24T18:00:00Z"}), "leave run_at out"),
        (
            json!({"every": "1h", "overlap": "queue", "concurrency": {"key": "k", "max": 1}}),
            "concurrency limit",
        ),
    ] {
        let mut body = fields;
        body["function_id"] = json!(function);
        let problem = put(&cluster, "bad", body.clone()).await.expect_problem(400, "bad_request");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{body}: {problem}");
    }
    let unknown = json!({"function_id": worker_id(), "every": "1h"});
    put(&cluster, "bad", unknown).await.expect_problem(404, "unknown_function");
    for action in ["pause", "resume", "trigger"] {
        let path = format!("/v1/schedules/nobody/{action}");
        cluster.post(&path, &json!({})).await.expect_problem(404, "unknown_schedule");
    }
    cluster.stop().await;
}

#[tokio::test]
async fn no_time_is_missed_or_fired_twice_when_leaders_change() {
    let cluster = Cluster::start(3, "").await;
    let function = cluster.source().await;
    let body = json!({"function_id": function, "every": "1s", "catch_up": "all"});
    for n in 0..20 {
        put(&cluster, &format!("s{n}"), body.clone()).await.expect(200);
    }
    for _ in 0..3 {
        let before = show(&cluster, "s0").await.fired;
        Answer::of(cluster.request(Method::POST, "/v1/cluster/transfer").json(&json!({}))).await;
        until("another leader fires", async || {
            let answer = cluster.get("/v1/schedules/s0").await;
            let now: ScheduleInfo = serde_json::from_str(&answer.text).ok()?;
            (now.fired > before + 1).then_some(())
        })
        .await;
    }
    for n in 0..20 {
        let name = format!("s{n}");
        cluster.post(&format!("/v1/schedules/{name}/pause"), &json!({})).await.expect(200);
        let stands = show(&cluster, &name).await;
        let times: BTreeSet<String> = nominal(&cluster, &name).await.into_iter().collect();
        assert_eq!(times.len() as u64, stands.fired, "{name}");
        // A second apart each: none is missing between the first and the last.
        let seconds = |time: &String| {
            let (minutes, rest) = time.split_at(time.len() - "00.000Z".len());
            (minutes.to_owned(), rest[..2].parse::<i64>().unwrap())
        };
        let steps: Vec<_> = times.iter().map(seconds).collect();
        for pair in steps.windows(2) {
            assert_eq!((pair[1].1 - pair[0].1).rem_euclid(60), 1, "{name}: {times:?}");
        }
    }
    cluster.stop().await;
}
