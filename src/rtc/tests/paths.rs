//! Which of a client's addresses media goes to and comes from.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    super::{Codec, Direction, Event, Outgoing, Peer, Port},
    client::Client,
    port,
};

/// The peer of a client, with all the media that came from it.
struct Server {
    /// Sequence numbers.
    received: Arc<Mutex<HashSet<u16>>>,
    _ends: DropGuard,
}

impl Server {
    /// Serves the port, and sends a packet every ten milliseconds to a peer that takes them.
    fn start(port: Port, mut peer: Peer) -> Self {
        let (received, ends) = (Arc::<Mutex<HashSet<u16>>>::default(), CancellationToken::new());
        let (arrivals, ended) = (received.clone(), ends.clone());
        tokio::spawn({
            let ended = ended.clone();
            async move { port.serve(ended).await }
        });
        let driving = async move {
            let (mut pace, mut sequence) = (tokio::time::interval(Duration::from_millis(10)), 0_u16);
            loop {
                tokio::select! {
                    event = peer.recv() => match event {
                        Some(Event::Rtp(packet)) => {
                            arrivals.lock().unwrap().insert(packet.sequence);
                        }
                        Some(_) => {}
                        None => break,
                    },
                    _ = pace.tick() => {
                        sequence = sequence.wrapping_add(1);
                        let (timestamp, payload) = (u32::from(sequence) * 480, Bytes::from_static(&[0; 40]));
                        let packet = Outgoing { sequence, timestamp, marker: false, payload };
                        peer.send(Codec::Opus, packet, Instant::now());
                    }
                }
            }
        };
        tokio::spawn(async move { ended.run_until_cancelled(driving).await });
        Self { received, _ends: ends.drop_guard() }
    }
}

/// Waits until media comes to one of a client's addresses, and then to none of the others.
async fn goes_to(client: &mut Client, by: usize) {
    let enough = |client: &mut Client| client.heard[by] >= 10;
    client.heard = [0; 4];
    client.until("media comes there", enough).await;
    client.heard = [0; 4];
    client.until("media comes there", enough).await;
    let elsewhere: usize = client.heard.iter().sum::<usize>() - client.heard[by];
    assert_eq!(elsewhere, 0, "it also came elsewhere: {:?}", client.heard);
}

#[tokio::test]
async fn media_goes_to_where_a_viewer_speaks_from_whatever_it_nominates() {
    let port = port().await;
    let (mut client, peer) = Client::new(&port, Direction::Send).await;
    let _server = Server::start(port, peer);
    goes_to(&mut client, 0).await;
    // A client that nominates all that works, and has chosen before it is through.
    client.nominate(1).await;
    client.nominate(2).await;
    goes_to(&mut client, 0).await;
    for speaks in [1, 0, 2, 1] {
        client.speaks = speaks;
        goes_to(&mut client, speaks).await;
    }
    // An address that ICE has not validated, though what comes from there is genuine.
    client.speaks = 3;
    goes_to(&mut client, 1).await;
}

#[tokio::test]
async fn media_comes_by_every_pair_that_was_nominated_and_by_no_other() {
    let port = port().await;
    let (mut client, peer) = Client::new(&port, Direction::Receive).await;
    let server = Server::start(port, peer);
    let has = |number: u16| server.received.lock().unwrap().contains(&number);
    client.until("media", |_| !server.received.lock().unwrap().is_empty()).await;
    client.nominate(1).await;
    client.nominate(2).await;
    let (mut taken, mut passed_over) = (Vec::new(), Vec::new());
    for by in [3, 0, 1, 2, 3, 1, 0, 3, 2, 0] {
        client.speaks = by;
        let numbers = if by == 3 { &mut passed_over } else { &mut taken };
        numbers.push(client.say());
    }
    client.until("all of it", |_| taken.iter().all(|number| has(*number))).await;
    assert!(!passed_over.into_iter().any(has), "from an address that ICE has not validated");
}

#[tokio::test]
async fn a_client_that_leaves_the_first_pair_is_kept() {
    let port = port().await;
    let (mut client, peer) = Client::new(&port, Direction::Send).await;
    let server = Server::start(port, peer);
    goes_to(&mut client, 0).await;
    client.nominate(1).await;
    client.speaks = 1;
    goes_to(&mut client, 1).await;
    client.close(0);
    // Longer than a peer that is silent is kept.
    let left = Instant::now();
    while left.elapsed() < Duration::from_secs(12) {
        goes_to(&mut client, 1).await;
    }
    drop(server);
}
