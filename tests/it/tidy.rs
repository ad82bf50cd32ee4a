//! Rules of the source tree that no compiler checks. A rule that nobody runs is a wish.
//!
//! Each rule is one test; what it finds is listed as `file:line: what is wrong and what to do`.

mod documents;
mod guarantees;
mod manifests;
mod sources;
mod tree;
