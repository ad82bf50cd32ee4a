//! Idempotency keys: text that names a submit, mapped to the id of its task.
//!
//! The key *is* the task id, by a hash: no table from keys to tasks exists that could be lost or disagree. A second
//! submit under the key meets the first one's task row, and the state machine compares the requests. The key is free
//! again once that task is forgotten.

use raftwork_kernel::TaskId;

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 255;

/// A key that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key has 1 to {KEY_BYTES_MAX} bytes, this one has {0}")]
pub struct KeyLengthError(usize);

/// The task that `key` names, for the `index`-th item of a batch (0 for a single submit).
///
/// The first 128 bits of BLAKE3 over a domain tag, the index and the key, marked as a UUID of version 8 (RFC 9562, 5.8).
///
/// # Errors
/// When the key is empty or longer than [`KEY_BYTES_MAX`].
pub fn task_of_key(key: &str, index: u32) -> Result<TaskId, KeyLengthError> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(KeyLengthError(key.len()));
    }
    let mut hasher = blake3::Hasher::new_derive_key("raftwork 2026 idempotency key to task id");
    hasher.update(&index.to_le_bytes()).update(key.as_bytes());
    Ok(from_hash(&hasher))
}

/// The task that runs a failed one again: one for each, so that a redrive can be repeated as often as its answer is lost.
///
/// As [`task_of_key`], over the id alone.
pub fn task_of_redrive(task: TaskId) -> TaskId {
    let mut hasher = blake3::Hasher::new_derive_key("raftwork 2026 task id to id of its redrive");
    hasher.update(task.as_bytes());
    from_hash(&hasher)
}

fn from_hash(hasher: &blake3::Hasher) -> TaskId {
    let mut bytes = [0; 16];
    hasher.finalize_xof().fill(&mut bytes);
    TaskId::from(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_always_names_the_same_task_and_items_differ() {
        assert_eq!(task_of_key("order-17", 0), task_of_key("order-17", 0));
        assert_ne!(task_of_key("order-17", 0), task_of_key("order-17", 1));
        assert_ne!(task_of_key("order-17", 0), task_of_key("order-18", 0));
    }

    #[test]
    fn a_redrive_is_named_by_what_it_redrives() {
        let (one, other) = (TaskId::from_u128(1), TaskId::from_u128(2));
        assert_eq!(task_of_redrive(one), task_of_redrive(one));
        assert_ne!(task_of_redrive(one), task_of_redrive(other));
        assert_ne!(task_of_redrive(task_of_redrive(one)), one);
    }

    #[test]
    fn the_mapping_is_frozen() {
        // A change here would let a retry after an upgrade run a task twice.
        let task = task_of_key("order-17", 0).unwrap();
        assert_eq!(task.to_string(), "33736f25-eefd-87a4-ba4e-af7f952ee63f");
    }
}
