//! What a real encoder makes, as access units with their times: fragmented MP4 by ffmpeg, read by `mp4-atom`.

use std::process::{Command, Stdio};

use bytes::Bytes;
use mp4_atom::{Any, Atom, Codec, DecodeMaybe, Moof, Moov};

/// An encode.
pub struct Film {
    /// The whole of it, for other tools.
    pub file: Vec<u8>,
    /// Its tracks, in ffmpeg's order.
    pub strips: Vec<Strip>,
}

/// One track of an encode.
pub struct Strip {
    /// `hvc1`, `av01`, `avc1` or `mp4a`.
    pub fourcc: [u8; 4],
    /// The decoder's configuration: `hvcC`, `av1C`, `avcC`, `AudioSpecificConfig`.
    pub config: Bytes,
    /// Access units in decoding order.
    pub units: Vec<Unit>,
}

/// An access unit.
pub struct Unit {
    /// Decoding time in seconds.
    pub dts: f64,
    /// Presentation time in seconds.
    pub pts: f64,
    /// A decoder can start here.
    pub key: bool,
    pub data: Bytes,
}

/// What ffmpeg makes with these arguments.
pub fn encode(arguments: &str) -> Film {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error"])
        .args(arguments.split_whitespace())
        .args("-movflags empty_moov+frag_every_frame+default_base_moof+negative_cts_offsets -f mp4 pipe:1".split(' '))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    Film { strips: read(&output.stdout), file: output.stdout }
}

fn read(mut file: &[u8]) -> Vec<Strip> {
    let (mut strips, mut scales, mut fragment) = (Vec::new(), Vec::new(), None);
    while let Some(atom) = Any::decode_maybe(&mut file).unwrap() {
        match atom {
            Any::Moov(moov) => (strips, scales) = tracks(&moov),
            Any::Moof(moof) => fragment = Some(moof),
            Any::Mdat(mdat) => {
                let Moof { traf, .. } = fragment.take().unwrap();
                let [traf] = &traf[..] else { panic!("a fragment holds one track") };
                let index = traf.tfhd.track_id as usize - 1;
                let entry = traf.trun[0].samples.iter().next().unwrap();
                let flags = entry.flags.or(traf.tfhd.default_sample_flags).unwrap_or(0);
                let dts = traf.tfdt.as_ref().unwrap().base_media_decode_time as f64;
                let pts = dts + entry.cts.unwrap_or(0) as f64;
                let (scale, strip): (f64, &mut Strip) = (scales[index], &mut strips[index]);
                let key = flags & 0x1_0000 == 0;
                strip.units.push(Unit { dts: dts / scale, pts: pts / scale, key, data: mdat.data.into() });
            }
            _ => {}
        }
    }
    strips
}

fn tracks(moov: &Moov) -> (Vec<Strip>, Vec<f64>) {
    let tracks = moov.trak.iter().map(|trak| {
        let mut config = Vec::new();
        let fourcc = match &trak.mdia.minf.stbl.stsd.codecs[0] {
            Codec::Avc1(entry) => entry.avcc.encode_body(&mut config).map(|()| *b"avc1"),
            Codec::Hvc1(entry) => entry.hvcc.encode_body(&mut config).map(|()| *b"hvc1"),
            Codec::Av01(entry) => entry.av1c.encode_body(&mut config).map(|()| *b"av01"),
            Codec::Mp4a(entry) => {
                let specific = entry.esds.es_desc.dec_config.dec_specific.as_ref().unwrap();
                config.extend_from_slice(&specific.raw);
                Ok(*b"mp4a")
            }
            other => panic!("{other:?}"),
        };
        let scale = f64::from(trak.mdia.mdhd.timescale);
        (Strip { fourcc: fourcc.unwrap(), config: config.into(), units: Vec::new() }, scale)
    });
    tracks.unzip()
}
