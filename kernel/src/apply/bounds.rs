//! Refuses what is over its bound, before anything is changed.

use crate::limits::ATTEMPTS_MAX;
use crate::reply::Rejection;
use crate::retry::RetryPolicy;

pub(super) fn check_retry(retry: &RetryPolicy) -> Result<(), Rejection> {
    within("the number of attempts", usize::from(retry.max_attempts), usize::from(ATTEMPTS_MAX))
}

pub(super) fn within(what: &str, got: usize, limit: usize) -> Result<(), Rejection> {
    if got <= limit {
        return Ok(());
    }
    Err(Rejection::OverLimit { what: what.to_owned(), got: got as u64, limit: limit as u64 })
}
