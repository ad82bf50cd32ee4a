//! Entity tags: what a client has seen, so that nothing is sent twice.

use axum::response::{IntoResponse, Response};
use http::header::{ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};

/// Answers with `response` under `tag`, or with 304 if the client has that already.
///
/// `tag` is `"..."` for what never changes, and `W/"..."` where the body may differ in what does not matter.
pub(super) fn tagged(tag: &str, request: &HeaderMap, response: impl FnOnce() -> Response) -> Response {
    let mut response =
        if matches(tag, request) { StatusCode::NOT_MODIFIED.into_response() } else { response() };
    let value = HeaderValue::try_from(tag).expect("tags are made of ASCII words and numbers");
    response.headers_mut().insert(ETAG, value);
    response
}

/// Weak comparison (RFC 9110, 13.1.2): `W/` does not count.
fn matches(tag: &str, request: &HeaderMap) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    request
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|seen| seen.trim() == "*" || opaque(seen) == opaque(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_has_is_not_sent_again() {
        for (seen, status) in [("\"a1\"", 304), ("\"zz\", W/\"a1\"", 304), ("*", 304), ("\"a2\"", 200)] {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, seen.parse().unwrap());
            let response = tagged("W/\"a1\"", &headers, || StatusCode::OK.into_response());
            assert_eq!(response.status(), status, "{seen}");
            assert_eq!(response.headers()[ETAG], "W/\"a1\"");
        }
    }
}
