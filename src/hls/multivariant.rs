use std::fmt::Write as _;

use super::{Kind, Reach, Window, rendition::Rendition};
use crate::model::{RenditionId, TrackFormat};

/// Renders the multivariant playlist over playlists that go back so far, from the renditions that have media; `None`
/// if none has.
pub(super) fn multivariant(window: &Window, reach: Reach) -> Option<String> {
    let begun = |kind| {
        let of_kind = window.renditions.iter().filter(move |rendition| rendition.kind() == Some(kind));
        of_kind.filter(|rendition| !rendition.is_empty())
    };
    let mut audios: Vec<_> = begun(Kind::Audio).collect();
    // The first one is what viewers hear who do not choose.
    audios.sort_by(|a, b| a.id.as_str().cmp(b.id.as_str()));
    let mut text = "#EXTM3U\n#EXT-X-VERSION:9\n".to_owned();
    let mut videos: Vec<_> = begun(Kind::Video).collect();
    // Best first, the source before a rung of its size.
    videos.sort_by_key(|video| std::cmp::Reverse(height(video)));
    if videos.is_empty() {
        let audio = *audios.first()?;
        // Where there is no picture, the sounds are each other's alternatives.
        if audios.len() > 1 {
            sounds(&mut text, (window, reach), &audios);
        } else {
            audios.clear();
        }
        subtitles(&mut text, (window, reach));
        variant(&mut text, (window, reach), audio, &audios);
        return Some(text);
    }
    sounds(&mut text, (window, reach), &audios);
    subtitles(&mut text, (window, reach));
    for video in videos {
        variant(&mut text, (window, reach), video, &audios);
    }
    Some(text)
}

fn sounds(text: &mut String, (window, reach): (&Window, Reach), audios: &[&Rendition]) {
    let mut names: Vec<String> = Vec::new();
    for (index, audio) in audios.iter().enumerate() {
        let (nth, default) = (index + 1, if index == 0 { "YES" } else { "NO" });
        let label = audio.inits.back().and_then(|init| init.label.as_ref());
        let plain = if index == 0 { "Audio".into() } else { format!("Audio {nth}") };
        let given = label.and_then(|label| label.name.clone()).unwrap_or(plain);
        // Names tell the members of a group apart (rfc8216bis §4.4.6.1.1).
        let name = if names.contains(&given) { format!("{given} {nth}") } else { given };
        let language = label.and_then(|label| label.language.as_ref());
        let language = language.map_or(String::new(), |language| format!(",LANGUAGE=\"{language}\""));
        let uri = uri((window, reach), &audio.id);
        let channels = format(audio).and_then(TrackFormat::audio).map_or(2, |audio| audio.channels);
        let _ = writeln!(
            text,
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"{name}\"{language},DEFAULT={default},AUTOSELECT=YES,\
             CHANNELS=\"{channels}\",URI=\"{uri}\"",
        );
        names.push(name);
    }
}

fn subtitles(text: &mut String, (window, reach): (&Window, Reach)) {
    for track in &window.captions {
        // A quoted string holds neither of these (rfc8216bis §4.2).
        let name: String = track.name.chars().filter(|c| *c != '"' && !c.is_control()).collect();
        let spoken =
            if track.spoken { ",CHARACTERISTICS=\"public.accessibility.transcribes-spoken-dialog\"" } else { "" };
        let (language, uri) = (&track.language, uri((window, reach), &RenditionId::captions(&track.language)));
        let _ = writeln!(
            text,
            "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"captions\",NAME=\"{name}\",LANGUAGE=\"{language}\",DEFAULT=NO,\
             AUTOSELECT=YES,FORCED=NO{spoken},URI=\"{uri}\"",
        );
    }
}

/// A variant with any of these sounds, or with itself as the only one.
fn variant(text: &mut String, (window, reach): (&Window, Reach), main: &Rendition, audios: &[&Rendition]) {
    let beside = audios.iter().filter(|audio| audio.id != main.id);
    let bandwidth = bandwidth(main) + beside.clone().map(|audio| bandwidth(audio)).max().unwrap_or(0);
    let _ = write!(text, "#EXT-X-STREAM-INF:BANDWIDTH={bandwidth}");
    let mut codecs: Vec<String> = Vec::new();
    for codec in std::iter::once(&main).chain(beside).filter_map(|one| format(one)).map(TrackFormat::codecs) {
        if !codecs.contains(&codec) {
            codecs.push(codec);
        }
    }
    let _ = write!(text, ",CODECS=\"{}\"", codecs.join(","));
    if let Some(video) = format(main).and_then(TrackFormat::video) {
        let _ = write!(text, ",RESOLUTION={}x{}", video.width, video.height);
        if let Some(rate) = video.frame_rate {
            let _ = write!(text, ",FRAME-RATE={rate:.3}");
        }
    }
    if !audios.is_empty() {
        text.push_str(",AUDIO=\"audio\"");
    }
    if !window.captions.is_empty() {
        text.push_str(",SUBTITLES=\"captions\"");
    }
    let _ = writeln!(text, ",CLOSED-CAPTIONS=NONE\n{}", uri((window, reach), &main.id));
}

/// Peak bits a second: as the publisher states it and a tenth, or 1.5 × the first segment; never below
/// what has been measured. What a rung states is a ceiling that quiet pictures stay far below, and a
/// player that believed it would take the rung for dearer than the source.
pub(super) fn bandwidth(rendition: &Rendition) -> u64 {
    let stated = rendition.inits.back().and_then(|init| init.bitrate).filter(|bitrate| *bitrate > 0);
    let measured = rendition.measured().saturating_mul(3) / 2;
    let estimate = match stated.map(|bitrate| u64::from(bitrate) + u64::from(bitrate) / 10) {
        Some(ceiling) if rendition.id != RenditionId::source() && measured > 0 => ceiling.min(measured),
        Some(ceiling) => ceiling,
        None => measured,
    };
    estimate.max(rendition.peak).max(1)
}

fn format(rendition: &Rendition) -> Option<&TrackFormat> {
    rendition.inits.back().map(|init| &*init.format)
}

fn height(rendition: &Rendition) -> u32 {
    format(rendition).and_then(TrackFormat::video).map_or(0, |video| video.height)
}

fn uri((window, reach): (&Window, Reach), id: &RenditionId) -> String {
    format!("{}/{id}/{}", window.frame.base, reach.file())
}
