//! What RTSP brings comes out of HLS as it went in.

use std::process::{Command, Stdio};

use crate::support::{Publisher, Server, ffprobe};

/// A channel of its own for each encoder, whose H.265 comes out under the name of its profile and level.
fn check_h265(server: &Server, channel: &str, publisher: impl FnOnce(&str) -> Command) {
    let key = server.channel(channel, &[]);
    let mut command =
        publisher(&format!("rtsp://{channel}:{key}@{}/publish/{channel}", server.rtsp.trim_start_matches("rtsp://")));
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let _publisher = Publisher(child);
    let playlist = server.playlist(channel);
    let url = format!("{}/live/{channel}/index.m3u8", server.http);
    let entries = "stream=codec_name,profile,level,width,height:packet=dts_time,pts_time";
    let seen = ffprobe(&url, &["-select_streams", "v", "-read_intervals", "%+4", "-show_entries", entries]);
    let stream = &seen["streams"][0];
    assert_eq!((&stream["codec_name"], &stream["width"]), (&"hevc".into(), &320.into()), "{stream}");
    // ISO 14496-15 §E.3: profile 1 and what it is compatible with, tier and level, constraints.
    assert!(stream["profile"] == "Main", "{stream}");
    let codecs = format!("hvc1.1.6.L{}.9", stream["level"]);
    assert!(playlist.contains(&codecs), "{codecs} in {playlist}");
    let packets = seen["packets"].as_array().unwrap();
    let reordered = packets.iter().filter(|packet| packet["dts_time"] != packet["pts_time"]).count();
    assert!(packets.len() > 50 && reordered > 20, "{} {reordered}", packets.len());
    let decoded = Command::new("ffmpeg")
        .args(["-v", "error", "-i", &url, "-map", "0:v", "-t", "3", "-f", "null", "-"])
        .output()
        .unwrap();
    let complaints = String::from_utf8(decoded.stderr).unwrap();
    assert!(decoded.status.success() && !complaints.contains("hevc"), "{complaints}");
}

#[test]
fn h265_with_reordered_pictures_comes_out_under_its_name() {
    let server = Server::start(&[("AMPHI_LADDER__ENABLED", "false"), ("AMPHI_CAPTIONS__ENABLED", "false")]);
    for transport in ["tcp", "udp"] {
        check_h265(&server, transport, |url| {
            let mut command = Command::new("ffmpeg");
            command.args(["-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-re"]);
            command.args(["-f", "lavfi", "-i", "sine", "-c:a", "aac", "-c:v", "libx265", "-preset", "ultrafast"]);
            command.args(["-x265-params", "log-level=none:keyint=50:bframes=3:b-pyramid=1", "-pix_fmt", "yuv420p"]);
            command.args(["-rtsp_transport", transport, "-f", "rtsp", url]);
            command
        });
    }
    check_h265(&server, "gstreamer", |url| {
        let pipeline = format!(
            "rtspclientsink name=sink protocols=tcp location={url} \
             videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=180,framerate=25/1 ! \
             x265enc speed-preset=ultrafast key-int-max=50 option-string=bframes=3 ! h265parse ! sink. \
             audiotestsrc is-live=true ! audio/x-raw,rate=48000 ! avenc_aac ! aacparse ! sink."
        );
        let mut command = Command::new("gst-launch-1.0");
        command.arg("-q").args(pipeline.split_whitespace());
        command
    });
}
