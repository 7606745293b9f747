//! A real nginx in front of the server, with the configuration that is shipped.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command},
    time::Duration,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    strict,
    support::{SOON, Server, media, wait},
};

const SHIPPED: &str = include_str!("../../config/edge/nginx.conf");
const VIEWERS: usize = 1_000;

/// A running nginx; killed when dropped.
struct Edge {
    nginx: Child,
    http: String,
    _home: tempfile::TempDir,
}

impl Edge {
    fn start(origin: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let mut shipped = SHIPPED.to_owned();
        for (ours, theirs) in [
            ("127.0.0.1:8080", origin.trim_start_matches("http://")),
            ("listen 80;", &format!("listen {address} backlog=4096;")),
            ("/var/cache/nginx/amphi", home.path().join("cache").to_str().unwrap()),
        ] {
            assert!(shipped.contains(ours), "{ours} is not in the configuration");
            shipped = shipped.replace(ours, theirs);
        }
        let file = home.path().join("nginx.conf");
        fs::write(&file, around(&shipped, home.path())).unwrap();
        let nginx = Command::new("nginx").arg("-c").arg(&file).arg("-p").arg(home.path()).spawn().unwrap();
        let edge = Self { nginx, http: format!("http://{address}"), _home: home };
        wait("nginx", SOON, || ureq::get(format!("{}/healthz", edge.http)).call().ok().map(drop));
        edge
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // As one process it leaves nobody behind.
        let _ = self.nginx.kill();
        let _ = self.nginx.wait();
    }
}

/// What a distribution's nginx.conf has around it.
fn around(shipped: &str, home: &Path) -> String {
    let home = home.display();
    format!(
        "daemon off; master_process off; pid {home}/pid; error_log {home}/error.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; client_body_temp_path {home}/body; proxy_temp_path {home}/proxy;\n\
         fastcgi_temp_path {home}/fastcgi; uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;\n{shipped}}}\n"
    )
}

/// A viewer's request: whether nginx had the answer, and its body.
async fn ask(edge: String, path: String) -> (String, Vec<u8>) {
    let host = edge.trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&host).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await.unwrap();
    let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a whole head");
    let head = String::from_utf8_lossy(&response[..end]).to_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let cache = head.lines().find_map(|line| line.strip_prefix("x-cache: ")).expect("nginx says where it had it from");
    (cache.to_owned(), response.split_off(end + 4))
}

fn metric(server: &Server, name: &str) -> u64 {
    let (_, metrics) = server.get("/metrics").unwrap();
    let values = metrics.lines().filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit(' ').next());
    values.map(|value| value.parse::<f64>().unwrap() as u64).sum()
}

#[test]
fn a_strict_reader_finds_nothing_wrong_behind_an_nginx() {
    let server = Server::start(&[("AMPHI_LADDER__ENABLED", "false")]);
    let edge = Edge::start(&server.http);
    let key = server.channel("waves", &[]);
    let _publisher = server.publish(&media("lecture-en.opus"), &format!("{}/waves?key={key}", server.rtmp), &[]);
    server.playlist("waves");
    // Delta updates begin when there are more than 24 s to skip from.
    let report = strict::watch(&edge.http, "waves", Duration::from_secs(32));
    assert!(report.errors.is_empty(), "rules broken:\n{}", report.errors.join("\n"));
    assert!(report.parts > 50 && report.deltas > 0 && report.renditions == 3, "{report:?}");
}

#[test]
fn a_thousand_held_viewers_cost_the_origin_what_one_does() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let server = Server::start(&[("AMPHI_LADDER__ENABLED", "false"), ("AMPHI_CAPTIONS__ENABLED", "false")]);
    let edge = Edge::start(&server.http);
    let key = server.channel("waves", &[]);
    let _publisher = server.publish(&media("lecture-en.opus"), &format!("{}/waves?key={key}", server.rtmp), &[]);
    server.playlist("waves");
    let rendition = "/live/waves/source/stream.m3u8";
    let (_, playlist) = server.get(rendition).unwrap();
    let first = playlist.lines().find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:")).unwrap();
    let next = first.parse::<usize>().unwrap() + playlist.matches("#EXTINF:").count() + 1;
    // The segment after the one that is being made: there is time for all of them to come.
    let path = format!("{rendition}?_HLS_msn={next}");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut hall: JoinSet<_> = JoinSet::new();
    for _ in 0..VIEWERS {
        hall.spawn_on(ask(edge.http.clone(), path.clone()), runtime.handle());
    }
    wait("one request to be held", SOON, || (metric(&server, "amphi_hls_held_requests") > 0).then_some(()));
    assert_eq!(metric(&server, "amphi_hls_held_requests"), 1, "the others wait at nginx");
    let answers = runtime.block_on(async { tokio::time::timeout(SOON, hall.join_all()).await.unwrap() });
    assert_eq!(answers.len(), VIEWERS);
    assert_eq!(answers.iter().filter(|(cache, _)| cache == "miss").count(), 1, "Amphi was asked once");
    assert!(answers.iter().all(|(_, body)| *body == answers[0].1), "all have the same playlist");
    let body = String::from_utf8_lossy(&answers[0].1);
    assert!(body.contains(&format!("/seg-{next}.m4s")), "{body}");
}
