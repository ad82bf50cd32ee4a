//! Bytes on disk and on the wire: a format byte, then postcard. Never anybody else's derive output.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::payload;

/// The format that this build writes. A reader that meets a higher one must stop: skipping would make replicas differ.
pub const FORMAT: u8 = 1;

/// Bytes that this build cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not even a format byte.
    #[error("empty value where an encoded {what} was expected")]
    Empty {
        /// What was expected.
        what: &'static str,
    },
    /// Written by a newer build.
    #[error(
        "{what} has format {found}, and this build reads up to {FORMAT}: run the newer build on this data"
    )]
    Format {
        /// What was expected.
        what: &'static str,
        /// The format byte found.
        found: u8,
    },
    /// The format is known, and the value is followed by bytes that do not belong to it.
    #[error("damaged {what}: {left} bytes are left over")]
    LeftOver {
        /// What was expected.
        what: &'static str,
        /// How many bytes follow it.
        left: usize,
    },
    /// The format is known, but the bytes do not follow it.
    #[error("damaged {what}: {source}")]
    Damaged {
        /// What was expected.
        what: &'static str,
        /// What postcard says.
        source: postcard::Error,
    },
}

/// Room that an encoding begins with, in bytes: most rows fit, and nothing has to be moved while they are written.
const ROOM_BYTES: usize = 128;

/// Encodes `value` with the format byte in front.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ROOM_BYTES);
    bytes.push(FORMAT);
    postcard::to_extend(value, bytes).expect("kernel types always encode into memory")
}

/// Decodes what [`encode`] wrote.
///
/// # Errors
/// When the bytes are empty, of an unknown format, damaged, or too many; `what` names the value in the message.
pub fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, DecodeError> {
    match bytes.split_first() {
        None => Err(DecodeError::Empty { what }),
        Some((&FORMAT, body)) => decode_body(what, body),
        Some((&found, _)) => Err(DecodeError::Format { what, found }),
    }
}

/// Decodes what [`encode`] wrote. Arguments, results, code and output are slices of `bytes` and keep all of it alive.
///
/// # Errors
/// As [`decode`].
pub fn decode_shared<T: DeserializeOwned>(what: &'static str, bytes: &Bytes) -> Result<T, DecodeError> {
    payload::sharing(bytes, || decode(what, bytes))
}

/// Postcard itself would ignore what follows the value.
fn decode_body<T: DeserializeOwned>(what: &'static str, body: &[u8]) -> Result<T, DecodeError> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(DecodeError::LeftOver { what, left: rest.len() }),
        Err(source) => Err(DecodeError::Damaged { what, source }),
    }
}
