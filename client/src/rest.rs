//! Plain HTTP requests: what people and scripts ask, where one request at a time is enough.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use raftwork_api::cluster::{ClusterInfo, DigestInfo};
use raftwork_api::functions::FunctionPage;
use raftwork_api::kernel::{LimitKind, TaskId};
use raftwork_api::limits::{LimitInfo, LimitPage, NewConcurrency, NewRate};
use raftwork_api::schedules::{NewSchedule, ScheduleInfo, SchedulePage};
use raftwork_api::tasks::{ResultInfo, TaskInfo, TaskLogs, TaskPage};
use raftwork_api::workers::WorkerList;
use raftwork_api::{Problem, paths};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::dial::cause;
use crate::error::RestError;
use crate::nodes::Nodes;

/// Pause between rounds over the nodes when no node names one.
const PAUSE: Duration = Duration::from_millis(200);
/// Longest pause that a node can impose.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Time beyond a server-side wait after which a request is given up.
const SLACK: Duration = Duration::from_secs(10);

/// Plain HTTP requests to whichever node answers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Rest {
    http: reqwest::Client,
    nodes: Arc<Nodes>,
    /// The node that answered last.
    preferred: Arc<Mutex<Option<String>>>,
    patience: Duration,
}

/// An answer, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
    /// The node that answered.
    pub url: String,
}

/// Why another attempt may help, and when.
struct Trouble {
    reason: String,
    pause: Option<Duration>,
    /// What a node said, to be passed on if patience ends here.
    answer: Option<Answer>,
}

impl Rest {
    pub(crate) fn new(http: reqwest::Client, nodes: Arc<Nodes>, patience: Duration) -> Self {
        Self { http, nodes, preferred: Arc::default(), patience }
    }

    /// Sends a request, to another node if one fails, again after `Retry-After` if the cluster is busy or between leaders.
    ///
    /// Every request but `GET` carries an `Idempotency-Key`, so that its repeats are recognised.
    ///
    /// # Errors
    /// When no node answers within the client's patience. Error statuses are answers.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<Answer, RestError> {
        let deadline = Instant::now() + self.patience;
        let key = uuid::Uuid::new_v4().to_string();
        let urls = self.nodes.urls();
        let preferred = self.preferred();
        let first = urls.iter().position(|url| Some(url) == preferred.as_ref()).unwrap_or(0);
        let mut attempt = 0;
        loop {
            let url = &urls[(first + attempt) % urls.len()];
            let trouble = match self.once(url, &method, path, body.clone(), &key).await {
                Ok(answer) => {
                    *self.lock() = Some(url.clone());
                    self.learn(url);
                    return Ok(answer);
                }
                Err(trouble) => trouble,
            };
            attempt += 1;
            let round_over = attempt % urls.len() == 0;
            let pause = trouble.pause.or_else(|| round_over.then_some(PAUSE)).unwrap_or_default();
            if Instant::now() + pause >= deadline {
                return trouble.answer.ok_or(RestError::Unreachable { trouble: trouble.reason });
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Asks for the members beside the requests of a client that was not told of them for a while, so that it outlives
    /// every node that it was told of first.
    fn learn(&self, url: &str) {
        if !self.nodes.should_ask() {
            return;
        }
        let request = self.http.get(format!("{url}{}", paths::CLUSTER)).timeout(SLACK);
        let nodes = Arc::clone(&self.nodes);
        tokio::spawn(async move {
            let info: ClusterInfo = request.send().await?.error_for_status()?.json().await?;
            nodes.learn(info.nodes.into_iter().map(|node| node.url).collect());
            Ok::<(), reqwest::Error>(())
        });
    }

    fn preferred(&self) -> Option<String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.preferred.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn once(
        &self,
        url: &str,
        method: &Method,
        path: &str,
        body: Option<Bytes>,
        key: &str,
    ) -> Result<Answer, Trouble> {
        let mut request = self.http.request(method.clone(), format!("{url}{path}"));
        request = request.timeout(self.patience + SLACK);
        if *method != Method::GET {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let failed = |error: reqwest::Error| {
            let reason = format!("{url}: {}", cause(&error));
            Trouble { reason, pause: None, answer: None }
        };
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let pause = retry_after(response.headers());
        let body = response.bytes().await.map_err(failed)?;
        let answer = Answer { status: status.as_u16(), body, url: url.to_owned() };
        if is_transient(status) {
            let reason = format!("{url}: {}", answer.problem());
            return Err(Trouble { reason, pause, answer: Some(answer) });
        }
        Ok(answer)
    }

    /// `GET path`, decoded.
    ///
    /// # Errors
    /// When no node answers, or one answers with an error.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, RestError> {
        self.request(Method::GET, path, None).await?.decode()
    }

    async fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, RestError> {
        let body = serde_json::to_vec(body).expect("what requests carry is plain data");
        self.request(Method::PUT, path, Some(body.into())).await?.decode()
    }

    /// State of the cluster as the answering node sees it.
    ///
    /// # Errors
    /// See [`Rest::get`].
    pub async fn cluster(&self) -> Result<ClusterInfo, RestError> {
        self.get(paths::CLUSTER).await
    }

    /// Digest of the answering node's applied state.
    ///
    /// # Errors
    /// See [`Rest::get`].
    pub async fn digest(&self) -> Result<DigestInfo, RestError> {
        self.get(paths::CLUSTER_DIGEST).await
    }

    /// Connected workers.
    ///
    /// # Errors
    /// See [`Rest::get`].
    pub async fn workers(&self) -> Result<WorkerList, RestError> {
        self.get(paths::WORKERS).await
    }

    /// Limits by key, by kind and key; `query` as in `limit=100&after=...`, or empty.
    ///
    /// # Errors
    /// See [`Rest::get`].
    pub async fn limits(&self, query: &str) -> Result<LimitPage, RestError> {
        self.get(&with_query(paths::LIMITS, query)).await
    }

    /// One limit, and who has the leases under it.
    ///
    /// # Errors
    /// See [`Rest::get`].
    pub async fn limit(&self, kind: LimitKind, key: &str) -> Result<LimitInfo, RestError> {
        self.get(&of_limit(kind, key)).await
    }

    /// Sets a limit by hand.
    ///
    /// # Errors
    /// See [`Rest::get`].
    pub async fn set_concurrency(&self, key: &str, limit: NewConcurrency) -> Result<LimitInfo, RestError> {
        self.put(&of_limit(LimitKind::Concurrency, key), &limit).await
    }

    /// Sets a limit by hand.
    ///
    /// # Errors
    /// See [`Rest::get`].
    pub async fn set_rate(&self, key: &str, limit: NewRate) -> Result<LimitInfo, RestError> {
        self.put(&of_limit(LimitKind::Rate, key), &limit).await
    }

    /// Leaves a limit to what submits say.
    ///
    /// # Errors
    /// See [`Rest::get`].
    pub async fn unset_limit(&self, kind: LimitKind, key: &str) -> Result<(), RestError> {
        self.request(Method::DELETE, &of_limit(kind, key), None).await?.check()
    }

    /// Schedules, by name; `query` as in `limit=100&after=...`, or empty.
    ///
    /// # Errors
    /// See [`Rest::get`].
    pub async fn schedules(&self, query: &str) -> Result<SchedulePage, RestError> {
        self.get(&with_query(paths::SCHEDULES, query)).await
    }

    /// One schedule and its next times.
    ///
    /// # Errors
    /// See [`Rest::get`].
    pub async fn schedule(&self, name: &str) -> Result<ScheduleInfo, RestError> {
        self.get(&of_schedule(paths::SCHEDULE, name)).await
    }

    /// Makes or replaces a schedule.
    ///
    /// # Errors
    /// See [`Rest::get`].
    pub async fn put_schedule(&self, name: &str, schedule: &NewSchedule) -> Result<ScheduleInfo, RestError> {
        self.put(&of_schedule(paths::SCHEDULE, name), schedule).await
    }

    /// Pauses a schedule.
    ///
    /// # Errors
    /// See [`Rest::get`].
    pub async fn pause_schedule(&self, name: &str) -> Result<ScheduleInfo, RestError> {
        self.request(Method::POST, &of_schedule(paths::SCHEDULE_PAUSE, name), None).await?.decode()
    }

    /// Lets a schedule fire again, for times from now on.
    ///
    /// # Errors
    /// See [`Rest::get`].
    pub async fn resume_schedule(&self, name: &str) -> Result<ScheduleInfo, RestError> {
        self.request(Method::POST, &of_schedule(paths::SCHEDULE_RESUME, name), None).await?.decode()
    }

    /// Submits one of its tasks now.
    ///
    /// # Errors
    /// See [`Rest::get`].
    pub async fn trigger_schedule(&self, name: &str) -> Result<TaskInfo, RestError> {
        self.request(Method::POST, &of_schedule(paths::SCHEDULE_TRIGGER, name), None).await?.decode()
    }

    /// Deletes a schedule.
    ///
    /// # Errors
    /// See [`Rest::get`].
    pub async fn delete_schedule(&self, name: &str) -> Result<(), RestError> {
        self.request(Method::DELETE, &of_schedule(paths::SCHEDULE, name), None).await?.check()
    }

    /// Registered functions, newest first; `query` as in `limit=100&after=...`, or empty.
    ///
    /// # Errors
    /// See [`Rest::get`].
    pub async fn functions(&self, query: &str) -> Result<FunctionPage, RestError> {
        self.get(&with_query(paths::FUNCTIONS, query)).await
    }

    /// Tasks, newest first; `query` as in `status=failed&limit=100`, or empty.
    ///
    /// # Errors
    /// See [`Rest::get`].
    pub async fn tasks(&self, query: &str) -> Result<TaskPage, RestError> {
        self.get(&with_query(paths::TASKS, query)).await
    }

    /// One task.
    ///
    /// # Errors
    /// See [`Rest::get`].
    pub async fn task(&self, task: TaskId) -> Result<TaskInfo, RestError> {
        self.get(&of_task(paths::TASK, task)).await
    }

    /// Result of a task, as far as there is one.
    ///
    /// # Errors
    /// See [`Rest::get`].
    pub async fn result(&self, task: TaskId) -> Result<ResultInfo, RestError> {
        self.get(&of_task(paths::TASK_RESULT, task)).await
    }

    /// What a task's attempts printed.
    ///
    /// # Errors
    /// See [`Rest::get`].
    pub async fn logs(&self, task: TaskId) -> Result<TaskLogs, RestError> {
        self.get(&of_task(paths::TASK_LOGS, task)).await
    }
}

impl Answer {
    /// The body as `T`, or the error that it is.
    ///
    /// # Errors
    /// [`RestError::Problem`] for an error status, [`RestError::Malformed`] for a body that is not in the contract.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, RestError> {
        self.check()?;
        serde_json::from_slice(&self.body).map_err(|error| self.malformed(&error.to_string()))
    }

    /// Whether it is no error, whatever its body.
    ///
    /// # Errors
    /// [`RestError::Problem`] for an error status.
    pub fn check(&self) -> Result<(), RestError> {
        if self.status >= 400 {
            return Err(RestError::Problem(Box::new(self.problem())));
        }
        Ok(())
    }

    fn problem(&self) -> Problem {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| {
            let mut problem =
                Problem::new(raftwork_api::ErrorCode::Internal, format!("HTTP status {}", self.status));
            problem.status = self.status;
            problem
        })
    }

    fn malformed(&self, reason: &str) -> RestError {
        RestError::Malformed { url: self.url.clone(), reason: reason.to_owned() }
    }
}

fn with_query(path: &str, query: &str) -> String {
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

fn of_task(path: &str, task: TaskId) -> String {
    path.replace("{task_id}", &task.to_string())
}

fn of_limit(kind: LimitKind, key: &str) -> String {
    let path = match kind {
        LimitKind::Concurrency => paths::LIMIT_CONCURRENCY,
        LimitKind::Rate => paths::LIMIT_RATE,
    };
    path.replace("{key}", &escaped(key))
}

fn of_schedule(path: &str, name: &str) -> String {
    path.replace("{name}", &escaped(name))
}

/// Text that people chose, as a part of a path: every byte of it may mean something in a URL.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut path, byte| {
        write!(path, "%{byte:02X}").expect("strings take everything");
        path
    })
}

fn is_transient(status: StatusCode) -> bool {
    use StatusCode as S;
    [S::TOO_MANY_REQUESTS, S::SERVICE_UNAVAILABLE, S::MISDIRECTED_REQUEST, S::GATEWAY_TIMEOUT, S::BAD_GATEWAY]
        .contains(&status)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: f64 = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok().map(|pause| pause.min(PAUSE_MAX))
}
