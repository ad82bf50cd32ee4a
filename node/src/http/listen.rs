//! The one port: accepting connections, and letting go of them in the end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::envelope::Crowded;
use super::health;
use super::state::AppState;

/// Time for a client to send the head of a request; also how long an idle connection is kept.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);
/// Time for requests under way to end when the node stops.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// Pause after the system refused a connection (most often: too many open files).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why a port cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process has it.
    #[error(
        "{addr} is in use; is this node, or another program, running already? Stop it, or change addr in cluster.toml"
    )]
    InUse {
        /// The address.
        addr: SocketAddr,
    },
    /// Anything else.
    #[error("cannot listen on {addr}: {source}")]
    Io {
        /// The address.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// Takes the port.
///
/// # Errors
/// [`BindError::InUse`] above all.
pub async fn bind(addr: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(addr).await.map_err(|source| {
        if source.kind() == io::ErrorKind::AddrInUse {
            BindError::InUse { addr }
        } else {
            BindError::Io { addr, source }
        }
    })
}

/// Serves until `stop`, then lets requests under way end, for a bounded time.
pub async fn serve(listener: TcpListener, state: AppState, stop: CancellationToken) {
    let server = Server {
        router: super::router(state.clone()),
        places: Arc::new(Semaphore::new(state.connections_max)),
        connections: TaskTracker::new(),
        stop: stop.clone(),
    };
    let catching_up = tokio::spawn(health::catch_up(state));
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => server.accepted(accepted).await,
        }
    }
    drop(listener);
    catching_up.abort();
    server.connections.close();
    // What has not ended by then is cut off with the process.
    let _ = tokio::time::timeout(STOP_PATIENCE, server.connections.wait()).await;
}

struct Server {
    router: Router,
    places: Arc<Semaphore>,
    connections: TaskTracker,
    stop: CancellationToken,
}

impl Server {
    async fn accepted(&self, accepted: io::Result<(TcpStream, SocketAddr)>) {
        match accepted {
            Ok((socket, _)) => {
                // Frames and answers are written whole; waiting for more to come would only add delay.
                let _ = socket.set_nodelay(true);
                self.connections.spawn(self.connection(socket));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    fn connection(&self, socket: TcpStream) -> impl Future<Output = ()> + use<> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok();
        let (router, stop, is_crowded) = (self.router.clone(), self.stop.clone(), place.is_none());
        let service = service_fn(move |request| answer(router.clone(), request, is_crowded));
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE);
        let connection = builder.serve_connection(TokioIo::new(socket), service).with_upgrades();
        async move {
            let mut connection = pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.as_mut().await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended in an error");
            }
            drop(place);
        }
    }
}

async fn answer(
    router: Router,
    mut request: hyper::Request<Incoming>,
    is_crowded: bool,
) -> Result<Response, Infallible> {
    if is_crowded {
        request.extensions_mut().insert(Crowded);
    }
    let request: Request = request.map(axum::body::Body::new);
    router.oneshot(request).await
}
