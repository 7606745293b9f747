//! Configuration → parts wired together → run → drain. The only room that sees everything.

mod captioning;
pub mod cli;
mod commands;
pub mod config;
pub mod demo;
mod doors;
mod hearing;
mod languages;
mod live;
mod logs;
mod metrics;
pub mod models;
mod pipelines;
mod present;
mod second_pass;
mod server;
mod speech;
mod transcript;
