//! RTP over UDP by a path that loses and delays.

use std::net::SocketAddr;

use amphi::ingest::pull::Supervisor;
use gstreamer_rtsp_server::gst_rtsp::{RTSPAuthMethod, RTSPLowerTrans};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::{TcpListener, UdpSocket},
    task::JoinSet,
};

use super::{
    pull::{ANYWHERE, Camera, source},
    readers::{FLASH_AND_BEEP, offsets, p95},
    udp_proxy::{Path, UdpProxy},
    *,
};

const ROUGH: Path = Path { loss: 50, jitter: Duration::from_millis(200) };

/// Stands between a client and an RTSP server. Where one tells the other ports to send media to, under the name that is
/// looked for, they become those of a rough path. Gone when dropped.
struct Relay {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Relay {
    async fn start(server: SocketAddr, ports: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut carried = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = TcpStream::connect(server).await.unwrap().into_split();
                carried.spawn(carry(from_client, to_server, ports));
                carried.spawn(carry(from_server, to_client, ports));
            }
        });
        Self { address, _tasks: tasks }
    }
}

/// Passes lines on, as all that is said is where media go over UDP.
async fn carry(from: impl tokio::io::AsyncRead + Unpin, mut to: impl AsyncWriteExt + Unpin, ports: &str) {
    let (mut from, mut line, mut paths) = (BufReader::new(from), Vec::new(), Vec::new());
    while from.read_until(b'\n', &mut line).await.is_ok_and(|count| count > 0) {
        let text = String::from_utf8_lossy(&line).into_owned();
        let told = text.split(ports).nth(1).filter(|_| text.starts_with("Transport:"));
        if let Some(told) = told.and_then(|told| told.split([';', '\r', ',']).next()) {
            let pair: Vec<u16> = told.split('-').map(|port| port.parse().unwrap()).collect();
            let path = rough(pair[0], pair[1]).await;
            let port = path[0].address.port();
            line = text.replace(&format!("{ports}{told}"), &format!("{ports}{port}-{}", port + 1)).into_bytes();
            paths.push(path);
        }
        if to.write_all(&line).await.is_err() {
            break;
        }
        line.clear();
    }
    let _ = to.shutdown().await;
}

/// A way to two ports of this machine, at two neighbouring ones.
async fn rough(rtp: u16, rtcp: u16) -> [UdpProxy; 2] {
    loop {
        let first = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = first.local_addr().unwrap().port();
        let second = UdpSocket::bind(("127.0.0.1", port.wrapping_add(1))).await;
        if let (0, Ok(second)) = (port % 2, second) {
            return [(first, rtp), (second, rtcp)]
                .map(|(socket, port)| UdpProxy::at(socket, ([127, 0, 0, 1], port).into(), ROUGH));
        }
    }
}

/// What is read of a live that comes by a rough path goes on, in step.
async fn check_step(fixture: &Fixture, live: &Live) {
    let offsets = offsets(&fixture.watch_url(), "tcp", 30).await;
    println!("{} beeps, offset p50 {:.3} s, p95 {:.3} s", offsets.len(), offsets[offsets.len() / 2], p95(&offsets));
    // Two of three flashes are whole, and so are their beeps.
    assert!(offsets.len() >= 20 && p95(&offsets) <= 0.04, "{offsets:?}");
    let link = link(live).unwrap();
    assert!(
        link.loss > Some(0.0) && link.loss < Some(0.3) && link.jitter > Some(Duration::from_millis(20)),
        "{link:?}"
    );
    assert_eq!((live.state(), live.stats().reconnects), (State::Live, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_stays_in_step_with_loss_and_jitter() {
    let mut fixture = Fixture::start().await;
    let relay = Relay::start(fixture.address, "server_port=").await;
    let url = format!("rtsp://maths:s3cret@{}/publish/maths", relay.address);
    let options = ["-t", "100", "-muxdelay", "0", "-rtsp_transport", "udp", "-f", "rtsp", &url];
    let _publisher = ffmpeg(FLASH_AND_BEEP.iter().chain(&options)).spawn().unwrap();
    let (live, mut consumer) = fixture.live().await;
    on_air(&mut consumer).await;
    drop(consumer);
    let _mount = fixture.mount(live.clone()).await;
    check_step(&fixture, &live).await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_stays_in_step_with_loss_and_jitter() {
    let film = tempfile::Builder::new().suffix(".mkv").tempfile().unwrap();
    let path = film.path().to_str().unwrap();
    let paced = FLASH_AND_BEEP.iter().filter(|word| **word != "-re");
    let output = finished(&mut ffmpeg(paced.chain(&["-t", "100", "-y", path]))).await;
    assert!(output.status.success(), "{}", said(&output));
    let launch = format!(
        "( filesrc location={path} ! matroskademux name=film \
         film. ! queue ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 \
         film. ! queue ! aacparse ! rtpmp4gpay name=pay1 pt=97 )"
    );
    let camera = Camera::start_with(&launch, RTSPLowerTrans::UDP, RTSPAuthMethod::Digest).await;
    let relay = Relay::start(([127, 0, 0, 1], camera.port as u16).into(), "client_port=").await;
    let mut fixture = Fixture::start().await;
    let mut supervisor = Supervisor::new(Arc::new(TestDoor(fixture.registry.clone())), ANYWHERE);
    let name = StreamName::parse("maths").unwrap();
    supervisor.want(&[(name, source(&format!("rtsp://user:pa%3Ass@{}/cam", relay.address)))].into());
    let (live, mut consumer) = fixture.live().await;
    on_air(&mut consumer).await;
    drop(consumer);
    let _mount = fixture.mount(live.clone()).await;
    check_step(&fixture, &live).await;
    in_time(supervisor.stop()).await;
    fixture.stop().await;
}
