use std::net::SocketAddr;

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::{
    access::{Keys, NewChannel, Secrets},
    app::{cli, config::Config, demo, logs},
    model::{LanguageTag, StreamName},
    store::Store,
};

static ENGLISH: &[u8] = include_bytes!("../../../demo/lecture-en.flv");
static KOREAN: &[u8] = include_bytes!("../../../demo/korean.flv");

/// A bundled lecture and the channel it goes to.
struct Lecture {
    channel: StreamName,
    title: &'static str,
    language: &'static str,
    translate: &'static [&'static str],
    film: &'static [u8],
}

/// `amphi demo`: publishes into a running server until Ctrl-C.
pub(in crate::app) fn run(config: &Config, channel: Option<StreamName>, server: &str) -> Result<()> {
    logs::start(&config.log)?;
    cli::block_on(async {
        let keys = keys(config).await?;
        let lectures = match channel {
            Some(channel) => vec![english(channel)],
            None => bundled()?,
        };
        let cancel = CancellationToken::new();
        let mut streams = tokio::task::JoinSet::new();
        for lecture in lectures {
            let key = ensure(&keys, &lecture).await?;
            println!("streaming to {server}, channel {}: /watch/{}", lecture.channel, lecture.channel);
            let (server, cancel) = (server.to_owned(), cancel.clone());
            streams.spawn(async move { stream(&server, &lecture, &key, cancel).await });
        }
        tokio::select! {
            _ = tokio::signal::ctrl_c() => cancel.cancel(),
            Some(ended) = streams.join_next() => ended??,
        }
        while let Some(ended) = streams.join_next().await {
            ended??;
        }
        Ok(())
    })
}

/// Streams the bundled lectures into this process's own server, over its RTMP port.
pub(super) async fn start(
    config: &Config,
    rtmp: Option<SocketAddr>,
    http: Option<SocketAddr>,
    cancel: CancellationToken,
) -> Result<()> {
    let rtmp = cli::reachable(rtmp.context("the demo streams over RTMP, and rtmp.listen is empty")?);
    let keys = keys(config).await?;
    for lecture in bundled()? {
        let key = ensure(&keys, &lecture).await?;
        if let Some(http) = http {
            println!("watch  http://{}/watch/{}  {}", cli::reachable(http), lecture.channel, lecture.title);
        }
        let cancel = cancel.clone();
        tokio::spawn(async move {
            if let Err(error) = stream(&rtmp.to_string(), &lecture, &key, cancel).await {
                tracing::error!(error = format!("{error:#}"), channel = %lecture.channel, "the demo stopped");
            }
        });
    }
    Ok(())
}

async fn stream(server: &str, lecture: &Lecture, key: &str, cancel: CancellationToken) -> Result<()> {
    let name = format!("{}?key={key}", lecture.channel);
    demo::publish(server, "live", &name, Bytes::from_static(lecture.film), cancel, true).await
}

fn bundled() -> Result<Vec<Lecture>> {
    let korean = Lecture {
        channel: StreamName::parse("demo-ko")?,
        title: "인공지능 강의 (Korean, Vosk)",
        language: "ko",
        translate: &[],
        film: KOREAN,
    };
    Ok(vec![english(StreamName::parse("demo")?), korean])
}

fn english(channel: StreamName) -> Lecture {
    Lecture { channel, title: "Waves: a lecture in two minutes", language: "en", translate: &["pt"], film: ENGLISH }
}

async fn keys(config: &Config) -> Result<Keys> {
    Ok(Keys::new(Store::open(&config.data_dir).await?, Secrets::open(&config.data_dir)?))
}

/// The channel's key; the channel is made if need be.
async fn ensure(keys: &Keys, lecture: &Lecture) -> Result<String> {
    if let Ok((key, _)) = keys.reveal(&lecture.channel).await {
        return Ok(key.reveal().to_owned());
    }
    let translate: Result<Vec<_>, _> = lecture.translate.iter().map(|tag| LanguageTag::parse(tag)).collect();
    let new = NewChannel {
        accurate: false,
        source: None,
        name: lecture.channel.clone(),
        title: lecture.title.into(),
        language: LanguageTag::parse(lecture.language)?,
        model: None,
        translate: translate?,
    };
    Ok(keys.create_channel(new).await?.1.reveal().to_owned())
}
