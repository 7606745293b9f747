//! Callers that are turned away.

use amphi::ingest::srt::{
    Error,
    pull::{Connection, Source},
};

use super::*;

/// Tries to publish with ffmpeg, which must fail.
async fn refused(fixture: &Fixture, query: &str) {
    let output = finished(&mut publish(&fixture.url(query), "-t 20")).await;
    assert!(!output.status.success(), "{query} was let in");
    assert!(fixture.registry.lives().is_empty(), "{query}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_nothing_that_opens_is_turned_away() {
    let fixture = Fixture::start();
    for query in [
        "streamid=publish:maths:wrong-key",
        &format!("streamid=publish:chemistry:{KEY}"),
        &format!("streamid=publish:../maths:{KEY}"),
        &format!("streamid={KEY}"),
        &format!("streamid=read:maths:{KEY}"),
        &format!("streamid=%23!::r=maths,s={KEY}"),
        "transtype=live",
        // Without the key, and without encryption that would prove it.
        "streamid=publish:maths",
        "streamid=publish:maths&passphrase=another-secret",
        "streamid=publish:chemistry&passphrase=another-secret",
        // There is no backup key, and the main one is none.
        &format!("streamid=publish:maths:backup&passphrase={KEY}"),
        // Encrypted, where nothing says with what.
        &format!("streamid=publish:maths:{KEY}&passphrase={KEY}"),
    ] {
        refused(&fixture, query).await;
    }
    fixture.stop().await;
    let fixture = Fixture::encrypted("correct-horse");
    for query in [
        format!("streamid=publish:maths:{KEY}"),
        format!("streamid=publish:maths:{KEY}&passphrase=battery-staple"),
        "streamid=publish:maths&passphrase=correct-horse".into(),
        "streamid=publish:maths:wrong-key&passphrase=correct-horse".into(),
    ] {
        refused(&fixture, &query).await;
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_are_told_why() {
    let fixture = Fixture::encrypted("correct-horse");
    for (query, code) in [
        ("streamid=maths", "1400"),
        ("streamid=publish:chemistry", "1404"),
        ("streamid=play:maths", "1405"),
        ("streamid=%23!::r=maths,m=publish,t=file", "1415"),
        ("streamid=publish:maths:x&passphrase=battery-staple", "10"),
    ] {
        let source = Source::parse(&fixture.url(query)).unwrap();
        let Err(Error::Library(_, failure)) = Connection::open(fixture.address, &source).await else {
            panic!("{query}")
        };
        let told = failure.to_string();
        assert!(told.contains(&format!("({code})")), "{query}: {told}");
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_publisher_is_refused_and_the_first_goes_on() {
    let mut fixture = Fixture::start();
    let url = fixture.url(&format!("streamid=publish:maths:{KEY}"));
    let _first = publish(&url, "-t 600").spawn().unwrap();
    let (live, mut consumer) = fixture.live().await;
    let mut heard = pictures(&mut consumer, 10).await;
    assert!(!finished(&mut publish(&url, "-t 20")).await.status.success());
    let more = pictures(&mut consumer, 50).await;
    heard.video.extend(more.video);
    heard.audio.extend(more.audio);
    heard.check_times(Duration::from_millis(45));
    assert_eq!(live.stats().reconnects, 0);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn passphrases_tried_in_a_loop_are_slowed_down_and_disturb_nobody() {
    let mut fixture = Fixture::encrypted("correct-horse");
    let right = fixture.url(&format!("streamid=publish:maths:{KEY}&passphrase=correct-horse"));
    let _publisher = publish(&right, "-t 600").spawn().unwrap();
    let (live, mut consumer) = fixture.live().await;
    let mut heard = pictures(&mut consumer, 10).await;
    let (mut overloaded, address) = (0, fixture.address);
    for attempt in 0..60 {
        let wrong = format!("streamid=publish:physics:{KEY}&passphrase=battery-staple-{attempt}");
        let source = Source::parse(&url(address, &wrong)).unwrap();
        let Err(error) = Connection::open(address, &source).await else { panic!("let in") };
        overloaded += usize::from(matches!(error, Error::Library(_, failure) if failure.to_string().contains("1402")));
    }
    assert!(overloaded > 0, "never slowed down");
    let more = pictures(&mut consumer, 30).await;
    heard.video.extend(more.video);
    heard.audio.extend(more.audio);
    heard.check_times(Duration::from_millis(45));
    assert_eq!((live.state(), fixture.registry.lives().len()), (State::Live, 1));
    // Whoever knows it comes in once the loop has ended.
    let right =
        Source::parse(&fixture.url(&format!("streamid=publish:physics:{KEY}&passphrase=correct-horse"))).unwrap();
    in_time(async {
        while Connection::open(address, &right).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_who_fill_every_place_do_not_touch_publishers() {
    struct Deaf;
    impl Door for Deaf {
        fn admit(&self, _: Knock) -> Pin<Box<dyn Future<Output = Result<Publication, Refusal>> + Send + '_>> {
            Box::pin(std::future::pending())
        }
    }
    let settings = Settings { strangers: 2, ..Settings::default() };
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), Arc::new(Deaf), settings).unwrap();
    let (address, cancel) = (server.local_addr().unwrap(), CancellationToken::new());
    let serving = tokio::spawn(server.serve(cancel.clone()));
    let source = Source::parse(&url(address, "streamid=publish:maths:x")).unwrap();
    let mut strangers = Vec::new();
    let told = in_time(async {
        loop {
            match Connection::open(address, &source).await {
                Ok(connection) => strangers.push(connection),
                Err(error) => break format!("{}", amphi::model::Chain(&error)),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(told.contains("1402") && strangers.len() <= 4, "{} strangers, then: {told}", strangers.len());
    cancel.cancel();
    in_time(serving).await.unwrap();
}
