//! Waiting for conditions, with a deadline that says what was waited for.

use std::time::{Duration, Instant};

/// Longest wait for anything: far beyond what anything should take, for the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two looks.
pub const PAUSE: Duration = Duration::from_millis(10);

/// Tries until there is something, or the patience is over.
pub async fn until<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = attempt().await {
            return value;
        }
        assert!(Instant::now() < end, "waited in vain until {what}");
        tokio::time::sleep(PAUSE).await;
    }
}
