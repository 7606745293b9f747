//! TLS for whoever accepts connections: the operator's certificate, read again when its files change.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{task::spawn_blocking, time};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::{ClientHello, ResolvesServerCert},
        sign::CertifiedKey,
    },
};
use tokio_util::sync::CancellationToken;

use crate::model::Chain;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read, or is no PEM of what it should hold.
    #[error("reading {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The certificate's file holds none.
    #[error("{} holds no certificate", .0.display())]
    Empty(PathBuf),
    /// Certificate and key are not of one pair, or of a kind that is not supported.
    #[error("certificate and key do not fit each other")]
    Unfit(#[source] rustls::Error),
}

/// A certificate with its key, as connections are shown it. It follows its files: connections that are accepted
/// from then on see the new one.
#[derive(Debug)]
pub struct Certificate {
    files: [PathBuf; 2],
    provider: Arc<CryptoProvider>,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    key: Arc<CertifiedKey>,
    stamps: [Option<Stamp>; 2],
}

/// What changes with a file's content, and with which file the path leads to: its number, its length, and when the
/// system last changed anything about it. When it was last written does not tell: a file that is moved or copied into
/// place may keep an old time.
type Stamp = (u64, u64, i64, i64);

impl Certificate {
    /// Reads a chain and its key, PEM both. Blocking.
    ///
    /// # Errors
    /// [`Error`].
    pub fn load(certificate: &Path, key: &Path) -> Result<Arc<Self>, Error> {
        let (files, provider) = ([certificate.to_owned(), key.to_owned()], Arc::new(ring::default_provider()));
        // Looked at first, so that what changes while it is read is read again.
        let stamps = stamps(&files);
        let current = Current { key: read(&files, &provider)?, stamps };
        Ok(Arc::new(Self { files, provider, current: Mutex::new(current) }))
    }

    /// What accepts connections with it, in TLS 1.2 or 1.3. `protocols` are offered by ALPN (RFC 7301), best first;
    /// none: whatever the client asks for is let pass.
    pub fn acceptor(self: &Arc<Self>, protocols: &[&[u8]]) -> TlsAcceptor {
        let versions = ServerConfig::builder_with_provider(self.provider.clone()).with_safe_default_protocol_versions();
        let versions = versions.expect("ring has the suites of both versions");
        let mut config = versions.with_no_client_auth().with_cert_resolver(self.clone());
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config).into()
    }

    /// Reads the files again if they have changed since they were last looked at. True: others are shown from now
    /// on. Blocking.
    ///
    /// # Errors
    /// [`Error`]; the certificate of before stays.
    pub fn reload(&self) -> Result<bool, Error> {
        let stamps = stamps(&self.files);
        if std::mem::replace(&mut self.current().stamps, stamps) == stamps {
            return Ok(false);
        }
        // What could not be read may be readable the next time, though nothing about the file tells.
        let key = read(&self.files, &self.provider).inspect_err(|_| self.current().stamps = Default::default())?;
        self.current().key = key;
        Ok(true)
    }

    /// Follows the files until `cancel`.
    pub async fn follow(self: Arc<Self>, cancel: CancellationToken) {
        let mut clock = time::interval(LOOK);
        while cancel.run_until_cancelled(clock.tick()).await.is_some() {
            let certificate = self.clone();
            match spawn_blocking(move || certificate.reload()).await {
                Ok(Ok(true)) => tracing::info!("the TLS certificate has changed"),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    tracing::error!(error = %Chain(&error), "the TLS certificate's files are unusable: the one of before stays");
                }
                Err(panic) => tracing::error!(error = %Chain(&panic), "looking at the TLS certificate failed"),
            }
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current().key.clone())
    }
}

fn read([certificate, key]: &[PathBuf; 2], provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, Error> {
    let error = |path: &Path, source| Error::Read { path: path.to_owned(), source };
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|source| error(certificate, source))?;
    if chain.is_empty() {
        return Err(Error::Empty(certificate.clone()));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|source| error(key, source))?;
    CertifiedKey::from_der(chain, secret, provider).map(Arc::new).map_err(Error::Unfit)
}

fn stamps(files: &[PathBuf; 2]) -> [Option<Stamp>; 2] {
    let stamp = |path: &PathBuf| -> io::Result<Stamp> {
        let file = fs::metadata(path)?;
        Ok((file.ino(), file.len(), file.ctime(), file.ctime_nsec()))
    };
    [0, 1].map(|index| stamp(&files[index]).ok())
}

#[cfg(test)]
mod tests {
    use std::{fs::File, process::Command};

    use super::*;

    /// A certificate and its key in a folder, each of 4,096 bytes and written at the same time.
    fn certify(folder: &Path) -> [PathBuf; 2] {
        let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=x \
                         -keyout key.pem -out chain.pem";
        let made = Command::new("openssl").args(arguments.split_whitespace()).current_dir(folder).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        ["chain.pem", "key.pem"].map(|name| {
            let path = folder.join(name);
            let mut text = fs::read(&path).unwrap();
            text.resize(4_096, b'\n');
            fs::write(&path, text).unwrap();
            File::options().write(true).open(&path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
            path
        })
    }

    #[test]
    fn what_is_moved_into_place_is_read_whatever_its_time_says() {
        let (used, renewed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let [chain, key] = certify(used.path());
        let certificate = Certificate::load(&chain, &key).unwrap();
        let shown = || certificate.current().key.cert.clone();
        let before = shown();
        assert!(!certificate.reload().unwrap() && shown() == before, "nothing has changed");
        let [new_chain, new_key] = certify(renewed.path());
        fs::rename(new_chain, &chain).unwrap();
        fs::rename(new_key, &key).unwrap();
        assert!(certificate.reload().unwrap() && shown() != before);
        assert!(!certificate.reload().unwrap());
    }

    #[test]
    fn what_a_link_leads_to_is_what_counts() {
        let [first, second, used] = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let place = ["chain.pem", "key.pem"].map(|name| used.path().join(name));
        let link = |files: &[PathBuf; 2]| {
            for (file, place) in files.iter().zip(&place) {
                let _ = fs::remove_file(place);
                std::os::unix::fs::symlink(file, place).unwrap();
            }
        };
        let (older, newer) = (certify(first.path()), certify(second.path()));
        link(&newer);
        let certificate = Certificate::load(&place[0], &place[1]).unwrap();
        link(&older);
        assert!(certificate.reload().unwrap(), "back to an older one");
    }
}
