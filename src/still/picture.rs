use bytes::Bytes;

use super::{bits, skip};
use crate::{
    ingest::{
        avc::{self, Coding, Order},
        bits::Bits,
    },
    model::{VideoCodec, VideoFormat},
};

const SLICE: u8 = 1;
const IDR: u8 = 5;
const SPS: u8 = 7;
const PPS: u8 = 8;
/// The macroblocks of the largest frame, at level 6 (ISO 14496-10 table A-1).
const LARGEST: u64 = 139_264;

/// A key frame of an H.264 track, and pictures that repeat it.
///
/// A repetition is a P picture of which every macroblock is skipped: it refers to the picture before
/// it, moves nothing and adds nothing (ISO 14496-10 §8.4.1.1), so that it decodes to the very same
/// samples. It is a reference picture itself, as ordinary as an encoder's, and a few dozen bytes long.
#[derive(Debug, Clone)]
pub struct Picture {
    key: Bytes,
    sps: Coding,
    pps: Pps,
    /// Slice data by CABAC, the same in every repetition.
    skipped: Vec<u8>,
}

/// What slice headers need of a picture parameter set (§7.3.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pps {
    id: u32,
    sps: u32,
    cabac: bool,
    /// `bottom_field_pic_order_in_frame_present_flag`.
    bottom: bool,
    /// `num_ref_idx_l0_default_active_minus1`.
    references: u32,
    weighted: bool,
    /// `pic_init_qp_minus26`.
    qp: i32,
    /// `deblocking_filter_control_present_flag`.
    deblocking: bool,
    /// `redundant_pic_cnt_present_flag`.
    redundant: bool,
}

/// Where a repetition stands among the pictures of its sequence.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// `nal_ref_idc`.
    reference: u8,
    frame_num: u32,
    /// `pic_order_cnt_lsb`, where slices carry it.
    order: u32,
}

impl Picture {
    /// Takes a key frame: an access unit with lengths of four bytes. `None` for what cannot be repeated:
    ///
    /// - other codecs,
    /// - interlaced sequences, whose skipped pairs of macroblocks may move,
    /// - colour planes coded apart, slice groups and order by a cycle, which encoders of lectures do not write,
    /// - sequences without reference pictures,
    /// - an access unit with parameter sets other than those of `format`, and anything broken.
    pub fn new(format: &VideoFormat, key: &[u8]) -> Option<Self> {
        if format.codec != VideoCodec::H264 {
            return None;
        }
        let sets = parameter_sets(&format.config)?;
        let (mut slices, mut pps_id) = (Vec::with_capacity(key.len()), None);
        for nal in avc::nals(key, 4) {
            let nal = nal.ok()?;
            match nal.first()? & 0x1f {
                IDR => {
                    // The same bits hold for a copy: the identifier of two such pictures need only differ
                    // when no other picture lies between (§7.4.3, idr_pic_id). What is said about the
                    // buffer and the clock beside the slices does not, and is left out.
                    let id = slice_pps(nal)?;
                    if *pps_id.get_or_insert(id) != id {
                        return None;
                    }
                    append(&mut slices, nal);
                }
                SPS | PPS if !sets.contains(&nal) => return None,
                SLICE..IDR => return None,
                _ => {}
            }
        }
        let pps_id = pps_id?;
        let mut all = sets.iter().filter(|nal| nal.first().is_some_and(|header| header & 0x1f == PPS));
        let pps = all.find_map(|nal| parse_pps(nal).filter(|pps| pps.id == pps_id))?;
        let mut all = sets.iter().filter_map(|nal| avc::parse_sps(nal).ok());
        let sps = all.find(|sps| sps.coding.id == pps.sps)?.coding;
        let repeatable = sps.frames_only
            && !sps.planes
            && sps.references > 0
            && sps.macroblocks <= LARGEST
            && (4..=16).contains(&sps.frame_num_bits)
            && match sps.order {
                Order::Written { bits } => (4..=16).contains(&bits),
                Order::Cycle => false,
                Order::Decoding => true,
            };
        if !repeatable {
            return None;
        }
        let skipped = if pps.cabac { skip::cabac(sps.macroblocks as u32) } else { Vec::new() };
        Some(Self { key: slices.into(), sps, pps, skipped })
    }

    /// The key frame.
    pub fn key(&self) -> Bytes {
        self.key.clone()
    }

    /// The `nth` repetition behind the key frame, from 1.
    pub fn repetition(&self, nth: u32) -> Bytes {
        // nal_ref_idc 2, as encoders have it for P pictures. Two counts of order for each frame (§8.2.1): the key
        // frame has 0.
        self.skipped(Place { reference: 2, frame_num: nth, order: nth << 1 })
    }

    /// A repetition of `last`, an access unit of the same sequence, for the time until its next one. It is no
    /// reference picture and counts nowhere: the encoder's next picture follows as if it were not there. The same
    /// bytes may come again and again: two such pictures have the same count of order, which §8.2.1 rules out for
    /// an encoder; decoders, which get each in its own access unit, put them out in the order of decoding.
    ///
    /// `None` if others do not refer to `last`, so that what is skipped would be an earlier picture.
    pub fn pause(&self, last: &[u8]) -> Option<Bytes> {
        let mut slices = avc::nals(last, 4).filter_map(Result::ok);
        let nal = slices.find(|nal| nal.first().is_some_and(|header| matches!(header & 0x1f, SLICE | IDR)))?;
        let (header, rest) = nal.split_first()?;
        let payload = avc::without_emulation_prevention(rest.get(..rest.len().min(60))?);
        let mut bits = Bits::new(&payload);
        bits.golomb()?; // first_mb_in_slice
        bits.golomb()?; // slice_type
        if bits.golomb()? != self.pps.id || header >> 5 & 3 == 0 {
            return None;
        }
        let frame_num = bits.take(self.sps.frame_num_bits)? + 1;
        if header & 0x1f == IDR {
            bits.golomb()?; // idr_pic_id
        }
        let order = match self.sps.order {
            Order::Written { bits: low } => bits.take(low)? + 1,
            Order::Cycle | Order::Decoding => 0,
        };
        Some(self.skipped(Place { reference: 0, frame_num, order }))
    }

    fn skipped(&self, place: Place) -> Bytes {
        let mut bits = bits::Bits::default();
        self.header(place, &mut bits);
        let payload = if self.pps.cabac {
            bits.align(true);
            let mut payload = bits.finish();
            payload.extend_from_slice(&self.skipped);
            payload
        } else {
            skip::cavlc(&mut bits, self.sps.macroblocks as u32);
            bits.finish()
        };
        let mut nal = vec![place.reference << 5 | SLICE];
        protect(&payload, &mut nal);
        let mut unit = Vec::with_capacity(4 + nal.len());
        append(&mut unit, &nal);
        unit.into()
    }

    /// A slice header (§7.3.3).
    fn header(&self, place: Place, bits: &mut bits::Bits) {
        let Self { sps, pps, .. } = self;
        bits.golomb(0); // first_mb_in_slice
        bits.golomb(5); // slice_type: P, like every slice of the picture
        bits.golomb(pps.id);
        bits.put(place.frame_num, sps.frame_num_bits);
        if let Order::Written { bits: low } = sps.order {
            bits.put(place.order, low);
            if pps.bottom {
                bits.signed_golomb(0);
            }
        }
        if pps.redundant {
            bits.golomb(0);
        }
        // One reference: the picture before.
        let more = pps.references > 0;
        bits.put(more.into(), 1);
        if more {
            bits.golomb(0);
        }
        bits.put(0, 1); // ref_pic_list_modification_flag_l0
        if pps.weighted {
            bits.golomb(0); // luma_log2_weight_denom
            if sps.chroma != 0 {
                bits.golomb(0);
            }
            bits.put(0, 1); // luma_weight_l0_flag
            if sps.chroma != 0 {
                bits.put(0, 1);
            }
        }
        if place.reference > 0 {
            bits.put(0, 1); // adaptive_ref_pic_marking_mode_flag: the oldest reference goes
        }
        if pps.cabac {
            bits.golomb(0); // cabac_init_idc
        }
        bits.signed_golomb(if pps.cabac { skip::QP - 26 - pps.qp } else { 0 });
        if pps.deblocking {
            bits.golomb(1); // disable_deblocking_filter_idc
        }
    }
}

/// The parameter sets of an `AVCDecoderConfigurationRecord` (ISO 14496-15 §5.3.3.1).
fn parameter_sets(record: &[u8]) -> Option<Vec<&[u8]>> {
    let (mut sets, mut rest) = (Vec::new(), record.get(5..)?);
    for mask in [0x1f, 0xff] {
        let (count, mut tail) = rest.split_first()?;
        for _ in 0..count & mask {
            let (length, after) = tail.split_first_chunk()?;
            let (nal, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
            sets.push(nal);
            tail = after;
        }
        rest = tail;
    }
    Some(sets)
}

fn parse_pps(nal: &[u8]) -> Option<Pps> {
    let payload = avc::without_emulation_prevention(nal.get(1..)?);
    let mut bits = Bits::new(&payload);
    let (id, sps, cabac, bottom) = (bits.golomb()?, bits.golomb()?, bits.flag()?, bits.flag()?);
    if bits.golomb()? > 0 {
        return None; // slice groups
    }
    let references = bits.golomb()?;
    bits.golomb()?; // num_ref_idx_l1_default_active_minus1
    let weighted = bits.flag()?;
    bits.take(2)?; // weighted_bipred_idc
    let qp = i32::try_from(bits.signed_golomb()?).ok().filter(|qp| (-88..=25).contains(qp))?;
    bits.signed_golomb()?; // pic_init_qs
    bits.signed_golomb()?; // chroma_qp_index_offset
    let deblocking = bits.flag()?;
    bits.flag()?; // constrained_intra_pred_flag
    let redundant = bits.flag()?;
    // An identifier beyond 255 does not exist (§7.4.2.2).
    (id < 256).then_some(Pps { id, sps, cabac, bottom, references, weighted, qp, deblocking, redundant })
}

/// `pic_parameter_set_id` of a slice.
fn slice_pps(nal: &[u8]) -> Option<u32> {
    // Three codes of at most 63 bits, and what protects them.
    let payload = avc::without_emulation_prevention(nal.get(1..nal.len().min(40))?);
    let mut bits = Bits::new(&payload);
    bits.golomb()?; // first_mb_in_slice
    bits.golomb()?; // slice_type
    bits.golomb()
}

fn append(unit: &mut Vec<u8>, nal: &[u8]) {
    unit.extend_from_slice(&(nal.len() as u32).to_be_bytes());
    unit.extend_from_slice(nal);
}

/// Puts 03 between two zeros and a byte up to 3 (ISO 14496-10 §7.4.1).
fn protect(payload: &[u8], nal: &mut Vec<u8>) {
    let mut zeros = 0;
    for &byte in payload {
        if zeros >= 2 && byte <= 3 {
            nal.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        nal.push(byte);
    }
}
