//! What a task may answer: the guarantees as an object, told from its clients' side.
//!
//! Workers that are not recorded may be granted a task, end it, or lose it at any time, so a live task may have been moved
//! on by somebody unseen before every step. Two things cannot happen unseen: a grant whose token a recorded worker holds,
//! and a completion under such a token.

use std::collections::BTreeSet;

use raftwork_api::kernel::Status;

use super::search::Spec;
use crate::check::dossier::{Act, Dossier, Saw, Sight};
use crate::history::{Fingerprint, Refusal};

/// The rules for one task.
pub(super) struct TaskSpec {
    /// Tokens that recorded workers hold.
    recorded: BTreeSet<u64>,
}

/// Where the task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum State {
    Absent,
    /// `request`: `None` if its submit was not recorded.
    Live {
        request: Option<Fingerprint>,
        token: u64,
    },
    Ended {
        request: Option<Fingerprint>,
        ending: Ending,
    },
}

/// How a task ended, as far as anybody has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Ending {
    status: Option<Status>,
    token: Option<u64>,
    result: Option<Fingerprint>,
}

impl Ending {
    /// Both, if they can be the same ending.
    fn with(self, other: Self) -> Option<Self> {
        fn differ<T: PartialEq + Copy>(one: Option<T>, other: Option<T>) -> bool {
            one.is_some() && other.is_some() && one != other
        }
        if differ(self.status, other.status)
            || differ(self.token, other.token)
            || differ(self.result, other.result)
        {
            return None;
        }
        Some(Self {
            status: self.status.or(other.status),
            token: self.token.or(other.token),
            result: self.result.or(other.result),
        })
    }
}

impl TaskSpec {
    /// The rules for the task, and where it stands at first.
    pub(super) fn of(dossier: &Dossier) -> (Self, State) {
        let is_submitted = dossier.deeds.iter().any(|deed| matches!(deed.act, Act::Submit { .. }));
        let first = if is_submitted { State::Absent } else { State::Live { request: None, token: 0 } };
        (Self { recorded: dossier.grants().map(|(_, token, _)| token).collect() }, first)
    }

    /// Whether the newest token may be `wanted`, `token` being the newest that was seen.
    fn may_be(&self, token: u64, wanted: u64) -> bool {
        wanted == token || wanted > token && !self.recorded.contains(&wanted)
    }

    fn report(&self, state: State, token: u64, saw: Saw, ends: Option<Ending>, goes_on: bool) -> Vec<State> {
        let State::Live { request, token: newest } = state else {
            // A repeat of the report that ended it.
            let State::Ended { request, ending } = state else { return Vec::new() };
            let repeated = ends.and_then(|ends| ending.with(Ending { result: None, ..ends }));
            return repeated.map(|ending| State::Ended { request, ending }).into_iter().collect();
        };
        if !self.may_be(newest, token) {
            return Vec::new();
        }
        let goes_on = goes_on.then_some(State::Live { request, token });
        let ended = ends.map(|ending| State::Ended { request, ending });
        match saw {
            Saw::Ok(Some(status)) if status.is_terminal() => ended.into_iter().collect(),
            Saw::Ok(Some(_)) if goes_on.is_some() => goes_on.into_iter().collect(),
            Saw::Ok(_) | Saw::Unknown | Saw::Seen(_) | Saw::Refused(..) => {
                goes_on.into_iter().chain(ended).collect()
            }
        }
    }

    fn refused(&self, state: State, act: Act, code: Refusal, current: Option<u64>) -> Vec<State> {
        let offered = act.reports_under();
        match (code, state) {
            (Refusal::TaskConflict, State::Live { .. } | State::Ended { .. })
            | (Refusal::UnknownTask, State::Absent)
            | (
                Refusal::UnknownFunction
                | Refusal::FunctionConflict
                | Refusal::TooLarge
                | Refusal::PayloadIncomplete,
                _,
            ) => vec![state],
            (Refusal::StaleLease, State::Live { request, token }) => match current {
                // An extend is refused with its own token when the lease has ended and nobody was granted it since.
                Some(newest) if self.may_be(token, newest) => vec![State::Live { request, token: newest }],
                Some(_) => Vec::new(),
                None => vec![state],
            },
            (Refusal::StaleLease, State::Ended { request, ending }) => {
                if ending.token.is_some() && ending.token == offered {
                    return Vec::new();
                }
                let known = ending.with(Ending { status: None, token: current, result: None });
                known.map(|ending| State::Ended { request, ending }).into_iter().collect()
            }
            (Refusal::AlreadyFinished, State::Live { request, token }) => {
                let unseen = Ending { status: None, token: offered, result: None };
                let can = offered.is_none_or(|offered| self.may_be(token, offered));
                can.then_some(State::Ended { request, ending: unseen }).into_iter().collect()
            }
            (Refusal::AlreadyFinished, State::Ended { request, ending }) => {
                let same = act != Act::Cancel || ending.status != Some(Status::Cancelled);
                let known = ending.with(Ending { status: None, token: offered, result: None });
                let known = known.filter(|_| same);
                known.map(|ending| State::Ended { request, ending }).into_iter().collect()
            }
            (Refusal::TaskConflict | Refusal::StaleLease | Refusal::AlreadyFinished, State::Absent)
            | (Refusal::UnknownTask, State::Live { .. } | State::Ended { .. }) => Vec::new(),
        }
    }

    fn seen(&self, state: State, sight: Sight) -> Option<State> {
        let Sight { status, token: seen, result, .. } = sight;
        let ending = Ending { status: Some(status), token: seen, result };
        match state {
            State::Absent => None,
            State::Live { request, token } if !status.is_terminal() => {
                let newest = seen.unwrap_or(token);
                let is_held = status != Status::Running || newest > 0 || seen.is_none();
                (is_held && self.may_be(token, newest)).then_some(State::Live { request, token: newest })
            }
            State::Live { request, token } => {
                let by_whom = seen.unwrap_or(u64::MAX);
                // Completed under a token that a recorded worker holds: then its report is recorded, too.
                let unseen = match status {
                    Status::Completed => by_whom > 0 && by_whom >= token && !self.recorded.contains(&by_whom),
                    Status::Failed | Status::Parked => seen.is_none_or(|seen| self.may_be(token, seen)),
                    // Every cancel is recorded.
                    Status::Cancelled | Status::Waiting | Status::Queued | Status::Running => false,
                };
                unseen.then_some(State::Ended { request, ending })
            }
            State::Ended { request, ending: known } => {
                let known = known.with(ending).filter(|_| status.is_terminal())?;
                Some(State::Ended { request, ending: known })
            }
        }
    }
}

impl Spec for TaskSpec {
    type State = State;
    type Op = (Act, Saw);

    fn step(&self, state: &State, (act, saw): &(Act, Saw)) -> Vec<State> {
        let ended = |status, token, result| Ending { status, token, result };
        match (*saw, *act) {
            (Saw::Refused(code, current), _) => self.refused(*state, *act, code, current),
            (Saw::Seen(sight), _) => self.seen(*state, sight).into_iter().collect(),
            (_, Act::Submit { request, .. }) => match *state {
                State::Absent => vec![State::Live { request: Some(request), token: 0 }],
                State::Live { request: before, .. } | State::Ended { request: before, .. } => {
                    let same = before.is_none_or(|before| before == request);
                    same.then_some(*state).into_iter().collect()
                }
            },
            (_, Act::Grant { token, .. }) => match *state {
                State::Live { request, token: newest } if token >= newest => {
                    vec![State::Live { request, token }]
                }
                State::Absent | State::Live { .. } | State::Ended { .. } => Vec::new(),
            },
            (_, Act::Complete { token, result }) => {
                let ending = ended(Some(Status::Completed), Some(token), Some(result));
                self.report(*state, token, *saw, Some(ending), false)
            }
            (_, Act::Fail { token }) => {
                let status = match saw {
                    Saw::Ok(status) => status.filter(|status| status.is_terminal()),
                    Saw::Seen(_) | Saw::Refused(..) | Saw::Unknown => None,
                };
                self.report(*state, token, *saw, Some(ended(status, Some(token), None)), true)
            }
            (_, Act::Release { token } | Act::Extend { token }) => {
                self.report(*state, token, *saw, None, true)
            }
            (_, Act::Cancel) => match *state {
                State::Absent => Vec::new(),
                State::Live { request, .. } => {
                    vec![State::Ended { request, ending: ended(Some(Status::Cancelled), None, None) }]
                }
                State::Ended { request, ending } => {
                    let known = ending.with(ended(Some(Status::Cancelled), None, None));
                    known.map(|ending| State::Ended { request, ending }).into_iter().collect()
                }
            },
            (_, Act::Read { .. }) => vec![*state],
        }
    }
}
