//! All that a history says of one task, as the checkers look at it.

use raftwork_api::kernel::{FunctionId, Status, TaskId};

use super::verdict::{Step, seconds};
use crate::history::{After, Concurrency, Fingerprint, Refusal};

/// All that a history says of one task.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dossier {
    /// The limit that it was submitted under.
    pub(crate) limit: Option<Concurrency>,
    /// What it runs after, as its caller was told.
    pub(crate) after: Option<Box<After>>,
    /// What clients and workers did to it, in the order of invocation.
    pub(crate) deeds: Vec<Deed>,
    /// Where the log left it after each entry that moved it, by the replay.
    pub(crate) moments: Vec<Moment>,
    /// Commands of the log about it, with the answers that the replay gives.
    pub(crate) facts: Vec<Fact>,
    /// Effects that workers offered to the register outside, in order: when, token, accepted.
    pub(crate) effects: Vec<(u64, u64, bool)>,
    /// For each effect, the process that offered it and its ancestors.
    pub(crate) runs: Vec<Vec<u32>>,
    /// Of which function the log accepted it.
    pub(crate) function: Option<FunctionId>,
    /// What it returns if it completes, where its caller said so.
    pub(crate) due: Option<Fingerprint>,
}

/// One operation on one task.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deed {
    pub(crate) op: u64,
    pub(crate) process: u64,
    pub(crate) node: Option<u64>,
    /// Invocation. For a grant: of the first acquire under the request's id.
    pub(crate) from: u64,
    /// Return; `None` if there was none that says anything.
    pub(crate) to: Option<u64>,
    pub(crate) act: Act,
    pub(crate) saw: Saw,
}

/// What is done to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// `request` stands for function, options and arguments.
    Submit {
        request: Fingerprint,
        delay_ms: u64,
    },
    Grant {
        token: u64,
        attempt: u16,
    },
    Extend {
        token: u64,
    },
    Complete {
        token: u64,
        result: Fingerprint,
    },
    Fail {
        token: u64,
    },
    Release {
        token: u64,
    },
    Cancel,
    /// `index`: as of which entry a stale answer holds at the latest.
    Read {
        stale: bool,
        index: Option<u64>,
    },
}

impl Act {
    /// The token that a report is made under.
    pub(crate) const fn reports_under(self) -> Option<u64> {
        match self {
            Self::Extend { token }
            | Self::Complete { token, .. }
            | Self::Fail { token }
            | Self::Release { token } => Some(token),
            Self::Submit { .. } | Self::Grant { .. } | Self::Cancel | Self::Read { .. } => None,
        }
    }

    /// Whether two commands ask for the same thing, so that one may be the other's repeat.
    pub(crate) fn same(self, other: Self) -> bool {
        match (self, other) {
            (Self::Submit { .. }, Self::Submit { .. }) => true,
            (Self::Complete { token, .. }, Self::Complete { token: other, .. })
            | (Self::Grant { token, .. }, Self::Grant { token: other, .. }) => token == other,
            _ => self == other,
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Saw {
    Ok(Option<Status>),
    Seen(Sight),
    Refused(Refusal, Option<u64>),
    Unknown,
}

/// What a reader sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sight {
    pub(crate) status: Status,
    pub(crate) token: Option<u64>,
    pub(crate) attempts: Option<u32>,
    pub(crate) result: Option<Fingerprint>,
}

impl Sight {
    /// Whether both can be of the same moment: what one does not say cannot differ.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        fn may_equal<T: PartialEq + Copy>(one: Option<T>, other: Option<T>) -> bool {
            one.is_none() || other.is_none() || one == other
        }
        self.status == other.status
            && may_equal(self.token, other.token)
            && may_equal(self.attempts, other.attempts)
            && may_equal(self.result, other.result)
    }
}

/// Where the log left a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// The entry that moved it.
    pub(crate) index: u64,
    /// What a reader would see from then on; `None`: it is forgotten.
    pub(crate) sight: Option<Sight>,
}

/// One command of the log about one task.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fact {
    pub(crate) index: u64,
    pub(crate) act: Act,
    /// `Ok` or `Refused`.
    pub(crate) saw: Saw,
}

impl Dossier {
    /// Adds a deed. Deeds are most of what is held of a long run, so room for more is made in small steps.
    pub(crate) fn add(&mut self, deed: Deed) {
        /// Most tasks know about so many at a time.
        const STEP: usize = 2;
        if self.deeds.len() == self.deeds.capacity() {
            self.deeds.reserve_exact(STEP.max(self.deeds.len() / 2));
        }
        self.deeds.push(deed);
    }

    /// What linearizable readers saw, with the deed.
    pub(crate) fn sights(&self) -> impl Iterator<Item = (&Deed, Sight)> {
        self.deeds.iter().filter_map(|deed| match deed.saw {
            Saw::Seen(sight) => Some((deed, sight)),
            Saw::Ok(_) | Saw::Refused(..) | Saw::Unknown => None,
        })
    }

    /// Grants that recorded workers got: deed, token, attempt.
    pub(crate) fn grants(&self) -> impl Iterator<Item = (&Deed, u64, u16)> {
        self.deeds.iter().filter_map(|deed| match (deed.act, deed.saw) {
            (Act::Grant { token, attempt }, Saw::Ok(_)) => Some((deed, token, attempt)),
            _ => None,
        })
    }

    /// Whether some client got an answer that says that the task was accepted.
    pub(crate) fn acknowledged(&self) -> Option<&Deed> {
        self.deeds.iter().find(|deed| matches!((deed.act, deed.saw), (Act::Submit { .. }, Saw::Ok(_))))
    }

    /// Where the log left it in the end.
    pub(crate) fn last_moment(&self) -> Option<&Moment> {
        self.moments.last()
    }
}

impl Deed {
    pub(crate) const fn is_stale_read(&self) -> bool {
        matches!(self.act, Act::Read { stale: true, .. })
    }

    /// The deed as a line of a story.
    pub(crate) fn step(&self, task: TaskId) -> Step {
        let node = self.node.map_or_else(String::new, |node| format!(" on node {node}"));
        let answered = self.to.map_or_else(String::new, |to| format!(" (answered at {})", seconds(to)));
        let text = format!(
            "process {}{node}: {} {task}: {}{answered}",
            self.process,
            self.act.tell(),
            self.saw.tell()
        );
        Step { at: Some(self.from), text }
    }
}

impl Act {
    fn tell(&self) -> String {
        match self {
            Self::Submit { request, .. } => format!("submit (request {request})"),
            Self::Grant { token, attempt } => format!("acquire got token {token}, attempt {attempt} of"),
            Self::Extend { token } => format!("extend under token {token}"),
            Self::Complete { token, result } => format!("complete under token {token} (result {result})"),
            Self::Fail { token } => format!("fail under token {token}"),
            Self::Release { token } => format!("release under token {token}"),
            Self::Cancel => "cancel".to_owned(),
            Self::Read { stale: false, .. } => "read".to_owned(),
            Self::Read { stale: true, index: None } => "stale read".to_owned(),
            Self::Read { stale: true, index: Some(index) } => format!("stale read as of entry {index}"),
        }
    }
}

impl Saw {
    fn tell(&self) -> String {
        match self {
            Self::Ok(None) => "ok".to_owned(),
            Self::Ok(Some(status)) => format!("ok, {}", status.as_str()),
            Self::Seen(sight) => sight.tell(),
            Self::Refused(code, None) => format!("refused, {}", code.name()),
            Self::Refused(code, Some(current)) => format!("refused, {}, newest token {current}", code.name()),
            Self::Unknown => "no answer".to_owned(),
        }
    }
}

impl Sight {
    fn tell(&self) -> String {
        let mut text = self.status.as_str().to_owned();
        let mut add = |what: &str, value: Option<String>| {
            text.extend(value.map(|value| format!(", {what} {value}")));
        };
        add("token", self.token.map(|token| token.to_string()));
        add("attempts", self.attempts.map(|attempts| attempts.to_string()));
        add("result", self.result.map(|result| result.to_string()));
        text
    }
}

impl Fact {
    /// The command as a line of a story.
    pub(crate) fn step(&self, task: TaskId) -> Step {
        Step {
            at: None,
            text: format!("entry {}: {} {task}: {}", self.index, self.act.tell(), self.saw.tell()),
        }
    }
}

impl Moment {
    /// The moment as a line of a story.
    pub(crate) fn step(&self, task: TaskId) -> Step {
        let sight = self.sight.map_or_else(|| "forgotten".to_owned(), |sight| sight.tell());
        Step { at: None, text: format!("as of entry {}, {task} is {sight}", self.index) }
    }
}
