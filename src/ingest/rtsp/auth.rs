//! Basic and digest authentication (RFC 7617, RFC 2617 as RFC 2326 §16 has it), both sides. Pure.

use std::fmt::Write as _;

use base64::{Engine, engine::general_purpose::STANDARD};
use md5::{Digest as _, Md5};

/// What the server calls itself in challenges.
pub const REALM: &str = "amphi";

/// What a client shows.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Name and password themselves.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// Proof of knowing the password.
    Digest(Digest),
}

/// The fields of a digest, as a client sent them.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Digest {
    /// The name.
    pub user: String,
    /// Of the challenge.
    pub realm: String,
    /// Of the challenge.
    pub nonce: String,
    /// What is asked for.
    pub uri: String,
    /// 32 hexadecimal digits.
    pub response: String,
    /// `auth`, or empty for the older form.
    pub qop: String,
    /// The client's count, with `qop`.
    pub nc: String,
    /// The client's own number, with `qop`.
    pub cnonce: String,
}

/// What a server wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// Name and password.
    Basic,
    /// A digest with this realm and nonce, `auth` if it offers that quality.
    Digest {
        /// For which part of the server.
        realm: String,
        /// Its number.
        nonce: String,
        /// It offers `auth`.
        auth: bool,
        /// To be sent back as it is.
        opaque: Option<String>,
    },
}

impl Credentials {
    /// Reads an `Authorization` header.
    pub fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ')?;
        if scheme.eq_ignore_ascii_case("basic") {
            let text = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
            let (user, password) = text.split_once(':')?;
            return Some(Self::Basic { user: user.into(), password: password.into() });
        }
        if !scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let mut digest = Digest::default();
        for (name, value) in fields(rest) {
            match name.to_ascii_lowercase().as_str() {
                "username" => digest.user = value,
                "realm" => digest.realm = value,
                "nonce" => digest.nonce = value,
                "uri" => digest.uri = value,
                "response" => digest.response = value,
                "qop" => digest.qop = value,
                "nc" => digest.nc = value,
                "cnonce" => digest.cnonce = value,
                // Nothing but MD5 was offered.
                "algorithm" if !value.eq_ignore_ascii_case("md5") => return None,
                _ => {}
            }
        }
        Some(Self::Digest(digest))
    }
}

impl Digest {
    /// What the response must be if the client knows `password` (RFC 2617 §3.2.2).
    pub fn expected(&self, method: &str, password: &str) -> String {
        let secret = hash(&format!("{}:{}:{password}", self.user, self.realm));
        let asked = hash(&format!("{method}:{}", self.uri));
        if self.qop.is_empty() {
            hash(&format!("{secret}:{}:{asked}", self.nonce))
        } else {
            hash(&format!("{secret}:{}:{}:{}:{}:{asked}", self.nonce, self.nc, self.cnonce, self.qop))
        }
    }
}

impl Challenge {
    /// The strongest that `WWW-Authenticate` headers offer and we can meet.
    pub fn parse<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut found = None;
        for header in headers {
            let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
            if scheme.eq_ignore_ascii_case("basic") {
                found = found.or(Some(Self::Basic));
            } else if scheme.eq_ignore_ascii_case("digest") {
                let fields = fields(rest);
                let get = |name: &str| {
                    let field = fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
                    field.map(|(_, value)| value.clone())
                };
                if get("algorithm").is_none_or(|algorithm| algorithm.eq_ignore_ascii_case("md5"))
                    && let (Some(realm), Some(nonce)) = (get("realm"), get("nonce"))
                {
                    let auth = get("qop").is_some_and(|qop| qop.split(',').any(|one| one.trim() == "auth"));
                    return Some(Self::Digest { realm, nonce, auth, opaque: get("opaque") });
                }
            }
        }
        found
    }

    /// The `Authorization` header that meets it; `count` rises with every request, `cnonce` is ours.
    pub fn answer(&self, user: &str, password: &str, method: &str, uri: &str, count: u32, cnonce: &str) -> String {
        let Self::Digest { realm, nonce, auth, opaque } = self else {
            return format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        };
        let mut digest = Digest {
            user: user.into(),
            realm: realm.clone(),
            nonce: nonce.clone(),
            uri: uri.into(),
            ..Digest::default()
        };
        if *auth {
            digest.qop = "auth".into();
            digest.nc = format!("{count:08x}");
            digest.cnonce = cnonce.into();
        }
        let response = digest.expected(method, password);
        let mut header = format!(
            "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\""
        );
        if *auth {
            let _ = write!(header, ", qop=auth, nc={}, cnonce=\"{cnonce}\"", digest.nc);
        }
        if let Some(opaque) = opaque {
            let _ = write!(header, ", opaque=\"{opaque}\"");
        }
        header
    }
}

/// The challenges of our server: digest first, for those who know it.
pub fn challenges(nonce: &str) -> [String; 2] {
    [format!("Digest realm=\"{REALM}\", nonce=\"{nonce}\""), format!("Basic realm=\"{REALM}\"")]
}

/// `name="value", name=value`; a comma inside quotes belongs to the value.
fn fields(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([',', ' ']).to_owned();
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.push((name, value.trim().to_owned()));
        rest = after;
    }
    found
}

fn hash(text: &str) -> String {
    Md5::digest(text.as_bytes()).iter().fold(String::with_capacity(32), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 2617 §3.5.
    #[test]
    fn the_digest_of_the_standard() {
        let header = "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", \
             nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"/dir/index.html\", qop=auth, nc=00000001, \
             cnonce=\"0a4f113b\", response=\"6629fae49393a05397450978507c4ef1\", \
             opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";
        let Some(Credentials::Digest(digest)) = Credentials::parse(header) else { panic!("no digest") };
        assert_eq!(digest.expected("GET", "Circle Of Life"), digest.response);
        assert_ne!(digest.expected("GET", "circle of life"), digest.response);
        let challenge = Challenge::parse(
            ["Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", \
              nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\""]
            .into_iter(),
        )
        .unwrap();
        let answer = challenge.answer("Mufasa", "Circle Of Life", "GET", "/dir/index.html", 1, "0a4f113b");
        assert!(Credentials::parse(&answer) == Some(Credentials::Digest(digest)));
    }

    #[test]
    fn basic_is_name_and_password() {
        let answer = Challenge::Basic.answer("maths", "a:b", "ANNOUNCE", "rtsp://x/", 1, "");
        let Some(Credentials::Basic { user, password }) = Credentials::parse(&answer) else { panic!("not basic") };
        assert_eq!((user.as_str(), password.as_str()), ("maths", "a:b"));
    }

    #[test]
    fn nonsense_is_no_proof() {
        for header in ["", "Basic", "Basic !!!", "Bearer x", "Digest algorithm=SHA-256", "Basic bm9jb2xvbg=="] {
            assert!(Credentials::parse(header).is_none(), "{header}");
        }
    }
}
