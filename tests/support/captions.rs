//! A caption websocket's client, and how far a text is from another.

use std::{
    collections::BTreeMap,
    net::TcpStream,
    time::{Duration, Instant, SystemTime},
};

use serde_json::Value;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket, stream::MaybeTlsStream};

/// A websocket on one caption track.
pub struct Subscriber {
    socket: WebSocket<MaybeTlsStream<TcpStream>>,
    /// Every message with its arrival.
    pub received: Vec<(SystemTime, Value)>,
}

impl Subscriber {
    /// Subscribes to a channel's track.
    pub fn open(http: &str, channel: &str, language: &str) -> Self {
        let url = format!("{}/api/v1/channels/{channel}/captions/ws?lang={language}", http.replace("http", "ws"));
        let (socket, _) = tungstenite::connect(url).unwrap();
        if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
            stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        }
        Self { socket, received: Vec::new() }
    }

    /// Reads until `enough` or `limit`; whether it was enough.
    pub fn until(&mut self, limit: Duration, mut enough: impl FnMut(&Self) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        while !enough(self) {
            if Instant::now() > deadline {
                return false;
            }
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    self.received.push((SystemTime::now(), serde_json::from_str(&text).unwrap()));
                }
                Ok(Message::Close(_)) => return enough(self),
                Ok(_) => {}
                Err(tungstenite::Error::Io(error))
                    if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
                Err(error) => panic!("the websocket broke: {error}"),
            }
        }
        true
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

/// Words without casing and punctuation.
pub fn words(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split(|c: char| c.is_whitespace() || c == '-')
        .map(|word| word.chars().filter(|c| c.is_alphanumeric() || *c == '\'').collect::<String>())
        .filter(|word| !word.is_empty())
        .collect()
}

/// Word error rate of `said` against `truth`, which may go on behind what was said.
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
