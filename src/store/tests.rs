use std::process::Command;

use super::*;
use crate::model::{Band, Estimate, Measure, Method, StreamName};

fn channel(name: &str) -> Channel {
    Channel {
        name: StreamName::parse(name).unwrap(),
        title: "Algebra".into(),
        language: LanguageTag::parse("en").unwrap(),
        model: None,
        translate: vec![LanguageTag::parse("pt-BR").unwrap(), LanguageTag::parse("fr").unwrap()],
        key_cipher: vec![1, 2, 3],
        key_digest: name.as_bytes().to_vec(),
        backup: None,
        takeover: false,
        accurate: true,
        source: Some(vec![4, 5]),
        created_at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
    }
}

fn recording(n: u8) -> Recording {
    Recording {
        id: RecordingId::from_random([n; 20]),
        channel: StreamName::parse("maths").unwrap(),
        title: "Week 1".into(),
        state: RecordingState::Recording,
        started_at: SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(n)),
        duration: None,
        reason: None,
        languages: vec![],
    }
}

#[tokio::test]
async fn channels_keep_what_they_were_given() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let mut maths = channel("maths");
    store.channels().add(&maths).await.unwrap();
    assert!(matches!(store.channels().add(&maths).await, Err(Error::Exists(what)) if what == "channel maths"));
    let key = |cipher: &[u8], digest: &[u8]| SealedKey { cipher: cipher.to_vec(), digest: digest.to_vec() };
    store.channels().set_key(&maths.name, &key(b"new", b"digest")).await.unwrap();
    maths.backup = Some(key(b"second", b"spare"));
    store.channels().set_backup_key(&maths.name, maths.backup.as_ref()).await.unwrap();
    (maths.key_cipher, maths.key_digest) = (b"new".to_vec(), b"digest".to_vec());
    (maths.title, maths.translate, maths.model) = ("Geometry".into(), vec![], Some("vosk-fr".into()));
    store.channels().update(&maths).await.unwrap();
    store.close().await;
    let store = Store::open(dir.path()).await.unwrap();
    assert_eq!(store.channels().list().await.unwrap(), [maths.clone()]);
    assert_eq!(store.channels().by_digest(b"digest").await.unwrap(), Some(maths.clone()));
    assert_eq!(store.channels().by_digest(b"spare").await.unwrap(), Some(maths.clone()));
    store.channels().set_backup_key(&maths.name, None).await.unwrap();
    assert_eq!(store.channels().by_digest(b"spare").await.unwrap(), None);
    store.channels().remove(&maths.name).await.unwrap();
    assert_eq!(store.channels().get(&maths.name).await.unwrap(), None);
    assert!(matches!(store.channels().remove(&maths.name).await, Err(Error::NotFound(_))));
    assert!(matches!(store.channels().update(&maths).await, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn recordings_go_from_recording_to_ready_and_are_listed_newest_first() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    for n in 1..=3 {
        store.recordings().insert(&recording(n)).await.unwrap();
    }
    let id = recording(2).id;
    store.recordings().set_state(&id, RecordingState::Processing, None).await.unwrap();
    let languages = [LanguageTag::parse("en").unwrap()];
    store.recordings().set_ready(&id, Duration::from_millis(2_500), &languages, None).await.unwrap();
    let list = store.recordings().list().await.unwrap();
    assert_eq!(list.iter().map(|r| r.id.clone()).collect::<Vec<_>>(), [3, 2, 1].map(|n| recording(n).id));
    assert_eq!(list[1].state, RecordingState::Ready);
    assert_eq!(list[1].duration, Some(Duration::from_millis(2_500)));
    assert_eq!(list[1].languages, languages);
    assert_eq!(store.recordings().estimates(&id).await.unwrap(), None);
    let estimate = Estimate {
        lang: languages[0].clone(),
        measure: Measure::Wer,
        band: Band::Fair,
        model: "vosk-fr".into(),
        method: Method::SecondPass,
    };
    store.recordings().set_estimates(&id, std::slice::from_ref(&estimate)).await.unwrap();
    assert_eq!(store.recordings().estimates(&id).await.unwrap(), Some(vec![estimate]));
    assert!(store.recordings().set_estimates(&recording(9).id, &[]).await.is_err());
}

#[tokio::test]
async fn many_openers_of_a_new_database_all_get_in_and_write() {
    let dir = tempfile::tempdir().unwrap();
    let all = (0..8u8).map(|n| {
        let path = dir.path().to_path_buf();
        tokio::spawn(async move {
            let store = Store::open(&path).await.unwrap();
            for k in 0..10u8 {
                store.channels().add(&channel(&format!("c{n}-{k}"))).await.unwrap();
            }
        })
    });
    for task in all.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(Store::open(dir.path()).await.unwrap().channels().list().await.unwrap().len(), 80);
}

/// The other process of the test below; alone it does nothing.
#[tokio::test]
async fn child_writes_channels() {
    let Ok(dir) = std::env::var("AMPHI_TEST_STORE") else { return };
    let store = Store::open(Path::new(&dir)).await.unwrap();
    for k in 0..40 {
        store.channels().add(&channel(&format!("child-{k}"))).await.unwrap();
    }
}

#[tokio::test]
async fn another_process_writes_while_this_one_does() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::child_writes_channels"])
        .env("AMPHI_TEST_STORE", dir.path())
        .spawn()
        .unwrap();
    for k in 0..40 {
        store.channels().add(&channel(&format!("parent-{k}"))).await.unwrap();
    }
    assert!(child.wait().unwrap().success());
    assert_eq!(store.channels().list().await.unwrap().len(), 80);
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_told_from_this_ones() {
    let dir = tempfile::tempdir().unwrap();
    Store::check(dir.path()).await.unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "looking makes nothing");
    let store = Store::open(dir.path()).await.unwrap();
    Store::check(dir.path()).await.unwrap();
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'to come', TRUE, x'00', 0)";
    sqlx::query(newer).execute(&store.pool).await.unwrap();
    let checked = Store::check(dir.path()).await;
    assert!(matches!(checked, Err(Error::Migrate(MigrateError::VersionMissing(9999)))), "{checked:?}");
    assert!(Store::open(dir.path()).await.is_err(), "and opening says so as well");
}

#[test]
fn ids_are_safe_paths() {
    let id = RecordingId::from_random(std::array::from_fn(|i| (i as u8).wrapping_mul(37)));
    assert_eq!(RecordingId::parse(id.as_str()), Ok(id));
    for bad in ["", "..", "../../../../../../../", "ABCDEFGHJKMNPQRSTVWX", "0123456789abcdefghi/", &"0".repeat(21)] {
        assert_eq!(RecordingId::parse(bad), Err(InvalidRecordingId), "{bad:?}");
    }
}
