//! The agent in a storm: random leaders, cuts, revocations and children, with the rules checked at every step.
//!
//! The world here knows what the agent cannot: which children really run, and when a leader last heard of them.

use std::collections::{BTreeMap, BTreeSet};

use raftwork_api::stream::Hello;

use super::*;

const SLOTS: u16 = 3;
const SEEDS: u64 = 400;
const STEPS: u32 = 300;

/// Numbers that depend on the seed alone (`SplitMix64`).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    Down,
    Connected,
    Welcomed,
}

struct World {
    agent: Agent,
    /// What the leader was told that the worker will hold.
    capacity: u16,
    now: u64,
    wire: Wire,
    next_token: u64,
    /// What the leader believes to be leased.
    leases: BTreeSet<LeaseRef>,
    /// Children at work, and whether each was told to stop.
    children: BTreeMap<LeaseRef, bool>,
    /// Heartbeats of this connection that were not answered, and when they were sent.
    beats: Vec<(u64, u64)>,
    /// Until when the worker may trust its leases, by the answers that it was given.
    trusted_until: u64,
    /// Reports of this connection.
    reports: Vec<LeaseRef>,
    asked: Option<(RequestId, u16)>,
}

impl World {
    fn new(mode: WorkerMode, prefetch: Option<u16>) -> Self {
        Self {
            agent: Script::with(mode, SLOTS, prefetch).welcomed().agent,
            capacity: SLOTS,
            now: 0,
            wire: Wire::Down,
            next_token: 1,
            leases: BTreeSet::new(),
            children: BTreeMap::new(),
            beats: Vec::new(),
            // The script's own welcome.
            trusted_until: 7_500,
            reports: Vec::new(),
            asked: None,
        }
    }

    fn step(&mut self, input: Input) {
        // The runner never comes late, because it asks when to come.
        let actions = self.agent.step(Duration::from_millis(self.now), [input]);
        for action in actions {
            self.carry_out(action);
        }
        assert!(self.children.len() <= usize::from(SLOTS), "more children than slots");
        let tasks: BTreeSet<_> = self.children.keys().map(|lease| lease.task).collect();
        assert_eq!(tasks.len(), self.children.len(), "two children with the same task");
        let wake = self.agent.next_wake(Duration::from_millis(self.now));
        assert!(
            wake.is_none_or(|wake| wake > Duration::from_millis(self.now)),
            "the agent wakes without end"
        );
        self.check_patience();
        if self.now >= self.trusted_until {
            assert!(self.children.values().all(|told| *told), "a task runs on without a lease");
        }
    }

    fn check_patience(&self) {
        let agent = &self.agent;
        if self.children.len() == usize::from(SLOTS)
            && let (Some(patience), Some(since)) = (agent.pace.patience(), agent.tasks.waiting_since())
        {
            assert!(Duration::from_millis(self.now) < since + patience, "a task waits here for too long");
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Send(message) => self.send(message),
            Action::Run { work, .. } => {
                assert!(self.now < self.trusted_until, "{:?} starts without a lease", work.lease);
                assert!(self.children.insert(work.lease, false).is_none(), "{:?} starts twice", work.lease);
            }
            Action::Kill(lease) => {
                let told = self.children.get_mut(&lease).expect("only what runs is killed");
                assert!(!std::mem::replace(told, true), "{lease:?} is killed twice");
            }
            Action::HangUp { .. } => self.cut(),
            Action::Exit(reason) => panic!("left: {reason}"),
        }
    }

    fn send(&mut self, message: FromWorker) {
        let is_hello = matches!(message, FromWorker::Hello(_));
        assert_ne!(self.wire, Wire::Down, "speaks into the void: {message:?}");
        assert_eq!(is_hello, self.wire == Wire::Connected, "speaks out of turn: {message:?}");
        match message {
            FromWorker::Hello(Hello { held, capacity, .. }) => {
                self.capacity = capacity;
                self.hears(&held);
            }
            FromWorker::Heartbeat { number, held, .. } => {
                self.beats.push((number, self.now));
                self.hears(&held);
            }
            FromWorker::Report { started, ended } => self.report(&started, &ended),
            FromWorker::Ask { request, max } => self.asked = Some((request, max)).filter(|_| max > 0),
            FromWorker::Capacity(number) => {
                assert_eq!(self.agent.identity.mode, WorkerMode::Push);
                assert!(number >= SLOTS && number != self.capacity, "no news: {number}");
                self.capacity = number;
            }
            FromWorker::Progress(news) => {
                assert!(!news.is_empty(), "nothing is no news");
                assert!(
                    news.iter().all(|(lease, _)| self.children.contains_key(lease)),
                    "of what is over: {news:?}"
                );
            }
            FromWorker::FetchCode(function) => panic!("the code of {function} is known"),
            FromWorker::Offer(tags) => panic!("it offers {tags:?}, and was given no tags"),
        }
    }

    fn report(&mut self, started: &[LeaseRef], ended: &[Ending]) {
        assert!(
            started.iter().all(|lease| self.children.contains_key(lease)),
            "{started:?} have not started"
        );
        for lease in ended.iter().map(Ending::lease) {
            if !self.reports.contains(&lease) {
                self.reports.push(lease);
            }
        }
    }

    fn hears(&self, held: &[(LeaseRef, bool)]) {
        for lease in self.children.keys() {
            assert!(held.contains(&(*lease, true)), "{lease:?} runs and is not mentioned");
        }
    }

    fn cut(&mut self) {
        self.wire = Wire::Down;
        self.beats.clear();
        self.reports.clear();
    }

    /// Any of the things that can happen now.
    fn chance(&mut self, dice: &mut Dice) {
        match (dice.roll(12), self.wire) {
            (0, Wire::Connected | Wire::Welcomed) => {
                self.cut();
                self.step(Input::Disconnected);
            }
            (0..4, Wire::Down) => self.connect(),
            (1..6, Wire::Connected) => self.welcome(),
            (1..3, Wire::Welcomed) => self.answer_beat(),
            (3..5, Wire::Welcomed) => self.grant(dice),
            (5..7, Wire::Welcomed) => self.judge(dice),
            (7, Wire::Welcomed) => self.revoke(dice),
            (8..10, _) => self.end_child(dice),
            (10, _) => self.say_progress(dice),
            _ => {
                let most = [20, 1_500][usize::from(dice.roll(2) == 0)];
                self.pass(dice.roll(most));
            }
        }
    }

    fn pass(&mut self, ms: u64) {
        let wake = self.agent.next_wake(Duration::from_millis(self.now));
        let wake = wake.map_or(u64::MAX, |wake| u64::try_from(wake.as_millis()).unwrap());
        self.now = (self.now + ms).min(wake.max(self.now));
        self.step(Input::Tick);
    }

    fn connect(&mut self) {
        self.wire = Wire::Connected;
        self.step(Input::Connected);
    }

    fn welcome(&mut self) {
        self.wire = Wire::Welcomed;
        if self.agent.tasks.occupied() == 0 {
            // Nothing is leased, so whatever comes was granted after the greeting, which was at `now` or before.
            self.trusted_until = self.trusted_until.max(self.now + 7_500);
        }
        self.step(welcome());
    }

    fn answer_beat(&mut self) {
        let Some((number, sent)) = self.beats.pop() else { return };
        self.beats.clear();
        self.trusted_until = self.trusted_until.max(sent + 7_500);
        self.step(beat(number));
    }

    /// New grants, sometimes of tasks whose older grant the worker still has, sometimes the same again.
    fn grant(&mut self, dice: &mut Dice) {
        let (request, max) = match (self.agent.identity.mode, self.asked.take()) {
            (WorkerMode::Pull, None) => return,
            (WorkerMode::Pull, Some((request, max))) => (request, max.into()),
            (WorkerMode::Push, _) => (RequestId::from_u128(0), u64::from(self.capacity.min(20))),
        };
        let mut grants = Vec::new();
        for _ in 0..=dice.roll(max) {
            let lease = lease(u128::from(dice.roll(24)), self.next_token);
            self.next_token += 1;
            self.leases.retain(|held| held.task != lease.task);
            self.leases.insert(lease);
            grants.push((lease.task.as_uuid().as_u128(), lease.token.0));
        }
        self.step(answer(request.as_uuid().as_u128(), &grants));
        if dice.roll(4) == 0 {
            self.step(answer(request.as_uuid().as_u128(), &grants));
        }
    }

    fn judge(&mut self, dice: &mut Dice) {
        if self.reports.is_empty() {
            return;
        }
        let at = usize::try_from(dice.roll(self.reports.len() as u64)).unwrap();
        let lease = self.reports.remove(at);
        let current = self.leases.remove(&lease);
        let (task, token) = (lease.task.as_uuid().as_u128(), lease.token.0);
        self.step(if current { verdict(task, token) } else { stale(task, token) });
    }

    fn revoke(&mut self, dice: &mut Dice) {
        let Some(lease) = pick(&self.leases, dice) else { return };
        self.leases.remove(&lease);
        self.step(revoke(lease.task.as_uuid().as_u128(), lease.token.0));
    }

    fn end_child(&mut self, dice: &mut Dice) {
        let Some(lease) = pick(&self.children.keys().copied().collect(), dice) else { return };
        let told = self.children.remove(&lease).unwrap();
        let (task, token) = (lease.task.as_uuid().as_u128(), lease.token.0);
        let input = match dice.roll(4) {
            0 => failed(task, token),
            1 if told => stopped(task, token),
            _ => completed(task, token),
        };
        self.step(input);
    }

    fn say_progress(&mut self, dice: &mut Dice) {
        let Some(lease) = pick(&self.children.keys().copied().collect(), dice) else { return };
        self.step(progress(lease.task.as_uuid().as_u128(), lease.token.0, self.now));
    }

    /// The storm is over: everything comes to its end.
    fn calm(&mut self, dice: &mut Dice) {
        for _ in 0..200 {
            match self.wire {
                Wire::Down => self.connect(),
                Wire::Connected => self.welcome(),
                Wire::Welcomed => self.answer_beat(),
            }
            self.end_child(dice);
            if self.wire == Wire::Welcomed {
                self.judge(dice);
            }
            self.pass(1_000);
        }
        assert!(self.agent.tasks.is_empty(), "never ended: {:?}", self.agent.tasks.list());
        assert!(self.agent.reports.is_empty() && self.reports.is_empty(), "reports without a verdict");
    }
}

fn pick(leases: &BTreeSet<LeaseRef>, dice: &mut Dice) -> Option<LeaseRef> {
    let count = leases.len() as u64;
    if count == 0 {
        return None;
    }
    leases.iter().nth(usize::try_from(dice.roll(count)).unwrap()).copied()
}

#[test]
fn the_rules_hold_in_any_storm() {
    for seed in 0..SEEDS {
        let story = std::panic::catch_unwind(|| {
            let mut dice = Dice(seed);
            let mode = if seed % 2 == 0 { WorkerMode::Push } else { WorkerMode::Pull };
            let prefetch = if seed % 4 < 2 { Some(2) } else { None };
            let mut world = World::new(mode, prefetch);
            world.step(Input::Disconnected);
            for _ in 0..STEPS {
                world.chance(&mut dice);
            }
            world.calm(&mut dice);
        });
        assert!(story.is_ok(), "with seed {seed}");
    }
}
