//! AMF0 (Action Message Format, 2007), as far as RTMP commands and metadata use it. Pure.

use super::Error;

/// Values may nest this deep; encoders' commands nest two.
const DEPTH: usize = 8;
/// One message may hold so many values, members included; encoders' metadata has about thirty.
const VALUES: usize = 1024;

/// An AMF0 value. What has no use here (references, XML documents' types, class names) is read over.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// §2.2: a double.
    Number(f64),
    /// §2.3.
    Boolean(bool),
    /// §2.4, §2.14; invalid UTF-8 is replaced.
    String(String),
    /// §2.5, §2.10, §2.18: members in order; a name may repeat, the first one counts.
    Object(Vec<(String, Value)>),
    /// §2.12.
    Array(Vec<Value>),
    /// §2.7, §2.8 and everything without a use.
    Null,
}

impl Value {
    /// A string value.
    pub fn string(text: &str) -> Self {
        Self::String(text.into())
    }

    /// An object of string and other members.
    pub fn object<const N: usize>(members: [(&str, Value); N]) -> Self {
        Self::Object(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, also where an encoder writes it as text.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// A member of an object.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Object(members) => members.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Appends the value's bytes; strings beyond 65,535 bytes are cut there.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Number(number) => {
                out.push(NUMBER);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Self::Boolean(truth) => out.extend_from_slice(&[BOOLEAN, u8::from(*truth)]),
            Self::String(text) => {
                out.push(STRING);
                write_text(text, out);
            }
            Self::Object(members) => {
                out.push(OBJECT);
                for (name, value) in members {
                    write_text(name, out);
                    value.write(out);
                }
                out.extend_from_slice(&[0, 0, OBJECT_END]);
            }
            Self::Array(values) => {
                out.push(STRICT_ARRAY);
                out.extend_from_slice(&(values.len() as u32).to_be_bytes());
                values.iter().for_each(|value| value.write(out));
            }
            Self::Null => out.push(NULL),
        }
    }
}

/// Reads every value of a message.
///
/// # Errors
/// [`Error::Malformed`] where the bytes end early or hold an unknown type, [`Error::Limit`] beyond
/// [`DEPTH`] levels or [`VALUES`] values. A count that the bytes announce is never believed.
pub fn read_all(bytes: &[u8]) -> Result<Vec<Value>, Error> {
    let mut reader = Reader { rest: bytes, left: VALUES };
    let mut values = Vec::new();
    while !reader.rest.is_empty() {
        values.push(reader.value(0)?);
    }
    Ok(values)
}

const NUMBER: u8 = 0;
const BOOLEAN: u8 = 1;
const STRING: u8 = 2;
const OBJECT: u8 = 3;
const NULL: u8 = 5;
const UNDEFINED: u8 = 6;
const REFERENCE: u8 = 7;
const ECMA_ARRAY: u8 = 8;
const OBJECT_END: u8 = 9;
const STRICT_ARRAY: u8 = 10;
const DATE: u8 = 11;
const LONG_STRING: u8 = 12;
const UNSUPPORTED: u8 = 13;
const XML: u8 = 15;
const TYPED_OBJECT: u8 = 16;

struct Reader<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value, Error> {
        if depth > DEPTH {
            return Err(Error::Limit("AMF nesting"));
        }
        self.left = self.left.checked_sub(1).ok_or(Error::Limit("AMF values"))?;
        Ok(match self.array::<1>()?[0] {
            NUMBER => Value::Number(f64::from_be_bytes(self.array()?)),
            BOOLEAN => Value::Boolean(self.array::<1>()?[0] != 0),
            STRING => Value::String(self.text()?),
            OBJECT => self.members(depth)?,
            NULL | UNDEFINED | UNSUPPORTED => Value::Null,
            REFERENCE => {
                self.take(2)?;
                Value::Null
            }
            ECMA_ARRAY => {
                // The count is a hint that encoders get wrong (ffmpeg among them); the end marker counts.
                self.take(4)?;
                self.members(depth)?
            }
            STRICT_ARRAY => {
                let count = u32::from_be_bytes(self.array()?);
                let mut values = Vec::new();
                for _ in 0..count {
                    values.push(self.value(depth + 1)?);
                }
                Value::Array(values)
            }
            DATE => {
                let millis = f64::from_be_bytes(self.array()?);
                self.take(2)?;
                Value::Number(millis)
            }
            LONG_STRING | XML => {
                let length = u32::from_be_bytes(self.array()?);
                Value::String(String::from_utf8_lossy(self.take(length as usize)?).into_owned())
            }
            TYPED_OBJECT => {
                self.text()?;
                self.members(depth)?
            }
            _ => return Err(Error::Malformed("AMF type")),
        })
    }

    fn members(&mut self, depth: usize) -> Result<Value, Error> {
        let mut members = Vec::new();
        loop {
            // Some encoders leave the end marker out at the end of a message.
            if self.rest.is_empty() {
                return Ok(Value::Object(members));
            }
            let name = self.text()?;
            if name.is_empty() && self.rest.first() == Some(&OBJECT_END) {
                self.take(1)?;
                return Ok(Value::Object(members));
            }
            members.push((name, self.value(depth + 1)?));
        }
    }

    fn text(&mut self) -> Result<String, Error> {
        let length = u16::from_be_bytes(self.array()?);
        Ok(String::from_utf8_lossy(self.take(length.into())?).into_owned())
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(Error::Malformed("AMF ends early"))?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(Error::Malformed("AMF ends early"))?;
        self.rest = rest;
        Ok(*head)
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    let text = &text.as_bytes()[..text.len().min(usize::from(u16::MAX))];
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_round_trip() {
        let values = [
            Value::string("connect"),
            Value::Number(1.0),
            Value::object([("app", Value::string("live")), ("ok", Value::Boolean(true))]),
            Value::Null,
            Value::Array(vec![Value::Number(-0.5), Value::Null]),
        ];
        let mut bytes = Vec::new();
        values.iter().for_each(|value| value.write(&mut bytes));
        assert_eq!(read_all(&bytes).unwrap(), values);
    }

    #[test]
    fn an_ecma_array_is_read_whatever_count_it_announces() {
        for count in [0_u32, 1, u32::MAX] {
            let mut bytes = vec![ECMA_ARRAY];
            bytes.extend(count.to_be_bytes());
            bytes.extend(b"\0\x09framerate\0");
            bytes.extend(30_f64.to_be_bytes());
            bytes.extend([0, 0, OBJECT_END]);
            let values = read_all(&bytes).unwrap();
            assert_eq!(values[0].get("framerate").and_then(Value::as_number), Some(30.0));
        }
    }

    #[test]
    fn nesting_ends_at_the_limit() {
        for level in [&[OBJECT, 0, 1, b'a'][..], &[STRICT_ARRAY, 0, 0, 0, 1], &[ECMA_ARRAY, 0, 0, 0, 0, 0, 0]] {
            assert!(matches!(read_all(&level.repeat(10_000)), Err(Error::Limit(_))), "{level:?}");
        }
    }

    #[test]
    fn counts_are_not_believed() {
        let announced = [STRICT_ARRAY, 0xff, 0xff, 0xff, 0xff];
        assert!(matches!(read_all(&announced), Err(Error::Malformed(_))));
        let nulls = [&announced[..], &[NULL; 60_000]].concat();
        assert!(matches!(read_all(&nulls), Err(Error::Limit(_))));
        assert!(matches!(read_all(&[LONG_STRING, 0xff, 0xff, 0xff, 0xff, b'x']), Err(Error::Malformed(_))));
    }

    #[test]
    fn nothing_panics() {
        let mut state = 1_u32;
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..24)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    // Type markers are small numbers: favour them, so that the reader gets deep.
                    if state >> 31 == 0 { (state >> 24) as u8 % 17 } else { (state >> 16) as u8 }
                })
                .collect();
            let _ = read_all(&bytes);
        }
    }
}
