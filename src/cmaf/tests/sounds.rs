//! Further tracks of sound, each a rendition cut where the others are.

use super::{
    checker::{STRICT, check, check_lock_step},
    *,
};

/// Access units of a track of sound over so many seconds, with when each arrives: `ahead` milliseconds before its
/// time.
fn sound(id: TrackId, seconds: u32, ahead: f64) -> Vec<(f64, Packet)> {
    let count = seconds * 48_000 / 1024;
    let unit = |n: u32| f64::from(n) * 1024.0 / 48.0;
    (0..count).map(|n| (unit(n) - ahead, packet(id, unit(n), true))).collect()
}

fn further(nth: u8) -> Track {
    let id = TrackId::sound(nth).unwrap();
    Track { id, rendition: RenditionId::sound(nth), ..audio_track(48_000) }
}

/// Packages everything in the order in which it arrives.
fn package(tracks: &[Track], mut arriving: Vec<(f64, Packet)>) -> Vec<Vec<u64>> {
    arriving.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let (packager, out) = run(tracks, arriving.into_iter().map(|(_, packet)| packet));
    let renditions = check(&packager, &out, STRICT);
    assert_eq!(renditions.len(), tracks.len());
    check_lock_step(&renditions, 0.022);
    renditions.values().map(|rendition| rendition.segments().iter().map(|(msn, _)| *msn).collect()).collect()
}

#[test]
fn sounds_that_come_ahead_of_the_picture_wait_for_its_cuts() {
    let pictures = (0..250).map(|n| (f64::from(n) * 40.0, packet(TrackId::VIDEO, f64::from(n) * 40.0, n % 50 == 0)));
    let sounds = [(TrackId::AUDIO, 0.0), (TrackId::sound(1).unwrap(), 90.0), (TrackId::sound(7).unwrap(), -150.0)];
    let sounds = sounds.into_iter().flat_map(|(id, ahead)| sound(id, 10, ahead));
    let tracks = [video_track(TrackId::VIDEO, RenditionId::source()), audio_track(48_000), further(1), further(7)];
    for segments in package(&tracks, pictures.chain(sounds).collect()) {
        assert_eq!(segments, [0, 1, 2, 3, 4]);
    }
}

#[test]
fn without_a_picture_the_first_sound_cuts_the_others() {
    let sounds = [(TrackId::AUDIO, 0.0), (TrackId::sound(1).unwrap(), 90.0), (TrackId::sound(2).unwrap(), -90.0)];
    let sounds = sounds.into_iter().flat_map(|(id, ahead)| sound(id, 10, ahead)).collect();
    for segments in package(&[audio_track(48_000), further(1), further(2)], sounds) {
        assert_eq!(segments, [0, 1, 2, 3, 4]);
    }
}

#[test]
fn a_further_sound_that_stops_costs_nothing_but_itself() {
    let pictures = (0..250).map(|n| (f64::from(n) * 40.0, packet(TrackId::VIDEO, f64::from(n) * 40.0, n % 50 == 0)));
    let silent = TrackId::sound(1).unwrap();
    let sounds = sound(TrackId::AUDIO, 10, 0.0).into_iter().chain(sound(silent, 3, 0.0));
    let tracks = [video_track(TrackId::VIDEO, RenditionId::source()), audio_track(48_000), further(1)];
    let segments = package(&tracks, pictures.chain(sounds).collect());
    assert_eq!(segments.iter().map(Vec::len).collect::<Vec<_>>(), [5, 2, 5]);
}
