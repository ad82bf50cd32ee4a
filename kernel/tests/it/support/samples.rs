//! One value of everything that is written down, with every variant of every enum.

use bytes::Bytes;
use raftwork_kernel::{
    Accepted, Acquire, AcquireWith, After, Bound, Cancel, CancelMap, CatchUp, ChangeSchedule, CodeHash,
    Command, Complete, CompleteInParts, Counters, Deadlines, Ended, Entry, Expire, Extend, Fail, FailureKind,
    Fire, Firing, Forget, Function, FunctionId, FunctionSpec, Grant, InParts, Language, Lease, LeaseRef,
    Limit, LimitKind, LimitName, LogTime, Map, MapFinished, MapId, MapRow, MapStanding, Millis, OnFailure,
    Outcome, Output, Overlap, Pack, PayloadId, Phase, Piece, PutSchedule, PythonVersion, Record, Redrive,
    Register, Rejection, Release, Reply, RequestId, RetryPolicy, Rule, Rules, Scalars, Schedule,
    ScheduleChange, ScheduleId, ScheduleSpec, Seq, SetLimit, Status, Store, StorePart, Submit, SubmitUnder,
    Tags, Task, TaskError, TaskId, TaskOptions, TaskRow, Timing, Token, Trigger, Upload, WallTime, WorkerId,
};

const TASK: TaskId = TaskId::from_u128(0x0190_a5e4_7c3b_7cc1_8a54_2f6a_5d1b_9c3e);
const MAP: MapId = MapId::from_u128(0x0190_a5e4_7c3b_7cc1_8a54_2f6a_0000_0000);
const FUNCTION: FunctionId = FunctionId::from_u128(0xf1);
const WORKER: WorkerId = WorkerId::from_u128(0xa1);
const REQUEST: RequestId = RequestId::from_u128(0xe1);
const LEASE: LeaseRef = LeaseRef { task: TASK, token: Token(300) };
const SCHEDULE: ScheduleId = ScheduleId(300);
const PYTHON: PythonVersion = PythonVersion { major: 3, minor: 11 };
const BOUND: Bound = Bound { max: 10, per: Millis(60_000) };
const RETRY: RetryPolicy = RetryPolicy { max_attempts: 5, initial_ms: 1_000, max_ms: 60_000 };

pub(crate) fn entry() -> Entry {
    let commands = vec![
        Command::Register(Register {
            function: FUNCTION,
            spec: spec(Language::Pickle),
            code: bytes(b"\x80."),
        }),
        Command::Register(Register {
            function: FUNCTION,
            spec: spec(Language::Source),
            code: bytes(b"def f(): ..."),
        }),
        Command::Submit(Submit {
            function: FUNCTION,
            options: options(),
            items: vec![(TASK, bytes(b"arguments")), (TaskId::from_u128(2), Bytes::new())],
        }),
        Command::Acquire(Acquire { worker: WORKER, request: REQUEST, max: 1_000, python: PYTHON }),
        Command::Extend(Extend { lease: LEASE, run: Millis(60_000) }),
        Command::Complete(Complete { lease: LEASE, result: bytes(b"result"), output: output() }),
        Command::Release(Release { lease: LEASE }),
        Command::Cancel(Cancel { task: TASK }),
        Command::Expire(Expire { leases: vec![(LEASE, true), (LEASE, false)] }),
        Command::Forget(Forget { tasks: vec![TASK, TaskId::from_u128(2)] }),
    ];
    let fails = errors().into_iter().map(|error| {
        Command::Fail(Fail {
            lease: LEASE,
            error,
            bases: bases(),
            retryable: true,
            output: Output::default(),
        })
    });
    let commands = commands.into_iter().chain(fails).collect();
    Entry { log_time: LogTime(123_456), wall_time: WallTime(1_795_000_000_000), commands }
}

/// What came after the first commands: these are at the end of the enum, and have a file of their own.
pub(crate) fn later_commands() -> Vec<Command> {
    let submit = Submit { function: FUNCTION, options: options(), items: vec![(TASK, bytes(b"arguments"))] };
    let acquire = Acquire { worker: WORKER, request: REQUEST, max: 1_000, python: PYTHON };
    vec![
        Command::SubmitUnder(SubmitUnder { submit, rules: rules() }),
        Command::AcquireWith(AcquireWith { acquire, tags: tags() }),
        Command::Redrive(Redrive { task: TASK, into: TaskId::from_u128(2) }),
        Command::Store(Store { map: MAP, index: 7, piece: piece() }),
        Command::Map(Map {
            map: MAP,
            function: FUNCTION,
            options: options(),
            rules: rules(),
            pieces: 300,
            digest: [9; 32],
        }),
        Command::CancelMap(CancelMap { map: MAP }),
        Command::SetLimit(SetLimit { name: limit_name(), bound: Some(BOUND) }),
        Command::PutSchedule(PutSchedule { name: "report".to_owned(), spec: schedule().spec }),
        Command::ChangeSchedule(ChangeSchedule { name: "report".to_owned(), change: ScheduleChange::Delete }),
        Command::Fire(Fire {
            firings: vec![Firing {
                name: "report".to_owned(),
                schedule: SCHEDULE,
                after: WallTime(1_795_000_000_000),
                until: WallTime(1_795_000_060_000),
                nominal: vec![WallTime(1_795_000_060_000)],
            }],
        }),
        Command::Trigger(Trigger { name: "report".to_owned(), task: TASK }),
        Command::StorePart(StorePart { of: PayloadId::result(LEASE), index: 7, bytes: bytes(b"part") }),
        Command::StorePart(StorePart { of: PayloadId::arguments(TASK), index: 7, bytes: bytes(b"part") }),
        Command::CompleteInParts(CompleteInParts { lease: LEASE, parts: in_parts(), output: output() }),
    ]
}

const fn in_parts() -> InParts {
    InParts { count: 64, bytes: 64 << 20, digest: [9; 32] }
}

pub(crate) fn piece() -> Piece {
    Piece(vec![
        Pack::Each(vec![bytes(b"arguments"), Bytes::new()]),
        Pack::Numbered { head: bytes(b"head"), tail: bytes(b"tail"), count: 300 },
    ])
}

pub(crate) fn map_row() -> MapRow {
    MapRow {
        function: FUNCTION,
        options: options(),
        rules: rules(),
        pieces: vec![1, 300, 70_000],
        digest: [9; 32],
        seq: Seq(1_000_000),
        submitted_wall: WallTime(1_795_000_000_000),
        begins: LogTime(123_456),
        python: Some(PYTHON),
        retention: Millis(86_400_000),
    }
}

pub(crate) fn map_standings() -> Vec<MapStanding> {
    let ended = Ended { completed: 1_000, failed: 2, parked: 3, cancelled: 400 };
    let finished = MapFinished { wall: WallTime(1_795_000_000_000), expires: LogTime(86_523_456) };
    let live = MapStanding { next: 70_000, ended, ahead: [70_001, 70_002].into(), ..MapStanding::default() };
    let ended = MapStanding {
        cancelled_from: Some(70_000),
        finished: Some(finished),
        ahead: [].into(),
        ..live.clone()
    };
    vec![live, ended]
}

pub(crate) fn upload() -> Upload {
    Upload { pieces: [(0, 300), (7, 70_000)].into(), expires: LogTime(123_456) }
}

pub(crate) fn later_replies() -> Vec<Reply> {
    let redriven = [true, false].map(|created| Ok(Accepted::Redriven { created }));
    let mapped = [true, false].map(|created| Ok(Accepted::Mapped { items: 1_000_000, created }));
    redriven.into_iter().chain([Ok(Accepted::Stored)]).chain(mapped).collect()
}

pub(crate) fn rules() -> Rules {
    let key = || "tenant-7".to_owned();
    [
        Rule::Tags(tags()),
        Rule::RedriveOf(TASK),
        Rule::NoRetry(["ValueError", "shop.errors.Broken"].into_iter().collect()),
        Rule::StartBy(Millis(300_000)),
        Rule::Total(Millis(3_600_000)),
        Rule::RunAt(WallTime(1_795_000_000_000)),
        Rule::Concurrency { key: key(), max: 3 },
        Rule::Rate { key: key(), max: BOUND.max, per: BOUND.per },
        Rule::Scheduled {
            name: "report".to_owned(),
            schedule: SCHEDULE,
            nominal: WallTime(1_795_000_060_000),
        },
        Rule::InParts(in_parts()),
        Rule::After(After { tasks: [TASK].into(), results: [TASK].into(), on_failure: OnFailure::Run }),
    ]
    .into_iter()
    .collect()
}

/// A schedule as its row has it.
pub(crate) fn schedule() -> Schedule {
    Schedule {
        id: SCHEDULE,
        spec: ScheduleSpec {
            timing: Timing::Cron { pattern: "30 9 * * MON-FRI".to_owned(), zone: "Europe/Berlin".to_owned() },
            function: FUNCTION,
            args: bytes(b"arguments"),
            options: options(),
            rules: [Rule::Tags(tags())].into_iter().collect(),
            catch_up: CatchUp::All(100),
            overlap: Overlap::Queue,
        },
        last: WallTime(1_795_000_000_000),
        paused: true,
        fired: 300,
        skipped: 2,
        made_wall: WallTime(1_794_000_000_000),
    }
}

/// Limits as rows have them.
pub(crate) fn limits() -> Vec<(LimitName, Limit)> {
    let limit = Limit { declared: Some(BOUND), by_hand: Some(Bound { max: 0, ..BOUND }), ..Limit::default() };
    vec![(limit_name(), limit)]
}

fn limit_name() -> LimitName {
    LimitName { kind: LimitKind::Rate, key: "tenant-7".to_owned() }
}

pub(crate) fn later_rejections() -> Vec<Rejection> {
    vec![
        Rejection::Invalid("'a b' is no tag".to_owned()),
        Rejection::NotRedrivable { task: TASK, status: Status::Running },
        Rejection::UnknownMap(MAP),
        Rejection::MapConflict(MAP),
        Rejection::MapIncomplete { map: MAP, piece: 7 },
        Rejection::MapFinished(MAP),
        Rejection::UnknownSchedule("report".to_owned()),
        Rejection::PartMissing { task: TASK, token: Token(300), part: 7 },
        Rejection::PartConflict { task: TASK, token: Token(0), part: 7 },
        Rejection::NotRedrivableInParts(TASK),
        Rejection::UnknownDependency(TASK),
    ]
}

fn bases() -> Vec<String> {
    ["builtins.Exception", "builtins.BaseException"].map(str::to_owned).into()
}

fn tags() -> Tags {
    ["gpu", "zone=eu"].into_iter().collect()
}

pub(crate) fn function() -> Function {
    Function { spec: spec(Language::Pickle), registered_wall: WallTime(1_795_000_000_000) }
}

pub(crate) fn task_row() -> TaskRow {
    TaskRow {
        function: FUNCTION,
        options: options(),
        args: bytes(b"arguments"),
        seq: Seq(1_000_000),
        submitted_wall: WallTime(1_795_000_000_000),
        retention: Millis(86_400_000),
    }
}

pub(crate) fn tasks() -> Vec<Task> {
    let task = |phase| Task {
        seq: Seq(1_000_000),
        token: Token(300),
        phase,
        counters: counters(),
        priority: 9,
        python: Some(PYTHON),
        retry: RETRY,
        run_max: Some(Millis(10_000)),
        retention: Millis(86_400_000),
        deadlines: None,
    };
    let deadlines = Deadlines { start_by: Some(LogTime(200_000)), end_by: Some(LogTime(900_000)) };
    let lease = |run_until| Lease { worker: WORKER, request: REQUEST, run_until };
    vec![
        task(Phase::Waiting { due: LogTime(200_000) }),
        Task { deadlines: Some(Box::new(deadlines)), ..task(Phase::Ready) },
        task(Phase::Leased(Box::new(lease(Some(LogTime(300_000)))))),
        Task { python: None, run_max: None, ..task(Phase::Leased(Box::new(lease(None)))) },
        task(Phase::Scheduled { at: WallTime(1_795_000_000_000) }),
        task(Phase::Blocked { not_before: LogTime(1_000) }),
    ]
}

pub(crate) fn records() -> Vec<Record> {
    let record = |outcome| Record {
        outcome,
        token: Token(300),
        worker: Some(WORKER),
        counters: counters(),
        finished_wall: WallTime(1_795_000_000_000),
        expires: LogTime(86_523_456),
    };
    let [error, ..] = errors();
    vec![
        record(Outcome::Completed(bytes(b"result"))),
        record(Outcome::Failed(error.clone())),
        record(Outcome::Parked(error)),
        Record { worker: None, ..record(Outcome::Cancelled) },
        record(Outcome::CompletedInParts(in_parts())),
    ]
}

pub(crate) fn output() -> Output {
    Output { stdout: bytes(b"hello\n"), stderr: bytes(b"\xff\xfe") }
}

pub(crate) fn scalars() -> Scalars {
    Scalars {
        log_time: LogTime(123_456),
        wall_time: WallTime(1_795_000_000_000),
        last_token: Token(300),
        last_seq: Seq(u64::MAX),
        last_schedule: SCHEDULE,
    }
}

pub(crate) fn replies() -> Vec<Reply> {
    let accepted = [
        Accepted::Registered,
        Accepted::Submitted { created: 10_000 },
        Accepted::Granted(vec![Grant {
            task: TASK,
            token: Token(300),
            attempt: 2,
            run_max: Some(Millis(10_000)),
        }]),
        Accepted::Extended { run_until: LogTime(300_000) },
        Accepted::Completed,
        Accepted::WillRetry { due: LogTime(200_000) },
        Accepted::Released,
        Accepted::Cancelled,
        Accepted::Expired(2),
        Accepted::Forgotten(3),
        Accepted::LimitSet,
        Accepted::SchedulePut { created: true },
        Accepted::ScheduleChanged,
        Accepted::Fired { submitted: 3 },
    ];
    let finished = STATUSES.map(|status| Accepted::Finished { status });
    let rejected = [
        Rejection::UnknownFunction(FUNCTION),
        Rejection::UnknownTask(TASK),
        Rejection::FunctionConflict(FUNCTION),
        Rejection::TaskConflict(TASK),
        Rejection::StaleLease { task: TASK, offered: Token(299), current: Token(300) },
        Rejection::AlreadyFinished { task: TASK, status: Status::Cancelled },
        Rejection::OverLimit { what: "the priority".to_owned(), got: 10, limit: 9 },
    ];
    accepted.into_iter().chain(finished).map(Ok).chain(rejected.into_iter().map(Err)).collect()
}

const STATUSES: [Status; 7] = [
    Status::Waiting,
    Status::Queued,
    Status::Running,
    Status::Completed,
    Status::Failed,
    Status::Parked,
    Status::Cancelled,
];

fn errors() -> [TaskError; 9] {
    [
        FailureKind::Exception,
        FailureKind::Timeout,
        FailureKind::Unserializable,
        FailureKind::Load,
        FailureKind::Crash { exit_code: Some(-1), signal: Some(11) },
        FailureKind::OutOfMemory { limit: 1 << 30, peak: (1 << 30) + 1 },
        FailureKind::WorkerLost,
        FailureKind::Expired,
        FailureKind::Dependency { task: TASK },
    ]
    .map(|kind| TaskError {
        kind,
        type_name: "builtins.ValueError".to_owned(),
        message: "no such tile: \u{fc}".to_owned(),
        traceback: "Traceback (most recent call last): ...".to_owned(),
        exception: Some(bytes(b"\x80\x05.")),
    })
}

fn spec(language: Language) -> FunctionSpec {
    FunctionSpec {
        name: "mandelbrot".to_owned(),
        language,
        code_hash: CodeHash([7; 32]),
        python: Some(PYTHON),
        retry: RETRY,
        run_max: Some(Millis(10_000)),
        retention: Millis(86_400_000),
    }
}

const fn options() -> TaskOptions {
    TaskOptions {
        priority: 9,
        delay: Millis(5_000),
        retry: Some(RETRY),
        run_max: Some(Millis(10_000)),
        python: Some(PYTHON),
    }
}

const fn counters() -> Counters {
    Counters { failures: 1, crashes: 2, losses: 3, returns: 400 }
}

const fn bytes(text: &'static [u8]) -> Bytes {
    Bytes::from_static(text)
}
