//! Where things are: every path of the HTTP interface, as axum writes it.

/// Course contract.
pub const REGISTER_FUNCTION: &str = "/register_function";
/// Course contract.
pub const EXECUTE_FUNCTION: &str = "/execute_function";
/// Course contract.
pub const STATUS: &str = "/status/{task_id}";
/// Course contract.
pub const RESULT: &str = "/result/{task_id}";

/// Register and list functions.
pub const FUNCTIONS: &str = "/v1/functions";
/// One function.
pub const FUNCTION: &str = "/v1/functions/{function_id}";
/// Its code.
pub const FUNCTION_CODE: &str = "/v1/functions/{function_id}/code";

/// Submit and list tasks.
pub const TASKS: &str = "/v1/tasks";
/// Submit many tasks of one function, all or none.
pub const TASKS_BATCH: &str = "/v1/tasks/batch";
/// One task.
pub const TASK: &str = "/v1/tasks/{task_id}";
/// Its result.
pub const TASK_RESULT: &str = "/v1/tasks/{task_id}/result";
/// A part of its arguments.
pub const TASK_ARGUMENTS_PART: &str = "/v1/tasks/{task_id}/arguments/parts/{index}";
/// A part of its result.
pub const TASK_RESULT_PART: &str = "/v1/tasks/{task_id}/result/parts/{index}";
/// What its attempts printed.
pub const TASK_LOGS: &str = "/v1/tasks/{task_id}/logs";
/// Why it does not run, or what became of it.
pub const TASK_EXPLAIN: &str = "/v1/tasks/{task_id}/explain";
/// Cancel it.
pub const TASK_CANCEL: &str = "/v1/tasks/{task_id}/cancel";
/// Run it again, as a new task.
pub const TASK_REDRIVE: &str = "/v1/tasks/{task_id}/redrive";

/// Submit one function over many items, and list what was.
pub const MAPS: &str = "/v1/maps";
/// One map.
pub const MAP: &str = "/v1/maps/{map_id}";
/// The results of its items, in order.
pub const MAP_RESULTS: &str = "/v1/maps/{map_id}/results";
/// Cancel all of its items.
pub const MAP_CANCEL: &str = "/v1/maps/{map_id}/cancel";

/// Ask for work (long poll).
pub const LEASES_ACQUIRE: &str = "/v1/leases/acquire";
/// Say that granted tasks have started.
pub const LEASES_START: &str = "/v1/leases/start";
/// Keep leases alive.
pub const LEASES_HEARTBEAT: &str = "/v1/leases/heartbeat";
/// Let an attempt run longer.
pub const LEASES_EXTEND: &str = "/v1/leases/extend";
/// Report a result.
pub const LEASES_COMPLETE: &str = "/v1/leases/complete";
/// Send a part of a result.
pub const LEASE_RESULT_PART: &str = "/v1/leases/{task_id}/{token}/result/parts/{index}";
/// Report a failure.
pub const LEASES_FAIL: &str = "/v1/leases/fail";
/// Give a task back.
pub const LEASES_RELEASE: &str = "/v1/leases/release";

/// Connected workers.
pub const WORKERS: &str = "/v1/workers";
/// Let a worker finish what it has and take nothing more.
pub const WORKER_DRAIN: &str = "/v1/workers/{worker_id}/drain";

/// Limits by key.
pub const LIMITS: &str = "/v1/limits";
/// One concurrency limit.
pub const LIMIT_CONCURRENCY: &str = "/v1/limits/concurrency/{key}";
/// One rate limit.
pub const LIMIT_RATE: &str = "/v1/limits/rate/{key}";

/// Schedules.
pub const SCHEDULES: &str = "/v1/schedules";
/// One schedule.
pub const SCHEDULE: &str = "/v1/schedules/{name}";
/// Let it fire for nothing.
pub const SCHEDULE_PAUSE: &str = "/v1/schedules/{name}/pause";
/// Let it fire again.
pub const SCHEDULE_RESUME: &str = "/v1/schedules/{name}/resume";
/// Submit one of its tasks now.
pub const SCHEDULE_TRIGGER: &str = "/v1/schedules/{name}/trigger";

/// State of the cluster.
pub const CLUSTER: &str = "/v1/cluster";
/// Digest of the applied state of the asked node.
pub const CLUSTER_DIGEST: &str = "/v1/cluster/digest";
/// Add a node, or put it in the place of another.
pub const CLUSTER_MEMBERS: &str = "/v1/cluster/members";
/// Remove a node.
pub const CLUSTER_MEMBER: &str = "/v1/cluster/members/{node_id}";
/// Hand leadership over.
pub const CLUSTER_TRANSFER: &str = "/v1/cluster/transfer";

/// Where a connection becomes a framed stream.
pub const STREAM: &str = "/internal/v1/stream";
/// Prometheus metrics.
pub const METRICS: &str = "/metrics";
/// Whether the process is alive.
pub const HEALTHZ: &str = "/healthz";
/// Whether the node can serve.
pub const READYZ: &str = "/readyz";
/// The description of this interface.
pub const OPENAPI: &str = "/openapi.json";
