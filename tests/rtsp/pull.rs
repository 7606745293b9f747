//! The server fetches: from GStreamer's RTSP server, and from servers that lead it astray.

use std::net::{IpAddr, Ipv4Addr};

use amphi::ingest::{
    pull::{Error, Rule, Source, Supervisor, Unreachable},
    rtsp,
};
use gstreamer_rtsp_server::{RTSPAuth, RTSPMediaFactory, RTSPServer, RTSPToken, glib, gst_rtsp, prelude::*};
use tokio::net::TcpListener;

use super::*;

pub const ANYWHERE: Rule = Rule { private: true, allowed: &[] };
const STRICT: Rule = Rule { private: false, allowed: &[] };

/// A camera: GStreamer's server with a test picture and sound, for `user` with password `pa:ss` alone.
pub struct Camera {
    pub port: i32,
    main_loop: glib::MainLoop,
}

impl Camera {
    async fn start(protocols: gst_rtsp::RTSPLowerTrans, methods: gst_rtsp::RTSPAuthMethod) -> Self {
        let launch = "( videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=25/1 ! \
            x264enc tune=zerolatency key-int-max=25 ! rtph264pay name=pay0 pt=96 \
            audiotestsrc is-live=true ! audio/x-raw,rate=48000 ! avenc_aac ! rtpmp4gpay name=pay1 pt=97 )";
        Self::start_with(launch, protocols, methods).await
    }

    /// The same with another picture and sound.
    pub async fn start_with(
        launch: &str,
        protocols: gst_rtsp::RTSPLowerTrans,
        methods: gst_rtsp::RTSPAuthMethod,
    ) -> Self {
        let launch = launch.to_owned();
        let (told, port) = tokio::sync::oneshot::channel();
        gstreamer_rtsp_server::gst::init().unwrap();
        let context = glib::MainContext::new();
        let main_loop = glib::MainLoop::new(Some(&context), false);
        let looping = main_loop.clone();
        std::thread::spawn(move || {
            let run = || {
                let (server, factory) = (RTSPServer::new(), RTSPMediaFactory::new());
                server.set_address("127.0.0.1");
                server.set_service("0");
                factory.set_launch(&launch);
                factory.set_shared(true);
                factory.set_protocols(protocols);
                factory.add_role_from_structure(
                    &gstreamer_rtsp_server::gst::Structure::builder("user")
                        .field("media.factory.access", true)
                        .field("media.factory.construct", true)
                        .build(),
                );
                let auth = RTSPAuth::new();
                let token = RTSPToken::builder().field("media.factory.role", "user").build();
                auth.set_supported_methods(methods);
                auth.add_digest("user", "pa:ss", &token);
                auth.add_basic(&RTSPAuth::make_basic("user", "pa:ss"), &token);
                server.set_auth(Some(&auth));
                server.mount_points().unwrap().add_factory("/cam", factory);
                let _source = server.attach(Some(&context)).unwrap();
                told.send(server.bound_port()).unwrap();
                looping.run();
            };
            context.with_thread_default(run).unwrap();
        });
        Self { port: port.await.unwrap(), main_loop }
    }

    fn url(&self, password: &str) -> String {
        format!("rtsp://user:{password}@127.0.0.1:{}/cam", self.port)
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.main_loop.quit();
    }
}

pub fn source(url: &str) -> Source {
    Source::parse(url).unwrap()
}

async fn pull(url: &str, rule: Rule) -> Result<(), Error> {
    let (registry, _started) = Registry::new(Duration::from_secs(30));
    let (name, cancel) = (StreamName::parse("maths").unwrap(), CancellationToken::new());
    in_time(rtsp::pull::run(&name, &source(url), &TestDoor(registry), rule, &cancel)).await
}

#[tokio::test]
async fn a_camera_is_fetched_over_tcp_and_udp_with_digest_and_basic() {
    use gst_rtsp::{RTSPAuthMethod, RTSPLowerTrans};
    for (protocols, methods) in
        [(RTSPLowerTrans::TCP, RTSPAuthMethod::Digest), (RTSPLowerTrans::UDP, RTSPAuthMethod::Basic)]
    {
        let camera = Camera::start(protocols, methods).await;
        let (registry, mut started) = Registry::new(Duration::from_secs(30));
        let mut supervisor = Supervisor::new(Arc::new(TestDoor(registry)), ANYWHERE);
        let name = StreamName::parse("maths").unwrap();
        supervisor.want(&[(name, source(&camera.url("pa%3Ass")))].into());
        let live = in_time(started.recv()).await.unwrap();
        let mut consumer = live.producer.consume();
        let mut heard = Heard::default();
        while heard.video.len() < 75 || heard.audio.len() < 100 {
            heard.take(in_time(consumer.recv()).await.unwrap());
        }
        heard.check_times();
        assert_eq!(live.publishers()[0].protocol, "rtsp");
        let link = in_time(async {
            loop {
                if let Some(link) = link(&live).filter(|link| link.round_trip.is_some()) {
                    return link;
                }
                consumer.recv().await.unwrap();
            }
        });
        assert_eq!(link.await.loss, Some(0.0));
        in_time(supervisor.stop()).await;
        assert_ne!(live.state(), State::Live);
    }
}

#[tokio::test]
async fn a_source_that_goes_away_is_asked_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("rtsp://{}/cam", listener.local_addr().unwrap());
    let (registry, _started) = Registry::new(Duration::from_secs(30));
    let mut supervisor = Supervisor::new(Arc::new(TestDoor(registry)), ANYWHERE);
    supervisor.want(&[(StreamName::parse("maths").unwrap(), source(&url))].into());
    for _ in 0..3 {
        // Closed at once.
        in_time(listener.accept()).await.unwrap();
    }
    in_time(supervisor.stop()).await;
}

#[tokio::test]
async fn a_wrong_password_is_told() {
    use gst_rtsp::{RTSPAuthMethod, RTSPLowerTrans};
    let camera = Camera::start(RTSPLowerTrans::TCP, RTSPAuthMethod::Digest).await;
    let ended = pull(&camera.url("wrong"), ANYWHERE).await;
    assert!(matches!(ended, Err(Error::Rtsp(rtsp::Error::Status { status: 401, .. }))), "{ended:?}");
}

#[tokio::test]
async fn private_machines_are_not_even_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.1", "0.0.0.0"] {
        let ended = pull(&format!("rtsp://{host}:{port}/cam"), STRICT).await;
        assert!(matches!(ended, Err(Error::Unreachable(Unreachable::Forbidden(_)))), "{host}: {ended:?}");
    }
    nobody_came(&listener).await;
}

async fn nobody_came(listener: &TcpListener) {
    tokio::select! {
        biased;
        _ = listener.accept() => panic!("somebody came"),
        () = std::future::ready(()) => {}
    }
}

/// A server that answers every first request so.
async fn answering(answer: String) -> String {
    answering_at("127.0.0.1", answer).await
}

async fn answering_at(host: &str, answer: String) -> String {
    let listener = TcpListener::bind((host, 0)).await.unwrap();
    let url = format!("rtsp://{}/cam", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut raw = Raw(stream);
            raw.head().await;
            raw.say(&answer).await;
        }
    });
    url
}

fn redirect(to: &str) -> String {
    format!("RTSP/1.0 302 Moved\r\nCSeq: 1\r\nLocation: {to}\r\n\r\n")
}

#[tokio::test]
async fn nobody_is_led_on_to_a_private_machine() {
    // Where it is led from may be asked.
    const RULE: Rule = Rule { allowed: &[IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2))], ..STRICT };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0"] {
        let public = answering_at("127.0.0.2", redirect(&format!("rtsp://{host}:{port}/cam"))).await;
        let ended = pull(&public, RULE).await;
        assert!(matches!(ended, Err(Error::Unreachable(Unreachable::Forbidden(_)))), "{host}: {ended:?}");
    }
    nobody_came(&listener).await;
}

#[tokio::test]
async fn redirects_are_followed_to_sources_only() {
    for nowhere in ["file:///etc/passwd", "http://127.0.0.1/", "srt://127.0.0.1:1", "", "/cam"] {
        let ended = pull(&answering(redirect(nowhere)).await, ANYWHERE).await;
        assert!(matches!(ended, Err(Error::Redirect)), "{nowhere}: {ended:?}");
    }
    let gone = answering("RTSP/1.0 404 Not Found\r\nCSeq: 1\r\n\r\n".into()).await;
    let ended = pull(&answering(redirect(&gone)).await, ANYWHERE).await;
    assert!(matches!(ended, Err(Error::Rtsp(rtsp::Error::Status { status: 404, .. }))), "{ended:?}");
}

#[tokio::test]
async fn answers_that_make_no_sense_end_the_attempt() {
    for answer in [
        "SSH-2.0-OpenSSH\r\n\r\n",
        "RTSP/1.0 x\r\n\r\n",
        "RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 4000000000\r\n\r\n",
        "RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n",
        "RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 3\r\n\r\nv=0",
        "RTSP/1.0 401 No\r\nCSeq: 1\r\nWWW-Authenticate: Negotiate\r\n\r\n",
    ] {
        let ended = pull(&answering(answer.into()).await, ANYWHERE).await;
        assert!(matches!(ended, Err(Error::Rtsp(_))), "{answer}: {ended:?}");
    }
}

#[tokio::test]
async fn a_sign_of_life_is_given_again_with_the_cameras_next_nonce() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("rtsp://user:pass@{}/cam", listener.local_addr().unwrap());
    let pulling = tokio::spawn(async move { pull(&url, ANYWHERE).await });
    let mut raw = Raw(listener.accept().await.unwrap().0);
    let mut nonce = 0;
    // The nonce is good for what comes up to PLAY and not for what keeps the session.
    loop {
        let head = raw.head().await;
        let sequence = field(&head, "CSeq");
        let said = |rest: &str| format!("RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\nSession: 7\r\n{rest}");
        let current = format!("nonce=\"{nonce}\"");
        let answer = match head.split(' ').next().unwrap() {
            "OPTIONS" if nonce == 1 && head.contains(&current) => break,
            "OPTIONS" => {
                nonce = 1;
                String::new()
            }
            _ if !head.contains(&current) => String::new(),
            "DESCRIBE" => {
                let sdp = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\na=control:a\r\n";
                said(&format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}", sdp.len()))
            }
            "SETUP" => said("Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n"),
            _ => said("\r\n"),
        };
        let refused = format!(
            "RTSP/1.0 401 No\r\nCSeq: {sequence}\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"{nonce}\"\r\n\r\n"
        );
        raw.say(if answer.is_empty() { &refused } else { &answer }).await;
    }
    drop(raw);
    let ended = in_time(pulling).await.unwrap();
    assert!(matches!(ended, Err(Error::Rtsp(rtsp::Error::Closed))), "{ended:?}");
}
