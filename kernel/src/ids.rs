//! Names of things: newtypes over UUIDs and counters, with one textual form each.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::time::{LogTime, Millis};

/// Text that is not the id it was offered as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a UUID such as 0190a5e4-7c3b-7cc1-8a54-2f6a5d1b9c3e")]
pub struct ParseIdError {
    text: String,
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes the id out of 128 bits, most significant byte first.
            pub const fn from_u128(bits: u128) -> Self {
                Self(Uuid::from_u128(bits))
            }

            /// The id as 16 bytes, most significant first: the form used in storage keys.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// Makes the id out of its 16 bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The id as a UUID.
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                Uuid::try_parse(text).map(Self).map_err(|_| ParseIdError { text: text.chars().take(64).collect() })
            }
        }
    };
}

uuid_id! {
    /// One submission. Chosen by whoever submits, so that a repeated submit names the same task.
    TaskId
}
uuid_id! {
    /// One registered function; registering the same code twice gives two ids.
    FunctionId
}
uuid_id! {
    /// One worker process. It keeps its id while it reconnects, and a new process takes a new one.
    WorkerId
}
uuid_id! {
    /// One acquire call; repeating the call with the same id returns the same grants.
    RequestId
}

uuid_id! {
    /// One map: one function over many items. Its last 32 bits are zero; those of its items are their places, from 1.
    MapId
}

/// The bits of an item's id that say which item of its map it is.
const ITEM_BITS: u128 = u32::MAX as u128;

impl MapId {
    /// Makes a map's id out of any id: by clearing the bits that number the items.
    pub const fn of(uuid: Uuid) -> Self {
        Self::from_u128(uuid.as_u128() & !ITEM_BITS)
    }

    /// Whether the bits that number the items are zero, as they must be.
    pub const fn is_well_formed(&self) -> bool {
        self.0.as_u128() & ITEM_BITS == 0
    }

    /// The task of the item at a place, counted from 0.
    pub const fn item(&self, index: u32) -> TaskId {
        TaskId::from_u128((self.0.as_u128() & !ITEM_BITS) | (index as u128 + 1) & ITEM_BITS)
    }
}

impl TaskId {
    /// The map whose item this task is, if there is such a map, and the item's place, counted from 0.
    pub const fn as_item(&self) -> Option<(MapId, u32)> {
        #[expect(clippy::cast_possible_truncation, reason = "the last 32 bits are wanted")]
        let place = self.0.as_u128() as u32;
        match place.checked_sub(1) {
            Some(index) => Some((MapId::of(self.0), index)),
            None => None,
        }
    }
}

/// A fencing token: rises with every grant in the whole cluster and never repeats.
///
/// `Token(0)` stands for "never granted".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Token(pub u64);

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// One making of a schedule, counted in the whole cluster: one that is deleted and made again under its name is another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ScheduleId(pub u64);

/// Order of acceptance in the whole cluster: rises with every accepted task, and never repeats.
///
/// The upper bits are the log time of the acceptance in milliseconds, the lower [`COUNT_BITS`](Self::COUNT_BITS) tell tasks
/// of one millisecond apart: a hybrid logical clock (Kulkarni et al., "Logical physical clocks", OPODIS 2014). So the
/// distance of two places says how much longer one of the tasks has waited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Seq(pub u64);

impl Seq {
    /// Bits that count; a millisecond with more tasks than that borrows from the next one.
    pub const COUNT_BITS: u32 = 20;
    /// 278 years: then the order goes on without the time. It leaves half of all numbers to count with.
    const TIME_MAX: u64 = 1 << 43;

    /// The first place of this moment.
    pub const fn first_at(moment: LogTime) -> Self {
        let ms = if moment.0 < Self::TIME_MAX { moment.0 } else { Self::TIME_MAX };
        Self(ms << Self::COUNT_BITS)
    }

    /// The place so much later.
    #[must_use]
    pub const fn after(self, span: Millis) -> Self {
        Self(self.0.saturating_add(span.0.saturating_mul(1 << Self::COUNT_BITS)))
    }

    /// The place so much earlier, or the first one.
    #[must_use]
    pub const fn before(self, span: Millis) -> Self {
        Self(self.0.saturating_sub(span.0.saturating_mul(1 << Self::COUNT_BITS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text() {
        let id = TaskId::from_u128(0x0190_a5e4_7c3b_7cc1_8a54_2f6a_5d1b_9c3e);
        assert_eq!(id.to_string().parse::<TaskId>(), Ok(id));
    }

    #[test]
    fn an_item_names_its_map_and_its_place() {
        let map = MapId::of(TaskId::from_u128(0x0190_a5e4_7c3b_7cc1_8a54_2f6a_5d1b_9c3e).as_uuid());
        assert!(map.is_well_formed());
        for index in [0, 1, 77, u32::MAX - 1] {
            assert_eq!(map.item(index).as_item(), Some((map, index)));
        }
        assert_eq!(TaskId::from(map.as_uuid()).as_item(), None);
    }

    #[test]
    fn text_that_is_no_id_is_named_in_the_error() {
        let error = "banana".parse::<TaskId>().unwrap_err();
        assert!(error.to_string().starts_with("'banana' is not a UUID"));
    }
}
