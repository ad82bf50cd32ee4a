//! What the tests share: a group with its rows in maps, names for ids, random entries, and the words of the
//! scripts.

pub(crate) mod actions;
pub(crate) mod group;
pub(crate) mod names;
pub(crate) mod samples;
pub(crate) mod speech;
pub(crate) mod transcript;
