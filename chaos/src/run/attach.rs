//! `raftwork-chaos attach`: load on somebody's own running cluster, and what its clients can tell of it.
//!
//! The log of that cluster is out of reach, and so are its disks and its network. What can be broken is what `raftwork dev`
//! can break: processes of the cluster that it started in the current folder.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use raftwork_api::Span;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::{Instant, sleep};

use super::dev::{Dev, Target};
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
folder are killed (kill -9) and started again, in rounds, while tasks of 0.1 to 5 seconds run on its workers.

    $ raftwork dev -d
    $ raftwork-chaos attach http://127.0.0.1:7001 http://127.0.0.1:7002 http://127.0.0.1:7003
    $ raftwork-chaos attach --break workers,leader --rounds 2

Exit codes: 0 every claim holds; 1 one is broken; 2 nothing was proved, or wrong usage.";

/// Steady tasks for each worker: it runs some, and others wait.
const TASKS_A_WORKER: usize = 4;
/// With fewer nodes, there is nobody to take over from the leader.
const NODES_FOR_A_MAJORITY: usize = 3;

/// Put a running cluster under load, and check what its clients see
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLE)]
pub struct AttachOptions {
    /// Base URL of every node; may be left out with --break.
    #[arg(required_unless_present = "breaks", value_name = "URL")]
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
    /// Tasks of 0.1 to 5 seconds to keep unfinished while something is broken (default 4 for each worker).
    #[arg(long, value_name = "N")]
    tasks: Option<usize>,
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

/// Puts a running cluster under load, breaks what may be broken, and writes down what was seen.
///
/// # Errors
/// When the run cannot be made; what the cluster does wrong is in the outcome.
pub async fn attach(options: &AttachOptions) -> anyhow::Result<Outcome> {
    let seed = options.seed.unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    let folder = options.folder.clone().unwrap_or_else(|| format!("raftwork-chaos/attach-{seed}").into());
    ensure!(!folder.exists(), "{} exists already; remove it, or give another --folder", folder.display());
    let dev = if options.breaks.is_empty() { None } else { Some(Dev::find(options.program()?).await?) };
    let urls = options.nodes(dev.as_ref());
    let members = Members::new(1..=urls.len() as u64);
    let views = Views::new((1..).zip(urls.iter().cloned()), members.clone())?;
    fs_err::create_dir_all(&folder)?;
    let history = folder.join("history.jsonl");
    let recorder = Recorder::create(&history, options.header(seed, &urls))?;
    let progress = Progress::start();
    progress.say(&format!("seed {seed}; what is seen goes to {}", history.display()));
    let shared = Arc::new(Shared::new(recorder.clone(), urls, members, seed)?);
    let register = Register::open(Ipv4Addr::LOCALHOST.into(), recorder.clone()).await?;
    let _watch = Watch::start(views.clone(), Arc::clone(&shared));
    recorder.record(Event::Phase(Phase::Load));
    let load = Load::start(Arc::clone(&shared), options.mix(dev.as_ref()), register.addr()).await?;
    match dev {
        Some(dev) => {
            let mut breaker =
                Breaker { options, dev, views: &views, recorder: &recorder, load: &load, progress };
            breaker.run(seed).await?;
        }
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

    /// Base URLs of all nodes: those that were given, else those that `raftwork dev` knows.
    fn nodes(&self, dev: Option<&Dev>) -> Vec<String> {
        let given = if self.urls.is_empty() { dev.map_or(&[][..], Dev::urls) } else { &self.urls };
        given.iter().map(|url| url.trim_end_matches('/').to_owned()).collect()
    }

    /// Steady tasks take the place of many short ones where something is killed: each kill shall meet some.
    fn mix(&self, dev: Option<&Dev>) -> Mix {
        let steady = dev.map_or(0, |dev| self.tasks.unwrap_or_else(|| TASKS_A_WORKER * dev.workers()));
        Mix { steady, ..Mix::default() }
    }

    fn header(&self, seed: u64, urls: &[String]) -> Header {
        let (commit, started) = stamp();
        Header {
            format: FORMAT,
            seed,
            nodes: (1..=urls.len() as u64).collect(),
            commit,
            command: format!("raftwork-chaos attach --seed {seed} {}", urls.join(" ")),
            started,
            settings: std::collections::BTreeMap::new(),
            faults: self.breaks.iter().map(|target| target.name().to_owned()).collect(),
            skipped: std::collections::BTreeMap::new(),
            wanted: Wanted { operations: 100, ..Wanted::default() },
            without_log: true,
        }
    }
}

/// Kills and starts again, turn after turn.
struct Breaker<'a> {
    options: &'a AttachOptions,
    dev: Dev,
    views: &'a Views,
    recorder: &'a Recorder,
    load: &'a Load,
    progress: Progress,
}

impl Breaker<'_> {
    async fn run(&mut self, seed: u64) -> anyhow::Result<()> {
        let mut random = StdRng::seed_from_u64(seed);
        let mut gaps = Vec::new();
        let rounds = self.options.rounds;
        let turns = self.options.breaks.iter().flat_map(|target| (0..rounds).map(move |_| *target));
        for (id, target) in (1..).zip(turns) {
            gaps.extend(self.turn(id, target, &mut random).await?);
        }
        sleep(self.options.period.into()).await;
        if let Some(told) = spread(gaps) {
            self.progress.say(&format!("from a leader's death to the next acknowledged write: {told}"));
        }
        Ok(())
    }

    /// One kill, and what follows; after the leader's, the time until a write was acknowledged again.
    async fn turn(
        &mut self,
        id: u64,
        target: Target,
        random: &mut StdRng,
    ) -> anyhow::Result<Option<Duration>> {
        let period = Duration::from(self.options.period);
        sleep(period).await;
        self.dev.look().await?;
        let victims = target.choose(&self.dev, random);
        let workers = self.dev.worker_pids(&victims);
        self.note(id, target, FaultStep::Start, workers);
        let killed = self.dev.kill(&victims).await?;
        let died = Instant::now();
        self.progress.say(&format!("kill -9 {}", killed.join(", ")));
        let mut gap = None;
        if target == Target::Leader && self.views.ids().len() >= NODES_FOR_A_MAJORITY {
            self.load.write().await;
            let waited = *gap.insert(died.elapsed());
            self.progress
                .say(&format!("  a write was acknowledged {:.2} s after that", waited.as_secs_f64()));
        }
        sleep(period / 2).await;
        self.dev.restart(&killed).await?;
        settle::ready(self.views).await?;
        self.note(id, target, FaultStep::Stop { happened: !killed.is_empty() }, Vec::new());
        self.progress.say("  every node serves again");
        Ok(gap)
    }

    fn note(&self, id: u64, target: Target, step: FaultStep, workers: Vec<u32>) {
        let (name, detail) = (target.name().to_owned(), String::new());
        self.recorder.record(Event::Fault(Fault { id, name, step, nodes: Vec::new(), workers, detail }));
    }
}

/// Median and worst of some times, for people.
fn spread(mut times: Vec<Duration>) -> Option<String> {
    times.sort_unstable();
    let at = |share: usize| times.get((times.len() * share / 100).min(times.len() - 1));
    let (worst, count) = (times.last()?.as_secs_f64(), times.len());
    let (median, late) = (at(50)?.as_secs_f64(), at(99)?.as_secs_f64());
    Some(format!("median {median:.2} s, 99 of 100 {late:.2} s, worst {worst:.2} s of {count}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_by_their_middle_and_their_end() {
        assert_eq!(spread(Vec::new()), None);
        let times = (1..=100).rev().map(|tenths| Duration::from_millis(tenths * 100)).collect();
        let told = spread(times).unwrap();
        assert_eq!(told, "median 5.10 s, 99 of 100 10.00 s, worst 10.00 s of 100");
    }
}
