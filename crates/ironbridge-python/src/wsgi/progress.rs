//! How far a response has come: waiting, started, sent. One transition function, no Python.

use super::heading::Heading;

/// A response's state (PEP 3333 "The start_response() Callable").
#[derive(Debug, Default)]
pub enum Progress {
    /// start_response has not been called.
    #[default]
    Waiting,
    /// It has been called; nothing is on the wire yet, so it may be called again with exc_info.
    Started(Heading),
    /// The head is on its way.
    Sent,
    /// The request is over.
    Finished,
}

/// Why start_response may not be called now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// Called before, and now without exc_info.
    #[error("start_response() was called a second time without exc_info")]
    Again,
    /// With exc_info, but the head is on the wire: the exception has to be raised again.
    #[error("the response has begun already")]
    TooLate,
    /// After the request.
    #[error("start_response() was called after the request had ended")]
    Over,
}

impl Progress {
    /// start_response is called with a heading.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(&mut self, heading: Heading, with_exc_info: bool) -> Result<(), StartError> {
        match self {
            Self::Waiting => {}
            Self::Started(_) if with_exc_info => {}
            Self::Started(_) => return Err(StartError::Again),
            Self::Sent if with_exc_info => return Err(StartError::TooLate),
            Self::Sent => return Err(StartError::Again),
            Self::Finished => return Err(StartError::Over),
        }
        *self = Self::Started(heading);
        Ok(())
    }

    /// The head goes out now: takes the heading. `None` when it has gone, or there is none.
    pub fn send(&mut self) -> Option<Heading> {
        if !matches!(self, Self::Started(_)) {
            return None;
        }
        match std::mem::replace(self, Self::Sent) {
            Self::Started(heading) => Some(heading),
            _ => unreachable!("just looked"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heading(status: &str) -> Heading {
        Heading::new(status.as_bytes(), 0).unwrap()
    }

    #[test]
    fn a_second_call_needs_exc_info_and_replaces_everything() {
        let mut progress = Progress::default();
        let mut first = heading("200 OK");
        first.push(b"X-Old", b"1").unwrap();
        progress.start(first, false).unwrap();
        assert_eq!(progress.start(heading("500 x"), false), Err(StartError::Again));
        progress.start(heading("500 x"), true).unwrap();
        let head = progress.send().unwrap().build();
        assert_eq!((head.status, head.lines.iter().count()), (500, 0));
    }

    #[test]
    fn nothing_can_be_said_after_the_head() {
        let mut progress = Progress::default();
        assert!(progress.send().is_none());
        progress.start(heading("200 OK"), false).unwrap();
        assert!(progress.send().is_some());
        assert!(progress.send().is_none());
        assert_eq!(progress.start(heading("500 x"), true), Err(StartError::TooLate));
        assert_eq!(progress.start(heading("500 x"), false), Err(StartError::Again));
        progress = Progress::Finished;
        assert_eq!(progress.start(heading("200 OK"), false), Err(StartError::Over));
    }
}
