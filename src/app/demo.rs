//! Publishes a bundled FLV into a running server, in real time.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    ingest::{
        aac,
        flv::{self, Audio, Tag, Tags},
        rtmp::{Client, ClientError},
    },
    model::AudioFormat,
};

/// The first wait after a failed connection; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// A connection that held this long starts again with the first wait.
const STABLE: Duration = Duration::from_secs(10);

const AUDIO: u8 = 8;
const VIDEO: u8 = 9;
const DATA: u8 = 18;

/// Streams `file` (FLV with H.264 and AAC) to `rtmp://address/app/stream_name` at the pace of its
/// time stamps until `cancel` fires, or once if not `looped`. Loops join with continuous time
/// stamps; a lost connection is made again with growing waits, from the file's beginning. So is one
/// that was refused because another one publishes: a server believes for a while that a connection
/// which was cut still lives.
///
/// # Errors
/// When the file is no FLV, and when the server refuses the stream for another reason: in its own words.
pub async fn publish(
    address: &str,
    app: &str,
    stream_name: &str,
    file: Bytes,
    cancel: CancellationToken,
    looped: bool,
) -> anyhow::Result<()> {
    let film = Film::parse(file).context("the demo file is no FLV with media in it")?;
    let mut wait = FIRST_WAIT;
    loop {
        let started = Instant::now();
        let error = match play(address, app, stream_name, &film, &cancel, looped).await {
            Ok(()) => return Ok(()),
            Err(refused @ ClientError::Refused(_)) => return Err(refused.into()),
            Err(error) => anyhow::Error::from(error),
        };
        if started.elapsed() >= STABLE {
            wait = FIRST_WAIT;
        }
        tracing::warn!(error = format!("{error:#}"), wait_ms = wait.as_millis() as u64, "demo stream lost");
        if cancel.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
            return Ok(());
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// A parsed file; the tags are slices of it.
struct Film {
    tags: Vec<Tag>,
    /// Milliseconds from the first stamp of one turn to the first stamp of the next.
    length: u32,
    /// Milliseconds of an audio access unit and the stamp of the first one, if there is audio.
    audio: Option<(f64, u32)>,
}

impl Film {
    fn parse(file: Bytes) -> Option<Self> {
        let mut tags: Vec<Tag> = Tags::of_file(file)?.collect();
        let first = tags.iter().filter(|tag| tag.kind != DATA).map(|tag| tag.timestamp).min()?;
        for tag in &mut tags {
            tag.timestamp = tag.timestamp.saturating_sub(first);
        }
        let length = match (end_of(&tags, VIDEO), end_of(&tags, AUDIO)) {
            // Pictures must not pause where the sound's padding is a little longer than they are.
            (Some(video), Some(audio)) if audio.abs_diff(video) < 500 => video,
            (video, audio) => video.max(audio)?,
        };
        let sounds = tags.iter().filter(|tag| tag.kind == AUDIO).flat_map(|tag| flv::audio(tag.body.clone()));
        let audio = sounds.into_iter().find_map(|unit| match unit.content {
            Audio::Header(header) => aac::parse_config(header).ok(),
            _ => None,
        });
        let audio = audio
            .zip(frames(&tags, AUDIO).next())
            .map(|(format, first)| (f64::from(AudioFormat::FRAME) * 1000.0 / f64::from(format.sample_rate), first));
        Some(Self { tags, length, audio })
    }
}

/// Stamps audio so that turns join on one grid of access units: a turn leaves its last one out, or
/// not, to end within half of one of where the pictures end.
struct Sound {
    unit: f64,
    next: f64,
}

impl Sound {
    /// The stamp of an access unit that lies at `nominal` in a turn whose sound ends at `end`
    /// (milliseconds), or `None` to leave it out.
    fn stamp(&mut self, nominal: f64, end: f64) -> Option<u64> {
        if (self.next - nominal).abs() > 1.5 * self.unit {
            self.next = nominal;
        }
        if self.next + self.unit / 2.0 > end {
            return None;
        }
        let stamp = self.next;
        self.next += self.unit;
        Some(stamp.round() as u64)
    }
}

/// Stamps of a track's access units; in headers the second byte is 0.
fn frames(tags: &[Tag], kind: u8) -> impl Iterator<Item = u32> {
    tags.iter().filter(move |tag| tag.kind == kind && tag.body.get(1) == Some(&1)).map(|tag| tag.timestamp)
}

/// When a track's last frame ends, if it has two or more.
fn end_of(tags: &[Tag], kind: u8) -> Option<u32> {
    let (first, last) = (frames(tags, kind).next()?, frames(tags, kind).last()?);
    let count = frames(tags, kind).count() as u32;
    (count > 1).then(|| last + (last.saturating_sub(first) + (count - 1) / 2) / (count - 1))
}

async fn play(
    address: &str,
    app: &str,
    stream_name: &str,
    film: &Film,
    cancel: &CancellationToken,
    looped: bool,
) -> Result<(), ClientError> {
    let connecting = cancel.run_until_cancelled(Client::publish(address, app, stream_name));
    let Some(client) = connecting.await else { return Ok(()) };
    let mut client = client?;
    let start = Instant::now();
    let mut sound = film.audio.map(|(unit, first)| Sound { unit, next: first.into() });
    tracing::info!(address, app, "demo stream begins");
    for turn in 0_u64.. {
        let offset = turn * u64::from(film.length);
        for tag in &film.tags {
            let mut time = offset + u64::from(tag.timestamp);
            if let (AUDIO, Some(1), Some(sound), Some((_, first))) = (tag.kind, tag.body.get(1), &mut sound, film.audio)
            {
                let end = if looped { (offset + u64::from(film.length + first)) as f64 } else { f64::INFINITY };
                match sound.stamp(time as f64, end) {
                    Some(stamp) => time = stamp,
                    None => continue,
                }
            }
            let due = tokio::time::sleep_until(start + Duration::from_millis(time));
            if cancel.run_until_cancelled(due).await.is_none() {
                return client.finish().await;
            }
            match tag.kind {
                DATA if turn > 0 => continue,
                DATA => client.send(DATA, 0, set_data_frame(&tag.body)).await?,
                // 32 bits that wrap after 49.7 days, as RTMP has them.
                kind => client.send(kind, time as u32, tag.body.clone()).await?,
            }
        }
        if !looped {
            break;
        }
    }
    client.finish().await
}

/// Metadata for a server: the file's, after the name of the command that sets it.
fn set_data_frame(body: &Bytes) -> Bytes {
    [b"\x02\x00\x0d@setDataFrame", &body[..]].concat().into()
}
