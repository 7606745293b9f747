//! One file a command.

pub(super) mod channel;
pub(super) mod check;
pub(super) mod demo;
pub(super) mod evaluate;
pub(super) mod models;
pub(super) mod serve;
pub(super) mod transcribe;
pub(super) mod translate;
