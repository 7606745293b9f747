//! Configuration → parts wired together → run → drain. The only room that sees everything.

pub mod config;
pub mod models;
