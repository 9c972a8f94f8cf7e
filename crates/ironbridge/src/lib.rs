//! Ironbridge: argv, files and environment become a running server.
