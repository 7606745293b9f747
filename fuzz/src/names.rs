//! Names, queries and URLs.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use amphi::{
    hls::{Answer, Directives, Reach, Settings, Window},
    ingest::{pull, rtmp, srt},
    model::{
        Anchor, AudioCodec, AudioFormat, Init, LanguageTag, MediaTime, Part, RenditionId, StreamName, TrackFormat,
    },
    stream::Rank,
};

/// Names are path components, URL segments and labels of metrics.
pub fn names(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for name in [
        StreamName::parse(&text).map(String::from),
        RenditionId::parse(&text).map(String::from),
        LanguageTag::parse(&text).map(String::from),
    ] {
        match name {
            Ok(name) => {
                assert_eq!(name, text);
                let harmless = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
                assert!((1..=64).contains(&name.len()) && name.bytes().all(harmless), "{name:?}");
            }
            Err(refusal) => assert!(refusal.to_string().len() < 600, "{refusal}"),
        }
    }
    // The three texts that an encoder makes of a publishing URL.
    let mut parts = text.splitn(3, '\n');
    let (app, url, name) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    match rtmp::address::Address::parse(app, url, name) {
        Ok(address) => {
            assert!(rtmp::address::is_application(app) && !address.key.is_empty());
            if let Some(channel) = &address.channel {
                assert!(StreamName::parse(channel.as_str()).is_ok());
            }
        }
        Err(invalid) => assert!(invalid.to_string().len() < 600, "{invalid}"),
    }
}

/// SRT's stream id. What it says can be said again in both forms.
pub fn stream_id(data: &[u8]) {
    let Ok(address) = srt::address::Address::parse(&String::from_utf8_lossy(data)) else { return };
    let unsent = if address.rank == Rank::Backup { "backup" } else { "" };
    let (name, key) = (address.channel.as_str(), address.key.as_deref().unwrap_or(unsent));
    for (again, breaks) in
        [(format!("publish:{name}:{key}"), ':'), (format!("#!::m=publish,r={name},t=stream,s={key}"), ',')]
    {
        if !key.contains(breaks) {
            let again = srt::address::Address::parse(&again).expect("what was read can be written");
            assert!(again == address);
        }
    }
}

/// Sources that an operator sets, and servers redirect to.
pub fn sources(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = srt::pull::Source::parse(&text);
    let Ok(source) = pull::Source::parse(&text) else { return };
    let written = source.url().as_str();
    let again = pull::Source::parse(written);
    assert!(written.len() > 2_048 || again.is_ok_and(|again| again.url() == source.url()), "{written}");
    let bare = source.bare();
    assert!(bare.username().is_empty() && bare.password().is_none());
    let host = source.url().host_str().unwrap_or_default();
    if let Some((_, password)) = source.credentials().filter(|(_, word)| word.len() > 12 && !host.contains(word)) {
        assert!(!source.to_string().contains(&password) && !format!("{source:?}").contains(&password));
    }
    let _ = pull::Rule { private: false, allowed: &[] }.check(&source);
}

/// A playlist's query, asked of a live of some segments.
pub fn hls(data: &[u8]) {
    let query = String::from_utf8_lossy(data);
    let Ok(directives) = Directives::parse(&query) else { return };
    let Directives { msn, part, skip } = directives;
    assert!(part.is_none() || msn.is_some());
    let pairs = [
        msn.map(|msn| format!("_HLS_msn={msn}")),
        part.map(|part| format!("_HLS_part={part}")),
        skip.then(|| "_HLS_skip=YES".to_owned()),
    ];
    let written = pairs.into_iter().flatten().collect::<Vec<_>>().join("&");
    assert_eq!(Directives::parse(&written), Ok(directives));
    let mut window = window();
    for ended in [false, true] {
        match window.playlist(&RenditionId::audio(), Reach::Edge, directives) {
            Answer::Ready(playlist) => {
                let text = playlist.text();
                assert!(text.starts_with(b"#EXTM3U") && text.len() < 64 << 10);
                // Who is answered with one that is older than asked for would ask again at once.
                assert!(ended || msn.is_none_or(|msn| msn <= SEGMENTS + 1));
            }
            Answer::Wait | Answer::BadRequest(_) => assert!(!ended, "nothing is waited for once it is over"),
            Answer::NotFound => panic!("the rendition is there"),
        }
        window.end();
    }
    for number in [msn, part].into_iter().flatten() {
        let _ = (window.segment(&RenditionId::audio(), number), window.part_bytes(&RenditionId::audio(), number));
    }
}

const SEGMENTS: u64 = 20;

fn window() -> Window {
    let anchor = Anchor::new(SystemTime::UNIX_EPOCH + Duration::from_millis(1_800_000_000_123));
    let name = StreamName::parse("maths").unwrap();
    let mut window = Window::new(Settings::new(name, Duration::from_millis(250), anchor, Instant::now()));
    let (config, rendition) = (vec![0x11, 0x90].into(), RenditionId::audio());
    let format = AudioFormat { codec: AudioCodec::Aac, config, sample_rate: 48_000, channels: 2 };
    let format = Arc::new(TrackFormat::Audio(format));
    let data = vec![0; 8].into();
    window.init(Init { rendition: rendition.clone(), version: 0, format, bitrate: None, label: None, data });
    for number in 0..SEGMENTS * 8 + 3 {
        window.part(Part {
            rendition: rendition.clone(),
            msn: number / 8,
            index: (number % 8) as u32,
            number,
            start: MediaTime::from_millis(250 * number as i64),
            duration: Duration::from_millis(250),
            independent: true,
            ends_segment: number % 8 == 7,
            discontinuity: false,
            init: 0,
            data: vec![0; 8].into(),
        });
    }
    window
}
