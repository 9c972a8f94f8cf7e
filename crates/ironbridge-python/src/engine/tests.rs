//! The engine with real threads and a model of an interpreter: one lock that only one thread holds at a time.
