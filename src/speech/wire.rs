//! What the server and an engine process say to each other.
//!
//! Every message is a frame of a [`pipe`]. Requests are a kind byte and fixed fields, because they
//! carry the audio; responses are JSON.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Load, Tally};
use crate::{
    model::{Hypothesis, LanguageTag, MediaTime, Pcm},
    pipe::{self, PipeError},
};

/// The most samples one [`Request::Audio`] carries: a second, so that streams take turns.
pub const MAX_SAMPLES: usize = Pcm::RATE as usize;

/// One stream within an engine process; the server chooses it.
pub type StreamId = u32;

/// Server to engine.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// A stream begins.
    Open {
        /// Not in use.
        stream: StreamId,
        /// What is spoken.
        language: LanguageTag,
        /// Audio that has piled up may be taken in one go, so that captions catch up. Files say
        /// no, so that the same file gives the same words.
        live: bool,
    },
    /// More of it: one to [`MAX_SAMPLES`] samples.
    Audio {
        /// Whose.
        stream: StreamId,
        /// The samples.
        pcm: Pcm,
    },
    /// No more audio follows; answered by [`Response::Finished`] after the last words.
    Finish {
        /// Whose.
        stream: StreamId,
    },
    /// The stream is forgotten, whatever is pending.
    Close {
        /// Whose.
        stream: StreamId,
    },
    /// So much less is to be done for a stream from now on.
    Relax {
        /// Whose.
        stream: StreamId,
        /// What is left out.
        load: Load,
    },
}

/// Engine to server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Response {
    /// The model is loaded. Comes first and once.
    Ready {
        /// As status shows it.
        model: String,
    },
    /// Something became known.
    Heard {
        /// Whose.
        stream: StreamId,
        /// The open utterance.
        hypothesis: Hypothesis,
    },
    /// Audio has been dealt with; every hypothesis it gave has been sent.
    Progress {
        /// Whose.
        stream: StreamId,
        /// Audio before this has been taken in.
        until: MediaTime,
        /// Words in audio before this are final: a restarted engine need not hear it again.
        settled: MediaTime,
        /// How long that took since the audio before it, waiting for other streams included.
        spent: Duration,
    },
    /// An utterance is over that had stable words before.
    Tally {
        /// Whose.
        stream: StreamId,
        /// What became of them.
        tally: Tally,
    },
    /// Everything a finished stream held has been sent.
    Finished {
        /// Whose.
        stream: StreamId,
    },
    /// A stream, or without one the engine, cannot go on; trying again would give the same.
    Failed {
        /// Whose; nothing: the engine's, which ends.
        stream: Option<StreamId>,
        /// What was wrong and what to do.
        reason: String,
    },
}

const OPEN: u8 = 1;
const AUDIO: u8 = 2;
const FINISH: u8 = 3;
const CLOSE: u8 = 4;
const RELAX: u8 = 5;

impl Request {
    /// The message as a whole frame.
    ///
    /// # Panics
    /// If audio is longer than [`pipe::MAX_FRAME`] allows; callers cut it at [`MAX_SAMPLES`].
    pub fn to_frame(&self) -> Vec<u8> {
        let mut frame = vec![0; 4];
        match self {
            Self::Open { stream, language, live } => {
                frame.push(OPEN);
                frame.extend(stream.to_le_bytes());
                frame.push(u8::from(*live));
                frame.extend(language.as_str().as_bytes());
            }
            Self::Audio { stream, pcm } => {
                frame.reserve(13 + pcm.samples.len() * 2);
                frame.push(AUDIO);
                frame.extend(stream.to_le_bytes());
                frame.extend(pcm.start.as_nanos().to_le_bytes());
                frame.extend(pcm.samples.iter().flat_map(|sample| sample.to_le_bytes()));
            }
            Self::Finish { stream } => {
                frame.push(FINISH);
                frame.extend(stream.to_le_bytes());
            }
            Self::Close { stream } => {
                frame.push(CLOSE);
                frame.extend(stream.to_le_bytes());
            }
            Self::Relax { stream, load } => {
                frame.push(RELAX);
                frame.extend(stream.to_le_bytes());
                frame.push(load.level());
            }
        }
        pipe::seal(frame)
    }

    /// Reads the body of a frame.
    ///
    /// # Errors
    /// [`PipeError::Malformed`] for anything [`Request::to_frame`] does not write.
    pub fn parse(body: &[u8]) -> Result<Self, PipeError> {
        let (kind, rest) = body.split_first().ok_or(PipeError::Malformed("empty frame"))?;
        let (stream, rest) = rest.split_first_chunk().ok_or(PipeError::Malformed("no stream"))?;
        let stream = StreamId::from_le_bytes(*stream);
        match (*kind, rest) {
            (OPEN, [live @ (0 | 1), language @ ..]) => {
                let language = std::str::from_utf8(language).ok().and_then(|text| LanguageTag::parse(text).ok());
                let language = language.ok_or(PipeError::Malformed("no language tag"))?;
                Ok(Self::Open { stream, language, live: *live == 1 })
            }
            (AUDIO, rest) => {
                let (start, bytes) = rest.split_first_chunk().ok_or(PipeError::Malformed("no start time"))?;
                let (pairs, odd) = bytes.as_chunks::<2>();
                if pairs.is_empty() || !odd.is_empty() || pairs.len() > MAX_SAMPLES {
                    return Err(PipeError::Malformed("audio of no, half or too many samples"));
                }
                let samples = pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
                let start = MediaTime::from_nanos(i64::from_le_bytes(*start));
                Ok(Self::Audio { stream, pcm: Pcm { start, samples } })
            }
            (FINISH, []) => Ok(Self::Finish { stream }),
            (CLOSE, []) => Ok(Self::Close { stream }),
            (RELAX, [level]) => {
                let load = Load::from_level(*level).ok_or(PipeError::Malformed("no such load"))?;
                Ok(Self::Relax { stream, load })
            }
            _ => Err(PipeError::Malformed("unknown kind")),
        }
    }
}

impl Response {
    /// The message as a whole frame.
    ///
    /// # Errors
    /// [`PipeError::Malformed`] if it outgrows [`pipe::MAX_FRAME`].
    pub fn to_frame(&self) -> Result<Vec<u8>, PipeError> {
        pipe::json(self)
    }

    /// Reads the body of a frame.
    ///
    /// # Errors
    /// [`PipeError::Malformed`] for anything else than a response.
    pub fn parse(body: &[u8]) -> Result<Self, PipeError> {
        pipe::parse(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Word;

    fn word(text: &str) -> Word {
        Word { text: text.into(), start: MediaTime::ZERO, end: MediaTime::from_millis(300), confidence: 0.5 }
    }

    #[test]
    fn requests_and_responses_survive_the_pipe() {
        let pcm = Pcm { start: MediaTime::from_millis(-7), samples: vec![i16::MIN, 0, i16::MAX].into() };
        let requests = [
            Request::Open { stream: 7, language: LanguageTag::parse("pt-BR").unwrap(), live: true },
            Request::Audio { stream: u32::MAX, pcm },
            Request::Finish { stream: 0 },
            Request::Close { stream: 1 },
            Request::Relax { stream: 2, load: Load::MOST },
        ];
        let mut pipe: Vec<u8> = requests.iter().flat_map(Request::to_frame).collect();
        let hypothesis = Hypothesis { words: vec![word("caf\u{e9}\"\n")], stable: 1, last: true };
        let responses = [
            Response::Ready { model: "m".into() },
            Response::Heard { stream: 3, hypothesis },
            Response::Progress {
                stream: 3,
                until: MediaTime::from_millis(9),
                settled: MediaTime::ZERO,
                spent: Duration::from_millis(250),
            },
            Response::Tally { stream: 3, tally: Tally { stable: 20, overruled: 1 } },
            Response::Finished { stream: 3 },
            Response::Failed { stream: None, reason: "r".into() },
        ];
        pipe.extend(responses.iter().flat_map(|response| response.to_frame().unwrap()));
        let mut pipe = pipe.as_slice();
        for request in requests {
            assert_eq!(Request::parse(&pipe::read(&mut pipe).unwrap().unwrap()).unwrap(), request);
        }
        for response in responses {
            assert_eq!(Response::parse(&pipe::read(&mut pipe).unwrap().unwrap()).unwrap(), response);
        }
        assert!(pipe::read(&mut pipe).unwrap().is_none());
    }

    #[test]
    fn garbage_is_refused_and_never_panics() {
        let mut state = 1_u64;
        for length in 0..400 {
            let garbage: Vec<u8> = (0..length)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 60) as u8
                })
                .collect();
            let _ = Request::parse(&garbage);
            assert!(Response::parse(&garbage).is_err());
        }
        for bad in [
            &[][..],
            &[AUDIO],
            &[AUDIO, 0, 0, 0, 0],
            &[OPEN, 0, 0, 0, 0, 1, b'.', b'.'],
            &[RELAX, 0, 0, 0, 0, 6],
            &[9, 0, 0, 0, 0],
        ] {
            assert!(Request::parse(bad).is_err(), "{bad:?}");
        }
    }
}
