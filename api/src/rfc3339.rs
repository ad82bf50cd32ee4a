//! Moments as text: RFC 3339, to the millisecond. What is written is in UTC; what is read has any offset.

use raftwork_kernel::WallTime;

const DAY_MS: u64 = 86_400_000;

/// As in `2026-11-24T08:09:02.125Z`.
pub fn format(moment: WallTime) -> String {
    let (days, ms) = (moment.0 / DAY_MS, moment.0 % DAY_MS);
    let (year, month, day) = civil(days);
    let (hour, minute, second, milli) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// Year, month and day of a number of days since 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date
/// algorithms", `civil_from_days`, for days that are not negative).
const fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

/// A moment out of `2026-11-24T09:09:02.125+01:00`; what is finer than a millisecond is dropped. `None` for what is no such
/// text, for dates that do not exist, and for those before 1970.
pub fn parse(text: &str) -> Option<WallTime> {
    let (date, rest) = text.split_at_checked(10)?;
    let [year, month, day] = numbers(date, b'-', [4, 2, 2])?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (time, rest) = rest.split_at_checked(8)?;
    let [hour, minute, second] = numbers(time, b':', [2, 2, 2])?;
    let (milli, offset) = fraction(rest)?;
    let (ahead, offset_ms) = offset_of(offset)?;
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = days(year, month, day)?;
    let ms = days * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1000 + milli;
    if ahead { ms.checked_sub(offset_ms) } else { Some(ms + offset_ms) }.map(WallTime)
}

/// Three numbers of so many digits each, with a sign between them.
fn numbers(text: &str, between: u8, digits: [usize; 3]) -> Option<[u64; 3]> {
    let mut parts = text.split(char::from(between));
    let numbers = digits.map(|len| number(parts.next()?, len));
    let [one, two, three] = numbers;
    parts.next().is_none().then_some([one?, two?, three?])
}

fn number(text: &str, len: usize) -> Option<u64> {
    (text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Milliseconds of `.125`, or none, and what follows.
fn fraction(text: &str) -> Option<(u64, &str)> {
    let Some(rest) = text.strip_prefix('.') else { return Some((0, text)) };
    let end = rest.find(|letter: char| !letter.is_ascii_digit())?;
    let (digits, rest) = rest.split_at(end);
    let padded: String = digits.chars().chain("000".chars()).take(3).collect();
    (!digits.is_empty()).then_some((padded.parse().ok()?, rest))
}

/// Whether the clock there is ahead of UTC, and by how many milliseconds.
fn offset_of(text: &str) -> Option<(bool, u64)> {
    if matches!(text, "Z" | "z") {
        return Some((true, 0));
    }
    let (sign, rest) = text.split_at_checked(1)?;
    let (hour, minute) = rest.split_once(':')?;
    let (hour, minute) = (number(hour, 2)?, number(minute, 2)?);
    let is_sign = matches!(sign, "+" | "-");
    (is_sign && hour < 24 && minute < 60).then_some((sign == "+", (hour * 60 + minute) * 60_000))
}

/// Days from 1970-01-01 to a date that exists (Howard Hinnant, as above, `days_from_civil`).
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let shifted = if month > 2 { month - 3 } else { (month + 9) % 12 };
    let years = if month > 2 { year } else { year.checked_sub(1)? };
    let day_of_era = |year: u64| year * 365 + year / 4 - year / 100;
    let before = years / 400 * 146_097 + day_of_era(years % 400) + (153 * shifted + 2) / 5;
    let days = (before + day).checked_sub(719_469)?;
    // A date that does not exist comes back as another one.
    (civil(days) == (year, month, day)).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_164_799_999, "2024-02-28T23:59:59.999Z"),
            (1_798_675_200_000, "2026-12-31T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(format(WallTime(ms)), text);
            assert_eq!(parse(text), Some(WallTime(ms)), "{text}");
        }
    }

    #[test]
    fn a_moment_has_many_texts() {
        let moment = 1_798_675_200_000 - 6 * 3_600_000 + 250;
        for text in [
            "2026-12-30T18:00:00.25Z",
            "2026-12-30t18:00:00.250999z",
            "2026-12-30 19:00:00.250+01:00",
            "2026-12-31T05:30:00.250+11:30",
            "2026-12-30T10:00:00.250-08:00",
        ] {
            assert_eq!(parse(text), Some(WallTime(moment)), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "2026-12-30",
            "2026-12-30T18:00:00",
            "2026-12-30T18:00Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+01:00",
            "2026-12-30T18:00:00.Z",
            "2026-12-30T18:00:00+1:00",
            "2026-12-30T18:00:00+01:00 ",
            "+026-12-30T18:00:00Z",
            "\u{ff12}026-12-30T18:00:00Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
