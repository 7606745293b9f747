use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    tests::{at, audio, part, settings, source_window},
    *,
};
use crate::model::RenditionId;

#[tokio::test]
async fn a_held_request_gets_the_part_it_waited_for_and_leaves_nothing_when_cut_off() {
    let live = Arc::new(Live::default());
    let id = RenditionId::source();
    live.open(source_window(10));
    let held: Vec<_> = (0..2_000)
        .map(|n| {
            let (live, id) = (live.clone(), id.clone());
            tokio::spawn(async move {
                match n % 2 {
                    0 => live.part_bytes(&id, 10).await.map(|_| ()),
                    _ => live.playlist(&id, Reach::Edge, at(1, 2)).await.map(|_| ()),
                }
            })
        })
        .collect();
    while live.held() < 2_000 {
        tokio::task::yield_now().await;
    }
    for task in held.iter().skip(2) {
        task.abort();
    }
    while live.held() > 2 {
        tokio::task::yield_now().await;
    }
    live.part(part(&id, 10));
    for (n, task) in held.into_iter().enumerate() {
        assert_eq!(task.await.ok(), (n < 2).then_some(Ok(())));
    }
    assert_eq!(live.held(), 0);
    for n in 0..1_000 {
        let unknown = RenditionId::parse(&format!("x{n}")).unwrap();
        assert_eq!(live.playlist(&unknown, Reach::Edge, at(0, 0)).await.unwrap_err(), Refused::NotFound);
        assert_eq!(live.part_bytes(&unknown, 0).await.unwrap_err(), Refused::NotFound);
    }
    assert_eq!(
        live.playlist(&id, Reach::Edge, at(u64::MAX, None)).await.unwrap_err(),
        Refused::BadRequest("_HLS_msn lies more than two segments ahead")
    );
}

#[tokio::test]
async fn a_stalled_encoder_is_told_and_an_end_is_not_a_stall() {
    let live = Arc::new(Live::new(Duration::from_millis(30)));
    assert_eq!(live.multivariant(Reach::Edge).await.unwrap_err(), Refused::Stalled, "no window yet");
    let id = RenditionId::source();
    assert_eq!(live.part_bytes(&id, 0).await.unwrap_err(), Refused::NotFound);
    live.open(source_window(10));
    assert_eq!(live.playlist(&id, Reach::Edge, at(1, 2)).await.unwrap_err(), Refused::Stalled);
    assert_eq!(live.part_bytes(&id, 10).await.unwrap_err(), Refused::Stalled);
    let live = Arc::new(Live::default());
    live.open(source_window(10));
    let (hint, reload) = (live.part_bytes(&id, 10), live.playlist(&id, Reach::Edge, at(1, 2)));
    let end = async { live.end() };
    let (hint, reload, ()) = tokio::join!(hint, reload, end);
    assert_eq!(hint.unwrap_err(), Refused::NotFound);
    assert!(String::from_utf8_lossy(&reload.unwrap().text()).contains("ENDLIST"));
}

#[tokio::test]
async fn the_multivariant_playlist_comes_at_the_deadline_without_any_further_change() {
    let live = Live::default();
    let mut window = Window::new(Settings { deadline: Instant::now() + Duration::from_millis(50), ..settings() });
    window.expect([RenditionId::source(), RenditionId::audio()]);
    window.init(audio());
    window.part(part(&RenditionId::audio(), 0));
    let (playlist, ()) = tokio::join!(live.multivariant(Reach::Edge), async { live.open(window) });
    assert!(String::from_utf8_lossy(&playlist.unwrap().text()).contains("/audio/stream.m3u8"));
}
