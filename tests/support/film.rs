//! What a real encoder makes, as access units with their times: fragmented MP4 by ffmpeg, read by `mp4-atom`.

use std::process::{Command, Stdio};

use bytes::Bytes;
use mp4_atom::{Any, Atom, Codec, DecodeMaybe, Moov, Traf};

/// An encode.
pub struct Film {
    /// The whole of it, for other tools.
    pub file: Vec<u8>,
    /// Its tracks, in ffmpeg's order.
    pub strips: Vec<Strip>,
}

/// One track of an encode.
pub struct Strip {
    /// `hvc1`, `av01`, `avc1`, `mp4a` or `Opus`.
    pub fourcc: [u8; 4],
    /// The decoder's configuration: `hvcC`, `av1C`, `avcC`, `AudioSpecificConfig`, `OpusHead`.
    pub config: Bytes,
    /// Access units in decoding order.
    pub units: Vec<Unit>,
}

/// An access unit.
pub struct Unit {
    /// Decoding time in seconds; what is shown first may be decoded before zero.
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
        .args("-movflags delay_moov+frag_every_frame+default_base_moof -f mp4 pipe:1".split(' '))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    Film { strips: read(&output.stdout), file: output.stdout }
}

/// How a track counts time.
struct Clock {
    /// Ticks a second.
    scale: f64,
    /// The tick that is shown first.
    zero: f64,
}

fn read(file: &[u8]) -> Vec<Strip> {
    let (mut strips, mut clocks, mut rest) = (Vec::new(), Vec::new(), file);
    loop {
        let at = file.len() - rest.len();
        match Any::decode_maybe(&mut rest).unwrap() {
            Some(Any::Moov(moov)) => (strips, clocks) = tracks(&moov),
            Some(Any::Moof(moof)) => moof.traf.iter().for_each(|traf| {
                let index = traf.tfhd.track_id as usize - 1;
                units(traf, &file[at..], &clocks[index], &mut strips[index]);
            }),
            Some(_) => {}
            None => return strips,
        }
    }
}

/// The access units of a fragment that `data` begins with.
fn units(traf: &Traf, data: &[u8], Clock { scale, zero }: &Clock, strip: &mut Strip) {
    let (tfhd, mut dts) = (&traf.tfhd, traf.tfdt.as_ref().unwrap().base_media_decode_time as f64 - zero);
    for trun in &traf.trun {
        let mut at = trun.data_offset.unwrap() as usize;
        for entry in trun.samples.iter() {
            let pts = dts + entry.cts.unwrap_or(0) as f64;
            let key = entry.flags.or(tfhd.default_sample_flags).unwrap_or(0) & 0x1_0000 == 0;
            let size = entry.size.or(tfhd.default_sample_size).unwrap() as usize;
            let data = Bytes::copy_from_slice(&data[at..at + size]);
            strip.units.push(Unit { dts: dts / scale, pts: pts / scale, key, data });
            dts += f64::from(entry.duration.or(tfhd.default_sample_duration).unwrap());
            at += size;
        }
    }
}

fn tracks(moov: &Moov) -> (Vec<Strip>, Vec<Clock>) {
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
            Codec::Opus(entry) => {
                // RFC 7845 §5.1, in the byte order of Ogg.
                let [low, high] = entry.dops.pre_skip.to_le_bytes();
                config = [&b"OpusHead\x01"[..], &[entry.audio.channel_count as u8, low, high]].concat();
                config.extend_from_slice(&48_000_u32.to_le_bytes());
                config.extend_from_slice(&[0, 0, 0]);
                Ok(*b"Opus")
            }
            other => panic!("{other:?}"),
        };
        let edits = trak.edts.as_ref().and_then(|edts| edts.elst.as_ref());
        let zero = edits.map_or(0.0, |elst| elst.entries[0].media_time.unwrap_or(0) as f64);
        let clock = Clock { scale: f64::from(trak.mdia.mdhd.timescale), zero };
        (Strip { fourcc: fourcc.unwrap(), config: config.into(), units: Vec::new() }, clock)
    });
    tracks.unzip()
}
