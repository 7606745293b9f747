use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Error, Result, random_text};

/// The two secrets of a data directory: `secret.key` (32 random bytes, from which every key that
/// seals or digests is derived) and `admin.token`. Both have mode 0600. Cheap to clone.
#[derive(Clone)]
pub struct Secrets {
    inner: Arc<Inner>,
}

struct Inner {
    secret: [u8; 32],
    token: String,
    token_is_new: bool,
}

impl Secrets {
    /// Reads the secrets of a data directory and makes those that are missing. Several processes
    /// may do so at once and agree.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Damaged`] or [`Error::Random`].
    pub fn open(data_dir: &Path) -> Result<Self> {
        fs::create_dir_all(data_dir).map_err(|source| Error::File { path: data_dir.into(), source })?;
        let path = data_dir.join("secret.key");
        let (secret, _) = read_or_make(&path, || {
            let mut secret = vec![0; 32];
            getrandom::fill(&mut secret).map_err(Error::Random)?;
            Ok(secret)
        })?;
        let secret = parse_secret(secret, path)?;
        let path = data_dir.join("admin.token");
        let (token, token_is_new) = read_or_make(&path, || Ok(format!("amphi_{}\n", random_text(40)?).into_bytes()))?;
        let token = parse_token(token, path)?;
        Ok(Self { inner: Arc::new(Inner { secret, token, token_is_new }) })
    }

    /// Whether [`Secrets::open`] would take what is there. What is missing it would make: this makes nothing.
    ///
    /// # Errors
    /// As [`Secrets::open`].
    pub fn check(data_dir: &Path) -> Result<()> {
        let read = |path: &Path| match fs::read(path) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::File { path: path.into(), source }),
        };
        let path = data_dir.join("secret.key");
        if let Some(secret) = read(&path)? {
            parse_secret(secret, path)?;
        }
        let path = data_dir.join("admin.token");
        if let Some(token) = read(&path)? {
            parse_token(token, path)?;
        }
        Ok(())
    }

    /// The admin token, for the command line of this machine and for printing once.
    pub fn admin_token(&self) -> &str {
        &self.inner.token
    }

    /// This call to [`Secrets::open`] made the admin token: print it.
    pub fn token_is_new(&self) -> bool {
        self.inner.token_is_new
    }

    /// Whether this is the admin token; takes the same time whatever part of it is right.
    pub fn is_admin(&self, token: &str) -> bool {
        // Digests have one length, so that not even the token's length shows.
        let digest = |text: &str| -> [u8; 32] { Sha256::digest(text.as_bytes()).into() };
        digest(token).ct_eq(&digest(&self.inner.token)).into()
    }

    /// A key of its own for each purpose, so that no two uses share one.
    pub(super) fn derive(&self, purpose: &str) -> [u8; 32] {
        mac(&self.inner.secret, purpose.as_bytes())
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

fn parse_secret(content: Vec<u8>, path: PathBuf) -> Result<[u8; 32]> {
    content.try_into().map_err(|_| Error::Damaged { path })
}

fn parse_token(content: Vec<u8>, path: PathBuf) -> Result<String> {
    let token = String::from_utf8(content).unwrap_or_default().trim().to_owned();
    if token.len() < 16 { Err(Error::Damaged { path }) } else { Ok(token) }
}

/// HMAC-SHA256 (RFC 2104).
pub(super) fn mac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// What a file holds; makes it, whole or not at all, if it is missing. Whether it was made, too.
fn read_or_make(path: &Path, make: impl FnOnce() -> Result<Vec<u8>>) -> Result<(Vec<u8>, bool)> {
    let at = |source| Error::File { path: path.into(), source };
    match fs::read(path) {
        Ok(content) => {
            // A backup restored with wide permissions would show the secret to everyone.
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(at)?;
            return Ok((content, false));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(at(error)),
    }
    let content = make()?;
    let fresh = path.with_extension(format!("{}.tmp", random_text(12)?));
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(&content)?;
        file.sync_all()
    };
    // A link, unlike a rename, never replaces what another process made meanwhile.
    let linked = write().and_then(|()| fs::hard_link(&fresh, path));
    let _ = fs::remove_file(&fresh);
    match linked {
        Ok(()) => Ok((content, true)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok((fs::read(path).map_err(at)?, false)),
        Err(error) => Err(at(error)),
    }
}
