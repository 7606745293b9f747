//! What the server says it takes (Enhanced RTMP v2, "Enhancing NetConnection connect Command"). Pure.

use super::{amf::Value, message::Command};

/// `FourCcInfoMask`: CanForward.
const FORWARD: f64 = 4.0;
/// `CapsExMask`: Multitrack, ModEx and TimestampNanoOffset; a server that stops asks nobody to reconnect.
const EXTENDED: f64 = 14.0;
/// FourCCs that a publisher may use.
const VIDEO: [&str; 3] = ["avc1", "hvc1", "av01"];
const AUDIO: [&str; 3] = ["mp4a", "Opus", ".mp3"];

/// Members of the answer to `connect`; none to a client that says nothing of Enhanced RTMP, which some old encoders
/// take badly.
pub fn answer(connect: &Command) -> Vec<(String, Value)> {
    let offered = connect.arguments.first();
    let names = ["fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap", "capsEx"];
    if !names.into_iter().any(|name| offered.is_some_and(|object| object.get(name).is_some())) {
        return Vec::new();
    }
    let list = VIDEO.into_iter().chain(AUDIO).map(Value::string).collect();
    let map = |codecs: [&str; 3]| Value::object(codecs.map(|codec| (codec, Value::Number(FORWARD))));
    let [first, video, audio, extended] = names.map(str::to_owned);
    vec![(first, Value::Array(list)), (video, map(VIDEO)), (audio, map(AUDIO)), (extended, Value::Number(EXTENDED))]
}
