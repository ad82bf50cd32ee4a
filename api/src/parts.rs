//! Payloads that are too large for one request: how they are cut, what is said of them, and how the whole is checked.

use bytes::{Bytes, BytesMut};
use raftwork_kernel::limits::PART_BYTES_MAX;
use raftwork_kernel::{InParts, TaskId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::number;

/// Largest payload that clients and workers send in one message, in bytes; what is larger goes in parts, so that no entry of
/// the log is large.
pub const WHOLE_BYTES_MAX: usize = 4 << 20;
/// Parts of one payload that are under way at once: enough to hide a round of consensus, and no more than nodes can hold for
/// many senders.
pub const PARTS_IN_FLIGHT: usize = 4;

/// A payload that was sent in parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"count": 64, "bytes": 67_108_864, "digest": "6e25b6c23e8a7f9c7c1bd0b5a4d1f3f4d4a2b1c0e9f8a7b6c5d4e3f2a1b0c9d8"}))]
pub struct PartsInfo {
    /// Number of parts, at most 256.
    #[serde(deserialize_with = "number::number")]
    pub count: u32,
    /// Bytes of all of them. A part has at most 1 MiB.
    #[serde(deserialize_with = "number::number")]
    pub bytes: u64,
    /// BLAKE3 of all bytes in order, in hexadecimal. The cluster keeps it; whoever reads the parts checks it.
    pub digest: String,
}

impl From<InParts> for PartsInfo {
    fn from(parts: InParts) -> Self {
        let digest = blake3::Hash::from_bytes(parts.digest).to_hex().to_string();
        Self { count: parts.count, bytes: parts.bytes, digest }
    }
}

impl TryFrom<&PartsInfo> for InParts {
    type Error = String;

    fn try_from(info: &PartsInfo) -> Result<Self, String> {
        let digest = blake3::Hash::from_hex(&info.digest)
            .map_err(|error| format!("the digest is no BLAKE3 in hexadecimal: {error}"))?;
        Ok(Self { count: info.count, bytes: info.bytes, digest: *digest.as_bytes() })
    }
}

/// Arguments that were sent in parts before the task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"task_id": "0190a5e4-7c3b-7cc1-8a54-2f6a5d1b9c3e", "count": 64, "bytes": 67_108_864, "digest": "6e25b6c23e8a7f9c7c1bd0b5a4d1f3f4d4a2b1c0e9f8a7b6c5d4e3f2a1b0c9d8"}))]
pub struct SentArguments {
    /// The task whose parts were sent: a UUID of the sender's choice. The task has it, whatever the `Idempotency-Key` says.
    #[schema(value_type = String, format = Uuid)]
    pub task_id: TaskId,
    /// What was sent.
    #[serde(flatten)]
    pub parts: PartsInfo,
}

/// Why the parts do not make the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PartsError {
    /// They are too many or too few bytes.
    #[error("the parts have {got} bytes, and should have {expected}")]
    Bytes {
        /// How many there are.
        got: u64,
        /// How many there should be.
        expected: u64,
    },
    /// They are others.
    #[error("the parts are not what was sent: their BLAKE3 differs")]
    Digest,
}

/// Cuts a payload, and says what there is to say of it.
pub fn cut(payload: &Bytes) -> (InParts, Vec<Bytes>) {
    let starts = (0..payload.len()).step_by(PART_BYTES_MAX);
    let parts: Vec<Bytes> =
        starts.map(|start| payload.slice(start..payload.len().min(start + PART_BYTES_MAX))).collect();
    let said = InParts {
        count: u32::try_from(parts.len()).unwrap_or(u32::MAX),
        bytes: payload.len() as u64,
        digest: *blake3::hash(payload).as_bytes(),
    };
    (said, parts)
}

/// Puts parts together, in order, and checks the whole.
///
/// # Errors
/// When they are not what was said of them.
pub fn join(said: &InParts, parts: impl IntoIterator<Item = Bytes>) -> Result<Bytes, PartsError> {
    let capacity = usize::try_from(said.bytes).unwrap_or_default();
    let mut payload = BytesMut::with_capacity(capacity.min(said.count as usize * PART_BYTES_MAX));
    parts.into_iter().for_each(|part| payload.extend_from_slice(&part));
    if payload.len() as u64 != said.bytes {
        return Err(PartsError::Bytes { got: payload.len() as u64, expected: said.bytes });
    }
    if blake3::hash(&payload).as_bytes() != &said.digest {
        return Err(PartsError::Digest);
    }
    Ok(payload.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_cut_is_joined_and_nothing_else() {
        let payload: Bytes =
            (0..PART_BYTES_MAX * 2 + 5).map(|n| u8::try_from(n % 251).expect("it is small")).collect();
        let (said, parts) = cut(&payload);
        assert_eq!((said.count, said.bytes, said.check()), (3, payload.len() as u64, Ok(())));
        assert_eq!(join(&said, parts.clone()), Ok(payload));
        let swapped = [parts[1].clone(), parts[0].clone(), parts[2].clone()];
        assert_eq!(join(&said, swapped), Err(PartsError::Digest));
        let lost = parts[..2].to_vec();
        assert!(matches!(join(&said, lost), Err(PartsError::Bytes { .. })));
    }

    #[test]
    fn what_is_said_of_a_payload_reads_back() {
        let (said, _) = cut(&Bytes::from_static(b"payload"));
        let info = PartsInfo::from(said);
        assert_eq!(InParts::try_from(&info), Ok(said));
        assert!(InParts::try_from(&PartsInfo { digest: "xyz".to_owned(), ..info.clone() }).is_err());
        // As JSON has it, and as those write it who know one kind of number only.
        let text = serde_json::to_string(&info).expect("it is JSON");
        let floats = text.replace("\"count\":1,\"bytes\":7,", "\"count\":1.0,\"bytes\":7.0,");
        assert_ne!(text, floats);
        assert_eq!(serde_json::from_str::<PartsInfo>(&floats).expect("it is the same"), info);
    }
}
