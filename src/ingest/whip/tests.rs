//! Who takes a place of the port's, and who only asks.

use std::{
    future::{Future, pending},
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Error, Server};
use crate::{
    ingest::{Door, Knock, Refusal},
    model::StreamName,
    rtc::{Port, Refused, Settings},
    stream::{Claim, Publication, Rank, Registry},
};

const OFFER: &str = include_str!("../../rtc/tests/chromium.sdp");
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

/// Opens any channel to the key `right`. Whoever has another waits, as those do who guess.
struct TestDoor(Registry);

impl Door for TestDoor {
    fn admit(&self, knock: Knock) -> Pin<Box<dyn Future<Output = Result<Publication, Refusal>> + Send + '_>> {
        Box::pin(async move {
            self.knows(knock.clone()).await?;
            let claim = Claim { rank: Rank::Main, takeover: false, protocol: "whip", peer: PEER };
            let name = knock.channel.unwrap();
            self.0.publish(&name, claim, Instant::now()).map_err(|_| Refusal::Busy(name))
        })
    }

    fn knows(&self, knock: Knock) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + '_>> {
        Box::pin(async move { if knock.key == "right" { Ok(()) } else { pending().await } })
    }
}

async fn server(peers: usize) -> Server {
    let settings = Settings { peers, ..Settings::default() };
    let port = Port::bind("127.0.0.1:0".parse().unwrap(), settings).await.unwrap();
    Server::new(port, Arc::new(TestDoor(Registry::new(Duration::from_secs(30)).0)))
}

async fn publish(server: &Server, channel: &str, key: &str) -> Result<(), Error> {
    let channel = StreamName::parse(channel).unwrap();
    server.publish(channel, key.into(), OFFER, PEER).await.map(|_| ())
}

#[tokio::test]
async fn who_guesses_keys_takes_no_place_of_who_has_one() {
    let server = server(2).await;
    let mut guesses = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let server = server.clone();
        guesses.spawn(async move { publish(&server, "maths", "guess").await });
    }
    // On this thread they all run as far as they get.
    tokio::task::yield_now().await;
    assert_eq!(publish(&server, "maths", "right").await, Ok(()));
    assert_eq!(publish(&server, "physics", "right").await, Ok(()));
    assert_eq!(publish(&server, "law", "right").await, Err(Error::Offer(Refused::Full)));
    assert!(guesses.try_join_next().is_none(), "they are waiting");
    server.stop().await;
}
