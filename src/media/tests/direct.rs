use tokio_util::sync::CancellationToken;

use super::support::{PATIENCE, annex_b, pictures, run, templates};
use crate::{
    media::direct,
    model::{Packet, TrackFormat},
    stream::{Event, Producer},
};

/// Pictures that decoder and encoder may hold.
const HELD: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn pictures_in_another_order_come_in_the_order_they_are_shown() {
    let source = pictures("640x360", "30", 30, "-bf 3");
    let (live, made) = (Producer::new(4096), Producer::new(4096));
    let mut reader = made.consume();
    let task = tokio::spawn(direct::run(live.consume(), made, templates(), CancellationToken::new()));
    live.announce(source.video(640, 360, Some(30.0)));
    let (mut formats, mut packets) = (Vec::new(), Vec::<Packet>::new());
    let mut sent = source.packets.iter();
    while packets.len() < source.packets.len() {
        // So many at a time that none waits a second, beyond which the encoder would drop them.
        let due = packets.len() + HELD - (source.packets.len() - sent.len());
        for packet in sent.by_ref().take(due) {
            live.write(packet.clone());
        }
        if sent.len() == 0 {
            live.away();
        }
        let event = tokio::time::timeout(PATIENCE, reader.recv()).await;
        match event.unwrap_or_else(|_| panic!("stopped behind {:?}", packets.last())).unwrap() {
            Event::Track(track) => formats.push(track.format.clone()),
            Event::Packet(packet) => packets.push(packet),
            other => panic!("{other:?}"),
        }
    }
    live.end();
    tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap().unwrap();
    let [TrackFormat::Video(format)] = &formats[..] else { panic!("{formats:?}") };
    assert_eq!((format.width, format.height), (640, 360));
    let (times, keys) = source.times();
    assert_eq!(packets.iter().map(|packet| packet.pts).collect::<Vec<_>>(), times);
    assert_eq!(packets.iter().filter(|packet| packet.key).map(|packet| packet.pts).collect::<Vec<_>>(), keys);
    assert!(packets.iter().all(|packet| packet.pts == packet.dts));
    let stream = annex_b(&format.config, packets.iter());
    let told = run(
        "ffprobe",
        "-v error -f h264 -i pipe:0 -count_frames -show_entries stream=has_b_frames,nb_read_frames -of csv=p=0",
        &stream,
    );
    assert_eq!(String::from_utf8(told).unwrap().trim(), format!("0,{}", packets.len()));
}
