use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;

use super::{
    at, cue, lang,
    script::{Script, reference, talk},
};
use crate::{
    captions::{Builder, Dress, Ids, Lane, text, vtt},
    model::{Cue, MediaTime, Part},
};

/// The cues of a part, as they stand in it.
fn raw(part: &Part) -> Vec<vtt::Entry> {
    let text = std::str::from_utf8(&part.data).unwrap();
    assert!(text.starts_with(vtt::LIVE_HEAD), "{text}");
    vtt::parse(text)
}

/// Those that say something; one that says nothing stands alone, within its part.
fn entries(part: &Part) -> Vec<vtt::Entry> {
    let mut entries = raw(part);
    assert!(!entries.is_empty(), "a part without a cue");
    if let [only] = &entries[..]
        && only.text.is_empty()
    {
        assert!(only.start >= part.start && only.end <= part.start + part.duration, "{only:?}");
        entries.clear();
    }
    assert!(entries.iter().all(|entry| !entry.text.is_empty()), "{entries:?}");
    entries
}

/// Publishes a script: hypotheses reach the lane between the parts as time goes by.
fn publish(script: &Script, hold: Duration, tail: i64) -> Vec<Part> {
    let mut builder = Builder::new(lang("en"), Dress::AsGiven, Ids::new());
    let mut lane = Lane::new(lang("en"), hold);
    let end = script.heard.last().unwrap().0.as_nanos() / 1_000_000 + tail;
    let mut heard = script.heard.iter().peekable();
    let mut parts = Vec::new();
    for reference in reference(end) {
        let now = reference.start + reference.duration;
        while let Some((at, hypothesis)) = heard.next_if(|(at, _)| *at <= now) {
            builder.apply(hypothesis, *at).iter().for_each(|cue| lane.push(cue));
        }
        parts.push(lane.part(&reference));
    }
    assert_eq!((lane.pending(), lane.dropped()), (0, 0), "the lane never caught up");
    parts
}

/// Checks the promises of a lane and returns its cues in the order of publication.
fn union(parts: &[Part], hold: Duration) -> Vec<vtt::Entry> {
    let mut seen: BTreeMap<String, vtt::Entry> = BTreeMap::new();
    let mut order = Vec::new();
    for part in parts {
        for entry in entries(part) {
            let id = entry.id.clone().unwrap();
            match seen.get(&id) {
                Some(known) => assert_eq!(*known, entry, "repeated identically"),
                None => {
                    assert!(entry.start + hold >= part.start, "{entry:?} in the part at {:?}", part.start);
                    assert!(entry.start < part.start + part.duration);
                    seen.insert(id, entry.clone());
                    order.push(entry);
                }
            }
        }
        for entry in seen.values().filter(|e| e.start < part.start + part.duration && e.end > part.start) {
            assert!(entries(part).contains(entry), "{entry:?} is missing at {:?}", part.start);
        }
    }
    for pair in order.windows(2) {
        assert!(pair[0].end <= pair[1].start, "{pair:?}");
    }
    for entry in &order {
        assert!(entry.text.lines().count() <= 2, "{entry:?}");
        assert!(entry.text.lines().all(|line| text::chars(line) <= text::LINE), "{entry:?}");
    }
    order
}

#[test]
fn the_union_of_parts_is_the_text_once_in_order() {
    for seed in 100..140 {
        for hold in [Duration::ZERO, Duration::from_secs(3)] {
            let script = talk(seed, 12);
            let parts = publish(&script, hold, 40_000);
            let said: String = script.words.iter().map(|word| word.text.as_str()).collect();
            let published: String =
                union(&parts, hold).iter().map(|entry| entry.text.replace(['\n', ' '], "")).collect();
            assert_eq!(published, said, "seed {seed}");
        }
    }
}

#[test]
fn parts_follow_their_reference() {
    let script = talk(7, 3);
    let parts = publish(&script, Duration::ZERO, 20_000);
    for (part, reference) in parts.iter().zip(reference(i64::MAX / 1_000_000_000_000)) {
        assert_eq!(part.rendition.as_str(), "captions-en");
        assert_eq!(
            (part.msn, part.index, part.number, part.start, part.duration, part.ends_segment),
            (
                reference.msn,
                reference.index,
                reference.number,
                reference.start,
                reference.duration,
                reference.ends_segment
            )
        );
        assert!(part.independent && part.init == 0);
    }
}

#[test]
fn a_segment_holds_its_parts_cues_once() {
    let script = talk(3, 8);
    let parts = publish(&script, Duration::ZERO, 40_000);
    for segment in parts.chunks(8) {
        let data: Vec<Bytes> = segment.iter().map(|part| part.data.clone()).collect();
        let merged = Part { data: vtt::merge(&data), ..segment[0].clone() };
        let mut expected = Vec::new();
        for entry in segment.iter().flat_map(raw) {
            if !expected.contains(&entry) {
                expected.push(entry);
            }
        }
        assert_eq!(raw(&merged), expected);
    }
    assert_eq!(vtt::merge(&[]), vtt::LIVE_HEAD);
}

/// Parts of a lane that learns `cues` before part `known`.
fn late(cues: &[Cue], known: usize, count: i64) -> Vec<Part> {
    let mut lane = Lane::new(lang("en"), Duration::ZERO);
    let mut parts = Vec::new();
    for (nth, reference) in reference(count * 250).iter().enumerate() {
        if nth == known {
            cues.iter().for_each(|cue| lane.push(cue));
        }
        parts.push(lane.part(reference));
    }
    parts
}

#[test]
fn late_text_starts_with_its_part() {
    let parts = late(&[cue(1, 1_000, 2_500, "Better late than never.")], 16, 40);
    let order = union(&parts, Duration::ZERO);
    assert_eq!(order.len(), 1);
    assert_eq!((order[0].start, order[0].end), (at(4_000), at(5_150)));
    assert!(entries(&parts[15]).is_empty() && !entries(&parts[16]).is_empty());
}

#[test]
fn who_loads_whole_segments_behind_has_time_to_read_what_comes_late() {
    let mut lane = Lane::new(lang("en"), Duration::from_secs(3));
    let mut parts = Vec::new();
    for reference in reference(24_000) {
        if reference.start == at(14_000) {
            lane.push(&cue(1, 10_000, 12_300, "Better late than never."));
        }
        parts.push(lane.part(&reference));
    }
    let order = union(&parts, Duration::from_secs(3));
    let times: Vec<_> = order.iter().map(|entry| (entry.start, entry.end)).collect();
    // The segment is whole at 16 s, when they are at 13 s.
    assert_eq!(times, [(at(11_000), at(14_000))]);
}

#[test]
fn a_minute_that_comes_at_once_leaves_in_two_lines_until_the_lane_has_caught_up() {
    let cues: Vec<Cue> = (0..30)
        .map(|nth| cue(nth + 1, nth as i64 * 2_000, nth as i64 * 2_000 + 1_900, "thirty characters of late text"))
        .collect();
    let parts = late(&cues, 240, 480);
    let order = union(&parts, Duration::ZERO);
    assert_eq!(order.len(), 15);
    let last = order.last().unwrap();
    assert!(last.end.since(at(60_000)) < Duration::from_secs(30), "{last:?}");
}

#[test]
fn text_cannot_leave_its_cue() {
    let evil = "a --> b\n\n00:00.000 --> 01:00.000\n<script>alert(1)</script>&amp;";
    let parts = late(&[cue(1, 0, 1_000, evil)], 0, 20);
    let order = union(&parts, Duration::ZERO);
    let all: Vec<String> = order.iter().map(|entry| entry.text.replace('\n', " ")).collect();
    assert_eq!(all.join(" "), evil.split_whitespace().collect::<Vec<_>>().join(" "));
    let raw: String = parts.iter().map(|part| String::from_utf8_lossy(&part.data).into_owned()).collect();
    assert!(!raw.contains("<script"));
}

#[test]
fn what_was_on_the_screen_is_not_repeated_behind_a_discontinuity() {
    let mut lane = Lane::new(lang("en"), Duration::ZERO);
    lane.push(&cue(1, 0, 4_000, "four seconds of one phrase"));
    let mut references = reference(1_000);
    references[2].discontinuity = true;
    let counts: Vec<usize> = references.iter().map(|reference| entries(&lane.part(reference)).len()).collect();
    assert_eq!(counts, [1, 1, 0, 0]);
}

#[test]
fn scripts_without_spaces_break_anywhere() {
    let mut lane = Lane::new(lang("ja"), Duration::ZERO);
    let text = "波".repeat(80);
    lane.push(&Cue { lang: lang("ja"), ..cue(1, 0, 5_000, &text) });
    let parts: Vec<Part> = reference(20_000).iter().map(|reference| lane.part(reference)).collect();
    let union: String = union(&parts, Duration::ZERO).iter().map(|entry| entry.text.replace('\n', "")).collect();
    assert_eq!(union, text);
}

#[test]
fn a_lane_begins_at_zero_whatever_comes_before() {
    let mut lane = Lane::new(lang("en"), Duration::from_secs(3));
    lane.push(&cue(1, 0, 900, "first"));
    let part = lane.part(&reference(250)[0]);
    assert_eq!(entries(&part)[0].start, MediaTime::ZERO);
}

#[test]
fn of_too_many_open_cues_the_oldest_is_taken_as_it_is() {
    let mut lane = Lane::new(lang("en"), Duration::ZERO);
    for nth in 0..20 {
        let start = nth * 1_000;
        let open = cue(nth as u64 + 1, start, start + 900, &format!("stable{nth} guessed{nth}"));
        lane.push(&Cue { is_final: false, stable_len: 0, ..open });
    }
    let said: Vec<String> =
        reference(24_000).iter().flat_map(|part| entries(&lane.part(part))).map(|e| e.text).collect();
    for nth in 0..4 {
        assert!(said.iter().any(|text| text.contains(&format!("stable{nth} guessed{nth}"))), "{said:?}");
    }
    assert!(!said.iter().any(|text| text.contains("stable4")), "{said:?}");
}
