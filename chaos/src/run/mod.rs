//! `raftwork-chaos run`: a cluster of its own, load, faults, healing, and the history of it all.

mod attach;
mod audit;
mod dev;
mod options;
mod progress;
mod schedule;
mod settle;
mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep};

pub use self::attach::{AttachOptions, attach};
pub use self::options::Options;
use self::options::Run as Plan;
use self::progress::Progress;
use self::schedule::{Calm, Schedule, Stage};
use self::watch::Watch;
use crate::cluster::{Cluster, Workers};
use crate::history::{Event, FORMAT, Phase, Recorder, Run as Header, Wanted};
use crate::nemesis::{self, Scene};
use crate::workload::{Load, Mix, Register, Sdks, Shared, Stage as LoadStage};

/// How long Python workers may take to be known to the leader.
const WORKERS_WITHIN: Duration = Duration::from_mins(1);
/// How long all nodes may take to serve again once everything is mended.
const READY_WITHIN: Duration = Duration::from_secs(90);
/// Tasks that a Python worker runs at once.
const SLOTS: u16 = 2;
/// Operations a second below which a run proves little; half of what is aimed at.
const OPERATIONS_A_SECOND: u64 = 100;

/// What a run left behind.
#[derive(Debug)]
pub struct Outcome {
    /// Everything that was seen.
    pub history: PathBuf,
    /// What went wrong beyond what the history says: a node that ended by itself, an answer that no rule allows.
    pub broken: Vec<String>,
}

/// Prints every fault that there is.
///
/// # Errors
/// When standard output is closed.
pub fn list(out: &mut impl std::io::Write) -> std::io::Result<()> {
    for nemesis in nemesis::all(&[]) {
        writeln!(out, "{:<18} {}", nemesis.name(), nemesis.explain())?;
    }
    Ok(())
}

impl Options {
    /// Whether only the list of faults is wanted.
    pub const fn wants_list(&self) -> bool {
        self.list
    }
}

/// Runs a cluster, breaks it, and writes down everything.
///
/// # Errors
/// When the run cannot be made; what the cluster does wrong is in the outcome.
pub async fn run(options: &Options) -> anyhow::Result<Outcome> {
    let plan = options.settle()?;
    fs_err::create_dir_all(&plan.folder)?;
    let progress = Progress::start();
    progress.say(&format!("seed {}; everything is in {}", plan.seed, plan.folder.display()));
    for (name, reason) in &plan.skipped {
        progress.say(&format!("left out: {name} ({reason})"));
    }
    let history = plan.folder.join("history.jsonl");
    let recorder = Recorder::create(&history, header(&plan))?;
    let work = Work::start(plan, recorder, progress).await?;
    let broken = tokio::select! {
        broken = work.finish() => broken?,
        _ = tokio::signal::ctrl_c() => bail!("interrupted; what was seen so far is in {}", history.display()),
    };
    Ok(Outcome { history, broken })
}

/// What was got; an error is said, and added to what is broken.
fn note_broken<T>(got: anyhow::Result<T>, progress: &Progress, broken: &mut Vec<String>) -> Option<T> {
    got.inspect_err(|error| {
        progress.say(&format!("BROKEN: {error:#}"));
        broken.push(format!("{error:#}"));
    })
    .ok()
}

fn header(plan: &Plan) -> Header {
    let settings = &plan.plan.settings;
    let (commit, started) = stamp();
    Header {
        format: FORMAT,
        seed: plan.seed,
        nodes: (1..=plan.plan.nodes).collect(),
        commit,
        command: plan.command.clone(),
        started,
        settings: BTreeMap::from([
            ("disks of their own".to_owned(), plan.plan.own_disks.to_string()),
            ("networks of their own".to_owned(), plan.plan.own_networks.to_string()),
            ("snapshot_every".to_owned(), settings.snapshot_every.to_string()),
            ("lease_ttl".to_owned(), format!("{}ms", settings.lease_ttl_ms)),
        ]),
        faults: plan.nemeses.iter().map(|nemesis| nemesis.name().to_owned()).collect(),
        skipped: plan.skipped.iter().cloned().collect(),
        wanted: Wanted {
            operations: plan.length.as_secs() * OPERATIONS_A_SECOND,
            leader_changes: plan.nemeses.iter().filter(|nemesis| nemesis.name().contains("leader")).count()
                as u64,
            // A run that has no length ends once every fault had its turn, which may be before the first of them.
            expiries: u64::from(!plan.length.is_zero()),
            stale_refusals: u64::from(!plan.length.is_zero()),
            effects: u64::from(!plan.length.is_zero()),
            released: u64::from(!plan.length.is_zero()),
            broken: u64::from(!plan.length.is_zero()),
            arguments_in_parts: u64::from(!plan.length.is_zero()),
            results_in_parts: u64::from(!plan.length.is_zero()),
            parts_across_leaders: u64::from(
                !plan.length.is_zero() && plan.nemeses.iter().any(|nemesis| nemesis.name() == "kill-leader"),
            ),
        },
        without_log: false,
    }
}

/// The commit of the tree that the run is made in, if it is one, and the time; both for people.
fn stamp() -> (String, String) {
    let said = |program: &str, arguments: &[&str]| {
        let done = std::process::Command::new(program).args(arguments).output();
        done.map(|done| String::from_utf8_lossy(&done.stdout).trim().to_owned()).unwrap_or_default()
    };
    (said("git", &["rev-parse", "--short", "HEAD"]), said("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]))
}

/// A run under way.
struct Work {
    seed: u64,
    length: Duration,
    period: Duration,
    progress: Progress,
    scene: Scene,
    shared: Arc<Shared>,
    load: Load,
    sdks: Option<Sdks>,
    nemeses: Vec<Box<dyn nemesis::Nemesis>>,
    _register: Register,
    _watch: Watch,
}

impl Work {
    async fn start(plan: Plan, recorder: Recorder, progress: Progress) -> anyhow::Result<Self> {
        let cluster = Arc::new(Cluster::start(&plan.folder, &plan.plan).await?);
        let networks = if plan.plan.own_networks { ", each in a network of its own" } else { "" };
        progress.say(&format!("{} nodes serve at {}{networks}", plan.plan.nodes, cluster.urls().join(", ")));
        let raftwork = plan.raftwork.as_deref();
        let workers = match raftwork {
            Some(raftwork) => Workers::start(&cluster, raftwork, plan.workers, SLOTS)?,
            None => Workers::none(),
        };
        let shared = Arc::new(Shared::new(recorder.clone(), cluster.doors(), cluster.members(), plan.seed)?);
        let register = Register::open(cluster.host(), recorder).await?;
        await_workers(&cluster, workers.len()).await?;
        let watch = Watch::start(cluster.views().clone(), Arc::clone(&shared));
        shared.recorder.record(Event::Phase(Phase::Load));
        let load = Load::start(Arc::clone(&shared), Mix::default(), register.addr()).await?;
        let sdks = raftwork.map(|raftwork| Sdks::start(&plan.folder, raftwork, &shared)).transpose()?;
        Ok(Self {
            seed: plan.seed,
            length: plan.length,
            period: plan.period,
            progress,
            scene: Scene { cluster, workers: Arc::new(workers) },
            shared,
            load,
            sdks,
            nemeses: plan.nemeses,
            _register: register,
            _watch: watch,
        })
    }

    /// Faults, healing, the end; returns what is broken beyond what the history says.
    async fn finish(mut self) -> anyhow::Result<Vec<String>> {
        let mut broken = Vec::new();
        let calm = self.faults().await;
        let calm = note_broken(calm, &self.progress, &mut broken).unwrap_or_default();
        self.say_calm(calm);
        self.shared.recorder.record(Event::Phase(Phase::Heal));
        note_broken(self.end().await, &self.progress, &mut broken);
        let Self { scene, shared, load, progress, .. } = self;
        load.stop().await;
        scene.workers.kill().await?;
        note_broken(scene.cluster.stop().await, &progress, &mut broken);
        let count = write_log(&scene.cluster, &shared.recorder)?;
        shared.recorder.flush()?;
        progress.say(&format!("{count} entries of the log are in the history"));
        broken.extend(shared.surprises());
        Ok(broken)
    }

    async fn faults(&mut self) -> anyhow::Result<Calm> {
        let deadline = Instant::now() + self.length;
        let random = StdRng::seed_from_u64(self.seed);
        let mut schedule = Schedule::new(std::mem::take(&mut self.nemeses), random, self.period);
        let stage = Stage { scene: &self.scene, shared: &self.shared, progress: &self.progress };
        let calm = schedule.run(&stage, deadline).await?;
        self.progress.say(&format!("{} faults", schedule.faults()));
        Ok(calm)
    }

    fn say_calm(&self, calm: Calm) {
        self.progress.say(&format!(
            "{} operations were carried out; {} a second in the {} s in which nothing was broken",
            self.shared.acknowledged(),
            calm.rate(),
            calm.length.as_secs()
        ));
    }

    /// Heals everything, lets everything end, and looks at every node.
    async fn end(&mut self) -> anyhow::Result<()> {
        let (cluster, shared) = (&self.scene.cluster, &self.shared);
        cluster.heal().await?;
        self.scene.workers.heal().await?;
        cluster.await_ready(READY_WITHIN).await?;
        shared.recorder.record(Event::Phase(Phase::Drain));
        shared.enter(LoadStage::Drain);
        if let Some(sdks) = self.sdks.take() {
            let totals = sdks.stop().await?;
            let (tasks, unavailable) = (totals.tasks, totals.unavailable);
            self.progress.say(&format!(
                "the Python SDK got {tasks} right results; {unavailable} times the cluster did not answer it in time"
            ));
        }
        let drained = settle::drained(cluster.views()).await;
        self.progress.say(if drained {
            "every accepted task has ended"
        } else {
            "tasks are left that do not end"
        });
        shared.recorder.record(Event::Phase(if drained { Phase::Settled } else { Phase::Stuck }));
        self.load.read_everything().await;
        settle::digests(cluster.views(), shared).await
    }
}

/// Waits until the leader knows so many workers.
async fn await_workers(cluster: &Cluster, count: usize) -> anyhow::Result<()> {
    let deadline = Instant::now() + WORKERS_WITHIN;
    while cluster.views().workers().await < count {
        if Instant::now() > deadline {
            bail!("{count} Python workers are not connected within {WORKERS_WITHIN:?}; see w1.log");
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Adds the Raft log to the history; returns its length.
fn write_log(cluster: &Cluster, recorder: &Recorder) -> anyhow::Result<usize> {
    let files = cluster.audits();
    let entries =
        audit::read(files.iter().map(|(id, path)| (*id, path.as_path()))).context("cannot read the log")?;
    let count = entries.len();
    for entry in entries {
        recorder.record(Event::Log(entry));
    }
    Ok(count)
}
