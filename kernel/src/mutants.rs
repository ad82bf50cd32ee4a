//! Bugs that can be planted on purpose, to see whether tests catch them; `raftwork-sim mutants` does.
//!
//! Compiled in with the feature `mutants` alone, which nothing that is released has; without it [`mutant`] is `false`.

/// Whether the bug of this name is planted, as the environment variable `RAFTWORK_MUTANT` says.
#[cfg(feature = "mutants")]
pub fn mutant(name: &str) -> bool {
    static PLANTED: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let planted = PLANTED.get_or_init(|| std::env::var("RAFTWORK_MUTANT").ok());
    planted.as_deref() == Some(name)
}

/// Whether the bug of this name is planted: this build has none.
#[cfg(not(feature = "mutants"))]
#[inline]
pub const fn mutant(_name: &str) -> bool {
    false
}
