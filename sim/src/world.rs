//! The whole simulation: machines, network, those outside, and the time that passes for all of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use raftwork_kernel::Rows;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

use crate::audit::{Audit, NodeWatch};
use crate::chance::Chance;
use crate::client::Client;
use crate::clock;
use crate::disk::SimDisk;
use crate::faults::{Fault, Plan, Repair};
use crate::host::{self, Host};
use crate::net::{MILLISECOND, Net, OUTSIDE, Place};
use crate::outside::{Directory, Outside, Season};
use crate::reader::Reader;
use crate::trace::{Trace, seconds};
use crate::worker::Worker;

/// Steps of time that a run may have. Nothing travels faster than its step, so that what happens in a step at one place
/// matters nowhere else in it. Short steps take long to simulate: most runs have long ones.
const STEPS_MS: [u64; 6] = [2, 5, 10, 10, 10, 10];
/// Shortest and longest times without a leader before an election. For the longest, an old leader may believe to lead; where
/// they differ much, a new one often comes long before that.
const ELECTIONS_MS: [(u64, u64); 3] = [(450, 900), (300, 900), (300, 1500)];
/// How often it is asked who leads: much less than an election takes.
const LEADER_SIGNS: u64 = 50 * MILLISECOND;
/// How often it is asked whether a node's Raft still lives.
const LIFE_SIGNS: u64 = 200 * MILLISECOND;
const SECOND: u64 = 1000 * MILLISECOND;
/// How long a healed cluster may take to have a leader and to finish what it accepted.
const RECOVERY_MAX: u64 = 90 * SECOND;
/// How long readers look closely once the leadership is in doubt.
const CLOSELY: u64 = 2 * SECOND;
/// Silence after which a worker has lost its leases.
const TTL: u64 = 2500 * MILLISECOND;
const HEARTBEAT: Duration = Duration::from_millis(600);

/// How to simulate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) seed: u64,
    /// How long faults last, in seconds.
    pub(crate) seconds: u64,
    /// Whether the trace is kept as text.
    pub(crate) text: bool,
}

/// What came of it.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Report {
    /// The seed.
    pub(crate) seed: u64,
    /// Hash over everything that happened.
    pub(crate) hash: String,
    /// Number of things that happened.
    pub(crate) events: u64,
    /// Tasks that were accepted.
    pub(crate) tasks: u64,
    /// Faults that struck.
    pub(crate) faults: u64,
    /// How often each fault struck, and what else a run is to exercise.
    pub(crate) coverage: BTreeMap<String, u64>,
    /// Virtual seconds.
    pub(crate) seconds: f64,
    /// What was wrong, if anything was.
    pub(crate) violation: Option<String>,
}

impl Report {
    /// Of a simulation that came to no end.
    pub(crate) fn hung(seed: u64) -> Self {
        Self::without_end(
            seed,
            "I11: it comes to no end: something turns in a circle while no time passes".to_owned(),
        )
    }

    /// Of a simulation that did not live to tell.
    pub(crate) fn without_end(seed: u64, violation: String) -> Self {
        let (hash, violation) = (String::new(), Some(violation));
        Self {
            seed,
            hash,
            events: 0,
            tasks: 0,
            faults: 0,
            coverage: BTreeMap::new(),
            seconds: 0.0,
            violation,
        }
    }
}

/// The simulation.
pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) nodes: u64,
    /// Until then, whoever votes first loses its power at once.
    pub(crate) voters_die_until: u64,
    step: u64,
    pub(crate) chance: Chance,
    pub(crate) net: Net,
    pub(crate) trace: Trace,
    /// Where clients and workers are.
    pub(crate) places: Vec<Place>,
    pub(crate) struck: BTreeMap<Fault, u64>,
    hosts: Vec<Host>,
    audit: Audit,
    plan: Plan,
    repairs: Vec<(u64, Repair)>,
    /// Who led when somebody last did.
    led: Option<Place>,
    outside: Runtime,
    reached: Instant,
    directory: Directory,
    season: Arc<Mutex<Season>>,
}

impl World {
    /// Sets everything up in `folder`, which is empty.
    pub(crate) fn new(options: Options, folder: &Path) -> Self {
        clock::set(0);
        let mut chance = Chance::new(options.seed);
        let trace = Trace::new(options.text);
        let step = chance.pick(&STEPS_MS).unwrap_or(1) * MILLISECOND;
        let net = Net::new(chance.fork(), trace.clone(), step);
        let audit = Audit::new(trace.clone());
        let nodes = chance.pick(&[1, 3, 3, 3, 3, 5]).unwrap_or(3);
        let plan = Plan::draw(&mut chance);
        let config = Arc::new(host::config(folder, nodes, &settings(&mut chance)));
        let hosts = (1..=nodes).map(|id| {
            let watch = Arc::new(NodeWatch { node: id, audit: audit.clone() });
            let disk = SimDisk::new(chance.fork(), watch);
            audit.watch_disk(id, disk.clone());
            let fast = i64::try_from(chance.within(0..80_000)).unwrap_or(0) - 40_000;
            Host::new(id, disk, net.clone(), Arc::clone(&config), audit.clone(), fast)
        });
        let hosts: Vec<Host> = hosts.collect();
        let outside = Builder::new_current_thread().enable_time().start_paused(true).build();
        let outside = outside.expect("a runtime without threads or sockets needs nothing");
        let reached = outside.block_on(async { Instant::now() });
        let mut world = Self {
            now: 0,
            nodes,
            voters_die_until: 0,
            step,
            net,
            trace,
            places: Vec::new(),
            struck: BTreeMap::new(),
            hosts,
            audit,
            plan,
            repairs: Vec::new(),
            led: None,
            outside,
            reached,
            directory: Directory::default(),
            season: Arc::default(),
            chance,
        };
        world.populate();
        world
    }

    fn populate(&mut self) {
        let clients = self.chance.within(1..4);
        let workers = self.chance.within(1..5);
        for _ in 0..clients {
            let client = Client::new(self.settle());
            self.outside.spawn(client.run());
        }
        for _ in 0..workers {
            let worker = Worker::new(self.settle(), HEARTBEAT);
            self.outside.spawn(worker.run());
        }
        let hurried = Client::new(self.settle());
        self.outside.spawn(hurried.hurry());
        let reader = Reader::new(self.settle());
        self.outside.spawn(reader.run());
    }

    /// A new place outside.
    fn settle(&mut self) -> Outside {
        let place = OUTSIDE + self.places.len() as u64;
        self.places.push(place);
        Outside {
            place,
            net: self.net.clone(),
            audit: self.audit.clone(),
            chance: self.chance.fork(),
            season: Arc::clone(&self.season),
            directory: Arc::clone(&self.directory),
            nodes: self.nodes,
            leader: 1,
        }
    }

    /// Runs it: faults for a while, then a time in which everything must come right.
    pub(crate) fn run(mut self, options: Options) -> (Report, Vec<String>) {
        for place in 1..=self.nodes {
            self.start(place);
        }
        let faults_end = options.seconds * SECOND;
        let mut next_fault = self.plan.next(2 * SECOND, &mut self.chance);
        while self.now < faults_end && self.audit.violation().is_none() {
            if self.now >= next_fault {
                if let Some(fault) = self.plan.pick(&mut self.chance) {
                    self.strike(fault);
                }
                next_fault = self.plan.next(self.now, &mut self.chance);
            }
            self.step();
        }
        self.heal();
        while self.audit.violation().is_none() && !self.is_done() {
            if self.now > faults_end + RECOVERY_MAX {
                self.audit.violate(self.not_done());
                break;
            }
            self.step();
        }
        if self.audit.violation().is_none() {
            self.compare_nodes();
        }
        self.report(options.seed)
    }

    fn step(&mut self) {
        for (_, repair) in self.repairs.extract_if(.., |(at, _)| *at <= self.now).collect::<Vec<_>>() {
            self.repair(repair);
        }
        let mut voters = Vec::new();
        for host in &mut self.hosts {
            if host.step(self.now, self.step) {
                voters.push(host.id);
            }
        }
        if self.now % LIFE_SIGNS < self.step {
            self.hosts.iter().for_each(Host::check_life);
        }
        let (now, start) = (self.now, self.reached);
        self.reached += Duration::from_nanos(self.step);
        let until = self.reached;
        self.outside.block_on(async {
            clock::enter(now, start, now, 0, 0);
            tokio::time::sleep_until(until).await;
        });
        self.now += self.step;
        clock::set(self.now);
        if self.now < self.voters_die_until {
            self.kill_a_voter(&voters);
        }
        if self.now % LEADER_SIGNS < self.step {
            let leader = self.leader();
            if leader.is_some() && leader != self.led {
                self.led = leader;
                self.audit.count("elections");
            }
        }
    }

    fn start(&mut self, node: Place) {
        let now = self.now;
        let host = self.host(node);
        if !host.is_up() {
            host.start(now);
            self.trace.event("start", &[node], &[]);
        }
        self.list_calls();
    }

    /// Those outside can call the nodes that run.
    pub(crate) fn list_calls(&self) {
        let calls = self.hosts.iter().filter_map(|host| Some((host.id, host.calls()?)));
        *self.directory.lock().unwrap_or_else(PoisonError::into_inner) = calls.collect();
    }

    pub(crate) fn host(&mut self, node: Place) -> &mut Host {
        let place = usize::try_from(node - 1).expect("nodes are few");
        &mut self.hosts[place]
    }

    /// A node that believes to lead.
    pub(crate) fn leader(&self) -> Option<Place> {
        let leads = |host: &&Host| host.group().is_some_and(|group| group.leads());
        self.hosts.iter().find(leads).map(|host| host.id)
    }

    pub(crate) fn repair_at(&mut self, after: u64, repair: Repair) {
        self.repairs.push((self.now + after, repair));
    }

    fn repair(&mut self, repair: Repair) {
        self.trace.note(&format!("{repair:?}"));
        match repair {
            Repair::Start(node) => self.start(node),
            Repair::Network => self.net.heal(),
            Repair::Disk(node) => self.host(node).disk.set_sync(Duration::from_millis(2)),
            Repair::Folder(node) => {
                self.put_folder_back(node);
                self.start(node);
            }
        }
    }

    fn put_folder_back(&mut self, node: Place) {
        let host = self.host(node);
        if host.is_emptied() {
            host.put_folder_back();
        }
    }

    /// Number of nodes that lack their folder.
    pub(crate) fn emptied(&self) -> u64 {
        self.hosts.iter().filter(|host| host.is_emptied()).count() as u64
    }

    /// Everything that was broken works again.
    fn heal(&mut self) {
        self.trace.note("healed");
        self.repairs.clear();
        self.voters_die_until = 0;
        self.net.heal();
        for node in 1..=self.nodes {
            self.put_folder_back(node);
            let host = self.host(node);
            host.paused_until = 0;
            host.disk.set_sync(Duration::from_millis(2));
            self.start(node);
        }
        self.season.lock().unwrap_or_else(PoisonError::into_inner).healed = true;
    }

    /// Whoever reads shall look closely for a while: something may be seen now that must not be.
    pub(crate) fn look_closely(&self) {
        let until = self.now + CLOSELY;
        self.season.lock().unwrap_or_else(PoisonError::into_inner).closely_until = until;
    }

    /// Every node runs, has applied the same, and every accepted task has ended.
    fn is_done(&self) -> bool {
        if self.audit.unfinished_count() > 0 {
            return false;
        }
        let applied: Vec<Option<u64>> =
            self.hosts.iter().map(|host| Some(host.group()?.replica().applied_index())).collect();
        let together = applied.iter().all(|index| index.is_some() && *index == applied[0]);
        together && self.leader().is_some()
    }

    fn not_done(&self) -> String {
        let applied: Vec<_> =
            self.hosts.iter().map(|host| host.group().map(|g| g.replica().applied_index())).collect();
        let unfinished = self.audit.unfinished();
        format!(
            "I11: {} s after everything was put right, node {:?} leads, {} tasks have not ended ({:?}), applied {applied:?}",
            RECOVERY_MAX / SECOND,
            self.leader(),
            unfinished.len(),
            unfinished.first()
        )
    }

    /// Every node holds the same rows, and every record that was decided.
    fn compare_nodes(&self) {
        let groups: Vec<_> = self.hosts.iter().filter_map(|host| Some((host.id, host.group()?))).collect();
        let digests: Vec<_> = groups.iter().map(|(_, group)| group.digest()).collect();
        if digests
            .iter()
            .any(|digest| digest.applied == digests[0].applied && digest.digest != digests[0].digest)
        {
            self.audit.violate(format!("I8: nodes differ: {digests:?}"));
        }
        for (task, record) in self.audit.records() {
            for (node, group) in &groups {
                if group.replica().rows().record(&task) != record {
                    self.audit.violate(format!("I1: node {node} has not the record of task {task}"));
                }
            }
        }
    }

    fn coverage(&self) -> BTreeMap<String, u64> {
        let struck = self.struck.iter().map(|(fault, times)| (format!("{fault:?}"), *times));
        let seen = self.audit.coverage();
        struck.chain(seen.into_iter().map(|(what, times)| (what.to_owned(), times))).collect()
    }

    fn report(mut self, seed: u64) -> (Report, Vec<String>) {
        let (hash, events) = self.trace.hash();
        let report = Report {
            seed,
            hash: format!("{hash:016x}"),
            events,
            tasks: self.audit.records().len() as u64,
            faults: self.struck.values().sum(),
            coverage: self.coverage(),
            seconds: seconds(self.now),
            violation: self.audit.violation(),
        };
        for host in &mut self.hosts {
            host.crash();
        }
        (report, self.trace.take_text())
    }
}

/// Small snapshots often, short leases: what takes hours in a cluster shall happen in a minute.
fn settings(chance: &mut Chance) -> String {
    let every = chance.within(20..200);
    let keep = chance.within(5..50);
    let (election_min, election_max) = chance.pick(&ELECTIONS_MS).unwrap_or((450, 900));
    format!(
        "[raft]\nheartbeat = \"150ms\"\nelection_min = \"{election_min}ms\"\nelection_max = \"{election_max}ms\"\nsnapshot_every = {every}\n\
         keep_log = {keep}\n[worker]\nlease_ttl = \"{}ms\"\nheartbeat = \"{}ms\"\nstart_deadline = \"1000ms\"\n",
        TTL / MILLISECOND,
        HEARTBEAT.as_millis()
    )
}
