//! Times of the two standards, as FILETIME: 100-nanosecond units since 1601-01-01 UTC.

use super::bytes::Encoder;

const UNITS_PER_SECOND: u64 = 10_000_000;
const SECONDS_PER_DAY: u64 = 86_400;
/// Minutes of offset from UTC that ECMA-167 1/7.3.1 reads as "not specified".
const ZONE_UNSPECIFIED: i16 = -2047;

/// A moment in the Gregorian calendar, UTC.
struct Calendar {
    year: u64,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    /// 100-nanosecond units within the second.
    fraction: u32,
}

/// Days in the years 1601 up to, not including, `year`.
fn days_before_year(year: u64) -> Option<u64> {
    let years = year.checked_sub(1601)?;
    let leap_days = years.div_euclid(4).checked_sub(years.div_euclid(100))?.checked_add(years.div_euclid(400))?;
    years.checked_mul(365)?.checked_add(leap_days)
}

fn is_leap_year(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in_month(year: u64, month: u8) -> u64 {
    match month {
        2 if is_leap_year(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl Calendar {
    fn from_filetime(filetime: u64) -> Self {
        let seconds = filetime.div_euclid(UNITS_PER_SECOND);
        let mut days = seconds.div_euclid(SECONDS_PER_DAY);
        let of_day = seconds.rem_euclid(SECONDS_PER_DAY);
        // The longest Gregorian years give the first guess; a few too low at most, never too high.
        let mut year = days.div_euclid(366).saturating_add(1601);
        while days_before_year(year.saturating_add(1)).is_some_and(|before| before <= days) {
            let missing = days.saturating_sub(days_before_year(year).unwrap_or(0)).div_euclid(366).max(1);
            year = year.saturating_add(missing);
        }
        days = days.saturating_sub(days_before_year(year).unwrap_or(0));
        let mut month = 1_u8;
        while month < 12 && days >= days_in_month(year, month) {
            days = days.saturating_sub(days_in_month(year, month));
            month = month.saturating_add(1);
        }
        let small = |value: u64| u8::try_from(value).unwrap_or(u8::MAX);
        Self {
            year,
            month,
            day: small(days.saturating_add(1)),
            hour: small(of_day.div_euclid(3600)),
            minute: small(of_day.div_euclid(60).rem_euclid(60)),
            second: small(of_day.rem_euclid(60)),
            fraction: u32::try_from(filetime.rem_euclid(UNITS_PER_SECOND)).unwrap_or(0),
        }
    }

    /// `None` for a day that does not exist, or one outside of FILETIME. `zone` is the offset from UTC in minutes.
    fn to_filetime(&self, zone: i16) -> Option<u64> {
        let valid = (1..=12).contains(&self.month)
            && self.day >= 1
            && u64::from(self.day) <= days_in_month(self.year, self.month)
            && self.hour < 24
            && self.minute < 60
            && self.second < 60;
        if !valid {
            return None;
        }
        let mut days = days_before_year(self.year)?.checked_add(u64::from(self.day.checked_sub(1)?))?;
        for month in 1..self.month {
            days = days.checked_add(days_in_month(self.year, month))?;
        }
        let of_day = u64::from(self.hour)
            .checked_mul(60)?
            .checked_add(u64::from(self.minute))?
            .checked_mul(60)?
            .checked_add(u64::from(self.second))?;
        let seconds = days.checked_mul(SECONDS_PER_DAY)?.checked_add(of_day)?;
        let seconds = seconds.checked_add_signed(i64::from(zone).checked_mul(-60)?)?;
        seconds.checked_mul(UNITS_PER_SECOND)?.checked_add(u64::from(self.fraction))
    }
}

/// Reads an ECMA-167 timestamp (1/7.3), 12 bytes. `None` where it names no moment.
pub(crate) fn from_udf(bytes: &[u8]) -> Option<u64> {
    let &[zone_low, zone_high, year_low, year_high, month, day, hour, minute, second, centi, hundred_micro, micro] = bytes else {
        return None;
    };
    // Bits 0-11: the offset from UTC in minutes, signed. Bits 12-15: the type, 1 for a local time with an offset.
    let type_and_zone = u16::from_le_bytes([zone_low, zone_high]);
    let zone = i16::from_le_bytes((type_and_zone << 4).to_le_bytes()) >> 4;
    let local = type_and_zone >> 12 == 1 && zone != ZONE_UNSPECIFIED;
    let fraction = u32::from(centi.min(99))
        .saturating_mul(100_000)
        .saturating_add(u32::from(hundred_micro.min(99)).saturating_mul(1000))
        .saturating_add(u32::from(micro.min(99)).saturating_mul(10));
    let year = u64::try_from(i16::from_le_bytes([year_low, year_high])).ok()?;
    Calendar { year, month, day, hour, minute, second, fraction }.to_filetime(if local { zone } else { 0 })
}

/// Writes an ECMA-167 timestamp: local time with offset 0, in whole microseconds (the field's resolution).
pub(crate) fn put_udf(encoder: &mut Encoder, filetime: u64) {
    let time = Calendar::from_filetime(filetime);
    let two_digits = |divisor: u32| u8::try_from(time.fraction.checked_div(divisor).unwrap_or(0).rem_euclid(100)).unwrap_or(0);
    encoder
        .u16(0x1000) // 0: type 1 (local time), offset 0
        .u16(u16::try_from(time.year.min(9999)).unwrap_or(9999)) // 2: year, 1..9999
        .bytes(&[time.month, time.day, time.hour, time.minute, time.second]) // 4
        .bytes(&[two_digits(100_000), two_digits(1000), two_digits(10)]); // 9: 1/100 s, 100 µs, µs
}

/// Reads the 7-byte time of a directory record (ECMA-119 9.1.5). `None` where it names no moment (all zero: not recorded).
pub(crate) fn from_record(bytes: &[u8]) -> Option<u64> {
    let &[year, month, day, hour, minute, second, zone] = bytes else { return None };
    // Offset from UTC in 15-minute units, signed, -48..52.
    let zone = i16::from(i8::from_le_bytes([zone])).checked_mul(15)?;
    Calendar { year: u64::from(year).checked_add(1900)?, month, day, hour, minute, second, fraction: 0 }.to_filetime(zone)
}

/// Writes the 7-byte time of a directory record, UTC; years outside 1900..2155 are brought to the nearest.
pub(crate) fn put_record(encoder: &mut Encoder, filetime: u64) {
    let time = Calendar::from_filetime(filetime);
    let year = u8::try_from(time.year.saturating_sub(1900)).unwrap_or(u8::MAX);
    encoder.bytes(&[year, time.month, time.day, time.hour, time.minute, time.second, 0]);
}

/// Writes the 17-byte time of a volume descriptor (ECMA-119 8.4.26.1), UTC.
pub(crate) fn put_digits(encoder: &mut Encoder, filetime: u64) {
    let time = Calendar::from_filetime(filetime);
    let (year, centi) = (time.year.min(9999), time.fraction.div_euclid(100_000));
    let digits = format!("{year:04}{:02}{:02}{:02}{:02}{:02}{centi:02}", time.month, time.day, time.hour, time.minute, time.second);
    encoder.text(&digits, 16).u8(0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2024-02-29 12:34:56.789012 UTC, from `date -u -d … +%s` = 1709210096.
    const LEAP_DAY: u64 = (1_709_210_096 + 11_644_473_600) * 10_000_000 + 7_890_120;

    fn udf(filetime: u64) -> Vec<u8> {
        let mut encoder = Encoder::default();
        put_udf(&mut encoder, filetime);
        encoder.take()
    }

    #[test]
    fn known_moments() {
        assert_eq!(udf(LEAP_DAY), [0, 0x10, 0xE8, 0x07, 2, 29, 12, 34, 56, 78, 90, 12]);
        let mut encoder = Encoder::default();
        put_record(&mut encoder, LEAP_DAY);
        put_digits(&mut encoder, LEAP_DAY);
        assert_eq!(encoder.take(), b"\x7C\x02\x1D\x0C\x22\x38\x002024022912345678\0");
        // The same moment, told by a clock two hours ahead of UTC.
        assert_eq!(from_record(&[124, 2, 29, 14, 34, 56, 8]), Some(LEAP_DAY - 7_890_120));
        assert_eq!(from_udf(&[120, 0x10, 0xE8, 0x07, 2, 29, 14, 34, 56, 78, 90, 12]), Some(LEAP_DAY));
        assert_eq!(from_udf(&[0x88, 0x1F, 0xE8, 0x07, 2, 29, 10, 34, 56, 78, 90, 12]), Some(LEAP_DAY));
        assert_eq!(from_record(&[0; 7]), None);
        assert_eq!(from_record(&[123, 2, 29, 0, 0, 0, 0]), None);
    }

    proptest! {
        #[test]
        fn udf_times_round_trip(microseconds in 0_u64..250_000_000_000_000_000) {
            prop_assert_eq!(from_udf(&udf(microseconds * 10)), Some(microseconds * 10));
        }

        #[test]
        fn times_are_total(bytes in proptest::array::uniform12(any::<u8>()), filetime in any::<u64>()) {
            let _ = (from_udf(&bytes), from_record(&bytes[..7]), udf(filetime));
        }
    }
}
