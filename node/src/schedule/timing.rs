//! When schedules fire: calendars, time zones and spans, as pure functions of a schedule and a moment.
//!
//! Rules of a calendar are those of croner (OCPS; DST as Vixie's cron has it): a fixed time that a zone skips in spring is
//! fired for at the first moment after the gap, one that comes twice in autumn the first time; patterns with a wildcard go by real
//! time. The IANA data is compiled in, so that it is that of the build and not of the machine.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, Zoned};
use raftwork_kernel::{CatchUp, Schedule, Timing, WallTime};

/// How old a nominal time may be before `skip` leaves it out: longer than an election, shorter than anybody's patience.
pub(crate) const LATE_MAX: u64 = 60_000;

/// Text that is no time to fire at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TimingError {
    #[error("'{pattern}' is no cron pattern: {reason}")]
    Pattern { pattern: String, reason: String },
    #[error("'{zone}' is no time zone of the IANA data, as Europe/Berlin is")]
    Zone { zone: String },
    #[error("'{pattern}' never comes")]
    Never { pattern: String },
}

/// A timing that was read and makes sense.
#[derive(Debug, Clone)]
pub(crate) enum Calendar {
    Cron { cron: Box<Cron>, zone: TimeZone },
    Every { span: u64, from: u64 },
}

impl Calendar {
    /// Reads a timing; `made` is when its schedule was made.
    pub(crate) fn read(timing: &Timing, made: WallTime) -> Result<Self, TimingError> {
        match timing {
            Timing::Every { span, from } => {
                Ok(Self::Every { span: span.0.max(1), from: from.unwrap_or(made).0 })
            }
            Timing::Cron { pattern, zone } => {
                let zone = TimeZoneDatabase::bundled()
                    .get(zone)
                    .map_err(|_| TimingError::Zone { zone: zone.chars().take(64).collect() })?;
                Ok(Self::Cron { cron: Box::new(cron(pattern)?), zone })
            }
        }
    }

    /// The first nominal time after a moment; none if there is none.
    pub(crate) fn after(&self, moment: WallTime) -> Option<WallTime> {
        match self {
            Self::Every { span, from } => {
                let passed = moment.0.checked_sub(*from).map_or(0, |since| since / span + 1);
                Some(WallTime(from.checked_add(passed.checked_mul(*span)?)?))
            }
            Self::Cron { cron, zone } => wall(&cron.find_next_occurrence(&zoned(moment, zone)?, false).ok()?),
        }
    }

    /// The last nominal time that is not after a moment.
    fn until(&self, moment: WallTime) -> Option<WallTime> {
        match self {
            Self::Every { span, from } => {
                moment.0.checked_sub(*from).map(|since| WallTime(from + since / span * span))
            }
            Self::Cron { cron, zone } => {
                wall(&cron.find_previous_occurrence(&zoned(moment, zone)?, true).ok()?)
            }
        }
    }

    /// A moment as the schedule's zone writes it; spans need not begin with a second.
    pub(crate) fn show(&self, moment: WallTime) -> String {
        let utc = TimeZone::UTC;
        let (zone, form) = match self {
            Self::Cron { zone, .. } => (zone, "%Y-%m-%dT%H:%M:%S%:z"),
            Self::Every { .. } => (&utc, "%Y-%m-%dT%H:%M:%S%.3fZ"),
        };
        zoned(moment, zone).map_or_else(String::new, |zoned| zoned.strftime(form).to_string())
    }

    /// The nominal times to fire for, oldest first, out of those after `last` that have come; and the last one of these.
    /// None if none has come.
    pub(crate) fn due(&self, schedule: &Schedule, now: WallTime) -> Option<(WallTime, Vec<WallTime>)> {
        let latest = self.until(now).filter(|latest| *latest > schedule.last)?;
        let (most, oldest) = match schedule.spec.catch_up {
            CatchUp::Skip => (usize::MAX, WallTime(now.0.saturating_sub(LATE_MAX))),
            CatchUp::Latest => (1, WallTime(0)),
            CatchUp::All(most) => (usize::from(most), WallTime(0)),
        };
        let earlier = |moment: &WallTime| self.until(WallTime(moment.0.checked_sub(1)?));
        let back = core::iter::successors(Some(latest), earlier);
        let wanted = back.take_while(|nominal| *nominal > schedule.last && *nominal >= oldest).take(most);
        let mut nominal: Vec<WallTime> = wanted.collect();
        nominal.reverse();
        Some((latest, nominal))
    }
}

/// Five fields, or six with seconds in front, or a word such as `@daily`.
fn cron(pattern: &str) -> Result<Cron, TimingError> {
    let shown: String = pattern.chars().take(64).collect();
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
    let cron = parser
        .parse(pattern)
        .map_err(|error| TimingError::Pattern { pattern: shown.clone(), reason: error.to_string() })?;
    // The 31st of February.
    let start = Zoned::new(Timestamp::UNIX_EPOCH, TimeZone::UTC);
    if cron.find_next_occurrence(&start, true).is_err() {
        return Err(TimingError::Never { pattern: shown });
    }
    Ok(cron)
}

fn zoned(moment: WallTime, zone: &TimeZone) -> Option<Zoned> {
    let ms = i64::try_from(moment.0).ok()?;
    Some(Timestamp::from_millisecond(ms).ok()?.to_zoned(zone.clone()))
}

fn wall(zoned: &Zoned) -> Option<WallTime> {
    u64::try_from(zoned.timestamp().as_millisecond()).ok().map(WallTime)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use raftwork_kernel::{FunctionId, Millis, Overlap, Rules, ScheduleId, ScheduleSpec, TaskOptions};

    use super::*;

    fn at(text: &str) -> WallTime {
        WallTime(u64::try_from(text.parse::<Timestamp>().unwrap().as_millisecond()).unwrap())
    }

    fn calendar(pattern: &str, zone: &str) -> Calendar {
        let timing = Timing::Cron { pattern: pattern.to_owned(), zone: zone.to_owned() };
        Calendar::read(&timing, WallTime(0)).unwrap()
    }

    /// The next times after a moment, as the zone writes them.
    fn next(calendar: &Calendar, after: &str, count: usize) -> Vec<String> {
        let first = calendar.after(at(after));
        let times = core::iter::successors(first, |moment| calendar.after(*moment));
        times.take(count).map(|moment| calendar.show(moment)).collect()
    }

    #[test]
    fn a_calendar_goes_by_the_time_of_its_zone() {
        let mornings = calendar("30 9 * * MON-FRI", "Europe/Berlin");
        let expected =
            ["2026-10-23T09:30:00+02:00", "2026-10-26T09:30:00+01:00", "2026-10-27T09:30:00+01:00"];
        assert_eq!(next(&mornings, "2026-10-23T00:00:00Z", 3), expected);
        assert_eq!(
            next(&calendar("@daily", "UTC"), "2026-12-31T23:59:59Z", 1),
            ["2027-01-01T00:00:00+00:00"]
        );
        assert_eq!(
            next(&calendar("*/20 * * * * *", "UTC"), "2026-01-01T00:00:05Z", 1),
            ["2026-01-01T00:00:20+00:00"]
        );
    }

    #[test]
    fn a_time_that_a_zone_skips_comes_after_the_gap_and_one_that_comes_twice_once() {
        let nightly = calendar("30 2 * * *", "Europe/Berlin");
        let spring = next(&nightly, "2026-03-28T12:00:00Z", 2);
        assert_eq!(spring, ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]);
        let autumn = next(&nightly, "2026-10-24T12:00:00Z", 2);
        assert_eq!(autumn, ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]);
        // Every hour is every hour of real time.
        let hourly = next(&calendar("0 * * * *", "Europe/Berlin"), "2026-10-24T23:30:00Z", 3);
        assert_eq!(
            hourly,
            ["2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"]
        );
    }

    #[test]
    fn times_looked_up_backwards_are_those_looked_up_forwards() {
        for (pattern, zone) in [
            ("30 2 * * *", "Europe/Berlin"),
            ("*/15 * * * *", "America/New_York"),
            ("0 12 1 * *", "Asia/Kolkata"),
            ("15 0,1,2,3 * * SUN", "Australia/Lord_Howe"),
        ] {
            let calendar = calendar(pattern, zone);
            let mut moment = at("2026-03-01T00:00:00Z");
            for _ in 0..1_000 {
                let later = calendar.after(moment).unwrap();
                assert!(later > moment);
                assert_eq!(calendar.until(later), Some(later), "{pattern} {zone} {later:?}");
                let before = calendar.until(WallTime(later.0 - 1));
                assert!(
                    before.is_some_and(|before| before <= moment || before == moment),
                    "{pattern} {zone}"
                );
                moment = later;
            }
        }
    }

    #[test]
    fn a_span_is_counted_from_its_beginning() {
        let timing = |from| Timing::Every { span: Millis(90_000), from };
        let every = Calendar::read(&timing(None), WallTime(1_000)).unwrap();
        assert_eq!(every.after(WallTime(0)), Some(WallTime(1_000)));
        assert_eq!(every.after(WallTime(1_000)), Some(WallTime(91_000)));
        assert_eq!(
            (every.until(WallTime(999)), every.until(WallTime(91_000))),
            (None, Some(WallTime(91_000)))
        );
        let later = Calendar::read(&timing(Some(WallTime(500_000))), WallTime(1_000)).unwrap();
        assert_eq!(later.after(WallTime(7)), Some(WallTime(500_000)));
    }

    #[test]
    fn what_was_missed_is_caught_up_with_as_the_schedule_says() {
        let every = Calendar::Every { span: 10_000, from: 0 };
        let due = |catch_up, now| {
            every.due(&schedule(catch_up), WallTime(now)).map(|(until, nominal)| (until.0, nominal))
        };
        let times = |times: &[u64]| times.iter().map(|time| WallTime(*time)).collect::<Vec<_>>();
        assert_eq!(due(CatchUp::Latest, 1_009_999), None);
        assert_eq!(due(CatchUp::Latest, 1_045_000), Some((1_040_000, times(&[1_040_000]))));
        assert_eq!(due(CatchUp::All(2), 1_045_000), Some((1_040_000, times(&[1_030_000, 1_040_000]))));
        assert_eq!(due(CatchUp::All(9), 1_025_000), Some((1_020_000, times(&[1_010_000, 1_020_000]))));
        let minute: Vec<u64> = (0..6).map(|n| 1_150_000 + n * 10_000).collect();
        assert_eq!(due(CatchUp::Skip, 1_205_000), Some((1_200_000, times(&minute))));
        assert_eq!(due(CatchUp::Skip, 1_015_000), Some((1_010_000, times(&[1_010_000]))));
    }

    fn schedule(catch_up: CatchUp) -> Schedule {
        Schedule {
            id: ScheduleId(1),
            spec: ScheduleSpec {
                timing: Timing::Every { span: Millis(10_000), from: Some(WallTime(0)) },
                function: FunctionId::from_u128(1),
                args: Bytes::new(),
                options: TaskOptions::default(),
                rules: Rules::default(),
                catch_up,
                overlap: Overlap::Allow,
            },
            last: WallTime(1_000_000),
            paused: false,
            fired: 0,
            skipped: 0,
            made_wall: WallTime(0),
        }
    }

    #[test]
    fn text_that_is_no_time_is_named_in_the_error() {
        let error = |pattern: &str, zone: &str| {
            let timing = Timing::Cron { pattern: pattern.to_owned(), zone: zone.to_owned() };
            Calendar::read(&timing, WallTime(0)).unwrap_err().to_string()
        };
        assert!(error("61 * * * *", "UTC").starts_with("'61 * * * *' is no cron pattern"));
        assert!(error("soon", "UTC").contains("is no cron pattern"));
        assert!(error("0 0 31 2 *", "UTC").contains("never comes"));
        assert!(error("0 0 * * *", "Mars/Olympus").contains("is no time zone"));
    }
}
