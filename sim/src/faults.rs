//! What goes wrong, and when: drawn from the seed as the simulation goes, so that the leader can be aimed at.

use std::time::Duration;

use crate::chance::Chance;
use crate::net::{MILLISECOND, Place};
use crate::world::World;

const SECOND: u64 = 1000 * MILLISECOND;
/// How long somebody's vote is waited for.
const VOTERS_DIE: u64 = 8 * SECOND;
/// The longest that a restart takes which is to be quick.
const AT_ONCE: u64 = 60 * MILLISECOND;

/// Something that is put right again at a given time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Repair {
    Start(Place),
    Network,
    Disk(Place),
    Folder(Place),
}

/// Kinds of faults; a run draws which of them it has, so that some runs are gentle and some go all one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    Crash,
    CrashLeader,
    CrashAll,
    FastRestart,
    CrashVoter,
    Overthrow,
    Pause,
    PauseLeader,
    Isolate,
    IsolateLeader,
    OneWay,
    Bridge,
    Reset,
    SlowLink,
    Lossy,
    SlowDisk,
    WallJump,
    EmptyFolder,
}

const KINDS: [Fault; 18] = [
    Fault::Crash,
    Fault::CrashLeader,
    Fault::CrashAll,
    Fault::FastRestart,
    Fault::CrashVoter,
    Fault::Overthrow,
    Fault::Pause,
    Fault::PauseLeader,
    Fault::Isolate,
    Fault::IsolateLeader,
    Fault::OneWay,
    Fault::Bridge,
    Fault::Reset,
    Fault::SlowLink,
    Fault::Lossy,
    Fault::SlowDisk,
    Fault::WallJump,
    Fault::EmptyFolder,
];

impl Fault {
    /// Whether two may believe to lead because of it.
    const fn puts_leadership_in_doubt(self) -> bool {
        matches!(
            self,
            Self::CrashLeader
                | Self::CrashVoter
                | Self::Overthrow
                | Self::PauseLeader
                | Self::IsolateLeader
                | Self::Bridge
        )
    }
}

/// The kinds of one run, and the longest pause between two faults.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    kinds: Vec<Fault>,
    pause_max: u64,
}

impl Plan {
    pub(crate) fn draw(chance: &mut Chance) -> Self {
        let kinds: Vec<Fault> = KINDS.into_iter().filter(|_| chance.permille(600)).collect();
        Self { kinds, pause_max: chance.within(1..5) * SECOND }
    }

    /// When the next fault comes.
    pub(crate) fn next(&self, now: u64, chance: &mut Chance) -> u64 {
        now + chance.within(100 * MILLISECOND..self.pause_max)
    }

    pub(crate) fn pick(&self, chance: &mut Chance) -> Option<Fault> {
        chance.pick(&self.kinds)
    }
}

impl World {
    /// Does the fault, and notes when it is to be put right.
    pub(crate) fn strike(&mut self, fault: Fault) {
        let node = self.chance.within(1..self.nodes + 1);
        let leader = self.leader().unwrap_or(node);
        // Long enough, now and then, that a node comes back to a log that is gone.
        let longest = if self.chance.permille(150) { 20 } else { 5 };
        let lasts = self.chance.within(100 * MILLISECOND..longest * SECOND);
        self.trace.note(&format!("{fault:?} node {node} leader {leader} for {} ms", lasts / MILLISECOND));
        *self.struck.entry(fault).or_insert(0) += 1;
        let all: Vec<Place> = (1..=self.nodes).collect();
        if fault.puts_leadership_in_doubt() {
            self.look_closely();
        }
        match fault {
            Fault::Crash => self.crash(&[node], lasts),
            Fault::CrashLeader => self.crash(&[leader], lasts),
            Fault::CrashAll => self.crash(&all, lasts),
            Fault::FastRestart => self.crash(&[node], MILLISECOND),
            Fault::CrashVoter => {
                self.isolate(leader, lasts);
                self.voters_die_until = self.now + VOTERS_DIE;
            }
            Fault::Overthrow => self.overthrow(leader, lasts),
            Fault::Pause => self.pause(node, lasts),
            Fault::PauseLeader => self.pause(leader, lasts),
            Fault::Isolate => self.isolate(node, lasts),
            Fault::IsolateLeader => self.isolate(leader, lasts),
            Fault::OneWay => {
                let other = self.chance.within(1..self.nodes + 1);
                self.cut(&[(node, other)], lasts);
            }
            Fault::Bridge => {
                // Everybody but one hears only that one.
                let others: Vec<Place> = all.iter().copied().filter(|other| *other != node).collect();
                let links: Vec<_> =
                    others.iter().flat_map(|a| others.iter().map(move |b| (*a, *b))).collect();
                self.cut(&links, lasts);
            }
            Fault::Reset => {
                let other = self.chance.within(1..self.nodes + 1);
                self.net.reset(node, other);
            }
            Fault::SlowLink => {
                let delay = self.chance.within(20..800) * MILLISECOND;
                self.net.slow(node, delay);
                self.repair_at(lasts, Repair::Network);
            }
            Fault::Lossy => {
                let permille = self.chance.within(20..300);
                self.net.lose(permille);
                self.repair_at(lasts, Repair::Network);
            }
            Fault::SlowDisk => {
                let takes = Duration::from_millis(self.chance.within(20..700));
                self.host(node).disk.set_sync(takes);
                self.repair_at(lasts, Repair::Disk(node));
            }
            Fault::WallJump => {
                let ahead = self.chance.within(0..7200) * SECOND;
                self.host(node).wall_ahead = i64::try_from(ahead).unwrap_or(0) - 3_600_000_000_000;
            }
            Fault::EmptyFolder => self.empty_folder(node, lasts),
        }
    }

    fn crash(&mut self, nodes: &[Place], lasts: u64) {
        for node in nodes {
            self.host(*node).crash();
            let later = self.chance.within(0..500 * MILLISECOND);
            self.repair_at(lasts + later, Repair::Start(*node));
        }
        self.list_calls();
    }

    /// Whoever has just voted loses its power before it does anything else, and is back at once.
    pub(crate) fn kill_a_voter(&mut self, voters: &[Place]) {
        let Some(voter) = self.chance.pick(voters) else { return };
        self.trace.note(&format!("node {voter} has voted, and dies"));
        self.voters_die_until = 0;
        self.restart_at_once(&[voter]);
    }

    /// The leader hears nobody any more, and all others have forgotten that they followed it: they elect sooner than it
    /// can notice. Those outside still reach it.
    fn overthrow(&mut self, leader: Place, lasts: u64) {
        let others: Vec<Place> = (1..=self.nodes).filter(|node| *node != leader).collect();
        let links: Vec<_> = others.iter().flat_map(|other| [(leader, *other), (*other, leader)]).collect();
        self.cut(&links, lasts);
        self.restart_at_once(&others);
    }

    /// Somebody exchanges a node's data folder for an empty one, and puts the right one back later. A majority keeps its own:
    /// if all were empty, they would be a new cluster.
    fn empty_folder(&mut self, node: Place, lasts: u64) {
        let is_minority = (self.emptied() + 1) * 2 < self.nodes;
        let host = self.host(node);
        // With nothing applied, it may be a new node yet.
        let is_member = host.group().is_some_and(|group| group.replica().applied_index() > 0);
        if !is_minority || !is_member || host.is_emptied() {
            return;
        }
        host.exchange_folder();
        let after = self.chance.within(MILLISECOND..AT_ONCE);
        self.repair_at(after, Repair::Start(node));
        self.repair_at(lasts + AT_ONCE, Repair::Folder(node));
        self.list_calls();
    }

    fn restart_at_once(&mut self, nodes: &[Place]) {
        for node in nodes {
            self.host(*node).crash();
            let after = self.chance.within(MILLISECOND..AT_ONCE);
            self.repair_at(after, Repair::Start(*node));
        }
        self.list_calls();
    }

    fn pause(&mut self, node: Place, lasts: u64) {
        let until = self.now + lasts;
        self.host(node).paused_until = until;
    }

    /// Cuts a node off from its peers, and sometimes from those outside, too.
    fn isolate(&mut self, node: Place, lasts: u64) {
        let mut links: Vec<(Place, Place)> = (1..=self.nodes)
            .filter(|other| *other != node)
            .flat_map(|other| [(node, other), (other, node)])
            .collect();
        if self.chance.permille(400) {
            links.extend(self.places.iter().flat_map(|place| [(node, *place), (*place, node)]));
        }
        self.cut(&links, lasts);
    }

    fn cut(&mut self, links: &[(Place, Place)], lasts: u64) {
        self.net.cut(links.iter().copied().filter(|(from, to)| from != to));
        if self.chance.permille(300) {
            for (from, to) in links {
                self.net.reset(*from, *to);
            }
        }
        self.repair_at(lasts, Repair::Network);
    }
}
