//! The commands of the kernel, in the words of the scripts.

use bytes::Bytes;
use raftwork_kernel::{
    Acquire, AcquireWith, After, Bound, Cancel, CancelMap, CatchUp, ChangeSchedule, CodeHash, Command,
    Complete, CompleteInParts, Expire, Extend, Fail, FailureKind, Fire, Firing, Forget, FunctionSpec,
    InParts, Language, LimitKind, LimitName, Map, Millis, OnFailure, Output, Overlap, Pack, PayloadId, Piece,
    PutSchedule, PythonVersion, Redrive, Register, Release, RetryPolicy, Rule, Rules, ScheduleChange,
    ScheduleId, ScheduleSpec, SetLimit, Store, StorePart, Submit, SubmitUnder, Tags, TaskError, TaskId,
    TaskOptions, Timing, Trigger, WallTime, limits,
};

use crate::support::names::{Lease, Name, Span};

/// A line that stands for one command.
#[derive(goldenscript::Command)]
pub(super) enum Words {
    /// `register f python=3.11 attempts=3 pause=1s pause_max=60s run=30s keep=24h title=text bytes=10`
    Register {
        function: Name,
        #[arg(key)]
        title: Option<String>,
        #[arg(key)]
        python: Option<PythonVersion>,
        #[arg(key)]
        attempts: Option<u16>,
        #[arg(key)]
        pause: Option<Span>,
        #[arg(key)]
        pause_max: Option<Span>,
        #[arg(key)]
        run: Option<Span>,
        #[arg(key)]
        keep: Option<Span>,
        #[arg(key)]
        bytes: Option<usize>,
    },
    /// `submit a b/arguments fn=f priority=9 delay=5s attempts=3 run=30s python=3.11 bytes=10 tags="gpu,big"
    /// concurrency=key@3 rate=key@10/5s no_retry="ValueError,pkg.Error" start_by=5s total=1m run_at=1h parts=2/10
    /// after="x,y" results="y" on_failure=run`
    Submit {
        items: Vec<Item>,
        #[arg(key = "fn")]
        function: Name,
        #[arg(key)]
        priority: Option<u8>,
        #[arg(key)]
        delay: Option<Span>,
        #[arg(key)]
        attempts: Option<u16>,
        #[arg(key)]
        run: Option<Span>,
        #[arg(key)]
        python: Option<PythonVersion>,
        #[arg(key)]
        bytes: Option<usize>,
        #[arg(key)]
        tags: Option<String>,
        #[arg(key)]
        concurrency: Option<Max>,
        #[arg(key)]
        rate: Option<Max>,
        #[arg(key)]
        no_retry: Option<String>,
        #[arg(key)]
        start_by: Option<Span>,
        #[arg(key)]
        total: Option<Span>,
        #[arg(key)]
        run_at: Option<Span>,
        #[arg(key)]
        parts: Option<Whole>,
        #[arg(key)]
        after: Option<String>,
        #[arg(key)]
        results: Option<String>,
        #[arg(key)]
        on_failure: Option<String>,
    },
    /// `many 2000 fn=f delay=5s start_by=1s after=a on_failure=run`: one submit of the tasks `t0` to `t1999`
    Many {
        count: usize,
        #[arg(key = "fn")]
        function: Name,
        #[arg(key)]
        delay: Option<Span>,
        #[arg(key)]
        start_by: Option<Span>,
        #[arg(key)]
        after: Option<String>,
        #[arg(key)]
        on_failure: Option<String>,
    },
    /// `acquire w1 max=2 python=3.11 request=r1 tags="gpu,big"`; without a request id, each line has its own
    Acquire {
        worker: Name,
        #[arg(key)]
        max: Option<u16>,
        #[arg(key)]
        python: Option<PythonVersion>,
        #[arg(key)]
        request: Option<Name>,
        #[arg(key)]
        tags: Option<String>,
    },
    /// `extend a@1 run=60s`
    Extend {
        lease: Lease,
        #[arg(key)]
        run: Span,
    },
    /// `complete a@1 result=text out=text bytes=10 out_bytes=10 parts=2/10`
    Complete {
        lease: Lease,
        #[arg(key)]
        result: Option<String>,
        #[arg(key)]
        out: Option<String>,
        #[arg(key)]
        bytes: Option<usize>,
        #[arg(key)]
        out_bytes: Option<usize>,
        #[arg(key)]
        parts: Option<Whole>,
    },
    /// `part a 0 text bytes=10`: a part of the arguments of a task; `part a@1 0 text`: of a result
    Part {
        of: Of,
        index: u32,
        #[arg(optional)]
        text: Option<String>,
        #[arg(key)]
        bytes: Option<usize>,
    },
    /// `fail a@1 kind=timeout type=ValueError bases="Exception" message=text retry=false out=text`
    Fail {
        lease: Lease,
        #[arg(key)]
        kind: Option<Kind>,
        #[arg(key = "type")]
        type_name: Option<String>,
        #[arg(key)]
        bases: Option<String>,
        #[arg(key)]
        message: Option<String>,
        #[arg(key)]
        retry: Option<bool>,
        #[arg(key)]
        out: Option<String>,
        #[arg(key)]
        bytes: Option<usize>,
    },
    /// `release a@1`
    Release(Lease),
    /// `cancel a`
    Cancel(Name),
    /// `expire a@1 b@2 started=false`
    Expire {
        leases: Vec<Lease>,
        #[arg(key)]
        started: Option<bool>,
    },
    /// `forget a b map=m`
    Forget {
        #[arg(optional)]
        tasks: Vec<Name>,
        #[arg(key)]
        map: Option<Name>,
    },
    /// `store m 0 a b c`, or `store m 0 numbered=300`: a piece of the map `m`, of items with these arguments
    Store {
        map: Name,
        index: u32,
        #[arg(optional)]
        items: Vec<String>,
        #[arg(key)]
        numbered: Option<u32>,
        #[arg(key)]
        bytes: Option<usize>,
    },
    /// `map m fn=f pieces=1 digest=1 priority=9 delay=5s attempts=3 tags="gpu,big" no_retry=ValueError start_by=5s total=9s run_at=30s`
    Map {
        map: Name,
        #[arg(key = "fn")]
        function: Name,
        #[arg(key)]
        pieces: Option<u32>,
        #[arg(key)]
        digest: Option<u8>,
        #[arg(key)]
        priority: Option<u8>,
        #[arg(key)]
        delay: Option<Span>,
        #[arg(key)]
        attempts: Option<u16>,
        #[arg(key)]
        tags: Option<String>,
        #[arg(key)]
        no_retry: Option<String>,
        #[arg(key)]
        start_by: Option<Span>,
        #[arg(key)]
        total: Option<Span>,
        #[arg(key)]
        run_at: Option<Span>,
        #[arg(key)]
        concurrency: Option<Max>,
        #[arg(key)]
        rate: Option<Max>,
    },
    /// `cancel_map m`
    CancelMap(Name),
    /// `redrive a b`: the failed task `a` runs again as `b`
    Redrive { task: Name, into: Name },
    /// `limit key@3` or `limit key@10/5s`
    Limit(Max),
    /// `schedule s fn=f args=7 every=10s overlap=queue concurrency=key@3`
    Schedule {
        name: String,
        #[arg(key = "fn")]
        function: Name,
        #[arg(key)]
        args: Option<String>,
        #[arg(key)]
        bytes: Option<usize>,
        #[arg(key)]
        every: Option<Span>,
        #[arg(key)]
        overlap: Option<String>,
        #[arg(key)]
        concurrency: Option<Max>,
        #[arg(key)]
        rate: Option<Max>,
    },
    /// `change s pause`, or `resume`, or `delete`
    Change(String, String),
    /// `fire s after=10s until=30s at="20s,30s" id=1`: the first schedule, if it does not say
    Fire {
        name: String,
        #[arg(key)]
        after: Span,
        #[arg(key)]
        until: Span,
        #[arg(key)]
        at: Option<String>,
        #[arg(key)]
        id: Option<u64>,
    },
    /// `trigger s a`: the task `a` of the schedule
    Trigger(String, Name),
    /// `unlimit key` or `unlimit key rate=true`
    Unlimit {
        key: String,
        #[arg(key)]
        rate: Option<bool>,
    },
}

/// A task to submit: `a`, or `a/7` with the arguments 7.
pub(super) struct Item(Name, Bytes);

impl std::str::FromStr for Item {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, args) = text.split_once('/').unwrap_or((text, ""));
        Ok(Self(name.parse()?, Bytes::copy_from_slice(args.as_bytes())))
    }
}

/// A large payload: the arguments of `a`, or the result under `a@1`.
pub(super) struct Of(PayloadId);

impl std::str::FromStr for Of {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('@') {
            return text.parse().map(|Lease(lease)| Self(PayloadId::result(lease)));
        }
        text.parse().map(|task: Name| Self(PayloadId::arguments(task.task())))
    }
}

/// What is said of a large payload: `2/10` for two parts of ten bytes in all, `2/10/7` with another digest.
#[derive(Clone, Copy)]
pub(super) struct Whole(InParts);

impl std::str::FromStr for Whole {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |word: &str| word.parse::<u64>().map_err(|error| format!("'{text}': {error}"));
        let numbers = text.split('/').map(number).collect::<Result<Vec<_>, _>>()?;
        let [count, bytes, rest @ ..] = &*numbers else { return Err(format!("'{text}' is not as in 2/10")) };
        let count = u32::try_from(*count).map_err(|error| error.to_string())?;
        let digest = u8::try_from(rest.first().copied().unwrap_or(1)).map_err(|error| error.to_string())?;
        Ok(Self(InParts { count, bytes: *bytes, digest: [digest; 32] }))
    }
}

/// A limit: `key@3` at a time, or `key@10/5s`.
pub(super) struct Max(LimitName, Bound);

impl std::str::FromStr for Max {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, bound) =
            text.rsplit_once('@').ok_or_else(|| format!("'{text}' is no limit such as key@3"))?;
        let (max, per) = bound.split_once('/').map_or((bound, None), |(max, per)| (max, Some(per)));
        let kind = if per.is_some() { LimitKind::Rate } else { LimitKind::Concurrency };
        let per = per.map_or(Ok(Span(0)), str::parse)?;
        let max = max.parse().map_err(|error| format!("'{max}': {error}"))?;
        Ok(Self(LimitName { kind, key: key.to_owned() }, Bound { max, per: Millis(per.0) }))
    }
}

impl Max {
    fn rule(&self) -> Rule {
        let Self(LimitName { kind, key }, Bound { max, per }) = self;
        match kind {
            LimitKind::Concurrency => Rule::Concurrency { key: key.clone(), max: *max },
            LimitKind::Rate => Rule::Rate { key: key.clone(), max: *max, per: *per },
        }
    }
}

/// A kind of failure, by the word that scripts use.
#[derive(Clone, Copy)]
pub(super) struct Kind(FailureKind);

impl std::str::FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(match text {
            "exception" => FailureKind::Exception,
            "timeout" => FailureKind::Timeout,
            "unserializable" => FailureKind::Unserializable,
            "load" => FailureKind::Load,
            "crash" => FailureKind::Crash { exit_code: None, signal: Some(11) },
            "out-of-memory" => FailureKind::OutOfMemory { limit: 100, peak: 101 },
            "lost" => FailureKind::WorkerLost,
            "expired" => FailureKind::Expired,
            _ => return Err(format!("'{text}' is no kind of failure")),
        }))
    }
}

impl Words {
    /// The command; an acquire without a request id is given `request`.
    pub(super) fn command(&self, request: &Name) -> Command {
        match self {
            Self::Register { .. } => self.register().map(Command::Register),
            Self::Submit { .. } | Self::Many { .. } => {
                self.submit().map(|submit| under(self.rules(), submit))
            }
            Self::Fail { .. } => self.fail().map(Command::Fail),
            Self::Acquire { .. }
            | Self::Extend { .. }
            | Self::Release(_)
            | Self::Cancel(_)
            | Self::Expire { .. }
            | Self::Forget { .. }
            | Self::Redrive { .. }
            | Self::Limit(_)
            | Self::Unlimit { .. } => self.short_command(request),
            Self::Complete { .. } | Self::Part { .. } => self.payload_command(),
            Self::Store { .. } | Self::Map { .. } | Self::CancelMap(_) => self.map_command(),
            Self::Schedule { .. } | Self::Change(..) | Self::Fire { .. } | Self::Trigger(..) => {
                self.schedule_command()
            }
        }
        .expect("each word has its command")
    }

    fn short_command(&self, request: &Name) -> Option<Command> {
        Some(match self {
            Self::Acquire { worker, max, python, request: named, tags } => {
                let acquire = Acquire {
                    worker: worker.worker(),
                    request: named.as_ref().unwrap_or(request).request(),
                    max: max.unwrap_or(1),
                    python: python.unwrap_or(PythonVersion { major: 3, minor: 11 }),
                };
                match tags {
                    Some(tags) => Command::AcquireWith(AcquireWith { acquire, tags: tag_set(tags) }),
                    None => Command::Acquire(acquire),
                }
            }
            Self::Extend { lease: Lease(lease), run } => {
                Command::Extend(Extend { lease: *lease, run: Millis(run.0) })
            }
            Self::Release(Lease(lease)) => Command::Release(Release { lease: *lease }),
            Self::Cancel(task) => Command::Cancel(Cancel { task: task.task() }),
            Self::Expire { leases, started } => Command::Expire(Expire {
                leases: leases.iter().map(|Lease(lease)| (*lease, started.unwrap_or(true))).collect(),
            }),
            Self::Forget { tasks, map } => {
                let map = map.iter().map(|map| TaskId::from(map.map().as_uuid()));
                Command::Forget(Forget { tasks: tasks.iter().map(Name::task).chain(map).collect() })
            }
            Self::Redrive { task, into } => {
                Command::Redrive(Redrive { task: task.task(), into: into.task() })
            }
            Self::Limit(Max(name, bound)) => {
                Command::SetLimit(SetLimit { name: name.clone(), bound: Some(*bound) })
            }
            Self::Unlimit { key, rate } => {
                let kind = if rate.unwrap_or(false) { LimitKind::Rate } else { LimitKind::Concurrency };
                Command::SetLimit(SetLimit { name: LimitName { kind, key: key.clone() }, bound: None })
            }
            Self::Register { .. }
            | Self::Submit { .. }
            | Self::Many { .. }
            | Self::Fail { .. }
            | Self::Complete { .. }
            | Self::Part { .. }
            | Self::Store { .. }
            | Self::Map { .. }
            | Self::CancelMap(_)
            | Self::Schedule { .. }
            | Self::Change(..)
            | Self::Fire { .. }
            | Self::Trigger(..) => return None,
        })
    }

    fn payload_command(&self) -> Option<Command> {
        if let Self::Part { of: Of(of), index, text, bytes } = self {
            let bytes = payload(text.as_deref().unwrap_or_default(), *bytes);
            return Some(Command::StorePart(StorePart { of: *of, index: *index, bytes }));
        }
        let Self::Complete { lease: Lease(lease), result, out, bytes, out_bytes, parts } = self else {
            return None;
        };
        let (lease, output) = (*lease, output(out.as_deref(), *out_bytes));
        if let Some(Whole(parts)) = parts {
            return Some(Command::CompleteInParts(CompleteInParts { lease, parts: *parts, output }));
        }
        let result = payload(result.as_deref().unwrap_or_default(), *bytes);
        Some(Command::Complete(Complete { lease, result, output }))
    }

    fn schedule_command(&self) -> Option<Command> {
        Some(match self {
            Self::Schedule { name, function, args, bytes, every, overlap, concurrency, rate } => {
                let spec = ScheduleSpec {
                    timing: Timing::Every { span: Millis(every.map_or(10_000, |every| every.0)), from: None },
                    function: function.function(),
                    args: payload(args.as_deref().unwrap_or_default(), *bytes),
                    options: TaskOptions::default(),
                    rules: concurrency.iter().chain(rate).map(Max::rule).collect(),
                    catch_up: CatchUp::Latest,
                    overlap: match overlap.as_deref() {
                        None | Some("allow") => Overlap::Allow,
                        Some("skip") => Overlap::Skip,
                        Some("queue") => Overlap::Queue,
                        Some(other) => panic!("'{other}' is no overlap"),
                    },
                };
                Command::PutSchedule(PutSchedule { name: name.clone(), spec })
            }
            Self::Change(name, change) => {
                let change = match change.as_str() {
                    "pause" => ScheduleChange::Pause,
                    "resume" => ScheduleChange::Resume,
                    "delete" => ScheduleChange::Delete,
                    other => panic!("'{other}' is no change"),
                };
                Command::ChangeSchedule(ChangeSchedule { name: name.clone(), change })
            }
            Self::Fire { name, after, until, at, id } => {
                let moments = at.iter().flat_map(|at| at.split(',')).filter(|at| !at.is_empty());
                let nominal = moments.map(|at| WallTime(at.parse::<Span>().expect("a moment").0)).collect();
                Command::Fire(Fire {
                    firings: vec![Firing {
                        name: name.clone(),
                        schedule: ScheduleId(id.unwrap_or(1)),
                        after: WallTime(after.0),
                        until: WallTime(until.0),
                        nominal,
                    }],
                })
            }
            Self::Trigger(name, task) => Command::Trigger(Trigger { name: name.clone(), task: task.task() }),
            Self::Register { .. }
            | Self::Submit { .. }
            | Self::Many { .. }
            | Self::Acquire { .. }
            | Self::Extend { .. }
            | Self::Complete { .. }
            | Self::Part { .. }
            | Self::Fail { .. }
            | Self::Release(_)
            | Self::Cancel(_)
            | Self::Expire { .. }
            | Self::Forget { .. }
            | Self::Store { .. }
            | Self::Map { .. }
            | Self::CancelMap(_)
            | Self::Redrive { .. }
            | Self::Limit(_)
            | Self::Unlimit { .. } => return None,
        })
    }

    fn map_command(&self) -> Option<Command> {
        if let Self::CancelMap(map) = self {
            return Some(Command::CancelMap(CancelMap { map: map.map() }));
        }
        if let Self::Store { map, index, items, numbered, bytes } = self {
            let each = (!items.is_empty())
                .then(|| Pack::Each(items.iter().map(|item| payload(item, *bytes)).collect()));
            let (head, tail) = (Bytes::from_static(b"<"), Bytes::from_static(b">"));
            let numbered = numbered.map(|count| Pack::Numbered { head, tail, count });
            let piece = Piece(each.into_iter().chain(numbered).collect());
            return Some(Command::Store(Store { map: map.map(), index: *index, piece }));
        }
        let Self::Map { map, function, pieces, digest, priority, delay, attempts, .. } = self else {
            return None;
        };
        let plain = TaskOptions::default();
        Some(Command::Map(Map {
            map: map.map(),
            function: function.function(),
            options: TaskOptions {
                priority: priority.unwrap_or(plain.priority),
                delay: delay.map_or(plain.delay, |delay| Millis(delay.0)),
                retry: attempts.map(|max_attempts| RetryPolicy { max_attempts, ..RetryPolicy::default() }),
                ..plain
            },
            rules: self.rules(),
            pieces: pieces.unwrap_or(1),
            digest: [digest.unwrap_or(1); 32],
        }))
    }

    fn register(&self) -> Option<Register> {
        let Self::Register { function, title, python, attempts, pause, pause_max, run, keep, bytes } = self
        else {
            return None;
        };
        let title = title.as_ref().unwrap_or(&function.0);
        let ms = |span: &Option<Span>, default| {
            span.map_or(default, |Span(ms)| u32::try_from(ms).expect("scripts use short pauses"))
        };
        let default = RetryPolicy::default();
        Some(Register {
            function: function.function(),
            spec: FunctionSpec {
                name: title.clone(),
                language: Language::Pickle,
                code_hash: CodeHash([u8::try_from(title.len() % 251).unwrap_or_default(); 32]),
                python: *python,
                retry: RetryPolicy {
                    max_attempts: attempts.unwrap_or(default.max_attempts),
                    initial_ms: ms(pause, default.initial_ms),
                    max_ms: ms(pause_max, default.max_ms),
                },
                run_max: run.map(|run| Millis(run.0)),
                retention: keep.map_or(limits::RETENTION_DEFAULT, |keep| Millis(keep.0)),
            },
            code: payload(title, *bytes),
        })
    }

    fn submit(&self) -> Option<Submit> {
        let plain = TaskOptions::default();
        let after = |delay: &Option<Span>| delay.map_or(plain.delay, |delay| Millis(delay.0));
        if let Self::Many { count, function, delay, .. } = self {
            return Some(Submit {
                function: function.function(),
                options: TaskOptions { delay: after(delay), ..plain },
                items: (0..*count).map(|n| (many(n), Bytes::new())).collect(),
            });
        }
        let Self::Submit { items, function, priority, delay, attempts, run, python, bytes, .. } = self else {
            return None;
        };
        Some(Submit {
            function: function.function(),
            options: TaskOptions {
                priority: priority.unwrap_or(plain.priority),
                delay: after(delay),
                retry: attempts.map(|max_attempts| RetryPolicy { max_attempts, ..RetryPolicy::default() }),
                run_max: run.map(|run| Millis(run.0)),
                python: *python,
            },
            items: items.iter().map(|Item(task, args)| (task.task(), sized(args, *bytes))).collect(),
        })
    }

    fn rules(&self) -> Rules {
        if let Self::Many { start_by, after, on_failure, .. } = self {
            let start_by = start_by.iter().map(|span| Rule::StartBy(Millis(span.0)));
            return start_by.chain(self::after(after.as_deref(), None, on_failure.as_deref())).collect();
        }
        let (Self::Submit { tags, no_retry, start_by, total, run_at, concurrency, rate, .. }
        | Self::Map { tags, no_retry, start_by, total, run_at, concurrency, rate, .. }) = self
        else {
            return Rules::default();
        };
        let tags = tags.iter().map(|tags| Rule::Tags(tag_set(tags)));
        let no_retry = no_retry.iter().map(|names| Rule::NoRetry(listed(names).collect()));
        let start_by = start_by.iter().map(|span| Rule::StartBy(Millis(span.0)));
        let total = total.iter().map(|span| Rule::Total(Millis(span.0)));
        let run_at = run_at.iter().map(|at| Rule::RunAt(WallTime(at.0)));
        let limits = concurrency.iter().chain(rate).map(Max::rule);
        let parts = if let Self::Submit { parts, .. } = self { *parts } else { None };
        let parts = parts.map(|Whole(parts)| Rule::InParts(parts));
        let after = if let Self::Submit { after, results, on_failure, .. } = self {
            self::after(after.as_deref(), results.as_deref(), on_failure.as_deref())
        } else {
            None
        };
        tags.chain(no_retry)
            .chain(start_by)
            .chain(total)
            .chain(run_at)
            .chain(limits)
            .chain(parts)
            .chain(after)
            .collect()
    }

    fn fail(&self) -> Option<Fail> {
        let Self::Fail { lease: Lease(lease), kind, type_name, bases, message, retry, out, bytes } = self
        else {
            return None;
        };
        let message = message.as_deref().unwrap_or("it went wrong");
        Some(Fail {
            lease: *lease,
            error: TaskError {
                kind: kind.map_or(FailureKind::Exception, |Kind(kind)| kind),
                type_name: type_name.clone().unwrap_or_default(),
                message: bytes.map_or_else(|| message.to_owned(), |bytes| "x".repeat(bytes)),
                traceback: String::new(),
                exception: None,
            },
            bases: bases.iter().flat_map(|bases| listed(bases)).map(str::to_owned).collect(),
            retryable: retry.unwrap_or(true),
            output: output(out.as_deref(), None),
        })
    }
}

fn after(tasks: Option<&str>, results: Option<&str>, on_failure: Option<&str>) -> Option<Rule> {
    let name = |name: &str| name.parse::<Name>().expect("dependencies are names").task();
    let on_failure = match on_failure {
        Some("run") => OnFailure::Run,
        Some("fail") | None => OnFailure::Fail,
        Some(other) => panic!("'{other}' is neither fail nor run"),
    };
    let tasks = listed(tasks?).map(name).collect();
    let results = listed(results.unwrap_or_default()).map(name).collect();
    Some(Rule::After(After { tasks, results, on_failure }))
}

/// A submit without rules is a command of its own.
fn under(rules: Rules, submit: Submit) -> Command {
    if rules.is_empty() {
        Command::Submit(submit)
    } else {
        Command::SubmitUnder(SubmitUnder { submit, rules })
    }
}

/// `gpu,big`, or nothing.
fn tag_set(text: &str) -> Tags {
    listed(text).collect()
}

fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(|word| !word.is_empty())
}

fn many(n: usize) -> TaskId {
    Name(format!("t{n}")).task()
}

fn output(out: Option<&str>, bytes: Option<usize>) -> Output {
    Output { stdout: payload(out.unwrap_or_default(), bytes), stderr: Bytes::new() }
}

fn payload(text: &str, bytes: Option<usize>) -> Bytes {
    sized(&Bytes::copy_from_slice(text.as_bytes()), bytes)
}

fn sized(payload: &Bytes, bytes: Option<usize>) -> Bytes {
    bytes.map_or_else(|| payload.clone(), |bytes| vec![b'x'; bytes].into())
}
