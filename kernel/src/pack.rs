//! The items of a map as they are sent and kept: in pieces, and in packs that share what their items have in common.

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::limits::{ARGS_BYTES_MAX, PACK_ITEMS_MAX, PIECE_BYTES_MAX};
use crate::payload;

/// Items that lie side by side in a map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pack {
    /// Each with arguments of its own.
    Each(#[serde(deserialize_with = "payload::deserialize_list")] Vec<Bytes>),
    /// Items whose arguments differ in a number alone: those of the `n`-th item are the head, `n` in four bytes (little
    /// endian, from 0), and the tail. What the bytes mean is between the one who sends them and the worker.
    Numbered {
        /// What comes before the number.
        #[serde(deserialize_with = "payload::deserialize")]
        head: Bytes,
        /// What comes after it.
        #[serde(deserialize_with = "payload::deserialize")]
        tail: Bytes,
        /// How many items there are.
        count: u32,
    },
}

/// Bytes of the number of an item.
const NUMBER_BYTES: usize = size_of::<u32>();

impl Pack {
    /// Number of items.
    pub const fn len(&self) -> usize {
        match self {
            Self::Each(items) => items.len(),
            Self::Numbered { count, .. } => *count as usize,
        }
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Each(items) => items.iter().map(Bytes::len).sum(),
            Self::Numbered { head, tail, .. } => head.len() + tail.len(),
        }
    }

    /// The arguments of an item; `None` beyond the last one.
    pub fn item(&self, index: u32) -> Option<Bytes> {
        match self {
            Self::Each(items) => items.get(index as usize).cloned(),
            Self::Numbered { head, tail, count } => (index < *count).then(|| {
                let mut args = BytesMut::with_capacity(head.len() + NUMBER_BYTES + tail.len());
                args.extend_from_slice(head);
                args.extend_from_slice(&index.to_le_bytes());
                args.extend_from_slice(tail);
                args.freeze()
            }),
        }
    }

    fn largest_item(&self) -> usize {
        match self {
            Self::Each(items) => items.iter().map(Bytes::len).max().unwrap_or_default(),
            Self::Numbered { .. } => self.bytes() + NUMBER_BYTES,
        }
    }
}

/// A run of items, small enough for one entry of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece(pub Vec<Pack>);

impl Piece {
    /// Number of items.
    pub fn len(&self) -> usize {
        self.0.iter().map(Pack::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of arguments that it takes.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(Pack::bytes).sum()
    }

    /// The arguments of the items from a place on.
    pub fn from(&self, first: usize) -> impl Iterator<Item = Bytes> + '_ {
        let mut skip = first;
        self.0.iter().flat_map(move |pack| {
            let here = skip.min(pack.len());
            skip -= here;
            let numbers = (0..).skip(here).take(pack.len() - here);
            numbers.map_while(|number| pack.item(number))
        })
    }

    /// Checks bounds: no empty piece or pack, [`PIECE_BYTES_MAX`] unless it is a single item, [`ARGS_BYTES_MAX`] for each.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self) -> Result<(), String> {
        if self.0.is_empty() || self.0.iter().any(Pack::is_empty) {
            return Err("a piece has packs, and a pack has items".to_owned());
        }
        if self.0.iter().any(|pack| matches!(pack, Pack::Numbered { count, .. } if *count > PACK_ITEMS_MAX)) {
            return Err(format!("a pack has more than {PACK_ITEMS_MAX} items"));
        }
        let bytes = self.bytes();
        if bytes > PIECE_BYTES_MAX && self.len() > 1 {
            return Err(format!(
                "a piece of several items has {bytes} bytes, over the limit of {PIECE_BYTES_MAX}"
            ));
        }
        let largest = self.0.iter().map(Pack::largest_item).max().unwrap_or_default();
        if largest > ARGS_BYTES_MAX {
            return Err(format!(
                "the arguments of an item have {largest} bytes, over the limit of {ARGS_BYTES_MAX}"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece() -> Piece {
        let numbered = Pack::Numbered { head: "h".into(), tail: "t".into(), count: 2 };
        Piece(vec![Pack::Each(vec!["a".into(), "b".into()]), numbered, Pack::Each(vec!["c".into()])])
    }

    #[test]
    fn items_are_found_from_any_place() {
        let all: Vec<Bytes> = ["a", "b", "h\0\0\0\0t", "h\x01\0\0\0t", "c"].map(Bytes::from).into();
        for first in 0..=all.len() {
            assert_eq!(piece().from(first).collect::<Vec<_>>(), all[first..], "from {first}");
        }
        assert_eq!((piece().len(), piece().bytes()), (5, 5));
    }

    #[test]
    fn what_no_entry_could_carry_is_refused() {
        let each = |sizes: &[usize]| {
            Piece(vec![Pack::Each(sizes.iter().map(|size| vec![0; *size].into()).collect())])
        };
        let numbered = |count| Piece(vec![Pack::Numbered { head: Bytes::new(), tail: Bytes::new(), count }]);
        assert_eq!(piece().check(), Ok(()));
        assert_eq!(each(&[PIECE_BYTES_MAX + 1]).check(), Ok(()));
        for refused in [
            Piece::default(),
            each(&[]),
            each(&[PIECE_BYTES_MAX, 1]),
            each(&[ARGS_BYTES_MAX + 1]),
            numbered(0),
            numbered(PACK_ITEMS_MAX + 1),
        ] {
            assert!(refused.check().is_err());
        }
    }
}
