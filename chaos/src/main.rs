//! `raftwork-chaos`: checks of a running cluster from the outside, trusting nothing that it says of itself.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use raftwork_api::Span;
use raftwork_chaos::check::Verdict as Judged;
use raftwork_chaos::check::digests::{Verdict, judge};
use raftwork_chaos::{
    AttachOptions, CheckOptions, MutantsOptions, RunOptions, RunOutcome, attach, check_file, exit_code,
    list_faults, mutants, run,
};
use raftwork_client::Client;
use tokio::time::Instant;

const EXAMPLE: &str = "\
Exit codes: 0 every claim holds; 1 one is broken; 2 nothing was proved, or wrong usage.

    $ raftwork dev -d
    $ raftwork-chaos digests http://127.0.0.1:7001 http://127.0.0.1:7002 http://127.0.0.1:7003

    $ raftwork-chaos run --minutes 5";

/// Checks a running Raftwork cluster from the outside.
#[derive(Parser)]
#[command(name = "raftwork-chaos", version = version(), after_help = EXAMPLE)]
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
    Run(Box<RunOptions>),
    Attach(AttachOptions),
    Check(CheckOptions),
    Mutants(MutantsOptions),
    /// Do all nodes hold the same state, byte for byte?
    Digests {
        /// Base URL of every node.
        #[arg(required = true, num_args = 2.., value_name = "URL")]
        urls: Vec<String>,
        /// How long to wait for the nodes to be at the same entry; needs a pause in the load.
        #[arg(long, default_value = "30s", value_name = "SPAN")]
        patience: Span,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(options) if options.wants_list() => {
            list_faults(&mut std::io::stdout()).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
        }
        Command::Run(options) => concluded(run(&options).await),
        Command::Attach(options) => concluded(attach(&options).await),
        Command::Check(options) => judged(&options),
        Command::Mutants(options) => scored(&options),
        Command::Digests { urls, patience } => equal(&urls, patience).await,
    }
}

/// Judges what a run left behind; a run that could not be made proves nothing.
fn concluded(outcome: anyhow::Result<RunOutcome>) -> ExitCode {
    let checked = outcome.and_then(|outcome| {
        let report = outcome.history.with_file_name("report.html");
        let verdict = check_file(&CheckOptions::with_report(outcome.history, report.clone()))?;
        let mut out = std::io::stdout();
        for broken in &outcome.broken {
            writeln!(out, "violated: {broken}")?;
        }
        writeln!(out, "{}", report.display())?;
        Ok(if outcome.broken.is_empty() { verdict } else { Judged::Violated })
    });
    checked.map_or_else(
        |error| {
            let _ = writeln!(std::io::stderr(), "raftwork-chaos: {error:#}");
            exit_code(Judged::Unknown)
        },
        exit_code,
    )
}

/// Plants bugs; a bug that was missed is a claim that does not hold.
fn scored(options: &MutantsOptions) -> ExitCode {
    let verdict = mutants(options).map(|good| if good { Judged::Pass } else { Judged::Violated });
    verdict.map_or_else(
        |error| {
            let _ = writeln!(std::io::stderr(), "raftwork-chaos: {error:#}");
            exit_code(Judged::Unknown)
        },
        exit_code,
    )
}

/// Checks a history; what cannot be read is unknown, not violated.
fn judged(options: &CheckOptions) -> ExitCode {
    check_file(options).map_or_else(
        |error| {
            let _ = writeln!(std::io::stderr(), "raftwork-chaos: {error:#}");
            exit_code(Judged::Unknown)
        },
        exit_code,
    )
}

async fn equal(urls: &[String], patience: Span) -> ExitCode {
    match digests(urls, patience.into()).await {
        Ok(applied) => {
            let nodes = urls.len();
            let _ = writeln!(std::io::stdout(), "{nodes} nodes hold the same state as of entry {applied}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "raftwork-chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Looks at all nodes until they are at the same entry, and returns its index.
async fn digests(urls: &[String], patience: Duration) -> anyhow::Result<u64> {
    /// Pause between two looks: each reads every row of every node.
    const PAUSE: Duration = Duration::from_millis(200);
    let nodes: Vec<Client> = urls.iter().map(|url| only(url)).collect::<Result<_, _>>()?;
    let deadline = Instant::now() + patience;
    loop {
        let mut looks = Vec::with_capacity(nodes.len());
        for (node, url) in nodes.iter().zip(urls) {
            looks.push(
                node.rest().digest().await.with_context(|| format!("failed to ask {url} for its digest"))?,
            );
        }
        match judge(&looks) {
            Verdict::Equal { applied } => return Ok(applied),
            Verdict::Diverged { applied, digests } => {
                bail!("the nodes have diverged: as of entry {applied} their digests are {digests:?}")
            }
            Verdict::Unsettled if Instant::now() > deadline => {
                bail!(
                    "the nodes were at different entries for {patience:?}; pause the load, or see whether all are up"
                )
            }
            Verdict::Unsettled => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// A client that knows one node alone: each is asked for its own digest.
fn only(url: &str) -> anyhow::Result<Client> {
    Client::connect([url]).with_context(|| format!("'{url}' is not the URL of a node"))
}
