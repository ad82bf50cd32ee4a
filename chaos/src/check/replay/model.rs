//! What the cluster should do with each command: a second opinion, written from the guarantees and not from the server.
//!
//! Naive on purpose: plain maps of jobs, two ordered sets to find the next one. It knows fingerprints, never payloads.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use raftwork_api::kernel::{FunctionId, PythonVersion, RequestId, Status, TaskId, WorkerId};

use super::depend::Dependents;
use super::job::{At, Job, PLACES, PRIORITY_MAX};
use super::maps::Maps;
use super::parts::{Parts, Taken};
use crate::check::dossier::{Act, Fact, Moment, Saw};
use crate::check::evidence::request_of;
use crate::history::{FailureKind, Fingerprint, LogCommand, LogEntry, LogItem, Options, Refusal, Retry};

/// Milliseconds that a worker has to report a missed deadline before the state machine acts itself.
pub(super) const RUN_GRACE_MS: u64 = 15_000;
/// Witnessed crashes, and lost workers, after which a task is parked.
pub(super) const CRASHES_MAX: u16 = 3;
pub(super) const LOSSES_MAX: u16 = 20;
/// Most due tasks that one entry moves.
pub(super) const DUE_MAX: usize = 1024;
/// Most tasks that one acquire hands out.
const ACQUIRE_MAX: u16 = 1024;
/// Bounds of a submit.
const ITEMS_MAX: usize = 10_000;
const ATTEMPTS_MAX: u16 = 1000;

/// What the replay tells of an entry.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Commands with their answers, by task.
    pub(crate) facts: Vec<(TaskId, Fact)>,
    /// Tasks that stand elsewhere now.
    pub(crate) moments: Vec<(TaskId, Moment)>,
    /// Leases that were ended as silent.
    pub(crate) expiries: u64,
    /// Tasks that may start now, as all that they run after have ended.
    pub(crate) released: u64,
    /// Tasks that failed because something that they run after ended without a result.
    pub(crate) broken: u64,
    /// Payloads that were put together of parts.
    pub(crate) parts: Taken,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Function {
    code: Fingerprint,
    spec: Fingerprint,
    retry: Retry,
    run_max_ms: Option<u64>,
    pub(super) retention_ms: u64,
    python: Option<PythonVersion>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Deadline,
    Phase,
}

/// The state that the log implies.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(super) now: u64,
    /// What the calendar of the entry says.
    pub(super) calendar: u64,
    tokens: u64,
    seqs: u64,
    pub(super) functions: HashMap<FunctionId, Function>,
    pub(super) jobs: HashMap<TaskId, Job>,
    pub(super) maps: Maps,
    pub(super) parts: Parts,
    pub(super) dependents: Dependents,
    /// By the Python that they need: by priority and age.
    ready: BTreeMap<Option<PythonVersion>, BTreeSet<(u64, u64, TaskId)>>,
    /// By when; what has failed by then comes before what is due then.
    due: BTreeSet<(u64, Due, TaskId)>,
    dated: BTreeSet<(u64, TaskId)>,
    held: HashMap<(WorkerId, RequestId), BTreeSet<(u64, TaskId)>>,
    /// By key: how many may be leased, as the newest submit says, and how many are.
    limits: HashMap<Fingerprint, (u32, u32)>,
    pub(super) touched: BTreeSet<TaskId>,
}

/// An answer: a status where it names one, or a refusal with the newest token where it names that.
pub(super) type Answer = Result<Option<Status>, (Refusal, Option<u64>)>;

fn saw(answer: Answer) -> Saw {
    match answer {
        Ok(status) => Saw::Ok(status),
        Err((code, current)) => Saw::Refused(code, current),
    }
}

impl Model {
    /// Carries out one entry.
    pub(crate) fn apply(&mut self, entry: &LogEntry) -> Told {
        let mut told = Told::default();
        let Some(log_ms) = entry.log_ms else { return told };
        self.advance(log_ms, entry.wall_ms);
        self.parts.begin(entry.term);
        self.begin_turns();
        for command in &entry.commands {
            self.carry_out(command, entry.index, &mut told);
        }
        (told.released, told.broken) = self.settle();
        told.parts = self.parts.tell();
        for task in core::mem::take(&mut self.touched) {
            let sight = self.jobs.get(&task).map(Job::sight);
            told.moments.push((task, Moment { index: entry.index, sight }));
        }
        told
    }

    fn advance(&mut self, log_ms: u64, wall_ms: u64) {
        self.now = self.now.max(log_ms);
        self.calendar = wall_ms;
        self.parts.forget_unfinished(self.now);
        for _ in 0..DUE_MAX {
            let due = self.due.first().filter(|(at, ..)| *at <= self.now).copied();
            let dated = self.dated.first().filter(|(at, _)| *at <= self.calendar).copied();
            match (due, dated) {
                (Some((_, Due::Deadline, task)), _) => self.end(task, Status::Failed, None),
                (Some((_, Due::Phase, task)), _) if matches!(self.jobs[&task].at, At::Pause(_)) => {
                    self.put(task, At::Ready);
                }
                (Some((_, Due::Phase, task)), _) => {
                    let again = !self.jobs[&task].is_final(FailureKind::Timeout, &[]);
                    self.charge(task, FailureKind::Timeout, again);
                }
                (None, Some((_, task))) => self.put(task, At::Ready),
                (None, None) => return,
            }
        }
    }

    fn carry_out(&mut self, command: &LogCommand, index: u64, told: &mut Told) {
        let mut note = |task: TaskId, act: Act, answer: Answer| {
            told.facts.push((task, Fact { index, act, saw: saw(answer) }));
        };
        match command {
            LogCommand::Register { .. } => self.register(command),
            LogCommand::Submit { function, options, items } => {
                let answer = self.submit(*function, options, items);
                for item in items {
                    let request = request_of(*function, options, item.args);
                    note(item.task, Act::Submit { request, delay_ms: options.delay_ms() }, answer);
                }
            }
            LogCommand::Acquire { worker, request, max, python } => {
                for (task, token) in self.acquire(*worker, *request, *max, *python) {
                    let attempt = self.jobs[&task].attempts() + 1;
                    note(task, Act::Grant { token, attempt }, Ok(None));
                }
            }
            LogCommand::Extend { task, token, run_ms } => {
                note(*task, Act::Extend { token: token.0 }, self.extend(*task, token.0, *run_ms));
            }
            LogCommand::Complete { task, token, result } => {
                let answer = self.complete(*task, token.0, *result);
                note(*task, Act::Complete { token: token.0, result: *result }, answer);
            }
            LogCommand::Fail { task, token, kind, classes, retryable } => {
                let answer = self.fail(*task, token.0, *kind, classes, *retryable);
                note(*task, Act::Fail { token: token.0 }, answer);
            }
            LogCommand::Release { task, token } => {
                note(*task, Act::Release { token: token.0 }, self.release(*task, token.0));
            }
            LogCommand::Cancel { task } => note(*task, Act::Cancel, self.cancel(*task)),
            LogCommand::Expire { leases } => {
                for (task, token, started) in leases {
                    told.expiries += u64::from(self.expire(*task, token.0, *started));
                }
            }
            LogCommand::Redrive { task, into } => self.redrive(*task, *into),
            LogCommand::Forget { tasks } => tasks.iter().for_each(|task| self.forget(*task)),
            LogCommand::Store { map, index, items } => self.store(*map, *index, items),
            LogCommand::Map { map, function, options, pieces, digest } => {
                let (tasks, answer) = self.map(*map, (*function, options.clone(), *pieces, *digest));
                for (task, request) in tasks {
                    note(task, Act::Submit { request, delay_ms: options.delay_ms() }, answer);
                }
            }
            LogCommand::StorePart { task, token, index, part, bytes } => {
                self.store_part((*task, token.0), *index, (*part, *bytes));
            }
            LogCommand::CompleteInParts { task, token, whole } => {
                let answer = self.complete_in_parts(*task, token.0, whole);
                note(*task, Act::Complete { token: token.0, result: whole.digest }, answer);
            }
            LogCommand::CancelMap { map } => {
                for task in self.cancel_map(*map) {
                    note(task, Act::Cancel, Ok(Some(Status::Cancelled)));
                }
            }
        }
    }

    fn register(&mut self, command: &LogCommand) {
        let LogCommand::Register { function, code, spec, retry, run_max_ms, retention_ms, python } = command
        else {
            return;
        };
        let (code, spec, retry, python) = (*code, *spec, *retry, *python);
        let (run_max_ms, retention_ms) = (*run_max_ms, *retention_ms);
        let new = Function { code, spec, retry, run_max_ms, retention_ms, python };
        if retry.max_attempts <= ATTEMPTS_MAX {
            self.functions.entry(*function).or_insert(new);
        }
    }

    fn submit(&mut self, function: FunctionId, options: &Options, items: &[LogItem]) -> Answer {
        let too_many_attempts = options.retry.is_some_and(|retry| retry.max_attempts > ATTEMPTS_MAX);
        if items.len() > ITEMS_MAX || options.priority() > PRIORITY_MAX || too_many_attempts {
            return Err((Refusal::TooLarge, None));
        }
        let Some(spec) = self.functions.get(&function).cloned() else {
            return Err((Refusal::UnknownFunction, None));
        };
        let mut wanted: BTreeMap<TaskId, Fingerprint> = BTreeMap::new();
        let mut fresh = Vec::new();
        for item in items {
            let request = request_of(function, options, item.args);
            let before = self.jobs.get(&item.task).map(|job| job.request);
            let known = before.or_else(|| wanted.get(&item.task).copied());
            match known {
                Some(known) if known != request => return Err((Refusal::TaskConflict, None)),
                Some(_) => {}
                None => fresh.push((item.task, request)),
            }
            wanted.insert(item.task, request);
        }
        self.may_depend(fresh.len(), options)?;
        if let (Some(whole), Some((task, _))) = (&options.in_parts, fresh.first()) {
            self.take(*task, 0, whole)?;
        }
        if !fresh.is_empty() {
            self.declare(options);
        }
        for (task, request) in fresh {
            self.accept(task, request, function, &spec, options);
        }
        Ok(None)
    }

    /// What the newest submit says of a limit holds for all tasks under its key.
    pub(super) fn declare(&mut self, options: &Options) {
        if let Some(limit) = options.concurrency {
            self.limits.entry(limit.key).or_default().0 = limit.max;
        }
    }

    fn accept(
        &mut self,
        task: TaskId,
        request: Fingerprint,
        function: FunctionId,
        spec: &Function,
        options: &Options,
    ) {
        let at = match (options.run_at_ms, options.delay_ms()) {
            _ if options.after.is_some() => At::Blocked,
            (Some(at), _) if at > self.calendar => At::Dated(at),
            (Some(_), _) | (None, 0) => At::Ready,
            (None, delay) => At::Pause(self.now.saturating_add(delay)),
        };
        self.insert(task, request, function, spec, options);
        self.take_place(task);
        self.put(task, at);
    }

    /// The next place in the order of acceptance, which nothing else has.
    pub(super) fn next_place(&mut self) -> u64 {
        self.seqs = (self.seqs + 1).max(self.now.saturating_mul(PLACES));
        self.seqs
    }

    /// Gives a job, which is on no list yet, its place.
    pub(super) fn take_place(&mut self, task: TaskId) {
        let place = self.next_place();
        self.jobs.get_mut(&task).expect("only jobs that exist have a place").seq = place;
    }

    /// An item of a map: it stands, and its turn comes.
    pub(super) fn accept_unborn(
        &mut self,
        task: TaskId,
        request: Fingerprint,
        function: FunctionId,
        spec: &Function,
        options: &Options,
    ) {
        self.insert(task, request, function, spec, options);
        self.put(task, At::Unborn(options.delay_ms().max(options.run_at_ms.unwrap_or_default())));
    }

    fn insert(
        &mut self,
        task: TaskId,
        request: Fingerprint,
        function: FunctionId,
        spec: &Function,
        options: &Options,
    ) {
        let job = Job {
            request,
            function,
            options: options.clone(),
            seq: 0,
            accepted: self.now,
            priority: options.priority(),
            python: options.python.or(spec.python),
            retry: options.retry.unwrap_or(spec.retry),
            run_max_ms: options.run_max_ms.or(spec.run_max_ms),
            retention_ms: spec.retention_ms,
            limit: options.concurrency.map(|limit| limit.key),
            token: 0,
            failures: 0,
            crashes: 0,
            losses: 0,
            // Nowhere yet: `put` takes it from where it was to where it is.
            at: At::Ended(Status::Waiting, None, u64::MAX),
        };
        self.jobs.insert(task, job);
        // It was submitted long ago, maybe: this holds if nobody has said anything since.
        if let Some(limit) = options.concurrency {
            self.limits.entry(limit.key).or_insert((limit.max, 0));
        }
    }

    /// Moves a job; the ordered sets follow.
    pub(super) fn put(&mut self, task: TaskId, at: At) {
        let job = self.jobs.get_mut(&task).expect("only jobs that exist are moved");
        let rank = (job.rank(), job.seq, task);
        job.deadline().map(|at| self.due.remove(&(at, Due::Deadline, task)));
        match job.at {
            At::Pause(due) => {
                self.due.remove(&(due, Due::Phase, task));
            }
            At::Dated(at) => {
                self.dated.remove(&(at, task));
            }
            At::Ready => {
                self.ready.entry(job.python).or_default().remove(&rank);
            }
            At::Held(worker, request, until) => {
                until.map(|until| self.due.remove(&(until, Due::Phase, task)));
                let held = self.held.entry((worker, request)).or_default();
                held.remove(&(job.token, task));
                if let Some(key) = job.limit {
                    self.limits.entry(key).or_default().1 -= 1;
                }
                if held.is_empty() {
                    self.held.remove(&(worker, request));
                }
            }
            At::Unborn(_) | At::Blocked | At::Ended(..) => {}
        }
        job.at = at;
        self.dependents.note((job.seq, task), job);
        self.due.extend(job.deadline().map(|at| (at, Due::Deadline, task)));
        match at {
            At::Pause(due) => {
                self.due.insert((due, Due::Phase, task));
            }
            At::Dated(at) => {
                self.dated.insert((at, task));
            }
            At::Ready => {
                self.ready.entry(job.python).or_default().insert(rank);
            }
            At::Held(worker, request, until) => {
                self.due.extend(until.map(|until| (until, Due::Phase, task)));
                self.held.entry((worker, request)).or_default().insert((job.token, task));
                if let Some(key) = job.limit {
                    self.limits.entry(key).or_default().1 += 1;
                }
            }
            At::Unborn(_) | At::Blocked | At::Ended(..) => {}
        }
        self.touched.insert(task);
    }

    /// Whether as many tasks under its key are leased as may be.
    fn is_held_back(&self, task: TaskId) -> bool {
        let limit = self.jobs[&task].limit.and_then(|key| self.limits.get(&key));
        limit.is_some_and(|(max, held)| held >= max)
    }

    fn acquire(
        &mut self,
        worker: WorkerId,
        request: RequestId,
        max: u16,
        python: PythonVersion,
    ) -> Vec<(TaskId, u64)> {
        if let Some(held) = self.held.get(&(worker, request)) {
            return held.iter().map(|(token, task)| (*task, *token)).collect();
        }
        let mut granted = Vec::new();
        for _ in 0..max.min(ACQUIRE_MAX) {
            let heads = [None, Some(python)];
            let may_start = |(.., task): &&(u64, u64, TaskId)| !self.is_held_back(*task);
            let heads = heads.iter().filter_map(|python| self.ready.get(python)?.iter().find(may_start));
            let Some(&(.., task)) = heads.min() else { break };
            // More may have missed their time than one entry ends; each takes a turn.
            if self.jobs[&task].deadline().is_some_and(|at| at <= self.now) {
                self.end(task, Status::Failed, None);
                continue;
            }
            // Off the list first: the token is part of where a lease is listed.
            self.put(task, At::Ended(Status::Queued, None, u64::MAX));
            self.tokens += 1;
            let job = self.jobs.get_mut(&task).expect("a ready job exists");
            job.token = self.tokens;
            let until = job.run_max_ms.map(|run| self.now.saturating_add(run).saturating_add(RUN_GRACE_MS));
            self.put(task, At::Held(worker, request, until));
            granted.push((task, self.tokens));
        }
        granted
    }

    /// No submit asks for the same as a redrive, so its request is like no other.
    fn redrive(&mut self, task: TaskId, into: TaskId) {
        let Some(job) = self.jobs.get(&task) else { return };
        let failed = matches!(job.at, At::Ended(Status::Failed | Status::Parked, ..));
        // Arguments in parts are those of one task.
        if !failed || self.jobs.contains_key(&into) || job.options.in_parts.is_some() {
            return;
        }
        let (function, options) =
            (job.function, Options { delay_ms: None, run_at_ms: None, ..job.options.clone() });
        let spec = self.functions[&function].clone();
        if self.may_depend(1, &options).is_err() {
            return;
        }
        let request = Fingerprint::of(format!("redrive of {task}").as_bytes());
        self.accept(into, request, function, &spec, &options);
    }

    fn forget(&mut self, task: TaskId) {
        self.forget_map(task);
        let due = self
            .jobs
            .get(&task)
            .is_some_and(|job| matches!(job.at, At::Ended(_, _, expires) if expires <= self.now));
        if due && !self.is_needed(task) {
            self.jobs.remove(&task);
            self.touched.insert(task);
        }
    }
}
