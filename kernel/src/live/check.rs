//! Recomputes everything that is derived from the live tasks, and compares.

use std::collections::{BTreeMap, BTreeSet};

use super::limited::LimitedLane;
use super::ready::{Lane, lane};
use super::{Live, Terms, dates};
use crate::ids::{Seq, TaskId, Token, WorkerId};
use crate::limit::LimitName;
use crate::rules::Tags;
use crate::task::Phase;
use crate::time::{LogTime, WallTime};

/// The orders, by ids and seqs alone.
#[derive(Default, PartialEq, Eq)]
struct Orders {
    ready: BTreeMap<Lane, BTreeSet<Seq>>,
    due: BTreeSet<(LogTime, TaskId)>,
    dates: BTreeSet<(LogTime, TaskId)>,
    calendar: BTreeSet<(WallTime, TaskId)>,
    leases: BTreeMap<(WorkerId, Token), TaskId>,
    terms: BTreeMap<Terms, u32>,
    tags: BTreeMap<Tags, u32>,
    limited: BTreeMap<LimitedLane, BTreeSet<Seq>>,
    /// By limit: live tasks that name it, and those of them that are leased.
    limits: BTreeMap<LimitName, (u32, u32)>,
}

impl Live {
    /// # Errors
    /// The first broken invariant, in words.
    pub(crate) fn check(&self) -> Result<(), String> {
        for (slot, cell) in self.slots() {
            if self.find(&cell.id) != Some(slot) {
                return Err(format!("{} is not found by its id", cell.id));
            }
        }
        self.check_queues()?;
        self.limited.check(&self.cells)?;
        let depending = self.slots().filter(|(slot, _)| self.terms(*slot).depends);
        let waits = |cell: &super::Cell| matches!(cell.standing.phase, Phase::Blocked { .. });
        self.dependencies.check(&depending.map(|(_, cell)| (cell.id, waits(cell))).collect())?;
        if self.orders_of_tasks() == self.orders_as_kept() {
            return Ok(());
        }
        Err("an index is not what the tasks say".to_owned())
    }

    fn check_queues(&self) -> Result<(), String> {
        for (list, tree) in self.ready.listing(&self.cells).values() {
            if !list.is_sorted_by(|one, next| one < next) {
                return Err("the list of a ready queue does not rise".to_owned());
            }
            if list.is_empty() && tree.is_empty() {
                return Err("an empty queue was not dropped".to_owned());
            }
        }
        Ok(())
    }

    fn orders_of_tasks(&self) -> Orders {
        let mut orders = Orders::default();
        for (slot, cell) in self.slots() {
            let terms = *self.terms(slot);
            *orders.terms.entry(terms).or_default() += 1;
            if let Some(tags) = terms.tags {
                *orders.tags.entry(self.tags.get(tags).clone()).or_default() += 1;
            }
            for name in self.limits_of(slot) {
                let (tasks, held) = orders.limits.entry(name.clone()).or_default();
                *tasks += 1;
                *held += u32::from(matches!(cell.standing.phase, Phase::Leased(_)));
            }
            let next = self.deadlines(slot).and_then(|deadlines| dates::next(deadlines, cell));
            orders.dates.extend(next.map(|at| (at, cell.id)));
            match &cell.standing.phase {
                Phase::Waiting { due } => {
                    orders.due.insert((*due, cell.id));
                }
                Phase::Ready => {
                    let (needed, rank) = lane(&terms);
                    let seqs = match terms.gate {
                        None => orders.ready.entry((needed, rank)).or_default(),
                        Some(gate) => orders.limited.entry((needed, gate, rank)).or_default(),
                    };
                    seqs.insert(cell.seq);
                }
                Phase::Leased(lease) => {
                    orders.leases.insert((lease.worker, cell.standing.token), cell.id);
                    orders.due.extend(lease.run_until.map(|until| (until, cell.id)));
                }
                Phase::Scheduled { at } => {
                    orders.calendar.insert((*at, cell.id));
                }
                Phase::Blocked { .. } => {}
            }
        }
        orders
    }

    fn orders_as_kept(&self) -> Orders {
        let listing = self.ready.listing(&self.cells).into_iter();
        Orders {
            ready: listing
                .map(|(lane, (list, tree))| (lane, list.into_iter().chain(tree).collect()))
                .collect(),
            due: self.due.iter().map(|((due, _), slot)| (*due, self.cell(*slot).id)).collect(),
            dates: self.dates.listing().collect(),
            calendar: self.calendar.iter().map(|((at, _), slot)| (*at, self.cell(*slot).id)).collect(),
            leases: self.leases.iter().map(|(key, slot)| (*key, self.cell(*slot).id)).collect(),
            terms: self.terms.counts(),
            tags: self.tags.counts(),
            limited: self.limited.listing(&self.cells),
            limits: self
                .limits()
                .filter(|limit| limit.tasks > 0)
                .map(|limit| (limit.name, (limit.tasks, limit.held)))
                .collect(),
        }
    }
}
