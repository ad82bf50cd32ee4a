//! What the tests share: a group with its rows in maps, names for ids, and the words of the scripts.

pub(crate) mod group;
pub(crate) mod names;
pub(crate) mod speech;
