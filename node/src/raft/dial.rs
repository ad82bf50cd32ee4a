//! How connections to peers are made: over HTTP, by an upgrade; the simulator makes its own.

use std::fmt::Debug;
use std::io::ErrorKind;
use std::time::Duration;

use futures::future::BoxFuture;
use http::StatusCode;
use raftwork_api::frame::{PROTOCOL, STREAM_PATH};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::hello::Hello;
use super::link::DIAL_MAX;
use super::types::NodeId;

/// Time after which the kernel gives up on unacknowledged bytes.
const UNHEARD_MAX: Duration = Duration::from_secs(5);

/// Bytes to and from a peer.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A stream of any kind.
pub type PeerStream = Box<dyn Stream>;

/// Makes connections to peers.
pub trait Dial: Debug + Send + Sync {
    /// A stream to node `target`, which is reached at `addr`.
    fn dial<'a>(&'a self, target: NodeId, addr: &'a str) -> BoxFuture<'a, Result<PeerStream, DialError>>;

    /// Whether nobody listens there although the machine answers: the sign of a process that is gone.
    fn refuses<'a>(&'a self, target: NodeId, addr: &'a str) -> BoxFuture<'a, bool>;
}

/// Why there is no connection to a peer.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nobody is there, or nobody that speaks HTTP.
    #[error("cannot reach {addr}: {error}")]
    Unreachable {
        /// Where.
        addr: String,
        /// What stood in the way.
        error: String,
    },
    /// Whoever is there lets nobody in that means this node.
    #[error("{addr} refused the stream with {status}: {text}")]
    Refused {
        /// Where.
        addr: String,
        /// HTTP's word for it.
        status: StatusCode,
        /// The peer's words for it.
        text: String,
    },
}

/// Dials over HTTP: the client and who we say we are.
#[derive(Debug)]
pub struct HttpDialer {
    http: reqwest::Client,
    cluster: String,
    token: Option<String>,
}

impl HttpDialer {
    /// A dialer for peers of `cluster`, which shows `token` if there is one.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn new(cluster: String, token: Option<String>) -> Result<Self, reqwest::Error> {
        // A proxy from the environment is for the internet, not for peers. Every connection becomes a stream, so there is
        // nothing to pool.
        let http = reqwest::Client::builder()
            .no_proxy()
            .http1_only()
            .tcp_nodelay(true)
            .tcp_user_timeout(UNHEARD_MAX)
            .connect_timeout(DIAL_MAX)
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { http, cluster, token })
    }

    async fn upgrade(&self, target: NodeId, addr: &str) -> Result<PeerStream, DialError> {
        let unreachable =
            |error: reqwest::Error| DialError::Unreachable { addr: addr.to_owned(), error: causes(&error) };
        let hello = Hello { cluster: self.cluster.clone(), target };
        let mut request = self.http.get(format!("http://{addr}{STREAM_PATH}")).headers(hello.headers());
        request = request.header(http::header::CONNECTION, "upgrade").header(http::header::UPGRADE, PROTOCOL);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.map_err(unreachable)?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let status = response.status();
            let text = response.text().await.unwrap_or_default();
            return Err(DialError::Refused { addr: addr.to_owned(), status, text });
        }
        Ok(Box::new(response.upgrade().await.map_err(unreachable)?))
    }
}

impl Dial for HttpDialer {
    fn dial<'a>(&'a self, target: NodeId, addr: &'a str) -> BoxFuture<'a, Result<PeerStream, DialError>> {
        Box::pin(self.upgrade(target, addr))
    }

    fn refuses<'a>(&'a self, _target: NodeId, addr: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let tried = TcpStream::connect(addr).await;
            tried.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
        })
    }
}

/// An error with its causes, for reqwest's own text leaves out the one that helps.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_without_a_listener_refuses_and_one_with_a_listener_does_not() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let dialer = HttpDialer::new("test".to_owned(), None).unwrap();
        assert!(!dialer.refuses(1, &addr).await);
        drop(listener);
        assert!(dialer.refuses(1, &addr).await);
    }
}
