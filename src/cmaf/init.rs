use bytes::Bytes;
use mp4_atom::{
    Atom, Audio, Av01, Av1c, Avc1, Avcc, Codec, Dinf, Dref, Encode, FourCC, Ftyp, Hdlr, Hvc1, Hvcc, Mdhd, Mdia, Minf,
    Moov, Mp4a, Mvex, Mvhd, Smhd, Stbl, Stco, Stsd, Tkhd, Trak, Trex, Url, Visual, Vmhd,
    esds::{DecoderConfig, DecoderSpecific, EsDescriptor, Esds, SLConfig},
};

use super::fragment::{NON_SYNC, SYNC, TRACK};
use crate::model::{AudioFormat, RenditionId, TrackFormat, VideoCodec, VideoFormat};

/// A track whose decoder configuration does not parse; its packets are dropped.
#[derive(Debug, thiserror::Error)]
#[error("cannot write an initialisation segment for rendition {rendition}")]
pub struct Unusable {
    /// Whose.
    pub rendition: RenditionId,
    source: mp4_atom::Error,
}

/// Ticks a second of video tracks: whole for 24, 25, 30, 50 and 60 fps and for milliseconds.
pub(super) const VIDEO_SCALE: u32 = 90_000;

/// Ticks a second of a track's boxes: audio counts samples.
pub(super) fn scale(format: &TrackFormat) -> u32 {
    match format {
        TrackFormat::Video(_) => VIDEO_SCALE,
        TrackFormat::Audio(audio) => scale_of(audio),
    }
}

/// Ticks a second of an audio track; no codec goes beyond, and bounded ticks cannot overflow.
pub(super) fn scale_of(audio: &AudioFormat) -> u32 {
    audio.sample_rate.clamp(1, 1_000_000)
}

/// `ftyp` and `moov` of a rendition (ISO 23000-19 §7.3.1): one track, no samples, no edit list.
pub(super) fn write(rendition: &RenditionId, format: &TrackFormat, bitrate: Option<u32>) -> Result<Bytes, Unusable> {
    encode(format, bitrate.unwrap_or(0)).map_err(|source| Unusable { rendition: rendition.clone(), source })
}

fn encode(format: &TrackFormat, bitrate: u32) -> mp4_atom::Result<Bytes> {
    let mut data = Vec::with_capacity(1024);
    let brands: [&[u8; 4]; 4] = [b"cmfc", b"iso6", b"mp41", b"cmf2"];
    let compatible_brands = brands.into_iter().map(FourCC::new).collect();
    Ftyp { major_brand: FourCC::new(b"cmfc"), minor_version: 0, compatible_brands }.encode(&mut data)?;
    moov(format, bitrate)?.encode(&mut data)?;
    Ok(data.into())
}

fn moov(format: &TrackFormat, bitrate: u32) -> mp4_atom::Result<Moov> {
    let mut tkhd = Tkhd { track_id: TRACK, enabled: true, in_movie: true, ..Tkhd::default() };
    let mut minf = Minf { dinf: Dinf { dref: Dref { entries: vec![Url::default().into()] } }, ..Minf::default() };
    let (handler, name, codec, default_sample_flags) = match format {
        TrackFormat::Video(video) => {
            tkhd.width = size(video.width).into();
            tkhd.height = size(video.height).into();
            minf.vmhd = Some(Vmhd::default());
            (b"vide", "video", visual(video)?, NON_SYNC)
        }
        TrackFormat::Audio(audio) => {
            tkhd.alternate_group = 1;
            tkhd.volume = 1.into();
            minf.smhd = Some(Smhd::default());
            (b"soun", "audio", sound(audio, bitrate), SYNC)
        }
    };
    minf.stbl = Stbl { stsd: Stsd { codecs: vec![codec] }, stco: Some(Stco::default()), ..Stbl::default() };
    let scale = scale(format);
    Ok(Moov {
        mvhd: Mvhd { timescale: scale, rate: 1.into(), volume: 1.into(), next_track_id: TRACK + 1, ..Mvhd::default() },
        mvex: Some(Mvex {
            mehd: None,
            trex: vec![Trex {
                track_id: TRACK,
                default_sample_description_index: 1,
                default_sample_flags,
                ..Trex::default()
            }],
        }),
        trak: vec![Trak {
            tkhd,
            mdia: Mdia {
                mdhd: Mdhd { timescale: scale, language: "und".into(), ..Mdhd::default() },
                hdlr: Hdlr { handler: handler.into(), name: name.into() },
                minf,
            },
            ..Trak::default()
        }],
        ..Moov::default()
    })
}

/// ISO 14496-15 §5.4.2 and §8.4.1; AV1-ISOBMFF §2.2.
fn visual(video: &VideoFormat) -> mp4_atom::Result<Codec> {
    let visual =
        Visual { data_reference_index: 1, width: size(video.width), height: size(video.height), ..Visual::default() };
    let mut config = &video.config[..];
    Ok(match video.codec {
        VideoCodec::H264 => Avc1 { visual, avcc: Avcc::decode_body(&mut config)?, ..Avc1::default() }.into(),
        VideoCodec::Hevc => Hvc1 { visual, hvcc: hvcc(&mut config)?, ..Hvc1::default() }.into(),
        VideoCodec::Av1 => Av01 { visual, av1c: Av1c::decode_body(&mut config)?, ..Av01::default() }.into(),
        VideoCodec::Vp8 => return Err(mp4_atom::Error::Unsupported("video codec")),
    })
}

/// With this sample entry all parameter sets stand in the record, which must say so.
fn hvcc(config: &mut &[u8]) -> mp4_atom::Result<Hvcc> {
    let mut record = Hvcc::decode_body(config)?;
    // Of video, sequence and picture parameter sets.
    for array in record.arrays.iter_mut().filter(|array| (32..=34).contains(&array.nal_unit_type)) {
        array.completeness = true;
    }
    Ok(record)
}

/// ISO 14496-14 §5.6. Its sample rate field holds 16 bits; the decoder reads the one in the configuration.
fn sound(audio: &AudioFormat, bitrate: u32) -> Codec {
    Mp4a {
        audio: Audio {
            data_reference_index: 1,
            channel_count: audio.channels,
            sample_size: 16,
            sample_rate: u16::try_from(audio.sample_rate).unwrap_or(0).into(),
        },
        esds: Esds {
            es_desc: EsDescriptor {
                es_id: TRACK as u16,
                dec_config: DecoderConfig {
                    // ISO 14496-1 §7.2.6.6: Audio ISO/IEC 14496-3, AudioStream.
                    object_type_indication: 0x40,
                    stream_type: 5,
                    max_bitrate: bitrate,
                    avg_bitrate: bitrate,
                    dec_specific: Some(DecoderSpecific { raw: audio.config.to_vec(), ..Default::default() }),
                    ..DecoderConfig::default()
                },
                sl_config: SLConfig::default(),
                ..EsDescriptor::default()
            },
        },
        btrt: None,
        taic: None,
    }
    .into()
}

fn size(pixels: u32) -> u16 {
    u16::try_from(pixels).unwrap_or(u16::MAX)
}
