//! Errors of the HTTP side: every one leaves as a problem document (RFC 9457) with a stable code.

use std::time::Duration;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use raftwork_api::kernel::{ParseIdError, Rejection};
use raftwork_api::payload::PayloadError;
use raftwork_api::{ErrorCode, KeyLengthError, PROBLEM_JSON, Problem};

use crate::group::{LeaderAt, Unavailable};

/// Response header, between nodes only, that says why a request was not served; see [`NotServed`].
pub(super) const NOT_SERVED: &str = "x-raftwork-not-served";

/// Why a request that is fine in itself was not served, where asking again (elsewhere) can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotServed {
    /// This node does not lead; nothing was done.
    NotLeader,
    /// It may or may not have been carried out.
    Unknown,
}

impl NotServed {
    const fn as_header(self) -> HeaderValue {
        match self {
            Self::NotLeader => HeaderValue::from_static("not_leader"),
            Self::Unknown => HeaderValue::from_static("unknown"),
        }
    }

    /// What a response says of itself.
    pub(super) fn of(response: &Response) -> Option<Self> {
        let header = response.headers().get(NOT_SERVED)?;
        [Self::NotLeader, Self::Unknown].into_iter().find(|reason| reason.as_header() == header)
    }
}

/// A problem on its way out.
#[derive(Debug, Clone)]
pub(super) struct ApiError {
    problem: Box<Problem>,
    retry_after: Option<Duration>,
    not_served: Option<NotServed>,
}

/// What a handler gives back.
pub(super) type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    /// A problem with this code; `detail` says what is wrong with this very request.
    pub(super) fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Problem::new(code, detail).into()
    }

    /// A malformed request.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(ErrorCode::BadRequest, detail)
    }

    /// Adds what to do about it.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.problem.hint = Some(hint.into());
        self
    }

    /// Answers with another status than the code's own.
    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.problem.status = status.as_u16();
        self
    }

    /// Adds when to try again.
    pub(super) fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// No leader, after waiting for one.
    pub(super) fn no_leader(detail: impl Into<String>) -> Self {
        Self {
            problem: Box::new(
                Problem::new(ErrorCode::NoLeader, detail).with_hint("nothing was done; send it again"),
            ),
            retry_after: Some(Duration::from_secs(1)),
            not_served: Some(NotServed::NotLeader),
        }
    }

    /// The request was sent on, and what became of it is not known.
    pub(super) fn unknown(detail: impl Into<String>) -> Self {
        let hint = "it may or may not have been carried out; with the same Idempotency-Key it can be sent again safely";
        Self {
            problem: Box::new(Problem::new(ErrorCode::Timeout, detail).with_hint(hint)),
            retry_after: None,
            not_served: Some(NotServed::Unknown),
        }
    }

    fn not_leader(leader: LeaderAt) -> Self {
        let detail = format!("this node does not lead; node {} does", leader.id);
        Self {
            problem: Box::new(Problem::new(ErrorCode::NotLeader, detail).with_leader(Some(leader.url))),
            retry_after: None,
            not_served: Some(NotServed::NotLeader),
        }
    }

    fn busy(retry_after: Duration) -> Self {
        Self::new(ErrorCode::Busy, "a queue of the leader is full")
            .retry_after(retry_after)
            .hint("nothing was done; send it again after the time in Retry-After")
    }

    #[cfg(test)]
    pub(super) fn problem(&self) -> &Problem {
        &self.problem
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.problem.status).expect("every code has a valid status");
        let body = serde_json::to_vec(&self.problem).expect("a problem is plain data");
        let mut response = (status, [(CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        if let Some(wait) = self.retry_after {
            // Whole seconds, never zero: a client that obeys "0" would spin.
            let seconds = wait.as_millis().div_ceil(1000).max(1).to_string();
            let value = HeaderValue::try_from(seconds).expect("digits are a header value");
            response.headers_mut().insert(RETRY_AFTER, value);
        }
        if let Some(reason) = self.not_served {
            response.headers_mut().insert(NOT_SERVED, reason.as_header());
        }
        response
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self { problem: Box::new(problem), retry_after: None, not_served: None }
    }
}

impl From<Rejection> for ApiError {
    fn from(rejection: Rejection) -> Self {
        Problem::from(rejection).into()
    }
}

impl From<Unavailable> for ApiError {
    fn from(unavailable: Unavailable) -> Self {
        match unavailable {
            Unavailable::NotLeader { leader } => Self::not_leader(leader),
            Unavailable::NoLeader => Self::no_leader("there is no leader at the moment"),
            Unavailable::Busy { retry_after } => Self::busy(retry_after),
            Unavailable::Unknown { reason } => Self::unknown(reason),
            Unavailable::Stopping => Self::no_leader("this node is stopping"),
        }
    }
}

impl From<PayloadError> for ApiError {
    fn from(error: PayloadError) -> Self {
        let hint = "send codecs.encode(dill.dumps(value), \"base64\").decode()";
        Self::new(ErrorCode::BadPayload, error.to_string()).hint(hint)
    }
}

impl From<ParseIdError> for ApiError {
    fn from(error: ParseIdError) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<KeyLengthError> for ApiError {
    fn from(error: KeyLengthError) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::bad_request(rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request(rejection.body_text())
    }
}

/// What becomes of a panic in a handler: the connection and the node live on.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands it over")]
pub(super) fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    tracing::error!(panic = text, "a request handler panicked");
    ApiError::new(ErrorCode::Internal, "the server met a defect of its own while it served this request")
        .hint("the log of the node that answered has the details, under this x-request-id")
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(error: impl Into<ApiError>) -> Response {
        error.into().into_response()
    }

    #[test]
    fn unavailable_becomes_what_a_client_can_act_on() {
        let at = LeaderAt { id: 2, url: "http://127.0.0.1:7002".to_owned() };
        for (unavailable, status, retry_after, not_served) in [
            (Unavailable::NotLeader { leader: at }, 421, None, Some(NotServed::NotLeader)),
            (Unavailable::NoLeader, 503, Some("1"), Some(NotServed::NotLeader)),
            (Unavailable::Busy { retry_after: Duration::from_millis(1200) }, 429, Some("2"), None),
            (Unavailable::Unknown { reason: "lost".to_owned() }, 504, None, Some(NotServed::Unknown)),
            (Unavailable::Stopping, 503, Some("1"), Some(NotServed::NotLeader)),
        ] {
            let response = response(unavailable.clone());
            assert_eq!(response.status(), status, "{unavailable:?}");
            assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
            let header = response.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap());
            assert_eq!(header, retry_after, "{unavailable:?}");
            assert_eq!(NotServed::of(&response), not_served, "{unavailable:?}");
        }
    }

    #[test]
    fn the_leader_is_named_where_it_is_known() {
        let at = LeaderAt { id: 2, url: "http://127.0.0.1:7002".to_owned() };
        let error = ApiError::from(Unavailable::NotLeader { leader: at });
        assert_eq!(error.problem().leader.as_deref(), Some("http://127.0.0.1:7002"));
    }

    #[test]
    fn a_busy_answer_never_says_zero() {
        let response = response(Unavailable::Busy { retry_after: Duration::ZERO });
        assert_eq!(response.headers()[RETRY_AFTER], "1");
    }
}
