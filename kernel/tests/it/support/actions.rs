//! Random entries. Actions choose by number among what there is, so that any action makes sense in any state, and a
//! case that fails still makes sense when half of it is left out.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;
use raftwork_kernel::{
    Accepted, Acquire, AcquireWith, After, Applied, Bound, Cancel, CancelMap, CatchUp, ChangeSchedule,
    CodeHash, Command, Complete, CompleteInParts, Entry, Expire, Extend, Fail, FailureKind, Fire, Firing,
    Forget, FunctionSpec, InParts, Language, LeaseRef, LimitKind, LimitName, LogTime, Map, Millis, OnFailure,
    Output, Overlap, Pack, PayloadId, Piece, PutSchedule, PythonVersion, Redrive, Register, Rejection,
    Release, Reply, RetryPolicy, Rule, Rules, ScheduleChange, ScheduleId, ScheduleSpec, SetLimit, State,
    Store, StorePart, Submit, SubmitUnder, Tags, TaskError, TaskId, TaskOptions, Timing, Token, Trigger,
    WallTime,
};

use super::group::Group;
use super::names::Name;

/// One entry to make.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// How far the leader's clock moves before it.
    pub(crate) ms: u64,
    /// Whether a leader with a slow clock makes it.
    pub(crate) slow: bool,
    /// What its calendar shows more than its clock.
    pub(crate) ahead: u64,
    pub(crate) actions: Vec<Action>,
}

/// One command to make. A `u8` that stands for a task, a lease or a request counts back from the newest one.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    Register {
        function: u8,
        python: Option<PythonVersion>,
        retry: RetryPolicy,
        run: Option<u64>,
        keep: u64,
    },
    Submit {
        function: u8,
        items: Vec<Item>,
        options: TaskOptions,
        rules: Rules,
        /// Tasks to run after, and whether it runs if one of them fails.
        after: (Vec<u8>, bool),
    },
    /// As a client does whose answer was lost.
    SubmitAgain {
        back: u8,
    },
    Acquire {
        worker: u8,
        python: PythonVersion,
        tags: Tags,
        max: u16,
        repeat: Option<u8>,
    },
    Extend {
        lease: Lease,
        ms: u64,
    },
    Complete {
        lease: Lease,
        prints: bool,
    },
    Fail {
        lease: Lease,
        kind: FailureKind,
        named: bool,
        retryable: bool,
    },
    Release {
        lease: Lease,
    },
    Cancel {
        task: u8,
    },
    Expire {
        leases: Vec<(Lease, bool)>,
    },
    Forget {
        tasks: Vec<u8>,
    },
    /// As a new task, or as one that is there.
    Redrive {
        task: u8,
        into: Option<u8>,
    },
    Store {
        map: u8,
        index: u32,
        items: u32,
        many: bool,
    },
    Map {
        map: u8,
        function: u8,
        pieces: u32,
        delay: u64,
        rules: Rules,
    },
    /// A part of arguments, or of a result.
    StorePart {
        lease: Option<Lease>,
        payload: u8,
        index: u32,
        other: bool,
    },
    SubmitInParts {
        payload: u8,
        function: u8,
        count: u32,
        more: bool,
        priority: u8,
    },
    CompleteInParts {
        lease: Lease,
        count: u32,
        more: bool,
    },
    CancelMap {
        map: u8,
    },
    ForgetMap {
        map: u8,
    },
    SetLimit {
        name: LimitName,
        bound: Option<Bound>,
    },
    Schedule {
        schedule: u8,
        function: u8,
        slower: bool,
        overlap: Overlap,
        limit: Option<(LimitName, Bound)>,
    },
    ChangeSchedule {
        schedule: u8,
        change: ScheduleChange,
    },
    Fire {
        schedule: u8,
        stale: bool,
        nominal: Vec<u64>,
    },
    Trigger {
        schedule: u8,
        again: bool,
    },
}

/// A task to submit: a new one, or an earlier one again, with one of few arguments.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    again: Option<u8>,
    args: bool,
}

/// A lease to name, counted back from the newest one.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    whose: Whose,
    back: u8,
}

#[derive(Debug, Clone, Copy)]
enum Whose {
    /// One that is held now.
    Held,
    /// Any that was ever granted.
    Granted,
    /// One whose token was never given out.
    Forged,
    /// One whose token has not been given out yet.
    Future,
}

pub(crate) fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let actions = prop::collection::vec(action(), 0..5);
    let step = (
        prop_oneof![8 => Just(0), 8 => 1_u64..500, 2 => 1_000_u64..40_000, 1 => 1_000_000_u64..9_000_000],
        any::<u8>(),
        prop_oneof![8 => Just(5_000), 1 => Just(0), 1 => 5_000_u64..20_000],
        actions,
    );
    let step = step.prop_map(|(ms, slow, ahead, actions)| Step { ms, slow: slow > 240, ahead, actions });
    prop::collection::vec(step, 1..most)
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        2 => register(),
        4 => submit(),
        1 => (0_u8..4).prop_map(|back| Action::SubmitAgain { back }),
        6 => (0_u8..3, worker_python(), offer(), 0_u16..4, prop::option::weighted(0.3, 0_u8..4))
            .prop_map(|(worker, python, tags, max, repeat)| Action::Acquire { worker, python, tags, max, repeat }),
        1 => (lease(), run_ms()).prop_map(|(lease, ms)| Action::Extend { lease, ms }),
        3 => (lease(), any::<bool>()).prop_map(|(lease, prints)| Action::Complete { lease, prints }),
        8 => (lease(), kind(), any::<bool>(), any::<bool>())
            .prop_map(|(lease, kind, named, retryable)| Action::Fail { lease, kind, named, retryable }),
        1 => lease().prop_map(|lease| Action::Release { lease }),
        1 => (0_u8..12).prop_map(|task| Action::Cancel { task }),
        2 => prop::collection::vec((lease(), any::<bool>()), 1..4).prop_map(|leases| Action::Expire { leases }),
        1 => prop::collection::vec(0_u8..12, 1..6).prop_map(|tasks| Action::Forget { tasks }),
        4 => schedule(),
        1 => (limit(), prop::option::weighted(0.6, 0_u32..3))
            .prop_map(|((name, bound), max)| Action::SetLimit { name, bound: max.map(|max| Bound { max, ..bound }) }),
        2 => (0_u8..12, prop::option::weighted(0.3, 0_u8..6)).prop_map(|(task, into)| Action::Redrive { task, into }),
        4 => (0_u8..4, 0_u32..2, 1_u32..4, any::<u8>())
            .prop_map(|(map, index, items, many)| Action::Store { map, index, items, many: many > 245 }),
        4 => (0_u8..4, 0_u8..3, 0_u32..3, prop_oneof![4 => Just(0), 1 => 1_u64..3_000], rules())
            .prop_map(|(map, function, pieces, delay, rules)| Action::Map { map, function, pieces, delay, rules }),
        8 => in_parts(),
        1 => (0_u8..4).prop_map(|map| Action::CancelMap { map }),
        1 => (0_u8..4).prop_map(|map| Action::ForgetMap { map }),
    ]
}

fn register() -> impl Strategy<Value = Action> {
    let keep = prop_oneof![Just(0), Just(2_000), Just(u64::MAX)];
    (0_u8..3, prop::option::of(python()), retry(), prop::option::of(run_ms()), keep).prop_map(
        |(function, python, retry, run, keep)| Action::Register { function, python, retry, run, keep },
    )
}

fn submit() -> impl Strategy<Value = Action> {
    let item =
        (prop::option::weighted(0.2, 0_u8..6), any::<bool>()).prop_map(|(again, args)| Item { again, args });
    // Mostly plain options, so that a repeat often names the same request.
    let options = prop_oneof![
        3 => Just(TaskOptions::default()),
        2 => (4_u8..11, prop_oneof![Just(0), 1_u64..3_000], prop::option::of(1_u16..4)).prop_map(
            |(priority, delay, attempts)| TaskOptions {
                priority,
                delay: Millis(delay),
                retry: attempts.map(|max_attempts| RetryPolicy { max_attempts, ..RetryPolicy::default() }),
                ..TaskOptions::default()
            }
        ),
        1 => (prop::option::of(python()), prop::option::of(run_ms())).prop_map(|(python, run)| TaskOptions {
            python,
            run_max: run.map(Millis),
            ..TaskOptions::default()
        }),
    ];
    let after = prop_oneof![
        3 => Just(Vec::new()),
        1 => prop::collection::vec(0_u8..8, 1..4),
    ];
    (0_u8..3, prop::collection::vec(item, 1..3), options, rules(), (after, any::<bool>())).prop_map(
        |(function, items, options, rules, after)| Action::Submit { function, items, options, rules, after },
    )
}

/// Mostly none, so that a repeat often names the same request; now and then some that are refused.
fn rules() -> impl Strategy<Value = Rules> {
    let tags = prop_oneof![
        2 => Just(&["gpu"][..]),
        2 => Just(&["big", "gpu"][..]),
        1 => Just(&["no tag"][..]),
    ];
    let tags = prop::option::weighted(0.2, tags.prop_map(|tags| Rule::Tags(tags.iter().copied().collect())));
    let names = prop_oneof![
        3 => Just(&["LookupError", "shop.Broken"][..]),
        1 => Just(&["TimeoutError"][..]),
        1 => Just(&[""][..]),
    ];
    let no_retry =
        prop::option::weighted(0.2, names.prop_map(|names| Rule::NoRetry(names.iter().copied().collect())));
    let span = || prop_oneof![1 => Just(0), 8 => 1_u64..5_000, 1 => Just(u64::MAX)].prop_map(Millis);
    let start_by = prop::option::weighted(0.2, span().prop_map(Rule::StartBy));
    let total = prop::option::weighted(0.2, span().prop_map(Rule::Total));
    let run_at = prop::option::weighted(0.2, (0_u64..40_000).prop_map(|at| Rule::RunAt(WallTime(at))));
    let concurrency = prop::option::weighted(0.4, limit_of(LimitKind::Concurrency).prop_map(limit_rule));
    let rate = prop::option::weighted(0.25, limit_of(LimitKind::Rate).prop_map(limit_rule));
    (tags, no_retry, start_by, total, run_at, concurrency, rate).prop_map(
        |(tags, no_retry, start_by, total, run_at, concurrency, rate)| {
            [tags, no_retry, start_by, total, run_at, concurrency, rate].into_iter().flatten().collect()
        },
    )
}

fn schedule() -> impl Strategy<Value = Action> {
    let overlap = prop_oneof![Just(Overlap::Allow), Just(Overlap::Skip), Just(Overlap::Queue)];
    let change = prop_oneof![
        1 => Just(ScheduleChange::Pause),
        3 => Just(ScheduleChange::Resume),
        1 => Just(ScheduleChange::Delete),
    ];
    let put = (0_u8..2, 0_u8..3, any::<bool>(), overlap, prop::option::weighted(0.2, limit()));
    let nominal = prop::collection::vec(1_u64..2_000, 0..3);
    prop_oneof![
        3 => put.prop_map(|(schedule, function, slower, overlap, limit)| Action::Schedule {
            schedule, function, slower, overlap, limit
        }),
        1 => (0_u8..3, change).prop_map(|(schedule, change)| Action::ChangeSchedule { schedule, change }),
        6 => (0_u8..2, prop::bool::weighted(0.1), nominal)
            .prop_map(|(schedule, stale, nominal)| Action::Fire { schedule, stale, nominal }),
        1 => (0_u8..2, any::<bool>()).prop_map(|(schedule, again)| Action::Trigger { schedule, again }),
    ]
}

/// Short payloads of few tasks, so that some become whole.
fn in_parts() -> impl Strategy<Value = Action> {
    let other = prop::bool::weighted(0.1);
    let index = prop_oneof![3 => Just(0), 1 => Just(1)];
    let count = || prop_oneof![1 => Just(0), 6 => Just(1), 2 => Just(2)];
    let store = (prop::option::weighted(0.5, lease()), 0_u8..3, index, other);
    let submit = (0_u8..3, 0_u8..3, count(), prop::bool::weighted(0.1), 4_u8..6);
    prop_oneof![
        6 => store.prop_map(|(lease, payload, index, other)| Action::StorePart { lease, payload, index, other }),
        2 => submit.prop_map(|(payload, function, count, more, priority)| Action::SubmitInParts {
            payload, function, count, more, priority
        }),
        3 => (lease(), count(), prop::bool::weighted(0.1))
            .prop_map(|(lease, count, more)| Action::CompleteInParts { lease, count, more }),
    ]
}

fn limit() -> impl Strategy<Value = (LimitName, Bound)> {
    prop_oneof![limit_of(LimitKind::Concurrency), limit_of(LimitKind::Rate)]
}

/// One of few, so that tasks meet.
fn limit_of(kind: LimitKind) -> impl Strategy<Value = (LimitName, Bound)> {
    let key = prop_oneof![Just("k1"), Just("k2")];
    let per = prop_oneof![2 => Just(5_000_u64), 1 => Just(100)];
    (key, 1_u32..3, per).prop_map(move |(key, max, per)| {
        let per = if kind == LimitKind::Rate { per } else { 0 };
        (LimitName { kind, key: key.to_owned() }, Bound { max, per: Millis(per) })
    })
}

fn limit_rule((name, bound): (LimitName, Bound)) -> Rule {
    match name.kind {
        LimitKind::Concurrency => Rule::Concurrency { key: name.key, max: bound.max },
        LimitKind::Rate => Rule::Rate { key: name.key, max: bound.max, per: bound.per },
    }
}

fn offer() -> impl Strategy<Value = Tags> {
    prop_oneof![
        3 => Just(&[][..]),
        1 => Just(&["gpu"][..]),
        2 => Just(&["big", "fast", "gpu"][..]),
    ]
    .prop_map(|tags: &[&str]| tags.iter().copied().collect())
}

fn retry() -> impl Strategy<Value = RetryPolicy> {
    (0_u16..5, prop_oneof![2 => Just(0), 1 => Just(300)]).prop_map(|(max_attempts, initial_ms)| RetryPolicy {
        max_attempts,
        initial_ms,
        max_ms: 1_000,
    })
}

fn python() -> impl Strategy<Value = PythonVersion> {
    (11_u8..13).prop_map(|minor| PythonVersion { major: 3, minor })
}

fn worker_python() -> impl Strategy<Value = PythonVersion> {
    prop_oneof![Just(11_u8), Just(12), Just(13)].prop_map(|minor| PythonVersion { major: 3, minor })
}

fn run_ms() -> impl Strategy<Value = u64> {
    prop_oneof![3 => Just(1_000), 1 => Just(0), 1 => Just(u64::MAX)]
}

fn lease() -> impl Strategy<Value = Lease> {
    let whose = prop_oneof![
        10 => Just(Whose::Held),
        6 => Just(Whose::Granted),
        1 => Just(Whose::Forged),
        1 => Just(Whose::Future),
    ];
    (whose, 0_u8..6).prop_map(|(whose, back)| Lease { whose, back })
}

/// Mostly crashes: a task needs three of them, each under a lease of its own, to be parked.
fn kind() -> impl Strategy<Value = FailureKind> {
    prop_oneof![
        2 => Just(FailureKind::Exception),
        1 => Just(FailureKind::Timeout),
        1 => Just(FailureKind::Load),
        5 => Just(FailureKind::Crash { exit_code: None, signal: Some(11) }),
        2 => Just(FailureKind::OutOfMemory { limit: 100, peak: 101 }),
        1 => Just(FailureKind::WorkerLost),
    ]
}

/// What actions choose among.
#[derive(Debug, Default)]
pub(crate) struct World {
    clock: u64,
    tasks: Vec<TaskId>,
    granted: Vec<LeaseRef>,
    held: Vec<LeaseRef>,
    acquires: Vec<Acquire>,
    /// Ids of schedules, and up to when they were dealt with.
    schedules: BTreeMap<String, (ScheduleId, WallTime)>,
    submits: Vec<Command>,
    redrives: BTreeMap<TaskId, TaskId>,
}

impl World {
    /// The entry that a step stands for, here and now.
    pub(crate) fn entry(&mut self, step: &Step) -> Entry {
        self.clock += step.ms;
        let clock = if step.slow { self.clock.saturating_sub(5_000) } else { self.clock };
        let commands = step.actions.iter().map(|action| self.command(action)).collect();
        Entry { log_time: LogTime(clock), wall_time: WallTime(clock + step.ahead), commands }
    }

    /// Remembers the leases that an entry gave out, and those that are held after it.
    pub(crate) fn learn(&mut self, applied: &Applied, state: &State) {
        for reply in &applied.replies {
            if let Ok(Accepted::Granted(grants)) = reply {
                let leases = grants.iter().map(|grant| LeaseRef { task: grant.task, token: grant.token });
                self.granted.extend(leases);
            }
        }
        self.held = state.leases().map(|(_, lease)| lease).collect();
        self.held.sort_by_key(|lease| lease.token);
        let schedules = state.schedules_after(None);
        self.schedules = schedules.map(|(name, one, _)| (name.to_owned(), (one.id, one.last))).collect();
    }

    fn command(&mut self, action: &Action) -> Command {
        match action {
            Action::Register { function, python, retry, run, keep } => {
                Command::Register(register_command(*function, *python, *retry, *run, *keep))
            }
            Action::Submit { function, items, options, rules, after } => {
                let rules = rules.iter().cloned().chain(self.after(after)).collect();
                self.submit(*function, items, options, &rules)
            }
            Action::SubmitAgain { back } => self.submit_again(*back),
            Action::Acquire { worker, python, tags, max, repeat } => {
                let acquire = self.acquire(*worker, *python, *max, *repeat);
                if tags.is_empty() {
                    Command::Acquire(acquire)
                } else {
                    Command::AcquireWith(AcquireWith { acquire, tags: tags.clone() })
                }
            }
            Action::Extend { lease, ms } => {
                Command::Extend(Extend { lease: self.lease(lease), run: Millis(*ms) })
            }
            Action::Complete { lease, prints } => Command::Complete(Complete {
                lease: self.lease(lease),
                result: Bytes::from_static(b"result"),
                output: printed(if *prints { b"hello" } else { b"" }),
            }),
            Action::Fail { lease, kind, named, retryable } => Command::Fail(Fail {
                lease: self.lease(lease),
                error: error(*kind),
                bases: if *named { vec!["LookupError".to_owned()] } else { Vec::new() },
                retryable: *retryable,
                output: printed(b""),
            }),
            Action::Release { lease } => Command::Release(Release { lease: self.lease(lease) }),
            Action::Cancel { task } => Command::Cancel(Cancel { task: self.task(*task) }),
            Action::Expire { leases } => Command::Expire(Expire {
                leases: leases.iter().map(|(lease, started)| (self.lease(lease), *started)).collect(),
            }),
            Action::Forget { tasks } => {
                Command::Forget(Forget { tasks: tasks.iter().map(|task| self.task(*task)).collect() })
            }
            Action::Schedule { .. }
            | Action::ChangeSchedule { .. }
            | Action::Fire { .. }
            | Action::Trigger { .. } => self.schedule_command(action).expect("it is about a schedule"),
            Action::SetLimit { name, bound } => {
                Command::SetLimit(SetLimit { name: name.clone(), bound: *bound })
            }
            Action::Redrive { task, into } => {
                let task = self.task(*task);
                let into = if let Some(back) = into { self.task(*back) } else { self.redrive_of(task) };
                Command::Redrive(Redrive { task, into })
            }
            Action::Store { .. }
            | Action::Map { .. }
            | Action::CancelMap { .. }
            | Action::ForgetMap { .. } => self.map_command(action).expect("it is about a map"),
            Action::StorePart { .. } | Action::SubmitInParts { .. } | Action::CompleteInParts { .. } => {
                self.part_command(action).expect("it is about a large payload")
            }
        }
    }

    fn schedule_command(&mut self, action: &Action) -> Option<Command> {
        if let Action::Schedule { schedule, function, slower, overlap, limit } = action {
            let spec = ScheduleSpec {
                timing: Timing::Every { span: Millis(if *slower { 60_000 } else { 1_000 }), from: None },
                function: function_name(*function).function(),
                args: "7".into(),
                options: TaskOptions::default(),
                rules: limit.clone().map(limit_rule).into_iter().collect(),
                catch_up: CatchUp::Latest,
                overlap: *overlap,
            };
            return Some(Command::PutSchedule(PutSchedule { name: schedule_name(*schedule), spec }));
        }
        if let Action::ChangeSchedule { schedule, change } = action {
            let name = schedule_name(*schedule);
            return Some(Command::ChangeSchedule(ChangeSchedule { name, change: *change }));
        }
        if let Action::Fire { schedule, stale, nominal } = action {
            return Some(self.fire(schedule_name(*schedule), *stale, nominal));
        }
        let Action::Trigger { schedule, again } = action else { return None };
        let task = if *again { self.task(0) } else { self.new_task() };
        Some(Command::Trigger(Trigger { name: schedule_name(*schedule), task }))
    }

    /// What a leader that looks at its clock would propose; or one that has not heard of the last firing.
    fn fire(&self, name: String, stale: bool, nominal: &[u64]) -> Command {
        let nobody = (ScheduleId(0), WallTime(0));
        let (schedule, last) = self.schedules.get(&name).copied().unwrap_or(nobody);
        let after = WallTime(last.0.saturating_sub(u64::from(stale)));
        let nominal: BTreeSet<u64> = nominal.iter().map(|more| (last.0 + more).min(self.clock)).collect();
        let nominal = nominal.into_iter().filter(|nominal| *nominal > last.0).map(WallTime).collect();
        let until = WallTime(self.clock);
        Command::Fire(Fire { firings: vec![Firing { name, schedule, after, until, nominal }] })
    }

    fn part_command(&mut self, action: &Action) -> Option<Command> {
        let named = |payload: u8| Name(format!("p{payload}")).task();
        let whole = |count: u32, more: bool| InParts {
            count,
            bytes: u64::from(count) + u64::from(more),
            digest: [1; 32],
        };
        if let Action::StorePart { lease, payload, index, other } = action {
            let of = lease.as_ref().map(|lease| PayloadId::result(self.lease(lease)));
            let of = of.unwrap_or_else(|| PayloadId::arguments(named(*payload)));
            let bytes = if *other { "2" } else { "1" }.into();
            return Some(Command::StorePart(StorePart { of, index: *index, bytes }));
        }
        if let Action::CompleteInParts { lease, count, more } = action {
            return Some(Command::CompleteInParts(CompleteInParts {
                lease: self.lease(lease),
                parts: whole(*count, *more),
                output: printed(b""),
            }));
        }
        let Action::SubmitInParts { payload, function, count, more, priority } = action else { return None };
        let task = named(*payload);
        self.tasks.retain(|known| *known != task);
        self.tasks.push(task);
        let submit = Submit {
            function: function_name(*function).function(),
            options: TaskOptions { priority: *priority, ..TaskOptions::default() },
            items: vec![(task, Bytes::new())],
        };
        let rules = [Rule::InParts(whole(*count, *more))].into_iter().collect();
        Some(Command::SubmitUnder(SubmitUnder { submit, rules }))
    }

    fn map(&mut self, map: u8, function: u8, pieces: u32, delay: u64, rules: &Rules) -> Command {
        let map = map_name(map).map();
        // Tasks that other actions name: to be cancelled before their turn, or to be there before it.
        if !self.tasks.contains(&map.item(0)) {
            self.tasks.extend((0..3).map(|index| map.item(index)));
        }
        Command::Map(Map {
            map,
            function: function_name(function).function(),
            options: TaskOptions { delay: Millis(delay), ..TaskOptions::default() },
            rules: rules.clone(),
            pieces,
            digest: [0; 32],
        })
    }

    fn map_command(&mut self, action: &Action) -> Option<Command> {
        let named = |map: u8| map_name(map).map();
        if let Action::Map { map, function, pieces, delay, rules } = action {
            return Some(self.map(*map, *function, *pieces, *delay, rules));
        }
        if let Action::Store { map, index, items, many } = action {
            return Some(Command::Store(Store {
                map: named(*map),
                index: *index,
                piece: piece(*items, *many),
            }));
        }
        if let Action::CancelMap { map } = action {
            return Some(Command::CancelMap(CancelMap { map: named(*map) }));
        }
        let Action::ForgetMap { map } = action else { return None };
        Some(Command::Forget(Forget { tasks: vec![named(*map).as_uuid().into()] }))
    }

    fn submit(&mut self, function: u8, items: &[Item], options: &TaskOptions, rules: &Rules) -> Command {
        let submit = Submit {
            function: function_name(function).function(),
            options: options.clone(),
            items: items.iter().map(|item| self.item(item)).collect(),
        };
        let command = if rules.is_empty() {
            Command::Submit(submit)
        } else {
            Command::SubmitUnder(SubmitUnder { submit, rules: rules.clone() })
        };
        self.submits.push(command.clone());
        command
    }

    fn after(&self, (backs, run): &(Vec<u8>, bool)) -> Option<Rule> {
        let on_failure = if *run { OnFailure::Run } else { OnFailure::Fail };
        let tasks: BTreeSet<TaskId> = backs.iter().map(|back| self.task(*back)).collect();
        // Some of the results, so that rows have both.
        let results = tasks.iter().copied().take(backs.len() / 2).collect();
        (!backs.is_empty()).then_some(Rule::After(After { tasks, results, on_failure }))
    }

    fn submit_again(&mut self, back: u8) -> Command {
        from_newest(&self.submits, back).cloned().unwrap_or_else(|| {
            let item = Item { again: None, args: true };
            self.submit(0, &[item], &TaskOptions::default(), &Rules::default())
        })
    }

    fn item(&mut self, item: &Item) -> (TaskId, Bytes) {
        let args = if item.args { "1" } else { "2" };
        let task = if let Some(back) = item.again { self.task(back) } else { self.new_task() };
        (task, args.into())
    }

    fn new_task(&mut self) -> TaskId {
        // The order of ids is not the order of acceptance.
        let task = Name(format!("t{}", (self.tasks.len() * 37 + 11) % 1_000)).task();
        self.tasks.push(task);
        task
    }

    /// Always the same for the same task.
    fn redrive_of(&mut self, task: TaskId) -> TaskId {
        if let Some(into) = self.redrives.get(&task) {
            return *into;
        }
        let into = self.new_task();
        self.redrives.insert(task, into);
        into
    }

    fn acquire(&mut self, worker: u8, python: PythonVersion, max: u16, repeat: Option<u8>) -> Acquire {
        let earlier = repeat.and_then(|back| from_newest(&self.acquires, back));
        let acquire = earlier.cloned().unwrap_or_else(|| Acquire {
            worker: Name(format!("w{worker}")).worker(),
            request: Name(format!("r{}", self.acquires.len())).request(),
            max,
            python,
        });
        self.acquires.push(acquire.clone());
        acquire
    }

    fn task(&self, back: u8) -> TaskId {
        from_newest(&self.tasks, back).copied().unwrap_or_else(|| Name("nobody".to_owned()).task())
    }

    fn lease(&self, lease: &Lease) -> LeaseRef {
        let among = if matches!(lease.whose, Whose::Held) { &self.held } else { &self.granted };
        let known = from_newest(among, lease.back).copied();
        let known = known.unwrap_or_else(|| LeaseRef { task: self.task(lease.back), token: Token(1) });
        match lease.whose {
            Whose::Held | Whose::Granted => known,
            Whose::Forged => LeaseRef { token: Token(0), ..known },
            Whose::Future => LeaseRef { token: Token(known.token.0 + 1), ..known },
        }
    }
}

fn from_newest<T>(all: &[T], back: u8) -> Option<&T> {
    let back = usize::from(back).checked_rem(all.len())?;
    all.get(all.len() - 1 - back)
}

fn schedule_name(schedule: u8) -> String {
    format!("s{schedule}")
}

fn map_name(map: u8) -> Name {
    Name(format!("m{map}"))
}

fn piece(items: u32, many: bool) -> Piece {
    let each = (0..items).map(|n| Bytes::from(n.to_string())).collect();
    let numbered = Pack::Numbered { head: "<".into(), tail: ">".into(), count: 300 };
    let mut packs = vec![Pack::Each(each)];
    packs.extend(many.then_some(numbered));
    Piece(packs)
}

fn function_name(function: u8) -> Name {
    Name(format!("f{function}"))
}

fn register_command(
    function: u8,
    python: Option<PythonVersion>,
    retry: RetryPolicy,
    run: Option<u64>,
    keep: u64,
) -> Register {
    let name = function_name(function);
    Register {
        function: name.function(),
        spec: FunctionSpec {
            name: name.0.clone(),
            language: Language::Pickle,
            code_hash: CodeHash([2; 32]),
            python,
            retry,
            run_max: run.map(Millis),
            retention: Millis(keep),
        },
        code: name.0.into(),
    }
}

fn printed(stdout: &'static [u8]) -> Output {
    Output { stdout: Bytes::from_static(stdout), stderr: Bytes::new() }
}

fn error(kind: FailureKind) -> TaskError {
    TaskError {
        kind,
        type_name: String::new(),
        message: "it went wrong".to_owned(),
        traceback: String::new(),
        exception: None,
    }
}

/// Every answer that is not about a size.
const ANSWERS: &[&str] = &[
    "AlreadyFinished(Cancelled)",
    "AlreadyFinished(Completed)",
    "AlreadyFinished(Failed)",
    "AlreadyFinished(Parked)",
    "Cancelled",
    "Completed",
    "Expired(0)",
    "Expired(some)",
    "Extended",
    "Finished(Failed)",
    "Finished(Parked)",
    "Fired(0)",
    "Fired(some)",
    "Forgotten(0)",
    "Forgotten(some)",
    "FunctionConflict",
    "Granted(0)",
    "Granted(some)",
    "Invalid",
    "LimitSet",
    "MapConflict",
    "MapFinished",
    "MapIncomplete",
    "Mapped(false)",
    "Mapped(true)",
    "NotRedrivable(Cancelled)",
    "NotRedrivable(Completed)",
    "NotRedrivable(Queued)",
    "NotRedrivable(Running)",
    "NotRedrivable(Waiting)",
    "NotRedrivableInParts",
    "OverLimit",
    "PartConflict",
    "PartMissing",
    "Redriven(false)",
    "Redriven(true)",
    "Registered",
    "Released",
    "ScheduleChanged",
    "SchedulePut",
    "StaleLease",
    "Stored",
    "Submitted(0)",
    "Submitted(some)",
    "TaskConflict",
    "UnknownDependency",
    "UnknownFunction",
    "UnknownMap",
    "UnknownSchedule",
    "UnknownTask",
    "WillRetry",
];

/// Guards the random tests against becoming blind: their entries must meet every answer that is not about a size.
#[test]
fn random_entries_meet_every_answer() {
    let answers = std::cell::RefCell::new(BTreeSet::new());
    let config = ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() };
    let rng = proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha);
    let run = proptest::test_runner::TestRunner::new_with_rng(config, rng).run(&steps(100), |steps| {
        let (mut world, mut group) = (World::default(), Group::default());
        for step in &steps {
            let applied = group.apply(&world.entry(step));
            answers.borrow_mut().extend(applied.replies.iter().map(kind_of_answer));
            world.learn(&applied, &group.state);
        }
        Ok(())
    });
    run.expect("random entries are applied");
    let met: Vec<_> = answers.into_inner().into_iter().collect();
    assert_eq!(met, ANSWERS);
}

fn kind_of_answer(reply: &Reply) -> String {
    let some = |count: usize| if count == 0 { "0" } else { "some" };
    match reply {
        Ok(Accepted::Registered) => "Registered".to_owned(),
        Ok(Accepted::Submitted { created }) => format!("Submitted({})", some(*created as usize)),
        Ok(Accepted::Granted(grants)) => format!("Granted({})", some(grants.len())),
        Ok(Accepted::Extended { .. }) => "Extended".to_owned(),
        Ok(Accepted::Completed) => "Completed".to_owned(),
        Ok(Accepted::WillRetry { .. }) => "WillRetry".to_owned(),
        Ok(Accepted::Finished { status }) => format!("Finished({status:?})"),
        Ok(Accepted::Released) => "Released".to_owned(),
        Ok(Accepted::Cancelled) => "Cancelled".to_owned(),
        Ok(Accepted::Expired(count)) => format!("Expired({})", some(*count as usize)),
        Ok(Accepted::Forgotten(count)) => format!("Forgotten({})", some(*count as usize)),
        Ok(Accepted::LimitSet) => "LimitSet".to_owned(),
        Ok(Accepted::SchedulePut { .. }) => "SchedulePut".to_owned(),
        Ok(Accepted::ScheduleChanged) => "ScheduleChanged".to_owned(),
        Ok(Accepted::Fired { submitted }) => format!("Fired({})", some(*submitted as usize)),
        Err(Rejection::UnknownSchedule(_)) => "UnknownSchedule".to_owned(),
        Ok(Accepted::Redriven { created }) => format!("Redriven({created})"),
        Ok(Accepted::Stored) => "Stored".to_owned(),
        Ok(Accepted::Mapped { created, .. }) => format!("Mapped({created})"),
        Err(Rejection::UnknownFunction(_)) => "UnknownFunction".to_owned(),
        Err(Rejection::UnknownTask(_)) => "UnknownTask".to_owned(),
        Err(Rejection::UnknownDependency(_)) => "UnknownDependency".to_owned(),
        Err(Rejection::FunctionConflict(_)) => "FunctionConflict".to_owned(),
        Err(Rejection::TaskConflict(_)) => "TaskConflict".to_owned(),
        Err(Rejection::StaleLease { .. }) => "StaleLease".to_owned(),
        Err(Rejection::AlreadyFinished { status, .. }) => format!("AlreadyFinished({status:?})"),
        Err(Rejection::OverLimit { .. }) => "OverLimit".to_owned(),
        Err(Rejection::Invalid(_)) => "Invalid".to_owned(),
        Err(Rejection::NotRedrivable { status, .. }) => format!("NotRedrivable({status:?})"),
        Err(Rejection::PartMissing { .. }) => "PartMissing".to_owned(),
        Err(Rejection::PartConflict { .. }) => "PartConflict".to_owned(),
        Err(Rejection::NotRedrivableInParts(_)) => "NotRedrivableInParts".to_owned(),
        Err(Rejection::UnknownMap(_)) => "UnknownMap".to_owned(),
        Err(Rejection::MapConflict(_)) => "MapConflict".to_owned(),
        Err(Rejection::MapIncomplete { .. }) => "MapIncomplete".to_owned(),
        Err(Rejection::MapFinished(_)) => "MapFinished".to_owned(),
    }
}
