//! The lease protocol, small enough to try everything: two tasks, two workers, two nodes that take turns to lead, time.
//!
//! What is replicated is what the log says: where each task stands, and the counter of tokens. It changes by entries alone,
//! and an entry that was proposed may be committed late, by the next leader, or never. What a leader hears of workers is
//! its own and is lost with it. Reports travel as long as they like, arrive any number of times and in any order; answers
//! to acquires get lost. Guarantees 2 to 5 of `docs/guarantees.md` rest on four rules:
//!
//! - a grant gives the task a token that was never given before, and makes every older one worthless;
//! - the end of a lease does not: its token stays the newest until the next grant, so a late report wins (guarantee 4);
//! - every entry names the token that it is about, so one that was overtaken does nothing (guarantee 3);
//! - a new leader has heard of nobody, and counts every worker as heard of at its election (guarantee 5).
//!
//! [`Flaw`] takes one of these rules away. Each of them is needed: the tests show the counter-example.

use stateright::{Model, Property};

/// Number of tasks, of workers, and of nodes that can lead.
const TWO: usize = 2;

/// A token; 0 was never given.
pub type Token = u8;

/// A rule of the protocol that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// A report counts whatever its token.
    StaleReportsCount,
    /// A lease that ended takes its token with it: late reports are refused.
    LateReportsAreRefused,
    /// The counter of tokens is kept by the leader, and lost with it.
    TokensAreSoftState,
    /// A report on a task that has ended replaces its record.
    RecordsAreReplaced,
    /// An expiry ends whatever lease its task has.
    ExpiriesNameNoToken,
    /// A new leader takes over nothing, and counts the workers that it has not heard of as silent.
    SilenceAtElection,
}

/// The protocol, and how far it is followed.
#[derive(Debug, Clone, Copy)]
pub struct Leases {
    /// The rule that is left out, if any.
    pub flaw: Option<Flaw>,
    /// Grants after which no more are made.
    pub grants_max: Token,
    /// Changes of leader after which there are no more.
    pub elections_max: u8,
    /// Ticks of silence after which a lease may be ended.
    pub ttl: u8,
}

impl Leases {
    /// The protocol as it is, followed as far as a test has time for.
    pub const fn sound() -> Self {
        Self { flaw: None, grants_max: 3, elections_max: 1, ttl: 1 }
    }

    /// The protocol without one of its rules, followed as far as it takes to see what comes of it.
    pub const fn without(flaw: Flaw) -> Self {
        Self { flaw: Some(flaw), grants_max: 2, ..Self::sound() }
    }

    fn has(self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }
}

/// Where the log left a task.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// May be granted.
    #[default]
    Ready,
    /// Granted to a worker.
    Leased(usize),
    /// Has its record, made under this token.
    Ended(Token),
}

/// A task, as replicated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Task {
    /// Where it stands.
    pub phase: Phase,
    /// The newest token.
    pub token: Token,
}

/// What has gone wrong, as somebody sees who sees everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "a list of what may have happened, each by itself")]
pub struct Wrongs {
    /// A task got a second record.
    pub second_record: bool,
    /// A report was accepted under a token that is not the newest.
    pub stale_accepted: bool,
    /// A token was given that is not above all before.
    pub token_repeated: bool,
    /// A report under the newest token of a task that had not ended was refused.
    pub late_refused: bool,
    /// An expiry ended a lease that it was not about.
    pub wrong_lease_ended: bool,
    /// A lease was ended although its worker was not silent for a whole TTL under the leader that proposed it.
    pub live_lease_ended: bool,
}

/// Good things that must be possible, or the model shows nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Seen {
    /// A report won after its lease had ended.
    pub late_win: bool,
    /// A stale report was refused.
    pub stale_refused: bool,
    /// An expiry came too late and did nothing.
    pub expiry_overtaken: bool,
}

/// The whole world.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct World {
    /// Replicated.
    pub tasks: [Task; TWO],
    /// Replicated: the counter of tokens.
    pub last_token: Token,
    /// Which node leads.
    pub leader: usize,
    /// How often that has changed.
    pub elections: u8,
    /// Soft state of the leader: ticks since it heard of each worker.
    pub silent: [u8; TWO],
    /// The truth of it: ticks since each worker was heard of by this leader, or since its election.
    pub quiet: [u8; TWO],
    /// What each worker believes to hold.
    pub held: [Option<(usize, Token)>; TWO],
    /// Expiries that were proposed and not committed, in order: task, token, and whether this leader knows of it. A new
    /// leader does not know what the one before proposed, and may propose the same.
    pub proposed: Vec<(usize, Token, bool)>,
    /// Reports under way, in order: task and token. None is ever taken away: a report may arrive again.
    pub reports: Vec<(usize, Token)>,
    /// The highest token that anybody ever got.
    pub highest: Token,
    /// What has gone wrong.
    pub wrongs: Wrongs,
    /// What has been seen.
    pub seen: Seen,
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// Time passes.
    Tick,
    /// The leader hears of a worker.
    Beat(usize),
    /// A worker is granted a task; the answer arrives, or is lost.
    Grant {
        /// Who.
        worker: usize,
        /// Which.
        task: usize,
        /// Whether the worker learns of it.
        arrives: bool,
    },
    /// A worker reports what it holds, and believes no more to hold it.
    Report(usize),
    /// A report arrives at the leader and is committed.
    Arrive(usize, Token),
    /// The leader proposes to end the lease that a silent worker has on a task.
    ProposeExpiry(usize),
    /// The oldest proposal is committed.
    Commit,
    /// The other node leads from now on; proposals survive, or do not.
    Elect {
        /// Whether what was proposed will be committed by the new leader.
        survive: bool,
    },
}

impl Model for Leases {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        vec![World::default()]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        if world.silent.iter().any(|silent| *silent < self.ttl) {
            events.push(Event::Tick);
        }
        for worker in 0..TWO {
            if world.silent[worker] > 0 {
                events.push(Event::Beat(worker));
            }
            events.extend(world.held[worker].map(|_| Event::Report(worker)));
            for task in 0..TWO {
                let may = world.tasks[task].phase == Phase::Ready && world.held[worker].is_none();
                if may && world.last_token < self.grants_max {
                    events.extend([true, false].map(|arrives| Event::Grant { worker, task, arrives }));
                }
            }
        }
        events.extend(world.reports.iter().map(|(task, token)| Event::Arrive(*task, *token)));
        for (number, task) in world.tasks.iter().enumerate() {
            let Phase::Leased(worker) = task.phase else { continue };
            let is_new = !world.proposed.contains(&(number, task.token, true));
            if world.silent[worker] >= self.ttl && is_new {
                events.push(Event::ProposeExpiry(number));
            }
        }
        if !world.proposed.is_empty() {
            events.push(Event::Commit);
        }
        if world.elections < self.elections_max {
            events.extend([true, false].map(|survive| Event::Elect { survive }));
        }
    }

    fn next_state(&self, before: &World, event: Event) -> Option<World> {
        let mut world = before.clone();
        match event {
            Event::Tick => {
                for ticks in world.silent.iter_mut().chain(&mut world.quiet) {
                    *ticks = (*ticks + 1).min(self.ttl);
                }
            }
            Event::Beat(worker) => hear(&mut world, worker),
            Event::Grant { worker, task, arrives } => grant(&mut world, worker, task, arrives),
            Event::Report(worker) => {
                let report = world.held[worker].take()?;
                if !world.reports.contains(&report) {
                    world.reports.push(report);
                    world.reports.sort_unstable();
                }
            }
            Event::Arrive(task, token) => self.report(&mut world, task, token),
            Event::ProposeExpiry(task) => self.propose_expiry(&mut world, task)?,
            Event::Commit => {
                let (task, token, _) = world.proposed.remove(0);
                self.expire(&mut world, task, token);
            }
            Event::Elect { survive } => self.elect(&mut world, survive),
        }
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("at most one terminal record", |_, world: &World| !world.wrongs.second_record),
            Property::always("a stale token is never accepted", |_, world: &World| {
                !world.wrongs.stale_accepted
            }),
            Property::always("tokens rise", |_, world: &World| !world.wrongs.token_repeated),
            Property::always("late but unsuperseded wins", |_, world: &World| !world.wrongs.late_refused),
            Property::always("an expiry ends its own lease only", |_, world: &World| {
                !world.wrongs.wrong_lease_ended
            }),
            Property::always("a fail-over ends no lease that lives", |_, world: &World| {
                !world.wrongs.live_lease_ended
            }),
            Property::sometimes("a late report wins", |_, world: &World| world.seen.late_win),
            Property::sometimes("a stale report is refused", |_, world: &World| world.seen.stale_refused),
            Property::sometimes("an expiry is overtaken", |_, world: &World| world.seen.expiry_overtaken),
            Property::sometimes("both tasks end", |_, world: &World| {
                world.tasks.iter().all(|task| matches!(task.phase, Phase::Ended(_)))
            }),
        ]
    }
}

impl Leases {
    fn report(self, world: &mut World, number: usize, token: Token) {
        let task = world.tasks[number];
        let is_newest = task.token == token;
        match task.phase {
            Phase::Ended(_) if !self.has(Flaw::RecordsAreReplaced) => {
                world.seen.stale_refused |= !is_newest;
            }
            Phase::Ended(by) => {
                world.wrongs.second_record |= by != token;
                world.tasks[number].phase = Phase::Ended(token);
            }
            Phase::Ready if is_newest && self.has(Flaw::LateReportsAreRefused) => {
                world.wrongs.late_refused = true;
            }
            Phase::Ready | Phase::Leased(_) if is_newest || self.has(Flaw::StaleReportsCount) => {
                world.wrongs.stale_accepted |= !is_newest;
                world.seen.late_win |= is_newest && task.phase == Phase::Ready;
                world.tasks[number].phase = Phase::Ended(token);
            }
            Phase::Ready | Phase::Leased(_) => world.seen.stale_refused = true,
        }
    }

    fn propose_expiry(self, world: &mut World, number: usize) -> Option<()> {
        let task = world.tasks[number];
        let Phase::Leased(worker) = task.phase else { return None };
        world.wrongs.live_lease_ended |= world.quiet[worker] < self.ttl;
        world.proposed.push((number, task.token, true));
        Some(())
    }

    fn expire(self, world: &mut World, number: usize, token: Token) {
        let task = &mut world.tasks[number];
        let is_its_own = task.token == token;
        if !matches!(task.phase, Phase::Leased(_)) || !is_its_own && !self.has(Flaw::ExpiriesNameNoToken) {
            world.seen.expiry_overtaken = true;
            return;
        }
        world.wrongs.wrong_lease_ended |= !is_its_own;
        task.phase = Phase::Ready;
    }

    fn elect(self, world: &mut World, survive: bool) {
        world.leader = 1 - world.leader;
        world.elections += 1;
        world.quiet = [0; TWO];
        world.silent = if self.has(Flaw::SilenceAtElection) { [self.ttl; TWO] } else { [0; TWO] };
        if survive {
            world.proposed.iter_mut().for_each(|(.., known)| *known = false);
        } else {
            world.proposed.clear();
        }
        if self.has(Flaw::TokensAreSoftState) {
            world.last_token = 0;
        }
    }
}

fn hear(world: &mut World, worker: usize) {
    world.silent[worker] = 0;
    world.quiet[worker] = 0;
}

fn grant(world: &mut World, worker: usize, task: usize, arrives: bool) {
    world.last_token += 1;
    let token = world.last_token;
    world.wrongs.token_repeated |= token <= world.highest;
    world.highest = world.highest.max(token);
    world.tasks[task] = Task { phase: Phase::Leased(worker), token };
    if arrives {
        world.held[worker] = Some((task, token));
    }
    // An acquire is a sign of life.
    hear(world, worker);
}
