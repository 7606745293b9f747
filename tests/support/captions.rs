//! A caption websocket's client, and how far a text is from another.

use std::{
    collections::BTreeMap,
    sync::mpsc,
    thread,
    time::{Duration, Instant, SystemTime},
};

use serde_json::Value;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::support;

/// A websocket on one caption track, read on a thread of its own.
pub struct Subscriber {
    messages: mpsc::Receiver<(SystemTime, Value)>,
    /// Every message with its arrival.
    pub received: Vec<(SystemTime, Value)>,
}

impl Subscriber {
    /// Subscribes to a channel's track, to all of them if `language` is empty.
    pub fn open(http: &str, channel: &str, language: &str) -> Self {
        let query = if language.is_empty() { String::new() } else { format!("?lang={language}") };
        let url = format!("{}/api/v1/channels/{channel}/captions/ws{query}", http.replace("http", "ws"));
        let (mut socket, _) = tungstenite::connect(url).unwrap();
        let (send, messages) = mpsc::channel();
        thread::spawn(move || {
            // An error is the end: the server says goodbye, or was killed.
            while let Ok(message) = socket.read() {
                let Message::Text(text) = message else { continue };
                if send.send((SystemTime::now(), serde_json::from_str(&text).unwrap())).is_err() {
                    break;
                }
            }
        });
        Self { messages, received: Vec::new() }
    }

    /// Reads until `enough` or `limit`; whether it was enough.
    pub fn until(&mut self, limit: Duration, mut enough: impl FnMut(&Self) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            self.received.extend(self.messages.try_iter());
            if enough(self) {
                return true;
            }
            let Ok(message) = self.messages.recv_timeout(deadline.saturating_duration_since(Instant::now())) else {
                return false;
            };
            self.received.push(message);
        }
    }

    /// Wall clock of media time zero, in seconds, as the cues tell it.
    pub fn anchor(&self) -> f64 {
        let (_, cue) = self.received.iter().find(|(_, message)| message["type"] == "cue").unwrap();
        let pdt: jiff::Timestamp = cue["start_pdt"].as_str().unwrap().parse().unwrap();
        pdt.as_millisecond() as f64 / 1e3 - cue["start"].as_f64().unwrap()
    }

    /// The newest revision of each cue, in order.
    pub fn cues(&self) -> BTreeMap<u64, Value> {
        let mut cues: BTreeMap<u64, Value> = BTreeMap::new();
        for (_, message) in self.received.iter().filter(|(_, message)| message["type"] == "cue") {
            let id = message["id"].as_u64().unwrap();
            let newer = cues.get(&id).is_none_or(|known| known["rev"].as_u64() < message["rev"].as_u64());
            if newer {
                cues.insert(id, message.clone());
            }
        }
        cues
    }

    /// The text of the final cues.
    pub fn final_text(&self) -> String {
        let finals = self.cues().into_values().filter(|cue| cue["final"] == true);
        finals.map(|cue| cue["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    }

    /// Whether the live is over.
    pub fn ended(&self) -> bool {
        self.received.iter().any(|(_, message)| message["type"] == "end")
    }
}

/// A caption segment of an HLS playlist.
pub struct Segment {
    /// Wall clock of its beginning, in seconds.
    pub pdt: f64,
    /// Id, start and end in seconds of media time, text.
    pub cues: Vec<(String, f64, f64, String)>,
}

/// Every segment a caption playlist lists.
pub fn segments(http: &str, channel: &str, language: &str) -> Vec<Segment> {
    let (status, playlist) = support::get(&format!("{http}/live/{channel}/captions-{language}/stream.m3u8")).unwrap();
    assert_eq!(status, 200, "{playlist}");
    let (mut pdt, mut segments) = (0.0, Vec::new());
    for line in playlist.lines() {
        if let Some(time) = line.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:") {
            pdt = time.parse::<jiff::Timestamp>().unwrap().as_millisecond() as f64 / 1e3;
        } else if line.starts_with('/') {
            let (status, document) = support::get(&format!("{http}{line}")).unwrap();
            assert_eq!(status, 200, "{line}");
            segments.push(Segment { pdt, cues: cues(&document) });
        }
    }
    segments
}

/// The cues of a WebVTT document of ours: every one has an id.
fn cues(document: &str) -> Vec<(String, f64, f64, String)> {
    let seconds = |time: &str| time.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap());
    let mut blocks = document.split("\n\n");
    assert!(blocks.next().unwrap().starts_with("WEBVTT"), "{document}");
    let block = |block: &str| {
        let (id, rest) = block.trim().split_once('\n')?;
        let (times, text) = rest.split_once('\n')?;
        let (start, end) = times.split_once(" --> ")?;
        Some((id.to_owned(), seconds(start), seconds(end.split(' ').next()?), text.to_owned()))
    };
    // A cue without text only marks a part in which nobody speaks.
    let speaks = |text: &&str| text.trim().lines().count() > 2;
    blocks.filter(speaks).map(|text| block(text).expect(document)).collect()
}

/// Words without casing and punctuation.
pub fn words(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split(|c: char| c.is_whitespace() || c == '-')
        .map(|word| word.chars().filter(|c| c.is_alphanumeric() || *c == '\'').collect::<String>())
        .filter(|word| !word.is_empty())
        .collect()
}

/// The sentences of a text whose beginnings lie in the first `seconds` of the bundled lecture.
pub fn lecture_until(seconds: f64) -> String {
    let sentences: Value = serde_json::from_str(include_str!("../media/lecture-en.json")).unwrap();
    let said = sentences.as_array().unwrap().iter().filter(|sentence| sentence["end"].as_f64() <= Some(seconds));
    said.map(|sentence| sentence["text"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

/// Word error rate of `said` against the beginning of `truth`, which may go on behind what was said.
/// Ask for a number of words besides, since silence has no errors.
pub fn word_error_rate(truth: &str, said: &str) -> f64 {
    let (truth, said) = (words(truth), words(said));
    let mut row: Vec<usize> = (0..=truth.len()).collect();
    for (i, heard) in said.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, meant) in truth.iter().enumerate() {
            let cost = if heard == meant { diagonal } else { 1 + diagonal.min(row[j]).min(row[j + 1]) };
            diagonal = std::mem::replace(&mut row[j + 1], cost);
        }
    }
    // The cheapest place to stop in the truth: the rest was not said yet.
    let (length, errors) = row.iter().copied().enumerate().skip(1).min_by_key(|(_, errors)| *errors).unwrap();
    errors as f64 / length as f64
}

#[test]
fn word_errors_are_counted() {
    assert_eq!(word_error_rate("Good morning, and welcome to it.", "good morning and welcome"), 0.0);
    assert_eq!(word_error_rate("one two three four", "one too three four"), 0.25);
    assert_eq!(word_error_rate("one two three four", "one three four"), 0.25);
}
