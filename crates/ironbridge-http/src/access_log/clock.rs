//! Local time as access logs spell it.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::{Timestamp, tz::TimeZone};

/// Spells times, and remembers the last second: most requests of a busy server share it.
#[derive(Debug)]
pub struct Clock {
    zone: TimeZone,
    second: Option<u64>,
    stamp: Stamp,
}

/// One second, spelled.
#[derive(Debug, Default)]
pub(super) struct Stamp {
    /// `10/Oct/2000:13:55:36 -0700`, as the Common Log Format has it.
    pub(super) clf: String,
    /// `2000-10-10T13:55:36` (RFC 3339), where a fraction can follow.
    pub(super) date_time: String,
    /// `-07:00`.
    pub(super) offset: String,
}

impl Clock {
    /// A clock for the zone that `TZ`, or else the system, names now. UTC where neither can be read.
    pub fn local() -> Self {
        Self::new(TimeZone::system())
    }

    pub(super) fn new(zone: TimeZone) -> Self {
        Self { zone, second: None, stamp: Stamp::default() }
    }

    /// The spelling of a time's second. Times that no calendar of ours has are spelled as the nearest it has.
    pub(super) fn stamp(&mut self, time: SystemTime) -> &Stamp {
        let second = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if self.second != Some(second) {
            self.stamp = spell(&self.zone, second);
            self.second = Some(second);
        }
        &self.stamp
    }
}

fn spell(zone: &TimeZone, second: u64) -> Stamp {
    let time = i64::try_from(second).ok().and_then(|second| Timestamp::from_second(second).ok());
    // The last day of the calendar can lie beyond it in some zones; nobody will see it.
    let time = time.unwrap_or(Timestamp::MAX);
    let offset = zone.to_offset(time);
    let local = offset.to_datetime(time);
    let minutes = offset.seconds() / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    let (hours, minutes) = (minutes.abs() / 60, minutes.abs() % 60);
    let (year, month, day) = (local.year(), local.month(), local.day());
    let clock = format!("{:02}:{:02}:{:02}", local.hour(), local.minute(), local.second());
    let name = usize::try_from(month - 1).ok().and_then(|index| MONTHS.get(index)).unwrap_or(&MONTHS[0]);
    Stamp {
        clf: format!("{day:02}/{name}/{year:04}:{clock} {sign}{hours:02}{minutes:02}"),
        date_time: format!("{year:04}-{month:02}-{day:02}T{clock}"),
        offset: format!("{sign}{hours:02}:{minutes:02}"),
    }
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn spelled(zone: &str, seconds: u64) -> [String; 3] {
        let mut clock = Clock::new(TimeZone::posix(zone).expect("the test's own zone is valid"));
        let stamp = clock.stamp(UNIX_EPOCH + Duration::from_secs(seconds));
        [stamp.clf.clone(), stamp.date_time.clone(), stamp.offset.clone()]
    }

    #[test]
    fn the_example_of_the_common_log_format_comes_out() {
        let expected = ["10/Oct/2000:13:55:36 -0700", "2000-10-10T13:55:36", "-07:00"];
        assert_eq!(spelled("PDT7", 971_211_336), expected);
    }

    #[test]
    fn offsets_of_half_hours_keep_their_sign() {
        assert_eq!(spelled("AAA-5:30", 0)[0], "01/Jan/1970:05:30:00 +0530");
        assert_eq!(spelled("AAA0:30", 3600)[0], "01/Jan/1970:00:30:00 -0030");
        assert_eq!(spelled("UTC0", 951_782_400)[0], "29/Feb/2000:00:00:00 +0000");
    }

    #[test]
    fn summer_time_begins_while_the_clock_runs() {
        let mut clock = Clock::new(TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a valid zone"));
        let switch = UNIX_EPOCH + Duration::from_secs(1_774_746_000);
        assert_eq!(clock.stamp(switch - Duration::from_secs(1)).clf, "29/Mar/2026:01:59:59 +0100");
        assert_eq!(clock.stamp(switch).clf, "29/Mar/2026:03:00:00 +0200");
    }

    #[test]
    fn times_off_the_calendar_do_no_harm() {
        let mut clock = Clock::new(TimeZone::UTC);
        assert_eq!(clock.stamp(UNIX_EPOCH - Duration::from_secs(9)).clf, "01/Jan/1970:00:00:00 +0000");
        let far = UNIX_EPOCH.checked_add(Duration::from_secs(i64::MAX as u64));
        assert!(clock.stamp(far.expect("SystemTime reaches that far")).clf.starts_with("3"));
    }

    proptest! {
        #[test]
        fn the_remembered_second_never_shows_for_another(times in prop::collection::vec(0u64..200, 1..40)) {
            let mut clock = Clock::new(TimeZone::UTC);
            for tenths in times {
                let stamp = clock.stamp(UNIX_EPOCH + Duration::from_millis(tenths * 100));
                let second = tenths / 10;
                prop_assert_eq!(&stamp.date_time, &format!("1970-01-01T00:00:{second:02}"));
            }
        }
    }
}
