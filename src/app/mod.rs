//! Configuration, parts wired together, run, drain.

pub mod demo;
