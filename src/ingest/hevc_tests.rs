use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// x265's parameter sets of 642×362, cropped from 648×368, in two sub-layers.
const SMALL: &str = "0101600000009000000000003ff000fcfdf8f800000f03a00001001840010c01ffff016000000300900000030000030\
                     03f959809a10001002c42010101600000030090000003000003003fa005120171c9265959a4932bc05a0200000300020\
                     00003003210a2000100074401c172b46240";
/// 854×480 in 4:2:2 and ten bits.
const DEEP: &str = "0104080000009d08000000005af000fcfefafa00001303a00001001b40010c02ffff0408000003009d0800000300005a00\
                    009598acc048a10001002d4201020408000003009d0800000300005a0000b006b201e1d6d965662b349265780b404000000\
                    3004000000782a2000100074401c172b46240";

fn record(hex: &str) -> Vec<u8> {
    bytes(&hex.split_whitespace().collect::<String>())
}

#[test]
fn pictures_as_x265_describes_them() {
    for (config, size) in [(SMALL, (642, 362)), (DEEP, (854, 480))] {
        let config = parse_config(record(config).into()).unwrap();
        assert_eq!((config.format.width, config.format.height), size);
        assert_eq!((config.format.codec, config.length_size, config.format.frame_rate), (VideoCodec::Hevc, 4, None));
    }
}

#[test]
fn a_record_is_made_of_the_sets_as_ffmpeg_makes_it() {
    for written in [SMALL, DEEP] {
        let written = record(written);
        let sets = |kind| parameter_set(&written[HEAD..], written[22], kind).map(Bytes::copy_from_slice).unwrap();
        let (video, sequence, picture) = (sets(VPS), sets(SPS), sets(PPS));
        let made = super::record(&[&video], &[&sequence], &[&picture]).unwrap();
        assert_eq!(made[..], written[..]);
        assert_eq!(super::record(&[], &[&sequence], &[&picture]), None);
        assert_eq!(super::record(&[&video], &[&sequence], &[]), None);
    }
}

#[test]
fn a_rate_in_the_record_counts_and_short_lengths_are_announced_as_four_bytes() {
    let mut short = record(SMALL);
    (short[19], short[20], short[21]) = (50, 0, short[21] & 0xfc | 1);
    let Config { format, length_size } = parse_config(short.into()).unwrap();
    assert_eq!((format.frame_rate, length_size, format.config[21] & 3), (Some(50.0), 2, 3));
}

#[test]
fn broken_configurations_are_refused() {
    let good = Bytes::from(record(SMALL));
    let sps = good.len() - 12;
    for length in 0..sps {
        assert!(parse_config(good.slice(..length)).is_err(), "{length} bytes");
    }
    let with = |at: usize, byte: u8| {
        let mut record = good.to_vec();
        record[at] = byte;
        parse_config(record.into())
    };
    assert_eq!(with(0, 0), Err(InvalidVideo::Config));
    assert_eq!(with(21, 0x0e), Err(InvalidVideo::Config), "lengths of three bytes");
    assert_eq!(with(22, 0), Err(InvalidVideo::Config), "no parameter set");
}

#[test]
fn noise_is_no_configuration_and_never_panics() {
    let good = record(SMALL);
    let mut state = 7_u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as usize
    };
    for _ in 0..20_000 {
        let mut noisy = good.clone();
        for _ in 0..1 + random() % 6 {
            let at = random() % noisy.len();
            noisy[at] = random() as u8;
        }
        noisy.truncate(random() % noisy.len() + 1);
        if let Ok(Config { format, .. }) = parse_config(noisy.into()) {
            assert!(avc::is_plausible(format.width, format.height));
        }
    }
}

#[test]
fn decoders_start_at_what_the_bit_stream_says() {
    // CRA, IDR, BLA; a trailing picture, RASL.
    for (kind, key) in [(21, true), (19, true), (16, true), (1, false), (9, false)] {
        let unit = Bytes::from(vec![0, 0, 0, 3, kind << 1, 1, 0xaf]);
        let (same, is_key) = normalise(unit.clone(), 4).unwrap().unwrap();
        assert_eq!((same.as_ptr(), is_key), (unit.as_ptr(), key), "{kind}");
    }
    assert_eq!(normalise(Bytes::from_static(&[0, 0, 0, 9, 38]), 4), Err(InvalidVideo::AccessUnit));
}
