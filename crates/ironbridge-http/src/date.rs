//! The Date header (RFC 9110 section 6.6.1), made once a second.

use std::{
    cell::RefCell,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Appends `Date: ... CRLF` for the present second.
pub fn append_line(out: &mut Vec<u8>) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    LINE.with_borrow_mut(|(second, line)| {
        if *second != now {
            *second = now;
            *line = format!("Date: {}\r\n", httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(now)))
                .into_bytes();
        }
        out.extend_from_slice(line);
    });
}

thread_local! {
    static LINE: RefCell<(u64, Vec<u8>)> = const { RefCell::new((u64::MAX, Vec::new())) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_an_imf_fixdate_of_now() {
        let mut line = Vec::new();
        append_line(&mut line);
        let text = String::from_utf8(line).unwrap();
        let date = text.strip_prefix("Date: ").and_then(|rest| rest.strip_suffix("\r\n")).unwrap();
        let parsed = httpdate::parse_http_date(date).unwrap();
        assert!(SystemTime::now().duration_since(parsed).unwrap() < Duration::from_secs(3));
        assert!(date.ends_with(" GMT"));
    }
}
