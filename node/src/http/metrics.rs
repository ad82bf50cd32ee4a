//! `/metrics`: counters of requests, and what the group knows of itself at the moment of the scrape.
//!
//! Nothing carries a task, a function or a worker as a label: their number has no bound.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use raftwork_api::paths;
use raftwork_kernel::Need;

use super::state::AppState;
use crate::group::Leadership;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

/// Counters of requests.
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("raftwork");
        let requests = Family::<RequestLabels, Counter>::default();
        let seconds = Family::new_with_constructor(request_buckets as fn() -> Histogram);
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register("http_request_seconds", "Time until the answer's first byte", seconds.clone());
        Self { registry, requests, seconds }
    }
}

/// From a local read to the longest `wait`.
fn request_buckets() -> Histogram {
    Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0])
}

impl Metrics {
    /// Counts one answered request; `route` is the pattern, not the path.
    pub(super) fn answered(&self, method: &http::Method, route: &str, status: u16, took: Duration) {
        let labels = RequestLabels { method: known_method(method), route: route.to_owned(), status };
        self.requests.get_or_create(&labels).inc();
        self.seconds.get_or_create(&RouteLabels { route: route.to_owned() }).observe(took.as_secs_f64());
    }
}

/// A client may invent methods without end; they share one label.
fn known_method(method: &http::Method) -> String {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.iter().find(|known| *known == &method.as_str()).copied().unwrap_or("other").to_owned()
}

/// Prometheus text.
#[utoipa::path(
    get, path = paths::METRICS, tag = "node",
    responses((status = 200, description = "OpenMetrics text", content_type = "application/openmetrics-text", body = String))
)]
pub(super) async fn metrics(State(state): State<AppState>) -> Response {
    let mut now = Registry::with_prefix("raftwork");
    now.register_collector(Box::new(Sample::of(&state)));
    let mut text = String::new();
    encode_registry(&mut text, &state.metrics.registry)
        .and_then(|()| encode_registry(&mut text, &now))
        .and_then(|()| encode_eof(&mut text))
        .expect("writing into a string cannot fail");
    ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
}

/// What the group said at one moment.
#[derive(Debug)]
struct Sample {
    gauges: Vec<(&'static str, &'static str, u64)>,
    counters: Vec<(&'static str, &'static str, u64)>,
    tasks: Vec<(String, u64)>,
    ready: Vec<(String, u64)>,
}

impl Sample {
    fn of(state: &AppState) -> Self {
        let replica = state.group.replica();
        let lower = |status: &dyn fmt::Debug| format!("{status:?}").to_lowercase();
        Self {
            gauges: gauges(state),
            counters: counters(state),
            tasks: replica.counts().iter().map(|(status, count)| (lower(status), *count)).collect(),
            ready: by_python(&replica.ready_by_need()),
        }
    }
}

fn by_python(ready: &[(Need, usize)]) -> Vec<(String, u64)> {
    let mut numbers = BTreeMap::<String, u64>::new();
    for (need, count) in ready {
        let python = need.python.map_or_else(|| "any".to_owned(), |python| python.to_string());
        *numbers.entry(python).or_default() += *count as u64;
    }
    numbers.into_iter().collect()
}

fn gauges(state: &AppState) -> Vec<(&'static str, &'static str, u64)> {
    let status = state.group.status();
    let leads = state.group.leadership() == Leadership::Leader;
    let index = |index: Option<u64>| index.unwrap_or_default();
    let workers = state.group.dispatcher().workers();
    let slots: u64 = workers.iter().map(|worker| u64::from(worker.slots)).sum();
    let held: usize = workers.iter().map(|worker| worker.held).sum();
    vec![
        ("raft_leads", "1 on the leader", u64::from(leads)),
        ("raft_leader", "Id of the leader that this node knows; 0 for none", index(status.leader)),
        ("raft_term", "Raft term", status.term),
        ("raft_last_index", "Index of the last log entry", index(status.last)),
        (
            "raft_committed_index",
            "Index up to which the log is known to be committed",
            index(status.committed),
        ),
        ("raft_applied_index", "Index of the last applied entry", index(status.applied)),
        ("raft_snapshot_index", "Index that the newest snapshot covers", index(status.snapshot)),
        ("raft_purged_index", "Index up to which the log was purged", index(status.purged)),
        ("workers", "Workers that the leader knows; 0 on followers", workers.len() as u64),
        ("worker_slots", "Their slots", slots),
        ("worker_leases", "Leases that they hold", held as u64),
    ]
}

fn counters(state: &AppState) -> Vec<(&'static str, &'static str, u64)> {
    let log = state.log.counters();
    let proposals = state.group.proposal_counters();
    let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    vec![
        ("log_fsyncs", "Times that the log was made durable", log.fsyncs()),
        ("log_fsync_microseconds", "Time spent in that", log.fsync_micros()),
        ("log_waiters", "Appends and votes answered; by fsyncs: how many shared one", log.waiters()),
        ("log_records", "Records appended to the log", log.records()),
        ("log_bytes", "Bytes appended to the log", log.bytes()),
        ("log_disk_reads", "Log reads that memory could not serve", log.disk_reads()),
        ("proposed_entries", "Entries that this node proposed", read(&proposals.entries)),
        ("proposed_commands", "Commands in them", read(&proposals.commands)),
        ("proposed_bytes", "Bytes of them", read(&proposals.bytes)),
    ]
}

impl Collector for Sample {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (name, help, value) in &self.gauges {
            gauge(&mut encoder, name, help, *value)?;
        }
        for (name, help, value) in &self.counters {
            let counter = ConstCounter::new(*value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        family(&mut encoder, "tasks", "Live tasks by status", "status", &self.tasks)?;
        family(
            &mut encoder,
            "ready_tasks",
            "Queued tasks by the Python that they need",
            "python",
            &self.ready,
        )
    }
}

fn as_gauge(value: u64) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> Result<(), fmt::Error> {
    let gauge = as_gauge(value);
    gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
}

fn family(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &str,
    values: &[(String, u64)],
) -> Result<(), fmt::Error> {
    let mut descriptor = encoder.encode_descriptor(name, help, None, as_gauge(0).metric_type())?;
    for (value, count) in values {
        let labels = [(label, value.as_str())];
        as_gauge(*count).encode(descriptor.encode_family(&labels)?)?;
    }
    Ok(())
}
