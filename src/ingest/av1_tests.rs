use super::*;

/// SVT-AV1's record of 642×362, libaom's of 854×480.
const SMALL: &[u8] = &[0x81, 1, 0x0c, 0, 0x0a, 0x0b, 0, 0, 0, 0x0c, 0xc5, 3, 0x69, 0, 0xbe, 0, 0x10];
const LARGER: &[u8] = &[0x81, 4, 0x0c, 0, 0x0a, 0x0b, 0, 0, 0, 0x24, 0xc6, 0xab, 0xdf, 0x36, 0xbe, 0x40, 0x10];
const SEQUENCE: &[u8] = &[0x0a, 0x0b, 0, 0, 0, 0x0c, 0xc5, 3, 0x69, 0, 0xbe, 0, 0x10];
const DELIMITER: &[u8] = &[0x12, 0];
/// A shown key frame, a shown inter frame, a key frame shown again; cut behind their headers.
const KEY: &[u8] = &[0x32, 2, 0x10, 0];
const INTER: &[u8] = &[0x32, 2, 0x30, 0];
const AGAIN: &[u8] = &[0x1a, 1, 0x80];

fn unit(obus: &[&[u8]]) -> Bytes {
    obus.concat().into()
}

#[test]
fn pictures_as_encoders_describe_them() {
    for (record, size) in [(SMALL, (642, 362)), (LARGER, (854, 480))] {
        let format = parse_config(Bytes::from_static(record)).unwrap();
        assert_eq!((format.codec, format.width, format.height), (VideoCodec::Av1, size.0, size.1));
        assert_eq!(format.config, record);
    }
}

#[test]
fn a_record_without_a_whole_sequence_header_is_refused() {
    for length in 0..SMALL.len() {
        assert_eq!(parse_config(Bytes::from_static(&SMALL[..length])), Err(InvalidVideo::Config), "{length} bytes");
    }
    let mut other = SMALL.to_vec();
    other[0] = 1;
    assert_eq!(parse_config(other.into()), Err(InvalidVideo::Config));
}

#[test]
fn a_unit_as_samples_hold_it_is_not_copied() {
    for (given, key) in [(unit(&[SEQUENCE, KEY]), true), (unit(&[INTER]), false), (unit(&[AGAIN]), false)] {
        let (same, is_key) = normalise(given.clone(), SMALL).unwrap().unwrap();
        assert_eq!((same.as_ptr(), is_key), (given.as_ptr(), key));
    }
}

#[test]
fn what_samples_do_not_hold_goes_and_what_they_lack_comes() {
    let padding = &[0x7a, 3, 1, 2, 0x80][..];
    let (clean, _) = normalise(unit(&[DELIMITER, SEQUENCE, KEY, padding]), SMALL).unwrap().unwrap();
    assert_eq!(clean, unit(&[SEQUENCE, KEY]));
    assert_eq!(normalise(unit(&[DELIMITER, KEY]), SMALL), Ok(Some((unit(&[SEQUENCE, KEY]), true))));
    assert_eq!(normalise(unit(&[DELIMITER, SEQUENCE]), SMALL), Ok(None));
    assert_eq!(normalise(Bytes::new(), SMALL), Ok(None));
    // The last one may leave out its size.
    assert!(normalise(unit(&[SEQUENCE, &[0x30, 0x10, 0]]), SMALL).unwrap().unwrap().1);
}

#[test]
fn sizes_that_lie_are_noticed() {
    for lie in
        [&[0x32, 3, 0x10, 0][..], &[0x32], &[0x36, 1], &[0x32, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]]
    {
        assert_eq!(normalise(unit(&[SEQUENCE, lie]), SMALL), Err(InvalidVideo::AccessUnit), "{lie:x?}");
    }
}

#[test]
fn noise_never_panics() {
    let mut state = 11_u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as usize
    };
    for _ in 0..20_000 {
        let mut record = LARGER.to_vec();
        let mut obus = unit(&[DELIMITER, SEQUENCE, KEY, INTER]).to_vec();
        for _ in 0..1 + random() % 4 {
            let (at, byte) = (random(), random() as u8);
            let place = at % record.len();
            record[place] = byte;
            let place = at % obus.len();
            obus[place] = byte;
        }
        if let Ok(format) = parse_config(record.into()) {
            assert!(avc::is_plausible(format.width, format.height));
        }
        let _ = normalise(obus.into(), SMALL);
    }
}
