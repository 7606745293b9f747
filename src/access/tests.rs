use std::{net::SocketAddr, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use super::*;
use crate::{
    ingest::{Door as _, Knock, Refusal},
    model::LanguageTag,
    store::{SealedKey, Store},
    stream::{Rank, Registry},
};

fn name(text: &str) -> StreamName {
    StreamName::parse(text).unwrap()
}

fn new(text: &str) -> NewChannel {
    NewChannel {
        name: name(text),
        title: text.into(),
        language: LanguageTag::parse("en").unwrap(),
        model: None,
        translate: vec![],
        accurate: false,
        source: None,
    }
}

async fn keys(dir: &Path) -> Keys {
    Keys::new(Store::open(dir).await.unwrap(), Secrets::open(dir).unwrap())
}

#[test]
fn secrets_are_made_once_and_only_the_owner_reads_them() {
    let dir = tempfile::tempdir().unwrap();
    let first = Secrets::open(dir.path()).unwrap();
    assert!(first.token_is_new());
    let again = Secrets::open(dir.path()).unwrap();
    assert!(!again.token_is_new());
    assert_eq!(first.admin_token(), again.admin_token());
    assert!(again.is_admin(first.admin_token()));
    for bad in ["", "x", &first.admin_token()[1..], &format!("{} ", first.admin_token())] {
        assert!(!again.is_admin(bad), "{bad:?}");
    }
    for file in ["secret.key", "admin.token"] {
        assert_eq!(dir.path().join(file).metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "no temporary file stays");
    assert!(!format!("{first:?}").contains(first.admin_token()));
}

#[test]
fn damaged_secrets_are_refused_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret.key"), b"short").unwrap();
    assert!(matches!(Secrets::open(dir.path()), Err(Error::Damaged { .. })));
    assert_eq!(std::fs::read(dir.path().join("secret.key")).unwrap(), b"short");
}

#[tokio::test]
async fn a_key_opens_its_channel_by_name_and_without() {
    let dir = tempfile::tempdir().unwrap();
    let keys = keys(dir.path()).await;
    let (maths, key) = keys.create_channel(new("maths")).await.unwrap();
    let (_, other) = keys.create_channel(new("physics")).await.unwrap();
    assert_eq!(keys.reveal(&maths.name).await.unwrap(), (key.clone(), None));
    assert_eq!(keys.identify(None, key.reveal()).await.unwrap(), (maths.clone(), Rank::Main));
    let typed = format!(" {} ", key.reveal().to_uppercase().replace('-', "").replace('0', "O"));
    assert_eq!(keys.identify(Some(&maths.name), &typed).await.unwrap(), (maths.clone(), Rank::Main));
    let wrong = keys.identify(Some(&maths.name), other.reveal()).await;
    assert!(matches!(wrong, Err(Error::WrongKey(n)) if n == maths.name));
    assert!(matches!(keys.identify(Some(&name("no")), key.reveal()).await, Err(Error::UnknownChannel(_))));
    for bad in ["", "-", "maths", &"0".repeat(100_000), &format!("{}0", key.reveal())] {
        assert!(matches!(keys.identify(None, bad).await, Err(Error::UnknownKey)));
    }
}

#[tokio::test]
async fn a_rotated_key_opens_nothing_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let keys = keys(dir.path()).await;
    let (maths, old) = keys.create_channel(new("maths")).await.unwrap();
    let key = keys.rotate(&maths.name, Rank::Main).await.unwrap();
    assert_ne!(old, key);
    assert!(matches!(keys.identify(None, old.reveal()).await, Err(Error::UnknownKey)));
    assert_eq!(keys.identify(None, key.reveal()).await.unwrap().0.name, maths.name);
    assert_eq!(keys.reveal(&maths.name).await.unwrap(), (key.clone(), None));
    assert!(matches!(keys.rotate(&name("no"), Rank::Main).await, Err(Error::UnknownChannel(_))));
}

#[tokio::test]
async fn a_backup_key_opens_the_same_channel_as_another_rank() {
    let dir = tempfile::tempdir().unwrap();
    let keys = keys(dir.path()).await;
    let (maths, main) = keys.create_channel(new("maths")).await.unwrap();
    let backup = keys.rotate(&maths.name, Rank::Backup).await.unwrap();
    assert_eq!(keys.reveal(&maths.name).await.unwrap(), (main.clone(), Some(backup.clone())));
    for named in [None, Some(&maths.name)] {
        let (found, rank) = keys.identify(named, backup.reveal()).await.unwrap();
        assert_eq!((found.name, rank), (maths.name.clone(), Rank::Backup));
        assert_eq!(keys.identify(named, main.reveal()).await.unwrap().1, Rank::Main);
    }
    let store = Store::open(dir.path()).await.unwrap();
    store.channels().set_backup_key(&maths.name, Some(&sealed(&maths.key_cipher, b"moved"))).await.unwrap();
    assert!(matches!(keys.reveal(&maths.name).await, Err(Error::Sealed(_))), "a key of one rank is none of the other");
    keys.remove_backup(&maths.name).await.unwrap();
    assert!(matches!(keys.identify(None, backup.reveal()).await, Err(Error::UnknownKey)));
    assert_eq!(keys.reveal(&maths.name).await.unwrap(), (main, None));
}

fn sealed(cipher: &[u8], digest: &[u8]) -> SealedKey {
    SealedKey { cipher: cipher.to_vec(), digest: digest.to_vec() }
}

#[tokio::test]
async fn a_sealed_key_opens_neither_tampered_nor_moved_nor_with_another_secret() {
    let dir = tempfile::tempdir().unwrap();
    let keys = keys(dir.path()).await;
    let store = Store::open(dir.path()).await.unwrap();
    let (maths, key) = keys.create_channel(new("maths")).await.unwrap();
    let (physics, _) = keys.create_channel(new("physics")).await.unwrap();
    for position in 0..maths.key_cipher.len() {
        let mut tampered = maths.key_cipher.clone();
        tampered[position] ^= 1;
        store.channels().set_key(&maths.name, &sealed(&tampered, &maths.key_digest)).await.unwrap();
        assert!(matches!(keys.reveal(&maths.name).await, Err(Error::Sealed(_))), "byte {position}");
    }
    store.channels().set_key(&maths.name, &sealed(&maths.key_cipher[..5], &maths.key_digest)).await.unwrap();
    assert!(matches!(keys.reveal(&maths.name).await, Err(Error::Sealed(_))));
    store.channels().set_key(&physics.name, &sealed(&maths.key_cipher, b"moved")).await.unwrap();
    assert!(matches!(keys.reveal(&physics.name).await, Err(Error::Sealed(_))));
    store.channels().set_key(&maths.name, &sealed(&maths.key_cipher, &maths.key_digest)).await.unwrap();
    assert_eq!(keys.reveal(&maths.name).await.unwrap(), (key.clone(), None));
    let elsewhere = tempfile::tempdir().unwrap();
    let stranger = Keys::new(store, Secrets::open(elsewhere.path()).unwrap());
    assert!(matches!(stranger.reveal(&maths.name).await, Err(Error::Sealed(_))));
    assert!(matches!(stranger.identify(None, key.reveal()).await, Err(Error::UnknownKey)));
}

#[tokio::test]
async fn the_database_never_holds_a_key_in_clear() {
    let dir = tempfile::tempdir().unwrap();
    let keys = keys(dir.path()).await;
    let (_, key) = keys.create_channel(new("maths")).await.unwrap();
    assert!(!format!("{key:?}").contains(key.reveal()));
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let content = std::fs::read(entry.unwrap().path()).unwrap();
        let clear = key.reveal().as_bytes();
        assert!(!content.windows(clear.len()).any(|window| window == clear));
    }
}

#[tokio::test]
async fn the_door_lets_a_key_in_and_tells_the_others_why_not() {
    const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5);
    let dir = tempfile::tempdir().unwrap();
    let keys = keys(dir.path()).await;
    let (maths, key) = keys.create_channel(new("maths")).await.unwrap();
    let (registry, mut started) = Registry::new(Duration::from_secs(30));
    tokio::spawn(async move {
        while let Some(live) = started.recv().await {
            live.open();
        }
    });
    let door = Door::new(keys, registry.clone());
    let knock = |channel: Option<&str>, key: &str| {
        door.admit(Knock { protocol: "rtmp", peer: PEER, channel: channel.map(name), key: key.into() })
    };
    let wrong = knock(Some("maths"), "0000").await.unwrap_err();
    assert_eq!(wrong, Refusal::WrongKey(maths.name.clone()));
    assert_eq!(knock(None, "0000").await.unwrap_err(), Refusal::Unknown);
    assert_eq!(knock(Some("no"), key.reveal()).await.unwrap_err(), Refusal::Unknown);
    let knows = |channel: &str, key: &str| {
        door.knows(Knock { protocol: "whip", peer: PEER, channel: Some(name(channel)), key: key.into() })
    };
    assert_eq!(knows("maths", "0000").await, Err(Refusal::WrongKey(maths.name.clone())));
    assert_eq!(knows("no", key.reveal()).await, Err(Refusal::Unknown));
    assert_eq!(knows("maths", key.reveal()).await, Ok(()));
    assert!(registry.get(&maths.name).is_none(), "nothing begins");
    let publication = knock(None, key.reveal()).await.unwrap();
    assert_eq!(publication.name(), &maths.name);
    assert!(registry.get(&maths.name).is_some());
    assert_eq!(knock(Some("maths"), key.reveal()).await.unwrap_err(), Refusal::Busy(maths.name.clone()));
    drop(publication);
    assert!(knock(Some("maths"), key.reveal()).await.is_ok(), "it may return within the grace");
}

#[tokio::test]
async fn a_crowd_of_wrong_keys_is_answered_without_waiting_behind_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let door = std::sync::Arc::new(Door::new(keys(dir.path()).await, Registry::new(Duration::ZERO).0));
    let mut crowd = tokio::task::JoinSet::new();
    for port in 1..=600 {
        let (door, peer) = (door.clone(), SocketAddr::from(([10, 0, 0, 1], port)));
        crowd.spawn(async move {
            door.admit(Knock { protocol: "rtmp", peer, channel: None, key: "no".into() }).await.unwrap_err()
        });
    }
    let answers = crowd.join_all().await;
    assert!(answers.iter().filter(|answer| **answer == Refusal::Unknown).count() >= 256);
    assert!(answers.iter().any(|answer| matches!(answer, Refusal::Unavailable(_))));
}
