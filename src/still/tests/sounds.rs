use std::fs;

use bytes::Bytes;

use super::run;
use crate::{ingest::aac, model::AudioFormat, still::silence};

/// ADTS (ISO 14496-3 §1.A.2.2) around frames of a format, so that ffmpeg reads them.
fn adts(format: &AudioFormat, frame: &[u8], count: usize) -> Vec<u8> {
    let (index, channels) = ((format.config[0] & 7) << 1 | format.config[1] >> 7, format.config[1] >> 3 & 15);
    let length = frame.len() + 7;
    let header = [
        0xff,
        0xf1,
        1 << 6 | index << 2 | channels >> 2,
        (channels & 3) << 6 | (length >> 11) as u8,
        (length >> 3) as u8,
        (length << 5) as u8 | 0x1f,
        0xfc,
    ];
    [&header[..], frame].concat().repeat(count)
}

#[test]
fn silence_decodes_to_digital_zero() {
    let dir = tempfile::tempdir().unwrap();
    // Rates 44.1, 48 and 22.05 kHz, with every configuration of channels.
    for index in [4_u8, 3, 7] {
        for channels in 1..=7_u8 {
            let config = Bytes::copy_from_slice(&[2 << 3 | index >> 1, index << 7 | channels << 3]);
            let format = aac::parse_config(config).unwrap();
            let frame = silence(&format).expect("every configuration can be silent");
            let file = dir.path().join("silence.aac");
            fs::write(&file, adts(&format, &frame, 50)).unwrap();
            let file = file.to_str().unwrap();
            let pcm = dir.path().join("silence.raw");
            let strict = ["-v", "error", "-y", "-err_detect", "explode", "-xerror", "-i", file, "-f", "s16le"];
            run("ffmpeg", &[&strict[..], &[pcm.to_str().unwrap()]].concat());
            let pcm = fs::read(pcm).unwrap();
            assert_eq!(pcm.len(), 50 * 1024 * 2 * usize::from(format.channels), "{channels}");
            assert!(pcm.iter().all(|byte| *byte == 0), "{channels}");
        }
    }
}

#[test]
fn what_is_not_lc_or_names_its_channels_itself_is_refused() {
    let silent = |config: &'static [u8]| silence(&aac::parse_config(Bytes::from_static(config)).unwrap()).is_some();
    assert!(silent(&[0x11, 0x90, 0x56, 0xe5, 0x00]), "LC with band replication announced behind it");
    assert!(silent(&[0x2b, 0x11, 0x88, 0x00]), "band replication around LC");
    assert!(!silent(&[0x09, 0x90]), "Main");
    assert!(!silent(&[0x11, 0x80]), "a program config element");
}
