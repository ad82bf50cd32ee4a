//! `raftworkd`, the node daemon: arguments, signals, exit codes.

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use raftwork_node::config::{Config, ConfigError, NodeConfig};
use raftwork_node::http::BindError;
use raftwork_node::raft::own::Barred;
use raftwork_node::telemetry::{self, LogFormat};
use raftwork_node::{Node, StartError, failpoint};
use tokio::signal::unix::{SignalKind, signal};

/// Returns memory to the system where glibc keeps it: millions of queued tasks come and go.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const EXAMPLE: &str = "\
Every node of a cluster is started the same way, in any order, with the same file:

    # cluster.toml
    [cluster]
    name = \"dev\"

    [[node]]
    id = 1
    addr = \"127.0.0.1:7001\"    # where it listens; advertise = \"host:port\" if others reach it elsewhere
    data = \"data/n1\"           # relative to this file

    [[node]]
    id = 2
    addr = \"127.0.0.1:7002\"
    data = \"data/n2\"

    [[node]]
    id = 3
    addr = \"127.0.0.1:7003\"
    data = \"data/n3\"

    $ raftworkd serve --config cluster.toml --node 1
    $ raftworkd serve --config cluster.toml --node 2
    $ raftworkd serve --config cluster.toml --node 3

The cluster is founded when all of them have been there once; from then on a majority is enough.
Then any node answers any request: http://127.0.0.1:7001/docs shows which.

A node that is added later has a file with its own [[node]] and the same settings, and an id that no other has or had:

    $ raftworkd serve --config cluster.toml --node 4 --join http://127.0.0.1:7001
    $ raftwork cluster add http://127.0.0.1:7004

It is started without --join, or with it, ever after: who the members are is kept by the cluster, not by this file.

On SIGTERM or SIGINT a node hands leadership over, ends what is under way, and exits.

Exit codes: 0 stopped; 1 failed; 2 arguments or configuration; 3 data folder refused or damaged; 4 port in use;
5 the node was removed from the cluster.
RUST_LOG chooses what is logged, as in RUST_LOG=info,raftwork_node=debug.";

/// Runs Python functions on a cluster that does not lose them: the node daemon.
#[derive(Parser)]
#[command(name = "raftworkd", version = version(), after_help = EXAMPLE)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// A build with bugs to plant says so.
const fn version() -> &'static str {
    if cfg!(feature = "mutants") {
        concat!(env!("CARGO_PKG_VERSION"), "+mutants")
    } else {
        env!("CARGO_PKG_VERSION")
    }
}

#[derive(Subcommand)]
enum Command {
    /// Run one node of the cluster in the foreground.
    Serve {
        /// The cluster's file, the same on every node.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Which `[[node]]` of the file this process is.
        #[arg(long, value_name = "ID")]
        node: u64,
        /// Listen where other machines can connect, although nothing is encrypted and nobody has to log in.
        #[arg(long)]
        insecure: bool,
        /// A node of a running cluster, or several: this one found none of its own, but waits to be added to that one.
        #[arg(long, value_name = "URL,...", value_delimiter = ',')]
        join: Vec<String>,
        /// How log lines are written to standard error.
        #[arg(long, value_enum, default_value = "pretty", value_name = "FORMAT")]
        log: LogFormat,
    },
    /// Print the places at which `FAILPOINTS` can crash this build: none, unless it was made to be broken.
    #[command(hide = true)]
    Failpoints,
    /// Check a cluster's file, and say what it means.
    Check {
        /// The file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Serve { config, node, insecure, join, log } => {
            let done = serve(&config, node, insecure, &join, log);
            // A thread may still be inside RocksDB, as after a failure. Leaving in the usual way would take apart the statics
            // that it uses, and abort instead of telling the code. What has to last is on the disk by now.
            signal_hook::low_level::exit(told(done).into())
        }
        Command::Check { config } => told(check(&config)).into(),
        Command::Failpoints => told(failpoints()).into(),
    }
}

/// Says what went wrong, if anything did; gives the exit code.
fn told(done: anyhow::Result<()>) -> u8 {
    let Err(error) = done else { return 0 };
    let _ = writeln!(std::io::stderr(), "raftworkd: {}", in_words(&error));
    exit_code(&error)
}

fn failpoints() -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    failpoint::NAMES.iter().try_for_each(|name| writeln!(out, "{name}"))?;
    Ok(())
}

fn check(path: &Path) -> anyhow::Result<()> {
    let config = Config::read(path)?;
    let mut out = std::io::stdout();
    writeln!(out, "{} is fine: cluster {}", path.display(), config.cluster.name)?;
    for node in &config.nodes {
        writeln!(out, "  node {}  {}  {}", node.id, node.url(), node.data.display())?;
    }
    Ok(())
}

fn serve(path: &Path, id: u64, insecure: bool, join: &[String], format: LogFormat) -> anyhow::Result<()> {
    let config = Config::read(path)?;
    let node = config.node(id, path)?;
    check_exposure(node, insecure)?;
    telemetry::start(format)?;
    if node.is_exposed() {
        tracing::warn!(
            addr = %node.addr,
            "INSECURE: whoever can connect to this address can run any code on every worker of this cluster"
        );
    }
    let _armed = failpoint::arm();
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(run(&config, id, join))
}

/// The cluster runs other people's code by design, so being reachable is a decision that must be spelled out.
fn check_exposure(node: &NodeConfig, insecure: bool) -> Result<(), Exposed> {
    if node.is_exposed() && !insecure { Err(Exposed { addr: node.addr }) } else { Ok(()) }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "addr = \"{addr}\" can be reached from other machines, nothing is encrypted, nobody has to log in, and whoever \
     connects can run any code on every worker. Listen on 127.0.0.1, or, in a network that you trust, give --insecure"
)]
struct Exposed {
    addr: std::net::SocketAddr,
}

async fn run(config: &Config, id: u64, join: &[String]) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let node = Node::start(config, id, join).await?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        reason = node.barred() => return Err(Ended(reason).into()),
        reason = node.died() => anyhow::bail!("raft has stopped by itself: {reason}. Look at the log, then start the node again"),
    }
    tracing::info!("stopping; a second signal stops at once");
    tokio::select! {
        () = node.stop() => tracing::info!("stopped"),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Why the node ended although nothing failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Ended(Barred);

/// The error and its causes, without what one repeats of the next.
fn in_words(error: &anyhow::Error) -> String {
    let mut words = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !words.contains(&cause) {
            words = format!("{words}: {cause}");
        }
    }
    words
}

fn exit_code(error: &anyhow::Error) -> u8 {
    error.chain().find_map(code_of).unwrap_or(1)
}

fn code_of(cause: &(dyn Error + 'static)) -> Option<u8> {
    if cause.is::<ConfigError>() || cause.is::<Exposed>() {
        return Some(2);
    }
    if let Some(Ended(reason)) = cause.downcast_ref::<Ended>() {
        return Some(match reason {
            Barred::Emptied { .. } => 3,
            Barred::Removed { .. } => 5,
        });
    }
    match cause.downcast_ref::<StartError>()? {
        StartError::Identity(_) | StartError::Log { .. } | StartError::Rows(_) | StartError::Data { .. } => {
            Some(3)
        }
        StartError::UnknownNode(_) => Some(2),
        StartError::Bind(BindError::InUse { .. }) => Some(4),
        StartError::Bind(BindError::Io { .. }) | StartError::Raft(_) | StartError::Client(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn causes_are_told_once_and_decide_the_code() {
        let addr = "127.0.0.1:7001".parse().expect("an address");
        let in_use =
            anyhow::Error::from(StartError::Bind(BindError::InUse { addr })).context("node 1 cannot start");
        assert_eq!(exit_code(&in_use), 4);
        assert!(in_words(&in_use).starts_with("node 1 cannot start: 127.0.0.1:7001 is in use"));
        assert_eq!(exit_code(&Exposed { addr }.into()), 2);
        assert_eq!(exit_code(&anyhow::anyhow!("anything else")), 1);
    }
}
