//! W: every answer is the one that the log implies, in an order that agrees with real time.
//!
//! The log is the witness of the order in which everything took effect. Each write that was answered is found in it, each
//! read is explained by what the log had left at some entry; and if one operation returned before another was invoked, its
//! entry does not come later. Linear in the length of the history but for sorting.

use raftwork_api::kernel::TaskId;

use super::dossier::{Act, Deed, Dossier, Fact, Saw, Sight};
use super::evidence::Evidence;
use super::verdict::{Finding, Inquiry, Invariant, Step, Story};
use crate::history::Refusal;

pub(super) fn check(evidence: &Evidence) -> Finding {
    let mut inquiry = Inquiry::into(Invariant::Witness);
    if let Err(why) = evidence.log.whole() {
        evidence.lacks_log(&mut inquiry, why);
        return inquiry.close("");
    }
    let order = Order::of(evidence);
    let (mut writes, mut reads) = (0_u64, 0_u64);
    for (task, dossier) in &evidence.tasks {
        for deed in &dossier.deeds {
            let explained = match (deed.act, deed.saw) {
                (_, Saw::Unknown) => continue,
                (Act::Read { .. }, Saw::Seen(_) | Saw::Refused(Refusal::UnknownTask, _)) => {
                    reads += 1;
                    read(dossier, deed, &order)
                }
                (_, Saw::Ok(_)) => {
                    writes += 1;
                    accepted(dossier, deed, &order)
                }
                (_, Saw::Refused(code, current)) => {
                    writes += 1;
                    refused(dossier, deed, code, current, &order)
                }
                (_, Saw::Seen(_)) => Err("this is no answer to such a call"),
            };
            if let Err(why) = explained {
                inquiry.violated(|| story(*task, dossier, deed, why, &order));
            }
        }
    }
    let last = evidence.log.last;
    inquiry.close(format!("{writes} writes and {reads} reads against {last} entries"))
}

/// What real time says of the log: bounds from the writes that are surely before or after a moment.
struct Order {
    /// Return time and lowest possible entry of each write, by time, the entry being the highest so far.
    returned: Vec<(u64, u64)>,
    /// Invocation time and highest possible entry of each write, by time, the entry being the lowest from here on.
    invoked: Vec<(u64, u64)>,
}

impl Order {
    fn of(evidence: &Evidence) -> Self {
        let (mut returned, mut invoked) = (Vec::new(), Vec::new());
        for dossier in evidence.tasks.values() {
            for deed in &dossier.deeds {
                let (Saw::Ok(_), Some(to)) = (deed.saw, deed.to) else { continue };
                let mut indexes = causes(dossier, deed).map(|fact| fact.index);
                let Some(first) = indexes.next() else { continue };
                returned.push((to, first));
                invoked.push((deed.from, indexes.last().unwrap_or(first)));
            }
        }
        returned.sort_unstable();
        let mut highest = 0;
        for (_, index) in &mut returned {
            highest = highest.max(*index);
            *index = highest;
        }
        invoked.sort_unstable();
        let mut lowest = u64::MAX;
        for (_, index) in invoked.iter_mut().rev() {
            lowest = lowest.min(*index);
            *index = lowest;
        }
        Self { returned, invoked }
    }

    /// The highest entry that had surely taken effect before `from`.
    fn after(&self, from: u64) -> u64 {
        let before = self.returned.partition_point(|(to, _)| *to < from);
        before.checked_sub(1).map_or(0, |last| self.returned[last].1)
    }

    /// The lowest entry that had surely not taken effect at `to`.
    fn before(&self, to: u64) -> u64 {
        let later = self.invoked.partition_point(|(from, _)| *from <= to);
        self.invoked.get(later).map_or(u64::MAX, |(_, index)| *index)
    }
}

/// Commands of the log that may be what a deed did.
fn causes<'d>(dossier: &'d Dossier, deed: &'d Deed) -> impl Iterator<Item = &'d Fact> {
    dossier.facts.iter().filter(|fact| fact.act == deed.act && matches!(fact.saw, Saw::Ok(_)))
}

fn accepted(dossier: &Dossier, deed: &Deed, order: &Order) -> Result<(), &'static str> {
    let Saw::Ok(status) = deed.saw else { return Ok(()) };
    let says = |fact: &&Fact| match (status, fact.saw) {
        (Some(status), Saw::Ok(Some(expected))) => status == expected,
        _ => true,
    };
    let mut facts = causes(dossier, deed).filter(says).peekable();
    if facts.peek().is_none() {
        return Err("the log holds no such command that is to be accepted like this");
    }
    // The answer to a repeat may be the answer to what it repeats, which took effect earlier.
    let is_repeat = dossier.deeds.iter().any(|other| other.op != deed.op && other.act.same(deed.act));
    let after = if is_repeat { 0 } else { order.after(deed.from) };
    let before = deed.to.map_or(u64::MAX, |to| order.before(to));
    if facts.any(|fact| fact.index > after && fact.index < before) {
        return Ok(());
    }
    Err("its place in the log contradicts real time")
}

fn refused(
    dossier: &Dossier,
    deed: &Deed,
    code: Refusal,
    current: Option<u64>,
    order: &Order,
) -> Result<(), &'static str> {
    let of_the_request =
        [Refusal::UnknownFunction, Refusal::FunctionConflict, Refusal::TooLarge, Refusal::PayloadIncomplete];
    if of_the_request.contains(&code) {
        return Ok(());
    }
    let mut commands = dossier.facts.iter().filter(|fact| fact.act == deed.act).peekable();
    // A node may know without asking the log; that there is no such task must be true as of then.
    if commands.peek().is_none() {
        return if code == Refusal::UnknownTask { read(dossier, deed, order) } else { Ok(()) };
    }
    let fits = |fact: &Fact| match fact.saw {
        Saw::Refused(expected, newest) => {
            expected == code && (current.is_none() || newest.is_none() || current == newest)
        }
        Saw::Ok(_) | Saw::Seen(_) | Saw::Unknown => false,
    };
    if commands.any(fits) { Ok(()) } else { Err("by the log it was not to be refused like this") }
}

fn read(dossier: &Dossier, deed: &Deed, order: &Order) -> Result<(), &'static str> {
    let wanted: Option<Sight> = match deed.saw {
        Saw::Seen(sight) => Some(sight),
        Saw::Ok(_) | Saw::Refused(..) | Saw::Unknown => None,
    };
    let (after, before) = if let Act::Read { stale: true, index } = deed.act {
        (0, index.map_or(u64::MAX, |index| index.saturating_add(1)))
    } else {
        (order.after(deed.from), deed.to.map_or(u64::MAX, |to| order.before(to)))
    };
    let mut ever = false;
    for (begins, ends, sight) in windows(dossier) {
        let fits = match (wanted, sight) {
            (Some(wanted), Some(sight)) => wanted.agrees(&sight),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        ever |= fits;
        // Some entry from `after` on, and before `before`, at which the task stood like this.
        if fits && ends > after && begins < before {
            return Ok(());
        }
    }
    Err(if ever {
        "the log had left the task like this at another time only"
    } else {
        "the log never left the task like this"
    })
}

/// Entries between which the task stood unchanged: first, first after, and how.
fn windows(dossier: &Dossier) -> impl Iterator<Item = (u64, u64, Option<Sight>)> {
    let moments = &dossier.moments;
    let first = (0, moments.first().map_or(u64::MAX, |moment| moment.index), None);
    let rest = moments.iter().enumerate().map(|(n, moment)| {
        let ends = moments.get(n + 1).map_or(u64::MAX, |next| next.index);
        (moment.index, ends, moment.sight)
    });
    core::iter::once(first).chain(rest)
}

fn story(task: TaskId, dossier: &Dossier, deed: &Deed, why: &str, order: &Order) -> Story {
    let bounds = format!(
        "by real time, of an entry from {} on{}",
        order.after(deed.from),
        deed.to
            .map(|to| order.before(to))
            .filter(|before| *before < u64::MAX)
            .map_or_else(String::new, |before| format!(" and before {before}"))
    );
    let facts =
        dossier.facts.iter().filter(|fact| deed.act.reports_under().is_none() || fact.act == deed.act);
    let mut steps: Vec<(u64, Step)> = dossier.moments.iter().map(|m| (m.index, m.step(task))).collect();
    steps.extend(facts.map(|fact| (fact.index, fact.step(task))));
    steps.sort_by_key(|(index, _)| *index);
    let told = steps.into_iter().map(|(_, step)| step).rev().take(12).collect::<Vec<_>>().into_iter().rev();
    let this = [deed.step(task), Step { at: Some(deed.from), text: bounds }];
    Story {
        headline: format!("an answer about task {task} is wrong: {why}"),
        steps: told.chain(this).collect(),
    }
}
