//! One attempt to turn an HTTP connection to one node into a framed stream.

use std::time::Duration;

use raftwork_api::Problem;
use raftwork_api::frame::{self, FrameReader, FrameWriter};
use raftwork_api::paths;
use raftwork_api::stream::{PROTOCOL, ROLE_CLIENT, ROLE_HEADER};
use reqwest::header::{CONNECTION, UPGRADE};
use tokio::io::ReadHalf;

use crate::error::ConnectError;

/// A framed stream to a node that may lead.
pub(crate) struct Link {
    /// What the node says.
    pub(crate) reader: FrameReader<ReadHalf<reqwest::Upgraded>>,
    /// What is said to it.
    pub(crate) writer: FrameWriter,
}

/// Why an attempt ended without a stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// The node knows that it does not lead.
    #[error("{url} does not lead")]
    NotLeader { url: String, leader: Option<String> },
    /// Anything else.
    #[error("{url}: {reason}")]
    Failed { url: String, reason: String },
}

/// The HTTP client that all attempts and plain requests share.
pub(crate) fn http_client() -> Result<reqwest::Client, ConnectError> {
    // A proxy from the environment must not stand between a client and nodes that are often on loopback.
    let builder = reqwest::Client::builder().no_proxy().tcp_nodelay(true);
    builder.build().map_err(|error| ConnectError::Setup(error.to_string()))
}

/// Asks `url` for a stream.
pub(crate) async fn dial(http: reqwest::Client, url: String, limit: Duration) -> Result<Link, DialError> {
    match tokio::time::timeout(limit, upgrade(&http, &url)).await {
        Ok(answer) => answer,
        Err(_) => Err(DialError::Failed { url, reason: format!("no answer within {limit:?}") }),
    }
}

async fn upgrade(http: &reqwest::Client, url: &str) -> Result<Link, DialError> {
    let failed = |reason: String| DialError::Failed { url: url.to_owned(), reason };
    let request = http
        .get(format!("{url}{}", paths::STREAM))
        .header(UPGRADE, PROTOCOL)
        .header(CONNECTION, "upgrade")
        .header(ROLE_HEADER, ROLE_CLIENT);
    let response = request.send().await.map_err(|error| failed(cause(&error)))?;
    if response.status() != reqwest::StatusCode::SWITCHING_PROTOCOLS {
        return Err(refusal(url, response).await);
    }
    let stream = response.upgrade().await.map_err(|error| failed(cause(&error)))?;
    let (reader, writer) = frame::split(stream);
    Ok(Link { reader, writer })
}

async fn refusal(url: &str, response: reqwest::Response) -> DialError {
    let url = url.to_owned();
    let status = response.status();
    match response.json::<Problem>().await {
        Ok(problem) if problem.code == raftwork_api::ErrorCode::NotLeader => {
            DialError::NotLeader { url, leader: problem.leader }
        }
        Ok(problem) => DialError::Failed { url, reason: problem.to_string() },
        Err(_) => DialError::Failed { url, reason: format!("it answered {status} instead of a stream") },
    }
}

/// The innermost reason, which says what happened ("connection refused") instead of to whom.
pub(crate) fn cause(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
