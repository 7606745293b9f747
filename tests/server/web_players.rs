//! What pages other than ours play a live with: hls.js, video.js and Shaka, in Chromium.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    browser::Browser,
    support::{Publisher, Server, media},
};

fn publish(server: &Server, key: &str, size: &str, options: &[&str]) -> Publisher {
    let url = format!("{}/waves?key={key}", server.rtmp);
    server.publish(&media("lecture-en.opus"), &url, &[&["-s", size], options].concat())
}

/// Waits until each player has shown three seconds of pictures so wide.
fn shown(page: &mut Browser, width: u64) {
    let (mut begun, mut showing) = (BTreeMap::new(), BTreeSet::new());
    page.until(&format!("pictures {width} wide in all players"), |row| {
        if row["width"] != width {
            return false;
        }
        let player = row["player"].as_str().unwrap().to_owned();
        let (pictures, Some(at)) = (row["pictures"].as_u64().unwrap(), row["samples"][0][1].as_f64()) else {
            // A page that was not let run.
            return false;
        };
        let since = begun.entry(player.clone()).or_insert((pictures, at));
        // One that loads anew counts from nothing.
        *since = (since.0.min(pictures), since.1.min(at));
        if pictures >= since.0 + 80 && at >= since.1 + 3.0 {
            showing.insert(player);
        }
        showing.len() == 3
    });
}

#[test]
fn players_go_on_behind_a_publisher_that_returns_with_another_codec_string_size_and_sound() {
    let server = Server::start(&[("AMPHI_CAPTIONS__ENABLED", "false"), ("AMPHI_LADDER__ENABLED", "false")]);
    let key = server.channel("waves", &[]);
    let first = publish(&server, &key, "320x180", &["-ac", "1"]);
    let codecs = || server.playlist("waves").split_once("CODECS=\"").unwrap().1[..11].to_owned();
    let before = codecs();
    let mut page = Browser::players(&format!("{}/live/waves/index.m3u8", server.http), 120, &["--languages", ""]);
    shown(&mut page, 320);
    drop(first);
    let _second = publish(&server, &key, "480x270", &["-ac", "2", "-preset", "veryfast"]);
    shown(&mut page, 480);
    assert_ne!(codecs(), before);
}
