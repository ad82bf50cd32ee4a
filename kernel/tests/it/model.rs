//! The kernel against a naive model: one list of jobs, scanned from end to end for everything.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use proptest::prelude::*;
use raftwork_kernel::{
    Accepted, Acquire, Bound, Command, CompleteInParts, Ended, Entry, Event, Fail, FailureKind, Firing,
    FunctionId, FunctionSpec, Grant, InParts, LeaseRef, LimitKind, LimitName, LogTime, Map, MapId, Millis,
    OnFailure, Overlap, PayloadId, Piece, PutSchedule, Redrive, Rejection, Reply, RequestId, RetryPolicy,
    Rule, Rules, Schedule, ScheduleChange, ScheduleId, Status, Store, StorePart, Submit, Tags, TaskId,
    TaskOptions, Token, WallTime, WorkerId, limits,
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
    limits: BTreeMap<LimitName, Known>,
    wall: WallTime,
    schedules: BTreeMap<String, Schedule>,
    changed: BTreeSet<String>,
    /// Schedules ever made.
    made: u64,
    maps: Vec<Many>,
    /// Pieces of maps that are being sent, and when they are forgotten.
    uploads: BTreeMap<MapId, (BTreeMap<u32, Piece>, u64)>,
    /// Items that this entry has turned into jobs.
    turns: usize,
    /// Parts of payloads that are being sent, and when they are forgotten.
    payloads: BTreeMap<PayloadId, (BTreeMap<u32, Bytes>, u64)>,
}

/// What is known of a limit.
#[derive(Debug, Clone, Default)]
struct Known {
    declared: Option<Bound>,
    by_hand: Option<Bound>,
    /// When tasks started that count, each as late as it may have been when the span last changed.
    starts: Vec<u64>,
}

impl Known {
    fn bound(&self) -> Option<Bound> {
        self.by_hand.or(self.declared)
    }

    fn per(&self) -> u64 {
        self.bound().map_or(0, |bound| bound.per.0)
    }

    fn change(&mut self, now: u64, change: impl FnOnce(&mut Self)) {
        let per = self.per();
        change(self);
        if self.per() != per {
            self.starts.iter_mut().for_each(|start| *start = latest(*start, per).min(now));
        }
    }

    /// When each of its starts counts no more.
    fn expiries(&self) -> impl Iterator<Item = u64> {
        self.starts.iter().map(|start| latest(*start, self.per()).saturating_add(self.per()))
    }
}

/// The last moment of the part of a span in which a start was made.
fn latest(start: u64, per: u64) -> u64 {
    let width = per.div_ceil(64).max(1);
    (start / width).saturating_mul(width).saturating_add(width - 1)
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
    /// Parts of the arguments and of the result.
    parts: BTreeMap<(PayloadId, u32), Bytes>,
    /// Whether the result is in parts.
    ended_in_parts: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum At {
    Pause(u64),
    Dated(u64),
    /// Until others have ended.
    Blocked,
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
            At::Ready | At::Dated(_) | At::Blocked => None,
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

    const fn lives(&self) -> bool {
        !matches!(self.at, At::Done(..))
    }

    fn names(&self, limit: &LimitName) -> bool {
        self.request.3.limits().any(|(name, _)| name == *limit)
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
            At::Pause(_) | At::Dated(_) | At::Blocked => Status::Waiting,
            At::Ready => Status::Queued,
            At::Held(..) => Status::Running,
            At::Done(status, _) => status,
        }
    }
}

impl Model {
    fn apply(&mut self, entry: &Entry) -> Vec<Reply> {
        self.now = self.now.max(entry.log_time.0);
        self.wall = self.wall.max(entry.wall_time);
        self.relax();
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
        self.relax();
        self.calendar = entry.wall_time.0;
        // A single entry has never more to do than it may.
        for job in &mut self.jobs {
            if matches!(job.at, At::Dated(at) if at <= entry.wall_time.0) {
                job.at = At::Ready;
            }
        }
        self.uploads.retain(|_, (_, end)| *end > self.now);
        self.payloads.retain(|_, (_, end)| *end > self.now);
        self.turns = 0;
        self.give_turns();
        self.relax();
        let reply = |command| {
            let reply = self.command(command);
            self.relax();
            reply
        };
        let replies = entry.commands.iter().map(reply).collect();
        self.settle();
        self.relax();
        let changed = std::mem::take(&mut self.changed);
        self.events.extend(changed.into_iter().map(|name| Event::ScheduleChanged { name }));
        replies
    }

    /// Forgets starts that count no more, and limits of which nothing speaks.
    fn relax(&mut self) {
        let (now, jobs) = (self.now, &self.jobs);
        self.limits.retain(|name, known| {
            let per = known.per();
            known.starts.retain(|start| latest(*start, per).saturating_add(per) > now);
            let named = jobs.iter().any(|job| job.lives() && job.names(name));
            named || known.by_hand.is_some() || !known.starts.is_empty()
        });
    }

    /// Whether a limit of the job is reached.
    fn is_held_back(&self, job: &Job) -> bool {
        job.request.3.limits().any(|(name, _)| {
            let known = &self.limits[&name];
            let max = known.bound().map_or(u32::MAX, |bound| bound.max) as usize;
            self.used(&name, known) >= max
        })
    }

    fn used(&self, name: &LimitName, known: &Known) -> usize {
        match name.kind {
            LimitKind::Rate => known.starts.len(),
            LimitKind::Concurrency => self.held_under(name),
        }
    }

    fn held_under(&self, name: &LimitName) -> usize {
        let held = |job: &&Job| matches!(job.at, At::Held(..)) && job.names(name);
        self.jobs.iter().filter(held).count()
    }

    /// When time alone changes something of a limit.
    fn limits_due(&self) -> Option<u64> {
        let due = |(name, known): (&LimitName, &Known)| {
            let max = known.bound().map_or(u32::MAX, |bound| bound.max) as usize;
            match name.kind {
                LimitKind::Concurrency => None,
                LimitKind::Rate if known.starts.len() >= max => known.expiries().min(),
                LimitKind::Rate => known.expiries().max(),
            }
        };
        self.limits.iter().filter_map(due).min()
    }

    fn declare(&mut self, rules: &Rules) {
        for (name, bound) in rules.limits() {
            self.limits.entry(name).or_default().change(self.now, |known| known.declared = Some(bound));
        }
    }

    /// What the job was submitted with long ago holds if no other says anything.
    fn declare_again(&mut self, rules: &Rules) {
        for (name, bound) in rules.limits() {
            self.limits.entry(name).or_default().change(self.now, |known| {
                known.declared.get_or_insert(bound);
            });
        }
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
            Some(At::Blocked | At::Pause(_) | At::Dated(_) | At::Ready | At::Held(..)) | None => Turn::Lives,
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
        let rules = job.request.3.clone();
        self.relax();
        self.jobs.push(job);
        self.declare_again(&rules);
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
        self.relax();
        self.declare(&one.rules);
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
                let alone = matches!(&*one.submit.items, [(_, args)] if args.is_empty());
                assert!(alone || one.rules.in_parts().is_none(), "random submits in parts are alone");
                self.submit(&one.submit, &one.rules)
            }
            Command::Acquire(one) => Ok(Accepted::Granted(self.acquire(one, &Tags::default()))),
            Command::AcquireWith(one) => Ok(Accepted::Granted(self.acquire(&one.acquire, &one.tags))),
            Command::Extend(one) => self.extend(one.lease, one.run),
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
            Command::Forget(one) => Ok(Accepted::Forgotten(self.forget(&one.tasks))),
            Command::PutSchedule(one) => self.put_schedule(one),
            Command::ChangeSchedule(one) => self.change_schedule(&one.name, one.change),
            Command::Fire(one) => {
                Ok(Accepted::Fired { submitted: one.firings.iter().map(|one| self.fire(one)).sum() })
            }
            Command::Trigger(one) => self.trigger(&one.name, one.task),
            Command::SetLimit(one) => {
                let known = self.limits.entry(one.name.clone()).or_default();
                known.change(self.now, |known| known.by_hand = one.bound);
                Ok(Accepted::LimitSet)
            }
            Command::Redrive(one) => self.redrive(*one),
            Command::Store(one) => self.store(one),
            Command::Map(one) => self.map(one),
            Command::CancelMap(one) => self.cancel_map(one.map),
            Command::StorePart(one) => self.store_part(one),
            Command::CompleteInParts(one) => self.complete_in_parts(one),
        }
    }

    fn forget(&mut self, tasks: &[TaskId]) -> u32 {
        let before = self.jobs.len() + self.maps.len();
        let due = |job: &Job| matches!(job.at, At::Done(_, expires) if expires <= self.now);
        let needed: Vec<TaskId> = tasks.iter().copied().filter(|id| self.is_needed(id)).collect();
        let due = |job: &Job| due(job) && !needed.contains(&job.id);
        self.jobs.retain(|job| !(tasks.contains(&job.id) && due(job)));
        let due = |map: &Many| map.done.is_some_and(|expires| expires <= self.now);
        self.maps.retain(|map| !(tasks.contains(&map.id.as_uuid().into()) && due(map)));
        let after = self.jobs.len() + self.maps.len();
        u32::try_from(before - after).expect("a short list")
    }

    fn store_part(&mut self, one: &StorePart) -> Reply {
        let StorePart { of, index, bytes } = one;
        if let Some(lease) = of.lease() {
            let in_parts = |job: &Job| job.id == of.task && job.token == of.token.0 && job.ended_in_parts;
            if self.jobs.iter().any(in_parts) {
                return Ok(Accepted::Stored);
            }
            self.newest(lease)?;
            self.payloads.retain(|other, _| {
                other.task != of.task || other.token == of.token || other.token == Token(0)
            });
        } else if self.jobs.iter().any(|job| job.id == of.task) {
            return Ok(Accepted::Stored);
        }
        let (parts, end) = self.payloads.entry(*of).or_default();
        match parts.get(index) {
            Some(before) if before != bytes => {
                return Err(Rejection::PartConflict { task: of.task, token: of.token, part: *index });
            }
            Some(_) => {}
            None => {
                parts.insert(*index, bytes.clone());
                *end = self.now.saturating_add(limits::UPLOAD_KEPT.0);
            }
        }
        Ok(Accepted::Stored)
    }

    fn complete_in_parts(&mut self, one: &CompleteInParts) -> Reply {
        one.parts.check().map_err(Rejection::Invalid)?;
        let i = match self.newest(one.lease) {
            Ok(i) => i,
            Err(_) if self.ended_under(one.lease) == Some(Status::Completed) => {
                return Ok(Accepted::Completed);
            }
            Err(refusal) => return Err(refusal),
        };
        let parts = self.take_payload(PayloadId::result(one.lease), one.parts)?;
        self.jobs[i].parts.extend(parts);
        self.jobs[i].ended_in_parts = true;
        self.end(i, Status::Completed);
        Ok(Accepted::Completed)
    }

    fn take_payload(
        &mut self,
        of: PayloadId,
        said: InParts,
    ) -> Result<BTreeMap<(PayloadId, u32), Bytes>, Rejection> {
        let there = self.payloads.get(&of).map(|(parts, _)| parts.clone()).unwrap_or_default();
        if let Some(part) = (0..said.count).find(|index| !there.contains_key(index)) {
            return Err(Rejection::PartMissing { task: of.task, token: of.token, part });
        }
        let (count, bytes) = (there.len(), there.values().map(Bytes::len).sum::<usize>());
        if (count as u64, bytes as u64) != (said.count.into(), said.bytes) {
            return Err(Rejection::Invalid(format!(
                "{count} parts of {bytes} bytes in all were sent, not {} of {}",
                said.count, said.bytes
            )));
        }
        self.payloads.remove(&of);
        Ok(there.into_iter().map(|(index, bytes)| ((of, index), bytes)).collect())
    }

    fn extend(&mut self, lease: LeaseRef, run: Millis) -> Reply {
        let i = self.newest(lease)?;
        let At::Held(worker, request, _) = self.jobs[i].at else {
            return Err(self.stale(i, lease));
        };
        let until = self.now.saturating_add(run.0).saturating_add(limits::RUN_GRACE.0);
        self.jobs[i].at = At::Held(worker, request, Some(until));
        Ok(Accepted::Extended { run_until: LogTime(until) })
    }

    fn trigger(&mut self, name: &str, task: TaskId) -> Reply {
        let Some(schedule) = self.schedules.get(name).cloned() else {
            return Err(Rejection::UnknownSchedule(name.to_owned()));
        };
        if self.jobs.iter().any(|job| job.id == task) {
            return Ok(Accepted::Submitted { created: 0 });
        }
        self.submit_scheduled(name, &schedule, WallTime(self.calendar), task)
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
            let mut job = self.job(*id, request, spec.clone());
            if let Some(parts) = rules.in_parts() {
                job.parts = self.take_payload(PayloadId::arguments(*id), parts)?;
            }
            jobs.push(job);
        }
        let created = u32::try_from(jobs.len() - self.jobs.len()).expect("a short list");
        let fresh: Vec<TaskId> = jobs[self.jobs.len()..].iter().map(|job| job.id).collect();
        self.may_depend(&fresh, rules)?;
        for job in &mut jobs[self.jobs.len()..] {
            job.seq = self.next_seq();
        }
        self.jobs = jobs;
        if created > 0 {
            self.declare(rules);
        }
        Ok(Accepted::Submitted { created })
    }

    fn put_schedule(&mut self, one: &PutSchedule) -> Reply {
        let has_key = one.spec.rules.limits().any(|(name, _)| name.kind == LimitKind::Concurrency);
        if one.spec.overlap == Overlap::Queue && has_key {
            let text = "overlap 'queue' is a concurrency limit of its own: leave the other out";
            return Err(Rejection::Invalid(text.to_owned()));
        }
        let function = one.spec.function;
        if !self.functions.iter().any(|(known, _)| *known == function) {
            return Err(Rejection::UnknownFunction(function));
        }
        let (wall, now) = (self.wall, WallTime(self.calendar));
        let created = !self.schedules.contains_key(&one.name);
        self.made += u64::from(created);
        let id = ScheduleId(self.made);
        let schedule = self.schedules.entry(one.name.clone()).or_insert_with(|| Schedule {
            id,
            spec: one.spec.clone(),
            last: now,
            paused: false,
            fired: 0,
            skipped: 0,
            made_wall: wall,
        });
        if created || schedule.spec != one.spec {
            self.changed.insert(one.name.clone());
        }
        if schedule.spec.timing != one.spec.timing {
            schedule.last = now;
        }
        schedule.spec = one.spec.clone();
        Ok(Accepted::SchedulePut { created })
    }

    fn change_schedule(&mut self, name: &str, change: ScheduleChange) -> Reply {
        let Some(schedule) = self.schedules.get_mut(name) else {
            return Err(Rejection::UnknownSchedule(name.to_owned()));
        };
        let pauses = change == ScheduleChange::Pause;
        if change == ScheduleChange::Delete {
            self.schedules.remove(name);
        } else if schedule.paused == pauses {
            return Ok(Accepted::ScheduleChanged);
        } else {
            schedule.paused = pauses;
            if !pauses {
                schedule.last = schedule.last.max(WallTime(self.calendar));
            }
        }
        self.changed.insert(name.to_owned());
        Ok(Accepted::ScheduleChanged)
    }

    fn fire(&mut self, one: &Firing) -> u32 {
        let now = WallTime(self.calendar);
        let Some(schedule) = self.schedules.get_mut(&one.name) else { return 0 };
        let times = [vec![one.after], one.nominal.clone()].concat();
        let in_order = times.is_sorted_by(|one, next| one < next) && times.last() <= Some(&one.until);
        let is_next = schedule.id == one.schedule && schedule.last == one.after && !schedule.paused;
        if !is_next || !in_order || one.until <= one.after || one.until > now {
            return 0;
        }
        schedule.last = one.until;
        self.changed.insert(one.name.clone());
        let mut submitted = 0;
        for nominal in &one.nominal {
            let schedule = self.schedules[&one.name].clone();
            let of_it = |job: &&Job| job.request.3.origin().is_some_and(|(_, id, _)| id == schedule.id);
            let live = self.jobs.iter().filter(|job| job.lives()).filter(of_it).count();
            let may = match schedule.spec.overlap {
                Overlap::Allow => true,
                Overlap::Skip => live == 0,
                Overlap::Queue => live < 2,
            };
            let task = schedule.task(*nominal);
            let done = may && self.submit_scheduled(&one.name, &schedule, *nominal, task).is_ok();
            let schedule = self.schedules.get_mut(&one.name).expect("it was just there");
            schedule.fired += u64::from(done);
            schedule.skipped += u64::from(!done);
            submitted += u32::from(done);
        }
        submitted
    }

    fn submit_scheduled(
        &mut self,
        name: &str,
        schedule: &Schedule,
        nominal: WallTime,
        task: TaskId,
    ) -> Reply {
        let spec = &schedule.spec;
        let queue = Rule::Concurrency { key: format!("schedule: {name}"), max: 1 };
        let queue = (spec.overlap == Overlap::Queue).then_some(queue);
        let from = Rule::Scheduled { name: name.to_owned(), schedule: schedule.id, nominal };
        let rules: Rules = spec.rules.iter().cloned().chain(queue).chain([from]).collect();
        let items = vec![(task, spec.args.clone())];
        self.submit(&Submit { function: spec.function, options: spec.options.clone(), items }, &rules)
    }

    fn job(&self, id: TaskId, request: (FunctionId, TaskOptions, Bytes, Rules), spec: FunctionSpec) -> Job {
        let delay = request.1.delay.0;
        let at = match request.3.run_at() {
            _ if request.3.after().is_some() => At::Blocked,
            Some(at) if at.0 > self.calendar => At::Dated(at.0),
            Some(_) => At::Ready,
            None if delay == 0 => At::Ready,
            None => At::Pause(self.now.saturating_add(delay)),
        };
        let (accepted, seq) = (self.now, 0);
        Job {
            id,
            request,
            spec,
            token: 0,
            at,
            failures: 0,
            crashes: 0,
            losses: 0,
            returns: 0,
            accepted,
            seq,
            parts: BTreeMap::new(),
            ended_in_parts: false,
        }
    }

    /// How a task ended that others wait for: `Err` if there is none, `None` if it has not.
    fn ended(&self, id: TaskId) -> Result<Option<Status>, ()> {
        if let Some(job) = self.jobs.iter().find(|job| job.id == id) {
            return Ok(Some(job.status()).filter(|status| status.is_terminal()));
        }
        let (map, index) = id.as_item().ok_or(())?;
        let map = self.maps.iter().find(|known| known.id == map).ok_or(())?;
        match map.items.get(index as usize).ok_or(())? {
            Turn::ToCome => Ok(None),
            Turn::Ended(_) if (index as usize) >= map.cancelled.unwrap_or(map.next) => {
                Ok(Some(Status::Cancelled))
            }
            Turn::Ended(_) | Turn::Lives => Err(()),
        }
    }

    fn is_needed(&self, id: &TaskId) -> bool {
        let needs = |job: &Job| job.request.3.after().is_some_and(|after| after.tasks.contains(id));
        self.jobs.iter().any(|job| job.lives() && needs(job))
    }

    /// Which item of which living map it is: places in `maps` and in its items.
    fn item_of(&self, id: &TaskId) -> Option<(usize, usize)> {
        let (map, index) = id.as_item()?;
        let map = self.maps.iter().position(|known| known.id == map && known.lives())?;
        let index = index as usize;
        (index < self.maps[map].items.len()).then_some((map, index))
    }

    fn may_depend(&self, fresh: &[TaskId], rules: &Rules) -> Result<(), Rejection> {
        if let Some(id) = fresh.iter().find(|id| self.item_of(id).is_some() || self.is_needed(id)) {
            return Err(Rejection::TaskConflict(*id));
        }
        let after = rules.after().filter(|_| !fresh.is_empty());
        if let Some(own) = fresh.iter().find(|id| after.is_some_and(|after| after.tasks.contains(id))) {
            let text = format!(
                "task {own} is of this submit: only tasks that were accepted before can be waited for"
            );
            return Err(Rejection::Invalid(text));
        }
        let unknown = after.and_then(|after| after.tasks.iter().find(|id| self.ended(**id).is_err()));
        unknown.map_or(Ok(()), |id| Err(Rejection::UnknownDependency(*id)))
    }

    /// Whether the wait of a job is over, and whether it may run then.
    fn may_run(&self, job: &Job) -> Option<bool> {
        let after = job.request.3.after()?;
        // Only an item that was cancelled before its turn can be gone.
        let end = |id: &TaskId| self.ended(*id).unwrap_or(Some(Status::Cancelled));
        let ends: Vec<_> = after.tasks.iter().map(end).collect();
        let failed = ends.iter().flatten().any(|status| *status != Status::Completed);
        if failed && after.on_failure == OnFailure::Fail {
            return Some(false);
        }
        ends.iter().all(Option::is_some).then_some(true)
    }

    fn settle(&mut self) {
        loop {
            let blocked = (0..self.jobs.len()).filter(|i| self.jobs[*i].at == At::Blocked);
            let over =
                blocked.filter_map(|i| self.may_run(&self.jobs[i]).map(|may| (self.jobs[i].seq, i, may)));
            let Some((_, i, may)) = over.min() else { return };
            if !may {
                self.end(i, Status::Failed);
                continue;
            }
            let job = &self.jobs[i];
            let delay = job.request.1.delay.0;
            let due = job.accepted.saturating_add(delay);
            self.jobs[i].at = match job.request.3.run_at() {
                Some(at) if at.0 > self.calendar => At::Dated(at.0),
                None if delay > 0 && due > self.now => At::Pause(due),
                Some(_) | None => At::Ready,
            };
        }
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
        if old.request.3.in_parts().is_some() {
            return Err(Rejection::NotRedrivableInParts(task));
        }
        let (function, mut options, args, rules) = old.request.clone();
        options.delay = Millis(0);
        let kept = rules.iter().filter(|rule| !matches!(rule, Rule::RedriveOf(_) | Rule::RunAt(_))).cloned();
        let rules = kept.chain([Rule::RedriveOf(task)]).collect();
        let mut job = self.job(into, (function, options, args, rules), old.spec.clone());
        self.may_depend(&[into], &job.request.3)?;
        job.seq = self.next_seq();
        let rules = job.request.3.clone();
        self.jobs.push(job);
        self.declare_again(&rules);
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
                .filter(|i| self.jobs[*i].at == At::Ready && self.jobs[*i].suits(one, tags))
                .filter(|i| !self.is_held_back(&self.jobs[*i]));
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
            for (name, _) in self.jobs[i].request.3.limits().filter(|(name, _)| name.kind == LimitKind::Rate)
            {
                self.limits.get_mut(&name).expect("a live job names it").starts.push(self.now);
            }
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
                    At::Blocked | At::Ready | At::Dated(_) | At::Held(..) => {
                        Accepted::WillRetry { due: LogTime(self.now) }
                    }
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
            At::Blocked | At::Pause(_) | At::Dated(_) | At::Ready | At::Held(..) => {
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
            At::Blocked | At::Pause(_) | At::Dated(_) | At::Ready | At::Held(..)
                if same && lease.token.0 > 0 =>
            {
                Ok(i)
            }
            At::Blocked | At::Pause(_) | At::Dated(_) | At::Ready | At::Held(..) | At::Done(..) => {
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
            | FailureKind::Expired
            | FailureKind::Dependency { .. } => {
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
        let id = job.id;
        self.events.push(Event::Finished { task: id, status });
        let Some((m, index)) = self.item_of(&id) else { return };
        let turn = &mut self.maps[m].items[index];
        if *turn == Turn::Lives {
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
        let ends = ends.chain(self.payloads.values().map(|(_, end)| *end));
        let jobs = self.jobs.iter().filter_map(Job::due).map(|(at, _)| at);
        let due = jobs.chain(starts).chain(ends).chain(self.limits_due()).min();
        assert_eq!(group.state.next_due().map(|due| due.0), due);
        self.compare_maps(group);
        self.compare_limits(group);
        self.compare_parts(group);
        assert_eq!(group.store.schedules, self.schedules);
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
    fn compare_parts(&self, group: &Group) {
        let sent = self
            .payloads
            .iter()
            .flat_map(|(of, (parts, _))| parts.iter().map(|(index, bytes)| ((*of, *index), bytes.clone())));
        let kept = self.jobs.iter().flat_map(|job| job.parts.clone());
        assert_eq!(group.store.parts, sent.chain(kept).collect(), "the parts that are kept");
    }

    fn compare_limits(&self, group: &Group) {
        for (standing, (name, known)) in group.state.limits().zip(&self.limits) {
            assert_eq!((&standing.name, standing.limit.bound()), (name, known.bound()));
            assert_eq!(standing.held as usize, self.held_under(name), "leases under {name}");
            assert_eq!(
                standing.limit.starts_at(LogTime(self.now)),
                known.starts.len() as u64,
                "starts of {name}"
            );
            let max = known.bound().map_or(u32::MAX, |bound| bound.max) as usize;
            assert_eq!(standing.room == 0, self.used(name, known) >= max, "whether {name} is reached");
        }
        assert_eq!(group.state.limits().count(), self.limits.len());
    }

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
