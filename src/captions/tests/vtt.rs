use std::process::Command;

use super::{at, cue};
use crate::{
    captions::vtt,
    translate::{Text, Translator},
};

#[test]
fn the_whole_track_reads_well_and_other_tools_agree() {
    let cues = [
        cue(1, 0, 400, "Short."),
        cue(2, 2_000, 4_500, "When you drop a stone into a pond, the water goes up and down"),
        cue(3, 4_000, 4_600, "<script>alert(\"x\")</script> --> & so on"),
    ];
    let document = vtt::document(&cues);
    expect_test::expect![[r#"
        WEBVTT

        1
        00:00:00.000 --> 00:00:01.000
        Short.

        2
        00:00:02.000 --> 00:00:04.000
        When you drop a stone into a pond,
        the water goes up and down

        3
        00:00:04.000 --> 00:00:05.950
        &lt;script&gt;alert("x")&lt;/script&gt; --&gt; &amp; so on

    "#]]
    .assert_eq(&document);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.vtt");
    std::fs::write(&path, &document).unwrap();
    let probe = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "packet=pts_time,duration_time", "-of", "compact=p=0:nk=1"])
        .arg(&path)
        .output()
        .unwrap();
    let packets = String::from_utf8(probe.stdout).unwrap().replace("|\n", "\n");
    assert_eq!(
        packets.split_whitespace().collect::<Vec<_>>(),
        ["0.000000|1.000000", "2.000000|2.000000", "4.000000|1.950000"]
    );
}

#[test]
fn files_are_read_as_far_as_they_can_be_read() {
    let file = "\u{feff}WEBVTT - a title\r\nKind: captions\r\n\r\nNOTE 00:00 is\r\nnot a cue\r\n\r\nSTYLE\r\n::cue { color: red }\r\n\r\n\
        intro\r\n00:01.000 --> 00:02.500 line:0 align:start\r\n<v Roger Bingham>We &lt;are&gt; <i>in</i>\r\nNew York &amp; <00:02.000>more\r\n\r\n\
        00:03,000 --> 00:04,000\r\nno id\r\n\r\n99:99 --> x\r\nbroken\r\n\r\n100:00:05.000 --> 100:00:04.000\r\nbackwards\r\n";
    let entries = vtt::parse(file);
    assert_eq!(entries.len(), 2, "{entries:?}");
    assert_eq!(entries[0].id.as_deref(), Some("intro"));
    assert_eq!((entries[0].start, entries[0].end), (at(1_000), at(2_500)));
    assert_eq!(entries[0].settings, "line:0 align:start");
    assert_eq!(entries[0].text, "We <are> in\nNew York & more");
    assert_eq!((entries[1].id.as_deref(), entries[1].text.as_str()), (None, "no id"));
    assert_eq!(vtt::parse(&vtt::write(&entries)), entries);
}

#[test]
fn no_file_makes_the_reader_stumble() {
    let long = format!("00:00.000 --> 00:01.000\n{}\n", "x\n".repeat(100_000));
    for file in ["", "-->", "\n\n\n-->\n\n", "00:00.000 --> 00:01.000", "a:b.c --> d", &long, &"-->\n".repeat(50_000)] {
        vtt::parse(file);
    }
}

struct Shout;

impl Translator for Shout {
    fn translate(&mut self, texts: &[Text]) -> anyhow::Result<Vec<String>> {
        Ok(texts.iter().map(|text| format!("[{}]", text.text.to_uppercase())).collect())
    }
}

#[test]
fn a_file_is_translated_by_sentences_and_keeps_its_times() {
    let file = "WEBVTT\n\n1\n00:00.000 --> 00:02.000\nthe first half\n\n2\n00:02.000 --> 00:04.000\nand the second. A third\n\n3\n00:04.000 --> 00:05.000\nsentence.\n";
    let entries = vtt::parse(file);
    let translated = vtt::translate(&entries, &mut Shout).unwrap();
    let texts: Vec<&str> = translated.iter().map(|entry| entry.text.as_str()).collect();
    assert_eq!(texts, ["[THE FIRST HALF", "AND THE SECOND.] [A THIRD", "SENTENCE.]"]);
    assert!(entries.iter().zip(&translated).all(|(a, b)| (a.start, a.end, &a.id) == (b.start, b.end, &b.id)));
}
