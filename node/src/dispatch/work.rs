//! From a grant to all that a worker needs to run it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use raftwork_api::stream::{Given, GivenResult, Work};
use raftwork_kernel::{Function, FunctionId, Grant, LeaseRef, Outcome, Rows, Status, TaskId};

use crate::replica::Replica;
use crate::store::rows::RowStore;

/// Most functions whose rows are kept decoded; beyond it the cache starts anew.
const FUNCTIONS_MAX: usize = 10_000;

/// Most bytes of arguments and results in one message of grants, unless one task alone has more: far below a frame's limit, and small
/// enough that the first tasks start while the last are on their way.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Cuts work into messages of bounded size, in order.
pub(super) fn in_frames(work: Vec<Work>) -> Vec<Vec<Work>> {
    let mut messages: Vec<Vec<Work>> = Vec::new();
    let mut bytes = usize::MAX;
    for item in work {
        let size = size_of(&item);
        bytes = bytes.saturating_add(size);
        match messages.last_mut() {
            Some(message) if bytes <= MESSAGE_BYTES_MAX => message.push(item),
            Some(_) | None => {
                bytes = size;
                messages.push(vec![item]);
            }
        }
    }
    messages
}

fn size_of(work: &Work) -> usize {
    let here = |given: &Given| if let GivenResult::Here(result) = &given.result { result.len() } else { 0 };
    work.args.len() + work.given.iter().map(here).sum::<usize>()
}

/// Looks up the rows that a grant names.
pub(super) struct WorkBuilder {
    replica: Replica,
    functions: Mutex<HashMap<FunctionId, Arc<Function>>>,
}

impl WorkBuilder {
    pub(super) fn new(replica: Replica) -> Self {
        Self { replica, functions: Mutex::default() }
    }

    /// The work of `grants`, which were applied on this node. A task that was forgotten since is left out.
    pub(super) fn build(&self, grants: &[Grant]) -> Vec<Work> {
        let rows = self.replica.rows();
        // Where no task runs after another, none is looked up.
        let some_are_given = self.replica.has_dependencies();
        let given = |task| if some_are_given { self.given(&rows, task) } else { Vec::new() };
        grants.iter().filter_map(|grant| self.one(&rows, grant, given(&grant.task))).collect()
    }

    /// What came of the tasks whose results a task is to be given: they are kept as long as it lives. What is too much for a
    /// message is left where it is.
    fn given(&self, rows: &RowStore, task: &TaskId) -> Vec<Given> {
        let mut room = MESSAGE_BYTES_MAX;
        let given = self.replica.results_for(task).into_iter().map(|task| {
            let result = match rows.record(&task).map(|record| record.outcome) {
                Some(Outcome::Completed(result)) if result.len() <= room => {
                    room -= result.len();
                    GivenResult::Here(result)
                }
                Some(Outcome::Completed(result)) => GivenResult::Apart(result.len() as u64),
                Some(Outcome::CompletedInParts(said)) => GivenResult::InParts(said),
                Some(outcome) => GivenResult::None(outcome.status()),
                // It was the item of a map that was cancelled before its turn.
                None => GivenResult::None(Status::Cancelled),
            };
            Given { task, result }
        });
        given.collect()
    }

    fn one(&self, rows: &RowStore, grant: &Grant, given: Vec<Given>) -> Option<Work> {
        let row = rows.task(&grant.task)?;
        let function = self.function(rows, row.function)?;
        // Nothing stands in the place of arguments that are in parts: all others are spared the look-up.
        let rules = if row.args.is_empty() { rows.rules(&grant.task) } else { None };
        Some(Work {
            lease: LeaseRef { task: grant.task, token: grant.token },
            attempt: grant.attempt,
            run_max: grant.run_max,
            function: row.function,
            name: function.spec.name.clone(),
            language: function.spec.language,
            code_hash: function.spec.code_hash,
            args: row.args,
            in_parts: rules.and_then(|rules| rules.in_parts()),
            given,
        })
    }

    /// Functions never change, so a decoded row stays true.
    fn function(&self, rows: &RowStore, id: FunctionId) -> Option<Arc<Function>> {
        let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = functions.get(&id) {
            return Some(Arc::clone(function));
        }
        let function = Arc::new(rows.function(&id)?);
        if functions.len() >= FUNCTIONS_MAX {
            functions.clear();
        }
        functions.insert(id, Arc::clone(&function));
        Some(function)
    }
}
