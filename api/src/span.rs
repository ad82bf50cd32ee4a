//! Lengths of time as people write them: `250ms`, `30s`, `5m`, `2h`, `7d`, or a plain number of seconds.

use core::fmt;
use core::str::FromStr;
use std::time::Duration;

use raftwork_kernel::Millis;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time, exact to the millisecond.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Millis);

/// Text that is not a length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a length of time; write 250ms, 30s, 5m, 2h or 7d")]
pub struct ParseSpanError {
    text: String,
}

/// Units and their length in milliseconds.
const UNITS: [(&str, u32); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl FromStr for Span {
    type Err = ParseSpanError;

    fn from_str(text: &str) -> Result<Self, ParseSpanError> {
        let error = || ParseSpanError { text: text.chars().take(32).collect() };
        let trimmed = text.trim();
        let digits = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(digits);
        let unit = if unit.is_empty() { "s" } else { unit.trim() };
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(error)?;
        let number: f64 = number.parse().map_err(|_| error())?;
        from_f64(number * f64::from(*scale)).ok_or_else(error)
    }
}

/// Milliseconds out of a float, if it is a sane length (under 1,000 years).
fn from_f64(ms: f64) -> Option<Span> {
    const LIMIT: f64 = 1000.0 * 366.0 * 86_400_000.0;
    if !(0.0..=LIMIT).contains(&ms) {
        return None;
    }
    Some(Span(Millis(Duration::from_secs_f64(ms.round() / 1000.0).as_millis().try_into().ok()?)))
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.0;
        let whole = |scale: u32| ms >= scale.into() && ms.is_multiple_of(scale.into());
        let unit = UNITS.iter().rev().find(|(_, scale)| whole(*scale));
        let (name, scale) = unit.unwrap_or(&UNITS[0]);
        write!(f, "{}{name}", ms / u64::from(*scale))
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        Self::from_millis(span.0.0)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SpanVisitor)
    }
}

struct SpanVisitor;

impl Visitor<'_> for SpanVisitor {
    type Value = Span;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a length of time such as \"30s\", or a number of seconds")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Span, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<Span, E> {
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        self.visit_f64(seconds.into())
    }

    fn visit_i64<E: serde::de::Error>(self, seconds: i64) -> Result<Span, E> {
        let seconds = i32::try_from(seconds)
            .map_err(|_| E::custom(format!("{seconds} seconds is no length of time")))?;
        self.visit_f64(seconds.into())
    }

    fn visit_f64<E: serde::de::Error>(self, seconds: f64) -> Result<Span, E> {
        from_f64(seconds * 1000.0)
            .ok_or_else(|| E::custom(format!("{seconds} seconds is not a sane length of time")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_numbers_are_read() {
        for (text, ms) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("1.5", 1_500),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("7d", 604_800_000),
        ] {
            assert_eq!(text.parse(), Ok(Span(Millis(ms))), "{text}");
        }
        assert_eq!(serde_json::from_str::<Span>("0.25").unwrap(), Span(Millis(250)));
        assert_eq!(serde_json::from_str::<Span>("\"30s\"").unwrap(), Span(Millis(30_000)));
    }

    #[test]
    fn the_shortest_text_is_written() {
        for (ms, text) in [(0, "0ms"), (250, "250ms"), (30_000, "30s"), (90_000, "90s"), (300_000, "5m")] {
            assert_eq!(Span(Millis(ms)).to_string(), text);
        }
    }

    #[test]
    fn nonsense_is_refused_with_an_example() {
        for text in ["", "soon", "-1s", "1y", "1e99h"] {
            assert!(text.parse::<Span>().unwrap_err().to_string().contains("write 250ms"), "{text}");
        }
    }
}
