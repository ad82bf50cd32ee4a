//! What an idempotency key may answer: the first request takes it, for ever.

use raftwork_api::kernel::TaskId;

use super::search::Spec;
use crate::check::dossier::Saw;
use crate::history::{Fingerprint, Refusal};

/// The rules for one key.
pub(super) struct KeySpec;

/// A submit under the key.
#[derive(Debug, Clone)]
pub(super) struct Use {
    pub(super) request: Fingerprint,
    pub(super) tasks: Vec<TaskId>,
    pub(super) saw: Saw,
}

impl Spec for KeySpec {
    /// The request that took it, and its tasks, once somebody was told.
    type State = Option<(Fingerprint, Vec<TaskId>)>;
    type Op = Use;

    fn step(&self, state: &Self::State, used: &Use) -> Vec<Self::State> {
        let same = state.as_ref().is_none_or(|(request, tasks)| {
            let agree = tasks.is_empty() || used.tasks.is_empty() || *tasks == used.tasks;
            *request == used.request && agree
        });
        match used.saw {
            Saw::Ok(_) if same => vec![Some((used.request, used.tasks.clone()))],
            Saw::Ok(_) | Saw::Seen(_) => Vec::new(),
            Saw::Unknown => match state {
                None => vec![Some((used.request, Vec::new()))],
                Some(_) => vec![state.clone()],
            },
            Saw::Refused(Refusal::TaskConflict, _) if state.is_none() || same => Vec::new(),
            Saw::Refused(..) => vec![state.clone()],
        }
    }
}
