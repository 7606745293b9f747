//! A bounded walk over top-level boxes (ISO 14496-12 §4.2): enough to tell a whole fragment from
//! a torn one, without trusting a byte of it.

use std::io;

/// Boxes a part may hold; a real one holds about four.
const MOST: usize = 64;

/// Whether `length` bytes, read through `read_at(offset, buffer)`, are whole boxes from the first
/// to the last byte, with each `moof` followed by its `mdat` and at least one of both.
///
/// # Errors
/// What `read_at` gives.
pub(super) fn is_whole_fragment(
    length: u64,
    mut read_at: impl FnMut(u64, &mut [u8]) -> io::Result<()>,
) -> io::Result<bool> {
    let (mut at, mut fragments, mut inside) = (0, 0u32, false);
    for _ in 0..MOST {
        if at == length {
            return Ok(fragments > 0 && !inside);
        }
        let Some((kind, size)) = header(at, length, &mut read_at)? else { return Ok(false) };
        match &kind {
            b"moof" if inside => return Ok(false),
            b"moof" => inside = true,
            b"mdat" if !inside => return Ok(false),
            b"mdat" => {
                inside = false;
                fragments += 1;
            }
            b"styp" | b"sidx" | b"prft" | b"emsg" | b"free" | b"skip" | b"uuid" if !inside => {}
            _ => return Ok(false),
        }
        at += size;
    }
    Ok(false)
}

/// Whether these are the bytes of an initialisation segment: whole boxes, a `moov` among them.
pub(super) fn is_init(data: &[u8]) -> bool {
    let length = data.len() as u64;
    let mut read_at = |at: u64, buffer: &mut [u8]| {
        let from = usize::try_from(at).map_err(io::Error::other)?;
        let bytes = data.get(from..from + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    };
    let (mut at, mut moov) = (0, false);
    for _ in 0..MOST {
        if at == length {
            return moov;
        }
        let Ok(Some((kind, size))) = header(at, length, &mut read_at) else { return false };
        moov |= &kind == b"moov";
        at += size;
    }
    false
}

/// Type and size of the box at `at`, if it ends at or before `end`.
fn header(
    at: u64,
    end: u64,
    read_at: &mut impl FnMut(u64, &mut [u8]) -> io::Result<()>,
) -> io::Result<Option<([u8; 4], u64)>> {
    if end - at < 8 {
        return Ok(None);
    }
    let (mut size, mut kind) = ([0; 4], [0; 4]);
    let mut head = [0; 8];
    read_at(at, &mut head)?;
    size.copy_from_slice(&head[..4]);
    kind.copy_from_slice(&head[4..]);
    let size = match u32::from_be_bytes(size) {
        1 if end - at >= 16 => {
            let mut large = [0; 8];
            read_at(at + 8, &mut large)?;
            u64::from_be_bytes(large)
        }
        small => u64::from(small),
    };
    // Size 0, "to the end of the file", never occurs in a part: a hole in the file reads so.
    Ok((size >= 8 && size <= end - at).then_some((kind, size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(data: &[u8]) -> bool {
        is_whole_fragment(data.len() as u64, |at, buffer| {
            buffer.copy_from_slice(&data[at as usize..at as usize + buffer.len()]);
            Ok(())
        })
        .unwrap()
    }

    fn a_box(kind: &[u8; 4], payload: &[u8]) -> Vec<u8> {
        [&(payload.len() as u32 + 8).to_be_bytes(), kind.as_slice(), payload].concat()
    }

    #[test]
    fn only_whole_fragments_pass() {
        let fragment = [a_box(b"styp", b"cmfc"), a_box(b"moof", b"1234"), a_box(b"mdat", b"picture")].concat();
        assert!(whole(&fragment));
        assert!(whole(&[fragment.clone(), fragment.clone()].concat()));
        for cut in 0..fragment.len() {
            assert!(!whole(&fragment[..cut]), "cut at {cut}");
        }
        for bad in [vec![0; 64], vec![0xff; 64], a_box(b"mdat", b"x"), a_box(b"moof", b"x"), a_box(b"free", b"")] {
            assert!(!whole(&bad), "{bad:?}");
        }
        assert!(!whole(&a_box(b"free", b"").repeat(10_000)), "the walk is bounded");
    }

    #[test]
    fn an_init_segment_has_a_moov() {
        assert!(is_init(&[a_box(b"ftyp", b"cmfc"), a_box(b"moov", b"x")].concat()));
        assert!(!is_init(&a_box(b"ftyp", b"cmfc")));
        assert!(!is_init(b"\0\0\0\x08moo"));
        assert!(!is_init(&[1; 32]));
    }
}
