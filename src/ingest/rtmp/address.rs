//! Where a publisher wants to go: the URL forms that encoders make of server and stream key. Pure.

use crate::model::{InvalidName, StreamName};

/// The first path segment of every publishing URL.
pub const APPLICATION: &str = "live";

/// What connect and publish name together. No `Debug`: it holds the key.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// The channel, where the URL names it.
    pub channel: Option<StreamName>,
    /// The stream key.
    pub key: String,
}

/// Why an address leads nowhere; the text is for the publisher's screen and may repeat what it sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Another application than [`APPLICATION`].
    #[error("no such application: set the server to rtmp://HOST/live")]
    Application,
    /// Neither part names a key.
    #[error("the stream key is missing: enter it in the encoder")]
    NoKey,
    /// More path than a channel and a key.
    #[error("too many path segments: use rtmp://HOST/live and the stream key")]
    Path,
    /// A channel's name that cannot be one.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

/// Whether a connect's `app` can lead anywhere.
pub fn is_application(app: &str) -> bool {
    segments(split(app).0).next() == Some(APPLICATION)
}

impl Address {
    /// Puts an address together from connect's `app` and `tcUrl` and publish's name.
    ///
    /// Encoders split the same URL at different places: `live` + `KEY`, `live` + `NAME?key=KEY`,
    /// `live/NAME?key=KEY` + nothing, `live/NAME` + `KEY`, `live` + `NAME` with the query in `tcUrl`.
    ///
    /// # Errors
    /// [`Invalid`] says what to change.
    pub fn parse(app: &str, tc_url: &str, name: &str) -> Result<Self, Invalid> {
        let ((app, app_query), (name, name_query)) = (split(app), split(name));
        let mut path = segments(app);
        if path.next() != Some(APPLICATION) {
            return Err(Invalid::Application);
        }
        let key = [name_query, app_query, split(tc_url).1].into_iter().find_map(key_in);
        let mut path = path.chain(segments(name));
        let (first, second, rest) = (path.next(), path.next(), path.next());
        if rest.is_some() {
            return Err(Invalid::Path);
        }
        match (first, second, key) {
            (Some(key), None, None) => Ok(Self { channel: None, key: key.into() }),
            (Some(channel), Some(key), None) => {
                Ok(Self { channel: Some(StreamName::parse(channel)?), key: key.into() })
            }
            (Some(channel), None, Some(key)) => Ok(Self { channel: Some(StreamName::parse(channel)?), key }),
            // The channel stands in the server's URL and again as the stream's name.
            (Some(channel), Some(again), Some(key)) if channel == again => {
                Ok(Self { channel: Some(StreamName::parse(channel)?), key })
            }
            (Some(_), Some(_), Some(_)) => Err(Invalid::Path),
            (None, _, Some(key)) => Ok(Self { channel: None, key }),
            (None, _, None) => Err(Invalid::NoKey),
        }
    }
}

fn split(text: &str) -> (&str, &str) {
    text.split_once('?').unwrap_or((text, ""))
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

fn key_in(query: &str) -> Option<String> {
    let value = query.split(['&', '?']).find_map(|pair| pair.strip_prefix("key="))?;
    (!value.is_empty()).then(|| percent_decoded(value))
}

/// RFC 3986 §2.1; what is not an escape stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match rest {
            [b'%', high, low, ..] => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &rest[3..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(app: &str, tc_url: &str, name: &str, channel: Option<&str>, key: &str) {
        let address = Address::parse(app, tc_url, name).unwrap_or_else(|error| panic!("{app} {name}: {error}"));
        assert_eq!(address.channel.as_ref().map(StreamName::as_str), channel, "{app} {name}");
        assert_eq!(address.key, key, "{app} {name}");
    }

    #[test]
    fn the_forms_encoders_make() {
        check("live", "rtmp://h/live", "s3cret", None, "s3cret");
        check("live/", "rtmp://h/live/", "s3cret", None, "s3cret");
        check("live", "rtmp://h/live", "maths?key=s3cret", Some("maths"), "s3cret");
        check("live/maths?key=s3cret", "rtmp://h/live/maths?key=s3cret", "", Some("maths"), "s3cret");
        check("live/maths?key=s3cret", "", "maths", Some("maths"), "s3cret");
        check("live/maths", "rtmp://h/live/maths", "s3cret", Some("maths"), "s3cret");
        check("live", "rtmp://h/live", "maths/s3cret", Some("maths"), "s3cret");
        check("live", "rtmp://h/live?key=s3cret", "maths", Some("maths"), "s3cret");
        check("live?key=s3cret", "", "maths", Some("maths"), "s3cret");
        check("live", "", "maths?token=x&key=a%2Fb%3d&y=1", Some("maths"), "a/b=");
        check("live", "", "?key=s3cret", None, "s3cret");
    }

    #[test]
    fn what_leads_nowhere_says_why() {
        let wrong = |app: &str, name: &str| Address::parse(app, "", name).err();
        assert_eq!(wrong("vod", "s3cret"), Some(Invalid::Application));
        assert_eq!(wrong("", "s3cret"), Some(Invalid::Application));
        assert_eq!(wrong("live", ""), Some(Invalid::NoKey));
        assert_eq!(wrong("live", "a/b/c"), Some(Invalid::Path));
        for name in ["..?key=k", "../../etc/passwd", "%2e%2e?key=k", "a\0?key=k", "a\n?key=k", "Ä?key=k"] {
            assert!(matches!(wrong("live", name), Some(Invalid::Name(_) | Invalid::Path)), "{name}");
        }
        let long = format!("{}?key=k", "x".repeat(65_000));
        assert!(wrong("live", &long).unwrap().to_string().len() < 300);
    }
}
