//! MPEG-TS, codecs' configurations and access units, and our own fragments read back.

use amphi::{
    cmaf::{BoxHeader, Fragment, boxes, whole},
    ingest::{
        aac,
        annexb::Stream,
        av1,
        avc::{self, Config, InvalidVideo},
        hevc,
        parameter_sets::Family,
        ts::{Demuxer, Output},
    },
};
use bytes::Bytes;

/// A transport stream: whatever pieces it comes in, the same frames, and no more than it held.
pub fn transport_stream(data: &[u8]) {
    let outputs = demux(data.chunks(data.len().max(1)));
    // Longer noise may be given up on before what follows it has come.
    if data.len() <= 16 << 10 {
        let size = 1 + data.last().map_or(0, |last| usize::from(*last) % 249);
        assert_eq!(format!("{:?}", demux(data.chunks(size))), format!("{outputs:?}"));
    }
    let lengths = outputs.iter().map(|output| match output {
        Output::Frame(frame) => frame.data.len(),
        Output::Video(_) | Output::Audio(_) => 0,
    });
    assert!(lengths.sum::<usize>() <= 2 * data.len());
}

fn demux<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Output> {
    let (mut demuxer, mut outputs) = (Demuxer::default(), Vec::new());
    for piece in pieces {
        let pushed = demuxer.push(piece);
        outputs.extend(std::iter::from_fn(|| demuxer.take()));
        if pushed.is_err() {
            return outputs;
        }
    }
    let _ = demuxer.finish();
    outputs.extend(std::iter::from_fn(|| demuxer.take()));
    outputs
}

/// A configuration or an access unit, of the kind that the first byte names.
pub fn codecs(data: &[u8]) {
    let Some((&first, rest)) = data.split_first() else { return };
    let bytes = Bytes::copy_from_slice(rest);
    let length = [1, 2, 4][usize::from(first >> 4) % 3];
    match first & 0x0f {
        0 => configuration(avc::parse_config, bytes),
        1 => configuration(hevc::parse_config, bytes),
        2 => configuration(|bytes| Ok(Config { format: av1::parse_config(bytes)?, length_size: 4 }), bytes),
        3 => drop(aac::parse_config(bytes).map(|format| {
            assert!(format.sample_rate > 0 && format.channels > 0 && format.codecs().starts_with("mp4a.40."));
        })),
        4 => byte_stream(Family::Avc, rest),
        5 => byte_stream(Family::Hevc, rest),
        6 => access_unit(avc::normalise, bytes, length),
        7 => access_unit(hevc::normalise, bytes, length),
        8 => {
            let _ = av1::normalise(bytes, &[0x81, 4, 0x0c, 0]);
        }
        9 => drop(avc::parse_sps(rest).map(|sps| assert!(plausible(sps.width, sps.height)))),
        _ => drop(hevc::parse_sps(rest).map(|sps| assert!(plausible(sps.width, sps.height)))),
    }
}

/// What comes out of a record is one again, and the same.
fn configuration(parse: impl Fn(Bytes) -> Result<Config, InvalidVideo>, record: Bytes) {
    let Ok(Config { format, .. }) = parse(record.clone()) else { return };
    assert!(plausible(format.width, format.height) && format.config.len() == record.len());
    assert!(format.frame_rate.is_none_or(|rate| rate > 0.0 && rate <= 240.0));
    let codecs = format.codecs();
    assert!(codecs.is_ascii() && codecs.len() < 64 && !codecs.contains(['"', ',']), "{codecs}");
    assert_eq!(parse(format.config.clone()), Ok(Config { format, length_size: 4 }));
}

fn byte_stream(family: Family, bytes: &[u8]) {
    let mut stream = Stream::new(family);
    let Ok(units) = stream.units(bytes) else { return };
    assert!(units.iter().map(|unit| unit.data.len()).sum::<usize>() <= 2 * bytes.len());
    for unit in units {
        assert!(!unit.data.is_empty());
        if let Some(format) = unit.format {
            assert!(plausible(format.width, format.height));
        }
        access_unit(avc::normalise, unit.data, 4);
    }
}

/// What comes out has lengths of four bytes, and goes in again unchanged.
fn access_unit(
    normalise: impl Fn(Bytes, usize) -> Result<Option<(Bytes, bool)>, InvalidVideo>,
    unit: Bytes,
    length: usize,
) {
    let Ok(Some((made, key))) = normalise(unit, length) else { return };
    assert_eq!(normalise(made.clone(), 4), Ok(Some((made, key))));
}

fn plausible(width: u32, height: u32) -> bool {
    (1..=8_704).contains(&width) && (1..=8_704).contains(&height)
}

/// Fragments as a disk may give them back.
pub fn cmaf(data: &[u8]) {
    let _ = BoxHeader::parse(data);
    let mut end = 0;
    for (_, range) in boxes(data) {
        assert!(range.start == end && range.end >= range.start + 8 && range.end <= data.len());
        end = range.end;
    }
    let length = whole(data);
    assert!(length <= end);
    assert_eq!(whole(&data[..length]), length, "what was cut once is whole");
    if let Some(fragment) = Fragment::parse(data) {
        assert!(fragment.samples > 0);
    }
}
