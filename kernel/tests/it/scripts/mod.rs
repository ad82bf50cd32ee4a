//! Runs every script in `tests/scripts`: a conversation with one group, and what it answers.
//!
//! To write down new answers, or changed ones, run the tests with `UPDATE_GOLDENFILES=1` and read the difference.

mod words;

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use goldenscript::Context;
use proptest::prelude::*;
use raftwork_kernel::{Applied, Command, Entry, LogTime, WallTime};

use self::words::Words;
use crate::support::actions::{World, steps};
use crate::support::group::Group;
use crate::support::names::{Lease, Name, Span};
use crate::support::{speech, transcript};

/// The lines of a script that are about the group as a whole; the others are [`Words`], of which each makes an entry
/// of its own, unless it stands between `begin` and `commit`.
#[derive(goldenscript::Command)]
enum Line {
    /// The lines up to `commit` go into one entry.
    Begin,
    /// Applies the entry that was begun.
    Commit,
    /// `advance 31s`: the leader's clock moves on, and an entry without commands says so
    Advance(Span),
    /// `clock 5s`: the leader's clock shows this from now on; no entry
    Clock(Span),
    /// `calendar 2h`: the leader's calendar shows this from now on, and moves on with its clock; no entry
    Calendar(Span),
    /// Rebuilds the state from its rows, and demands that nothing is different.
    Restart,
    /// `show a b`: all that is known of these tasks
    Show(Vec<Name>),
    /// `show_map m`: where a map stands
    ShowMap(Name),
    /// Large payloads that are being sent, and how many parts are kept.
    Payloads,
    /// Numbers of the state.
    Count,
    /// Every limit.
    Limits,
    /// Every schedule.
    Schedules,
    /// `leases w1`: what the worker holds
    Leases(Name),
    /// The rows that the last entry wrote.
    Writes,
    /// A command of the kernel.
    #[command(other)]
    Words(goldenscript::Command),
}

/// One conversation.
#[derive(Default)]
struct Conversation {
    group: Group,
    clock: u64,
    /// What the calendar shows when the clock shows zero.
    epoch: i128,
    begun: Option<Vec<Command>>,
    acquires: u32,
    last: Option<Applied>,
}

impl goldenscript::Runner for Conversation {
    type Command = Line;

    fn run(&mut self, line: &Line, _: &Context) -> Result<String, Box<dyn Error>> {
        match line {
            Line::Words(words) => {
                let words = Words::try_from(words)?;
                return Ok(self.say(&words));
            }
            Line::Begin => self.begun = Some(Vec::new()),
            Line::Commit => {
                let commands = self.begun.take().ok_or("commit without begin")?;
                return Ok(self.apply(commands));
            }
            Line::Advance(span) => {
                self.clock = self.clock.saturating_add(span.0);
                return Ok(self.apply(Vec::new()));
            }
            Line::Clock(at) => self.clock = at.0,
            Line::Calendar(at) => self.epoch = i128::from(at.0) - i128::from(self.clock),
            Line::Restart => self.restart()?,
            Line::Show(tasks) => return Ok(self.show(tasks)),
            Line::ShowMap(map) => return Ok(speech::map(&self.group, map.map())),
            Line::Payloads => return Ok(speech::payloads(&self.group)),
            Line::Count => return Ok(self.count()),
            Line::Limits => return Ok(self.limits()),
            Line::Schedules => return Ok(self.schedules()),
            Line::Leases(worker) => return Ok(self.leases(worker)),
            Line::Writes => return Ok(self.writes()),
        }
        Ok(String::new())
    }

    fn end_script(&mut self) -> Result<(), Box<dyn Error>> {
        if self.begun.is_some() {
            return Err("begin without commit".into());
        }
        self.restart()
    }
}

impl Conversation {
    fn say(&mut self, words: &Words) -> String {
        self.acquires += u32::from(matches!(words, Words::Acquire { .. }));
        let command = words.command(&Name(format!("acquire{}", self.acquires)));
        if let Some(begun) = &mut self.begun {
            begun.push(command);
            return String::new();
        }
        self.apply(vec![command])
    }

    fn apply(&mut self, commands: Vec<Command>) -> String {
        let calendar = (self.epoch + i128::from(self.clock)).clamp(0, u64::MAX.into());
        let wall_time = WallTime(u64::try_from(calendar).expect("it was clamped"));
        let entry = Entry { log_time: LogTime(self.clock), wall_time, commands };
        let applied = self.group.apply(&entry);
        let mut text = String::new();
        for reply in &applied.replies {
            let _ = writeln!(text, "{}", speech::reply(reply));
        }
        for event in &applied.events {
            let _ = writeln!(text, "  {}", speech::event(event));
        }
        self.last = Some(applied);
        text
    }

    fn restart(&mut self) -> Result<(), Box<dyn Error>> {
        let restarted = self.group.restarted();
        if restarted != self.group {
            return Err("the state is not what its rows say".into());
        }
        self.group = restarted;
        Ok(())
    }

    fn show(&self, tasks: &[Name]) -> String {
        let lines = tasks.iter().map(|task| speech::standing(&self.group, task.task()));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn leases(&self, worker: &Name) -> String {
        let leases = self.group.state.leases_of(worker.worker()).map(Lease);
        format!("{} holds {}", worker.0, speech::list(leases))
    }

    fn limits(&self) -> String {
        let lines: Vec<_> = self.group.state.limits().map(|limit| speech::limit(&limit)).collect();
        if lines.is_empty() { "no limits".to_owned() } else { lines.join("\n") }
    }

    fn schedules(&self) -> String {
        let all = self.group.state.schedules_after(None);
        let lines: Vec<_> = all.map(|(name, one, live)| speech::schedule(name, one, live)).collect();
        if lines.is_empty() { "no schedules".to_owned() } else { lines.join("\n") }
    }

    fn writes(&self) -> String {
        let changes = self.last.iter().flat_map(|applied| &applied.changes);
        changes.map(speech::change).collect::<Vec<_>>().join("\n")
    }

    fn count(&self) -> String {
        let state = &self.group.state;
        let ready = state.ready_by_need().map(|(need, count)| {
            let python = need.python.map_or_else(|| "any".to_owned(), |python| python.to_string());
            let with = if need.tags.is_empty() { "" } else { " with " };
            format!("{count} for {python}{with}{}", need.tags.iter().collect::<Vec<_>>().join("+"))
        });
        format!(
            "at {}: {} live, {} leased, ready [{}], next due {}, {} ended",
            speech::moment(state.scalars().log_time),
            state.live_len(),
            state.leased_len(),
            speech::list(ready),
            state.next_due().map_or_else(|| "never".to_owned(), |due| speech::moment(due).to_string()),
            self.group.store.records.len(),
        )
    }
}

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let files = std::fs::read_dir(folder).expect("the scripts are where they belong");
    let mut paths: Vec<_> = files.map(|file| file.expect("the folder can be read").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "txt"));
    paths.sort();
    paths
}

/// Runs one script; says what is wrong with it, if something is.
fn complaint(path: &Path) -> Option<String> {
    let run = || goldenscript::run(&mut Conversation::default(), path).map_err(|error| error.to_string());
    let outcome = std::panic::catch_unwind(run).unwrap_or_else(|_| Err("see the panic above".to_owned()));
    outcome.err().map(|error| format!("{}: {error}", path.display()))
}

#[test]
fn every_script_gets_the_answers_it_expects() {
    let scripts = scripts();
    assert!(scripts.len() >= 30, "only {} scripts were found", scripts.len());
    let complaints: Vec<_> = scripts.iter().filter_map(|path| complaint(path)).collect();
    assert!(complaints.is_empty(), "{} scripts failed:\n{}", complaints.len(), complaints.join("\n"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50, failure_persistence: None, ..ProptestConfig::default() })]

    /// What a failed random test prints may be pasted into a file, and does the same.
    #[test]
    fn a_transcript_is_a_script_that_does_the_same(steps in steps(20)) {
        let (mut world, mut group, mut script) = (World::default(), Group::default(), String::new());
        for step in &steps {
            let entry = world.entry(step);
            script += &transcript::entry(&entry);
            let applied = group.apply(&entry);
            world.learn(&applied, &group.state);
        }
        let mut conversation = Conversation::default();
        goldenscript::generate(&mut conversation, &format!("{script}---\n")).expect("a transcript is a script");
        assert_eq!(conversation.group, group);
    }
}
