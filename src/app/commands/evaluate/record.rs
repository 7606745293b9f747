//! A live's caption events, written down as they come.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::model::{LanguageTag, StreamName};

/// No event is longer.
const LONGEST: u64 = 1 << 20;

/// Records until the live ends. Server-sent events carry what the websocket does, through TLS and proxies alike.
pub(super) fn run(channel: &str, server: &str, language: Option<&LanguageTag>, output: &Path) -> Result<()> {
    let url = address(channel, server, language)?;
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_recv_response(Some(Duration::from_secs(20)))
        .build()
        .into();
    let answer =
        agent.get(&url).call().with_context(|| format!("cannot reach {url} (is the server running? see --server)"))?;
    let status = answer.status();
    let mut body = answer.into_body();
    if status != 200 {
        let problem: Value = serde_json::from_str(&body.read_to_string().unwrap_or_default()).unwrap_or_default();
        bail!("{url} answers {status}: {}", problem["detail"].as_str().unwrap_or("is this an Amphi server?"));
    }
    let mut file = File::create(output).with_context(|| format!("cannot write {}", output.display()))?;
    eprintln!("recording {url} into {} until the live ends; Ctrl-C stops", output.display());
    let (cues, ended) = copy(body.into_reader(), &mut file, SystemTime::now)
        .with_context(|| format!("the recording broke off; what came before is in {}", output.display()))?;
    eprintln!("{cues} cue events in {}", output.display());
    ensure!(ended, "the connection ended before the live did: the server was stopped, or this machine was too slow");
    Ok(())
}

/// Where a channel's caption events are.
fn address(channel: &str, server: &str, language: Option<&LanguageTag>) -> Result<String> {
    let (server, name) = match channel.split_once("/watch/") {
        Some((server, name)) => (server, name),
        None if channel.contains("://") => {
            let (address, events) = channel.split_once("/captions/").unwrap_or((channel, ""));
            let (server, name) =
                address.split_once("/api/v1/channels/").filter(|_| !events.is_empty()).with_context(|| {
                    format!("{channel} is neither a watch page nor caption events: give a channel's name and --server")
                })?;
            (server, name)
        }
        None => (server, channel),
    };
    let name = StreamName::parse(name.trim_end_matches('/')).with_context(|| format!("{name:?} names no channel"))?;
    let query = language.map(|language| format!("?lang={language}")).unwrap_or_default();
    let server = server.trim_end_matches('/').replacen("ws", "http", usize::from(server.starts_with("ws")));
    Ok(format!("{server}/api/v1/channels/{name}/captions/events{query}"))
}

/// Writes each event in a line with the time it was received, until the live's end. How many were cues, and
/// whether the end was reached.
fn copy(events: impl Read, to: &mut impl Write, now: impl Fn() -> SystemTime) -> Result<(usize, bool)> {
    let (mut events, mut line, mut cues) = (BufReader::new(events), Vec::new(), 0);
    loop {
        line.clear();
        let read = (&mut events).take(LONGEST).read_until(b'\n', &mut line).context("the connection broke")?;
        if read == 0 {
            return Ok((cues, false));
        }
        ensure!((read as u64) < LONGEST, "an event is too long");
        let Some(data) = line.strip_prefix(b"data:") else { continue };
        let mut event: Value = serde_json::from_slice(data).context("the server sent what is no event")?;
        let received = jiff::Timestamp::try_from(now()).context("the clock is wrong")?;
        event["received"] = format!("{received:.6}").into();
        // In one piece, so that whoever stops this leaves whole lines.
        to.write_all(format!("{event}\n").as_bytes()).context("cannot write")?;
        cues += usize::from(event["type"] == "cue");
        if event["type"] == "end" {
            return Ok((cues, true));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_found_by_its_name_and_by_its_addresses() {
        let at = |channel: &str, lang: Option<&str>| {
            address(channel, "http://localhost:8080/", lang.map(|lang| LanguageTag::parse(lang).unwrap()).as_ref())
        };
        assert_eq!(
            at("maths", Some("en")).unwrap(),
            "http://localhost:8080/api/v1/channels/maths/captions/events?lang=en"
        );
        let there = "https://live.example.org/api/v1/channels/maths/captions/events";
        for channel in
            ["https://live.example.org/watch/maths", there, &there.replace("https", "wss").replace("events", "ws")]
        {
            assert_eq!(at(channel, None).unwrap(), there, "{channel}");
        }
        for wrong in ["", "../x", "https://live.example.org/", "https://live.example.org/live/maths/index.m3u8"] {
            assert!(at(wrong, None).is_err(), "{wrong}");
        }
    }

    #[test]
    fn events_are_written_with_their_arrival_up_to_the_end() {
        let events =
            "id: 1\ndata: {\"type\":\"cue\",\"id\":1}\n\n: ping\n\ndata: {\"type\":\"end\"}\n\ndata: {\"never\":1}\n";
        let now = || SystemTime::UNIX_EPOCH + Duration::from_micros(1_500_000);
        let mut written = Vec::new();
        assert_eq!(copy(events.as_bytes(), &mut written, now).unwrap(), (1, true));
        let lines: Vec<Value> =
            String::from_utf8(written).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!((&lines[0]["id"], &lines[0]["received"]), (&1.into(), &"1970-01-01T00:00:01.500000Z".into()));
        assert_eq!(copy(&b"data: {\"type\":\"cue\"}\n"[..], &mut Vec::new(), now).unwrap(), (1, false));
        assert!(copy(&b"data: nothing\n"[..], &mut Vec::new(), now).is_err());
    }
}
