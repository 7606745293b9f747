use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::*;
use crate::{
    model::TrackId,
    stream::{Event, Frame, Replaced},
};

const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

const MAIN: Claim = Claim { rank: Rank::Main, takeover: false, protocol: "rtmp", peer: PEER };
const BACKUP: Claim = Claim { rank: Rank::Backup, ..MAIN };

fn frame(millis: i64) -> Frame {
    Frame {
        track: TrackId::AUDIO,
        dts: millis * 1_000_000,
        pts: millis * 1_000_000,
        key: true,
        data: Bytes::from_static(b"x"),
    }
}

fn name() -> StreamName {
    StreamName::parse("maths").unwrap()
}

#[tokio::test]
async fn a_second_publisher_is_refused_and_a_returning_one_goes_on_behind_a_discontinuity() {
    let (registry, mut started) = Registry::new(Duration::from_secs(30));
    let now = Instant::now();
    let mut first = registry.publish(&name(), MAIN, now).unwrap();
    let live = started.recv().await.unwrap();
    let mut reader = live.producer.consume();
    first.write(frame(0), now).unwrap();
    first.write(frame(20), now).unwrap();
    assert_eq!(registry.publish(&name(), MAIN, now).unwrap_err(), Busy);
    first.finish();
    let later = now + Duration::from_secs(3);
    let mut second = registry.publish(&name(), MAIN, later).unwrap();
    second.write(frame(0), later).unwrap();
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(match reader.recv().await.unwrap() {
            Event::Packet(packet) => packet.dts.as_nanos() / 1_000_000,
            Event::Discontinuity => -1,
            Event::Away => -2,
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(seen, [0, 20, -2, -1, 3_000]);
}

#[test]
fn the_same_key_replaces_a_silent_connection_only() {
    let (registry, _started) = Registry::new(Duration::from_secs(30));
    let now = Instant::now();
    let mut old = registry.publish(&name(), MAIN, now).unwrap();
    assert!(registry.publish(&name(), MAIN, now + Duration::from_secs(1)).is_err());
    let new = registry.publish(&name(), MAIN, now + Duration::from_secs(2)).unwrap();
    assert_eq!(old.write(frame(0), now), Err(Replaced));
    drop(old);
    assert_eq!(registry.get(&name()).unwrap().state(), State::Live, "the old one's end is not the live's");
    drop(new);
}

#[tokio::test]
async fn the_live_ends_when_the_grace_runs_out() {
    let (registry, _started) = Registry::new(Duration::from_secs(30));
    let publication = registry.publish(&name(), MAIN, Instant::now()).unwrap();
    let live = registry.get(&name()).unwrap();
    let mut reader = live.producer.consume();
    drop(publication);
    registry.expire(Instant::now() + Duration::from_secs(29));
    assert!(registry.get(&name()).is_some());
    registry.expire(Instant::now() + Duration::from_secs(31));
    assert!(registry.get(&name()).is_none());
    assert!(matches!(reader.recv().await, Some(Event::Away)));
    assert!(reader.recv().await.is_none());
    assert_eq!(live.state(), State::Ended);
}

/// Media milliseconds of what a reader sees, `-1` a break, `-2` nobody is on the air.
async fn seen(reader: &mut crate::stream::Consumer, count: usize) -> Vec<i64> {
    let mut seen = Vec::new();
    while seen.len() < count {
        match reader.recv().await.unwrap() {
            Event::Packet(packet) => seen.push(packet.dts.as_nanos() / 1_000_000),
            Event::Discontinuity => seen.push(-1),
            Event::Away => seen.push(-2),
            Event::Track(_) => {}
            other => panic!("{other:?}"),
        }
    }
    seen
}

fn picture(millis: i64, key: bool) -> Frame {
    Frame { track: TrackId::VIDEO, key, ..frame(millis) }
}

fn show(publication: &mut Publication) {
    let format = crate::model::VideoFormat {
        codec: crate::model::VideoCodec::H264,
        config: Bytes::from_static(&[1; 7]),
        width: 640,
        height: 360,
        frame_rate: None,
    };
    publication.video(format, None);
}

fn after(now: Instant, millis: u64) -> Instant {
    now + Duration::from_millis(millis)
}

#[tokio::test]
async fn a_backup_stands_by_and_goes_on_with_a_key_frame_when_the_first_stops() {
    let (registry, mut started) = Registry::new(Duration::from_secs(30));
    let now = Instant::now();
    let mut main = registry.publish(&name(), MAIN, now).unwrap();
    let live = started.recv().await.unwrap();
    let mut reader = live.producer.consume();
    let mut backup = registry.publish(&name(), BACKUP, now).unwrap();
    assert_eq!(registry.publish(&name(), BACKUP, now).unwrap_err(), Busy, "there is one backup");
    show(&mut main);
    show(&mut backup);
    main.write(picture(0, true), now).unwrap();
    backup.write(picture(7_000, true), now).unwrap();
    assert!(backup.stands_by() && !main.stands_by());
    drop(main);
    assert!(matches!(live.state(), State::Reconnecting(_)));
    backup.write(picture(7_100, false), after(now, 100)).unwrap();
    backup.write(picture(7_200, true), after(now, 200)).unwrap();
    backup.write(picture(7_240, false), after(now, 240)).unwrap();
    assert_eq!(seen(&mut reader, 5).await, [0, -2, -1, 200, 240]);
    assert_eq!(live.state(), State::Live);
    let publishers = live.publishers();
    assert_eq!(publishers.len(), 1);
    assert_eq!((publishers[0].rank, publishers[0].on_air, publishers[0].tracks.len()), (Rank::Backup, true, 1));
    assert_eq!(publishers[0].key_interval, Some(Duration::from_millis(200)));
}

#[test]
fn a_grace_that_runs_out_waits_for_a_backups_key_frame() {
    let (registry, _started) = Registry::new(Duration::from_secs(1));
    let main = registry.publish(&name(), MAIN, Instant::now()).unwrap();
    let mut backup = registry.publish(&name(), BACKUP, Instant::now()).unwrap();
    show(&mut backup);
    drop(main);
    let live = registry.get(&name()).unwrap();
    let later = after(Instant::now(), 2_000);
    backup.write(picture(0, false), later).unwrap();
    registry.expire(later);
    assert!(matches!(live.state(), State::Reconnecting(_)));
    backup.write(picture(40, true), later).unwrap();
    assert_eq!(live.state(), State::Live);
    drop(backup);
    registry.expire(after(Instant::now(), 60_000));
    assert_eq!(live.state(), State::Ended);
}

#[tokio::test]
async fn a_backup_takes_over_from_a_silent_publisher_and_steps_back_when_told() {
    let (registry, mut started) = Registry::new(Duration::from_secs(30));
    let now = Instant::now();
    let mut main = registry.publish(&name(), MAIN, now).unwrap();
    let live = started.recv().await.unwrap();
    let mut reader = live.producer.consume();
    let mut backup = registry.publish(&name(), BACKUP, now).unwrap();
    main.write(frame(0), now).unwrap();
    backup.write(frame(0), after(now, 1_900)).unwrap();
    backup.write(frame(100), after(now, 2_000)).unwrap();
    main.write(frame(2_100), after(now, 2_100)).unwrap();
    assert!(main.stands_by(), "who comes back to life waits");
    live.call(Rank::Main).unwrap();
    backup.write(frame(300), after(now, 2_200)).unwrap();
    main.write(frame(2_300), after(now, 2_300)).unwrap();
    backup.write(frame(500), after(now, 2_400)).unwrap();
    main.write(frame(2_320), after(now, 2_400)).unwrap();
    assert_eq!(seen(&mut reader, 8).await, [0, -2, -1, 2_000, 2_200, -1, 2_300, 2_320]);
    drop(backup);
    assert_eq!(live.call(Rank::Backup), Err(crate::stream::NotThere(Rank::Backup)));
    assert_eq!(live.state(), State::Live, "a standby's end is nothing to viewers");
}

#[tokio::test]
async fn a_publisher_that_is_silent_for_long_is_missed_and_may_go_on() {
    let (registry, mut started) = Registry::new(Duration::from_secs(1));
    let now = Instant::now();
    let mut main = registry.publish(&name(), MAIN, now).unwrap();
    let live = started.recv().await.unwrap();
    let mut reader = live.producer.consume();
    show(&mut main);
    registry.expire(after(now, 9_000));
    assert_eq!(live.state(), State::Live, "it has not begun yet");
    main.write(picture(0, true), after(now, 9_000)).unwrap();
    registry.expire(after(now, 13_900));
    assert_eq!(live.state(), State::Live);
    for later in [14_000, 30_000] {
        registry.expire(after(now, later));
        assert!(matches!(live.state(), State::Reconnecting(_)), "its connection is still there");
    }
    main.write(picture(21_000, false), after(now, 30_000)).unwrap();
    main.write(picture(21_040, true), after(now, 30_040)).unwrap();
    assert_eq!(live.state(), State::Live);
    assert_eq!(seen(&mut reader, 4).await, [9_000, -2, -1, 30_040]);
    registry.expire(after(now, 36_000));
    drop(main);
    registry.expire(Instant::now() + Duration::from_millis(900));
    assert!(matches!(live.state(), State::Reconnecting(_)), "its grace begins when its connection ends");
    registry.expire(Instant::now() + Duration::from_millis(1_100));
    assert_eq!(live.state(), State::Ended);
}

#[tokio::test]
async fn what_a_path_held_up_sets_no_clock_ahead() {
    let (registry, mut started) = Registry::new(Duration::from_secs(1));
    let now = Instant::now();
    let mut main = registry.publish(&name(), MAIN, now).unwrap();
    let live = started.recv().await.unwrap();
    let mut reader = live.producer.consume();
    show(&mut main);
    main.write(picture(0, true), now).unwrap();
    registry.expire(after(now, 6_000));
    // In one go at 20 s, with a key frame every two seconds; then as it is captured.
    for nth in 1..50 {
        main.write(picture(nth * 400, nth % 5 == 0), after(now, 20_000 + nth as u64)).unwrap();
        assert!(matches!(live.state(), State::Reconnecting(_)), "{nth}");
    }
    for nth in 50..60 {
        main.write(picture(nth * 400, nth % 5 == 0), after(now, nth as u64 * 400 + 100)).unwrap();
    }
    assert_eq!(seen(&mut reader, 5).await, [0, -2, -1, 20_100, 20_500]);
}

#[tokio::test]
async fn one_that_stays_behind_goes_on_as_far_behind_as_it_is() {
    let (registry, mut started) = Registry::new(Duration::from_secs(1));
    let now = Instant::now();
    let mut main = registry.publish(&name(), MAIN, now).unwrap();
    let live = started.recv().await.unwrap();
    let mut reader = live.producer.consume();
    main.write(frame(0), now).unwrap();
    registry.expire(after(now, 6_000));
    // Its clock begins again.
    for nth in 0..60 {
        main.write(frame(nth * 20), after(now, 30_000 + nth as u64 * 20)).unwrap();
    }
    assert_eq!(seen(&mut reader, 4).await, [0, -2, -1, 31_000]);
}

#[test]
fn who_is_heard_again_late_has_time_for_a_key_frame() {
    let (registry, _started) = Registry::new(Duration::from_secs(1));
    let now = Instant::now();
    let mut main = registry.publish(&name(), MAIN, now).unwrap();
    show(&mut main);
    main.write(picture(0, true), now).unwrap();
    let live = registry.get(&name()).unwrap();
    for millis in (500..55_000).step_by(500) {
        registry.expire(after(now, millis));
    }
    for nth in 0..10 {
        main.write(picture(55_000 + nth * 500, nth == 9), after(now, 55_000 + nth as u64 * 500)).unwrap();
        registry.expire(after(now, 55_100 + nth as u64 * 500));
        assert_ne!(live.state(), State::Ended, "{nth}");
    }
    assert_eq!(live.state(), State::Live);
    registry.expire(after(now, 65_000));
    registry.expire(after(now, 119_400));
    assert!(matches!(live.state(), State::Reconnecting(_)), "it may go on yet");
    registry.expire(after(now, 119_600));
    assert_eq!(live.state(), State::Ended, "its connection stands, but it has been silent for a minute");
    assert_eq!(main.write(picture(120_000, true), after(now, 120_000)), Err(Replaced));
}

#[test]
fn a_channel_that_allows_it_has_its_publisher_replaced_at_once() {
    let (registry, _started) = Registry::new(Duration::from_secs(30));
    let now = Instant::now();
    let mut old = registry.publish(&name(), MAIN, now).unwrap();
    let mut new = registry.publish(&name(), Claim { takeover: true, ..MAIN }, now).unwrap();
    assert_eq!(old.write(frame(0), now), Err(Replaced));
    new.write(frame(0), now).unwrap();
}
