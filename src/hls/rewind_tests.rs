use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use super::{
    tests::{audio, part, settings},
    *,
};
use crate::model::{Init, LanguageTag, MediaTime, Part, RenditionId};

/// A disk that has every segment but these.
#[derive(Debug, Default)]
struct Disk(BTreeSet<u64>);

impl Shelf for Disk {
    fn segment(&self, _: &RenditionId, msn: u64) -> Option<(Volume, Extent)> {
        (!self.0.contains(&msn)).then_some((Volume::Recording(0), Extent { offset: msn * 100, length: 100 }))
    }

    fn init(&self, _: &RenditionId, version: u32) -> Option<Extent> {
        (version == 0).then_some(Extent { offset: 0, length: 7 })
    }

    fn file(&self, rendition: &RenditionId, volume: Volume) -> PathBuf {
        format!("{rendition}/{volume:?}").into()
    }
}

fn rewindable(minutes: u64, lost: impl IntoIterator<Item = u64>) -> Window {
    let shelf = Arc::new(Disk(lost.into_iter().collect()));
    let rewind = Some(Rewind { window: Duration::from_secs(60 * minutes), shelf });
    let mut window = Window::new(Settings { rewind, window: Duration::from_secs(36), ..settings() });
    window.init(audio());
    window
}

/// A segment as a playlist lists it.
#[derive(Debug, Clone, Default, PartialEq)]
struct Listed {
    gap: bool,
    discontinuity: bool,
    map: String,
    date: String,
    duration: String,
    uri: String,
}

/// A playlist as a client holds it.
#[derive(Debug, Clone, Default, PartialEq)]
struct Client {
    sequence: u64,
    discontinuities: u64,
    segments: Vec<Listed>,
}

impl Client {
    /// Reads a playlist, or merges an update into what it has (rfc8216bis §6.3.7).
    fn read(&self, text: &str) -> Self {
        let mut new = Self::default();
        let mut next = Listed::default();
        let number = |value: &str| value.parse::<u64>().unwrap();
        for line in text.lines() {
            let (tag, value) = line.split_once(':').unwrap_or((line, ""));
            match tag {
                "#EXT-X-MEDIA-SEQUENCE" => new.sequence = number(value),
                "#EXT-X-DISCONTINUITY-SEQUENCE" => new.discontinuities = number(value),
                "#EXT-X-SKIP" => {
                    let skipped = number(value.strip_prefix("SKIPPED-SEGMENTS=").unwrap()) as usize;
                    let from = (new.sequence - self.sequence) as usize;
                    new.segments = self.segments[from..from + skipped].to_vec();
                    next.map = new.segments.last().map(|last| last.map.clone()).unwrap_or_default();
                }
                "#EXT-X-MAP" => next.map = value.to_owned(),
                "#EXT-X-GAP" => next.gap = true,
                "#EXT-X-DISCONTINUITY" => next.discontinuity = true,
                "#EXT-X-PROGRAM-DATE-TIME" => next.date = value.to_owned(),
                "#EXTINF" => next.duration = value.to_owned(),
                _ if line.starts_with('/') => {
                    let map = next.map.clone();
                    new.segments.push(std::mem::replace(&mut next, Listed { map, ..Listed::default() }));
                    new.segments.last_mut().unwrap().uri = line.to_owned();
                }
                _ => {}
            }
        }
        new
    }

    fn seconds(&self) -> f64 {
        self.segments.iter().map(|segment| segment.duration.trim_end_matches(',').parse::<f64>().unwrap()).sum()
    }
}

fn text(window: &mut Window, id: &RenditionId, skip: bool) -> String {
    match window.playlist(id, Reach::Back, Directives { skip, ..Default::default() }) {
        Answer::Ready(playlist) => String::from_utf8(playlist.text().to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn players_can_go_back_as_far_as_is_set_while_those_at_the_edge_have_small_playlists() {
    let id = RenditionId::audio();
    let mut window = rewindable(10, []);
    for number in 0..8 * 1_000 {
        window.part(part(&id, number));
    }
    let back = text(&mut window, &id, false);
    let client = Client::default().read(&back);
    assert!((600.0..602.5).contains(&client.seconds()), "{}", client.seconds());
    assert_eq!(window.reach(), Some(Duration::from_secs_f64(client.seconds())));
    assert_eq!(client.sequence + client.segments.len() as u64, 1_000, "up to the edge");
    assert!(back.contains("#EXT-X-PART:") && back.contains("#EXT-X-PRELOAD-HINT:"), "as the other one there");
    m3u8_rs::parse_media_playlist_res(back.as_bytes()).unwrap();

    let Answer::Ready(edge) = window.playlist(&id, Reach::Edge, Directives::default()) else { panic!() };
    assert!(edge.text().len() < 10_000 && back.len() > 20_000, "{} and {}", edge.text().len(), back.len());
    let update = text(&mut window, &id, true);
    assert!(update.len() < edge.text().len() + 100, "an update is as small: {}", update.len());
    let compressed = window.playlist(&id, Reach::Back, Directives { skip: true, ..Default::default() });
    assert!(matches!(compressed, Answer::Ready(update) if update.gzip().len() < 1_500));

    // What the playlist lists lies on the disk; what has just left it too.
    let oldest = client.sequence;
    let file = PathBuf::from("audio/Recording(0)");
    for msn in [oldest, oldest - 1, oldest - 290] {
        assert_eq!(window.segment(&id, msn), Answer::NotFound);
        let there = Back::File(file.clone(), Extent { offset: msn * 100, length: 100 });
        assert_eq!(window.back(&id, msn), Some(there), "{msn}");
    }
    for gone in [0, oldest - 310, u64::MAX] {
        assert_eq!(window.back(&id, gone), None, "{gone}");
    }
    assert_eq!(window.init_back(&id, 0), Some(Back::File(file, Extent { offset: 0, length: 7 })));
    assert_eq!(window.init_back(&id, 1), None);
}

#[test]
fn updates_keep_a_player_where_a_new_one_is_whatever_was_lost_on_the_way() {
    let id = RenditionId::audio();
    let lost = [3, 40, 41, 42, 77, 90, 160];
    let mut window = rewindable(2, lost);
    let mut client = Client::default();
    let (mut updates, mut init) = (0, 0);
    for number in 0..8 * 200 {
        let discontinuity = number % (8 * 23) == 8;
        if discontinuity {
            init += 1;
            window.init(Init { version: init, ..audio() });
        }
        window.part(Part { discontinuity, init, ..part(&id, number) });
        // A player that is up to twelve seconds behind may ask for an update.
        if number < 16 || number % 47 != 0 {
            continue;
        }
        let update = text(&mut window, &id, true);
        updates += usize::from(update.contains("#EXT-X-SKIP:"));
        client = client.read(&update);
        let full = Client::default().read(&text(&mut window, &id, false));
        assert_eq!(client, full, "at part {number}:\n{update}");
        for (segment, msn) in full.segments.iter().zip(full.sequence..) {
            assert!(segment.uri.contains(&format!("/seg-{msn}.m4s?")), "{segment:?} is {msn}");
            assert!(!segment.gap, "what was listed becomes no gap: {segment:?} at part {number}");
            assert!(window.segment(&id, msn) != Answer::NotFound || window.back(&id, msn).is_some(), "{msn} is there");
            let passed = if msn == 0 { 0 } else { (msn - 1) / 23 + 1 };
            assert!(segment.map.contains(&format!("/init-{passed}.mp4")), "{segment:?} is {msn}");
        }
        let before = full.sequence.checked_sub(2).map_or(0, |behind| behind / 23 + 1);
        assert_eq!(full.discontinuities, before, "at {}", full.sequence);
    }
    assert!(updates > 20, "{updates}");
    assert_eq!(window.back(&id, 160), None, "what was lost is not there");
}

#[test]
fn what_is_kept_is_bounded_by_the_window() {
    let id = RenditionId::audio();
    let mut window = rewindable(1, []);
    for number in 0..8 * 5_000 {
        window.part(part(&id, number));
    }
    let found = (0..5_000).filter(|msn| window.back(&id, *msn).is_some()).count();
    assert!((30..60).contains(&found), "{found} segments behind those in memory");
    // A rendition that comes back after a long loss begins anew.
    for number in 8 * 8_000..8 * 8_060 {
        window.part(part(&id, number));
    }
    let client = Client::default().read(&text(&mut window, &id, false));
    assert!(client.sequence >= 8_000 && window.back(&id, 4_970).is_none(), "{}", client.sequence);
}

#[test]
fn captions_of_back_then_are_those_of_the_track() {
    let id = RenditionId::captions(&LanguageTag::parse("en").unwrap());
    // The recorder has no captions.
    let mut window = rewindable(10, 0..1_000);
    for number in 0..8 * 100 {
        window.part(part(&id, number));
    }
    let playlist = text(&mut window, &id, false);
    assert!(playlist.contains("/seg-0.vtt?") && !playlist.contains("GAP") && !playlist.contains("MAP"), "{playlist}");
    let expected = Back::Captions { start: MediaTime::from_millis(14_000), duration: Duration::from_secs(2) };
    assert_eq!(window.back(&id, 7), Some(expected));
}

#[test]
fn where_nobody_may_go_back_there_is_no_such_playlist() {
    let id = RenditionId::audio();
    let mut window = Window::new(settings());
    window.init(audio());
    for number in 0..8 * 100 {
        window.part(part(&id, number));
    }
    assert!(matches!(window.playlist(&id, Reach::Back, Directives::default()), Answer::NotFound));
    assert_eq!((window.reach(), window.back(&id, 0), window.init_back(&id, 0)), (None, None, None));
}

#[test]
fn a_playlist_of_playlists_leads_to_those_that_go_back() {
    let id = RenditionId::audio();
    let mut window = rewindable(10, []);
    for number in 0..16 {
        window.part(part(&id, number));
    }
    let mut at = |reach| {
        let playlist = window.multivariant(reach, std::time::Instant::now()).unwrap();
        String::from_utf8(playlist.text().to_vec()).unwrap()
    };
    let (edge, back) = (at(Reach::Edge), at(Reach::Back));
    assert!(edge.ends_with("/live/maths/audio/stream.m3u8\n"), "{edge}");
    assert_eq!(edge.replace("/stream.m3u8", "/rewind.m3u8"), back);
    window.part(part(&RenditionId::source(), 0));
    let reports = text(&mut window, &id, false);
    assert!(reports.contains("#EXT-X-RENDITION-REPORT:URI=\"/live/maths/source/rewind.m3u8\""), "{reports}");
}
