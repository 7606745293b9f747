//! A publisher of Enhanced RTMP: tags built from what real encoders make, sent in real time.

use std::{
    thread::{self, JoinHandle},
    time::Duration,
};

use amphi::ingest::rtmp::{Client, ClientError};
use bytes::Bytes;
use tokio::time::Instant;

use crate::film::{Strip, Unit};

/// A tag: 8 audio, 9 video, 18 data; milliseconds; body.
pub type Tag = (u8, u32, Vec<u8>);

/// A publisher at work, and how it ends.
pub type Publishing = JoinHandle<Result<(), ClientError>>;

/// The tags of a video track, in the shortest form that each access unit has.
pub fn pictures(strip: &Strip) -> Vec<Tag> {
    let fourcc = &strip.fourcc[..];
    let frame = |unit: &Unit| {
        let (at, shown) = (millis(unit.dts), millis(unit.pts));
        let kind = if unit.key { 0x90 } else { 0xa0 };
        let composition = (shown as i32 - at as i32).to_be_bytes();
        // AV1 has no composition times; of the others those that have none leave them out.
        let head = match composition {
            _ if fourcc == b"av01" => [&[kind | 1][..], fourcc].concat(),
            [0, 0, 0, 0] => [&[kind | 3][..], fourcc].concat(),
            [_, time @ ..] => [&[kind | 1][..], fourcc, &time].concat(),
        };
        (9, at, [&head[..], &unit.data].concat())
    };
    let start = (9, 0, [&[0x90][..], fourcc, &strip.config].concat());
    let end = strip.units.last().map(|unit| (9, millis(unit.dts), [&[0x92][..], fourcc].concat()));
    std::iter::once(start).chain(strip.units.iter().map(frame)).chain(end).collect()
}

/// The tags of AAC without any enhancement.
pub fn sound(strip: &Strip) -> Vec<Tag> {
    let tag = |kind, unit: &Unit| (8, millis(unit.dts), [&[0xaf, kind][..], &unit.data].concat());
    let start = (8, 0, [&[0xaf, 0][..], &strip.config].concat());
    std::iter::once(start).chain(strip.units.iter().map(|unit| tag(1, unit))).collect()
}

/// The tags of sound by its FourCC.
pub fn named_sound(strip: &Strip) -> Vec<Tag> {
    let tag = |kind: u8, at, data: &[u8]| (8, at, [&[0x90 | kind][..], &strip.fourcc, data].concat());
    let units = strip.units.iter().map(|unit| tag(1, millis(unit.dts), &unit.data));
    std::iter::once(tag(0, 0, &strip.config)).chain(units).collect()
}

/// The tags of further tracks of sound in one codec with their ids: each in tags of its own, or all in the same tags.
pub fn sounds(tracks: &[(u8, &Strip)], together: bool) -> Vec<Tag> {
    let fourcc = tracks[0].1.fourcc;
    let tag = |kind: u8, at: f64, bodies: Vec<(u8, &[u8])>| -> Vec<Tag> {
        if !together {
            let one = |(id, body): (u8, &[u8])| (8, millis(at), [&[0x95, kind][..], &fourcc, &[id], body].concat());
            return bodies.into_iter().map(one).collect();
        }
        let mut all = [&[0x95, 0x10 | kind][..], &fourcc].concat();
        for (id, body) in bodies {
            all.push(id);
            all.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
            all.extend_from_slice(body);
        }
        vec![(8, millis(at), all)]
    };
    let mut tags = tag(0, 0.0, tracks.iter().map(|(id, strip)| (*id, &strip.config[..])).collect());
    let count = tracks.iter().map(|(_, strip)| strip.units.len()).min().unwrap_or(0);
    for index in 0..count {
        let bodies = tracks.iter().map(|(id, strip)| (*id, &strip.units[index].data[..])).collect();
        tags.extend(tag(1, tracks[0].1.units[index].dts, bodies));
    }
    tags
}

/// Publishes to `rtmp://HOST:PORT/live` under `name`, each tag when it is due, and says goodbye.
pub fn publish(url: &str, name: String, mut tags: Vec<Tag>) -> Publishing {
    let address = url.trim_start_matches("rtmp://").trim_end_matches("/live").to_owned();
    // Stable: what begins a track stays before the rest of it.
    tags.sort_by_key(|(_, at, _)| *at);
    thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let mut client = Client::publish(&address, "live", &name).await?;
            let begun = Instant::now();
            for (kind, at, body) in tags {
                tokio::time::sleep_until(begun + Duration::from_millis(at.into())).await;
                client.send(kind, at, Bytes::from(body)).await?;
            }
            client.finish().await
        })
    })
}

/// What is decoded before it is shown begins behind zero as well.
fn millis(seconds: f64) -> u32 {
    ((seconds + 0.2) * 1000.0).round() as u32
}
