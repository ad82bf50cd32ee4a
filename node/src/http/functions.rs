//! `/v1/functions`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use raftwork_api::functions::{FunctionInfo, FunctionPage, NewFunction, NewPickle, NewSource};
use raftwork_api::kernel::{
    Accepted, CodeHash, FunctionId, FunctionSpec, Language, Millis, PythonVersion, Register, RetryPolicy,
    limits,
};
use raftwork_api::payload::{check_pickle, from_base64};
use raftwork_api::{ErrorCode, paths};
use raftwork_kernel::Command;

use super::error::{ApiError, ApiResult};
use super::etag::tagged;
use super::extract::{Id, Json, Params, json};
use super::ids::Ids;
use super::list::{self, Page, PageQuery};
use super::openapi::Problems;
use super::read::{self, FreshQuery, Read};
use super::state::AppState;
use super::{view, write};

/// A function that is to be registered, whichever contract it came by.
pub(super) struct NewCode {
    pub(super) spec: FunctionSpec,
    pub(super) code: Bytes,
}

impl NewCode {
    /// Any worker may run it, it is not retried, and its tasks are kept for the default time.
    pub(super) fn plain(name: String, language: Language, code: Bytes) -> Self {
        let spec = FunctionSpec {
            name,
            language,
            code_hash: CodeHash(*blake3::hash(&code).as_bytes()),
            python: None,
            retry: RetryPolicy::default(),
            run_max: None,
            retention: limits::RETENTION_DEFAULT,
        };
        Self { spec, code }
    }

    fn parse(new: NewFunction) -> ApiResult<Self> {
        let (mut parsed, terms) = match new {
            NewFunction::Pickle(NewPickle { name, code, terms }) => {
                let code = from_base64(&code)?;
                check_pickle(&code)?;
                (Self::plain(name, Language::Pickle, code), terms)
            }
            NewFunction::Source(NewSource { name, code, terms }) => {
                check_source(&name, code.as_bytes())?;
                (Self::plain(name, Language::Source, Bytes::from(code)), terms)
            }
        };
        parsed.spec.python = terms.python.map(|text| parse_python(&text)).transpose()?;
        parsed.spec.retry = terms.retry.unwrap_or_default();
        parsed.spec.run_max = run_max(terms.timeout)?;
        parsed.spec.retention = terms.retention.map_or(limits::RETENTION_DEFAULT, |retention| retention.0);
        Ok(parsed)
    }
}

/// The name is what is called, so it must be one that Python can define.
fn check_source(name: &str, code: &[u8]) -> ApiResult<()> {
    let mut chars = name.chars();
    let is_name = chars.next().is_some_and(|c| c == '_' || c.is_alphabetic())
        && chars.all(|c| c == '_' || c.is_alphanumeric());
    if !is_name {
        return Err(ApiError::bad_request(format!("'{name}' is not the name of a Python function"))
            .hint("for format \"source\", name is the function in the code that is called"));
    }
    if code.iter().all(u8::is_ascii_whitespace) {
        return Err(ApiError::new(ErrorCode::BadPayload, "the code is empty"));
    }
    Ok(())
}

pub(super) fn parse_python(text: &str) -> ApiResult<PythonVersion> {
    text.parse().map_err(|error| ApiError::bad_request(format!("{error}")))
}

/// A bound on an attempt's run; none at all is left out, so zero is a mistake.
pub(super) fn run_max(timeout: Option<raftwork_api::Span>) -> ApiResult<Option<Millis>> {
    match timeout {
        Some(raftwork_api::Span(Millis(0))) => Err(ApiError::bad_request(
            "a timeout of nothing would fail every attempt; leave it out for no bound",
        )),
        timeout => Ok(timeout.map(|timeout| timeout.0)),
    }
}

/// Registers it under the request's id.
pub(super) async fn register(state: &AppState, ids: &Ids, new: NewCode) -> ApiResult<FunctionId> {
    let function = ids.function()?;
    let command = Command::Register(Register { function, spec: new.spec, code: new.code });
    let accepted = write::propose(state, command).await?;
    if accepted == Accepted::Registered { Ok(function) } else { Err(write::unexpected(&accepted)) }
}

/// Register a function: source text with JSON arguments, or a pickle by dill.
#[utoipa::path(
    post, path = paths::FUNCTIONS, tag = "functions", request_body = NewFunction,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, description = "Repeat the request under the same key, and get the same function")),
    responses((status = 201, description = "Registered, durably", body = FunctionInfo), Problems)
)]
pub(super) async fn create(
    State(state): State<AppState>,
    ids: Ids,
    Json(new): Json<NewFunction>,
) -> ApiResult<Response> {
    let id = register(&state, &ids, NewCode::parse(new)?).await?;
    let function = read::function(&state, id, Read::Linearizable).await?;
    Ok(json(StatusCode::CREATED, &view::function(id, &function)))
}

/// A function.
#[utoipa::path(
    get, path = paths::FUNCTION, tag = "functions",
    params(("function_id" = uuid::Uuid, Path, description = "The function"), FreshQuery),
    responses((status = 200, description = "The function", body = FunctionInfo), Problems)
)]
pub(super) async fn get(
    State(state): State<AppState>,
    Id(id): Id<FunctionId>,
    Params(query): Params<FreshQuery>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let function = read::function(&state, id, query.read).await?;
    let tag = format!("\"{id}\"");
    let response = tagged(&tag, &headers, || json(StatusCode::OK, &view::function(id, &function)));
    Ok(read::mark(&state, query.read, response))
}

/// The code of a function: source text, or the pickle itself.
#[utoipa::path(
    get, path = paths::FUNCTION_CODE, tag = "functions",
    params(("function_id" = uuid::Uuid, Path, description = "The function"), FreshQuery),
    responses((status = 200, description = "The code", content(
        (Vec<u8> = "application/octet-stream"), (String = "text/x-python")
    )), Problems)
)]
pub(super) async fn code(
    State(state): State<AppState>,
    Id(id): Id<FunctionId>,
    Params(query): Params<FreshQuery>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let function = read::function(&state, id, query.read).await?;
    let code = state.group.replica().rows().code(&id).unwrap_or_default();
    let media_type = match function.spec.language {
        Language::Pickle => "application/octet-stream",
        Language::Source => "text/x-python; charset=utf-8",
    };
    let tag = format!("\"{}\"", function.spec.code_hash);
    let response = tagged(&tag, &headers, || ([(CONTENT_TYPE, media_type)], code).into_response());
    Ok(read::mark(&state, query.read, response))
}

/// Functions, newest first.
#[utoipa::path(
    get, path = paths::FUNCTIONS, tag = "functions", params(PageQuery, ("after" = Option<String>, Query, pattern = "^f[0-9a-f]{32}$", description = "`next` of the page before")),
    responses((status = 200, description = "One page", body = FunctionPage), Problems)
)]
pub(super) async fn list(
    State(state): State<AppState>,
    Params(query): Params<PageQuery>,
) -> ApiResult<Response> {
    let limit = query.limit()?;
    let after = query.after(list::parse_function_cursor)?;
    read::barrier(&state, query.read).await?;
    let rows = state.group.replica().rows();
    let page = list::blocking(move || Page::fill(limit, rows.functions_before(after).map(Some))).await;
    let next = page.next.map(|(id, _)| list::function_cursor(id));
    let functions = page.items.iter().map(|(id, function)| view::function(*id, function)).collect();
    let response = json(StatusCode::OK, &FunctionPage { functions, next });
    Ok(read::mark(&state, query.read, response))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> ApiResult<NewCode> {
        NewCode::parse(serde_json::from_str(body).unwrap())
    }

    #[test]
    fn a_source_function_gets_what_was_asked_for() {
        let new = parse(
            r#"{"name": "add", "format": "source", "code": "def add(a, b): return a + b", "python": "3.11",
                "retry": {"max_attempts": 3, "initial_ms": 10, "max_ms": 20}, "timeout": "30s", "retention": "1h"}"#,
        )
        .ok()
        .unwrap();
        assert_eq!(new.spec.python, "3.11".parse().ok());
        assert_eq!(new.spec.retry.max_attempts, 3);
        assert_eq!(new.spec.run_max, Some(Millis(30_000)));
        assert_eq!(new.spec.retention, Millis(3_600_000));
        assert_eq!(new.spec.language, Language::Source);
    }

    #[test]
    fn what_could_never_run_is_refused() {
        for (body, part) in [
            (r#"{"name": "add", "format": "pickle", "code": "aGVsbG8="}"#, "not of a pickle"),
            (r#"{"name": "add", "format": "pickle", "code": "%"}"#, "not base64"),
            (r#"{"name": "a-b", "format": "source", "code": "x = 1"}"#, "'a-b' is not the name"),
            (r#"{"name": "add", "format": "source", "code": " \n"}"#, "the code is empty"),
            (r#"{"name": "add", "format": "source", "code": "x", "python": "three"}"#, "such as 3.11"),
            (r#"{"name": "add", "format": "source", "code": "x", "timeout": 0}"#, "would fail every attempt"),
        ] {
            let error = parse(body).map(|_| ()).unwrap_err();
            assert!(error.problem().detail.contains(part), "{body}: {}", error.problem());
        }
    }
}
