//! Extractors whose refusals are problem documents: JSON bodies, ids in paths, queries.

use std::str::FromStr;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

use super::error::{ApiError, ApiResult};

/// A JSON body. Unknown fields are ignored.
pub(super) struct Json<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> ApiResult<Self> {
        check_content_type(request.headers())?;
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|error| ApiError::bad_request(error.body_text()))?;
        serde_json::from_slice(&body).map(Self).map_err(|error| malformed(&body, &error))
    }
}

/// Other types are refused although the body could be read: a browser may send `text/plain` or a form to any address
/// without asking, and a web page must not be able to run code on a cluster that its reader can reach.
fn check_content_type(headers: &HeaderMap) -> ApiResult<()> {
    let given = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    let essence = given.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    let detail = given.map_or_else(
        || "the request has no Content-Type, where application/json is needed".to_owned(),
        |given| format!("the Content-Type is '{given}', where application/json is needed"),
    );
    Err(ApiError::bad_request(detail).hint("with curl: -H 'Content-Type: application/json', or --json"))
}

fn malformed(body: &[u8], error: &serde_json::Error) -> ApiError {
    let detail = if body.is_empty() {
        "the body is empty, where a JSON object is needed".to_owned()
    } else {
        format!("the body is not the JSON that this path takes: {error}")
    };
    ApiError::bad_request(detail).hint("/docs shows what it takes")
}

/// A body of any bytes.
pub(super) struct Raw(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> ApiResult<Self> {
        let body = Bytes::from_request(request, state).await;
        body.map(Self).map_err(|error| ApiError::bad_request(error.body_text()))
    }
}

/// The one id in the path.
pub(super) struct Id<T>(pub(super) T);

impl<S: Send + Sync, T: FromStr> FromRequestParts<S> for Id<T>
where
    ApiError: From<T::Err>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let Path(text) = Path::<String>::from_request_parts(parts, state).await?;
        Ok(Self(text.parse()?))
    }
}

/// The query. Unknown keys are ignored.
pub(super) struct Params<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let Query(params) = Query::from_request_parts(parts, state).await?;
        Ok(Self(params))
    }
}

/// A JSON answer.
pub(super) fn json<T: serde::Serialize>(status: StatusCode, value: &T) -> Response {
    (status, axum::Json(value)).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use raftwork_api::kernel::TaskId;
    use raftwork_api::tasks::NewTask;

    use super::*;

    async fn complaint(content_type: Option<&str>, body: &str) -> String {
        let mut request = Request::builder();
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let error = Json::<NewTask>::from_request(request, &()).await.map(|_| ()).unwrap_err();
        error.problem().to_string()
    }

    #[tokio::test]
    async fn a_bad_body_is_refused_with_the_reason() {
        let json = Some("application/json");
        assert!(complaint(json, "").await.contains("the body is empty"));
        assert!(complaint(json, "{").await.contains("line 1"));
        assert!(complaint(json, "{}").await.contains("missing field `function_id`"));
        assert!(complaint(None, "{}").await.contains("no Content-Type"));
        assert!(complaint(Some("text/plain"), "{}").await.contains("'text/plain'"));
    }

    #[tokio::test]
    async fn unknown_fields_and_parameters_are_ignored() {
        let request = Request::builder()
            .header(CONTENT_TYPE, "application/json; charset=utf-8")
            .body(Body::from(r#"{"function_id": "x", "args": [1], "colour": "red"}"#))
            .unwrap();
        let Json(task) = Json::<NewTask>::from_request(request, &()).await.ok().unwrap();
        assert_eq!(task.arguments.args.unwrap().len(), 1);
    }

    #[test]
    fn a_bad_id_is_named() {
        let error = ApiError::from("banana".parse::<TaskId>().unwrap_err());
        assert!(error.problem().detail.contains("'banana' is not a UUID"));
    }
}
