//! How a Python application is called: WSGI, ASGI, and the older ASGI.

use clap::ValueEnum;

/// What an application speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interface {
    /// `application(environ, start_response)` (PEP 3333)
    Wsgi,
    /// `await application(scope, receive, send)` (ASGI 3.0)
    Asgi3,
    /// `await application(scope)(receive, send)` (ASGI 2.0)
    Asgi2,
}

impl Interface {
    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wsgi => "WSGI",
            Self::Asgi3 => "ASGI",
            Self::Asgi2 => "ASGI 2",
        }
    }
}

/// What the user says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum InterfaceChoice {
    /// The application is looked at.
    Auto,
    /// WSGI, whatever the application looks like.
    Wsgi,
    /// ASGI, likewise.
    Asgi,
}
