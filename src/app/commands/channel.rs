use anyhow::{Context, Result};
use serde_json::json;

use crate::{
    access::{Keys, NewChannel, Secrets, StreamKey},
    app::{cli, config::Config, models::Manifest, speech},
    ingest::pull::Source,
    model::{LanguageTag, StreamName},
    serve::api::tracks::Missing,
    store::{Channel, Store},
    stream::Rank,
};

/// `amphi channel`: straight on the database, so that it works with and without a server.
pub(in crate::app) fn run(config: &Config, command: cli::Channel) -> Result<()> {
    cli::block_on(async {
        let store = Store::open(&config.data_dir).await?;
        let keys = Keys::new(store.clone(), Secrets::open(&config.data_dir)?);
        match command {
            cli::Channel::Add { name, title, language, model, translate, accurate, source, json } => {
                let language = language.unwrap_or_else(|| config.captions.language.clone());
                if model.is_some() {
                    can_hear(config, &language, model.as_deref())?;
                }
                let source = source.map(|text| told(config, text)).transpose()?;
                let (channel, key) = keys
                    .create_channel(NewChannel {
                        title: title.unwrap_or_else(|| name.to_string()),
                        language,
                        model,
                        translate,
                        accurate,
                        source: source.map(|source| source.url().to_string()),
                        name,
                    })
                    .await?;
                print(config, &keys, &channel, Some(&(key, None)), json)
            }
            cli::Channel::Change { name, title, language, model, translate, accurate, takeover, source, json } => {
                let mut channel = find(&store, &name).await?;
                channel.title = title.unwrap_or(channel.title);
                let heard_anew = language.is_some() || model.is_some();
                channel.language = language.unwrap_or(channel.language);
                channel.model = model.map_or(channel.model, |id| (!id.is_empty()).then_some(id));
                channel.accurate = accurate.unwrap_or(channel.accurate);
                channel.takeover = takeover.unwrap_or(channel.takeover);
                if let Some(source) = source {
                    channel.source = match source.as_str() {
                        "" => None,
                        _ => Some(keys.seal_source(&name, told(config, source)?.url().as_str())?),
                    };
                }
                if let Some(list) = translate {
                    let tags = list.split(',').map(str::trim).filter(|tag| !tag.is_empty());
                    channel.translate = tags.map(LanguageTag::parse).collect::<Result<_, _>>()?;
                }
                if heard_anew {
                    can_hear(config, &channel.language, channel.model.as_deref())?;
                }
                store.channels().update(&channel).await?;
                print(config, &keys, &channel, None, json)
            }
            cli::Channel::List { json } => list(&keys, &store.channels().list().await?, json),
            cli::Channel::Show { name, json } => show(config, &store, &keys, &name, json).await,
            cli::Channel::RotateKey { name, json } => {
                find(&store, &name).await?;
                keys.rotate(&name, Rank::Main).await?;
                show(config, &store, &keys, &name, json).await
            }
            cli::Channel::BackupKey { name, remove, json } => {
                find(&store, &name).await?;
                if remove {
                    keys.remove_backup(&name).await?;
                } else {
                    keys.rotate(&name, Rank::Backup).await?;
                }
                show(config, &store, &keys, &name, json).await
            }
            cli::Channel::OnAir { name, publisher } => {
                let token = Secrets::open(&config.data_dir)?.admin_token().to_owned();
                call(config, &token, &name, &publisher)
            }
            cli::Channel::Remove { name } => {
                find(&store, &name).await?;
                store.channels().remove(&name).await?;
                println!("removed {name}; its recordings stay");
                Ok(())
            }
        }
    })
}

/// A source that an argument names, or the first line of standard input where it is `-`.
fn told(config: &Config, mut text: String) -> Result<Source> {
    if text == "-" {
        text.clear();
        std::io::stdin().read_line(&mut text).context("reading the source from standard input")?;
    }
    let source = Source::parse(&text)?;
    config.pull.rule().check(&source)?;
    Ok(source)
}

/// What is missing is no error: its model may be fetched later. Nothing is known of it where the manifest is wrong.
fn missing(config: &Config, channel: &Channel) -> Option<Vec<Missing>> {
    let manifest = Manifest::load(&config.models_dir).inspect_err(|error| eprintln!("warning: {error:#}")).ok()?;
    let missing = speech::missing(&manifest, config, channel);
    for Missing { lang, reason } in &missing {
        eprintln!("warning: no captions in {lang} for now: {reason}");
    }
    Some(missing)
}

fn can_hear(config: &Config, language: &LanguageTag, model: Option<&str>) -> Result<()> {
    speech::can_hear(&Manifest::load(&config.models_dir)?, config, language, model)
}

async fn find(store: &Store, name: &StreamName) -> Result<Channel> {
    store
        .channels()
        .get(name)
        .await?
        .with_context(|| format!("no channel {name}: `amphi channel list` shows those there are"))
}

async fn show(config: &Config, store: &Store, keys: &Keys, name: &StreamName, json: bool) -> Result<()> {
    let channel = find(store, name).await?;
    print(config, keys, &channel, Some(&keys.reveal(name).await?), json)
}

/// Who is on the air is the running server's affair alone.
fn call(config: &Config, token: &str, name: &StreamName, publisher: &str) -> Result<()> {
    let address = config.http.listen.context("http.listen is empty: there is no server to ask")?;
    let address = cli::reachable(address);
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut answer = agent
        .put(format!("http://{address}/api/v1/channels/{name}/on-air"))
        .header("authorization", format!("Bearer {token}"))
        .send(json!({ "publisher": publisher }).to_string())
        .with_context(|| format!("no server answers at {address} (http.listen)"))?;
    if answer.status().is_success() {
        println!("{publisher} goes on the air with its next key frame");
        return Ok(());
    }
    let problem: serde_json::Value = serde_json::from_str(&answer.body_mut().read_to_string()?).unwrap_or_default();
    anyhow::bail!("{}", problem["detail"].as_str().unwrap_or("the server refused"))
}

/// Without its password.
fn source(keys: &Keys, channel: &Channel) -> Option<String> {
    let url = keys.source(channel).ok().flatten()?;
    Source::parse(&url).ok().map(|source| source.to_string())
}

/// A channel's main key, and that of its backup publisher.
type Shown = (StreamKey, Option<StreamKey>);

fn describe(keys: &Keys, channel: &Channel, shown: Option<&Shown>) -> serde_json::Value {
    let mut value = json!({
        "name": channel.name,
        "title": channel.title,
        "language": channel.language,
        "model": channel.model,
        "translate": channel.translate,
        "accurate": channel.accurate,
        "takeover": channel.takeover,
        "source": source(keys, channel),
    });
    if let Some((key, backup)) = shown {
        value["stream_key"] = key.reveal().into();
        value["backup_key"] = backup.as_ref().map(StreamKey::reveal).into();
    }
    value
}

fn print(config: &Config, keys: &Keys, channel: &Channel, shown: Option<&Shown>, json: bool) -> Result<()> {
    let missing = missing(config, channel);
    if json {
        let mut value = describe(keys, channel, shown);
        value["missing"] = json!(missing);
        println!("{value}");
        return Ok(());
    }
    let port = config.rtmp.listen.map_or(1935, |address| address.port());
    let translate: Vec<_> = channel.translate.iter().map(ToString::to_string).collect();
    println!("channel     {} ({})", channel.name, channel.title);
    println!("language    {}", channel.language);
    if let Some(model) = &channel.model {
        println!("model       {model}");
    }
    println!("translated  {}", if translate.is_empty() { "no".into() } else { translate.join(", ") });
    if channel.accurate {
        println!("captions    before their picture: viewers stay 3 s behind");
    }
    if let Some(source) = source(keys, channel) {
        println!("source      {source}");
    }
    if let Some((key, backup)) = shown {
        println!("stream key  {}", key.reveal());
        if let Some(backup) = backup {
            println!("backup key  {} (a second encoder with it stands by)", backup.reveal());
        }
        println!("in OBS      server rtmp://HOST:{port}/live, stream key as above");
        println!("by URL      rtmp://HOST:{port}/live/{}?key={}", channel.name, key.reveal());
    }
    println!("page        /watch/{}", channel.name);
    Ok(())
}

fn list(keys: &Keys, channels: &[Channel], json: bool) -> Result<()> {
    if json {
        let items: Vec<_> = channels.iter().map(|channel| describe(keys, channel, None)).collect();
        println!("{}", json!({ "items": items }));
        return Ok(());
    }
    if channels.is_empty() {
        println!("no channels yet: `amphi channel add NAME` makes one");
    }
    for channel in channels {
        println!("{:24} {:8} {}", channel.name, channel.language, channel.title);
    }
    Ok(())
}
