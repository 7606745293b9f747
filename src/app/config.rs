//! The configuration: one file, overridden by the environment. `config/amphi.toml` is its reference.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::{
    ingest::{pull, srt::Passphrase},
    model::LanguageTag,
    serve::rtc::IceServer,
};

/// The reference file, which is also where every default comes from.
pub const REFERENCE: &str = include_str!("../../config/amphi.toml");

/// Everything an operator can set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Recordings, database and secrets.
    pub data_dir: PathBuf,
    /// Speech and translation models.
    pub models_dir: PathBuf,
    /// How long a live waits for a publisher that went away.
    #[serde(deserialize_with = "duration")]
    pub reconnect_grace: Duration,
    /// How long a stop may take.
    #[serde(deserialize_with = "duration")]
    pub drain_timeout: Duration,
    /// Pages, HLS, websockets, API.
    pub http: SecurableListener,
    /// RTMP ingest.
    pub rtmp: SecurableListener,
    /// The certificate.
    pub tls: Tls,
    /// RTSP, publishers and readers.
    pub rtsp: Listener,
    /// WebRTC.
    pub webrtc: WebRtc,
    /// SRT ingest.
    pub srt: Srt,
    /// Not spoken yet.
    pub vosk: Listener,
    /// Sources the server fetches.
    pub pull: Pull,
    /// Delivery.
    pub hls: Hls,
    /// Renditions below the source.
    pub ladder: Ladder,
    /// Speech and translation.
    pub captions: Captions,
    /// The archive.
    pub recording: Recording,
    /// Logs.
    pub log: Log,
}

/// One protocol's address.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// `HOST:PORT`, `None` where the protocol is off.
    #[serde(deserialize_with = "address")]
    pub listen: Option<SocketAddr>,
}

/// One protocol's addresses, plain and in TLS.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecurableListener {
    /// `HOST:PORT`, `None` where the protocol is off.
    #[serde(deserialize_with = "address")]
    pub listen: Option<SocketAddr>,
    /// `HOST:PORT` in TLS, where there is a certificate.
    #[serde(deserialize_with = "address")]
    pub tls_listen: Option<SocketAddr>,
}

/// See `[tls]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The chain; `None`: no TLS.
    #[serde(deserialize_with = "optional_path")]
    pub certificate: Option<PathBuf>,
    /// Its key.
    #[serde(deserialize_with = "optional_path")]
    pub key: Option<PathBuf>,
}

/// See `[webrtc]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebRtc {
    /// `HOST:PORT` for UDP and TCP, `None` where it is off.
    #[serde(deserialize_with = "address")]
    pub listen: Option<SocketAddr>,
    /// Addresses that clients are told before the machine's own; port 0 stands for that of `listen`.
    #[serde(deserialize_with = "public")]
    pub public: Vec<SocketAddr>,
    /// STUN and TURN servers that clients are told.
    pub ice_servers: Vec<IceServer>,
}

/// See `[srt]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Srt {
    /// `HOST:PORT`, `None` where the protocol is off.
    #[serde(deserialize_with = "address")]
    pub listen: Option<SocketAddr>,
    /// What callers must encrypt with; `None`: nothing.
    #[serde(deserialize_with = "passphrase")]
    pub passphrase: Option<Passphrase>,
    /// How long a packet may be under way, retransmissions included.
    #[serde(deserialize_with = "duration")]
    pub latency: Duration,
}

/// See `[pull]`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pull {
    /// Whether sources may lie at addresses that only this machine or its neighbours reach.
    pub private: bool,
}

/// See `[hls]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hls {
    /// How much of a live its playlists list; at least 36 s.
    #[serde(deserialize_with = "duration")]
    pub window: Duration,
    /// How far viewers may go back in a live that is recorded; zero: not at all.
    #[serde(deserialize_with = "duration")]
    pub rewind: Duration,
}

/// See `[ladder]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ladder {
    /// Whether rungs are made.
    pub enabled: bool,
    /// Heights in lines.
    #[serde(deserialize_with = "one_or_many")]
    pub rungs: Vec<u32>,
    /// Templates that replace the built-in ones.
    #[serde(deserialize_with = "optional_path")]
    pub pipelines_dir: Option<PathBuf>,
}

/// See `[captions]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Captions {
    /// Whether speech is recognised.
    pub enabled: bool,
    /// Whether a live's captions are estimated after it.
    pub estimates: bool,
    /// The language of channels that name none.
    pub language: LanguageTag,
    /// Threads of one decoding, 1 to 64.
    pub threads: u8,
    /// The engine's binary.
    #[serde(deserialize_with = "optional_path")]
    pub engine: Option<PathBuf>,
    /// Bytes that one engine may take; `None`: what its model's size allows for.
    #[serde(deserialize_with = "memory")]
    pub engine_memory: Option<u64>,
    /// Where Hunspell dictionaries are, for capitals of bare words; empty: nowhere.
    pub dictionaries: PathBuf,
    /// Model ids by language.
    #[serde(default)]
    pub models: BTreeMap<LanguageTag, String>,
}

/// See `[recording]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    /// Whether lives are recorded.
    pub enabled: bool,
}

/// See `[log]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// `tracing` filter directives.
    pub filter: String,
    /// How lines look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

impl Pull {
    /// Which machines may be asked.
    pub fn rule(self) -> pull::Rule {
        pull::Rule { private: self.private, allowed: &[] }
    }
}

impl Config {
    /// Reads the defaults, then `file`, then the environment (`AMPHI_SECTION__KEY`), then `data`.
    ///
    /// # Errors
    /// Says which key is wrong and where it came from.
    pub fn load(file: Option<&Path>, data: Option<&Path>) -> Result<Self> {
        let variables = std::env::vars().filter(|(key, _)| {
            // Of the build and test scripts, not of the server.
            key.starts_with("AMPHI_") && !matches!(key.as_str(), "AMPHI_CACHE" | "AMPHI_LIB" | "AMPHI_VENV")
        });
        Self::layered(file, variables.collect(), data)
    }

    fn layered(file: Option<&Path>, variables: Vec<(String, String)>, data: Option<&Path>) -> Result<Self> {
        let mut builder =
            config::Config::builder().add_source(config::File::from_str(REFERENCE, config::FileFormat::Toml));
        if let Some(file) = file {
            ensure!(file.is_file(), "no configuration file at {}: check --config", file.display());
            builder = builder.add_source(config::File::from(file).format(config::FileFormat::Toml));
        }
        let environment = config::Environment::with_prefix("AMPHI")
            .prefix_separator("_")
            .separator("__")
            .try_parsing(true)
            .list_separator(",")
            .with_list_parse_key("ladder.rungs")
            .with_list_parse_key("webrtc.public")
            .source(Some(variables.into_iter().collect()));
        builder = builder.add_source(environment);
        if let Some(data) = data {
            builder = builder.set_override("data_dir", data.to_string_lossy().into_owned())?;
        }
        let mut config: Self =
            builder.build().and_then(config::Config::try_deserialize).context("the configuration is wrong")?;
        config.data_dir = home(&config.data_dir);
        config.models_dir = home(&config.models_dir);
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        ensure!(self.hls.window >= Duration::from_secs(36), "hls.window must be at least 36s");
        ensure!(self.hls.rewind <= Duration::from_secs(86_400), "hls.rewind must be at most 24h");
        let together = self.tls.certificate.is_some() == self.tls.key.is_some();
        ensure!(together, "tls.certificate and tls.key go together: set both, or neither");
        ensure!(self.srt.latency <= Duration::from_secs(8), "srt.latency must be at most 8s");
        ensure!((1..=64).contains(&self.captions.threads), "captions.threads must lie between 1 and 64");
        for rung in &self.ladder.rungs {
            ensure!([1080, 720, 480, 360, 240].contains(rung), "ladder.rungs knows 1080, 720, 480, 360 and 240");
        }
        Ok(())
    }
}

/// `~` at the beginning is the home folder.
fn home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_owned(),
    }
}

fn address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() {
        return Ok(None);
    }
    // A bare port or host name is resolved the way `bind` would.
    let addresses = std::net::ToSocketAddrs::to_socket_addrs(text.as_str())
        .map_err(|error| D::Error::custom(format!("{text:?} is no HOST:PORT ({error})")))?;
    addresses.into_iter().next().map(Some).ok_or_else(|| D::Error::custom(format!("{text:?} names no address")))
}

fn optional_path<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    let text = String::deserialize(from)?;
    Ok((!text.is_empty()).then(|| home(Path::new(&text))))
}

fn passphrase<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Passphrase>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() { Ok(None) } else { Passphrase::parse(&text).map(Some).map_err(D::Error::custom) }
}

/// The environment writes a list of one as that one.
fn one_or_many<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum List<T> {
        One(T),
        Many(Vec<T>),
    }
    Ok(match List::deserialize(from)? {
        List::One(one) => vec![one],
        List::Many(many) => many,
    })
}

/// `IP` or `IP:PORT`, one or several.
fn public<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<SocketAddr>, D::Error> {
    let parse = |text: &String| {
        let address = text.parse().or_else(|_| text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 0)));
        address.map_err(|_| D::Error::custom(format!("{text:?} is no IP, and no IP:PORT (webrtc.public)")))
    };
    one_or_many::<D, String>(from)?.iter().map(parse).collect()
}

/// `500ms`, `30s`, `5m`, `2h`, or a number of seconds.
fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Text {
        Seconds(u32),
        Written(String),
    }
    match Text::deserialize(from)? {
        Text::Seconds(seconds) => Ok(Duration::from_secs(seconds.into())),
        Text::Written(text) => parse_duration(&text).map_err(D::Error::custom),
    }
}

fn parse_duration(text: &str) -> Result<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u32 = number.parse().with_context(|| format!("{text:?} is no duration such as 30s or 5m"))?;
    let unit = match unit {
        "ms" => Duration::from_millis(1),
        "" | "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(3600),
        _ => bail!("{text:?} is no duration: use ms, s, m or h"),
    };
    Ok(unit * number)
}

/// `800M`, `2G`; nothing: none.
fn memory<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() {
        return Ok(None);
    }
    let unit = |unit: char, shift: u32| text.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(1 << shift);
    let bytes = unit('M', 20).or_else(|| unit('G', 30));
    bytes.map(Some).ok_or_else(|| D::Error::custom(format!("{text:?} is no memory such as 800M or 2G")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    }

    #[test]
    fn the_reference_file_is_complete() {
        let config = Config::layered(None, vec![], None).unwrap();
        assert_eq!(config.http.listen.unwrap().port(), 8080);
        assert_eq!(config.ladder.rungs, [480, 240]);
        assert_eq!(config.reconnect_grace, Duration::from_secs(30));
        assert_eq!(config.hls.rewind, Duration::from_secs(7_200));
        assert_eq!(config.srt.listen.unwrap().port(), 8890);
        assert_eq!(config.captions.engine_memory, None);
        assert_eq!(config.rtmp.tls_listen.unwrap().port(), 1936);
        assert!(config.tls.certificate.is_none());
    }

    #[test]
    fn the_environment_overrides() {
        let environment = variables(&[
            ("AMPHI_HTTP__LISTEN", "127.0.0.1:0"),
            ("AMPHI_DATA_DIR", "/tmp/x"),
            ("AMPHI_RECONNECT_GRACE", "2s"),
            ("AMPHI_HLS__REWIND", "0"),
            ("AMPHI_LADDER__ENABLED", "false"),
            ("AMPHI_RTMP__LISTEN", ""),
            ("AMPHI_CAPTIONS__ENGINE_MEMORY", "800M"),
            ("AMPHI_WEBRTC__PUBLIC", "203.0.113.5,203.0.113.5:18189,2001:db8::5"),
        ]);
        let config = Config::layered(None, environment, None).unwrap();
        assert_eq!(config.http.listen.unwrap().to_string(), "127.0.0.1:0");
        assert_eq!(config.data_dir, Path::new("/tmp/x"));
        assert_eq!(config.reconnect_grace, Duration::from_secs(2));
        assert!(config.hls.rewind.is_zero());
        assert!(!config.ladder.enabled && config.rtmp.listen.is_none());
        assert_eq!(config.captions.engine_memory, Some(800 << 20));
        let public: Vec<_> = config.webrtc.public.iter().map(SocketAddr::to_string).collect();
        assert_eq!(public, ["203.0.113.5:0", "203.0.113.5:18189", "[2001:db8::5]:0"]);
    }

    #[test]
    fn mistakes_are_named() {
        for (key, value, says) in [
            ("AMPHI_HTTP__LISTEN", "nowhere", "nowhere"),
            ("AMPHI_HTP__LISTEN", "127.0.0.1:1", "htp"),
            ("AMPHI_RECONNECT_GRACE", "soon", "soon"),
            ("AMPHI_LADDER__RUNGS", "999", "1080"),
            ("AMPHI_CAPTIONS__ENGINE_MEMORY", "2 apples", "800M"),
            ("AMPHI_WEBRTC__PUBLIC", "stream.example.org", "webrtc.public"),
            ("AMPHI_TLS__KEY", "privkey.pem", "tls.certificate"),
            ("AMPHI_SRT__PASSPHRASE", "too short", "10 to 79"),
        ] {
            let error = Config::layered(None, variables(&[(key, value)]), None).unwrap_err();
            assert!(format!("{error:#}").contains(says), "{key}: {error:#}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(parse_duration("2h").unwrap(), Duration::from_secs(7200));
        assert!(parse_duration("-1s").is_err() && parse_duration("1y").is_err());
    }
}
