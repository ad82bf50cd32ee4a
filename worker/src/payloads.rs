//! Arguments and results that do not fit into a message: read and sent in parts, over plain HTTP, at whichever node answers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use raftwork_api::kernel::{InParts, LeaseRef, TaskId};
use raftwork_api::parts::{PARTS_IN_FLIGHT, PartsError, cut, join};
use raftwork_api::{ErrorCode, Problem, paths};
use reqwest::{Method, StatusCode};

use crate::times;

/// Why a payload was neither read nor sent. What may pass by itself is tried again until the attempt is stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PayloadError {
    /// The lease is over.
    #[error("the lease is over: {0}")]
    Stale(Problem),
    /// A node says that it never will be.
    #[error("{0}")]
    Refused(Problem),
    /// It is not what its sender said.
    #[error(transparent)]
    Parts(#[from] PartsError),
}

/// The nodes, as the tasks of a worker know them. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Payloads {
    http: reqwest::Client,
    urls: Arc<Mutex<Vec<String>>>,
}

impl Payloads {
    pub(crate) fn new(http: reqwest::Client, urls: Vec<String>) -> Self {
        Self { http, urls: Arc::new(Mutex::new(urls)) }
    }

    /// The leader has said where the nodes are, and whom to try beside them.
    pub(crate) fn learn(&self, urls: &[String]) {
        let mut known = self.urls.lock().unwrap_or_else(PoisonError::into_inner);
        urls.clone_into(&mut known);
    }

    /// Reads the arguments of a task.
    pub(crate) async fn fetch(&self, task: TaskId, said: &InParts) -> Result<Bytes, PayloadError> {
        let path = paths::TASK_ARGUMENTS_PART.replace("{task_id}", &task.to_string());
        let reads = (0..said.count).map(|index| self.ask(Method::GET, part_of(&path, index), Bytes::new()));
        let parts: Vec<Bytes> = stream::iter(reads).buffered(PARTS_IN_FLIGHT).try_collect().await?;
        Ok(join(said, parts)?)
    }

    /// Sends the result of an attempt.
    pub(crate) async fn send(&self, lease: &LeaseRef, result: &Bytes) -> Result<InParts, PayloadError> {
        let path = paths::LEASE_RESULT_PART.replace("{task_id}", &lease.task.to_string());
        let path = path.replace("{token}", &lease.token.to_string());
        let (said, parts) = cut(result);
        let sends = (0..).zip(parts).map(|(index, part)| self.ask(Method::PUT, part_of(&path, index), part));
        let sends = stream::iter(sends).buffer_unordered(PARTS_IN_FLIGHT);
        sends.try_for_each(|_| std::future::ready(Ok(()))).await?;
        Ok(said)
    }

    /// Asks one node after the other until one answers.
    async fn ask(&self, method: Method, path: String, body: Bytes) -> Result<Bytes, PayloadError> {
        let mut pause = times::BACKOFF_MIN;
        for attempt in 0_usize.. {
            let trouble = match self.ask_once(attempt, &method, &path, body.clone()).await {
                Ok((status, answer)) if status.is_success() => return Ok(answer),
                Ok((status, answer)) => {
                    let problem = problem(status, &answer);
                    match problem.code {
                        ErrorCode::StaleLease | ErrorCode::AlreadyFinished => {
                            return Err(PayloadError::Stale(problem));
                        }
                        code if code.is_transient() || status.is_server_error() => problem.to_string(),
                        _ => return Err(PayloadError::Refused(problem)),
                    }
                }
                Err(error) => error.to_string(),
            };
            tracing::debug!(path, attempt, trouble, "a part goes to, or comes from, the next node");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(times::BACKOFF_MAX);
        }
        unreachable!("attempts are not used up")
    }

    async fn ask_once(
        &self,
        attempt: usize,
        method: &Method,
        path: &str,
        body: Bytes,
    ) -> reqwest::Result<(StatusCode, Bytes)> {
        let url = {
            let urls = self.urls.lock().unwrap_or_else(PoisonError::into_inner);
            format!("{}{path}", urls[attempt % urls.len()])
        };
        let request = self.http.request(method.clone(), url).timeout(PART_PATIENCE).body(body);
        let response = request.send().await?;
        Ok((response.status(), response.bytes().await?))
    }
}

/// How long one node may take for one part: a node that must find a new leader first takes some seconds.
const PART_PATIENCE: Duration = Duration::from_secs(10);

fn part_of(path: &str, index: u32) -> String {
    path.replace("{index}", &index.to_string())
}

/// What went wrong, also where something else than a node answered.
fn problem(status: StatusCode, answer: &Bytes) -> Problem {
    serde_json::from_slice(answer).unwrap_or_else(|_| {
        let code = if status.is_server_error() { ErrorCode::NoLeader } else { ErrorCode::Internal };
        Problem::new(code, format!("HTTP status {status}"))
    })
}
