use super::*;
use media::clip;

#[tokio::test]
async fn a_recording_plays_whole_with_its_captions_in_true_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let cues = [
        cue(1, 1, "en", 500, 1_500, "the eigenvalues"),
        cue(2, 1, "en", 2_000, 3_000, "of a sym metric matrix"),
        Cue { source: Source::Human, ..cue(2, 2, "en", 2_000, 3_000, "of a --> <b>symmetric</b> matrix & co") },
        Cue { is_final: false, ..cue(3, 1, "en", 3_000, 4_000, "not yet final") },
        cue(1, 1, "pt", 500, 1_500, "os autovalores"),
        cue(9, 1, "pt", 60_000, 61_000, "after the end"),
    ];
    let recording = record(&store, &clip(7), &cues).await;
    let path = folder(&store, &recording);
    assert_eq!(recording.state, crate::store::RecordingState::Ready);
    assert_eq!(recording.reason, None);
    assert_eq!(recording.languages, [lang("en"), lang("pt")]);
    assert!((recording.duration.unwrap().as_secs_f64() - 7.0).abs() < 0.05, "{recording:?}");
    let (frames, sound) = play(path.join("index.m3u8").to_str().unwrap());
    assert_eq!(frames, 7 * 30);
    assert!((sound - 7.0).abs() < 0.05, "{sound}");
    let vtt = read(path.join("captions/en.vtt"));
    assert_eq!(
        vtt,
        "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\nLanguage: en\n\n\
         1\n00:00:00.500 --> 00:00:01.500\nthe eigenvalues\n\n\
         2\n00:00:02.000 --> 00:00:03.000\nof a --&gt; &lt;b&gt;symmetric&lt;/b&gt; matrix &amp; co\n"
    );
    assert!(!read(path.join("captions/pt.vtt")).contains("after the end"));
    let transcript: serde_json::Value = serde_json::from_str(&read(path.join("transcript.json"))).unwrap();
    assert_eq!(transcript["started_at"], "2026-11-21T09:30:00.000Z");
    assert_eq!(transcript["tracks"][0]["cues"][1]["text"], "of a --> <b>symmetric</b> matrix & co");
    assert_eq!(transcript["tracks"][1]["cues"][0]["words"][0]["start"], 0.5);
}

#[tokio::test]
async fn playlists_agree_with_each_other_and_with_the_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let recording = record(&store, &clip(5), &[cue(1, 1, "fr", 0, 1_000, "bonjour")]).await;
    let path = folder(&store, &recording);
    let text = std::fs::read(path.join("index.m3u8")).unwrap();
    let multivariant = m3u8_rs::parse_master_playlist_res(&text).unwrap();
    let uris: Vec<_> = multivariant.variants.iter().map(|variant| variant.uri.as_str()).collect();
    assert_eq!(uris, ["source/stream.m3u8", "120p/stream.m3u8"]);
    for variant in &multivariant.variants {
        assert!(variant.codecs.as_ref().unwrap().starts_with("avc1.64"), "{variant:?}");
        assert!(variant.codecs.as_ref().unwrap().ends_with(",mp4a.40.2"), "{variant:?}");
        assert!(variant.average_bandwidth.unwrap() <= variant.bandwidth);
        assert_eq!((variant.audio.as_deref(), variant.subtitles.as_deref()), (Some("audio"), Some("captions")));
    }
    let groups: Vec<_> =
        multivariant.alternatives.iter().map(|a| (a.group_id.as_str(), a.uri.as_deref().unwrap())).collect();
    assert_eq!(groups, [("audio", "audio/stream.m3u8"), ("captions", "captions/fr.m3u8")]);
    let mut lists = Vec::new();
    for rendition in ["source", "120p", "audio"] {
        let list = media_playlist(path.join(rendition).join("stream.m3u8"));
        assert!(list.end_list && list.playlist_type == Some(m3u8_rs::MediaPlaylistType::Vod));
        let media = std::fs::read(path.join(rendition).join("media-0.mp4")).unwrap();
        let mut at = list.segments[0].map.as_ref().unwrap().byte_range.as_ref().unwrap().length;
        for segment in &list.segments {
            let range = segment.byte_range.as_ref().unwrap();
            assert_eq!(range.offset, Some(at), "segments follow each other");
            let first = &media[at as usize + 4..at as usize + 8];
            assert!(first == b"moof" || first == b"styp" || first == b"prft", "{first:?}");
            at += range.length;
            assert!(f64::from(segment.duration).round() as u64 <= list.target_duration);
        }
        assert_eq!(at, media.len() as u64, "nothing is left over");
        lists.push(list);
    }
    assert!(lists.iter().all(|list| list.segments.len() == 3 && list.target_duration == 4), "{lists:?}");
    assert_eq!(
        lists[0].segments[1].program_date_time.unwrap().to_rfc3339(),
        "2026-11-21T09:30:02+00:00",
        "anchor and media time"
    );
    let captions = media_playlist(path.join("captions/fr.m3u8"));
    assert!((seconds(&captions) - seconds(&lists[0])).abs() < 0.01);
}

#[tokio::test]
async fn a_lost_part_costs_its_segment_and_captions_stay_with_the_picture() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let mut clip = clip(8);
    clip.parts.retain(|part| !(part.rendition == RenditionId::audio() && part.msn == 1 && part.index == 2));
    let cues = [
        cue(1, 1, "en", 500, 1_500, "before"),
        cue(2, 1, "en", 2_500, 3_500, "lost"),
        cue(3, 1, "en", 4_500, 5_500, "after"),
    ];
    let recording = record(&store, &clip, &cues).await;
    let path = folder(&store, &recording);
    assert_eq!(recording.reason.as_deref(), Some("incomplete: 1 segment is missing"));
    assert!((recording.duration.unwrap().as_secs_f64() - 6.0).abs() < 0.05, "{recording:?}");
    for rendition in ["source", "120p", "audio"] {
        let list = media_playlist(path.join(rendition).join("stream.m3u8"));
        let breaks: Vec<_> = list.segments.iter().map(|segment| segment.discontinuity).collect();
        assert_eq!(breaks, [false, true, false], "{rendition}");
    }
    let vtt = read(path.join("captions/en.vtt"));
    assert!(vtt.contains("00:00:02.500 --> 00:00:03.500\nafter"), "{vtt}");
    assert!(!vtt.contains("lost"), "{vtt}");
    play(path.join("index.m3u8").to_str().unwrap());
}

#[tokio::test]
async fn a_rung_whose_encoder_died_does_not_cut_the_recording() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let mut clip = clip(6);
    clip.parts.retain(|part| part.rendition != rung() || part.msn < 1);
    let recording = record(&store, &clip, &[]).await;
    assert!((recording.duration.unwrap().as_secs_f64() - 6.0).abs() < 0.05, "{recording:?}");
    assert_eq!(recording.reason.as_deref(), Some("incomplete: 120p covers too little and is left out"));
    assert!(!read(folder(&store, &recording).join("index.m3u8")).contains("120p"));
}

#[tokio::test]
async fn it_begins_where_every_rendition_has_media() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let mut clip = clip(8);
    clip.parts.retain(|part| part.rendition != RenditionId::audio() || part.start >= MediaTime::from_millis(1_000));
    let recording =
        record(&store, &clip, &[cue(1, 1, "en", 1_900, 3_000, "across"), cue(2, 1, "en", 100, 500, "too early")]).await;
    let path = folder(&store, &recording);
    assert!((recording.duration.unwrap().as_secs_f64() - 6.0).abs() < 0.05, "{recording:?}");
    assert_eq!(recording.reason, None);
    let vtt = read(path.join("captions/en.vtt"));
    assert!(vtt.contains("MPEGTS:180000,LOCAL:00:00:00.000"), "{vtt}");
    assert!(vtt.contains("00:00:00.000 --> 00:00:01.000\nacross") && !vtt.contains("early"), "{vtt}");
    assert_eq!(play(path.join("index.m3u8").to_str().unwrap()).0, 180);
}

#[tokio::test]
async fn sound_alone_and_picture_alone_play() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    for only in ["audio", "source"] {
        let mut clip = clip(4);
        clip.inits.retain(|init| init.rendition.as_str() == only);
        clip.parts.retain(|part| part.rendition.as_str() == only);
        let recording = record(&store, &clip, &[cue(1, 1, "en", 0, 1_000, "hello")]).await;
        let path = folder(&store, &recording);
        let text = std::fs::read(path.join("index.m3u8")).unwrap();
        let multivariant = m3u8_rs::parse_master_playlist_res(&text).unwrap();
        assert_eq!(multivariant.variants.len(), 1);
        assert_eq!(multivariant.variants[0].audio, None);
        let output = Command::new("ffprobe")
            .args(["-v", "error", "-show_entries", "format=duration:stream=codec_type", "-of", "csv=p=0"])
            .arg(path.join("index.m3u8"))
            .output()
            .unwrap();
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.stderr.is_empty() && shown.contains("\n4.0"), "{shown} {output:?}");
    }
}

#[tokio::test]
async fn a_changed_format_goes_into_another_file_behind_a_discontinuity() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let mut clip = clip(6);
    clip.inits.retain(|init| init.rendition != rung());
    clip.parts.retain(|part| part.rendition != rung());
    let recorder = Recorder::start(&store, live()).await.unwrap();
    clip.inits.iter().for_each(|init| recorder.init(init));
    for part in &mut clip.parts {
        if part.rendition == RenditionId::source() && part.msn >= 2 {
            part.init = 1;
            part.discontinuity = part.msn == 2 && part.index == 0;
            let changed = crate::model::Init { version: 1, ..clip.inits[0].clone() };
            recorder.init(&changed);
        }
        recorder.part(part);
    }
    let recording = recorder.finish().await.unwrap().unwrap();
    let path = folder(&store, &recording);
    let list = media_playlist(path.join("source/stream.m3u8"));
    assert_eq!(
        list.segments.iter().map(|s| s.uri.as_str()).collect::<Vec<_>>(),
        ["media-0.mp4", "media-0.mp4", "media-1.mp4"]
    );
    assert_eq!(list.segments.iter().map(|s| s.map.is_some()).collect::<Vec<_>>(), [true, false, true]);
    let sound = media_playlist(path.join("audio/stream.m3u8"));
    assert!(sound.segments[2].discontinuity, "renditions break alike");
    assert_eq!(play(path.join("index.m3u8").to_str().unwrap()).0, 180);
}

#[tokio::test]
async fn a_live_without_a_part_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let recorder = Recorder::start(&store, live()).await.unwrap();
    clip(1).inits.iter().for_each(|init| recorder.init(init));
    assert_eq!(recorder.finish().await.unwrap(), None);
    assert_eq!(store.recordings().list().await.unwrap(), []);
    assert_eq!(std::fs::read_dir(store.recordings_dir()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_removed_recording_is_gone_from_list_and_disk() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let recording = record(&store, &clip(2), &[]).await;
    let catalogue = Catalogue::new(store.clone());
    catalogue.remove(&recording.id).await.unwrap();
    assert_eq!(catalogue.list().await.unwrap(), []);
    assert!(!folder(&store, &recording).exists());
    assert!(catalogue.remove(&recording.id).await.is_err());
}

#[tokio::test]
async fn what_does_not_fit_into_the_queue_is_lost_and_counted_but_the_rest_plays() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let clip = clip(6);
    let recorder = Recorder::start(&store, live()).await.unwrap();
    clip.inits.iter().for_each(|init| recorder.init(init));
    for part in &clip.parts {
        let huge = part.rendition == rung() && part.msn == 1 && part.index == 0;
        let data = if huge { vec![0; 65 * 1024 * 1024].into() } else { part.data.clone() };
        recorder.part(&crate::model::Part { data, ..part.clone() });
    }
    assert_eq!(recorder.status().dropped, 1);
    let recording = recorder.finish().await.unwrap().unwrap();
    let reason = "incomplete: 1 part could not be written; 1 segment is missing";
    assert_eq!(recording.reason.as_deref(), Some(reason));
    assert_eq!(play(folder(&store, &recording).join("index.m3u8").to_str().unwrap()).0, 120);
}

#[tokio::test]
async fn a_publisher_that_came_back_is_a_discontinuity_and_no_loss() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let mut clip = clip(8);
    clip.parts.retain(|part| part.msn != 1);
    for part in &mut clip.parts {
        part.discontinuity = part.msn == 2 && part.index == 0;
    }
    let recording = record(&store, &clip, &[cue(1, 1, "en", 4_000, 5_000, "back again")]).await;
    assert_eq!(recording.reason, None);
    let path = folder(&store, &recording);
    for rendition in ["source", "120p", "audio"] {
        let list = media_playlist(path.join(rendition).join("stream.m3u8"));
        let breaks: Vec<_> = list.segments.iter().map(|segment| segment.discontinuity).collect();
        assert_eq!(breaks, [false, true, false], "{rendition}");
    }
    let list = media_playlist(path.join("source/stream.m3u8"));
    assert_eq!(list.segments[1].program_date_time.unwrap().to_rfc3339(), "2026-11-21T09:30:04+00:00");
    assert!(read(path.join("captions/en.vtt")).contains("00:00:02.000 --> 00:00:03.000\nback again"));
}
