use std::time::Duration;

use bytes::Bytes;

use crate::{
    ingest::aac,
    model::{MediaTime, Packet, RenditionId, Track, TrackFormat, TrackId},
    still::{Floor, Sound},
};

const SECOND: TrackId = TrackId::sound(1).unwrap();

/// AAC-LC at 48 kHz (0x11) or 44.1 kHz (0x12), in stereo.
fn track(nth: u8, rate: u8) -> Track {
    let config = Bytes::copy_from_slice(&[rate, 0x90]);
    let format = TrackFormat::Audio(aac::parse_config(config).unwrap());
    let id = TrackId::sound(nth).unwrap();
    Track { id, rendition: RenditionId::sound(nth), format, bitrate: None, label: None }
}

/// A packet of 20 ms; what it holds says whose it is.
fn packet(id: TrackId, n: u32) -> Packet {
    let at = MediaTime::ZERO + Duration::from_millis(20) * n;
    Packet { track: id, pts: at, dts: at, key: true, data: Bytes::from(format!("{id:?}")) }
}

/// Everything that comes of tracks and packets that go by.
fn passed(floor: &mut Floor, tracks: &[Track], packets: impl IntoIterator<Item = Packet>) -> Vec<Sound> {
    let mut out = Vec::new();
    tracks.iter().for_each(|track| floor.track(track, &mut out));
    packets.into_iter().for_each(|packet| floor.packet(packet, &mut out));
    out
}

/// When packets of the second sound are decoded, in 20 ms, and whether they are the floor.
fn second(out: &[Sound]) -> Vec<(u32, bool)> {
    let packets = out.iter().filter_map(|sound| match sound {
        Sound::Packet(packet) if packet.track == SECOND => Some(packet),
        _ => None,
    });
    let nth = |packet: &Packet| packet.dts.since(MediaTime::ZERO).as_millis() as u32 / 20;
    packets.map(|packet| (nth(packet), packet.data == packet_of_the_first())).collect()
}

fn packet_of_the_first() -> Bytes {
    packet(TrackId::AUDIO, 0).data
}

/// The formats that the second sound was announced in.
fn formats(out: &[Sound]) -> Vec<&TrackFormat> {
    let tracks = out.iter().filter_map(|sound| match sound {
        Sound::Track(track) if track.id == SECOND => Some(&track.format),
        _ => None,
    });
    tracks.collect()
}

#[test]
fn a_sound_that_stops_goes_on_with_the_first_one_without_a_hole_and_returns() {
    let (first, own) = (track(0, 0x11), track(1, 0x12));
    let speaks = |n: &u32| *n < 100 || *n >= 300;
    let both = (0..400).flat_map(|n| {
        let its = speaks(&n).then(|| packet(SECOND, n));
        [Some(packet(TrackId::AUDIO, n)), its].into_iter().flatten()
    });
    let out = passed(&mut Floor::default(), &[first.clone(), own.clone()], both);
    let expected: Vec<_> = (0..400).map(|n| (n, !speaks(&n))).collect();
    // The first packet that could return finds its time taken: the floor was ahead of it.
    let expected: Vec<_> = expected.into_iter().map(|(n, floor)| (n, floor || n == 300)).collect();
    assert_eq!(second(&out), expected);
    assert_eq!(formats(&out), [&own.format, &first.format, &own.format]);
}

#[test]
fn a_publisher_without_it_is_heard_in_its_place_from_the_break_on() {
    let mut floor = Floor::default();
    let (first, own) = (track(0, 0x11), track(1, 0x12));
    let both = (0..100).flat_map(|n| [packet(SECOND, n), packet(TrackId::AUDIO, n)]);
    let before = passed(&mut floor, &[first.clone(), own.clone()], both);
    assert_eq!(second(&before), (0..100).map(|n| (n, false)).collect::<Vec<_>>());
    floor.clear();
    let other = track(0, 0x12);
    let out = passed(&mut floor, std::slice::from_ref(&other), (500..600).map(|n| packet(TrackId::AUDIO, n)));
    assert_eq!(second(&out), (500..600).map(|n| (n, true)).collect::<Vec<_>>());
    assert_eq!(formats(&out), [&other.format]);
    // And behind the next break it is the floor at once, in whatever format that comes.
    floor.clear();
    let out = passed(&mut floor, std::slice::from_ref(&first), (700..702).map(|n| packet(TrackId::AUDIO, n)));
    assert_eq!(second(&out), [(700, true), (701, true)]);
    assert_eq!(formats(&out), [&first.format]);
}

#[test]
fn sounds_that_come_a_little_apart_are_left_as_they_are() {
    let tracks = [track(0, 0x11), track(1, 0x11)];
    for apart in -14_i32..=14 {
        let mut packets: Vec<_> = (20..120)
            .flat_map(|n| [(n as i32, packet(TrackId::AUDIO, n)), (n as i32 + apart, packet(SECOND, n))])
            .collect();
        packets.sort_by_key(|(arrives, _)| *arrives);
        let out = passed(&mut Floor::default(), &tracks, packets.into_iter().map(|(_, packet)| packet));
        assert_eq!(second(&out), (20..120).map(|n| (n, false)).collect::<Vec<_>>(), "{apart}");
    }
}
