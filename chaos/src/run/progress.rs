//! What a run says while it goes on.

use std::io::Write;

use tokio::time::Instant;

/// Prints lines with the time since the start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    begun: Instant,
}

impl Progress {
    /// The time starts now.
    pub(crate) fn start() -> Self {
        Self { begun: Instant::now() }
    }

    /// Prints a line.
    pub(crate) fn say(&self, text: &str) {
        let seconds = self.begun.elapsed().as_secs_f64();
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{seconds:7.1} s  {text}").and_then(|()| out.flush());
    }
}
