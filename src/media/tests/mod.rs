//! Real media made by ffmpeg goes in; what comes out is compared with the source and read by ffmpeg.

mod audio;
mod codecs;
mod direct;
mod file;
mod ladder;
mod opus;
mod poster;
mod scale;
pub(crate) mod support;
mod tap;
