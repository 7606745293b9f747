//! What an operator relies on.

use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{SOON, Server, media, wait};

#[test]
fn sigterm_finishes_the_recording_first() {
    let mut server = Server::start(&[("AMPHI_CAPTIONS__ENABLED", "false"), ("AMPHI_LADDER__ENABLED", "false")]);
    let key = server.channel("waves", &[]);
    let _publisher = server.publish(&media("lecture-en.opus"), &format!("{}/waves?key={key}", server.rtmp), &[]);
    server.playlist("waves");
    wait("three seconds of video", SOON, || {
        (server.json("/api/v1/channels/waves/status")["video_frames"].as_u64()? > 90).then_some(())
    });
    assert_eq!(server.terminate(), Some(0));
    let after = Server::start_in(&server.data, &[]);
    let list = after.json("/api/v1/recordings");
    assert_eq!(list["items"][0]["state"], "ready", "{list}");
    assert!(list["items"][0]["duration"].as_f64().unwrap() > 2.0, "{list}");
}

#[test]
fn a_second_server_on_the_same_data_is_refused_and_harms_nothing() {
    let server = Server::start(&[("AMPHI_CAPTIONS__ENABLED", "false"), ("AMPHI_LADDER__ENABLED", "false")]);
    let key = server.channel("waves", &[]);
    let _publisher = server.publish(&media("lecture-en.opus"), &format!("{}/waves?key={key}", server.rtmp), &[]);
    server.playlist("waves");
    let second = Command::new(env!("CARGO_BIN_EXE_amphi"))
        .arg("serve")
        .env("AMPHI_DATA_DIR", &server.data)
        .env("AMPHI_HTTP__LISTEN", "127.0.0.1:0")
        .env("AMPHI_RTMP__LISTEN", "127.0.0.1:0")
        .env("AMPHI_WEBRTC__LISTEN", "127.0.0.1:0")
        .env("AMPHI_SRT__LISTEN", "127.0.0.1:0")
        .env("AMPHI_RTSP__LISTEN", "127.0.0.1:0")
        .output()
        .unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("another amphi serves"), "{said}");
    assert_eq!(server.json("/api/v1/recordings")["items"][0]["state"], "recording");
}

#[test]
fn a_shells_low_limit_of_open_files_is_raised() {
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(512), maximum: hard }).unwrap();
    let server = Server::start(&[]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let mut numbers = files.split_whitespace().skip(3);
    assert_eq!(numbers.next(), numbers.next(), "soft and hard: {files}");
}

#[test]
fn the_status_says_how_the_publisher_and_the_recording_do_right_now() {
    let server = Server::start(&[("AMPHI_CAPTIONS__ENABLED", "false"), ("AMPHI_LADDER__ENABLED", "false")]);
    let key = server.channel("waves", &[]);
    let publisher = server.publish(&media("lecture-en.opus"), &format!("{}/waves?key={key}", server.rtmp), &[]);
    let status = || server.json("/api/v1/channels/waves/status");
    wait("the pace of the test picture", SOON, || {
        let fps = status()["fps"].as_f64()?;
        (27.0..=33.0).contains(&fps).then_some(())
    });
    wait("parts on the disk", SOON, || (status()["recording"]["written"].as_u64()? > 0).then_some(()));
    let now = status();
    assert!(now["bitrate"].as_u64().unwrap() > 100_000, "{now}");
    assert_eq!((&now["recording"]["state"], &now["recording"]["dropped"]), (&"recording".into(), &0.into()), "{now}");
    assert!(now["recording"]["failure"].is_null() && now["viewers"] == 0, "{now}");
    drop(publisher);
    wait("the outage shows, and no average hides it", SOON, || {
        let now = status();
        (now["state"] == "reconnecting" && now["fps"].as_f64()? < 5.0).then_some(())
    });
}

#[test]
fn changes_need_the_admin_token() {
    let server = Server::start(&[("AMPHI_CAPTIONS__ENABLED", "false")]);
    let url = format!("{}/api/v1/channels", server.http);
    let token = std::fs::read_to_string(server.data.join("admin.token")).unwrap();
    // A refusal before the body was read ends the connection.
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).max_idle_connections(0).build().into();
    let post = |token: Option<&str>, body: &str| {
        let mut request = agent.post(&url);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {}", token.trim()));
        }
        let mut response = request.send(body).unwrap();
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    };
    let body = r#"{"name":"maths","language":"fr","translate":["en"]}"#;
    assert_eq!(post(None, body).0, 401);
    assert_eq!(post(Some("amphi_no"), body).0, 401);
    let (status, made) = post(Some(&token), body);
    assert_eq!(status, 201, "{made}");
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    assert!(made["stream_key"].as_str().unwrap().len() >= 20);
    assert_eq!(post(Some(&token), body).0, 409);
    assert_eq!(post(Some(&token), r#"{"name":"../x"}"#).0, 400);
    let shown = server.json("/api/v1/channels/maths");
    assert_eq!(shown["language"], "fr");
    assert!(shown.get("stream_key").is_none(), "only its owner sees the key");
    assert_eq!(server.status("/api/v1/channels/maths/key").unwrap(), 401);
}

#[test]
fn health_readiness_metrics_and_the_api_document_are_there() {
    let server = Server::start(&[("AMPHI_CAPTIONS__ENABLED", "false"), ("AMPHI_LADDER__ENABLED", "false")]);
    assert_eq!(server.status("/healthz").unwrap(), 200);
    let document = server.json("/api/v1/openapi.json");
    for path in ["/channels", "/channels/{name}/status", "/recordings", "/models", "/events"] {
        assert!(document["paths"][path].is_object(), "{path} is not described");
    }
    for (path, statuses) in [("/whip/{name}", 9), ("/whep/{name}", 7)] {
        let (described, resource) = (&document["paths"][path], &document["paths"][format!("{path}/{{id}}")]);
        assert_eq!(described["servers"][0]["url"], "/", "{path} lies at the root");
        assert_eq!(described["post"]["responses"].as_object().unwrap().len(), statuses, "{path}");
        assert!(resource["patch"]["responses"]["204"].is_object() && resource["delete"].is_object(), "{resource}");
    }
    let key = server.channel("waves", &[]);
    let _publisher = server.publish(&media("lecture-en.opus"), &format!("{}/waves?key={key}", server.rtmp), &[]);
    server.playlist("waves");
    let (_, metrics) = server.get("/metrics").unwrap();
    assert!(metrics.contains("amphi_lives 1"), "{metrics}");
    for series in [
        "amphi_live_publishing{channel=\"waves\"} 1\n",
        "amphi_live_received_bytes_total{channel=\"waves\"}",
        "amphi_live_bus_dropped_total{channel=\"waves\"} 0\n",
        "amphi_hls_held_requests{channel=\"waves\"}",
        "amphi_hls_window_bytes{channel=\"waves\"}",
        "amphi_live_viewers{channel=\"waves\",protocol=\"hls\"}",
        "amphi_recorder_dropped_parts_total{channel=\"waves\"} 0\n",
        "amphi_recorder_failed{channel=\"waves\"} 0\n",
        "process_resident_memory_bytes ",
    ] {
        assert!(metrics.contains(series), "no {series} in\n{metrics}");
    }
    assert!(!metrics.contains(&key));
    for page in ["/", "/watch/waves", "/embed/waves", "/v/00000000000000000000"] {
        let (status, html) = server.get(page).unwrap();
        assert!(status == 200 && html.contains("<html"), "{page}: {status}");
    }
}
