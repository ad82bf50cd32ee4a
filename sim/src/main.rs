//! `raftwork-sim`: whole clusters in simulated time, from one seed; the same seed gives the same run, byte for byte.
//!
//! Each seed runs in a process of its own: what aborts a daemon aborts a simulation, too, and no seed sees what another
//! left behind. `world` is the loop; `host` a machine, `net` and `disk` what breaks, `audit` what must hold.

mod audit;
mod chance;
mod client;
mod clock;
mod disk;
mod faults;
mod host;
mod libc;
mod net;
mod outside;
mod reader;
mod runs;
mod trace;
mod worker;
mod world;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::runs::Runs;
use crate::world::{Options, Report, World};

const EXAMPLES: &str = "\
  raftwork-sim --seeds 0..1000            a thousand seeds, a minute of faults each
  raftwork-sim --seeds 7 --trace          one seed, with all that happens in it
  RAFTWORK_MUTANT=M6 raftwork-sim ...     with a planted bug (needs --features mutants)

Exit codes: 0 nothing was wrong; 1 something was; 2 wrong usage.";

/// A simulation takes a second; one that has not ended at so many looks does something without end while no time passes.
/// Looks are counted, and not the time: a process that somebody stops looks no more, and has not been in a circle.
const LOOKS: u32 = 240;
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// Simulates clusters of the daemon's own code, with a network, disks and clocks that fail.
#[derive(Parser)]
#[command(name = "raftwork-sim", version = version(), after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArguments,
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
    /// Simulate one seed in this process, and print the report as JSON.
    #[command(hide = true)]
    One(RunArguments),
    /// Run every planted bug until it is caught, and print the score.
    Mutants {
        /// These alone.
        #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
        only: Vec<String>,
        /// Print one line of JSON for each, and nothing else.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        run: RunArguments,
    },
}

/// What to simulate.
#[derive(Debug, Clone, Args)]
struct RunArguments {
    /// Seeds: one, or a range such as 0..100 (the default; 0..500 for each planted bug).
    #[arg(long, value_parser = runs::parse_seeds)]
    seeds: Option<std::ops::Range<u64>>,
    /// How long faults last, in virtual seconds; recovery comes on top.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Simulations at a time; each uses one processor.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Print everything that happens.
    #[arg(long)]
    trace: bool,
    /// Run every seed twice, and demand the same trace.
    #[arg(long)]
    twice: bool,
    /// The empty folder for the files of one simulation, which whoever made it removes, however the simulation ends.
    #[arg(long, hide = true)]
    folder: Option<PathBuf>,
}

fn main() -> ExitCode {
    let Arguments { command, run } = Arguments::parse();
    let done = match command {
        Some(Command::One(run)) => one(&run),
        Some(Command::Mutants { only, json, run }) => runs::mutants(&Runs::of(&run, 0..500), &only, json),
        None => runs::seeds(&Runs::of(&run, 0..100)),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "raftwork-sim: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// On a thread of its own, which has never asked for the time or for randomness before.
fn one(run: &RunArguments) -> anyhow::Result<bool> {
    if run.trace {
        tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_writer(std::io::stderr)
            .without_time()
            .init();
    }
    let options = Options {
        seed: run.seeds.as_ref().map_or(0, |seeds| seeds.start),
        seconds: run.seconds,
        text: run.trace,
    };
    let (tell, told) = mpsc::channel();
    let own = run.folder.is_none().then(runs::folder).transpose()?;
    let folder = own.as_ref().map(|own| own.path().to_owned()).or_else(|| run.folder.clone());
    let folder = folder.unwrap_or_default();
    std::thread::spawn(move || drop(tell.send(simulate(options, &folder))));
    let ended = (0..LOOKS).find_map(|_| told.recv_timeout(BETWEEN_LOOKS).ok());
    let (report, text) = ended.unwrap_or_else(|| (Report::hung(options.seed), Vec::new()));
    let mut out = std::io::stdout().lock();
    for line in text {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "{}", serde_json::to_string(&report)?)?;
    Ok(report.violation.is_none())
}

fn simulate(options: Options, folder: &Path) -> (Report, Vec<String>) {
    // A panic of the node's code in one of its tasks would pass unheard.
    std::panic::set_hook(Box::new(|panic| {
        let _ = writeln!(std::io::stderr(), "{panic}");
        std::process::abort();
    }));
    libc::seed_this_thread(options.seed);
    World::new(options, folder).run(options)
}
