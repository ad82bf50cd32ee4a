//! The end of a process whose disk failed.

/// Logs the failure and aborts the process.
///
/// After a failed write or fsync, memory and disk disagree and nothing can tell by how much; what was not made durable is
/// still readable in memory and would be served. A restart reads what the disk really holds, and the other nodes go on.
pub fn fatal_io(doing: &str, error: &(dyn std::error::Error + 'static)) -> ! {
    tracing::error!(error, "{doing} failed; the node stops, for it can no longer keep what it promises");
    std::process::abort()
}
