//! The HTTP side of a node: one router, one file for each resource, every error a problem document.
//!
//! Reading order: `listen` accepts connections, `envelope` wraps every request, `forward` sends to the leader what only that
//! can serve, and the resources' handlers talk to the [`Group`](crate::group::Group).

mod body;
mod client_stream;
mod cluster;
mod course;
mod envelope;
mod error;
mod etag;
mod explain;
mod extract;
mod forward;
mod functions;
mod health;
mod ids;
mod leases;
mod limits;
mod list;
mod listen;
mod maps;
mod members;
mod metrics;
mod openapi;
mod parts;
mod pickle;
mod read;
mod schedules;
mod state;
mod stream;
mod submit;
mod tasks;
mod view;
mod workers;
mod write;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{Method, Uri};
use raftwork_api::{ErrorCode, paths};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use self::error::ApiError;
use self::forward::Lane;
pub use self::listen::{BindError, bind, serve};
pub use self::state::{AppState, PeerServer, Stream};
pub use self::stream::adopt;

/// Everything that a node answers.
pub fn router(state: AppState) -> Router {
    let lane =
        |body_max| from_fn_with_state(Lane { state: state.clone(), body_max }, forward::through_leader);
    let (described, description) = OpenApiRouter::with_openapi(openapi::Description::openapi())
        .merge(payload_routes().layer(lane(body::PAYLOAD_BODY_MAX)))
        .merge(plain_routes().layer(lane(body::PLAIN_BODY_MAX)))
        .merge(local_routes())
        .split_for_parts();
    described
        .route(paths::STREAM, get(stream::stream))
        .route(health::BARRIER, get(health::barrier))
        .route(openapi::ERRORS_PATH, get(openapi::errors_page))
        .merge(SwaggerUi::new("/docs").url(paths::OPENAPI, description))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        // Bodies are read, and bounded, by `forward`; the rest have none.
        .layer(DefaultBodyLimit::disable())
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(from_fn_with_state(state.clone(), envelope::envelope))
        .with_state(state)
}

/// Routes with payloads in their bodies.
fn payload_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(course::register_function))
        .routes(routes!(course::execute_function))
        .routes(routes!(functions::create, functions::list))
        .routes(routes!(submit::one, tasks::list))
        .routes(routes!(submit::batch))
        .routes(routes!(schedules::get, schedules::put, schedules::delete))
        .routes(routes!(maps::create, maps::list))
        .routes(routes!(leases::complete))
        .routes(routes!(leases::fail))
}

/// All other routes that the leader may have to serve.
fn plain_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(course::status))
        .routes(routes!(course::result))
        .routes(routes!(functions::get))
        .routes(routes!(functions::code))
        .routes(routes!(tasks::get))
        .routes(routes!(tasks::result))
        .routes(routes!(parts::arguments, parts::put_arguments))
        .routes(routes!(parts::result))
        .routes(routes!(parts::put_result))
        .routes(routes!(tasks::logs))
        .routes(routes!(explain::get))
        .routes(routes!(tasks::cancel))
        .routes(routes!(tasks::redrive))
        .routes(routes!(maps::get))
        .routes(routes!(maps::results))
        .routes(routes!(maps::cancel))
        .routes(routes!(leases::acquire))
        .routes(routes!(leases::start))
        .routes(routes!(leases::heartbeat))
        .routes(routes!(leases::extend))
        .routes(routes!(leases::release))
        .routes(routes!(limits::list))
        .routes(routes!(limits::get_concurrency, limits::put_concurrency, limits::delete_concurrency))
        .routes(routes!(limits::get_rate, limits::put_rate, limits::delete_rate))
        .routes(routes!(schedules::list))
        .routes(routes!(schedules::pause))
        .routes(routes!(schedules::resume))
        .routes(routes!(schedules::trigger))
        .routes(routes!(workers::list))
        .routes(routes!(workers::drain))
        .routes(routes!(cluster::transfer))
        .routes(routes!(members::add))
        .routes(routes!(members::remove))
}

/// Routes about the asked node itself.
fn local_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(cluster::get))
        .routes(routes!(cluster::digest))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(metrics::metrics))
}

async fn not_found(uri: Uri) -> Response {
    ApiError::new(ErrorCode::NotFound, format!("there is nothing at {}", uri.path()))
        .hint("/docs shows every path")
        .into_response()
}

async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    ApiError::new(ErrorCode::MethodNotAllowed, format!("{} does not take {method}", uri.path()))
        .hint("the header Allow says what it takes; /docs shows how")
        .into_response()
}
