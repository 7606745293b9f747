use std::fmt::Write as _;

use super::{Kind, Window, rendition::Rendition};
use crate::model::{RenditionId, TrackFormat};

/// Renders the multivariant playlist from the renditions that have media; `None` if none has.
pub(super) fn multivariant(window: &Window) -> Option<String> {
    let begun = |kind| {
        let of_kind = window.renditions.iter().filter(move |rendition| rendition.kind() == Some(kind));
        of_kind.filter(|rendition| !rendition.is_empty())
    };
    let audio = begun(Kind::Audio).next();
    let mut text = "#EXTM3U\n#EXT-X-VERSION:9\n".to_owned();
    let mut videos: Vec<_> = begun(Kind::Video).collect();
    // Best first, the source before a rung of its size.
    videos.sort_by_key(|video| std::cmp::Reverse(height(video)));
    if videos.is_empty() {
        let audio = audio?;
        subtitles(&mut text, window);
        variant(&mut text, window, audio, None);
        return Some(text);
    }
    if let Some(audio) = audio {
        let uri = uri(window, &audio.id);
        let channels = format(audio).and_then(TrackFormat::audio).map_or(2, |audio| audio.channels);
        let _ = writeln!(
            text,
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"Audio\",DEFAULT=YES,AUTOSELECT=YES,\
             CHANNELS=\"{channels}\",URI=\"{uri}\"",
        );
    }
    subtitles(&mut text, window);
    for video in videos {
        variant(&mut text, window, video, audio);
    }
    Some(text)
}

fn subtitles(text: &mut String, window: &Window) {
    for track in &window.captions {
        // A quoted string holds neither of these (rfc8216bis §4.2).
        let name: String = track.name.chars().filter(|c| *c != '"' && !c.is_control()).collect();
        let spoken =
            if track.spoken { ",CHARACTERISTICS=\"public.accessibility.transcribes-spoken-dialog\"" } else { "" };
        let (language, uri) = (&track.language, uri(window, &RenditionId::captions(&track.language)));
        let _ = writeln!(
            text,
            "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"captions\",NAME=\"{name}\",LANGUAGE=\"{language}\",DEFAULT=NO,\
             AUTOSELECT=YES,FORCED=NO{spoken},URI=\"{uri}\"",
        );
    }
}

fn variant(text: &mut String, window: &Window, main: &Rendition, audio: Option<&Rendition>) {
    let bandwidth = bandwidth(main) + audio.map_or(0, bandwidth);
    let _ = write!(text, "#EXT-X-STREAM-INF:BANDWIDTH={bandwidth}");
    let codecs: Vec<_> = std::iter::once(main).chain(audio).filter_map(format).map(TrackFormat::codecs).collect();
    let _ = write!(text, ",CODECS=\"{}\"", codecs.join(","));
    if let Some(video) = format(main).and_then(TrackFormat::video) {
        let _ = write!(text, ",RESOLUTION={}x{}", video.width, video.height);
        if let Some(rate) = video.frame_rate {
            let _ = write!(text, ",FRAME-RATE={rate:.3}");
        }
    }
    if audio.is_some() {
        text.push_str(",AUDIO=\"audio\"");
    }
    if !window.captions.is_empty() {
        text.push_str(",SUBTITLES=\"captions\"");
    }
    let _ = writeln!(text, ",CLOSED-CAPTIONS=NONE\n{}", uri(window, &main.id));
}

/// Peak bits a second: as the publisher states it and a tenth, or 1.5 × the first segment; never below
/// what has been measured. What a rung states is a ceiling that quiet pictures stay far below, and a
/// player that believed it would take the rung for dearer than the source.
fn bandwidth(rendition: &Rendition) -> u64 {
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

fn uri(window: &Window, id: &RenditionId) -> String {
    format!("{}/{id}/stream.m3u8", window.frame.base)
}
