use super::*;

fn bytes(hex: &str) -> Bytes {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// x264's configuration of 1920×1080 at 29.97 fps, cropped from 1088 lines.
const FULL_HD: &str = "0142c028ffe100176742c028da01e0089f97011000003e90000ea600f1832a01000468ce0fc8";

fn check(config: &str, width: u32, height: u32, rate: f64) {
    let format = parse_config(bytes(config)).unwrap().format;
    assert_eq!((format.width, format.height), (width, height), "{config}");
    assert!((format.frame_rate.unwrap() - rate).abs() < 0.001, "{:?}", format.frame_rate);
}

#[test]
fn pictures_as_x264_describes_them() {
    check(FULL_HD, 1920, 1080, 30_000.0 / 1001.0);
    // 4:4:4, 4:2:2, interlaced, baseline, with scaling lists, grey.
    check(
        "01f40028ffe1001a67f40028919680780227b8bc0440000003004000000c83c60ca801000568ce0f1920fff8f800",
        1918,
        1078,
        25.0,
    );
    check("017a001fffe10019677a001fbcb405017fcf80880000030008000003032078c19501000468ce0fc8fef8f800", 640, 362, 50.0);
    check("014d4028ffe10019674d4028f403c0227ef011000003000100000300321f162ea001000468de0fc8", 1920, 1080, 25.0);
    check("0142c00cffe100166742c00cda0507ec0440000003004000000783c50aa801000468ce0fc8", 320, 240, 15.0);
    check("0164001fffe100196764001facb406c1ef378088000003000800000303c078c19501000568ce0fc40cfdf8f800", 854, 480, 60.0);
    check("0164000affe100176764000af2d0589d80b640000003004000000503c489a801000468ce0fc8fcf8f800", 176, 144, 10.0);
}

#[test]
fn short_lengths_are_announced_as_four_bytes() {
    for (size, flags) in [(1, 0xfc), (2, 0xfd), (4, 0xff)] {
        let mut record = bytes(FULL_HD).to_vec();
        record[4] = flags;
        let config = parse_config(record.into()).unwrap();
        assert_eq!((config.length_size, &config.format.config[..]), (size, &bytes(FULL_HD)[..]));
    }
}

#[test]
fn broken_configurations_are_refused() {
    let good = bytes(FULL_HD);
    for length in 0..27 {
        assert!(parse_config(good.slice(..length)).is_err(), "{length} bytes");
    }
    let with = |at: usize, byte: u8| {
        let mut record = good.to_vec();
        record[at] = byte;
        parse_config(record.into())
    };
    assert_eq!(with(0, 0), Err(InvalidVideo::Config));
    assert_eq!(with(4, 0xfe), Err(InvalidVideo::Config), "lengths of three bytes");
    assert_eq!(with(5, 0xe0), Err(InvalidVideo::Config), "no parameter set");
    assert_eq!(with(8, 0x40), Err(InvalidVideo::Config), "an HEVC parameter set");
}

/// A baseline parameter set of so many macroblocks.
fn sps(width: u32, height: u32) -> Vec<u8> {
    let mut bits = String::new();
    let mut golomb = |value: u32| {
        let code = u64::from(value) + 1;
        let length = 64 - code.leading_zeros() as usize;
        bits += &format!("{}{code:b}", "0".repeat(length - 1));
    };
    golomb(0);
    golomb(0);
    golomb(2);
    golomb(1);
    let mut bits = bits + "0";
    for value in [width - 1, height - 1] {
        let code = u64::from(value) + 1;
        bits += &format!("{}{code:b}", "0".repeat(63 - code.leading_zeros() as usize));
    }
    bits += "11001";
    bits += &"0".repeat(8 - bits.len() % 8);
    let payload = (0..bits.len()).step_by(8).map(|at| u8::from_str_radix(&bits[at..at + 8], 2).unwrap());
    [0x67, 66, 0, 30].into_iter().chain(payload).collect()
}

#[test]
fn absurd_pictures_are_refused() {
    assert_eq!(parse_sps(&sps(40, 30)).map(|sps| (sps.width, sps.height)), Ok((640, 480)));
    assert_eq!(parse_sps(&sps(4096, 4096)), Err(InvalidVideo::Size), "65536 a side");
    assert_eq!(parse_sps(&sps(u32::MAX - 1, u32::MAX - 1)), Err(InvalidVideo::Size));
}

#[test]
fn noise_is_no_parameter_set_and_never_panics() {
    let mut state = 3_u32;
    for _ in 0..20_000 {
        let mut nal: Vec<u8> = (0..40)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 16) as u8
            })
            .collect();
        nal[0] = 0x67;
        if let Ok(sps) = parse_sps(&nal) {
            assert!(sps.width <= MAX_SIDE && sps.height <= MAX_SIDE);
        }
    }
}

#[test]
fn an_access_unit_as_packaging_wants_it_is_not_copied() {
    let unit = Bytes::from_static(&[0, 0, 0, 2, 0x65, 1, 0, 0, 0, 1, 0x41]);
    let (same, idr) = normalise(unit.clone(), 4).unwrap().unwrap();
    assert_eq!((same.as_ptr(), same.len(), idr), (unit.as_ptr(), unit.len(), true));
}

#[test]
fn lengths_grow_to_four_bytes_and_empty_units_go() {
    let expected = Bytes::from_static(&[0, 0, 0, 2, 0x41, 1, 0, 0, 0, 1, 0x41]);
    for (unit, size) in [
        (&[2, 0x41, 1, 1, 0x41][..], 1),
        (&[0, 2, 0x41, 1, 0, 0, 0, 1, 0x41], 2),
        (&[0, 0, 0, 0, 0, 0, 0, 2, 0x41, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0x41], 4),
    ] {
        assert_eq!(normalise(Bytes::copy_from_slice(unit), size), Ok(Some((expected.clone(), false))), "{size}");
    }
    assert_eq!(normalise(Bytes::from_static(&[0; 8]), 4), Ok(None));
    assert_eq!(normalise(Bytes::new(), 4), Ok(None));
}

#[test]
fn lengths_that_lie_are_noticed() {
    for unit in [&[0, 0, 0, 3, 1, 2][..], &[0xff, 0xff, 0xff, 0xff, 1], &[0, 0, 0], &[0, 0, 0, 1, 5, 0]] {
        assert_eq!(normalise(Bytes::copy_from_slice(unit), 4), Err(InvalidVideo::AccessUnit), "{unit:?}");
    }
}
