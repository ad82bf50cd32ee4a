//! Payloads of a decoded value: slices of the bytes that it was decoded from, where they can be, and copies otherwise.
//!
//! Serde hands a field no context, so what is being decoded is noted for the thread. That is all it is used for: whether
//! a payload is a slice or a copy makes no difference to its value.

use core::cell::RefCell;
use core::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use crate::ids::TaskId;

/// Payloads below this are copied: that costs less than another owner of the source.
const SLICE_BYTES_MIN: usize = 64;

thread_local! {
    /// What this thread decodes; empty: something that cannot be shared.
    static SOURCE: RefCell<Bytes> = const { RefCell::new(Bytes::new()) };
}

/// Runs `decode`, whose payloads may be slices of `source`.
pub(crate) fn sharing<T>(source: &Bytes, decode: impl FnOnce() -> T) -> T {
    /// Puts back what was there, also when `decode` panics.
    struct Restore(Bytes);

    impl Drop for Restore {
        fn drop(&mut self) {
            SOURCE.set(core::mem::take(&mut self.0));
        }
    }

    let _restore = Restore(SOURCE.replace(source.clone()));
    decode()
}

fn slice_or_copy(payload: &[u8]) -> Bytes {
    if payload.len() < SLICE_BYTES_MIN {
        return Bytes::copy_from_slice(payload);
    }
    SOURCE.with_borrow(|source| slice(source, payload)).unwrap_or_else(|| Bytes::copy_from_slice(payload))
}

/// The part of `source` that `payload` is, if it is one.
fn slice(source: &Bytes, payload: &[u8]) -> Option<Bytes> {
    let start = payload.as_ptr().addr().checked_sub(source.as_ptr().addr())?;
    let end = start.checked_add(payload.len())?;
    (end <= source.len()).then(|| source.slice(start..end))
}

/// For a field with one payload.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    Payload::deserialize(deserializer).map(|Payload(bytes)| bytes)
}

/// For the items of a submit.
pub(crate) fn deserialize_items<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<(TaskId, Bytes)>, D::Error> {
    let items = Vec::<(TaskId, Payload)>::deserialize(deserializer)?;
    Ok(items.into_iter().map(|(id, Payload(bytes))| (id, bytes)).collect())
}

/// For a list of payloads.
pub(crate) fn deserialize_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Bytes>, D::Error> {
    let payloads = Vec::<Payload>::deserialize(deserializer)?;
    Ok(payloads.into_iter().map(|Payload(bytes)| bytes).collect())
}

struct Payload(Bytes);

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(PayloadVisitor).map(Self)
    }
}

struct PayloadVisitor;

impl<'de> Visitor<'de> for PayloadVisitor {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_borrowed_bytes<E: Error>(self, payload: &'de [u8]) -> Result<Bytes, E> {
        Ok(slice_or_copy(payload))
    }

    fn visit_bytes<E: Error>(self, payload: &[u8]) -> Result<Bytes, E> {
        Ok(Bytes::copy_from_slice(payload))
    }

    fn visit_byte_buf<E: Error>(self, payload: Vec<u8>) -> Result<Bytes, E> {
        Ok(payload.into())
    }

    /// As text formats write bytes.
    fn visit_seq<A: SeqAccess<'de>>(self, mut bytes: A) -> Result<Bytes, A::Error> {
        let mut payload = Vec::new();
        while let Some(byte) = bytes.next_element()? {
            payload.push(byte);
        }
        Ok(payload.into())
    }
}
