use super::*;
use crate::ingest::rtmp::message::kind::{AUDIO, COMMAND, VIDEO};

fn message(kind: u8, timestamp: u32, payload: Vec<u8>) -> Message {
    Message { kind, stream: 1, timestamp, payload: payload.into() }
}

fn read_all(reader: &mut Reader, bytes: &[u8]) -> Result<Vec<Message>, Error> {
    let mut input = BytesMut::from(bytes);
    let mut messages = Vec::new();
    while let Some(message) = reader.read(&mut input)? {
        messages.push(message);
    }
    Ok(messages)
}

fn times(bytes: &[u8]) -> Vec<u32> {
    let messages = read_all(&mut Reader::new(Limits::PUBLISHER), bytes).unwrap();
    messages.iter().map(|message| message.timestamp).collect()
}

/// A type 0 header of a message of `length` bytes on chunk stream 4.
fn full(time: [u8; 3], length: u8) -> Vec<u8> {
    [&[4][..], &time, &[0, 0, length, AUDIO, 1, 0, 0, 0]].concat()
}

#[test]
fn what_is_written_is_read_whatever_way_it_is_split() {
    let sent = [
        message(COMMAND, 0, vec![1; 300]),
        message(VIDEO, 0x00ff_fffe, vec![2; 70_000]),
        message(AUDIO, 0x00ff_ffff, vec![3; 200]),
        message(AUDIO, u32::MAX, (0..=255).cycle().take(9_000).collect()),
        message(AUDIO, 5, vec![]),
        message(AUDIO, u32::MAX, vec![]),
    ];
    let mut writer = Writer::new();
    let mut bytes = BytesMut::new();
    for (index, message) in sent.iter().enumerate() {
        writer.write(4, message, &mut bytes);
        if index == 1 {
            writer.set_chunk_size(4096, &mut bytes);
        }
    }
    for step in [1, 7, 128, 4096, bytes.len()] {
        let mut reader = Reader::new(Limits::PUBLISHER);
        let (mut input, mut received) = (BytesMut::new(), Vec::new());
        for piece in bytes.chunks(step) {
            input.extend_from_slice(piece);
            while let Some(message) = reader.read(&mut input).unwrap() {
                received.push(message);
            }
            assert!(input.len() <= 18, "only a header may wait");
        }
        assert_eq!(received, sent, "in steps of {step}");
        assert_eq!(reader.pending(), 0);
    }
}

#[test]
fn payload_is_allocated_once() {
    let mut bytes = BytesMut::new();
    Writer::new().write(6, &message(VIDEO, 0, vec![7; 100_000]), &mut bytes);
    let mut reader = Reader::new(Limits::PUBLISHER);
    let mut head = bytes.split_to(500);
    assert_eq!(reader.read(&mut head).unwrap(), None);
    let started = reader.streams[&6].message.as_ref().unwrap().as_ptr();
    let whole = reader.read(&mut bytes).unwrap().unwrap();
    assert_eq!(whole.payload.as_ptr(), started);
}

#[test]
fn deltas_add_up() {
    let mut bytes = full([0, 3, 232], 1);
    bytes.push(0);
    bytes.extend([0x44, 0, 0, 23, 0, 0, 1, AUDIO, 0]); // type 1: +23
    bytes.extend([0x84, 0, 0, 24, 0]); // type 2: +24
    bytes.extend([0xc4, 0]); // type 3: +24 again
    assert_eq!(times(&bytes), [1000, 1023, 1047, 1071]);
}

#[test]
fn a_type_3_chunk_after_a_full_header_repeats_its_time_as_delta_unless_that_is_a_clock() {
    let mut small = full([0, 0, 23], 1);
    small.extend([0, 0xc4, 0]);
    assert_eq!(times(&small), [23, 46], "as ffmpeg sends the second audio packet");
    let mut clock = full([0x10, 0, 0], 1);
    clock.extend([0, 0xc4, 0]);
    assert_eq!(times(&clock), [0x10_0000, 0x10_0000]);
}

#[test]
fn time_stamps_wrap() {
    let mut bytes = full([0xff, 0xff, 0xff], 1);
    bytes.extend([0xff, 0xff, 0xff, 0xf0, 0]);
    bytes.extend([0x84, 0, 0, 0x20, 0]);
    assert_eq!(times(&bytes), [0xffff_fff0, 0x10]);
}

#[test]
fn extended_times_may_be_repeated_in_type_3_chunks_or_not() {
    let time = [0x01, 0x02, 0x03, 0x04];
    let head = [&full([0xff, 0xff, 0xff], 200)[..], &time, &[9; 128], &[0xc4]].concat();
    for bytes in [[&head[..], &time, &[9; 72]].concat(), [&head[..], &[9; 72]].concat()] {
        let messages = read_all(&mut Reader::new(Limits::PUBLISHER), &bytes).unwrap();
        assert_eq!(messages.len(), 1);
        assert_eq!((messages[0].timestamp, &messages[0].payload[..]), (0x0102_0304, &[9; 200][..]));
    }
}

#[test]
fn chunk_streams_have_one_two_or_three_bytes() {
    for id in [&[0x05][..], &[0x00, 0x10], &[0x01, 0x10, 0x20]] {
        let header = [id, &[0, 0, 0, 0, 0, 1, AUDIO, 1, 0, 0, 0, 42]].concat();
        let messages = read_all(&mut Reader::new(Limits::STRANGER), &header).unwrap();
        assert_eq!(messages, [message(AUDIO, 0, vec![42])]);
    }
}

fn set_chunk_size(size: u32) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 0, 4, kind::SET_CHUNK_SIZE, 0, 0, 0, 0][..], &size.to_be_bytes()].concat()
}

#[test]
fn chunk_sizes_are_checked() {
    for refused in [0, 0x8000_0000, u32::MAX] {
        let result = read_all(&mut Reader::new(Limits::STRANGER), &set_chunk_size(refused));
        assert!(matches!(result, Err(Error::Malformed(_))), "{refused}");
    }
    let huge = [set_chunk_size(0x7fff_ffff), full([0, 0, 0], 200), vec![1; 200]].concat();
    assert_eq!(read_all(&mut Reader::new(Limits::STRANGER), &huge).unwrap().len(), 1);
    let mut single = [set_chunk_size(1), full([0, 0, 0], 3)].concat();
    single.extend([1, 0xc4, 2, 0xc4, 3]);
    assert_eq!(&read_all(&mut Reader::new(Limits::STRANGER), &single).unwrap()[0].payload[..], [1, 2, 3]);
}

#[test]
fn a_chunk_size_that_changes_in_mid_message_holds_from_the_next_chunk_on() {
    let mut bytes = [full([0, 0, 0], 200), vec![1; 128], set_chunk_size(50)].concat();
    bytes.extend([&[0xc4][..], &[2; 50], &[0xc4], &[3; 22]].concat());
    let messages = read_all(&mut Reader::new(Limits::STRANGER), &bytes).unwrap();
    assert_eq!(messages.len(), 1);
    assert_eq!(&messages[0].payload[..], [&[1; 128][..], &[2; 50], &[3; 22]].concat());
}

#[test]
fn a_message_may_go_on_with_a_shorter_header_but_not_become_another_one() {
    let start = [full([0, 0, 9], 200), vec![1; 128]].concat();
    for header in [&[0x84, 0, 0, 9][..], &[0x44, 0, 0, 9, 0, 0, 200, AUDIO]] {
        let messages = read_all(&mut Reader::new(Limits::STRANGER), &[&start[..], header, &[2; 72]].concat()).unwrap();
        assert_eq!((messages[0].timestamp, messages[0].payload.len()), (9, 200), "its time stays");
    }
    for header in [full([0, 0, 9], 200), vec![0x44, 0, 0, 9, 0, 0, 201, AUDIO], vec![0x44, 0, 0, 9, 0, 0, 200, VIDEO]] {
        let result = read_all(&mut Reader::new(Limits::STRANGER), &[&start[..], &header, &[2; 72]].concat());
        assert!(matches!(result, Err(Error::Malformed(_))), "{header:?}");
    }
}

#[test]
fn an_aborted_message_is_forgotten() {
    let mut bytes = [full([0, 0, 0], 200), vec![1; 128]].concat();
    bytes.extend([2, 0, 0, 0, 0, 0, 4, kind::ABORT, 0, 0, 0, 0, 0, 0, 0, 4]);
    bytes.extend([full([0, 0, 7], 1), vec![5]].concat());
    let mut reader = Reader::new(Limits::STRANGER);
    assert_eq!(read_all(&mut reader, &bytes).unwrap(), [message(AUDIO, 7, vec![5])]);
    assert_eq!(reader.pending(), 0);
}

#[test]
fn a_type_3_chunk_cannot_come_first() {
    assert!(matches!(read_all(&mut Reader::new(Limits::STRANGER), &[0xc4, 0]), Err(Error::Malformed(_))));
}

#[test]
fn a_thousand_announced_messages_hold_little() {
    for (limits, length) in [(Limits::STRANGER, 16 << 20), (Limits::PUBLISHER, 16 << 20), (Limits::PUBLISHER, 8 << 20)]
    {
        let mut reader = Reader::new(limits);
        let refused = (0..1000_u16).find_map(|id| {
            let mut bytes = vec![1];
            bytes.extend(id.to_le_bytes());
            bytes.extend([&[0, 0, 0][..], &(length as u32 - 1).to_be_bytes()[1..], &[VIDEO, 1, 0, 0, 0]].concat());
            bytes.resize(bytes.len() + 128, 0);
            assert!(reader.pending() <= limits.pending);
            read_all(&mut reader, &bytes).err()
        });
        assert!(matches!(refused, Some(Error::Limit(_))));
    }
}

#[test]
fn chunk_streams_are_counted() {
    let mut reader = Reader::new(Limits::PUBLISHER);
    for id in 0..64_u8 {
        read_all(&mut reader, &[0, id, 0, 0, 0, 0, 0, 1, AUDIO, 1, 0, 0, 0, 1]).unwrap();
    }
    let refused = read_all(&mut reader, &[0, 64, 0, 0, 0, 0, 0, 1, AUDIO, 1, 0, 0, 0, 1]);
    assert!(matches!(refused, Err(Error::Limit(_))));
}

#[test]
fn noise_never_panics_and_never_holds_more_than_allowed() {
    let mut state = 7_u32;
    for _ in 0..2_000 {
        let mut reader = Reader::new(Limits::STRANGER);
        let bytes: Vec<u8> = (0..400)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // Zeros make lengths small enough for messages to complete.
                if state >> 30 == 0 { (state >> 16) as u8 } else { (state >> 16) as u8 & 7 }
            })
            .collect();
        let _ = read_all(&mut reader, &bytes);
        assert!(reader.pending() <= Limits::STRANGER.pending);
    }
}
