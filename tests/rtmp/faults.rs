//! Networks that carry nothing for a while.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

use super::*;

/// A TCP path that can go dark: connections stay, and nothing comes through. Gone when dropped.
struct Path {
    address: SocketAddr,
    dark: watch::Sender<bool>,
    _task: JoinSet<()>,
}

impl Path {
    async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, dark) = (listener.local_addr().unwrap(), watch::Sender::new(false));
        let (sign, mut task) = (dark.subscribe(), JoinSet::new());
        task.spawn(async move {
            let mut pumps = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(server).await.unwrap();
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                pumps.spawn(pump(near_in, far_out, sign.clone()));
                pumps.spawn(pump(far_in, near_out, sign.clone()));
            }
        });
        Self { address, dark, _task: task }
    }

    fn url(&self) -> String {
        format!("rtmp://{}/live/maths?key=s3cret", self.address)
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut dark: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16 << 10];
    while dark.wait_for(|dark| !dark).await.is_ok() {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        if dark.wait_for(|dark| !dark).await.is_err() || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
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
    let path = Path::to(fixture.address).await;
    let _publisher = publish(&path.url(), &[&["-t", "600"]]).spawn().unwrap();
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
    let path = Path::to(fixture.address).await;
    let mut publisher = publish(&path.url(), &[&["-t", "600"]]).spawn().unwrap();
    let (live, mut consumer) = fixture.live().await;
    pictures(&mut consumer, 25).await;
    path.dark.send(true).unwrap();
    until("the publisher is missed", || matches!(live.state(), State::Reconnecting(_))).await;
    path.dark.send(false).unwrap();
    // The connection that the server gave up ends for the encoder as well.
    assert!(!in_time(publisher.wait()).await.unwrap().success());
    let _again = publish(&path.url(), &[&["-t", "600"]]).spawn().unwrap();
    until("the live goes on", || live.state() == State::Live).await;
    let after = pictures(&mut consumer, 25).await;
    assert_eq!((live.stats().reconnects, after.discontinuities, fixture.registry.lives().len()), (1, 1, 1));
    fixture.stop().await;
}
