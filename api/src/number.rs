//! Whole numbers in JSON: to JSON, and to the schemas made for it, `7.0` is one as well; and their bounds are those that a
//! schema can say, which knows signed numbers alone.

use core::fmt;
use core::marker::PhantomData;

use raftwork_kernel::limits::ATTEMPTS_MAX;
use raftwork_kernel::{LeaseRef, RetryPolicy, Token};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use crate::functions::Retry;
use crate::leases::Lease;

/// A number that requests carry.
pub(crate) trait Number: Sized {
    /// The largest one.
    const MAX: u64;

    fn of(number: u64) -> Option<Self>;
}

macro_rules! number {
    ($($kind:ty: $max:expr),*) => {$(
        impl Number for $kind {
            const MAX: u64 = $max;

            fn of(number: u64) -> Option<Self> {
                if number > <Self as Number>::MAX { None } else { Self::try_from(number).ok() }
            }
        }
    )*};
}

number!(u8: 0xff, u16: 0xffff, u32: 0x7fff_ffff, u64: 0x7fff_ffff_ffff_ffff);

impl Number for Token {
    const MAX: u64 = u64::MAX >> 1;

    fn of(number: u64) -> Option<Self> {
        u64::of(number).map(Self)
    }
}

struct NumberVisitor<T>(PhantomData<T>);

impl<T: Number> Visitor<'_> for NumberVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from 0 to {}", T::MAX)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        T::of(number).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Unsigned(number), &self))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        // Above 2^53 a float does not say which whole number it is.
        let whole = number.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&number);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole, and within bounds"
        )]
        let found = if whole { T::of(number as u64) } else { None };
        found.ok_or_else(|| E::invalid_value(serde::de::Unexpected::Float(number), &self))
    }
}

/// For a field with a number.
pub(crate) fn number<'de, D: Deserializer<'de>, T: Number>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(NumberVisitor(PhantomData))
}

/// For a field that may have one.
pub(crate) fn maybe<'de, D: Deserializer<'de>, T: Number>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(Option::<Whole<T>>::deserialize(deserializer)?.map(|Whole(number)| number))
}

struct Whole<T>(T);

impl<'de, T: Number> Deserialize<'de> for Whole<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number(deserializer).map(Self)
    }
}

/// For leases that a worker names.
pub(crate) fn leases<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<LeaseRef>, D::Error> {
    let leases = Vec::<Lease>::deserialize(deserializer)?;
    Ok(leases.into_iter().map(|Lease { task, token }| LeaseRef { task, token: Token(token) }).collect())
}

/// For a retry policy.
pub(crate) fn retry<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<RetryPolicy>, D::Error> {
    let retry = Option::<Retry>::deserialize(deserializer)?;
    if let Some(Retry { max_attempts, .. }) = retry.as_ref().filter(|retry| retry.max_attempts > ATTEMPTS_MAX)
    {
        return Err(D::Error::custom(format!("max_attempts = {max_attempts} is over {ATTEMPTS_MAX}")));
    }
    Ok(retry.map(|Retry { max_attempts, initial_ms, max_ms }| RetryPolicy {
        max_attempts,
        initial_ms,
        max_ms,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Number>(text: &str) -> Result<T, serde_json::Error> {
        serde_json::from_str::<Whole<T>>(text).map(|Whole(number)| number)
    }

    #[test]
    fn a_whole_number_may_have_a_point() {
        assert_eq!(read::<u8>("9").unwrap(), 9);
        assert_eq!(read::<u16>("65535.0").unwrap(), 65535);
        assert_eq!(read::<Token>("7.0").unwrap(), Token(7));
        assert_eq!(read::<Token>("9223372036854775807").unwrap(), Token(u64::MAX >> 1));
    }

    #[test]
    fn what_is_none_is_refused_with_the_bounds() {
        for text in ["-1", "0.5", "256", "1e300", "\"7\"", "null"] {
            let error = read::<u8>(text).unwrap_err().to_string();
            assert!(error.contains("a whole number from 0 to 255"), "{text}: {error}");
        }
        assert!(read::<Token>("9223372036854775808").is_err());
        assert!(read::<u32>("2147483648").is_err());
    }
}
