//! The few calls of libvosk 0.3.45 that Amphi makes. The only file that knows its ABI (`vosk_api.h`).
#![allow(unsafe_code)]

use std::{
    ffi::{CStr, CString, c_char, c_int, c_short},
    os::unix::ffi::OsStrExt as _,
    path::Path,
    ptr::NonNull,
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};

#[repr(C)]
struct VoskModel {
    _opaque: [u8; 0],
}

#[repr(C)]
struct VoskRecognizer {
    _opaque: [u8; 0],
}

#[link(name = "vosk")]
unsafe extern "C" {
    fn vosk_set_log_level(level: c_int);
    fn vosk_model_new(path: *const c_char) -> *mut VoskModel;
    fn vosk_model_free(model: *mut VoskModel);
    fn vosk_recognizer_new(model: *mut VoskModel, sample_rate: f32) -> *mut VoskRecognizer;
    fn vosk_recognizer_free(recognizer: *mut VoskRecognizer);
    fn vosk_recognizer_set_words(recognizer: *mut VoskRecognizer, words: c_int);
    fn vosk_recognizer_set_partial_words(recognizer: *mut VoskRecognizer, words: c_int);
    fn vosk_recognizer_accept_waveform_s(recognizer: *mut VoskRecognizer, data: *const c_short, length: c_int)
    -> c_int;
    fn vosk_recognizer_result(recognizer: *mut VoskRecognizer) -> *const c_char;
    fn vosk_recognizer_partial_result(recognizer: *mut VoskRecognizer) -> *const c_char;
    fn vosk_recognizer_final_result(recognizer: *mut VoskRecognizer) -> *const c_char;
}

/// A loaded model, shared by its recognisers.
pub struct Model(NonNull<VoskModel>);

// SAFETY: libvosk only reads a model after loading and counts its references atomically; its own
// server shares one between threads.
unsafe impl Send for Model {}
// SAFETY: as above.
unsafe impl Sync for Model {}

impl Model {
    /// Loads a model's folder.
    ///
    /// # Errors
    /// It is no Vosk model. (A broken one may abort the process.)
    pub fn open(dir: &Path) -> Result<Self> {
        for file in ["am/final.mdl", "conf/mfcc.conf"] {
            let path = dir.join(file);
            if !path.is_file() {
                bail!(
                    "speech model file {} is missing: fetch the model again with `amphi models fetch`",
                    path.display()
                );
            }
        }
        let path = CString::new(dir.as_os_str().as_bytes()).context("model path")?;
        // SAFETY: both calls take plain values or a NUL-terminated string that outlives the call.
        let model = unsafe {
            vosk_set_log_level(-1);
            vosk_model_new(path.as_ptr())
        };
        match NonNull::new(model) {
            Some(model) => Ok(Self(model)),
            None => bail!("libvosk cannot load {}", dir.display()),
        }
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `vosk_model_new` and is freed once.
        unsafe { vosk_model_free(self.0.as_ptr()) }
    }
}

/// One stream's decoder.
pub struct Decoder {
    raw: NonNull<VoskRecognizer>,
    _model: Arc<Model>,
}

// SAFETY: a recogniser has no thread affinity; `&mut self` keeps its calls apart.
unsafe impl Send for Decoder {}

impl Decoder {
    /// A decoder of 16 kHz audio that gives word times.
    ///
    /// # Errors
    /// libvosk made none.
    pub fn new(model: Arc<Model>) -> Result<Self> {
        // SAFETY: the model is alive, and kept so by `_model`.
        let raw = NonNull::new(unsafe { vosk_recognizer_new(model.0.as_ptr(), 16_000.0) });
        let Some(raw) = raw else { bail!("libvosk made no recogniser") };
        // SAFETY: the pointer is a live recogniser.
        unsafe { vosk_recognizer_set_words(raw.as_ptr(), 1) }
        Ok(Self { raw, _model: model })
    }

    /// Takes samples; true if the speaker has paused and [`Decoder::result`] is final.
    ///
    /// # Errors
    /// libvosk caught an exception.
    pub fn accept(&mut self, samples: &[i16]) -> Result<bool> {
        let length = c_int::try_from(samples.len()).context("audio block")?;
        // SAFETY: the pointer is a live recogniser, and `samples` are `length` readable samples.
        match unsafe { vosk_recognizer_accept_waveform_s(self.raw.as_ptr(), samples.as_ptr(), length) } {
            code if code < 0 => bail!("libvosk failed to process audio"),
            code => Ok(code > 0),
        }
    }

    /// The utterance that just ended, as JSON.
    pub fn result(&mut self) -> String {
        // SAFETY: the pointer is a live recogniser; the text is copied before its next call.
        unsafe { text(vosk_recognizer_result(self.raw.as_ptr())) }
    }

    /// The utterance so far, as JSON: the decoder's best path, bare text, which is there first.
    pub fn path(&mut self) -> String {
        self.partial(0)
    }

    /// The utterance so far, as JSON: words with times and confidence from the lattice, which
    /// lies further behind the audio and costs more.
    pub fn lattice(&mut self) -> String {
        self.partial(1)
    }

    /// What is left when the audio is over, as JSON. A fresh utterance may follow.
    pub fn finish(&mut self) -> String {
        // SAFETY: as in `result`.
        unsafe { text(vosk_recognizer_final_result(self.raw.as_ptr())) }
    }

    fn partial(&mut self, words: c_int) -> String {
        // SAFETY: as in `result`.
        unsafe {
            vosk_recognizer_set_partial_words(self.raw.as_ptr(), words);
            text(vosk_recognizer_partial_result(self.raw.as_ptr()))
        }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `vosk_recognizer_new` and is freed once, before the model.
        unsafe { vosk_recognizer_free(self.raw.as_ptr()) }
    }
}

/// # Safety
/// `raw` is null or a NUL-terminated string that nobody changes meanwhile.
unsafe fn text(raw: *const c_char) -> String {
    if raw.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(raw) }.to_string_lossy().into_owned()
}
