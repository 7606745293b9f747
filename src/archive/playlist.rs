//! VOD playlists (RFC 8216, rfc8216bis). Pure.

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use m3u8_rs::{AlternativeMedia, AlternativeMediaType, MasterPlaylist, Resolution, VariantStream};

use super::{
    journal::{InitEntry, Track},
    layout::media_name,
    timeline::{Segment, Timeline},
};
use crate::model::{Anchor, LanguageTag};

/// Byte ranges in EXT-X-MAP of a playlist that is not I-frames only ask for 6 (rfc8216bis §8).
const VERSION: usize = 7;
/// Of a live's segments, so that nothing changes when it becomes a recording.
const TARGET: u64 = 4;

/// One rendition's media playlist, `<rendition>/stream.m3u8`.
///
/// Written here, not by m3u8-rs: that puts EXT-X-MAP before EXT-X-DISCONTINUITY, where hls.js
/// counts the map to the time before it, and keeps durations in 32 bits.
pub(super) fn media(track: &Track, segments: &[Segment], target: u64, anchor: Anchor) -> String {
    let mut text = header(target);
    let mut map = None;
    for segment in segments {
        if segment.discontinuity {
            text.push_str("#EXT-X-DISCONTINUITY\n");
        }
        let uri = media_name(segment.init);
        if map != Some(segment.init) {
            let length = track.inits.iter().find(|init| init.version == segment.init).map_or(0, |init| init.length);
            let _ = writeln!(text, "#EXT-X-MAP:URI=\"{uri}\",BYTERANGE=\"{length}@0\"");
            map = Some(segment.init);
        }
        if let Ok(wall) = jiff::Timestamp::try_from(anchor.wall(segment.start)) {
            let _ = writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{wall:.3}");
        }
        let _ = writeln!(text, "#EXTINF:{:.6},", segment.duration.as_secs_f64());
        let _ = writeln!(text, "#EXT-X-BYTERANGE:{}@{}", segment.length, segment.offset);
        let _ = writeln!(text, "{uri}");
    }
    text.push_str("#EXT-X-ENDLIST\n");
    text
}

/// A caption track's media playlist, `captions/<lang>.m3u8`: the whole track is one segment.
pub(super) fn captions(language: &LanguageTag, duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    // A caption rendition may have a target duration of its own in VOD (rfc8216bis §6.2.4).
    let mut text = header(seconds.round().max(1.0) as u64);
    let _ = write!(text, "#EXTINF:{seconds:.6},\n{language}.vtt\n#EXT-X-ENDLIST\n");
    text
}

/// EXT-X-TARGETDURATION of every media playlist: at least each duration rounded (§4.4.3.1).
pub(super) fn target(timeline: &Timeline) -> u64 {
    let durations = timeline.renditions.iter().flat_map(|(_, segments)| segments).map(|segment| segment.duration);
    durations.max().map_or(TARGET, |longest| (longest.as_secs_f64().round() as u64).max(TARGET))
}

/// The multivariant playlist, `index.m3u8`.
pub(super) fn multivariant(timeline: &Timeline, captions: &[LanguageTag], spoken: &LanguageTag) -> Vec<u8> {
    let (videos, audios): (Vec<_>, Vec<_>) =
        timeline.renditions.iter().partition(|(track, _)| picture(track).is_some());
    let audio = audios.first();
    let audio_rates: Vec<_> = audios.iter().map(|(_, segments)| rates(segments)).collect();
    let (peaks, means) = (audio_rates.iter().map(|(peak, _)| *peak), audio_rates.iter().map(|(_, mean)| *mean));
    let (audio_peak, audio_mean) = (peaks.max().unwrap_or(0), means.max().unwrap_or(0));
    let audio_codecs: BTreeSet<_> =
        audios.iter().filter_map(|(track, _)| Some(track.inits.last()?.codecs.clone())).collect();
    let variant = |(track, segments): &&(Track, Vec<Segment>), codecs: String, with: (u64, u64)| {
        let (peak, mean) = rates(segments);
        let init = picture(track);
        VariantStream {
            uri: format!("{}/stream.m3u8", track.rendition),
            bandwidth: (peak + with.0).max(1),
            average_bandwidth: Some((mean + with.1).max(1)),
            codecs: Some(codecs),
            resolution: init
                .and_then(|init| init.video.as_ref())
                .map(|video| Resolution { width: video.width.into(), height: video.height.into() }),
            frame_rate: init.and_then(|init| init.video.as_ref()?.frame_rate),
            audio: audio.filter(|_| init.is_some()).map(|_| "audio".into()),
            subtitles: (!captions.is_empty()).then(|| "captions".into()),
            ..VariantStream::default()
        }
    };
    let mut playlist = MasterPlaylist { version: Some(VERSION), ..MasterPlaylist::default() };
    if videos.is_empty() {
        let codecs = audio_codecs.into_iter().collect::<Vec<_>>().join(",");
        playlist.variants.extend(audio.map(|audio| variant(audio, codecs, (0, 0))));
    } else {
        for video in &videos {
            let codecs = picture(&video.0).map(|init| init.codecs.clone()).into_iter().chain(audio_codecs.clone());
            let codecs = codecs.collect::<Vec<_>>().join(",");
            playlist.variants.push(variant(video, codecs, (audio_peak, audio_mean)));
        }
        playlist.alternatives.extend(sounds(&audios, spoken));
    }
    let captions: BTreeSet<_> = captions.iter().collect();
    playlist.alternatives.extend(captions.into_iter().map(|language| AlternativeMedia {
        media_type: AlternativeMediaType::Subtitles,
        uri: Some(format!("captions/{language}.m3u8")),
        group_id: "captions".into(),
        language: Some(language.to_string()),
        name: language.to_string(),
        autoselect: true,
        ..AlternativeMedia::default()
    }));
    let mut text = Vec::new();
    playlist.write_to(&mut text).expect("memory takes every byte");
    text
}

/// Every sound, the first as the one that viewers hear who do not choose.
fn sounds(audios: &[&(Track, Vec<Segment>)], spoken: &LanguageTag) -> Vec<AlternativeMedia> {
    let mut listed: Vec<AlternativeMedia> = Vec::new();
    for (index, (track, _)) in audios.iter().enumerate() {
        let init = track.inits.last();
        let label = init.and_then(|init| init.label.clone());
        let (language, name) = label.map_or((None, None), |label| (label.language, label.name));
        let language = language.map(|language| language.to_string()).or((index == 0).then(|| spoken.to_string()));
        let nth = index + 1;
        let name = name.or(language.clone()).unwrap_or_else(|| format!("Audio {nth}"));
        // Names tell the members of a group apart (rfc8216bis §4.4.6.1.1).
        let taken = listed.iter().any(|other| other.name == name);
        listed.push(AlternativeMedia {
            media_type: AlternativeMediaType::Audio,
            uri: Some(format!("{}/stream.m3u8", track.rendition)),
            group_id: "audio".into(),
            language,
            name: if taken { format!("{name} {nth}") } else { name },
            default: index == 0,
            autoselect: true,
            channels: init.and_then(|init| init.channels).map(|channels| channels.to_string()),
            ..AlternativeMedia::default()
        });
    }
    listed
}

fn header(target: u64) -> String {
    format!(
        "#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:VOD\n"
    )
}

/// The largest picture a rendition had; none for sound.
fn picture(track: &Track) -> Option<&InitEntry> {
    track
        .inits
        .iter()
        .filter(|init| init.video.is_some())
        .max_by_key(|init| init.video.as_ref().map(|video| video.height))
}

/// Bits a second: the peak of any stretch of 0.5 to 1.5 target durations (rfc8216bis §4.1), and the mean.
fn rates(segments: &[Segment]) -> (u64, u64) {
    let rate = |bytes: u64, time: Duration| (bytes as f64 * 8.0 / time.as_secs_f64().max(1e-3)).ceil() as u64;
    let mean = rate(segments.iter().map(|s| s.length).sum(), segments.iter().map(|s| s.duration).sum());
    let mut peak = mean;
    for first in 0..segments.len() {
        let (mut bytes, mut time) = (0, Duration::ZERO);
        for segment in &segments[first..] {
            bytes += segment.length;
            time += segment.duration;
            if time > Duration::from_secs(TARGET) * 3 / 2 {
                break;
            }
            if time >= Duration::from_secs(TARGET) / 2 {
                peak = peak.max(rate(bytes, time));
            }
        }
    }
    (peak, mean)
}
