//! The whole server as its own process, with the real programs that publish, watch and break it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/browser.rs"]
mod browser;
#[path = "../support/captions.rs"]
mod captions;
#[path = "../support/enhanced.rs"]
mod ertmp;
#[path = "../support/film.rs"]
mod film;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/tcp_proxy.rs"]
mod tcp_proxy;
#[path = "../support/strict.rs"]
#[allow(dead_code, reason = "other tests look at more of the report")]
mod strict;

mod absence;
mod backup;
mod accurate;
mod blackout;
mod changes;
mod command_line;
mod crowd;
mod edge;
mod enhanced;
mod estimates;
mod faults;
mod hostile;
mod main_job;
mod models;
mod operations;
mod pages;
mod pauses;
mod players;
mod quality;
mod refusals;
mod rewind;
mod rtc;
mod rtsp;
mod sound;
mod sources;
mod step;
mod tls;
mod studio;
mod validator;
mod viewers;
mod web_players;
mod whep;
mod whip;
