//! Lengths of time as people write them: `250ms`, `30s`, `5m`, `2h`, `7d`, or a plain number of seconds.

use core::fmt;
use core::str::FromStr;
use std::time::Duration;

use raftwork_kernel::Millis;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A length of time, exact to the millisecond.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Millis);

/// Text that is not a length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a length of time; write 250ms, 30s, 5m, 2h or 7d")]
pub struct ParseSpanError {
    text: String,
}

/// Units, their length in milliseconds, and the digits of the largest whole number of each: any has less than
/// [`BELOW`] then.
const UNITS: [(&str, u32, usize); 5] =
    [("ms", 1, 12), ("s", 1_000, 9), ("m", 60_000, 7), ("h", 3_600_000, 5), ("d", 86_400_000, 4)];
/// No length of time is as long as this (31 years): in milliseconds.
const BELOW: f64 = 1e12;
/// What is read, as a schema says it: [`UNITS`], and at most three digits after the point.
const PATTERN: &str = r"^(\d{1,12}(\.\d{1,3})? ?ms|\d{1,9}(\.\d{1,3})?( ?s)?|\d{1,7}(\.\d{1,3})? ?m|\d{1,5}(\.\d{1,3})? ?h|\d{1,4}(\.\d{1,3})? ?d)$";

impl FromStr for Span {
    type Err = ParseSpanError;

    fn from_str(text: &str) -> Result<Self, ParseSpanError> {
        let error = || ParseSpanError { text: text.chars().take(32).collect() };
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = if unit.is_empty() { "s" } else { unit.strip_prefix(' ').unwrap_or(unit) };
        let (_, scale, most) = UNITS.iter().find(|(name, ..)| *name == unit).ok_or_else(error)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        if !(1..=*most).contains(&whole.len()) || !(1..=3).contains(&fraction.len()) {
            return Err(error());
        }
        let number: f64 = number.parse().map_err(|_| error())?;
        from_f64(number * f64::from(*scale)).ok_or_else(error)
    }
}

/// Milliseconds out of a float, if it is a sane length.
fn from_f64(ms: f64) -> Option<Span> {
    if !(0.0..BELOW).contains(&ms) {
        return None;
    }
    Some(Span(Millis(Duration::from_secs_f64(ms.round() / 1000.0).as_millis().try_into().ok()?)))
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.0;
        let whole = |scale: u32| ms >= scale.into() && ms.is_multiple_of(scale.into());
        let unit = UNITS.iter().rev().find(|(_, scale, _)| whole(*scale));
        let (name, scale, _) = unit.unwrap_or(&UNITS[0]);
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

impl PartialSchema for Span {
    fn schema() -> RefOr<Schema> {
        text_or_seconds("A length of time", PATTERN.to_owned(), 0.0)
    }
}

impl ToSchema for Span {}

/// Schema of a length of time that is longer than nothing.
pub(crate) struct Positive;

/// What is no length of time, but nothing.
const NOTHING: &str = r"(?!0+(\.0+)? ?[smhd]?$|0+(\.\d+)? ?ms$)";

impl PartialSchema for Positive {
    fn schema() -> RefOr<Schema> {
        let pattern = PATTERN.replacen('^', &format!("^{NOTHING}"), 1);
        text_or_seconds("A length of time, longer than nothing", pattern, 0.001)
    }
}

impl ToSchema for Positive {}

/// Schema of a length of time in an address, where everything is text.
pub struct SpanText;

impl PartialSchema for SpanText {
    fn schema() -> RefOr<Schema> {
        let example = ObjectBuilder::new().examples(["30s"]);
        example.schema_type(Type::String).pattern(Some(PATTERN)).into()
    }
}

impl ToSchema for SpanText {}

fn text_or_seconds(what: &str, pattern: String, least: f64) -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern));
    let seconds =
        ObjectBuilder::new().schema_type(Type::Number).minimum(Some(least)).maximum(Some(999_999_999));
    OneOfBuilder::new()
        .description(Some(format!("{what}: `250ms`, `30s`, `5m`, `2h` or `7d`, or a number of seconds")))
        .item(text)
        .item(seconds)
        .examples(["30s"])
        .into()
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
        for text in ["", "soon", "-1s", "1y", "1e99h", "1.s", ".5s", "1  s", " 1s", "12345d"] {
            assert!(text.parse::<Span>().unwrap_err().to_string().contains("write 250ms"), "{text}");
        }
    }
}
