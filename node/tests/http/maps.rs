//! `/v1/maps`: one function over any number of items, by REST.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Answer, Cluster, worker_id};

/// A map of `add(n, 1)` for every `n` below `count`, under a key.
async fn map(cluster: &Cluster, function: &str, count: u64, key: &str) -> Answer {
    let items: Vec<Value> = (0..count).map(|n| json!({"args": [n, 1]})).collect();
    let body = json!({"function_id": function, "items": items});
    let request = cluster.request(reqwest::Method::POST, "/v1/maps").header("Idempotency-Key", key);
    Answer::of(request.json(&body)).await
}

#[tokio::test]
async fn a_map_runs_every_item_and_gives_the_results_in_order() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let accepted = map(&cluster, &function, 5, "k").await.expect(201);
    assert_eq!((&accepted["items"], &accepted["queued"]), (&json!(5), &json!(5)));
    let path = format!("/v1/maps/{}", accepted["map_id"].as_str().unwrap());

    let worker = worker_id();
    let leases = cluster.leases(&worker, json!({"max": 9, "wait": "20s"})).await;
    assert_eq!(cluster.get(&path).await.expect(200)["running"], 5);
    let ids: BTreeSet<&str> = leases.iter().map(|lease| lease["task_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 5);
    for lease in leases.iter().rev() {
        let [n, one] = [0, 1].map(|place| lease["arguments"]["args"][place].as_u64().unwrap());
        cluster.complete(lease, json!(n + one)).await.expect(200);
    }
    let ended = cluster.get(&format!("{path}?wait=20s")).await.expect(200);
    assert_eq!((&ended["completed"], &ended["queued"]), (&json!(5), &json!(0)));
    assert!(ended["finished_at"].is_string());

    let page = cluster.get(&format!("{path}/results?limit=3")).await.expect(200);
    let values = |page: &Value| -> Vec<Value> {
        page["results"].as_array().unwrap().iter().map(|item| item["value"].clone()).collect()
    };
    assert_eq!((values(&page), &page["next"]), (vec![json!(1), json!(2), json!(3)], &json!(3)));
    let rest = cluster.get(&format!("{path}/results?from=3")).await.expect(200);
    assert_eq!((values(&rest), rest.get("next")), (vec![json!(4), json!(5)], None));
    let list = cluster.get("/v1/maps").await.expect(200);
    assert_eq!(list["maps"], json!([ended]));
    cluster.stop().await;
}

#[tokio::test]
async fn a_repeated_map_is_the_same_and_another_under_its_key_is_refused() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let first = map(&cluster, &function, 3, "k").await.expect(201);
    let again = map(&cluster, &function, 3, "k").await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.expect(201)["map_id"], first["map_id"]);
    map(&cluster, &function, 4, "k").await.expect_problem(422, "task_conflict");
    let nobody = uuid::Uuid::nil().to_string();
    map(&cluster, &nobody, 4, "l").await.expect_problem(404, "unknown_function");
    cluster.get(&format!("/v1/maps/{nobody}")).await.expect_problem(404, "unknown_map");
    cluster.post(&format!("/v1/maps/{nobody}/cancel"), &json!({})).await.expect_problem(404, "unknown_map");
    cluster.get("/v1/maps/banana").await.expect_problem(400, "bad_request");
    cluster.stop().await;
}

#[tokio::test]
async fn items_have_ids_from_the_beginning_and_become_tasks_in_their_turn() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let accepted = map(&cluster, &function, 30_000, "k").await.expect(201);
    assert_eq!(accepted["queued"], 30_000);
    let path = format!("/v1/maps/{}", accepted["map_id"].as_str().unwrap());
    let task_at = async |place: u32| {
        let page = cluster.get(&format!("{path}/results?from={place}&limit=1")).await.expect(200);
        page["results"][0]["task_id"].as_str().unwrap().to_owned()
    };
    let last = task_at(29_999).await;
    let info = cluster.get(&format!("/v1/tasks/{last}")).await.expect(200);
    assert_eq!((&info["status"], &info["function_id"]), (&json!("queued"), &json!(function)));
    let explanation = cluster.get(&format!("/v1/tasks/{last}/explain")).await.expect(200);
    assert_eq!(explanation["reason"], "map_turn", "{explanation}");
    // Live tasks are few, whatever is queued.
    let metrics = cluster.get("/metrics").await.text;
    let queued = metrics.lines().find(|line| line.contains("tasks") && line.contains("queued")).unwrap();
    assert!(queued.ends_with(" 30000"), "{queued}");

    let cancelled = task_at(29_000).await;
    cluster.post(&format!("/v1/tasks/{cancelled}/cancel"), &json!({})).await.expect(200);
    assert_eq!(cluster.get(&format!("/v1/tasks/{cancelled}")).await.expect(200)["status"], "cancelled");
    assert_eq!(cluster.get(&path).await.expect(200)["cancelled"], 1);

    let held = cluster.leases(&worker_id(), json!({"max": 2, "wait": "20s"})).await;
    let result = format!("/v1/tasks/{last}/result?wait=20s");
    let wait = cluster.get(&result);
    let cancel = async { cluster.post(&format!("{path}/cancel"), &json!({})).await.expect(200) };
    let (waited, ended) = tokio::join!(wait, cancel);
    assert_eq!(waited.expect(200)["status"], "cancelled");
    assert_eq!((&ended["cancelled"], &ended["queued"]), (&json!(30_000), &json!(0)));
    cluster.complete(&held[0], json!(1)).await.expect_problem(409, "already_finished");
    cluster.post(&format!("{path}/cancel"), &json!({})).await.expect(200);
    cluster.stop().await;
}
