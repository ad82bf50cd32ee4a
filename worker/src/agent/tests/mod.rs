//! Words in which the agent's rules are told: what happens to it, and what it does.

mod scripts;
mod storm;

use super::*;
use raftwork_api::kernel::{
    Accepted, CodeHash, FailureKind, FunctionId, Language, Millis, Rejection, TaskId, Token,
};
use raftwork_api::stream::Ending;

/// TTL of the leases in the scripts; a cut-off worker stops after three quarters of it.
const TTL: Millis = Millis(10_000);
const BEAT: Millis = Millis(1_000);

struct Script {
    agent: Agent,
}

impl Script {
    fn new(mode: WorkerMode, slots: u16, prefetch: u16) -> Self {
        Self::with(mode, slots, Some(prefetch))
    }

    fn with(mode: WorkerMode, slots: u16, prefetch: Option<u16>) -> Self {
        let identity = Identity {
            worker: WorkerId::from_u128(0x100),
            name: "w".to_owned(),
            python: PythonVersion { major: 3, minor: 11 },
            slots,
            prefetch,
            mode,
            tags: Tags::NONE.clone(),
        };
        Self { agent: Agent::new(identity, Duration::from_secs(30), 1 << 20) }
    }

    /// As [`Self::new`], offering something.
    fn offering(tags: &[&str]) -> Self {
        let mut script = Self::new(WorkerMode::Push, 1, 0);
        script.agent.identity.tags = tags.iter().copied().collect();
        script
    }

    /// A worker that is welcome and knows the code of function 1, at time 0.
    fn welcome(mode: WorkerMode, slots: u16, prefetch: u16) -> Self {
        Self::new(mode, slots, prefetch).welcomed()
    }

    /// As [`Self::welcome`], and it finds out by itself how much to hold.
    fn automatic(mode: WorkerMode, slots: u16) -> Self {
        Self::with(mode, slots, None).welcomed()
    }

    fn welcomed(self) -> Self {
        let mut script = self;
        let hash = CodeHash([1; 32]);
        script.agent.codes.want(Duration::ZERO, FunctionId::from_u128(1), hash);
        script.agent.codes.arrived(&FunctionId::from_u128(1), Some(&Bytes::from_static(b"code")));
        script.at(0, [Input::Connected, welcome()]);
        script.at(0, [beat(1)]);
        script
    }

    fn push(slots: u16, prefetch: u16) -> Self {
        Self::welcome(WorkerMode::Push, slots, prefetch)
    }

    fn at(&mut self, ms: u64, inputs: impl IntoIterator<Item = Input>) -> Vec<String> {
        let actions = self.agent.step(Duration::from_millis(ms), inputs);
        actions.iter().flat_map(tell).collect()
    }

    fn next_wake(&self, ms: u64) -> Option<u64> {
        let wake = self.agent.next_wake(Duration::from_millis(ms))?;
        Some(u64::try_from(wake.as_millis()).unwrap())
    }
}

// What happens.

fn received(message: ToWorker) -> Input {
    Input::Received(message)
}

fn welcome() -> Input {
    received(ToWorker::Welcome { ttl: TTL, heartbeat: BEAT })
}

fn lease(task: u128, token: u64) -> LeaseRef {
    LeaseRef { task: TaskId::from_u128(task), token: Token(token) }
}

fn work(task: u128, token: u64, function: u8) -> Work {
    Work {
        lease: lease(task, token),
        attempt: 1,
        run_max: None,
        function: FunctionId::from_u128(function.into()),
        name: "f".to_owned(),
        language: Language::Pickle,
        code_hash: CodeHash([function; 32]),
        args: Bytes::new(),
        in_parts: None,
        given: Vec::new(),
    }
}

/// Grants of function 1, of the leader's own accord.
fn grants(leases: &[(u128, u64)]) -> Input {
    answer(0, leases)
}

fn answer(request: u128, leases: &[(u128, u64)]) -> Input {
    let work = leases.iter().map(|(task, token)| work(*task, *token, 1)).collect();
    received(ToWorker::Grants { request: RequestId::from_u128(request), work })
}

fn beat(number: u64) -> Input {
    lost(number, &[])
}

fn lost(number: u64, leases: &[(u128, u64)]) -> Input {
    let lost = leases.iter().map(|(task, token)| lease(*task, *token)).collect();
    received(ToWorker::Beat { number, lost })
}

fn revoke(task: u128, token: u64) -> Input {
    received(ToWorker::Revoke(vec![lease(task, token)]))
}

fn verdict(task: u128, token: u64) -> Input {
    received(ToWorker::Verdicts(vec![(lease(task, token), Ok(Accepted::Completed))]))
}

fn stale(task: u128, token: u64) -> Input {
    let rejection = Rejection::StaleLease {
        task: TaskId::from_u128(task),
        offered: Token(token),
        current: Token(token + 1),
    };
    received(ToWorker::Verdicts(vec![(lease(task, token), Err(rejection))]))
}

fn not_leader(leader: Option<&str>) -> Input {
    received(ToWorker::NotLeader { leader: leader.map(str::to_owned) })
}

fn completed(task: u128, token: u64) -> Input {
    let end = End::Completed { result: Bytes::from_static(b"r"), output: Output::default() };
    Input::Ended { lease: lease(task, token), end }
}

fn failed(task: u128, token: u64) -> Input {
    let error = value_error();
    let end = End::Failed { error, bases: Vec::new(), retryable: true, output: Output::default() };
    Input::Ended { lease: lease(task, token), end }
}

fn value_error() -> TaskError {
    TaskError {
        kind: FailureKind::Exception,
        type_name: "ValueError".to_owned(),
        message: "no".to_owned(),
        traceback: String::new(),
        exception: None,
    }
}

fn progress(task: u128, token: u64, done: u64) -> Input {
    let progress = Progress { done, total: None, message: String::new() };
    Input::Progress { lease: lease(task, token), progress }
}

fn stopped(task: u128, token: u64) -> Input {
    Input::Ended { lease: lease(task, token), end: End::Stopped }
}

fn not_run(task: u128, token: u64) -> Input {
    Input::Ended { lease: lease(task, token), end: End::NotRun }
}

// What the agent does, in short: `1.5` is task 1 under token 5, a `*` says that it has started.

fn tell(action: &Action) -> Vec<String> {
    let told = match action {
        Action::Send(FromWorker::Report { started, ended }) => return report(started, ended),
        Action::Send(message) => say(message),
        Action::Run { work, .. } => format!("run {}", short(&work.lease)),
        Action::Kill(lease) => format!("kill {}", short(lease)),
        Action::HangUp { leader } => format!("hang up, go to {}", leader.as_deref().unwrap_or("anybody")),
        Action::Exit(reason) => format!("exit {reason:?}"),
    };
    vec![told]
}

fn report(started: &[LeaseRef], ended: &[Ending]) -> Vec<String> {
    let ending = |ending: &Ending| match ending {
        Ending::Complete(complete) => format!("complete {}", short(&complete.lease)),
        Ending::CompleteInParts(complete) => format!("complete {} in parts", short(&complete.lease)),
        Ending::Fail(fail) => format!("fail {}: {:?}", short(&fail.lease), fail.error.kind),
        Ending::Release(release) => format!("release {}", short(&release.lease)),
    };
    let starts = started.iter().map(short).collect::<Vec<_>>().join(" ");
    let starts = (!started.is_empty()).then(|| format!("started {starts}"));
    ended.iter().map(ending).chain(starts).collect()
}

fn say(message: &FromWorker) -> String {
    match message {
        FromWorker::Hello(hello) => format!("hello [{}]", list(&hello.held)),
        FromWorker::Ask { request, max } => format!("ask {:x} for {max}", request.as_uuid().as_u128()),
        FromWorker::Report { .. } => unreachable!("a report is told in parts"),
        FromWorker::Capacity(number) => format!("capacity {number}"),
        FromWorker::Offer(tags) => format!("offer {}", tags.iter().collect::<Vec<_>>().join(",")),
        FromWorker::Heartbeat { number, held, draining } => {
            format!("beat {number} [{}]{}", list(held), if *draining { " draining" } else { "" })
        }
        FromWorker::Progress(news) => {
            let word =
                |(lease, progress): &(LeaseRef, Progress)| format!("{} at {}", short(lease), progress.done);
            format!("progress {}", news.iter().map(word).collect::<Vec<_>>().join(" "))
        }
        FromWorker::FetchCode(function) => format!("fetch {}", function.as_uuid().as_u128()),
    }
}

fn list(held: &[(LeaseRef, bool)]) -> String {
    let one = |(lease, started): &(LeaseRef, bool)| short(lease) + if *started { "*" } else { "" };
    held.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn short(lease: &LeaseRef) -> String {
    format!("{}.{}", lease.task.as_uuid().as_u128(), lease.token)
}

const NOTHING: [&str; 0] = [];
