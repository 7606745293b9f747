//! Networks that carry nothing for a while.

use super::*;
use crate::tcp_proxy::TcpProxy;

/// A path to the fixture's server, and the URL to publish by it.
async fn path(fixture: &Fixture) -> (TcpProxy, String) {
    let path = TcpProxy::start(fixture.address).await;
    let url = format!("rtmp://{}/live/maths?key=s3cret", path.address);
    (path, url)
}

/// Hears until so many pictures have come.
async fn pictures(consumer: &mut Consumer, count: usize) -> Heard {
    let mut heard = Heard::default();
    while heard.video.len() < count {
        heard.take(in_time(consumer.recv()).await.unwrap());
    }
    heard
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
}

#[tokio::test]
async fn a_blackout_shorter_than_the_patience_costs_no_picture() {
    let mut fixture = Fixture::start().await;
    let (path, url) = path(&fixture).await;
    let _publisher = publish(&url, &[&["-t", "600"]]).spawn().unwrap();
    let (live, mut consumer) = fixture.live().await;
    let mut heard = pictures(&mut consumer, 25).await;
    path.dark.send(true).unwrap();
    // Nothing comes once what was under way has arrived.
    while let Ok(event) = tokio::time::timeout(Duration::from_secs(1), consumer.recv()).await {
        heard.take(event.unwrap());
    }
    path.dark.send(false).unwrap();
    let after = pictures(&mut consumer, 50).await;
    assert_eq!((live.state(), live.stats().reconnects, after.discontinuities), (State::Live, 0, 0));
    heard.video.extend(after.video);
    for pair in heard.video.windows(2) {
        assert!(pair[1].dts.since(pair[0].dts) <= Duration::from_millis(45), "{:?} {:?}", pair[0].dts, pair[1].dts);
    }
    fixture.stop().await;
}

#[tokio::test]
async fn after_a_long_one_the_live_waits_and_goes_on_with_who_comes_back() {
    let mut fixture = Fixture::with(Settings { silence: Duration::from_secs(1), ..Settings::default() }).await;
    let (path, url) = path(&fixture).await;
    let mut publisher = publish(&url, &[&["-t", "600"]]).spawn().unwrap();
    let (live, mut consumer) = fixture.live().await;
    pictures(&mut consumer, 25).await;
    path.dark.send(true).unwrap();
    until("the publisher is missed", || matches!(live.state(), State::Reconnecting(_))).await;
    path.dark.send(false).unwrap();
    // The connection that the server gave up ends for the encoder as well.
    assert!(!in_time(publisher.wait()).await.unwrap().success());
    let _again = publish(&url, &[&["-t", "600"]]).spawn().unwrap();
    until("the live goes on", || live.state() == State::Live).await;
    let after = pictures(&mut consumer, 25).await;
    assert_eq!((live.stats().reconnects, after.discontinuities, fixture.registry.lives().len()), (1, 1, 1));
    fixture.stop().await;
}
