//! Waiting for Rust without keeping Python from running.

use std::pin::pin;
use std::time::Duration;

use pyo3::prelude::*;
use tokio::runtime::Runtime;

/// How often Ctrl-C is looked for; people do not notice a tenth of a second.
const SIGNALS_EVERY: Duration = Duration::from_millis(100);

/// Runs `future` to its end with the GIL released.
///
/// # Errors
/// `KeyboardInterrupt`, or whatever else a Python signal handler raises meanwhile.
pub(crate) fn wait<F>(py: Python<'_>, runtime: &Runtime, future: F) -> PyResult<F::Output>
where
    F: Future + Send,
    F::Output: Send,
{
    let mut future = pin!(future);
    loop {
        let step = future.as_mut();
        let done = py.detach(|| runtime.block_on(async { tokio::time::timeout(SIGNALS_EVERY, step).await }));
        match done {
            Ok(output) => return Ok(output),
            Err(_) => py.check_signals()?,
        }
    }
}
