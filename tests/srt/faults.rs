//! Networks and callers that misbehave.

use std::sync::atomic::Ordering;

use amphi::{
    ingest::srt::pull::{Connection, Source},
    stream::Link,
};

use super::*;
use crate::udp_proxy::{Path, UdpProxy};

/// How the publisher's packets travel.
fn link(live: &Live) -> Option<Link> {
    live.publishers().first().and_then(|publisher| publisher.link)
}

#[tokio::test(flavor = "multi_thread")]
async fn five_percent_loss_and_200_ms_of_jitter_cost_no_picture_and_are_told() {
    let mut fixture = Fixture::start();
    let path = Path { loss: 50, jitter: Duration::from_millis(200) };
    let proxy = UdpProxy::start(fixture.address, path).await;
    // ffmpeg counts the latency in microseconds.
    let url = url(proxy.address, &format!("streamid=publish:maths:{KEY}&latency=1500000"));
    let _publisher = publish(&url, "-t 60").spawn().unwrap();
    let (live, mut consumer) = fixture.live().await;
    let heard = pictures(&mut consumer, 150).await;
    heard.check_times(Duration::from_millis(45));
    assert_eq!(heard.discontinuities, 0);
    until("the link is told", || link(&live).is_some_and(|link| link.round_trip > Some(Duration::from_millis(100))))
        .await;
    let link = link(&live).unwrap();
    assert!(link.loss == Some(0.0) && link.jitter > Some(Duration::ZERO), "{link:?}");
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn loss_that_is_not_made_up_for_in_time_is_told_and_costs_what_was_lost() {
    let mut fixture = Fixture::with(Settings { latency: Duration::from_millis(20), ..Settings::default() });
    // What is asked for again comes later than the latency allows; most packets come in time.
    let path = Path { loss: 50, jitter: Duration::from_millis(20) };
    let proxy = UdpProxy::start(fixture.address, path).await;
    let url = url(proxy.address, &format!("streamid=publish:maths:{KEY}&latency=20000"));
    let _publisher = publish(&url, "-t 600 -g 5").spawn().unwrap();
    let (live, mut consumer) = fixture.live().await;
    let heard = pictures(&mut consumer, 100).await;
    // How many key frames in a row are lost is chance.
    heard.check_times(Duration::from_secs(60));
    until("loss is told", || link(&live).is_some_and(|link| link.loss > Some(0.0) && link.loss < Some(1.0))).await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_blackout_is_survived_and_a_long_one_is_a_return() {
    let mut fixture = Fixture::start();
    let proxy = UdpProxy::start(fixture.address, Path::default()).await;
    let url = url(proxy.address, &format!("streamid=publish:maths:{KEY}"));
    let mut publisher = publish(&url, "-t 600").spawn().unwrap();
    let (live, mut consumer) = fixture.live().await;
    pictures(&mut consumer, 25).await;
    proxy.dark.store(true, Ordering::Relaxed);
    // Nothing comes once what was under way has arrived.
    while tokio::time::timeout(Duration::from_millis(1_000), consumer.recv()).await.is_ok() {}
    proxy.dark.store(false, Ordering::Relaxed);
    let after = pictures(&mut consumer, 25).await;
    assert_eq!((live.state(), live.stats().reconnects, after.discontinuities), (State::Live, 0, 0));
    proxy.dark.store(true, Ordering::Relaxed);
    until("the publisher is missed", || matches!(live.state(), State::Reconnecting(_))).await;
    // ffmpeg gives up as well; who publishes starts it again.
    publisher.kill().await.unwrap();
    proxy.dark.store(false, Ordering::Relaxed);
    let _again = publish(&url, "-t 600").spawn().unwrap();
    until("the live goes on", || live.state() == State::Live).await;
    let after = pictures(&mut consumer, 25).await;
    assert_eq!((live.stats().reconnects, after.discontinuities, fixture.registry.lives().len()), (1, 1, 1));
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_transport_stream_is_cut() {
    let mut fixture = Fixture::start();
    let url = fixture.url(&format!("streamid=publish:maths:{KEY}&payload_size=1316"));
    let noise = "-re -f lavfi -i anoisesrc=r=48000:a=1 -t 60 -f s16le";
    let mut publisher = ffmpeg(noise.split_whitespace().chain([url.as_str()]));
    let (output, live) = tokio::join!(finished(&mut publisher), fixture.live());
    assert!(!output.status.success(), "it is hung up on");
    until("the channel is free", || live.0.state() != State::Live).await;
    assert_eq!(live.0.stats().bytes, 0);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn codecs_that_are_not_taken_are_cut() {
    let mut fixture = Fixture::start();
    let url = fixture.url(&format!("streamid=publish:maths:{KEY}"));
    let mut publisher = publish(&url, "-t 60 -c:v mpeg2video -bf 0");
    let (output, live) = tokio::join!(finished(&mut publisher), fixture.live());
    assert!(!output.status.success(), "it is hung up on");
    until("the channel is free", || live.0.state() != State::Live).await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_sends_nothing_is_cut() {
    let mut fixture = Fixture::with(Settings { silence: Duration::from_secs(1), ..Settings::default() });
    let source = Source::parse(&fixture.url(&format!("streamid=publish:maths:{KEY}"))).unwrap();
    let _mute = Connection::open(fixture.address, &source).await.unwrap();
    let (live, _) = fixture.live().await;
    until("the channel is free", || live.state() != State::Live).await;
    fixture.stop().await;
}
