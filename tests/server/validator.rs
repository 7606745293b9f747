//! What a validator that is not ours says of the playlists.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use crate::support::{SOON, Server, media, wait};

/// `media-doctor` finds nothing wrong with it; the playlist.
fn check(server: &Server, folder: &Path, path: &str) -> String {
    let (status, playlist) = server.get(path).unwrap();
    assert_eq!(status, 200, "{path}: {playlist}");
    let file = folder.join("playlist.m3u8");
    fs::write(&file, &playlist).unwrap();
    let output = Command::new("media-doctor").args(["check-hls", "--json", "--input"]).arg(&file).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["findings"]), (Some(0), &serde_json::json!([])), "{path}: {playlist}");
    playlist
}

/// The paths that a multivariant playlist in this folder lists.
fn listed(folder: &str, multivariant: &str) -> BTreeSet<String> {
    let attributes = multivariant.lines().filter_map(|line| line.split_once("URI=\"")?.1.split('"').next());
    let lines = multivariant.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let path = |uri: &str| if uri.starts_with('/') { uri.to_owned() } else { format!("{folder}/{uri}") };
    attributes.chain(lines).map(path).collect()
}

#[test]
fn a_validator_finds_nothing_wrong_with_a_live_its_past_and_its_recording() {
    let server = Server::start(&[("AMPHI_LADDER__ENABLED", "false"), ("AMPHI_RECONNECT_GRACE", "1s")]);
    let (folder, key) = (tempfile::tempdir().unwrap(), server.channel("waves", &["--translate", "pt"]));
    let url = format!("{}/waves?key={key}", server.rtmp);
    let publisher = server.publish(&media("lecture-en.opus"), &url, &["-t", "45"]);
    server.playlist("waves");
    for file in ["index.m3u8", "rewind.m3u8"] {
        let renditions = listed("/live/waves", &check(&server, folder.path(), &format!("/live/waves/{file}")));
        // Picture, sound and the words in two languages.
        assert!(renditions.len() >= 4, "{renditions:?}");
        for path in &renditions {
            check(&server, folder.path(), path);
            wait("an update that skips", SOON, || {
                let update = check(&server, folder.path(), &format!("{path}?_HLS_skip=YES"));
                // Going back, nothing is left out that the other playlist lists.
                (file == "rewind.m3u8" || update.contains("#EXT-X-SKIP:")).then_some(())
            });
        }
    }
    drop(publisher);
    let id = server.recording("waves");
    let vod = format!("/vod/{id}");
    for path in listed(&vod, &check(&server, folder.path(), &format!("{vod}/index.m3u8"))) {
        let playlist = check(&server, folder.path(), &path);
        assert!(playlist.contains("#EXT-X-ENDLIST"), "{playlist}");
    }
}
