use super::*;

/// What browsers send, shortened.
fn offer(sections: &str) -> String {
    format!(
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\na=ice-ufrag:abcd\r\n\
         a=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 00:11\r\na=setup:actpass\r\n{sections}"
    )
}

const AUDIO: &str = "m=audio 9 UDP/TLS/RTP/SAVPF 111 0\r\na=mid:0\r\na=rtpmap:111 opus/48000/2\r\n\
    a=fmtp:111 minptime=10;useinbandfec=1\r\na=rtpmap:0 PCMU/8000\r\na=sendonly\r\n";
const VIDEO: &str = "m=video 9 UDP/TLS/RTP/SAVPF 96 97 102 103 104\r\na=mid:1\r\na=rtpmap:96 VP8/90000\r\n\
    a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=rtpmap:102 H264/90000\r\n\
    a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n\
    a=rtpmap:103 rtx/90000\r\na=fmtp:103 apt=102\r\na=rtpmap:104 VP9/90000\r\n\
    a=candidate:1 1 udp 2130706431 192.0.2.7 50000 typ host\r\na=rid:hi send\r\na=sendonly\r\n";

#[test]
fn codecs_of_both_sides_are_found_and_candidates_are_left_out() {
    let offer = Offer::parse(&offer(&format!("{AUDIO}{VIDEO}"))).unwrap();
    let found: Vec<_> = offer.payloads.iter().map(|p| (p.codec, p.number, p.repair)).collect();
    assert_eq!(found, [(Codec::Opus, 111, None), (Codec::Vp8, 96, Some(97)), (Codec::H264, 102, Some(103))]);
    assert_eq!(offer.payloads[2].parameter("packetization-mode"), Some("1"));
    assert!(!offer.text.contains("candidate") && !offer.text.contains("a=rid"));
}

#[test]
fn what_is_sent_again_and_what_counts_packets_is_told_and_sources_are_left_out() {
    let transport = "a=extmap:3/sendonly http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n";
    let other = "a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time\r\n";
    let feedback = "a=rtcp-fb:96 nack pli\r\na=rtcp-fb:102 nack\r\na=rtcp-fb:111 transport-cc\r\n";
    let sources = "a=ssrc-group:FID 1 2\r\na=ssrc:1 cname:x\r\na=ssrc:2 cname:x\r\na=msid:s t\r\n";
    let first = Offer::parse(&offer(&format!("{AUDIO}{VIDEO}{other}{transport}{feedback}{sources}"))).unwrap();
    let repeated: Vec<_> = first.payloads.iter().map(|p| (p.number, p.repeats)).collect();
    assert_eq!((repeated, first.counter), (vec![(111, false), (96, false), (102, true)], Some(3)));
    assert!(!first.text.contains("ssrc") && !first.text.contains("a=msid:"), "{}", first.text);
    let second = Offer::parse(&offer(&format!("{AUDIO}{VIDEO}a=rtcp-fb:* nack\r\n"))).unwrap();
    assert!(second.counter.is_none() && second.payloads[1].repeats && !second.payloads[0].repeats);
}

#[test]
fn what_no_peer_could_connect_with_is_refused() {
    let without = |line: &str| offer(AUDIO).replace(line, "a=x:");
    for text in [without("a=ice-ufrag:"), without("a=ice-pwd:"), without("a=fingerprint:"), offer(""), "v=1".into()] {
        assert!(matches!(Offer::parse(&text), Err(Refused::Malformed(_))), "{text}");
    }
    let data = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:0\r\n";
    assert!(matches!(Offer::parse(&offer(data)), Err(Refused::Unacceptable(_))));
}

#[test]
fn what_is_not_bundled_is_refused_with_what_to_do() {
    let (both, group) = (offer(&format!("{AUDIO}{VIDEO}")), "a=group:BUNDLE 0 1\r\n");
    let inside_a_section = format!("{}{group}", both.replace(group, ""));
    for text in [
        both.replace(group, ""),
        both.replace(group, "a=group:LS 0 1\r\n"),
        both.replace(group, "a=group:BUNDLE\r\n"),
        both.replace(group, "a=group:BUNDLE 0\r\n"),
        both.replace(group, "a=group:BUNDLE 0\r\na=group:BUNDLE 1\r\n"),
        inside_a_section,
        offer(AUDIO).replace(group, ""),
    ] {
        let Err(Refused::Unacceptable(why)) = Offer::parse(&text) else { panic!("{text}") };
        assert!(why.contains("a=group:BUNDLE"), "{why}");
    }
    for text in [both.replace("a=mid:1\r\n", ""), both.replace("a=mid:1", "a=mid:"), both.replace("a=mid:1", "a=mid:0")]
    {
        let Err(Refused::Malformed(why)) = Offer::parse(&text) else { panic!("{text}") };
        assert!(why.contains("a=mid"), "{why}");
    }
}

#[test]
fn groups_other_than_the_bundle_are_left_out() {
    let text = offer(&format!("{AUDIO}{VIDEO}"));
    let text = text.replace("a=group:", "a=group:LS 0\r\na=group:FID 1\r\na=group:");
    let offer = Offer::parse(&text).unwrap();
    assert_eq!(value(&offer.text, "a=group:"), Some("BUNDLE 0 1"));
    assert_eq!(offer.text.matches("a=group:").count(), 1, "{}", offer.text);
}

#[test]
fn a_section_that_says_no_direction_goes_as_the_session_does_or_both_ways() {
    let text = offer(&format!("{AUDIO}{VIDEO}"));
    let (first, silent) = (text.replacen("a=sendonly\r\n", "", 1), text.replace("a=sendonly\r\n", ""));
    let flows = |text: &str| {
        let offer = Offer::parse(text).unwrap();
        assert_eq!(Offer::parse(&offer.text).as_ref(), Ok(&offer), "{}", offer.text);
        let said = |section: &str| {
            let mut lines = section.lines().filter_map(|line| flow(line.strip_prefix("a=")?));
            (lines.next().unwrap(), lines.next())
        };
        let said: Vec<_> = offer.text.split("m=").skip(1).map(said).collect();
        let read: Vec<_> = offer.media.iter().map(|media| ((media.sends, media.receives), None)).collect();
        assert_eq!(said, read, "{}", offer.text);
        read.into_iter().map(|(flow, _)| flow).collect::<Vec<_>>()
    };
    assert_eq!(flows(&first), [(true, true), (true, false)]);
    assert_eq!(flows(&silent), [(true, true), (true, true)]);
    assert_eq!(flows(&silent.replace("s=-", "s=-\r\na=recvonly")), [(false, true), (false, true)]);
    assert_eq!(flows(&first.replace("s=-", "s=-\r\na=inactive")), [(false, false), (true, false)]);
}

#[test]
fn a_client_that_waits_for_checks_is_told_that_none_come() {
    let lite = offer(AUDIO).replace("s=-", "s=-\r\na=ice-lite");
    assert!(matches!(Offer::parse(&lite), Err(Refused::Unacceptable(why)) if why.contains("full ICE")));
}

#[test]
fn a_thousand_sections_and_ten_megabytes_are_refused() {
    assert!(matches!(Offer::parse(&offer(&AUDIO.repeat(1_000))), Err(Refused::Malformed(_))));
    assert!(matches!(Offer::parse(&offer(&"m=audio 9 X 1\r\n".repeat(1_000))), Err(Refused::Malformed(_))));
    assert!(matches!(Offer::parse(&offer(&"a".repeat(10 << 20))), Err(Refused::Malformed(_))));
    assert!(matches!(Offer::parse(&offer(&format!("{AUDIO}{AUDIO}"))), Err(Refused::Malformed(_))));
}

#[test]
fn every_section_of_an_answer_gets_every_address() {
    let answer = "v=0\r\na=ice-ufrag:x\r\nm=audio 9 X 1\r\na=mid:0\r\na=candidate:old\r\nm=video 9 X 2\r\na=mid:1\r\n";
    let addresses: Vec<SocketAddr> = vec!["192.0.2.1:8189".parse().unwrap(), "[2001:db8::1]:8189".parse().unwrap()];
    let text = with_candidates(answer, &addresses, &addresses);
    assert_eq!(text.matches("a=candidate:").count(), 8);
    assert_eq!(text.matches("a=end-of-candidates").count(), 2);
    assert!(text.contains("a=candidate:1 1 udp 2130706431 192.0.2.1 8189 typ host\r\n"));
    assert!(text.contains("tcptype passive"));
    assert!(!text.split("m=audio").next().unwrap().contains("candidate"));
}

#[test]
fn a_fragment_names_its_session() {
    assert_eq!(fragment_of("a=ice-ufrag:EsAw\r\na=ice-pwd:P\r\nm=audio 9 RTP/AVP 0\r\n"), Some("EsAw"));
    assert_eq!(fragment_of("m=audio 9 RTP/AVP 0\r\n"), None);
    assert!(
        is_fragment("a=ice-ufrag:EsAw\r\n\r\nm=audio 9 RTP/AVP 0\na=candidate:x") && is_fragment("a=end-of-candidates")
    );
    for text in ["", "\r\n", "hello", "a=ice-ufrag:EsAw\r\nv=0\r\n"] {
        assert!(!is_fragment(text), "{text}");
    }
}
