//! `raftwork-chaos attach`: load on somebody's own running cluster, and what its clients can tell of it.
//!
//! The log of that cluster is out of reach, and so are its disks and its network. What can be broken is what `raftwork dev`
//! can break: processes of the cluster that it started in the current folder.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use raftwork_api::Span;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::sleep;

use super::options::in_path;
use super::progress::Progress;
use super::watch::Watch;
use super::{Outcome, settle, stamp};
use crate::cluster::{Members, Views};
use crate::history::{Event, FORMAT, Fault, FaultStep, Phase, Recorder, Run as Header, Wanted};
use crate::workload::{Load, Mix, Register, Shared, Stage};

const EXAMPLE: &str = "\
The cluster must be one that may be written to: functions and some thousand tasks a minute are left behind in it. Workers of
its own take part if they run on this machine. With --break, processes of the cluster that `raftwork dev` started in this
folder are killed (kill -9) and started again, in rounds.

    $ raftwork dev -d
    $ raftwork-chaos attach http://127.0.0.1:7001 http://127.0.0.1:7002 http://127.0.0.1:7003
    $ raftwork-chaos attach --break workers,leader --rounds 2 http://127.0.0.1:7001 ...

Exit codes: 0 every claim holds; 1 one is broken; 2 nothing was proved, or wrong usage.";

/// Put a running cluster under load, and check what its clients see
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLE)]
pub struct AttachOptions {
    /// Base URL of every node.
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,
    /// How long to load it, if nothing is to be broken.
    #[arg(long, default_value = "30s", value_name = "SPAN")]
    load: Span,
    /// What to break, through `raftwork dev` in this folder.
    #[arg(long = "break", value_enum, value_delimiter = ',', value_name = "WHAT,...")]
    breaks: Vec<Target>,
    /// Times that each is broken.
    #[arg(long, default_value_t = 3, value_name = "N")]
    rounds: u32,
    /// Quiet time before each, and half of it before what was killed is started again.
    #[arg(long, default_value = "4s", value_name = "SPAN")]
    period: Span,
    /// Repeats the choices of an earlier run.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Where the history goes; must not exist.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// The `raftwork` program (default: the one in PATH).
    #[arg(long, env = "RAFTWORK", value_name = "FILE")]
    raftwork: Option<PathBuf>,
}

/// Processes of a cluster that `raftwork dev` started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    /// Some workers, up to half of them.
    Workers,
    /// The leading node.
    Leader,
    /// Every worker.
    AllWorkers,
    /// Every node.
    AllNodes,
}

impl Target {
    const fn name(self) -> &'static str {
        match self {
            Self::Workers => "dev-kill-workers",
            Self::Leader => "dev-kill-leader",
            Self::AllWorkers => "dev-kill-all-workers",
            Self::AllNodes => "dev-kill-all-nodes",
        }
    }

    fn choose(self, dev: &Dev, random: &mut StdRng) -> Vec<String> {
        match self {
            Self::Workers => {
                let count = random.random_range(1..=dev.workers.len().div_ceil(2).max(1));
                dev.workers.choose_multiple(random, count).cloned().collect()
            }
            Self::Leader => vec!["leader".to_owned()],
            Self::AllWorkers => dev.workers.clone(),
            Self::AllNodes => dev.nodes.clone(),
        }
    }
}

/// The cluster that `raftwork dev` started in the current folder.
struct Dev {
    program: PathBuf,
    nodes: Vec<String>,
    workers: Vec<String>,
}

impl Dev {
    async fn find(program: PathBuf) -> anyhow::Result<Self> {
        let mut dev = Self { program, nodes: Vec::new(), workers: Vec::new() };
        let status = dev.run("status", &[]).await?;
        let processes =
            status["processes"].as_array().context("`raftwork dev status --json` is not understood")?;
        for process in processes {
            let name = process["name"].as_str().context("a process without a name")?.to_owned();
            if process["url"].is_string() { dev.nodes.push(name) } else { dev.workers.push(name) }
        }
        Ok(dev)
    }

    async fn run(&self, verb: &str, names: &[String]) -> anyhow::Result<Value> {
        let mut command = Command::new(&self.program);
        // Names right after the verb: argparse of older Pythons takes none behind an option.
        let done = command.args(["dev", verb]).args(names).arg("--json").output().await?;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "`raftwork dev {verb}` failed: {}", said.trim());
        serde_json::from_slice(&done.stdout)
            .with_context(|| format!("`raftwork dev {verb}` did not print JSON"))
    }

    /// Kills, and returns the names of what was killed.
    async fn kill(&self, names: &[String]) -> anyhow::Result<Vec<String>> {
        let told = self.run("kill", names).await?;
        let killed = told.as_array().into_iter().flatten();
        Ok(killed.filter_map(|one| Some(one["name"].as_str()?.to_owned())).collect())
    }
}

/// Puts a running cluster under load, breaks what may be broken, and writes down what was seen.
///
/// # Errors
/// When the run cannot be made; what the cluster does wrong is in the outcome.
pub async fn attach(options: &AttachOptions) -> anyhow::Result<Outcome> {
    let seed = options.seed.unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    let folder = options.folder.clone().unwrap_or_else(|| format!("raftwork-chaos/attach-{seed}").into());
    ensure!(!folder.exists(), "{} exists already; remove it, or give another --folder", folder.display());
    let dev = if options.breaks.is_empty() { None } else { Some(Dev::find(options.program()?).await?) };
    let urls = options.urls.iter().map(|url| url.trim_end_matches('/').to_owned());
    let members = Members::new(1..=options.urls.len() as u64);
    let views = Views::new((1..).zip(urls), members.clone())?;
    fs_err::create_dir_all(&folder)?;
    let history = folder.join("history.jsonl");
    let recorder = Recorder::create(&history, options.header(seed))?;
    let progress = Progress::start();
    progress.say(&format!("seed {seed}; what is seen goes to {}", history.display()));
    let shared = Arc::new(Shared::new(recorder.clone(), options.urls.clone(), members, seed)?);
    let register = Register::open(recorder.clone()).await?;
    let _watch = Watch::start(views.clone(), Arc::clone(&shared));
    recorder.record(Event::Phase(Phase::Load));
    let load = Load::start(Arc::clone(&shared), Mix::default(), register.port()).await?;
    match dev {
        Some(dev) => options.break_things(&dev, &views, &recorder, progress, seed).await?,
        None => sleep(options.load.into()).await,
    }
    progress.say(&format!("{} operations were carried out", shared.acknowledged()));
    recorder.record(Event::Phase(Phase::Heal));
    recorder.record(Event::Phase(Phase::Drain));
    shared.enter(Stage::Drain);
    let drained = settle::drained(&views).await;
    progress.say(if drained { "every accepted task has ended" } else { "tasks are left that do not end" });
    recorder.record(Event::Phase(if drained { Phase::Settled } else { Phase::Stuck }));
    load.read_everything().await;
    let equal = settle::digests(&views, &shared).await;
    load.stop().await;
    recorder.flush()?;
    let broken =
        equal.err().map(|error| format!("{error:#}")).into_iter().chain(shared.surprises()).collect();
    Ok(Outcome { history, broken })
}

impl AttachOptions {
    fn program(&self) -> anyhow::Result<PathBuf> {
        let found = self.raftwork.clone().or_else(|| in_path("raftwork"));
        found.context("there is no `raftwork` program to break things with; --raftwork names one")
    }

    fn header(&self, seed: u64) -> Header {
        let (commit, started) = stamp();
        Header {
            format: FORMAT,
            seed,
            nodes: (1..=self.urls.len() as u64).collect(),
            commit,
            command: format!("raftwork-chaos attach --seed {seed} {}", self.urls.join(" ")),
            started,
            settings: std::collections::BTreeMap::new(),
            faults: self.breaks.iter().map(|target| target.name().to_owned()).collect(),
            skipped: std::collections::BTreeMap::new(),
            wanted: Wanted { operations: 100, ..Wanted::default() },
        }
    }

    async fn break_things(
        &self,
        dev: &Dev,
        views: &Views,
        recorder: &Recorder,
        progress: Progress,
        seed: u64,
    ) -> anyhow::Result<()> {
        let mut random = StdRng::seed_from_u64(seed);
        let period = Duration::from(self.period);
        let turns = self.breaks.iter().flat_map(|target| (0..self.rounds).map(move |_| *target));
        for (id, target) in (1..).zip(turns) {
            sleep(period).await;
            let name = target.name().to_owned();
            let note = |step| {
                Event::Fault(Fault { id, name: name.clone(), step, nodes: Vec::new(), detail: String::new() })
            };
            recorder.record(note(FaultStep::Start));
            let killed = dev.kill(&target.choose(dev, &mut random)).await?;
            progress.say(&format!("kill -9 {}", killed.join(", ")));
            sleep(period / 2).await;
            dev.run("restart", &killed).await?;
            settle::ready(views).await?;
            recorder.record(note(FaultStep::Stop { happened: !killed.is_empty() }));
            progress.say("  every node serves again");
        }
        sleep(period).await;
        Ok(())
    }
}
