//! Clients: they submit, ask, cancel and repeat themselves, and believe what they were told.

use std::time::Duration;

use bytes::Bytes;
use raftwork_kernel::{
    Accepted, After, Cancel, CodeHash, Command, FunctionId, FunctionSpec, Language, Millis, OnFailure,
    Register, Rejection, RetryPolicy, Rule, Rules, Submit, SubmitUnder, TaskId, TaskOptions,
};
use raftwork_node::replica::Standing;

use crate::host::{Answer, Ask};
use crate::outside::Outside;

/// The one function of the simulation.
pub(crate) const FUNCTION: FunctionId = FunctionId::from_u128(7);
/// Nobody submits more when so many tasks wait: workers are few here.
const BACKLOG_MAX: usize = 60;
/// Attempts of a client that will not take silence for an answer.
const ATTEMPTS: u32 = 20;

/// One client.
pub(crate) struct Client {
    outside: Outside,
    /// What it has submitted, acknowledged or not, and how.
    submitted: Vec<(TaskId, SubmitUnder)>,
}

impl Client {
    pub(crate) const fn new(outside: Outside) -> Self {
        Self { outside, submitted: Vec::new() }
    }

    /// Lives until the faults are over.
    pub(crate) async fn run(mut self) {
        while self.register().await.is_none() {}
        while !self.outside.healed() {
            match self.outside.chance.within(0..100) {
                0..45 if self.outside.audit.unfinished_count() < BACKLOG_MAX => self.submit().await,
                45..55 => self.repeat().await,
                55..62 => self.cancel().await,
                _ => self.look().await,
            }
            let pause = self.outside.chance.within(5..400);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    /// Lives until the faults are over, and does something only while the leadership is in doubt: submits at every node at once,
    /// and so finds a new leader before anybody else has missed the old one.
    pub(crate) async fn hurry(mut self) {
        while self.register().await.is_none() {}
        while !self.outside.healed() {
            let pause = self.outside.chance.within(30..120);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            if self.outside.looks_closely() && self.outside.audit.unfinished_count() < BACKLOG_MAX {
                let submit = self.draw();
                for node in 1..=self.outside.nodes {
                    let mut outside = self.outside.fork();
                    outside.leader = node;
                    tokio::spawn(submit_once(outside, submit.clone()));
                }
            }
        }
    }

    async fn register(&mut self) -> Option<Answer> {
        let spec = FunctionSpec {
            name: "simulated".to_owned(),
            language: Language::Pickle,
            code_hash: CodeHash([7; 32]),
            python: None,
            retry: RetryPolicy { max_attempts: 4, initial_ms: 200, max_ms: 1000 },
            run_max: None,
            retention: Millis::from_secs(24 * 3600),
        };
        let code = Bytes::from_static(b"code");
        let register = Command::Register(Register { function: FUNCTION, spec, code });
        self.outside.insist(Ask::Propose(vec![register]), ATTEMPTS).await
    }

    async fn submit(&mut self) {
        let submit = self.draw();
        self.submitted.push((submit.submit.items[0].0, submit.clone()));
        self.submit_this(submit).await;
    }

    fn draw(&mut self) -> SubmitUnder {
        let rules = self.draw_rules();
        let chance = &mut self.outside.chance;
        let options = TaskOptions {
            priority: u8::try_from(chance.within(3..7)).unwrap_or_default(),
            delay: if chance.permille(200) { Millis(chance.within(1..3000)) } else { Millis(0) },
            run_max: chance.permille(200).then(|| Millis(chance.within(500..4000))),
            ..TaskOptions::default()
        };
        let count = chance.within(1..5);
        let items: Vec<_> = (0..count)
            .map(|_| (TaskId::from_u128(chance.id()), Bytes::from(chance.next().to_le_bytes().to_vec())))
            .collect();
        SubmitUnder { submit: Submit { function: FUNCTION, options, items }, rules }
    }

    /// Now and then a task runs after one or two of those that were submitted lately, whether they came to be or not.
    fn draw_rules(&mut self) -> Rules {
        if !self.outside.chance.permille(250) {
            return Rules::default();
        }
        let tasks =
            [self.some_task(), self.some_task()].into_iter().flatten().map(|(task, _)| task).collect();
        let on_failure = if self.outside.chance.permille(300) { OnFailure::Run } else { OnFailure::Fail };
        let after = After { tasks, results: [].into(), on_failure };
        (!after.tasks.is_empty()).then_some(Rule::After(after)).into_iter().collect()
    }

    /// A client that does not trust its own memory submits again, under the same ids.
    async fn repeat(&mut self) {
        let place = self.outside.chance.within(0..self.submitted.len().max(1) as u64);
        let place = usize::try_from(place).unwrap_or_default();
        if let Some((_, submit)) = self.submitted.get(place) {
            self.submit_this(submit.clone()).await;
        }
    }

    async fn submit_this(&mut self, submit: SubmitUnder) {
        let may_depend = may_depend(&self.outside, &submit);
        let answer = self.outside.insist(Ask::Propose(vec![command(&submit)]), ATTEMPTS).await;
        judge(&self.outside, (&submit, may_depend), answer);
    }

    async fn cancel(&mut self) {
        let Some((task, _)) = self.some_task() else { return };
        self.outside.insist(Ask::Propose(vec![Command::Cancel(Cancel { task })]), 3).await;
    }

    /// Reads, from whichever node answers; what it sees must not be older than the question.
    async fn look(&mut self) {
        let Some((task, _)) = self.some_task() else { return };
        if self.outside.chance.permille(300) {
            self.outside.leader = self.outside.chance.within(1..self.outside.nodes + 1);
        }
        for _ in 0..ATTEMPTS {
            let known = self.outside.audit.known(&task);
            if let Some(Answer::Standing(standing)) = self.outside.ask(Ask::Read(task)).await {
                let record = match &standing {
                    Some(Standing::Finished(record)) => Some(record),
                    Some(Standing::Live { .. }) | None => None,
                };
                return self.outside.audit.read(&task, known, standing.is_some(), record);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn some_task(&mut self) -> Option<(TaskId, usize)> {
        // The newest are the ones that change.
        let newest = self.submitted.len().saturating_sub(8)..self.submitted.len();
        let count = newest.len() as u64;
        let place = newest.start + usize::try_from(self.outside.chance.within(0..count.max(1))).ok()?;
        let (_, submit) = self.submitted.get(place)?;
        let item = usize::try_from(self.outside.chance.within(0..submit.submit.items.len() as u64)).ok()?;
        Some((submit.submit.items[item].0, item))
    }
}

async fn submit_once(mut outside: Outside, submit: SubmitUnder) {
    let may_depend = may_depend(&outside, &submit);
    let answer = outside.ask(Ask::Propose(vec![command(&submit)])).await;
    judge(&outside, (&submit, may_depend), answer);
}

fn command(submit: &SubmitUnder) -> Command {
    if submit.rules.is_empty() {
        Command::Submit(submit.submit.clone())
    } else {
        Command::SubmitUnder(submit.clone())
    }
}

/// Whether all that it runs after is there already.
fn may_depend(outside: &Outside, submit: &SubmitUnder) -> bool {
    let after = submit.rules.after();
    after.into_iter().flat_map(|after| &after.tasks).all(|task| outside.audit.known(task).exists)
}

/// What was acknowledged must be there. Only what was not there yet may be refused as unknown.
fn judge(outside: &Outside, (submit, may_depend): (&SubmitUnder, bool), answer: Option<Answer>) {
    let Some(Answer::Replies(replies)) = answer else { return };
    match &replies[..] {
        [Ok(Accepted::Submitted { .. })] => {
            submit.submit.items.iter().for_each(|(task, _)| outside.audit.submit_acknowledged(task));
        }
        [Err(Rejection::UnknownDependency(_))] if !may_depend => outside.audit.count("unknown dependencies"),
        other => outside.audit.violate(format!("I6: a submit was answered by {other:?}")),
    }
}
