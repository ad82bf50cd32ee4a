//! Arguments and results that do not fit into a message: read and sent in parts, over plain HTTP, at whichever node answers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use raftwork_api::kernel::limits::PAYLOAD_BYTES_MAX;
use raftwork_api::kernel::{InParts, LeaseRef, Status, TaskId};
use raftwork_api::parts::{PARTS_IN_FLIGHT, PartsError, cut, join};
use raftwork_api::stream::{Given, GivenResult};
use raftwork_api::{ErrorCode, Problem, paths};
use reqwest::header::ACCEPT;
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
    /// It is not the size that the leader said.
    #[error("it has {got} bytes, and should have {expected}")]
    Size {
        /// What came.
        got: u64,
        /// What should have.
        expected: u64,
    },
    /// Arguments and the results in them are more than one call may have.
    #[error(
        "with the results in them they have {bytes} bytes, over the limit of {PAYLOAD_BYTES_MAX} (256 MiB): have the other tasks leave such data where workers can reach it, and return its place"
    )]
    TooMuch {
        /// How large they are together.
        bytes: u64,
    },
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
        self.fetch_parts(paths::TASK_ARGUMENTS_PART, task, said).await
    }

    /// Reads the results of other tasks that are not there yet.
    ///
    /// # Errors
    /// The task whose result could not be read, and why.
    pub(crate) async fn fetch_given(
        &self,
        given: Vec<Given>,
    ) -> Result<Vec<(TaskId, Result<Bytes, Status>)>, (TaskId, PayloadError)> {
        let mut read = Vec::with_capacity(given.len());
        for Given { task, result } in given {
            let result = match result {
                GivenResult::Here(result) => Ok(Ok(result)),
                GivenResult::None(status) => Ok(Err(status)),
                GivenResult::InParts(said) => {
                    self.fetch_parts(paths::TASK_RESULT_PART, task, &said).await.map(Ok)
                }
                GivenResult::Apart(bytes) => self.fetch_result(task, bytes).await.map(Ok),
            };
            read.push((task, result.map_err(|error| (task, error))?));
        }
        Ok(read)
    }

    async fn fetch_result(&self, task: TaskId, expected: u64) -> Result<Bytes, PayloadError> {
        let path = paths::TASK_RESULT.replace("{task_id}", &task.to_string());
        let result = self.ask(Method::GET, path, Bytes::new()).await?;
        let got = result.len() as u64;
        if got == expected { Ok(result) } else { Err(PayloadError::Size { got, expected }) }
    }

    async fn fetch_parts(&self, path: &str, task: TaskId, said: &InParts) -> Result<Bytes, PayloadError> {
        let path = path.replace("{task_id}", &task.to_string());
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
                    if matches!(problem.code, ErrorCode::StaleLease | ErrorCode::AlreadyFinished) {
                        return Err(PayloadError::Stale(problem));
                    }
                    if !problem.code.is_transient() && !status.is_server_error() {
                        return Err(PayloadError::Refused(problem));
                    }
                    problem.to_string()
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
        // Results are told in JSON to those who do not ask for their bytes.
        let request = self.http.request(method.clone(), url).header(ACCEPT, "application/octet-stream");
        let request = request.timeout(PART_PATIENCE).body(body);
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

#[cfg(test)]
mod tests {
    use raftwork_api::kernel::Token;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A node that answers each request with what `answer` makes of its first line, and closes.
    async fn node(answer: impl Fn(&str) -> (u16, Vec<u8>) + Send + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut read = vec![0; 64 << 10];
                let len = stream.read(&mut read).await.unwrap_or_default();
                let request = String::from_utf8_lossy(&read[..len]).into_owned();
                let (status, body) = answer(request.lines().next().unwrap_or_default());
                let length = body.len();
                let head =
                    format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
                let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
                // What the client still sends is read, so that it sees the answer and no reset.
                while matches!(stream.read(&mut read).await, Ok(1..)) {}
            }
        });
        url
    }

    fn problem_of(code: ErrorCode) -> (u16, Vec<u8>) {
        let problem = Problem::new(code, "because");
        (problem.status, serde_json::to_vec(&problem).expect("a problem is plain data"))
    }

    fn payloads(urls: Vec<String>) -> Payloads {
        Payloads::new(crate::connection::http_client().expect("it can be set up"), urls)
    }

    /// Three parts, no two of them alike.
    fn payload() -> Bytes {
        (0..(5_u32 << 19)).flat_map(|n| [u8::try_from(n % 251).expect("it is small")]).collect()
    }

    const TASK: TaskId = TaskId::from_u128(7);
    const LEASE: LeaseRef = LeaseRef { task: TASK, token: Token(3) };

    fn index_of(line: &str) -> usize {
        line.split(' ').nth(1).and_then(|path| path.rsplit('/').next()?.parse().ok()).expect("a place")
    }

    #[tokio::test]
    async fn arguments_are_read_in_order_past_nodes_that_cannot_serve() {
        let (said, parts) = cut(&payload());
        let electing = node(|_| problem_of(ErrorCode::NoLeader)).await;
        let serving = node(move |line| (200, parts[index_of(line)].to_vec())).await;
        let fetched =
            payloads(vec!["http://127.0.0.1:1".to_owned(), electing, serving]).fetch(TASK, &said).await;
        assert_eq!(fetched.expect("a node serves"), payload());
    }

    #[tokio::test]
    async fn arguments_whose_parts_are_swapped_or_lost_are_noticed() {
        let (said, parts) = cut(&payload());
        let swapped = node(move |line| (200, parts[[1, 0, 2][index_of(line)]].to_vec())).await;
        let error = payloads(vec![swapped]).fetch(TASK, &said).await.expect_err("they are swapped");
        assert!(matches!(error, PayloadError::Parts(PartsError::Digest)), "{error}");
        let lost = node(|_| problem_of(ErrorCode::UnknownTask)).await;
        let error = payloads(vec![lost]).fetch(TASK, &said).await.expect_err("the task was forgotten");
        assert!(matches!(error, PayloadError::Refused(_)), "{error}");
    }

    #[tokio::test]
    async fn results_for_a_task_come_from_wherever_they_are() {
        let (said, parts) = cut(&payload());
        let serving = node(move |line| {
            if line.contains("/result/parts/") {
                (200, parts[index_of(line)].to_vec())
            } else {
                (200, vec![7; 9])
            }
        })
        .await;
        let payloads = payloads(vec![serving]);
        let of = |result| vec![Given { task: TASK, result }];
        for (result, expected) in [
            (GivenResult::Here(Bytes::from_static(b"here")), Ok(Bytes::from_static(b"here"))),
            (GivenResult::InParts(said), Ok(payload())),
            (GivenResult::Apart(9), Ok(Bytes::from_static(&[7; 9]))),
            (GivenResult::None(Status::Parked), Err(Status::Parked)),
        ] {
            assert_eq!(payloads.fetch_given(of(result)).await.expect("it is there"), [(TASK, expected)]);
        }
        let (task, error) =
            payloads.fetch_given(of(GivenResult::Apart(10))).await.expect_err("it is cut off");
        assert!(task == TASK && matches!(error, PayloadError::Size { got: 9, expected: 10 }), "{error}");
    }

    #[tokio::test]
    async fn a_result_is_sent_until_its_lease_is_over() {
        let taking = node(|_| (204, Vec::new())).await;
        let said = payloads(vec![taking]).send(&LEASE, &payload()).await.expect("it is taken");
        assert_eq!(said, cut(&payload()).0);
        let stale = node(|_| problem_of(ErrorCode::StaleLease)).await;
        let error = payloads(vec![stale]).send(&LEASE, &payload()).await.expect_err("it is over");
        assert!(matches!(error, PayloadError::Stale(_)), "{error}");
    }
}
