//! Which fault happens when: every one in turn, in an order drawn from the seed, some together, with calm between.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use tokio::time::{Instant, sleep};

use super::progress::Progress;
use crate::history::{Event, Fault, FaultStep, Recorder};
use crate::nemesis::{Breaks, Deed, Nemesis, Scene};
use crate::workload::Shared;

/// How often a fault is given another turn because it did not take effect.
const TURNS_MAX: u32 = 4;
/// How long all nodes may take to serve again once everything is mended.
const READY_WITHIN: Duration = Duration::from_secs(90);
/// One in so many turns breaks two things at once.
const COMBINED: (u32, u32) = (2, 5);

/// The faults of a run.
pub(super) struct Schedule {
    nemeses: Vec<Box<dyn Nemesis>>,
    random: StdRng,
    period: Duration,
    /// Those that have not had their turn in this round.
    bag: Vec<usize>,
    turns: BTreeMap<usize, u32>,
    happened: BTreeSet<usize>,
    next_id: u64,
}

/// What the calm between faults was like.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Calm {
    pub(super) length: Duration,
    pub(super) acknowledged: u64,
}

impl Calm {
    /// Operations a second that were carried out while nothing was broken.
    pub(super) fn rate(&self) -> u128 {
        u128::from(self.acknowledged) * 1_000 / self.length.as_millis().max(1)
    }
}

/// What a run of the schedule needs.
pub(super) struct Stage<'a> {
    pub(super) scene: &'a Scene,
    pub(super) shared: &'a Shared,
    pub(super) progress: &'a Progress,
}

/// A fault under way.
struct UnderWay {
    index: usize,
    id: u64,
    nodes: Vec<u64>,
}

impl Schedule {
    pub(super) fn new(nemeses: Vec<Box<dyn Nemesis>>, random: StdRng, period: Duration) -> Self {
        let (turns, happened) = (BTreeMap::new(), BTreeSet::new());
        Self { nemeses, random, period, bag: Vec::new(), turns, happened, next_id: 1 }
    }

    /// Number of faults that took effect, by name.
    pub(super) const fn faults(&self) -> u64 {
        self.next_id - 1
    }

    /// Breaks and mends until `deadline`, and until every fault had its turn.
    ///
    /// # Errors
    /// When the cluster does not get well after everything was mended.
    pub(super) async fn run(&mut self, stage: &Stage<'_>, deadline: Instant) -> anyhow::Result<Calm> {
        let mut calm = Calm::default();
        loop {
            self.rest(stage, &mut calm).await;
            if Instant::now() > deadline && self.all_had_their_turn() {
                return Ok(calm);
            }
            if let Some(first) = self.draw() {
                let second = self.companion(first);
                self.turn(stage, first, second).await?;
            }
        }
    }

    /// Whether every fault has happened, or did not for as often as it may be tried.
    fn all_had_their_turn(&self) -> bool {
        let done = |index| {
            self.happened.contains(&index) || self.turns.get(&index).is_some_and(|turns| *turns >= TURNS_MAX)
        };
        (0..self.nemeses.len()).all(done)
    }

    async fn rest(&mut self, stage: &Stage<'_>, calm: &mut Calm) {
        let (begun, before) = (Instant::now(), stage.shared.acknowledged());
        sleep(self.period.mul_f64(self.random.random_range(0.6..1.0))).await;
        calm.length += begun.elapsed();
        calm.acknowledged += stage.shared.acknowledged() - before;
    }

    fn draw(&mut self) -> Option<usize> {
        if self.bag.is_empty() {
            self.bag = (0..self.nemeses.len()).collect();
            self.bag.shuffle(&mut self.random);
        }
        self.bag.pop()
    }

    /// A second fault for the same time, if chance has it so and one goes with the first.
    fn companion(&mut self, first: usize) -> Option<usize> {
        let breaks = self.nemeses[first].breaks();
        if breaks == Breaks::Peace || !self.random.random_ratio(COMBINED.0, COMBINED.1) {
            return None;
        }
        let goes_with = |index: &usize| {
            let other = self.nemeses[*index].breaks();
            other != breaks && other != Breaks::Peace
        };
        let others: Vec<usize> = (0..self.nemeses.len()).filter(goes_with).collect();
        others.choose(&mut self.random).copied()
    }

    async fn turn(&mut self, stage: &Stage<'_>, first: usize, second: Option<usize>) -> anyhow::Result<()> {
        let mut under_way = Vec::new();
        for index in [Some(first), second].into_iter().flatten() {
            under_way.push(self.start(stage, index).await);
            sleep(self.period.mul_f64(self.random.random_range(0.1..0.3))).await;
        }
        sleep(self.period.mul_f64(self.random.random_range(0.2..0.8))).await;
        for fault in under_way.into_iter().rev() {
            self.stop(stage, fault).await;
        }
        let mended = Instant::now();
        stage.scene.cluster.heal().await?;
        stage.scene.workers.heal().await?;
        stage.scene.cluster.await_ready(READY_WITHIN).await?;
        stage
            .progress
            .say(&format!("  every node serves {:.1} s after that", mended.elapsed().as_secs_f64()));
        Ok(())
    }

    async fn start(&mut self, stage: &Stage<'_>, index: usize) -> UnderWay {
        let id = self.next_id;
        self.next_id += 1;
        *self.turns.entry(index).or_default() += 1;
        let nemesis = &mut self.nemeses[index];
        let name = nemesis.name().to_owned();
        // Noted before it begins, so that nothing that it does comes before it.
        note(&stage.shared.recorder, id, &name, FaultStep::Start, Vec::new(), String::new());
        match nemesis.start(stage.scene, &mut self.random).await {
            Ok(Deed { nodes, detail }) => {
                stage.progress.say(&format!("{name}: {detail}"));
                UnderWay { index, id, nodes }
            }
            Err(error) => {
                stage.progress.say(&format!("{name}: could not begin: {error:#}"));
                UnderWay { index, id, nodes: Vec::new() }
            }
        }
    }

    async fn stop(&mut self, stage: &Stage<'_>, fault: UnderWay) {
        let nemesis = &mut self.nemeses[fault.index];
        let name = nemesis.name().to_owned();
        let (happened, detail) = match nemesis.stop(stage.scene).await {
            Ok(ending) => {
                if let Some(broken) = ending.broken {
                    stage.progress.say(&format!("BROKEN: {name}: {broken}"));
                    stage.shared.surprised(format!("{name}: {broken}"));
                }
                (ending.happened, ending.detail)
            }
            Err(error) => (false, format!("could not end: {error:#}")),
        };
        if happened {
            self.happened.insert(fault.index);
        }
        let mark = if happened { "" } else { " (did not take effect)" };
        stage.progress.say(&format!("{name}: {detail}{mark}"));
        note(&stage.shared.recorder, fault.id, &name, FaultStep::Stop { happened }, fault.nodes, detail);
    }
}

fn note(recorder: &Recorder, id: u64, name: &str, step: FaultStep, nodes: Vec<u64>, detail: String) {
    recorder.record(Event::Fault(Fault {
        id,
        name: name.to_owned(),
        step,
        nodes,
        workers: Vec::new(),
        detail,
    }));
}
