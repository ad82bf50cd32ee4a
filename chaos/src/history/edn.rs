//! Histories in the form of Jepsen, for checkers that are not ours: one EDN map a line.
//!
//! `{:index 0, :time NANOSECONDS, :type :invoke|:ok|:fail|:info, :process N|:nemesis, :f :submit, :value ...}`, as
//! <https://github.com/jepsen-io/history> describes it. A refusal by the state machine is `:fail` with its code as `:error`,
//! as Jepsen writes a compare-and-set that did not match. Lines that Jepsen has no word for (digests, the Raft log, effects)
//! are left out.

use std::collections::HashMap;
use std::io::{self, Write};

use serde_json::Value;

use super::{Event, Fault, FaultStep, Invoke, Line, Outcome, Return};

/// Writes events as they come.
pub struct EdnWriter<W> {
    out: W,
    index: u64,
    /// What is under way: a return says again what was asked.
    open: HashMap<u64, Invoke>,
}

impl<W: Write> EdnWriter<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out, index: 0, open: HashMap::new() }
    }

    /// Writes one event, if Jepsen has a word for it.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn write(&mut self, line: &Line) -> io::Result<()> {
        match &line.event {
            Event::Invoke(invoke) => {
                let value = inner(&serde_json::to_value(&invoke.call)?);
                let text = operation(invoke, ":invoke", &value, "");
                self.open.insert(invoke.op, invoke.clone());
                self.put(line.at, &text)
            }
            Event::Return(Return { op, outcome, .. }) => match self.open.remove(op) {
                Some(invoke) => self.put(line.at, &completion(&invoke, outcome)?),
                None => Ok(()),
            },
            Event::Fault(fault) => self.put(line.at, &nemesis(fault)),
            Event::Run(_)
            | Event::Phase(_)
            | Event::Leader(_)
            | Event::Digest(_)
            | Event::Log(_)
            | Event::Effect(_) => Ok(()),
        }
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }

    fn put(&mut self, at: u64, rest: &str) -> io::Result<()> {
        writeln!(self.out, "{{:index {}, :time {}, {rest}}}", self.index, at.saturating_mul(1000))?;
        self.index += 1;
        Ok(())
    }
}

fn operation(invoke: &Invoke, kind: &str, value: &Value, more: &str) -> String {
    let node = invoke.node.map(|node| format!(", :node \"n{node}\"")).unwrap_or_default();
    let (process, name, value) = (invoke.process, invoke.call.name(), edn(value));
    format!(":type {kind}, :process {process}, :f :{name}, :value {value}{node}{more}")
}

fn completion(invoke: &Invoke, outcome: &Outcome) -> io::Result<String> {
    let asked = inner(&serde_json::to_value(&invoke.call)?);
    Ok(match outcome {
        Outcome::Ok(reply) => {
            operation(invoke, ":ok", &merged(asked, inner(&serde_json::to_value(reply)?)), "")
        }
        Outcome::Refused { code, .. } => {
            operation(invoke, ":fail", &asked, &format!(", :error :{}", keyword(code.name())))
        }
        Outcome::Fail { why } => operation(invoke, ":fail", &asked, &error(why)),
        Outcome::Info { why } => operation(invoke, ":info", &asked, &error(why)),
    })
}

fn error(why: &str) -> String {
    format!(", :error {}", edn(&Value::from(why)))
}

fn nemesis(fault: &Fault) -> String {
    let step = match fault.step {
        FaultStep::Start => "start",
        FaultStep::Stop { .. } => "stop",
    };
    let value = edn(&serde_json::json!({ "nodes": fault.nodes, "detail": fault.detail }));
    format!(":type :info, :process :nemesis, :f :{step}-{}, :value {value}", keyword(&fault.name))
}

/// The fields of an enum's variant, which JSON writes as `{"variant": {fields}}`.
fn inner(value: &Value) -> Value {
    let object = value.as_object().and_then(|object| object.values().next());
    object.cloned().unwrap_or(Value::Null)
}

/// What was asked, with what was answered on top.
fn merged(mut asked: Value, answered: Value) -> Value {
    if let (Some(asked), Value::Object(answered)) = (asked.as_object_mut(), answered) {
        asked.extend(answered);
    }
    asked
}

fn keyword(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

fn edn(value: &Value) -> String {
    match value {
        Value::Null => "nil".to_owned(),
        // JSON's escapes are EDN's, and so are its numbers and booleans.
        Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(edn).collect::<Vec<_>>().join(" ")),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| format!(":{} {}", keyword(key), edn(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
    }
}
