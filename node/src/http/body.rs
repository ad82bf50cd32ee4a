//! Reading a request's body whole, up to a limit that the answer names.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT};
use http_body_util::BodyExt;
use raftwork_api::ErrorCode;

use super::error::{ApiError, ApiResult};

/// Largest body of requests that carry payloads: base64 of 24 MiB, and what stands around it.
pub(super) const PAYLOAD_BODY_MAX: usize = 40 << 20;
/// Largest body of every other request.
pub(super) const PLAIN_BODY_MAX: usize = 1 << 20;
/// What is read and dropped of a body that is too large: many clients look for the answer only after they have sent
/// everything, and would see a broken pipe instead of it.
const DRAINED_MAX: usize = 256 << 20;
/// How long that may take.
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);
/// How long the client may be silent inside a body.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Reads the body.
///
/// # Errors
/// `too_large` over `limit`; `bad_request` when the client breaks off or falls silent.
pub(super) async fn read(mut body: Body, headers: &HeaderMap, limit: usize) -> ApiResult<Bytes> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        // A client that waits for "100 Continue" has not sent it, and will read the answer.
        if !headers.contains_key(EXPECT) {
            drain(body).await;
        }
        return Err(too_large(limit));
    }
    let mut read = BytesMut::with_capacity(announced.unwrap_or_default());
    while let Some(data) = next(&mut body).await? {
        if read.len() + data.len() > limit {
            drain(body).await;
            return Err(too_large(limit));
        }
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}

async fn next(body: &mut Body) -> ApiResult<Option<Bytes>> {
    loop {
        let frame = tokio::time::timeout(SILENCE_MAX, body.frame()).await;
        let frame =
            frame.map_err(|_| ApiError::bad_request("the body did not come: 30 s of silence inside it"))?;
        match frame
            .transpose()
            .map_err(|error| ApiError::bad_request(format!("the body broke off: {error}")))?
        {
            None => return Ok(None),
            // Trailers are of no interest.
            Some(frame) => match frame.into_data() {
                Ok(data) => return Ok(Some(data)),
                Err(_trailers) => {}
            },
        }
    }
}

async fn drain(mut body: Body) {
    let dropped = async {
        let mut dropped = 0;
        while let Ok(Some(data)) = next(&mut body).await {
            dropped += data.len();
            if dropped > DRAINED_MAX {
                break;
            }
        }
    };
    // Over the time, the answer is sent all the same, and the connection closed.
    let _ = tokio::time::timeout(DRAIN_PATIENCE, dropped).await;
}

fn too_large(limit: usize) -> ApiError {
    let detail =
        format!("the body is larger than this path takes: the limit is {limit} bytes ({} MiB)", limit >> 20);
    ApiError::new(ErrorCode::TooLarge, detail)
        .hint("keep large data where workers can reach it, and pass its place instead")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_up_to_the_limit_is_read_and_one_more_byte_is_too_many() {
        let fits = read(Body::from(vec![7; 1000]), &HeaderMap::new(), 1000).await.unwrap();
        assert_eq!(fits.len(), 1000);
        let error = read(Body::from(vec![7; 1001]), &HeaderMap::new(), 1000).await.unwrap_err();
        assert_eq!(error.problem().code, ErrorCode::TooLarge);
        assert!(error.problem().detail.contains("1000 bytes"));
    }

    #[tokio::test]
    async fn an_announced_excess_is_refused_before_it_is_sent() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, "1001".parse().unwrap());
        headers.insert(EXPECT, "100-continue".parse().unwrap());
        let never_sent = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        let error = read(never_sent, &headers, 1000).await.unwrap_err();
        assert_eq!(error.problem().code, ErrorCode::TooLarge);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_a_bad_request() {
        let parts = [Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("gone"))];
        let error =
            read(Body::from_stream(futures::stream::iter(parts)), &HeaderMap::new(), 1000).await.unwrap_err();
        assert_eq!(error.problem().code, ErrorCode::BadRequest);
    }
}
