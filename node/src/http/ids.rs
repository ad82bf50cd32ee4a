//! The ids that a request gives to what it makes, fixed before the request is first tried.
//!
//! They come from the client's `Idempotency-Key`, or are drawn by the node that was asked first. Either way, sending the
//! request on a second time (to another leader, after a lost answer) names the same task again and makes no other.

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use raftwork_api::kernel::{FunctionId, MapId, RequestId, TaskId};
use raftwork_api::task_of_key;
use uuid::Uuid;

use super::error::{ApiError, ApiResult};

/// Request header of clients.
pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Request header between nodes: what the node that was asked first has drawn.
const DRAWN: &str = "x-raftwork-drawn";

/// Draws for a request that comes from outside, whatever it brings along.
pub(super) fn draw(headers: &mut HeaderMap) {
    let drawn = HeaderValue::try_from(Uuid::now_v7().to_string()).expect("a UUID is a header value");
    headers.insert(DRAWN, drawn);
}

/// The ids of one request.
pub(super) enum Ids {
    /// By hash of the client's key.
    Key(String),
    /// As drawn.
    Drawn(Uuid),
}

impl Ids {
    /// The id of the one task that a request submits.
    pub(super) fn task(&self) -> ApiResult<TaskId> {
        match self {
            Self::Key(key) => Ok(task_of_key(key, 0)?),
            Self::Drawn(uuid) => Ok(TaskId::from(*uuid)),
        }
    }

    /// The ids of `count` tasks that a request submits.
    pub(super) fn tasks(&self, count: usize) -> ApiResult<Vec<TaskId>> {
        let drawn;
        let key = match self {
            Self::Key(key) => key,
            Self::Drawn(uuid) => {
                drawn = uuid.to_string();
                &drawn
            }
        };
        (0..).take(count).map(|index| Ok(task_of_key(key, index)?)).collect()
    }

    /// The id of the function that a request registers.
    pub(super) fn function(&self) -> ApiResult<FunctionId> {
        Ok(FunctionId::from(self.task()?.as_uuid()))
    }

    /// The id of the map that a request submits.
    pub(super) fn map(&self) -> ApiResult<MapId> {
        Ok(MapId::of(self.task()?.as_uuid()))
    }

    /// The id of an acquire that names none.
    pub(super) fn request(&self) -> ApiResult<RequestId> {
        Ok(RequestId::from(self.task()?.as_uuid()))
    }

    /// Whether the client can repeat the request under the same ids.
    pub(super) const fn are_keyed(&self) -> bool {
        matches!(self, Self::Key(_))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Ids {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> ApiResult<Self> {
        if let Some(key) = parts.headers.get(IDEMPOTENCY_KEY) {
            let key = key
                .to_str()
                .map_err(|_| ApiError::bad_request("the Idempotency-Key is not plain ASCII text"))?;
            task_of_key(key, 0)?;
            return Ok(Self::Key(key.to_owned()));
        }
        let drawn = parts.headers.get(DRAWN).and_then(|drawn| Uuid::try_parse(drawn.to_str().ok()?).ok());
        Ok(Self::Drawn(drawn.unwrap_or_else(Uuid::now_v7)))
    }
}

#[cfg(test)]
mod tests {
    use axum::extract::Request;

    use super::*;

    async fn ids(headers: &[(&str, &str)]) -> ApiResult<Ids> {
        let request =
            headers.iter().fold(Request::builder(), |request, (name, value)| request.header(*name, *value));
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        Ids::from_request_parts(&mut parts, &()).await
    }

    #[tokio::test]
    async fn a_key_names_the_same_tasks_every_time() {
        let (first, again) =
            (ids(&[(IDEMPOTENCY_KEY, "k")]).await.unwrap(), ids(&[(IDEMPOTENCY_KEY, "k")]).await.unwrap());
        assert_eq!(first.tasks(3).unwrap(), again.tasks(3).unwrap());
        assert_eq!(first.task().unwrap(), first.tasks(1).unwrap()[0]);
        assert!(first.are_keyed());
    }

    #[tokio::test]
    async fn what_one_node_drew_holds_at_the_next() {
        let mut headers = HeaderMap::new();
        draw(&mut headers);
        let drawn = headers[DRAWN].to_str().unwrap().to_owned();
        let (first, again) = (ids(&[(DRAWN, &drawn)]).await.unwrap(), ids(&[(DRAWN, &drawn)]).await.unwrap());
        assert_eq!(first.task().unwrap().to_string(), drawn);
        assert_eq!(first.tasks(2).unwrap(), again.tasks(2).unwrap());
        assert!(!first.are_keyed());
    }

    #[tokio::test]
    async fn a_key_that_cannot_be_one_is_refused() {
        let long = "k".repeat(256);
        for key in ["", long.as_str()] {
            assert!(ids(&[(IDEMPOTENCY_KEY, key)]).await.is_err(), "{key}");
        }
    }
}
