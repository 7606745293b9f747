use gstreamer as gst;
use gstreamer_video::{VideoFrame, VideoFrameExt, VideoInfo};

use super::support::run;
use crate::media::Pipeline;

/// Planes of a 4:2:0 picture without what lies between their rows.
fn packed(sample: &gst::Sample) -> Vec<u8> {
    let info = VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
    let frame = VideoFrame::from_buffer_readable(sample.buffer_owned().unwrap(), &info).unwrap();
    let plane = |nth: u32| {
        let (width, rows) = (frame.comp_width(nth) as usize, frame.comp_height(nth) as usize);
        let stride = usize::try_from(frame.comp_stride(nth)).unwrap();
        let rows = frame.plane_data(nth).unwrap().chunks(stride).take(rows);
        rows.flat_map(move |row| row[..width].to_vec()).collect::<Vec<_>>()
    };
    (0..3).flat_map(plane).collect()
}

/// A picture as the element makes it of another size, and as ffmpeg does, by fields or whole.
fn scaled(from: (u32, u32), into: (u32, u32), interlaced: bool, fields: bool) -> (Vec<u8>, Vec<u8>) {
    let mode = if interlaced { "interleaved" } else { "progressive" };
    let caps = |(width, height): (u32, u32)| format!("video/x-raw,format=I420,width={width},height={height}");
    let sink = "appsink sync=false name";
    let pipeline = Pipeline::launch(&format!(
        "videotestsrc num-buffers=1 pattern=zone-plate kx2=20 ky2=20 ! {},interlace-mode={mode} ! tee name=picture \
         ! queue ! {sink}=given picture. ! queue ! amphiscale ! {} ! {sink}=made",
        caps(from),
        caps(into)
    ))
    .unwrap();
    pipeline.play().unwrap();
    let [given, made] = ["given", "made"].map(|name| packed(&pipeline.sink(name).unwrap().pull_sample().unwrap()));
    let arguments = format!(
        "-v error -f rawvideo -pix_fmt yuv420p -s {}x{} -i pipe:0 -vf scale={}:{}:flags=bilinear:interl={} \
         -f rawvideo pipe:1",
        from.0,
        from.1,
        into.0,
        into.1,
        u8::from(fields)
    );
    (made, run("ffmpeg", &arguments, &given))
}

#[test]
fn pictures_become_smaller_as_ffmpeg_makes_them() {
    crate::media::init().unwrap();
    for (from, into, interlaced) in [
        ((1280, 720), (854, 480), false),
        ((854, 480), (426, 240), false),
        // Odd sizes have half a sample of chroma more.
        ((853, 479), (426, 240), false),
        ((1920, 1080), (854, 480), true),
        // No two fields have the same rows of chroma: ffmpeg asked for them corrupts its memory.
        ((1920, 1080), (480, 270), true),
    ] {
        let fields = interlaced && into.1 % 4 == 0;
        let (made, expected) = scaled(from, into, interlaced, fields);
        assert_eq!(made.len(), expected.len(), "{from:?} to {into:?}");
        let apart = made.iter().zip(&expected).map(|(made, expected)| made.abs_diff(*expected)).max();
        assert!(apart <= Some(1), "{from:?} to {into:?}: {apart:?}");
    }
}
