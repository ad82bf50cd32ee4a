//! From a grant to all that a worker needs to run it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use raftwork_api::stream::Work;
use raftwork_kernel::{Function, FunctionId, Grant, LeaseRef, Rows};

use crate::replica::Replica;
use crate::store::rows::RowStore;

/// Most functions whose rows are kept decoded; beyond it the cache starts anew.
const FUNCTIONS_MAX: usize = 10_000;

/// Most bytes of arguments in one message of grants, unless one task alone has more: far below a frame's limit, and small
/// enough that the first tasks start while the last are on their way.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Cuts work into messages of bounded size, in order.
pub(super) fn in_frames(work: Vec<Work>) -> Vec<Vec<Work>> {
    let mut messages: Vec<Vec<Work>> = Vec::new();
    let mut bytes = usize::MAX;
    for item in work {
        bytes = bytes.saturating_add(item.args.len());
        match messages.last_mut() {
            Some(message) if bytes <= MESSAGE_BYTES_MAX => message.push(item),
            Some(_) | None => {
                bytes = item.args.len();
                messages.push(vec![item]);
            }
        }
    }
    messages
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
        grants.iter().filter_map(|grant| self.one(&rows, grant)).collect()
    }

    fn one(&self, rows: &RowStore, grant: &Grant) -> Option<Work> {
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
