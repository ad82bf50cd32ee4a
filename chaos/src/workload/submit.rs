//! Submits under idempotency keys: single, in batches and as maps, repeated when unanswered, repeated though answered, and now and
//! then another task under a key that is taken. Some run after others, of which some fail.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use raftwork_api::kernel::{FunctionId, MapId, TaskId, WallTime};
use raftwork_api::{paths, rfc3339, task_of_key};
use rand::Rng;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::caller::Caller;
use super::functions::{Functions, result_of};
use super::http::Ask;
use super::shared::{LIVE_MAX, Shared, Stage};
use crate::history::{After, Call, Concurrency, Fingerprint, LogItem, Options, Outcome, Reply, Retry};

/// The exception that is final where one is. What raw workers raise is derived from it half of the time.
pub(super) const FINAL: &str = "LookupError";
/// Times that an unanswered submit is sent again.
const REPEATS: u32 = 4;
/// The key that some tasks are under, and how many of them may be leased at a time.
const LIMIT_KEY: &str = "three at a time";
const LIMIT_MAX: u32 = 3;
/// Most tasks that one runs after.
const AFTER_MAX: usize = 3;
/// Pause before a submit that must be acknowledged is sent again: short, for the time until then is measured.
const AGAIN: Duration = Duration::from_millis(10);
/// Largest argument: its square must be exact in JSON.
const NUMBER_MAX: u64 = 1_000_000;

/// One submit, as it can be sent again and again.
#[derive(Debug, Clone)]
struct Order {
    key: String,
    function: FunctionId,
    numbers: Vec<u64>,
    options: Options,
    form: Form,
}

/// How a submit is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Single,
    Batch,
    Map,
}

/// The result of a task with this number, as it is written down.
pub(super) fn result(number: u64) -> Fingerprint {
    Fingerprint::of_result(result_of(number).to_string().as_bytes())
}

/// The arguments of a task as they are written down.
pub(super) fn arguments(number: u64) -> String {
    json!({"args": [number], "kwargs": {}}).to_string()
}

impl Order {
    fn draw(key: String, functions: &Functions, shared: &Shared) -> Self {
        let mut random = rand::rng();
        let python = functions.python.filter(|_| random.random_ratio(1, 12));
        let form = match random.random_range(0..16) {
            0 => Form::Map,
            1 | 2 => Form::Batch,
            _ => Form::Single,
        };
        let count = if form == Form::Single { 1 } else { random.random_range(1..20) };
        let options = Options {
            priority: random.random_ratio(1, 5).then(|| random.random_range(0..=9)),
            delay_ms: random.random_ratio(1, 10).then(|| random.random_range(20..500)),
            retry: random.random_ratio(1, 20).then_some(Retry {
                max_attempts: 2,
                initial_ms: 20,
                max_ms: 200,
            }),
            concurrency: random
                .random_ratio(1, 4)
                .then(|| Concurrency { key: Fingerprint::of(LIMIT_KEY.as_bytes()), max: LIMIT_MAX }),
            ..Options::default()
        };
        let mut options = Self::draw_rules(options);
        // Maps wait for nothing.
        if form != Form::Map && random.random_ratio(1, 5) {
            options.after = Self::draw_after(shared);
        }
        Self {
            key,
            function: python.unwrap_or(functions.raw),
            numbers: (0..count).map(|_| random.random_range(0..NUMBER_MAX)).collect(),
            options,
            form,
        }
    }

    /// Now and then one more thing to ask for.
    fn draw_rules(mut options: Options) -> Options {
        let mut random = rand::rng();
        match random.random_range(0..20) {
            0 | 1 => options.no_retry = vec![FINAL.to_owned()],
            // Longer than any delay, and short enough to be missed when a fault holds things up.
            2 => options.start_by_ms = Some(random.random_range(500..3_000)),
            3 => options.total_ms = Some(random.random_range(500..5_000)),
            4 => {
                let now = UNIX_EPOCH.elapsed().map_or(0, |now| now.as_millis());
                let ahead = random.random_range(0..3_000);
                options.run_at_ms = u64::try_from(now).ok().map(|now| now + ahead);
                options.delay_ms = None;
            }
            _ => {}
        }
        options
    }

    /// A few of the tasks that were accepted lately, themselves after others maybe; now and then one that never was.
    fn draw_after(shared: &Shared) -> Option<Box<After>> {
        let mut random = rand::rng();
        let count = random.random_range(1..=AFTER_MAX);
        let mut tasks: BTreeSet<TaskId> = (0..count).filter_map(|_| shared.some_task()).collect();
        if random.random_ratio(1, 100) {
            tasks.insert(TaskId::from(Uuid::new_v4()));
        }
        let all_the_same = random.random_ratio(1, 3);
        (!tasks.is_empty()).then(|| Box::new(After { tasks, all_the_same }))
    }

    /// One task of `function`, without options.
    fn plain(key: String, function: FunctionId) -> Self {
        let numbers = vec![rand::rng().random_range(0..NUMBER_MAX)];
        Self { key, function, numbers, options: Options::default(), form: Form::Single }
    }

    fn tasks(&self) -> Vec<TaskId> {
        if self.form == Form::Map {
            let named = task_of_key(&self.key, 0).expect("the keys of a run are short");
            let map = MapId::of(named.as_uuid());
            return (0..).zip(&self.numbers).map(|(index, _)| map.item(index)).collect();
        }
        let ids = (0..).zip(&self.numbers).map(|(index, _)| task_of_key(&self.key, index));
        ids.collect::<Result<_, _>>().expect("the keys of a run are short")
    }

    fn call(&self) -> Call {
        let items = self.tasks().into_iter().zip(&self.numbers);
        let item = |(task, number): (TaskId, &u64)| LogItem {
            task,
            args: Fingerprint::of(arguments(*number).as_bytes()),
        };
        let (key, options) = (Some(self.key.clone()), self.options.clone());
        let results = self.numbers.iter().map(|number| result(*number)).collect();
        Call::Submit { function: self.function, key, options, items: items.map(item).collect(), results }
    }

    fn ask(&self) -> Ask {
        let mut body = Map::new();
        body.insert("function_id".to_owned(), self.function.to_string().into());
        if self.form == Form::Single {
            body.insert("args".to_owned(), json!([self.numbers[0]]));
        } else {
            let items: Vec<Value> = self.numbers.iter().map(|number| json!({"args": [number]})).collect();
            body.insert("items".to_owned(), items.into());
        }
        if let Some(priority) = self.options.priority {
            body.insert("priority".to_owned(), priority.into());
        }
        if let Some(delay) = self.options.delay_ms {
            body.insert("delay".to_owned(), format!("{delay}ms").into());
        }
        if let Some(retry) = self.options.retry {
            body.insert("retry".to_owned(), json!(retry));
        }
        if !self.options.no_retry.is_empty() {
            body.insert("no_retry".to_owned(), self.options.no_retry.clone().into());
        }
        for (name, ms) in [("start_by", self.options.start_by_ms), ("total_timeout", self.options.total_ms)] {
            body.extend(ms.map(|ms| (name.to_owned(), format!("{ms}ms").into())));
        }
        body.extend(
            self.options.run_at_ms.map(|at| ("run_at".to_owned(), rfc3339::format(WallTime(at)).into())),
        );
        if let Some(limit) = self.options.concurrency {
            body.insert("concurrency".to_owned(), json!({"key": LIMIT_KEY, "max": limit.max}));
        }
        if let Some(after) = &self.options.after {
            body.insert("after".to_owned(), json!(after.tasks));
            if after.all_the_same {
                body.insert("on_failure".to_owned(), "run".into());
            }
        }
        let path = match self.form {
            Form::Single => paths::TASKS,
            Form::Batch => paths::TASKS_BATCH,
            Form::Map => paths::MAPS,
        };
        Ask::post(path, Some(body.into())).keyed(&self.key)
    }

    fn reply(&self, body: &Value) -> Option<Reply> {
        let tasks = match self.form {
            Form::Batch => {
                let ids = body["task_ids"].as_array()?.iter().map(|id| id.as_str()?.parse().ok());
                ids.collect::<Option<Vec<TaskId>>>()?
            }
            Form::Single => vec![body["task_id"].as_str()?.parse().ok()?],
            Form::Map => {
                let map: MapId = body["map_id"].as_str()?.parse().ok()?;
                (0..u32::try_from(body["items"].as_u64()?).ok()?).map(|index| map.item(index)).collect()
            }
        };
        // How many it made is not noted: a node that asks a second leader hears of its own first try.
        Some(Reply::Submitted { tasks, created: None })
    }
}

async fn send(caller: &mut Caller, order: &Order) -> Outcome {
    let node = caller.some_node();
    caller.call(node, order.call(), order.ask(), |body| order.reply(body)).await
}

fn new_key(caller: &Caller) -> String {
    format!("{}-{}", caller.shared.seed, caller.shared.new_number())
}

/// Submits one plain task, again and again until it is acknowledged or the load is over.
pub(super) async fn one(caller: &mut Caller, function: FunctionId) -> Option<TaskId> {
    let order = Order::plain(new_key(caller), function);
    while caller.shared.stage() == Stage::Load {
        match send(caller, &order).await {
            Outcome::Ok(_) => {
                let tasks = order.tasks();
                caller.shared.know(&tasks);
                return tasks.first().copied();
            }
            Outcome::Refused { .. } => return None,
            Outcome::Fail { .. } | Outcome::Info { .. } => tokio::time::sleep(AGAIN).await,
        }
    }
    None
}

/// Submits until the load is over.
pub(super) async fn run(mut caller: Caller, functions: Arc<Functions>) {
    while caller.shared.stage() == Stage::Load {
        if !caller.shared.has_room(LIVE_MAX).await {
            continue;
        }
        let key = new_key(&caller);
        let order = Order::draw(key, &functions, &caller.shared);
        submit(&mut caller, &order).await;
    }
}

async fn submit(caller: &mut Caller, order: &Order) {
    let mut repeats = REPEATS;
    loop {
        match send(caller, order).await {
            Outcome::Ok(_) => break,
            Outcome::Refused { .. } => return,
            Outcome::Fail { .. } | Outcome::Info { .. } => {}
        }
        if repeats == 0 || caller.shared.stage() > Stage::Load {
            return;
        }
        repeats -= 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    caller.shared.know(&order.tasks());
    if rand::rng().random_ratio(1, 30) {
        send(caller, order).await;
    }
    if rand::rng().random_ratio(1, 60) {
        let mut other = order.clone();
        // All of it: another map is refused as a whole, though some of its items be the same.
        for number in &mut other.numbers {
            *number += 1;
        }
        send(caller, &other).await;
    }
}
