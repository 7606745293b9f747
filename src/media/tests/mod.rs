//! Real media made by ffmpeg goes in; what comes out is compared with the source and read by ffmpeg.

mod audio;
mod codecs;
mod file;
mod ladder;
mod poster;
mod support;
mod tap;
