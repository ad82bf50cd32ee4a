//! Work that blocks on the disk, away from the threads that Raft runs on.

use std::io;

use tokio::runtime::{Handle, RuntimeFlavor};

/// Does the work on a thread where blocking is allowed, and waits for it.
///
/// A runtime of a single thread, as tests and the simulator use, does it in place: nothing else could run meanwhile
/// anyway without making the order of events a matter of luck.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}
