//! The kernel against a naive model: one list of jobs, scanned from end to end for everything.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use proptest::prelude::*;
use raftwork_kernel::{
    Accepted, Acquire, Command, Ended, Entry, Event, Fail, FailureKind, FunctionId, FunctionSpec, Grant,
    LeaseRef, LogTime, Map, MapId, Millis, Piece, Redrive, Rejection, Reply, RequestId, RetryPolicy, Rule,
    Rules, Status, Store, Submit, Tags, TaskId, TaskOptions, Token, WorkerId, limits,
};

use crate::support::actions::{Step, World, steps};
use crate::support::group::Group;
use crate::support::transcript;

const NEVER_STARTS: &str =
    "the task could never start: its delay is not shorter than its start_by or its total_timeout";

fn never_starts(options: &TaskOptions, rules: &Rules) -> bool {
    let shorter = |span: Option<Millis>| span.is_some_and(|span| span <= options.delay);
    shorter(rules.start_by()) || shorter(rules.total())
}

/// Refuses rules that make no sense, by themselves or with the options.
fn sensible(options: &TaskOptions, rules: &Rules) -> Result<(), Rejection> {
    rules.check().map_err(Rejection::Invalid)?;
    if options.delay.0 > 0 && rules.run_at().is_some() {
        let text = "a task waits for its delay or for its run_at, not for both";
        return Err(Rejection::Invalid(text.to_owned()));
    }
    if never_starts(options, rules) {
        return Err(Rejection::Invalid(NEVER_STARTS.to_owned()));
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Model {
    now: u64,
    calendar: u64,
    grants: u64,
    functions: Vec<(FunctionId, FunctionSpec)>,
    /// In the order of acceptance.
    jobs: Vec<Job>,
    seqs: u64,
    events: Vec<Event>,
    maps: Vec<Many>,
    /// Pieces of maps that are being sent, and when they are forgotten.
    uploads: BTreeMap<MapId, (BTreeMap<u32, Piece>, u64)>,
    /// Items that this entry has turned into jobs.
    turns: usize,
}

/// A map: what it is made of, and what became of its items.
#[derive(Debug, Clone)]
struct Many {
    id: MapId,
    request: Map,
    spec: FunctionSpec,
    pieces: Vec<Vec<Bytes>>,
    accepted: u64,
    begins: u64,
    next: usize,
    items: Vec<Turn>,
    /// Where it stood when it was cancelled.
    cancelled: Option<usize>,
    /// When it is forgotten, once it has ended.
    done: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Turn {
    ToCome,
    Lives,
    Ended(Status),
}

impl Many {
    fn live(&self) -> usize {
        self.items.iter().filter(|turn| **turn == Turn::Lives).count()
    }

    fn counts(&self, status: Status) -> usize {
        self.items.iter().filter(|turn| **turn == Turn::Ended(status)).count()
    }

    const fn lives(&self) -> bool {
        self.done.is_none()
    }
}

#[derive(Debug, Clone)]
struct Job {
    id: TaskId,
    request: (FunctionId, TaskOptions, Bytes, Rules),
    spec: FunctionSpec,
    token: u64,
    at: At,
    failures: u16,
    crashes: u16,
    losses: u16,
    returns: u16,
    accepted: u64,
    /// Place in the order of acceptance, which has the time in it.
    seq: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum At {
    Pause(u64),
    Dated(u64),
    Ready,
    Held(WorkerId, RequestId, Option<u64>),
    Done(Status, u64),
}

impl Job {
    /// What time alone will do to it, and when; what it misses comes first.
    fn due(&self) -> Option<(u64, bool)> {
        let phase = match self.at {
            At::Pause(due) => Some(due),
            At::Held(_, _, until) => until,
            At::Ready | At::Dated(_) => None,
            At::Done(..) => return None,
        };
        let missed = self.deadline().map(|at| (at, false));
        missed.into_iter().chain(phase.map(|at| (at, true))).min()
    }

    fn deadline(&self) -> Option<u64> {
        let after = |span: Millis| self.accepted.saturating_add(span.0);
        let started = matches!(self.at, At::Held(..)) || self.failures + self.crashes + self.losses > 0;
        let start_by = self.request.3.start_by().filter(|_| !started);
        start_by.into_iter().chain(self.request.3.total()).map(after).min()
    }

    fn retry(&self) -> RetryPolicy {
        self.request.1.retry.unwrap_or(self.spec.retry)
    }

    fn run_max(&self) -> Option<Millis> {
        self.request.1.run_max.or(self.spec.run_max)
    }

    fn suits(&self, acquire: &Acquire, tags: &Tags) -> bool {
        let python = self.request.1.python.or(self.spec.python);
        python.is_none_or(|python| python == acquire.python)
            && self.request.3.tags().iter().all(|needed| tags.iter().any(|offered| offered == needed))
    }

    /// Whether it must not be tried again after this. The random names have no modules that could be left out.
    fn is_final(&self, kind: FailureKind, bases: &[String]) -> bool {
        let named =
            |name: &str| self.request.3.no_retry().is_some_and(|names| names.iter().any(|n| n == name));
        let timeout = kind == FailureKind::Timeout && named("TimeoutError");
        timeout || bases.iter().any(|base| named(base))
    }

    fn grant(&self) -> Grant {
        let attempt = 1 + self.failures + self.crashes + self.losses;
        Grant { task: self.id, token: Token(self.token), attempt, run_max: self.run_max() }
    }

    const fn status(&self) -> Status {
        match self.at {
            At::Pause(_) | At::Dated(_) => Status::Waiting,
            At::Ready => Status::Queued,
            At::Held(..) => Status::Running,
            At::Done(status, _) => status,
        }
    }
}

impl Model {
    fn apply(&mut self, entry: &Entry) -> Vec<Reply> {
        self.now = self.now.max(entry.log_time.0);
        while let Some(i) = self.first_due() {
            if matches!(self.jobs[i].due(), Some((_, false))) {
                self.give_up(i);
            } else if matches!(self.jobs[i].at, At::Pause(_)) {
                self.jobs[i].at = At::Ready;
            } else {
                self.stop(i);
                let retryable = !self.jobs[i].is_final(FailureKind::Timeout, &[]);
                self.charge(i, FailureKind::Timeout, retryable);
            }
        }
        self.calendar = entry.wall_time.0;
        // A single entry has never more to do than it may.
        for job in &mut self.jobs {
            if matches!(job.at, At::Dated(at) if at <= entry.wall_time.0) {
                job.at = At::Ready;
            }
        }
        self.uploads.retain(|_, (_, end)| *end > self.now);
        self.turns = 0;
        self.give_turns();
        entry.commands.iter().map(|command| self.command(command)).collect()
    }

    /// Of the map with the fewest live items first, a run of at most 256 out of one piece, 1024 in one entry.
    fn give_turns(&mut self) {
        while self.turns < limits::EXPANDED_PER_ENTRY_MAX {
            let hungry = (0..self.maps.len()).filter(|m| {
                let map = &self.maps[*m];
                map.lives() && map.begins <= self.now && map.next < map.items.len()
            });
            let Some(m) = hungry.min_by_key(|m| (self.maps[*m].live(), self.maps[*m].id)) else { return };
            let map = &self.maps[m];
            let room = limits::MAP_LIVE_MAX - map.live();
            let mut offset = map.next;
            let piece = map.pieces.iter().find(|piece| {
                let here = offset < piece.len();
                offset -= if here { 0 } else { piece.len() };
                here
            });
            let most = room.min(256).min(limits::EXPANDED_PER_ENTRY_MAX - self.turns);
            let run: Vec<Bytes> =
                piece.expect("it has items left").iter().skip(offset).take(most).cloned().collect();
            for args in run {
                self.turns += 1;
                self.give_turn(m, args);
                if !self.maps[m].lives() {
                    break;
                }
            }
            self.end_map(m);
        }
    }

    fn give_turn(&mut self, m: usize, args: Bytes) {
        let map = &mut self.maps[m];
        let (i, id) = (map.next, map.id.item(u32::try_from(map.next).expect("a short map")));
        map.next += 1;
        let cancelled = matches!(map.items[i], Turn::Ended(_));
        let there = self.jobs.iter().find(|job| job.id == id).map(|job| job.at);
        map.items[i] = match there {
            _ if cancelled => map.items[i],
            Some(At::Done(status, _)) => Turn::Ended(status),
            Some(At::Pause(_) | At::Dated(_) | At::Ready | At::Held(..)) | None => Turn::Lives,
        };
        if there.is_some() {
            return;
        }
        let Map { function, options, rules, .. } = map.request.clone();
        let (spec, accepted) = (map.spec.clone(), map.accepted);
        let options = TaskOptions { delay: Millis(0), ..options };
        let mut job = self.job(id, (function, options, args, rules), spec);
        if cancelled {
            job.at = At::Done(Status::Cancelled, self.now.saturating_add(job.spec.retention.0));
        }
        (job.accepted, job.seq) = (accepted, self.next_seq());
        let late = job.deadline().is_some_and(|at| at <= self.now);
        self.jobs.push(job);
        if late && !cancelled {
            self.give_up(self.jobs.len() - 1);
        }
    }

    fn end_map(&mut self, m: usize) {
        let map = &mut self.maps[m];
        if map.lives() && map.items.iter().all(|turn| matches!(turn, Turn::Ended(_))) {
            map.done = Some(self.now.saturating_add(map.spec.retention.0));
            self.events.push(Event::MapFinished { map: map.id });
        }
    }

    fn store(&mut self, one: &Store) -> Reply {
        if self.maps.iter().any(|map| map.id == one.map) {
            return Ok(Accepted::Stored);
        }
        let (pieces, end) = self.uploads.entry(one.map).or_default();
        match pieces.get(&one.index) {
            Some(before) if *before != one.piece => return Err(Rejection::MapConflict(one.map)),
            Some(_) => {}
            None => {
                pieces.insert(one.index, one.piece.clone());
                *end = self.now.saturating_add(limits::UPLOAD_KEPT.0);
            }
        }
        Ok(Accepted::Stored)
    }

    fn map(&mut self, one: &Map) -> Reply {
        sensible(&one.options, &one.rules)?;
        if let Some(map) = self.maps.iter().find(|map| map.id == one.map) {
            let items = u32::try_from(map.items.len()).expect("a short map");
            return if map.request == *one {
                Ok(Accepted::Mapped { items, created: false })
            } else {
                Err(Rejection::MapConflict(one.map))
            };
        }
        let known = self.functions.iter().find(|(known, _)| *known == one.function);
        let spec = known.ok_or(Rejection::UnknownFunction(one.function))?.1.clone();
        let there = self.uploads.get(&one.map).map(|(pieces, _)| pieces.clone()).unwrap_or_default();
        if let Some(piece) = (0..one.pieces).find(|piece| !there.contains_key(piece)) {
            return Err(Rejection::MapIncomplete { map: one.map, piece });
        }
        if there.len() > one.pieces as usize {
            return Err(Rejection::MapConflict(one.map));
        }
        self.uploads.remove(&one.map);
        let pieces: Vec<Vec<Bytes>> = there.values().map(|piece| piece.from(0).collect()).collect();
        let items = pieces.iter().map(Vec::len).sum();
        let begins = self.now.saturating_add(one.options.delay.0);
        self.maps.push(Many {
            id: one.map,
            request: one.clone(),
            spec,
            pieces,
            accepted: self.now,
            begins,
            next: 0,
            items: vec![Turn::ToCome; items],
            cancelled: None,
            done: None,
        });
        self.next_seq();
        self.end_map(self.maps.len() - 1);
        self.give_turns();
        Ok(Accepted::Mapped { items: u32::try_from(items).expect("a short map"), created: true })
    }

    fn cancel_map(&mut self, id: MapId) -> Reply {
        let m = self.maps.iter().position(|map| map.id == id).ok_or(Rejection::UnknownMap(id))?;
        if !self.maps[m].lives() {
            return if self.maps[m].cancelled.is_some() {
                Ok(Accepted::Cancelled)
            } else {
                Err(Rejection::MapFinished(id))
            };
        }
        self.maps[m].cancelled = Some(self.maps[m].next);
        self.maps[m].next = self.maps[m].items.len();
        for index in 0..self.maps[m].items.len() {
            match self.maps[m].items[index] {
                Turn::ToCome => self.maps[m].items[index] = Turn::Ended(Status::Cancelled),
                Turn::Lives => {
                    let item = id.item(u32::try_from(index).expect("a short map"));
                    let i = self.jobs.iter().position(|job| job.id == item).expect("it lives");
                    self.stop(i);
                    self.end(i, Status::Cancelled);
                }
                Turn::Ended(_) => {}
            }
        }
        self.end_map(m);
        Ok(Accepted::Cancelled)
    }

    /// An item that has no job: `None` if there is no such item, or it was a job and is forgotten.
    fn cancel_unborn(&mut self, task: TaskId) -> Option<Reply> {
        let (id, index) = task.as_item()?;
        let m = self.maps.iter().position(|map| map.id == id)?;
        let turn = *self.maps[m].items.get(index as usize)?;
        if (index as usize) < self.maps[m].cancelled.unwrap_or(self.maps[m].next) {
            return None;
        }
        if turn == Turn::ToCome {
            self.maps[m].items[index as usize] = Turn::Ended(Status::Cancelled);
            self.events.push(Event::Finished { task, status: Status::Cancelled });
            self.end_map(m);
        }
        Some(Ok(Accepted::Cancelled))
    }

    fn first_due(&self) -> Option<usize> {
        let due = (0..self.jobs.len()).filter(|i| self.jobs[*i].due().is_some_and(|(at, _)| at <= self.now));
        due.min_by_key(|i| (self.jobs[*i].due(), self.jobs[*i].id))
    }

    fn command(&mut self, command: &Command) -> Reply {
        match command {
            Command::Register(one) => self.register(one.function, &one.spec),
            Command::Submit(one) => self.submit(one, &Rules::default()),
            Command::SubmitUnder(one) => {
                sensible(&one.submit.options, &one.rules)?;
                self.submit(&one.submit, &one.rules)
            }
            Command::Acquire(one) => Ok(Accepted::Granted(self.acquire(one, &Tags::default()))),
            Command::AcquireWith(one) => Ok(Accepted::Granted(self.acquire(&one.acquire, &one.tags))),
            Command::Extend(one) => {
                let i = self.newest(one.lease)?;
                let At::Held(worker, request, _) = self.jobs[i].at else {
                    return Err(self.stale(i, one.lease));
                };
                let until = self.now.saturating_add(one.run.0).saturating_add(limits::RUN_GRACE.0);
                self.jobs[i].at = At::Held(worker, request, Some(until));
                Ok(Accepted::Extended { run_until: LogTime(until) })
            }
            Command::Complete(one) => match self.newest(one.lease) {
                Ok(i) => {
                    self.end(i, Status::Completed);
                    Ok(Accepted::Completed)
                }
                Err(_) if self.ended_under(one.lease) == Some(Status::Completed) => Ok(Accepted::Completed),
                Err(refusal) => Err(refusal),
            },
            Command::Fail(one) => self.fail(one),
            Command::Release(one) => {
                let i = self.newest(one.lease)?;
                if self.held(one.lease).is_some() {
                    self.hand_back(i);
                }
                Ok(Accepted::Released)
            }
            Command::Cancel(one) => self.cancel(one.task),
            Command::Expire(one) => Ok(Accepted::Expired(
                one.leases.iter().map(|(lease, started)| self.expire(*lease, *started)).sum(),
            )),
            Command::Forget(one) => {
                let before = self.jobs.len() + self.maps.len();
                let due = |job: &Job| matches!(job.at, At::Done(_, expires) if expires <= self.now);
                self.jobs.retain(|job| !(one.tasks.contains(&job.id) && due(job)));
                let due = |map: &Many| map.done.is_some_and(|expires| expires <= self.now);
                self.maps.retain(|map| !(one.tasks.contains(&map.id.as_uuid().into()) && due(map)));
                let after = self.jobs.len() + self.maps.len();
                Ok(Accepted::Forgotten(u32::try_from(before - after).expect("a short list")))
            }
            Command::Redrive(one) => self.redrive(*one),
            Command::Store(one) => self.store(one),
            Command::Map(one) => self.map(one),
            Command::CancelMap(one) => self.cancel_map(one.map),
        }
    }

    fn register(&mut self, id: FunctionId, spec: &FunctionSpec) -> Reply {
        match self.functions.iter().find(|(known, _)| *known == id) {
            Some((_, known)) if known == spec => Ok(Accepted::Registered),
            Some(_) => Err(Rejection::FunctionConflict(id)),
            None => {
                self.functions.push((id, spec.clone()));
                Ok(Accepted::Registered)
            }
        }
    }

    fn submit(&mut self, one: &Submit, rules: &Rules) -> Reply {
        if one.options.priority > 9 {
            let got = one.options.priority.into();
            return Err(Rejection::OverLimit { what: "the priority".to_owned(), got, limit: 9 });
        }
        let known = self.functions.iter().find(|(known, _)| *known == one.function);
        let spec = known.ok_or(Rejection::UnknownFunction(one.function))?.1.clone();
        let mut jobs = self.jobs.clone();
        for (id, args) in &one.items {
            let request = (one.function, one.options.clone(), args.clone(), rules.clone());
            match jobs.iter().find(|job| job.id == *id) {
                Some(job) if job.request == request => continue,
                Some(_) => return Err(Rejection::TaskConflict(*id)),
                None => {}
            }
            jobs.push(self.job(*id, request, spec.clone()));
        }
        let created = u32::try_from(jobs.len() - self.jobs.len()).expect("a short list");
        for job in &mut jobs[self.jobs.len()..] {
            job.seq = self.next_seq();
        }
        self.jobs = jobs;
        Ok(Accepted::Submitted { created })
    }

    fn job(&self, id: TaskId, request: (FunctionId, TaskOptions, Bytes, Rules), spec: FunctionSpec) -> Job {
        let delay = request.1.delay.0;
        let at = match request.3.run_at() {
            Some(at) if at.0 > self.calendar => At::Dated(at.0),
            Some(_) => At::Ready,
            None if delay == 0 => At::Ready,
            None => At::Pause(self.now.saturating_add(delay)),
        };
        let (accepted, seq) = (self.now, 0);
        Job { id, request, spec, token: 0, at, failures: 0, crashes: 0, losses: 0, returns: 0, accepted, seq }
    }

    fn next_seq(&mut self) -> u64 {
        self.seqs = (self.seqs + 1).max(self.now << 20);
        self.seqs
    }

    fn redrive(&mut self, Redrive { task, into }: Redrive) -> Reply {
        let old = self.jobs.iter().find(|job| job.id == task).ok_or(Rejection::UnknownTask(task))?;
        if !matches!(old.at, At::Done(Status::Failed | Status::Parked, _)) {
            return Err(Rejection::NotRedrivable { task, status: old.status() });
        }
        if let Some(there) = self.jobs.iter().find(|job| job.id == into) {
            return match there.request.3.redrive_of() {
                Some(of) if of == task => Ok(Accepted::Redriven { created: false }),
                Some(_) | None => Err(Rejection::TaskConflict(into)),
            };
        }
        let (function, mut options, args, rules) = old.request.clone();
        options.delay = Millis(0);
        let kept = rules.iter().filter(|rule| !matches!(rule, Rule::RedriveOf(_) | Rule::RunAt(_))).cloned();
        let rules = kept.chain([Rule::RedriveOf(task)]).collect();
        let mut job = self.job(into, (function, options, args, rules), old.spec.clone());
        job.seq = self.next_seq();
        self.jobs.push(job);
        Ok(Accepted::Redriven { created: true })
    }

    fn acquire(&mut self, one: &Acquire, tags: &Tags) -> Vec<Grant> {
        let mine = |job: &&Job| matches!(job.at, At::Held(w, r, _) if w == one.worker && r == one.request);
        let mut before: Vec<_> = self.jobs.iter().filter(mine).map(Job::grant).collect();
        before.sort_by_key(|grant| grant.token);
        if !before.is_empty() {
            return before;
        }
        let mut grants = Vec::new();
        while grants.len() < usize::from(one.max) {
            let ready = (0..self.jobs.len())
                .filter(|i| self.jobs[*i].at == At::Ready && self.jobs[*i].suits(one, tags));
            // A level less is an hour later.
            let place = |i: &usize| {
                let levels = u64::from(limits::PRIORITY_MAX - self.jobs[*i].request.1.priority);
                (self.jobs[*i].seq + ((levels * 3_600_000) << 20), self.jobs[*i].seq)
            };
            let Some(i) = ready.min_by_key(place) else { break };
            self.grants += 1;
            let until = self.jobs[i]
                .run_max()
                .map(|run| self.now.saturating_add(run.0).saturating_add(limits::RUN_GRACE.0));
            self.jobs[i].token = self.grants;
            self.jobs[i].at = At::Held(one.worker, one.request, until);
            grants.push(self.jobs[i].grant());
        }
        grants
    }

    fn fail(&mut self, one: &Fail) -> Reply {
        match self.newest(one.lease) {
            Ok(i) => {
                if self.held(one.lease).is_some() {
                    let is_final = self.jobs[i].is_final(one.error.kind, &one.bases);
                    self.charge(i, one.error.kind, one.retryable && !is_final);
                }
                Ok(match self.jobs[i].at {
                    At::Pause(due) => Accepted::WillRetry { due: LogTime(due) },
                    At::Ready | At::Dated(_) | At::Held(..) => Accepted::WillRetry { due: LogTime(self.now) },
                    At::Done(status, _) => Accepted::Finished { status },
                })
            }
            Err(refusal) => match self.ended_under(one.lease) {
                Some(status @ (Status::Failed | Status::Parked)) => Ok(Accepted::Finished { status }),
                _ => Err(refusal),
            },
        }
    }

    fn cancel(&mut self, task: TaskId) -> Reply {
        let Some(i) = self.jobs.iter().position(|job| job.id == task) else {
            return self.cancel_unborn(task).unwrap_or(Err(Rejection::UnknownTask(task)));
        };
        match self.jobs[i].at {
            At::Done(Status::Cancelled, _) => Ok(Accepted::Cancelled),
            At::Done(status, _) => Err(Rejection::AlreadyFinished { task, status }),
            At::Pause(_) | At::Dated(_) | At::Ready | At::Held(..) => {
                self.stop(i);
                self.end(i, Status::Cancelled);
                Ok(Accepted::Cancelled)
            }
        }
    }

    fn expire(&mut self, lease: LeaseRef, started: bool) -> u32 {
        let Some(i) = self.held(lease) else { return 0 };
        self.stop(i);
        if started {
            self.charge(i, FailureKind::WorkerLost, true);
        } else {
            self.hand_back(i);
        }
        1
    }

    fn held(&self, lease: LeaseRef) -> Option<usize> {
        self.jobs.iter().position(|job| {
            job.id == lease.task && job.token == lease.token.0 && matches!(job.at, At::Held(..))
        })
    }

    /// The job that lives and whose newest grant this is.
    fn newest(&self, lease: LeaseRef) -> Result<usize, Rejection> {
        let task = lease.task;
        let i = self.jobs.iter().position(|job| job.id == task).ok_or(Rejection::UnknownTask(task))?;
        let same = self.jobs[i].token == lease.token.0;
        match self.jobs[i].at {
            At::Done(status, _) if same => Err(Rejection::AlreadyFinished { task, status }),
            At::Pause(_) | At::Dated(_) | At::Ready | At::Held(..) if same && lease.token.0 > 0 => Ok(i),
            At::Pause(_) | At::Dated(_) | At::Ready | At::Held(..) | At::Done(..) => {
                Err(self.stale(i, lease))
            }
        }
    }

    fn stale(&self, i: usize, lease: LeaseRef) -> Rejection {
        Rejection::StaleLease { task: lease.task, offered: lease.token, current: Token(self.jobs[i].token) }
    }

    fn ended_under(&self, lease: LeaseRef) -> Option<Status> {
        let same = |job: &&Job| job.id == lease.task && job.token == lease.token.0;
        self.jobs.iter().find(same).map(Job::status).filter(|status| status.is_terminal())
    }

    fn hand_back(&mut self, i: usize) {
        self.jobs[i].returns += 1;
        self.jobs[i].at = At::Ready;
        if self.jobs[i].deadline().is_some_and(|at| at <= self.now) {
            self.give_up(i);
        }
    }

    /// Ends what was not started, or has not ended, in time.
    fn give_up(&mut self, i: usize) {
        self.stop(i);
        self.end(i, Status::Failed);
    }

    fn charge(&mut self, i: usize, kind: FailureKind, retryable: bool) {
        let job = &mut self.jobs[i];
        let pause = |job: &Job, count| job.retry().pause(&job.id, count).0;
        let (again, pause, verdict) = match kind {
            FailureKind::WorkerLost => {
                job.losses += 1;
                (job.losses < limits::LOSSES_MAX, 0, Status::Parked)
            }
            FailureKind::Crash { .. } | FailureKind::OutOfMemory { .. } => {
                job.crashes += 1;
                (job.crashes < limits::CRASHES_MAX, pause(job, job.crashes), Status::Parked)
            }
            FailureKind::Exception
            | FailureKind::Timeout
            | FailureKind::Unserializable
            | FailureKind::Load
            | FailureKind::Expired => {
                job.failures += 1;
                let again = retryable && job.failures < job.retry().max_attempts;
                (again, pause(job, job.failures), Status::Failed)
            }
        };
        let end_by = job.request.3.total().map(|span| job.accepted.saturating_add(span.0));
        match (again, pause) {
            (true, pause) if end_by.is_some_and(|at| at <= self.now.saturating_add(pause)) => {
                self.end(i, Status::Failed);
            }
            (true, 0) => job.at = At::Ready,
            (true, pause) => job.at = At::Pause(self.now.saturating_add(pause)),
            (false, _) => self.end(i, verdict),
        }
    }

    fn stop(&mut self, i: usize) {
        let job = &self.jobs[i];
        if let At::Held(worker, ..) = job.at {
            self.events.push(Event::Revoked { task: job.id, token: Token(job.token), worker });
        }
    }

    fn end(&mut self, i: usize, status: Status) {
        let job = &mut self.jobs[i];
        job.at = At::Done(status, self.now.saturating_add(job.spec.retention.0));
        self.events.push(Event::Finished { task: job.id, status });
        let Some((id, index)) = job.id.as_item() else { return };
        let Some(m) = self.maps.iter().position(|map| map.id == id && map.lives()) else { return };
        let turn = self.maps[m].items.get_mut(index as usize).filter(|turn| **turn == Turn::Lives);
        if let Some(turn) = turn {
            *turn = Turn::Ended(status);
            self.end_map(m);
        }
    }

    /// Demands that the group stands where the model stands.
    fn compare(&self, group: &Group) {
        assert_eq!(group.state.scalars().log_time.0, self.now);
        assert_eq!(group.state.scalars().last_token.0, self.grants);
        assert_eq!(group.store.tasks.len(), self.jobs.len());
        let starts =
            self.maps.iter().filter(|map| map.lives() && map.begins > self.now).map(|map| map.begins);
        let ends = self.uploads.values().map(|(_, end)| *end);
        let jobs = self.jobs.iter().filter_map(Job::due).map(|(at, _)| at);
        assert_eq!(group.state.next_due().map(|due| due.0), jobs.chain(starts).chain(ends).min());
        self.compare_maps(group);
        for job in &self.jobs {
            let counters = if let At::Done(status, expires) = job.at {
                let record = &group.store.records[&job.id];
                assert_eq!((record.outcome.status(), record.expires.0), (status, expires), "{}", job.id);
                (record.token, record.counters)
            } else {
                assert_eq!(group.state.status(&job.id), Some(job.status()), "{}", job.id);
                let task = group.state.task(&job.id).expect("it has a status");
                (task.token, task.counters)
            };
            assert_eq!(counters.0.0, job.token, "token of {}", job.id);
            let charged = (counters.1.failures, counters.1.crashes, counters.1.losses, counters.1.returns);
            assert_eq!(
                charged,
                (job.failures, job.crashes, job.losses, job.returns),
                "counters of {}",
                job.id
            );
        }
    }
}

impl Model {
    fn compare_maps(&self, group: &Group) {
        assert_eq!(group.store.maps.len(), self.maps.len());
        for map in &self.maps {
            let standing = &group.store.map_standings[&map.id];
            assert_eq!(standing.next as usize, map.next, "{}", map.id);
            assert_eq!(standing.finished.map(|finished| finished.expires.0), map.done, "{}", map.id);
            let Ended { completed, failed, parked, cancelled } = standing.ended;
            let statuses = [Status::Completed, Status::Failed, Status::Parked, Status::Cancelled];
            let counts = statuses.map(|status| u32::try_from(map.counts(status)).expect("a short map"));
            assert_eq!([completed, failed, parked, cancelled], counts, "{}", map.id);
        }
    }
}

/// Plays the steps to the kernel and to the model, and writes them down.
fn play(steps: &[Step], script: &mut String) {
    let (mut world, mut group, mut model) = (World::default(), Group::default(), Model::default());
    for step in steps {
        let entry = world.entry(step);
        *script += &transcript::entry(&entry);
        let applied = group.apply(&entry);
        let replies = model.apply(&entry);
        assert_eq!(applied.replies, replies);
        assert_eq!(applied.events, std::mem::take(&mut model.events));
        model.compare(&group);
        world.learn(&applied, &group.state);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_kernel_does_what_the_model_does(steps in steps(100)) {
        let mut script = String::new();
        let played = std::panic::catch_unwind(AssertUnwindSafe(|| play(&steps, &mut script)));
        prop_assert!(played.is_ok(), "the last panic above says what differs; the way there:\n{script}");
    }
}
