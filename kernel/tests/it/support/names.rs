//! Short names for ids: the letters of a name are the last bytes of its UUID.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use raftwork_kernel::{
    FunctionId, LeaseRef, MapId, RequestId, ScheduleId, TaskId, Token, WallTime, WorkerId,
};
use uuid::Uuid;

thread_local! {
    /// Names that tests gave to ids that are not made of letters: the tasks of schedules.
    static LABELS: RefCell<BTreeMap<Uuid, String>> = const { RefCell::new(BTreeMap::new()) };
}

/// Calls the task of a nominal time of the first schedule `s1.10s`, on this thread.
pub(crate) fn label(schedule: ScheduleId, nominal: WallTime, task: TaskId) {
    let label = format!("s{}.{}", schedule.0, Span(nominal.0));
    LABELS.with_borrow_mut(|labels| labels.insert(task.as_uuid(), label));
}

/// A name of up to 15 letters, as in `a`, `w1` or `tile-17`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(pub(crate) String);

impl Name {
    /// A task; `m.0` is the first item of the map `m`.
    pub(crate) fn task(&self) -> TaskId {
        let item = self.0.split_once('.').and_then(|(map, index)| Some((map, index.parse().ok()?)));
        item.map_or_else(|| self.uuid().into(), |(map, index)| Self(map.to_owned()).map().item(index))
    }

    pub(crate) fn map(&self) -> MapId {
        MapId::from_u128(self.uuid().as_u128() << 32)
    }

    pub(crate) fn function(&self) -> FunctionId {
        self.uuid().into()
    }

    pub(crate) fn worker(&self) -> WorkerId {
        self.uuid().into()
    }

    pub(crate) fn request(&self) -> RequestId {
        self.uuid().into()
    }

    fn uuid(&self) -> Uuid {
        let labelled = LABELS
            .with_borrow(|labels| labels.iter().find(|(_, label)| **label == self.0).map(|(uuid, _)| *uuid));
        if let Some(uuid) = labelled {
            return uuid;
        }
        let letters = self.0.bytes().fold(0, |bits: u128, letter| (bits << 8) | u128::from(letter));
        Uuid::from_u128(letters)
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = (1..=15).contains(&text.len()) && text.is_ascii();
        fits.then(|| Self(text.to_owned())).ok_or_else(|| format!("'{text}' is no name of 1 to 15 letters"))
    }
}

/// The name behind an id.
pub(crate) fn name_of(uuid: Uuid) -> String {
    if let Some(label) = LABELS.with_borrow(|labels| labels.get(&uuid).cloned()) {
        return label;
    }
    // Letters are above 0x1f, so that no name looks like a place.
    if let Some((map, index)) = TaskId::from(uuid).as_item()
        && map.as_uuid() != Uuid::nil()
        && index < 0x1f00_0000
    {
        return format!("{}.{index}", name_of(map.as_uuid()));
    }
    uuid.as_bytes().iter().filter(|byte| **byte != 0).map(|byte| char::from(*byte)).collect()
}

/// Puts names in place of all ids in a text, such as the text of a rejection.
pub(crate) fn with_names(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let bare = word.trim_end_matches([':', ';', ',']);
        let name = Uuid::try_parse(bare).map(name_of);
        name.map_or_else(|_| word.to_owned(), |name| format!("{name}{}", &word[bare.len()..]))
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A lease in words: `a@3` is task `a` under token 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease(pub(crate) LeaseRef);

impl fmt::Display for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", name_of(self.0.task.as_uuid()), self.0.token)
    }
}

impl FromStr for Lease {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (task, token) =
            text.split_once('@').ok_or_else(|| format!("'{text}' is no lease such as a@1"))?;
        let token = token.parse().map_err(|error| format!("token '{token}': {error}"))?;
        Ok(Self(LeaseRef { task: Name(task.to_owned()).task(), token: Token(token) }))
    }
}

/// A length or moment of time in words: `1500ms`, `31s`, `2h`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            u64::MAX => f.write_str("forever"),
            ms if ms.is_multiple_of(1000) => write!(f, "{}s", ms / 1000),
            ms => write!(f, "{ms}ms"),
        }
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "forever" {
            return Ok(Self(u64::MAX));
        }
        let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let unit = match &text[digits.len()..] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(format!("'{text}' is no span such as 1500ms, 31s, 5m or 2h")),
        };
        digits.parse::<u64>().map(|count| Self(count * unit)).map_err(|error| format!("'{text}': {error}"))
    }
}
