use super::support::{pictures, run, templates};
use crate::media::{Error, poster};

#[test]
fn a_key_frame_becomes_a_jpeg_of_the_source_s_shape() {
    let flv = pictures("640x360", "30", 15, "-bf 2");
    let track = flv.video(640, 360, Some(30.0));
    let format = track.format.video().unwrap();
    let picture = poster::jpeg(format, &flv.packets[0], 180, &templates()).unwrap();
    let arguments = "-v error -f image2pipe -i pipe:0 -show_entries stream=codec_name,width,height -of csv=p=0";
    assert_eq!(String::from_utf8(run("ffprobe", arguments, &picture)).unwrap().trim(), "mjpeg,320,180");
}

#[test]
fn what_is_no_key_frame_gives_no_picture() {
    let flv = pictures("640x360", "30", 15, "-bf 0");
    let track = flv.video(640, 360, Some(30.0));
    let mut format = track.format.video().unwrap().clone();
    let mut packet = flv.packets[0].clone();
    packet.data = bytes::Bytes::from_static(b"\0\0\0\x05hello");
    assert!(matches!(poster::jpeg(&format, &packet, 180, &templates()), Err(Error::Pipeline(_))));
    (format.width, format.height) = (65_535, 65_535);
    assert!(matches!(poster::jpeg(&format, &flv.packets[0], 180, &templates()), Err(Error::Pipeline(_))));
}
