//! FILETIME: 100-nanosecond ticks since 1601-01-01T00:00:00Z, the time stamp of NTFS, WIM, hives and manifests.
//!
//! 1601 begins a 400-year cycle of the Gregorian calendar (146,097 days), so days split into cycle, century, four years and
//! year from the front. Leap seconds do not exist here, as in Windows and Unix.
//!
//! Source: MS-DTYP 2.3.3; RFC 3339 for the text form. No clock is read anywhere.

use std::fmt;
use std::str::FromStr;

/// Ticks in a second.
pub const TICKS_PER_SECOND: u64 = 10_000_000;
/// Seconds from 1601-01-01 to 1970-01-01.
const UNIX_EPOCH: u64 = 11_644_473_600;
const SECONDS_PER_DAY: u64 = 86_400;
const DAYS_PER_CYCLE: u64 = 146_097;
const DAYS_PER_CENTURY: u64 = 36_524;
const DAYS_PER_FOUR_YEARS: u64 = 1_461;
const FIRST_YEAR: u64 = 1601;
/// Days before each month of a year without a leap day.
const DAYS_BEFORE_MONTH: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

/// A point in time as Windows stores it. 0 stands for "never" in most structures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct FileTime(pub u64);

/// Why a text is no point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no time between 1601 and 60056: write it like 2024-01-31T12:00:00Z")]
pub struct FileTimeError {
    /// What was read.
    pub text: String,
}

impl FileTime {
    /// The time of a count of seconds since 1970; `None` when it lies outside what a FILETIME can say.
    #[must_use]
    pub fn from_unix_seconds(seconds: i64) -> Option<Self> {
        UNIX_EPOCH.checked_add_signed(seconds)?.checked_mul(TICKS_PER_SECOND).map(Self)
    }

    /// Whole seconds since 1970, rounded down.
    #[must_use]
    pub fn unix_seconds(self) -> i64 {
        (self.0 / TICKS_PER_SECOND).checked_signed_diff(UNIX_EPOCH).unwrap_or(i64::MAX)
    }

    /// The two 32-bit halves of `dwLowDateTime` and `dwHighDateTime`, low first.
    #[must_use]
    pub fn to_halves(self) -> (u32, u32) {
        ((self.0 & u64::from(u32::MAX)) as u32, (self.0 >> 32) as u32)
    }

    /// Joins the halves of [`FileTime::to_halves`].
    #[must_use]
    pub fn from_halves(low: u32, high: u32) -> Self {
        Self(u64::from(high) << 32 | u64::from(low))
    }

    fn from_parts(date: (u64, u64, u64), seconds_of_day: u64, offset_seconds: i64, fraction: u64) -> Option<Self> {
        days_since_1601(date)?
            .checked_mul(SECONDS_PER_DAY)?
            .checked_add(seconds_of_day)?
            .checked_add_signed(offset_seconds.checked_neg()?)?
            .checked_mul(TICKS_PER_SECOND)?
            .checked_add(fraction)
            .map(Self)
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// Days before `month` (1 to 12) in `year`.
fn days_before_month(year: u64, month: u64) -> Option<u64> {
    let index = usize::try_from(month.checked_sub(1)?).ok()?;
    let leap_day = u64::from(month > 2 && is_leap(year));
    DAYS_BEFORE_MONTH.get(index)?.checked_add(leap_day)
}

fn days_since_1601((year, month, day): (u64, u64, u64)) -> Option<u64> {
    let before = days_before_month(year, month)?;
    let month_end = days_before_month(year, month.checked_add(1)?).or(Some(365_u64.checked_add(u64::from(is_leap(year)))?))?;
    if day == 0 || day > month_end.checked_sub(before)? {
        return None;
    }
    let years = year.checked_sub(FIRST_YEAR)?;
    let leap_days = (years / 4).checked_sub(years / 100)?.checked_add(years / 400)?;
    years.checked_mul(365)?.checked_add(leap_days)?.checked_add(before)?.checked_add(day.checked_sub(1)?)
}

/// Year, month and day of a count of days since 1601-01-01.
fn date_of(days: u64) -> (u64, u64, u64) {
    let (cycles, rest) = (days / DAYS_PER_CYCLE, days % DAYS_PER_CYCLE);
    // The last century of a cycle, and the last year of four, have a day more than the others.
    let centuries = (rest / DAYS_PER_CENTURY).min(3);
    let rest = rest.saturating_sub(centuries.saturating_mul(DAYS_PER_CENTURY));
    let (fours, rest) = (rest / DAYS_PER_FOUR_YEARS, rest % DAYS_PER_FOUR_YEARS);
    let years = (rest / 365).min(3);
    let day_of_year = rest.saturating_sub(years.saturating_mul(365));
    let spans = [(cycles, 400), (centuries, 100), (fours, 4), (years, 1)];
    let year = spans.iter().fold(FIRST_YEAR, |year, (count, length)| year.saturating_add(count.saturating_mul(*length)));
    let starts = |month: &u64| days_before_month(year, *month).is_some_and(|start| start <= day_of_year);
    let month = (1..=12).rev().find(starts).unwrap_or(1);
    let day = day_of_year.saturating_sub(days_before_month(year, month).unwrap_or(0)).saturating_add(1);
    (year, month, day)
}

impl fmt::Display for FileTime {
    /// RFC 3339 in UTC, with seven decimals unless they are zero. Years above 9999 are written `+10000`, as ISO 8601 has it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, fraction) = (self.0 / TICKS_PER_SECOND, self.0 % TICKS_PER_SECOND);
        let (year, month, day) = date_of(seconds / SECONDS_PER_DAY);
        let (hour, minute, second) = (seconds % SECONDS_PER_DAY / 3600, seconds % 3600 / 60, seconds % 60);
        let sign = if year > 9999 { "+" } else { "" };
        write!(formatter, "{sign}{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if fraction != 0 {
            write!(formatter, ".{fraction:07}")?;
        }
        formatter.write_str("Z")
    }
}

impl FromStr for FileTime {
    type Err = FileTimeError;

    /// Reads RFC 3339 with any offset. Decimals beyond the seventh are dropped.
    fn from_str(text: &str) -> Result<Self, FileTimeError> {
        parse(text).ok_or_else(|| FileTimeError { text: text.chars().take(100).collect() })
    }
}

fn parse(text: &str) -> Option<FileTime> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let (year, month_and_day) = date.split_once('-')?;
    let (month, day) = month_and_day.split_once('-')?;
    let year = match year.strip_prefix('+') {
        Some(year) if year.len() == 5 => digits(year, 5)?,
        Some(_) => return None,
        None => digits(year, 4)?,
    };
    let date = (year, digits(month, 2)?, digits(day, 2)?);

    let zone_start = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at_checked(zone_start)?;
    let (clock, fraction) = match clock.split_once('.') {
        Some((clock, decimals)) => (clock, ticks(decimals)?),
        None => (clock, 0),
    };
    let mut parts = clock.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    let clock = seconds_of_day(hour, minute)?.checked_add(below(second, 60)?)?;
    if parts.next().is_some() {
        return None;
    }
    let offset = match zone.split_at_checked(1)? {
        ("Z" | "z", "") => 0,
        (sign, offset) => {
            let (hours, minutes) = offset.split_once(':')?;
            let seconds = i64::try_from(seconds_of_day(hours, minutes)?).ok()?;
            if sign == "-" { seconds.checked_neg()? } else { seconds }
        }
    };
    FileTime::from_parts(date, clock, offset, fraction)
}

fn seconds_of_day(hours: &str, minutes: &str) -> Option<u64> {
    below(hours, 24)?.checked_mul(3600)?.checked_add(below(minutes, 60)?.checked_mul(60)?)
}

fn below(text: &str, limit: u64) -> Option<u64> {
    digits(text, 2).filter(|number| *number < limit)
}

fn digits(text: &str, length: usize) -> Option<u64> {
    (text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Decimals of a second as ticks.
fn ticks(decimals: &str) -> Option<u64> {
    if decimals.is_empty() || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seven: String = decimals.chars().chain(std::iter::repeat('0')).take(7).collect();
    seven.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    #[test]
    fn public_values() {
        for (ticks, text) in [
            (0, "1601-01-01T00:00:00Z"),
            // MS-DTYP and every FILETIME article: the Unix epoch.
            (116_444_736_000_000_000, "1970-01-01T00:00:00Z"),
            (125_911_584_000_000_000, "2000-01-01T00:00:00Z"),
            (125_963_423_999_999_999, "2000-02-29T23:59:59.9999999Z"),
            (i64::MAX as u64, "+30828-09-14T02:48:05.4775807Z"),
            (u64::MAX, "+60056-05-28T05:36:10.9551615Z"),
        ] {
            assert_eq!(FileTime(ticks).to_string(), text);
            assert_eq!(text.parse::<FileTime>().unwrap(), FileTime(ticks));
        }
        assert_eq!(FileTime::from_unix_seconds(0), Some(FileTime(116_444_736_000_000_000)));
        assert_eq!(FileTime(0).unix_seconds(), -11_644_473_600);
        assert_eq!(FileTime(1).unix_seconds(), -11_644_473_600);
        assert_eq!(FileTime::from_unix_seconds(-11_644_473_601), None);
        assert_eq!(FileTime::from_unix_seconds(i64::MAX), None);
    }

    #[test]
    fn offsets_and_decimals() {
        let noon: FileTime = "2024-01-31T12:00:00Z".parse().unwrap();
        for same in ["2024-01-31T14:00:00+02:00", "2024-01-31t07:30:00.000-04:30", "2024-01-31 12:00:00.00000001z"] {
            assert_eq!(same.parse::<FileTime>().unwrap(), noon, "{same}");
        }
        for wrong in [
            "",
            "2024-01-31",
            "2024-01-31T12:00:00",
            "2023-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-00-01T00:00:00Z",
            "2024-04-31T00:00:00Z",
            "2024-12-32T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:60Z",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00ZZ",
            "2024-01-01T00:00:00+2:00",
            "1600-12-31T23:59:59Z",
            "1601-01-01T00:00:00+00:01",
            "+60057-01-01T00:00:00Z",
            "12024-01-31T12:00:00Z",
        ] {
            assert!(wrong.parse::<FileTime>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn oracle_date_agrees() {
        if !wimwright_testkit::oracles(&["date"]) {
            return;
        }
        let seconds: Vec<i64> = (0..400).map(|index| -11_644_473_600 + index * 655_555_555).collect();
        let list: String = seconds.iter().map(|seconds| format!("@{seconds}\n")).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        std::fs::write(&path, list).unwrap();
        let output = wimwright_testkit::run(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ", "-f"]).arg(&path));
        let said = String::from_utf8(output.stdout).unwrap();
        let ours: Vec<String> = seconds.iter().map(|seconds| FileTime::from_unix_seconds(*seconds).unwrap().to_string()).collect();
        assert_eq!(said.lines().collect::<Vec<_>>(), ours);
    }

    proptest! {
        #[test]
        fn every_value_round_trips(ticks: u64) {
            let time = FileTime(ticks);
            prop_assert_eq!(time.to_string().parse::<FileTime>().unwrap(), time);
            let (low, high) = time.to_halves();
            prop_assert_eq!(FileTime::from_halves(low, high), time);
            prop_assert_eq!(FileTime::from_unix_seconds(time.unix_seconds()).unwrap().0, ticks / TICKS_PER_SECOND * TICKS_PER_SECOND);
        }

        #[test]
        fn any_text_is_a_value_or_an_error(text in "[0-9T:.Z+-]{0,40}") {
            let _ = text.parse::<FileTime>();
        }
    }
}
