//! A lecture hall of subscribers on one channel.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::StreamExt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use tokio::{net::TcpStream, sync::Barrier, task::JoinSet};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use crate::{
    captions::{word_error_rate, words},
    support::{SOON, Server, media},
};

const LECTURE: &str = include_str!("../media/lecture-en.txt");
const SUBSCRIBERS: usize = 1_000;
/// Connections that are opened at a time: no lecture hall opens its page in the same millisecond.
const AT_A_TIME: usize = 50;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

#[test]
fn a_thousand_subscribers_all_hear_everything() {
    raise_open_file_limit();
    let server = Server::start(&[("AMPHI_RECONNECT_GRACE", "1s"), ("AMPHI_LADDER__ENABLED", "false")]);
    let key = server.channel("waves", &[]);
    let url = format!("{}/api/v1/channels/waves/captions/ws?lang=en", server.http.replace("http", "ws"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let lectures = runtime.block_on(async {
        let seated = Arc::new(Barrier::new(SUBSCRIBERS + 1));
        let mut hall = JoinSet::new();
        for _ in 0..SUBSCRIBERS / AT_A_TIME {
            let arriving: JoinSet<_> = (0..AT_A_TIME).map(|_| connect_async(url.clone())).collect();
            for socket in arriving.join_all().await {
                let (socket, _) = socket.unwrap();
                hall.spawn(listen(socket, seated.clone()));
            }
        }
        tokio::time::timeout(SOON, seated.wait()).await.expect("everybody hears that the channel is idle");
        let rtmp = format!("{}/waves?key={key}", server.rtmp);
        let publisher = server.publish(&media("lecture-en.opus"), &rtmp, &["-t", "20"]);
        let lectures = tokio::time::timeout(3 * SOON, hall.join_all()).await.expect("the live ends for everybody");
        assert!(publisher.finish().0);
        lectures
    });

    let first = &lectures[0];
    assert_eq!(lectures.len(), SUBSCRIBERS);
    let cues: Vec<Value> = first.iter().map(|cue| serde_json::from_str(cue).unwrap()).collect();
    let newest: BTreeMap<u64, &Value> = cues.iter().map(|cue| (cue["id"].as_u64().unwrap(), cue)).collect();
    assert!(newest.values().all(|cue| cue["final"] == true), "every cue becomes final: {newest:?}");
    let said = newest.values().map(|cue| cue["text"].as_str().unwrap()).collect::<Vec<_>>().join(" ");
    assert!(words(&said).len() > 30 && word_error_rate(LECTURE, &said) <= 0.1, "{said}");
    for (nth, lecture) in lectures.iter().enumerate() {
        assert_eq!(lecture.len(), first.len(), "subscriber {nth} heard another number of cues");
        assert!(lecture == first, "subscriber {nth} heard something else");
    }
}

/// A shell's 1,024 open files are too few for this end of the connections.
/// Lets this process have as many sockets as it may.
pub fn raise_open_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}

/// Every cue message, byte by byte, from before the live to its end.
async fn listen(mut socket: Socket, seated: Arc<Barrier>) -> Vec<String> {
    let (mut cues, mut waiting) = (Vec::new(), true);
    while let Some(message) = socket.next().await {
        match message.unwrap() {
            Message::Text(text) if text.contains(r#""type":"cue""#) => cues.push(text.to_string()),
            Message::Text(text) if text.contains(r#""type":"end""#) => break,
            Message::Text(text) => {
                let status: Value = serde_json::from_str(&text).unwrap();
                assert!(status["dropped"].as_u64().unwrap_or(0) == 0, "{text}");
                if std::mem::take(&mut waiting) {
                    assert_eq!(status["state"], "idle", "{text}");
                    seated.wait().await;
                }
            }
            _ => {}
        }
    }
    let _ = tokio::time::timeout(Duration::from_secs(5), socket.close(None)).await;
    cues
}
