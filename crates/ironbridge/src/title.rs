//! What `ps` and `top` show for the processes of a server: its name, the role, the state.
//!
//! Linux shows the memory that the command line once lay in. It is written through `/proc/self/mem`, as any other file; where that
//! is not possible the command line stays.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};

/// A process's title. Made anew after each fork.
#[derive(Debug)]
pub(crate) struct Title {
    name: String,
    /// This process's memory, and where in it the command line lies.
    room: Option<(File, u64, usize)>,
}

impl Title {
    /// For this process, of a server that is called `name`.
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), room: find_room() }
    }

    /// Shows the role and what the process does: `ironbridge: worker, serving [shop.wsgi]`.
    pub(crate) fn show(&mut self, role: &str, state: &str) {
        let Some((memory, start, length)) = &mut self.room else { return };
        let mut text = format!("ironbridge: {role}, {state} [{}]", self.name).into_bytes();
        // One zero at the end at least: without it the kernel would go on reading.
        text.truncate(length.saturating_sub(1));
        text.resize(*length, 0);
        // At worst an older title stays.
        let _ = memory.seek(SeekFrom::Start(*start)).and_then(|_| memory.write_all(&text));
    }
}

fn find_room() -> Option<(File, u64, usize)> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (start, end) = command_line(&stat)?;
    let length = usize::try_from(end.checked_sub(start)?).ok().filter(|length| *length > 0)?;
    Some((File::options().write(true).open("/proc/self/mem").ok()?, start, length))
}

/// Where the command line lies, from `/proc/PID/stat` (proc(5): fields 48 and 49).
fn command_line(stat: &str) -> Option<(u64, u64)> {
    // The second field may hold anything, in parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(45);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_found_behind_any_name() {
        let fields: Vec<String> = (3..=52).map(|number| number.to_string()).collect();
        let stat = format!("7 (a) b) {}", fields.join(" "));
        assert_eq!(command_line(&stat), Some((48, 49)));
        assert_eq!(command_line("7 (a) S 1"), None);
        assert_eq!(command_line(""), None);
    }
}
