use std::pin::Pin;

use tokio::net::UdpSocket;

use super::*;
use crate::{ingest::Refusal, stream::Publication};

const STRICT: Rule = Rule { private: false, allowed: &[] };

#[test]
fn only_streaming_urls_with_a_host_are_sources() {
    assert_eq!(Source::parse("rtsp://cam.example.org/1").unwrap().protocol(), Protocol::Rtsp);
    assert_eq!(Source::parse("srt://cam.example.org:8890?streamid=x").unwrap().protocol(), Protocol::Srt);
    for (text, error) in [
        ("", InvalidSource::Url),
        ("cam.example.org", InvalidSource::Url),
        ("rtsp:///etc/passwd", InvalidSource::Url),
        ("file:///etc/passwd", InvalidSource::Scheme),
        ("gopher://cam.example.org/", InvalidSource::Scheme),
        ("http://cam.example.org/", InvalidSource::Scheme),
    ] {
        assert_eq!(Source::parse(text), Err(error), "{text}");
    }
}

#[test]
fn passwords_are_used_and_not_shown() {
    let source = Source::parse("rtsp://me:s%40fe@cam.example.org/1?a=b").unwrap();
    assert_eq!(source.credentials(), Some(("me".into(), "s@fe".into())));
    assert_eq!(source.bare().as_str(), "rtsp://cam.example.org/1?a=b");
    assert_eq!(source.to_string(), "rtsp://cam.example.org/…");
    assert!(!format!("{source:?}").contains("fe@"));
    for options in ["streamid=s3cret&passphrase=0123456789", "streamid=#!::r=x,s=s3cret&passphrase=0123456789"] {
        let source = Source::parse(&format!("srt://cam.example.org:9000?{options}")).unwrap();
        assert_eq!(source.to_string(), "srt://cam.example.org:9000/…");
    }
    assert!(matches!(Source::parse("srt://cam.example.org"), Err(InvalidSource::Srt(_))), "SRT has no usual port");
}

#[test]
fn machines_that_only_we_can_reach_are_not_asked() {
    for private in [
        "127.0.0.1",
        "127.8.8.8",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "0.0.0.0",
        "0.1.2.3",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "198.18.0.1",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "fd12::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:db8::1",
        "fec0::1",
    ] {
        assert!(STRICT.admit(private.parse().unwrap()).is_err(), "{private}");
        assert!(Rule { private: true, ..STRICT }.admit(private.parse().unwrap()).is_ok());
    }
    for public in ["1.1.1.1", "193.50.1.1", "100.128.0.1", "172.32.0.1", "2a00:1450::1", "::ffff:1.1.1.1"] {
        assert!(STRICT.admit(public.parse().unwrap()).is_ok(), "{public}");
    }
}

#[tokio::test]
async fn names_and_odd_spellings_are_judged_by_the_address_they_mean() {
    for url in ["rtsp://localhost/", "rtsp://127.1/", "rtsp://0x7f000001/", "rtsp://[::ffff:127.0.0.1]/"] {
        let resolved = STRICT.resolve(&Source::parse(url).unwrap(), 554).await;
        assert!(matches!(resolved, Err(Unreachable::Forbidden(_) | Unreachable::Unknown)), "{url}: {resolved:?}");
    }
    let literal = Source::parse("rtsp://[::ffff:127.0.0.1]/").unwrap();
    assert!(STRICT.check(&literal).is_err());
}

/// Nobody comes this way.
struct Shut;

impl Door for Shut {
    fn admit(&self, _: Knock) -> Pin<Box<dyn Future<Output = Result<Publication, Refusal>> + Send + '_>> {
        Box::pin(std::future::ready(Err(Refusal::Unknown)))
    }
}

#[tokio::test]
async fn private_machines_are_not_called_over_srt() {
    let machine = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (port, mut datagram) = (machine.local_addr().unwrap().port(), [0; 2_048]);
    let (name, cancel) = (StreamName::parse("maths").unwrap(), CancellationToken::new());
    let source = |host| Source::parse(&format!("srt://{host}:{port}")).unwrap();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]", "127.1", "0.0.0.0"] {
        let ended = call(&name, &source(host), &Shut, STRICT, &cancel).await;
        assert!(matches!(ended, Err(Error::Unreachable(Unreachable::Forbidden(_)))), "{host}: {ended:?}");
    }
    assert!(machine.try_recv(&mut datagram).is_err(), "somebody called");
    let allowed = Rule { allowed: &[IpAddr::V4(Ipv4Addr::LOCALHOST)], ..STRICT };
    let source = source("127.0.0.1");
    tokio::select! {
        called = machine.recv(&mut datagram) => assert!(called.is_ok_and(|length| length > 0)),
        ended = call(&name, &source, &Shut, allowed, &cancel) => panic!("it never called: {ended:?}"),
    }
}
