//! The Date header (RFC 9110 section 6.6.1), made once a second.

use std::{
    cell::RefCell,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Appends `Date: ... CRLF` for the present second.
pub fn append_line(out: &mut Vec<u8>) {
    let now = match SECOND.load(Ordering::Relaxed) {
        0 => present_second(),
        second => second,
    };
    LINE.with_borrow_mut(|(second, line)| {
        if *second != now {
            *second = now;
            *line = format!("Date: {}\r\n", httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(now)))
                .into_bytes();
        }
        out.extend_from_slice(line);
    });
}

/// Looks at the clock on behalf of all responses, so that not each one has to. Whoever calls this once goes on, several
/// times a second.
pub fn tick() {
    SECOND.store(present_second(), Ordering::Relaxed);
}

fn present_second() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

/// Seconds since 1970 at the last tick; 0: there was none yet.
static SECOND: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static LINE: RefCell<(u64, Vec<u8>)> = const { RefCell::new((u64::MAX, Vec::new())) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_an_imf_fixdate_of_now() {
        for _ in 0..2 {
            let mut line = Vec::new();
            append_line(&mut line);
            assert_is_now(line);
            tick();
        }
    }

    fn assert_is_now(line: Vec<u8>) {
        let text = String::from_utf8(line).unwrap();
        let date = text.strip_prefix("Date: ").and_then(|rest| rest.strip_suffix("\r\n")).unwrap();
        let parsed = httpdate::parse_http_date(date).unwrap();
        assert!(SystemTime::now().duration_since(parsed).unwrap() < Duration::from_secs(3));
        assert!(date.ends_with(" GMT"));
    }
}
