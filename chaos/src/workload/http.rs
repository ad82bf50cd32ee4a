//! One HTTP request to one node, without any retry: what the checkers must know is what came of each.

use std::time::Duration;

use bytes::Bytes;
use raftwork_api::{ErrorCode, Problem};
use reqwest::Method;
use serde_json::Value;

use crate::cluster::Members;
use crate::history::{Outcome, Refusal, Reply};

/// How long a caller waits: longer than a node looks for a leader, and not so long that a partition stops all callers.
const PATIENCE: Duration = Duration::from_secs(4);
/// Response header of stale reads.
const APPLIED: &str = "x-raftwork-applied";

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// The method.
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: String,
    /// JSON body.
    pub(crate) body: Option<Value>,
    /// A body of bytes.
    pub(crate) bytes: Option<Bytes>,
    /// Idempotency key.
    pub(crate) key: Option<String>,
}

impl Ask {
    /// A read.
    pub(crate) fn get(path: String) -> Self {
        Self { method: Method::GET, path, body: None, bytes: None, key: None }
    }

    /// A write.
    pub(crate) fn post(path: impl Into<String>, body: Option<Value>) -> Self {
        Self { method: Method::POST, path: path.into(), body, bytes: None, key: None }
    }

    /// A write of bytes.
    pub(crate) fn put(path: String, bytes: Bytes) -> Self {
        Self { method: Method::PUT, path, body: None, bytes: Some(bytes), key: None }
    }

    /// The same under an idempotency key.
    pub(crate) fn keyed(self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self }
    }

    /// Whether carrying it out changes nothing.
    pub(crate) fn is_read(&self) -> bool {
        self.method == Method::GET
    }
}

/// What was heard.
#[derive(Debug, Clone)]
pub(crate) enum Heard {
    /// An answer, whatever it says.
    Answer {
        /// HTTP status.
        status: u16,
        /// The body, if it is JSON.
        body: Value,
        /// The log index as of which a stale read holds.
        applied: Option<u64>,
    },
    /// Nobody listened.
    Refused(String),
    /// The connection ended, or time was over.
    Silence(String),
}

/// Plain HTTP to every node.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    client: reqwest::Client,
    urls: Vec<String>,
    members: Members,
}

impl Http {
    /// To the nodes with these base URLs, in the order of their ids, members or not.
    ///
    /// # Errors
    /// When no client can be made.
    pub(crate) fn new(urls: Vec<String>, members: Members) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().no_proxy().tcp_nodelay(true).timeout(PATIENCE).build()?;
        Ok(Self { client, urls, members })
    }

    /// Ids of the members.
    pub(crate) fn ids(&self) -> Vec<u64> {
        self.members.ids()
    }

    /// Base URLs of the members: what clients begin with.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.ids().into_iter().map(|id| self.url(id).to_owned()).collect()
    }

    fn url(&self, id: u64) -> &str {
        &self.urls[usize::try_from(id - 1).expect("ids are small")]
    }

    /// The bytes that node `id` has under a path, if it says so.
    pub(crate) async fn bytes(&self, id: u64, path: &str) -> Option<Bytes> {
        let answer = self.client.get(format!("{}{path}", self.url(id))).send().await.ok()?;
        answer.error_for_status().ok()?.bytes().await.ok()
    }

    /// Sends one request to node `id`.
    pub(crate) async fn ask(&self, id: u64, ask: &Ask) -> Heard {
        let base = self.url(id);
        let mut request = self.client.request(ask.method.clone(), format!("{base}{}", ask.path));
        if let Some(key) = &ask.key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = &ask.body {
            request = request.json(body);
        }
        if let Some(bytes) = &ask.bytes {
            request = request.body(bytes.clone());
        }
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) if error.is_connect() => return Heard::Refused(error.to_string()),
            Err(error) => return Heard::Silence(error.to_string()),
        };
        let status = answer.status().as_u16();
        let applied = answer.headers().get(APPLIED).and_then(|value| value.to_str().ok()?.parse().ok());
        match answer.bytes().await {
            Ok(bytes) => {
                let body = serde_json::from_slice(&bytes).unwrap_or_default();
                Heard::Answer { status, body, applied }
            }
            Err(error) => Heard::Silence(error.to_string()),
        }
    }
}

/// What a history says of what was heard; `reply` reads the body of a success. The error is an answer that no rule allows.
pub(crate) fn outcome(
    is_read: bool,
    heard: &Heard,
    reply: impl FnOnce(&Value) -> Option<Reply>,
) -> Result<Outcome, (Outcome, String)> {
    // A node may have tried a write once, in vain as far as it knows, before it says that there is no leader.
    let unknown = |why: String| if is_read { Outcome::Fail { why } } else { Outcome::Info { why } };
    let (status, body) = match heard {
        Heard::Answer { status, body, .. } => (*status, body),
        Heard::Refused(why) => return Ok(Outcome::Fail { why: why.clone() }),
        Heard::Silence(why) => return Ok(unknown(why.clone())),
    };
    if (200..300).contains(&status) {
        return reply(body).map(Outcome::Ok).ok_or_else(|| {
            let why = format!("{status} with a body that is not in the contract: {body}");
            (unknown(why.clone()), why)
        });
    }
    let problem: Option<Problem> = serde_json::from_value(body.clone()).ok();
    let Some(problem) = problem else {
        let why = format!("{status} without a problem document: {body}");
        return Err((unknown(why.clone()), why));
    };
    if let Some(code) = refusal(problem.code) {
        return Ok(Outcome::Refused { code, current: None });
    }
    let why = format!("{status}: {problem}");
    if problem.code.is_transient() { Ok(unknown(why)) } else { Err((unknown(why.clone()), why)) }
}

const fn refusal(code: ErrorCode) -> Option<Refusal> {
    match code {
        ErrorCode::UnknownFunction => Some(Refusal::UnknownFunction),
        ErrorCode::UnknownTask => Some(Refusal::UnknownTask),
        ErrorCode::FunctionConflict => Some(Refusal::FunctionConflict),
        ErrorCode::TaskConflict => Some(Refusal::TaskConflict),
        ErrorCode::StaleLease => Some(Refusal::StaleLease),
        ErrorCode::AlreadyFinished => Some(Refusal::AlreadyFinished),
        ErrorCode::TooLarge => Some(Refusal::TooLarge),
        ErrorCode::PayloadIncomplete => Some(Refusal::PayloadIncomplete),
        ErrorCode::BadRequest
        | ErrorCode::BadPayload
        | ErrorCode::NotFound
        | ErrorCode::MethodNotAllowed
        | ErrorCode::UnknownWorker
        | ErrorCode::UnknownNode
        | ErrorCode::UnusableNode
        | ErrorCode::UnsafeChange
        | ErrorCode::UnknownLimit
        | ErrorCode::UnknownSchedule
        | ErrorCode::NotRedrivable
        | ErrorCode::UnknownMap
        | ErrorCode::MapIncomplete
        | ErrorCode::PartConflict
        | ErrorCode::UnknownPart
        | ErrorCode::Busy
        | ErrorCode::NoLeader
        | ErrorCode::NotLeader
        | ErrorCode::Timeout
        | ErrorCode::Internal => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(code: ErrorCode) -> Heard {
        let problem = Problem::new(code, "why");
        let body = serde_json::to_value(&problem).unwrap();
        Heard::Answer { status: problem.status, body, applied: None }
    }

    fn done(body: &Value) -> Option<Reply> {
        (!body.is_null()).then_some(Reply::Done { status: None })
    }

    #[test]
    fn a_write_without_an_answer_is_unknown_and_a_read_did_nothing() {
        let silence = Heard::Silence("reset".to_owned());
        assert!(matches!(outcome(false, &silence, done), Ok(Outcome::Info { .. })));
        assert!(matches!(outcome(true, &silence, done), Ok(Outcome::Fail { .. })));
        assert!(matches!(outcome(false, &problem(ErrorCode::NoLeader), done), Ok(Outcome::Info { .. })));
        assert!(matches!(outcome(false, &Heard::Refused(String::new()), done), Ok(Outcome::Fail { .. })));
    }

    #[test]
    fn a_refusal_says_something_and_a_defect_is_a_surprise() {
        let stale = outcome(false, &problem(ErrorCode::StaleLease), done);
        assert_eq!(stale, Ok(Outcome::Refused { code: Refusal::StaleLease, current: None }));
        assert!(outcome(false, &problem(ErrorCode::Internal), done).is_err());
        let odd = Heard::Answer { status: 200, body: Value::Null, applied: None };
        assert!(outcome(true, &odd, |_| None).is_err());
    }
}
