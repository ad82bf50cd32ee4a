//! Logs: `tracing` to standard error, for people or for machines.

use tracing_subscriber::EnvFilter;

/// What is logged when `RUST_LOG` says nothing: the node's own news, and of Raft only what is wrong.
const DEFAULT_FILTER: &str = "info,openraft=warn";

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Starts logging, as `RUST_LOG` asks for.
///
/// # Errors
/// When `RUST_LOG` is not a filter, or logging was started before.
pub fn start(format: LogFormat) -> anyhow::Result<()> {
    let asked = std::env::var("RUST_LOG").ok().filter(|text| !text.trim().is_empty());
    let filter = EnvFilter::try_new(asked.as_deref().unwrap_or(DEFAULT_FILTER)).map_err(|error| {
        anyhow::anyhow!("RUST_LOG is not a filter such as 'info,raftwork_node=debug': {error}")
    })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Pretty => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging was started before: {error}"))
}
