//! The trace of a run: a hash over everything that happened, and, if wanted, the text of it.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock;

/// A trace; a clone adds to the same one.
#[derive(Clone)]
pub(crate) struct Trace {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    hash: u64,
    events: u64,
    text: Option<Vec<String>>,
}

/// FNV-1a: two runs are the same or they are not, and nobody means to deceive.
const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

impl Trace {
    pub(crate) fn new(with_text: bool) -> Self {
        let text = with_text.then(Vec::new);
        Self { inner: Arc::new(Mutex::new(Inner { hash: FNV_START, events: 0, text })) }
    }

    /// Something happened now: numbers and bytes that say what.
    pub(crate) fn event(&self, what: &str, numbers: &[u64], bytes: &[u8]) {
        let now = clock::true_now();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.events += 1;
        inner.add(&now.to_le_bytes());
        inner.add(what.as_bytes());
        for number in numbers {
            inner.add(&number.to_le_bytes());
        }
        inner.add(bytes);
        let hash = inner.hash;
        if let Some(text) = &mut inner.text {
            let mut line = format!("{:>12.6} {what} {numbers:?}", seconds(now));
            let _ = write!(line, " {}B {hash:016x}", bytes.len());
            text.push(line);
        }
    }

    /// The same, in words.
    pub(crate) fn note(&self, words: &str) {
        self.event("note", &[], words.as_bytes());
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = inner.text.as_mut().and_then(|text| text.last_mut()) {
            let _ = write!(last, " {words}");
        }
    }

    /// Hash over everything so far, and the number of events.
    pub(crate) fn hash(&self) -> (u64, u64) {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        (inner.hash, inner.events)
    }

    pub(crate) fn take_text(&self) -> Vec<String> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.text.take().unwrap_or_default()
    }
}

/// Hash of some bytes.
pub(crate) fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut inner = Inner { hash: FNV_START, events: 0, text: None };
    inner.add(bytes);
    inner.hash
}

impl Inner {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people; a simulation lasts minutes")]
pub(crate) fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}
