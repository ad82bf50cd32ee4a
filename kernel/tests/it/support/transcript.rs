//! Entries written as a script: what a failed random test prints, ready to become a file in `tests/scripts`.

use std::collections::BTreeSet;

use raftwork_kernel::{
    Acquire, ChangeSchedule, Command, Entry, Fail, FailureKind, Firing, LeaseRef, LimitKind, Map, MapId,
    Millis, Pack, PutSchedule, PythonVersion, Register, Rule, Rules, SetLimit, Store, Submit, Tags, TaskId,
    Timing, Trigger,
};

use super::names::{Lease, Span, name_of};
use super::speech;

/// The lines of one entry.
pub(crate) fn entry(entry: &Entry) -> String {
    let commands: String = entry.commands.iter().map(|one| command(one) + "\n").collect();
    let (clock, calendar) = (Span(entry.log_time.0), Span(entry.wall_time.0));
    format!("clock {clock}\ncalendar {calendar}\nbegin\n{commands}commit\n")
}

fn command(command: &Command) -> String {
    match command {
        Command::Register(command) => register(command),
        Command::Submit(command) => submit(command),
        Command::SubmitUnder(command) => submit(&command.submit) + &rules(&command.rules),
        Command::Acquire(command) => acquire(command),
        Command::AcquireWith(command) => acquire(&command.acquire) + &tags(&command.tags),
        Command::Extend(command) => format!("extend {} run={}", Lease(command.lease), Span(command.run.0)),
        Command::Complete(command) => format!(
            "complete {} result={}{}",
            Lease(command.lease),
            String::from_utf8_lossy(&command.result),
            printed(&command.output.stdout)
        ),
        Command::StorePart(command) => format!(
            "part {} {} {}",
            speech::payload(command.of),
            command.index,
            String::from_utf8_lossy(&command.bytes)
        ),
        Command::CompleteInParts(command) => format!(
            "complete {} parts={}{}",
            Lease(command.lease),
            speech::whole(command.parts),
            printed(&command.output.stdout)
        ),
        Command::Fail(command) => fail(command),
        Command::Release(command) => format!("release {}", Lease(command.lease)),
        Command::Cancel(command) => format!("cancel {}", speech::name(command.task)),
        Command::Expire(command) => expire(&command.leases),
        Command::Forget(command) => {
            let named = command.tasks.iter().map(|task| {
                let map = MapId::of(task.as_uuid()).as_uuid() == task.as_uuid();
                format!("{}{}", if map { "map=" } else { "" }, speech::name(*task))
            });
            format!("forget {}", named.collect::<Vec<_>>().join(" "))
        }
        Command::SetLimit(SetLimit { name, bound: Some(bound) }) => {
            format!("limit \"{}@{}\"", name.key, speech::bound(*bound))
        }
        Command::PutSchedule(put) => schedule(put),
        Command::ChangeSchedule(ChangeSchedule { name, change }) => {
            format!("change {name} {}", format!("{change:?}").to_lowercase())
        }
        Command::Fire(fire) => fire.firings.iter().map(firing).collect::<Vec<_>>().join("\n"),
        Command::Trigger(Trigger { name, task }) => format!("trigger {name} {}", speech::name(*task)),
        Command::SetLimit(SetLimit { name, bound: None }) => {
            format!("unlimit {} rate={}", name.key, name.kind == LimitKind::Rate)
        }
        Command::Redrive(command) => {
            format!("redrive {} {}", speech::name(command.task), speech::name(command.into))
        }
        Command::Store(command) => store(command),
        Command::Map(command) => map(command),
        Command::CancelMap(command) => format!("cancel_map {}", name_of(command.map.as_uuid())),
    }
}

fn register(command: &Register) -> String {
    let spec = &command.spec;
    format!(
        "register {}{} attempts={} pause={} pause_max={}{} keep={}",
        name_of(command.function.as_uuid()),
        python(spec.python),
        spec.retry.max_attempts,
        Span(spec.retry.initial_ms.into()),
        Span(spec.retry.max_ms.into()),
        run(spec.run_max),
        Span(spec.retention.0)
    )
}

fn submit(command: &Submit) -> String {
    let items = command
        .items
        .iter()
        .map(|(task, args)| format!("{}/{}", speech::name(*task), String::from_utf8_lossy(args)));
    let options = &command.options;
    let attempts =
        options.retry.map_or_else(String::new, |retry| format!(" attempts={}", retry.max_attempts));
    format!(
        "submit {} fn={} priority={} delay={}{attempts}{}{}",
        items.collect::<Vec<_>>().join(" "),
        name_of(command.function.as_uuid()),
        options.priority,
        Span(options.delay.0),
        run(options.run_max),
        python(options.python)
    )
}

fn schedule(put: &PutSchedule) -> String {
    let PutSchedule { name, spec } = put;
    let Timing::Every { span, .. } = spec.timing else { unreachable!("random schedules have spans") };
    format!(
        "schedule {name} fn={} args={} every={} overlap={}{}",
        name_of(spec.function.as_uuid()),
        String::from_utf8_lossy(&spec.args),
        Span(span.0),
        format!("{:?}", spec.overlap).to_lowercase(),
        rules(&spec.rules)
    )
}

fn firing(firing: &Firing) -> String {
    let nominal: Vec<_> = firing.nominal.iter().map(|at| Span(at.0).to_string()).collect();
    format!(
        "fire {} after={} until={} at=\"{}\" id={}",
        firing.name,
        Span(firing.after.0),
        Span(firing.until.0),
        nominal.join(","),
        firing.schedule.0
    )
}

fn store(command: &Store) -> String {
    let packs = command.piece.0.iter().map(|pack| match pack {
        Pack::Each(items) => {
            speech::list(items.iter().map(|args| String::from_utf8_lossy(args).into_owned()))
                .replace(", ", " ")
        }
        Pack::Numbered { count, .. } => format!("numbered={count}"),
    });
    let packs: Vec<_> = packs.collect();
    format!("store {} {} {}", name_of(command.map.as_uuid()), command.index, packs.join(" "))
}

fn map(command: &Map) -> String {
    let options = &command.options;
    format!(
        "map {} fn={} pieces={} digest={} priority={} delay={}{}",
        name_of(command.map.as_uuid()),
        name_of(command.function.as_uuid()),
        command.pieces,
        command.digest[0],
        options.priority,
        Span(options.delay.0),
        rules(&command.rules)
    )
}

fn rules(rules: &Rules) -> String {
    let word = |rule: &Rule| match rule {
        Rule::Tags(needed) => tags(needed),
        Rule::NoRetry(names) => format!(" no_retry=\"{}\"", names.iter().collect::<Vec<_>>().join(",")),
        Rule::StartBy(span) => format!(" start_by={}", Span(span.0)),
        Rule::Total(span) => format!(" total={}", Span(span.0)),
        Rule::RunAt(at) => format!(" run_at={}", Span(at.0)),
        Rule::RedriveOf(task) => format!(" redrive_of={}", speech::name(*task)),
        Rule::Concurrency { key, max } => format!(" concurrency=\"{key}@{max}\""),
        Rule::Rate { key, max, per } => format!(" rate=\"{key}@{max}/{}\"", Span(per.0)),
        Rule::InParts(parts) => format!(" parts={}", speech::whole(*parts)),
        Rule::After(after) => {
            let names = |tasks: &BTreeSet<TaskId>| {
                tasks.iter().map(|task| speech::name(*task)).collect::<Vec<_>>().join(",")
            };
            let (tasks, results) = (names(&after.tasks), names(&after.results));
            let on_failure = format!("{:?}", after.on_failure).to_lowercase();
            format!(" after=\"{tasks}\" results=\"{results}\" on_failure={on_failure}")
        }
        Rule::Scheduled { .. } => unreachable!("only the kernel says so"),
    };
    rules.iter().map(word).collect()
}

fn tags(tags: &Tags) -> String {
    format!(" tags=\"{}\"", tags.iter().collect::<Vec<_>>().join(","))
}

fn acquire(command: &Acquire) -> String {
    format!(
        "acquire {} max={} python={} request={}",
        speech::worker_name(command.worker),
        command.max,
        command.python,
        name_of(command.request.as_uuid())
    )
}

fn fail(command: &Fail) -> String {
    let kind = match command.error.kind {
        FailureKind::Exception => "exception",
        FailureKind::Timeout => "timeout",
        FailureKind::Unserializable => "unserializable",
        FailureKind::Load => "load",
        FailureKind::Crash { .. } => "crash",
        FailureKind::OutOfMemory { .. } => "out-of-memory",
        FailureKind::WorkerLost => "lost",
        FailureKind::Expired => "expired",
        FailureKind::Dependency { .. } => unreachable!("no worker says so"),
    };
    let output = printed(&command.output.stdout);
    let class = if command.error.type_name.is_empty() { "" } else { " type=" };
    let class = format!("{class}{}", command.error.type_name);
    let bases = if command.bases.is_empty() {
        String::new()
    } else {
        format!(" bases=\"{}\"", command.bases.join(","))
    };
    format!("fail {} kind={kind}{class}{bases} retry={}{output}", Lease(command.lease), command.retryable)
}

/// A script says of a whole `expire` whether its attempts had started, so a mixed one becomes several.
fn expire(leases: &[(LeaseRef, bool)]) -> String {
    let lines = leases.iter().map(|(lease, started)| format!("expire {} started={started}", Lease(*lease)));
    lines.collect::<Vec<_>>().join("\n")
}

fn python(python: Option<PythonVersion>) -> String {
    python.map_or_else(String::new, |python| format!(" python={python}"))
}

fn run(run: Option<Millis>) -> String {
    run.map_or_else(String::new, |run| format!(" run={}", Span(run.0)))
}

fn printed(stdout: &[u8]) -> String {
    if stdout.is_empty() { String::new() } else { format!(" out={}", String::from_utf8_lossy(stdout)) }
}
