//! Applying an entry: first time, then each command; one file for each command.

mod acquire;
mod advance;
mod bounds;
mod cancel;
mod cancel_map;
mod change_schedule;
mod complete;
mod complete_in_parts;
mod deadline;
mod depend;
mod expand;
mod expire;
mod extend;
mod fail;
mod fire;
mod forget;
mod lookup;
mod map;
mod map_changes;
mod part_changes;
mod put_schedule;
mod redrive;
mod register;
mod release;
mod set_limit;
mod store;
mod store_part;
mod submit;
mod transition;

use self::transition::Transition;
use crate::command::{Command, Entry};
use crate::event::Event;
use crate::reply::Reply;
use crate::rows::{Change, Rows};
use crate::rules::{Rules, Tags};
use crate::state::State;

/// All that one entry brought about.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// One for each command, in order.
    pub replies: Vec<Reply>,
    /// Hints for the shell.
    pub events: Vec<Event>,
    /// What the shell must write, in order, together with [`State::scalars`] and the entry's index.
    pub changes: Vec<Change>,
}

impl State {
    /// Applies one committed entry. Total: every input has an answer, none panics, none does I/O of its own.
    ///
    /// What is due by the entry's log time is done before its commands, in `(due, id)` order, at most
    /// [`DUE_PER_ENTRY_MAX`](crate::limits::DUE_PER_ENTRY_MAX) of it: as long as [`State::next_due`] is in the past,
    /// another entry is wanted. Then items of maps become tasks, as far as there is room for them. Last, tasks that waited
    /// for what has ended by now go on, as many at most.
    pub fn apply(&mut self, entry: &Entry, rows: &impl Rows) -> Applied {
        let mut transition = Transition::new(self, rows, entry.commands.len());
        transition.advance(entry);
        transition.expand();
        let replies = entry.commands.iter().map(|command| transition.carry_out(command)).collect();
        transition.settle();
        let (events, changes) = transition.finish_entry();
        Applied { replies, events, changes }
    }
}

impl<R: Rows> Transition<'_, R> {
    fn carry_out(&mut self, command: &Command) -> Reply {
        match command {
            Command::Register(command) => self.register(command),
            Command::Submit(command) => self.submit(command, Rules::NONE),
            Command::SubmitUnder(command) => self.submit_under(command),
            Command::Acquire(command) => Ok(self.acquire(command, Tags::NONE)),
            Command::AcquireWith(command) => Ok(self.acquire(&command.acquire, &command.tags)),
            Command::Extend(command) => self.extend(command),
            Command::Complete(command) => self.complete(command),
            Command::Fail(command) => self.fail(command),
            Command::Release(command) => self.release(command),
            Command::Cancel(command) => self.cancel(command),
            Command::Expire(command) => Ok(self.expire(command)),
            Command::Forget(command) => Ok(self.forget(command)),
            Command::SetLimit(command) => self.set_limit(command),
            Command::PutSchedule(command) => self.put_schedule(command),
            Command::ChangeSchedule(command) => self.change_schedule(command),
            Command::Fire(command) => Ok(self.fire(command)),
            Command::Trigger(command) => self.trigger(command),
            Command::Redrive(command) => self.redrive(command),
            Command::Store(command) => self.store(command),
            Command::Map(command) => self.map(command),
            Command::CancelMap(command) => self.cancel_map(command),
            Command::StorePart(command) => self.store_part(command),
            Command::CompleteInParts(command) => self.complete_in_parts(command),
        }
    }
}
