//! Sources that Amphi calls.

use std::net::UdpSocket;

use amphi::ingest::srt::{
    pull as pulls,
    pull::{Connection, Source},
};

use super::*;

/// ffmpeg as a listener, which sends to whoever calls.
fn listener(options: &str) -> (SocketAddr, tokio::process::Child) {
    let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let child = publish(&url(address, &format!("mode=listener&{options}")), "-t 60").spawn().unwrap();
    (address, child)
}

/// Calls until the listener is up.
async fn call(address: SocketAddr, query: &str) -> Connection {
    let source = Source::parse(&url(address, query)).unwrap();
    in_time(async {
        loop {
            match Connection::open(address, &source).await {
                Ok(connection) => break connection,
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    })
    .await
}

fn publication(registry: &Registry, peer: SocketAddr) -> Publication {
    let claim = Claim { rank: Rank::Main, takeover: false, protocol: "srt", peer };
    registry.publish(&StreamName::parse("maths").unwrap(), claim, Instant::now()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_listener_sends_is_published_until_it_ends() {
    let (registry, mut started) = Registry::new(Duration::from_secs(60));
    let (address, mut source) = listener("passphrase=correct-horse");
    let connection = call(address, "passphrase=correct-horse&latency=200").await;
    let publication = publication(&registry, address);
    let live = started.recv().await.unwrap();
    let mut consumer = live.producer.consume();
    let pulling = tokio::spawn(connection.publish(publication, CancellationToken::new()));
    let heard = pictures(&mut consumer, 40).await;
    heard.check_times(Duration::from_millis(45));
    source.kill().await.unwrap();
    in_time(pulling).await.unwrap().unwrap();
    assert!(matches!(live.state(), State::Reconnecting(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn pulling_ends_when_told() {
    let (registry, mut started) = Registry::new(Duration::from_secs(60));
    let (address, _source) = listener("latency=120000");
    let connection = call(address, "mode=caller").await;
    let publication = publication(&registry, address);
    let live = started.recv().await.unwrap();
    let (mut consumer, cancel) = (live.producer.consume(), CancellationToken::new());
    let pulling = tokio::spawn(connection.publish(publication, cancel.clone()));
    pictures(&mut consumer, 5).await;
    cancel.cancel();
    in_time(pulling).await.unwrap().unwrap();
    until("the publication is given back", || live.state() != State::Live).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_an_error() {
    let (registry, _started) = Registry::new(Duration::from_secs(60));
    let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let source = Source::parse(&url(address, "")).unwrap();
    let publication = publication(&registry, address);
    let error = in_time(pulls::pull(address, &source, publication, CancellationToken::new())).await.unwrap_err();
    assert!(error.to_string().contains("call the source"), "{error}");
}
