//! What a node says about itself and about its interface.

use raftwork_api::paths;
use reqwest::Method;
use serde_json::Value;

use crate::support::{Answer, Cluster};

/// Every path of the HTTP interface, but for the stream and the description itself.
const DESCRIBED: [&str; 38] = [
    paths::REGISTER_FUNCTION,
    paths::EXECUTE_FUNCTION,
    paths::STATUS,
    paths::RESULT,
    paths::FUNCTIONS,
    paths::FUNCTION,
    paths::FUNCTION_CODE,
    paths::TASKS,
    paths::TASKS_BATCH,
    paths::TASK,
    paths::TASK_RESULT,
    paths::TASK_LOGS,
    paths::TASK_CANCEL,
    paths::TASK_REDRIVE,
    paths::LIMITS,
    paths::LIMIT_CONCURRENCY,
    paths::LIMIT_RATE,
    paths::SCHEDULES,
    paths::SCHEDULE,
    paths::SCHEDULE_PAUSE,
    paths::SCHEDULE_RESUME,
    paths::SCHEDULE_TRIGGER,
    paths::LEASES_ACQUIRE,
    paths::LEASES_START,
    paths::LEASES_HEARTBEAT,
    paths::LEASES_EXTEND,
    paths::LEASES_COMPLETE,
    paths::LEASES_FAIL,
    paths::LEASES_RELEASE,
    paths::WORKERS,
    paths::WORKER_DRAIN,
    paths::CLUSTER,
    paths::CLUSTER_DIGEST,
    paths::CLUSTER_TRANSFER,
    paths::METRICS,
    paths::HEALTHZ,
    paths::READYZ,
    "/v1/tasks",
];

#[tokio::test]
async fn the_description_names_every_path_and_every_reference_resolves() {
    let cluster = Cluster::one().await;
    let answer = cluster.get(paths::OPENAPI).await;
    let description = answer.expect(200);
    for path in DESCRIBED {
        assert!(description["paths"][path].is_object(), "{path} is not described");
    }
    for reference in answer.text.split("\"#/").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(description.pointer(&format!("/{reference}")).is_some(), "{reference} leads nowhere");
    }
    let submit = &description["paths"]["/v1/tasks"]["post"];
    assert!(submit["responses"]["default"]["content"]["application/problem+json"].is_object(), "{submit}");
    cluster.stop().await;
}

#[tokio::test]
async fn every_body_has_an_example_and_every_tag_is_explained() {
    let cluster = Cluster::one().await;
    let description = cluster.get(paths::OPENAPI).await.expect(200);
    let tags: Vec<&Value> = description["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    for (method, path, operation) in operations(&description) {
        assert!(tags.contains(&&operation["tags"][0]), "nothing explains the tag of {method} {path}");
        if let Some(schema) = body_of(&description, operation) {
            assert!(schema["example"].is_object(), "the body of {method} {path} has no example");
        }
    }
    cluster.stop().await;
}

/// To JSON Schema, and so to clients made from the description, `7.0` is an integer as `7` is.
#[tokio::test]
async fn an_integer_of_a_body_may_be_written_with_a_point() {
    let cluster = Cluster::one().await;
    let description = cluster.get(paths::OPENAPI).await.expect(200);
    let mut integers = 0;
    for (method, path, operation) in operations(&description) {
        let Some(schema) = body_of(&description, operation) else { continue };
        let mut body = with_points(&description, schema, &mut integers);
        // Nothing is worth waiting for.
        body.as_object_mut().unwrap().remove("wait");
        let path = path.replace("{index}", "0").replace("{token}", "1");
        let path = path.split('/').map(|part| if part.starts_with('{') { NOBODY } else { part });
        let path = path.collect::<Vec<_>>().join("/");
        let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        let answer = Answer::of(cluster.request(method, &path).json(&body)).await;
        assert!(!answer.text.contains("floating point"), "{path} with {body}: {}", answer.text);
    }
    assert!(integers >= 20, "only {integers} were found");
    cluster.stop().await;
}

/// An id that nothing has.
const NOBODY: &str = "0190a5e4-7c3b-7cc1-8a54-2f6a5d1b9c3e";

/// Method, path and description of every operation.
fn operations(description: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = description["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, all)| {
        all.as_object().unwrap().iter().map(|(method, one)| (method.as_str(), path.as_str(), one))
    })
}

/// The schema of an operation's body, if it takes JSON.
fn body_of<'a>(description: &'a Value, operation: &'a Value) -> Option<&'a Value> {
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    (!body.is_null()).then(|| resolved(description, body))
}

/// What a schema refers to, be it as the one alternative to nothing.
fn resolved<'a>(description: &'a Value, schema: &'a Value) -> &'a Value {
    let something = |either: &'a Value| either.as_array()?.iter().find(|one| one["type"] != "null");
    let schema = schema.get("oneOf").and_then(something).unwrap_or(schema);
    match schema["$ref"].as_str() {
        Some(reference) => description.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

/// The example of a schema, and every integer beside that it may have, each as a number with a point.
fn with_points(description: &Value, schema: &Value, integers: &mut u32) -> Value {
    let mut body = schema["example"].as_object().cloned().unwrap_or_default();
    let parts = std::iter::once(schema).chain(schema["allOf"].as_array().into_iter().flatten());
    let properties = parts.filter_map(|part| resolved(description, part)["properties"].as_object()).flatten();
    for (name, property) in properties {
        let property = resolved(description, property);
        if property["type"] == "integer" || property["type"][0] == "integer" {
            *integers += 1;
            body.insert(name.clone(), property["minimum"].as_f64().unwrap_or_default().max(1.0).into());
        } else if property["properties"].is_object() || property["allOf"].is_array() {
            body.insert(name.clone(), with_points(description, property, integers));
        }
    }
    Value::Object(body)
}

#[tokio::test]
async fn the_pages_are_served_without_any_network() {
    let cluster = Cluster::one().await;
    let page = cluster.get("/docs/").await;
    assert!(page.text.contains("swagger-ui"), "{}", page.text);
    let script = cluster.get("/docs/swagger-ui-bundle.js").await;
    assert!(script.status.is_success() && script.text.len() > 100_000);
    let errors = cluster.get("/docs/errors").await;
    assert!(errors.text.contains("<h2 id=\"stale_lease\">"));
    cluster.stop().await;
}

#[tokio::test]
async fn metrics_count_what_happened_and_name_no_task() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let task = cluster.submit(&function, &serde_json::json!([])).await;
    cluster.get(&format!("/v1/tasks/{task}")).await.expect(200);
    let text = cluster.get(paths::METRICS).await.text;
    for line in [
        "raftwork_http_requests_total{method=\"GET\",route=\"/v1/tasks/{task_id}\",status=\"200\"} 1",
        "raftwork_raft_leads 1",
        "raftwork_tasks{status=\"queued\"} 1",
        "raftwork_ready_tasks{python=\"any\"} 1",
        "# TYPE raftwork_log_fsyncs counter",
        "# EOF",
    ] {
        assert!(text.lines().any(|have| have == line), "'{line}' is not in:\n{text}");
    }
    assert!(!text.contains(&task) && !text.contains(&function));
    cluster.stop().await;
}

#[tokio::test]
async fn a_request_keeps_its_id() {
    let cluster = Cluster::one().await;
    let answer =
        Answer::of(cluster.request(Method::GET, "/healthz").header("x-request-id", "build-17")).await;
    assert_eq!(answer.header("x-request-id"), Some("build-17"));
    assert_eq!(answer.header("x-raftwork-node"), Some("1"));
    cluster.stop().await;
}

#[tokio::test]
async fn the_cluster_describes_itself() {
    let cluster = Cluster::one().await;
    let info = cluster.get(paths::CLUSTER).await.expect(200);
    assert_eq!((&info["cluster"], &info["leader"]), (&serde_json::json!("test"), &serde_json::json!(1)));
    let digest = cluster.get(paths::CLUSTER_DIGEST).await.expect(200);
    assert_eq!(digest["digest"].as_str().unwrap().len(), 64);
    cluster.stop().await;
}
