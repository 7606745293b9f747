use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use gst::prelude::*;
use gstreamer as gst;
use serde::{Deserialize, Serialize};

use super::{Encoder, Error, Pipeline};
use crate::model::{AudioCodec, VideoCodec};

/// The embedded templates by file name.
const EMBEDDED: [(&str, &str); 17] = [
    ("decode-h264.gst", include_str!("../../pipelines/decode-h264.gst")),
    ("decode-hevc.gst", include_str!("../../pipelines/decode-hevc.gst")),
    ("decode-av1.gst", include_str!("../../pipelines/decode-av1.gst")),
    ("ladder.gst", include_str!("../../pipelines/ladder.gst")),
    ("rung.gst", include_str!("../../pipelines/rung.gst")),
    ("encode-nvh264.gst", include_str!("../../pipelines/encode-nvh264.gst")),
    ("encode-vah264.gst", include_str!("../../pipelines/encode-vah264.gst")),
    ("encode-vaapih264.gst", include_str!("../../pipelines/encode-vaapih264.gst")),
    ("encode-qsvh264.gst", include_str!("../../pipelines/encode-qsvh264.gst")),
    ("encode-v4l2h264.gst", include_str!("../../pipelines/encode-v4l2h264.gst")),
    ("encode-x264.gst", include_str!("../../pipelines/encode-x264.gst")),
    ("video.gst", include_str!("../../pipelines/video.gst")),
    ("audio.gst", include_str!("../../pipelines/audio.gst")),
    ("opus.gst", include_str!("../../pipelines/opus.gst")),
    ("tap.gst", include_str!("../../pipelines/tap.gst")),
    ("file.gst", include_str!("../../pipelines/file.gst")),
    ("poster.gst", include_str!("../../pipelines/poster.gst")),
];
/// A template longer than this is no pipeline.
const MAX_BYTES: u64 = 64 * 1024;
/// AAC decoders that may fill `{decoder}`, best first.
const AAC_DECODERS: [&str; 3] = ["avdec_aac", "fdkaacdec", "faad"];
/// AV1 decoders that may fill `{decoder}`, best first.
const AV1_DECODERS: [&str; 3] = ["dav1ddec", "av1dec", "avdec_av1"];

/// An element that a template names and this machine lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The element: `x264enc`.
    pub element: String,
    /// The Debian package that brings it, where known: `gstreamer1.0-plugins-ugly`.
    pub package: Option<&'static str>,
    /// The template that names it: `encode-x264.gst`.
    pub template: &'static str,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (for {}", self.element, self.template)?;
        match self.package {
            Some(package) => write!(f, ", apt install {package})"),
            None => write!(f, ")"),
        }
    }
}

/// What only a try tells of the templates on a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    encoder: Encoder,
    undecodable: Vec<VideoCodec>,
}

/// The pipelines this server runs, checked: each parses and all its elements are there. Cheap to share
/// in an `Arc`.
#[derive(Debug, Clone)]
pub struct Templates {
    texts: BTreeMap<&'static str, String>,
    encoder: Encoder,
    decoder: &'static str,
    av1_decoder: &'static str,
    /// Codecs that no installed element decodes.
    undecodable: Vec<VideoCodec>,
}

impl Templates {
    /// Reads and checks every template. A file of the same name in `overrides` wins; other files
    /// there are ignored. Blocking: opens encoders, and loads every library that a pipeline may need, some 35 MiB.
    ///
    /// # Errors
    /// [`Error::Init`], [`Error::Read`], [`Error::Template`] for the first template that does not
    /// parse, [`Error::Missing`] with all elements that are not installed.
    pub fn load(overrides: Option<&Path>) -> Result<Self, Error> {
        let encoder = Encoder::available().first().copied();
        Self::load_for(overrides, encoder.unwrap_or(Encoder::X264))
    }

    /// The same without a try: another process has had it.
    ///
    /// # Errors
    /// [`Error::Init`], [`Error::Read`].
    pub fn tried(overrides: Option<&Path>, verdict: Verdict) -> Result<Self, Error> {
        let Verdict { encoder, undecodable } = verdict;
        Ok(Self { undecodable, ..Self::read(overrides, encoder)? })
    }

    /// What [`Templates::tried`] takes.
    pub fn verdict(&self) -> Verdict {
        Verdict { encoder: self.encoder, undecodable: self.undecodable.clone() }
    }

    /// The encoder that rungs use.
    pub fn encoder(&self) -> Encoder {
        self.encoder
    }

    /// The same templates with another encoder: for a machine whose hardware has no sessions left.
    ///
    /// # Errors
    /// As [`Templates::load`].
    pub fn with_encoder(mut self, encoder: Encoder) -> Result<Self, Error> {
        self.encoder = encoder;
        self.verify()?;
        Ok(self)
    }

    /// Codecs whose pictures this machine cannot decode: they pass through as they are, without rungs or posters.
    pub fn undecodable(&self) -> &[VideoCodec] {
        &self.undecodable
    }

    /// The text of the pipeline that makes `rungs` of `(width, height, bits a second)`, largest first, of a codec.
    pub(super) fn ladder(&self, from: VideoCodec, rungs: &[(u32, u32, u32)]) -> String {
        let mut text = self.text("ladder.gst", &[("decoder", &self.decoder(from))]);
        for (index, (width, height, bitrate)) in rungs.iter().enumerate() {
            let from = index.checked_sub(1).map_or_else(|| "raw".to_owned(), |larger| format!("raw{larger}"));
            let encoder = self.text(self.encoder.template(), &[("bitrate", &(bitrate / 1000).max(1).to_string())]);
            let rung = self.text(
                "rung.gst",
                &[
                    ("index", &index.to_string()),
                    ("from", &from),
                    ("width", &width.to_string()),
                    ("height", &height.to_string()),
                    ("format", self.encoder.raw_format()),
                    ("encoder", &encoder),
                ],
            );
            text.push(' ');
            text.push_str(&rung);
        }
        text
    }

    /// The text of the pipeline that makes H.264 of VP8.
    pub(super) fn video(&self, width: u32, height: u32, bitrate: u32) -> String {
        let encoder = self.text(self.encoder.template(), &[("bitrate", &(bitrate / 1000).max(1).to_string())]);
        let values = [
            ("decoder", "vp8dec"),
            ("width", &width.to_string()),
            ("height", &height.to_string()),
            ("format", self.encoder.raw_format()),
            ("encoder", &encoder),
        ];
        self.text("video.gst", &values)
    }

    /// The text of the pipeline that makes AAC of a codec.
    pub(super) fn audio(&self, from: AudioCodec, channels: u16, bitrate: u32) -> String {
        let decoder = match from {
            AudioCodec::Aac => self.decoder,
            AudioCodec::Mp3 => "avdec_mp3",
            AudioCodec::Mp2 => "avdec_mp2float",
            AudioCodec::ALaw => "alawdec",
            AudioCodec::MuLaw => "mulawdec",
            AudioCodec::Pcm => "identity",
            AudioCodec::Speex => "speexdec",
            AudioCodec::Nellymoser => "avdec_nellymoser",
            AudioCodec::Adpcm => "avdec_adpcm_swf",
            AudioCodec::Opus => "opusdec",
        };
        let values = [("decoder", decoder), ("channels", &channels.to_string()), ("bitrate", &bitrate.to_string())];
        self.text("audio.gst", &values)
    }

    /// The text of the pipeline that makes Opus of AAC.
    pub(super) fn opus(&self, channels: u16, bitrate: u32) -> String {
        let values =
            [("decoder", self.decoder), ("channels", &channels.to_string()), ("bitrate", &bitrate.to_string())];
        self.text("opus.gst", &values)
    }

    pub(super) fn tap(&self) -> String {
        self.text("tap.gst", &[("decoder", self.decoder)])
    }

    pub(super) fn file(&self) -> String {
        self.text("file.gst", &[])
    }

    pub(super) fn poster(&self, from: VideoCodec, width: u32, height: u32) -> String {
        let (decoder, width, height) = (self.decoder(from), width.to_string(), height.to_string());
        self.text("poster.gst", &[("decoder", &decoder), ("width", &width), ("height", &height)])
    }

    /// What decodes a codec's pictures.
    fn decoder(&self, codec: VideoCodec) -> String {
        match codec {
            VideoCodec::Hevc => self.text("decode-hevc.gst", &[]),
            VideoCodec::Av1 => self.text("decode-av1.gst", &[("decoder", self.av1_decoder)]),
            _ => self.text("decode-h264.gst", &[]),
        }
    }

    fn load_for(overrides: Option<&Path>, encoder: Encoder) -> Result<Self, Error> {
        let mut templates = Self::read(overrides, encoder)?;
        templates.verify()?;
        for codec in [VideoCodec::Hevc, VideoCodec::Av1] {
            let mut missing = Vec::new();
            templates.verify_pictures(codec, &mut missing)?;
            if !missing.is_empty() {
                templates.undecodable.push(codec);
            }
        }
        Ok(templates)
    }

    fn read(overrides: Option<&Path>, encoder: Encoder) -> Result<Self, Error> {
        super::init()?;
        let mut texts = BTreeMap::new();
        for (name, embedded) in EMBEDDED {
            let text = match overrides {
                Some(folder) => read(&folder.join(name))?.unwrap_or_else(|| embedded.to_owned()),
                None => embedded.to_owned(),
            };
            texts.insert(name, without_comments(&text));
        }
        let decoder = AAC_DECODERS.into_iter().find(|name| gst_has(name)).unwrap_or(AAC_DECODERS[0]);
        let av1_decoder = AV1_DECODERS.into_iter().find(|name| gst_has(name)).unwrap_or(AV1_DECODERS[0]);
        Ok(Self { texts, encoder, decoder, av1_decoder, undecodable: Vec::new() })
    }

    fn verify(&self) -> Result<(), Error> {
        let mut missing = Vec::new();
        self.verify_pictures(VideoCodec::H264, &mut missing)?;
        for (template, text, names) in [
            ("opus.gst", self.opus(2, 96_000), &["src", "sink"][..]),
            ("video.gst", self.video(640, 360, 800_000), &["src", "raw", "sink"]),
            ("tap.gst", self.tap(), &["src", "sink"]),
            ("file.gst", self.file(), &["src", "sink"]),
        ] {
            verify(template, &text, names, &mut missing)?;
        }
        for codec in AudioCodec::ALL {
            verify("audio.gst", &self.audio(codec, 2, 128_000), &["src", "sink"], &mut missing)?;
        }
        if missing.is_empty() { Ok(()) } else { Err(Error::Missing(missing)) }
    }

    /// Checks what decodes a codec.
    fn verify_pictures(&self, codec: VideoCodec, missing: &mut Vec<Missing>) -> Result<(), Error> {
        // The encoder is checked inside a rung: caps that do not fit each other show only there.
        let ladder = self.ladder(codec, &[(854, 480, 1_200_000), (426, 240, 400_000)]);
        verify("ladder.gst", &ladder, &["src", "raw", "rung0", "rung1"], missing)?;
        verify("poster.gst", &self.poster(codec, 640, 360), &["src", "sink"], missing)
    }

    fn text(&self, name: &str, values: &[(&str, &str)]) -> String {
        let text = self.texts.get(name).map_or("", String::as_str);
        values.iter().fold(text.to_owned(), |text, (key, value)| text.replace(&format!("{{{key}}}"), value))
    }
}

fn read(path: &PathBuf) -> Result<Option<String>, Error> {
    let error = |source| Error::Read { path: path.clone(), source };
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > MAX_BYTES => {
            Err(error(io::Error::new(io::ErrorKind::FileTooLarge, "longer than 64 KiB")))
        }
        Ok(_) => fs::read_to_string(path).map(Some).map_err(error),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(error(source)),
    }
}

fn without_comments(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join(" ")
}

fn verify(template: &'static str, text: &str, names: &[&str], missing: &mut Vec<Missing>) -> Result<(), Error> {
    let refuse = |reason: String| Err(Error::Template { template: template.into(), reason });
    if let Some(name) = placeholder(text) {
        return refuse(format!("unknown placeholder {{{name}}}"));
    }
    let mut context = gst::ParseContext::new();
    let parsed = gst::parse::launch_full(text, Some(&mut context), gst::ParseFlags::FATAL_ERRORS);
    // The parser also lists elements that are there and refuse a property.
    let absent: Vec<_> = context.missing_elements().into_iter().filter(|element| !gst_has(element)).collect();
    if !absent.is_empty() {
        for element in absent {
            if missing.iter().all(|known| known.element != element) {
                let package = package(&element);
                let template = naming(&element).unwrap_or(template);
                missing.push(Missing { element, package, template });
            }
        }
        return Ok(());
    }
    let pipeline = match parsed {
        Ok(element) => Pipeline::adopt(element),
        Err(error) => return refuse(error.message().to_owned()),
    };
    match pipeline {
        Ok(pipeline) => match names.iter().find(|name| pipeline.inner().by_name(name).is_none()) {
            Some(name) => refuse(format!("no element has name={name}")),
            None => Ok(()),
        },
        Err(error) => refuse(error.to_string()),
    }
}

/// A placeholder left in a text: lower-case letters in braces. (Lists in caps, `{ I420, NV12 }`, are not.)
fn placeholder(text: &str) -> Option<&str> {
    text.split('{').skip(1).find_map(|rest| {
        let name = &rest[..rest.find('}')?];
        (!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')).then_some(name)
    })
}

/// The embedded template that names an element.
fn naming(element: &str) -> Option<&'static str> {
    EMBEDDED.into_iter().find(|(_, text)| without_comments(text).contains(element)).map(|(name, _)| name)
}

fn gst_has(element: &str) -> bool {
    super::init().is_ok() && gst::ElementFactory::find(element).is_some()
}

/// The Debian 12 package of an element that templates use or are likely to.
fn package(element: &str) -> Option<&'static str> {
    Some(match element {
        name if name.starts_with("avdec_") || name.starts_with("avenc_") => "gstreamer1.0-libav",
        name if name.starts_with("vaapi") => "gstreamer1.0-vaapi",
        name if name.starts_with("v4l2") => "gstreamer1.0-plugins-good",
        "x264enc" => "gstreamer1.0-plugins-ugly",
        "vp8dec" | "jpegenc" | "pngenc" | "flvdemux" | "qtdemux" | "matroskademux" | "deinterlace" => {
            "gstreamer1.0-plugins-good"
        }
        "alawdec" | "mulawdec" | "speexdec" => "gstreamer1.0-plugins-good",
        "h264parse" | "faad" | "fdkaacdec" | "openh264enc" | "openh264dec" => "gstreamer1.0-plugins-bad",
        name if ["nv", "va", "qsv"].iter().any(|prefix| name.starts_with(prefix)) => "gstreamer1.0-plugins-bad",
        "appsrc" | "appsink" | "audioconvert" | "audioresample" | "audiorate" | "uridecodebin" | "decodebin"
        | "opusdec" | "opusenc" | "videoconvert" | "videoscale" | "videoconvertscale" | "videorate" => {
            "gstreamer1.0-plugins-base"
        }
        "queue" | "tee" | "identity" | "fakesink" | "filesrc" => "libgstreamer1.0-0",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str, text: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), text).unwrap();
        folder
    }

    #[test]
    fn the_embedded_templates_run_on_this_machine() {
        let templates = Templates::load(None).unwrap();
        assert!(Encoder::available().contains(&templates.encoder()));
    }

    #[test]
    fn a_missing_element_is_named_with_its_package() {
        let folder = folder("tap.gst", "# ours\nappsrc name=src ! vaapiaacdec ! appsink name=sink");
        let Err(Error::Missing(missing)) = Templates::load(Some(folder.path())) else { panic!("nothing is missing") };
        assert_eq!(missing.len(), 1);
        assert_eq!(missing[0].element, "vaapiaacdec");
        assert_eq!(missing[0].package, Some("gstreamer1.0-vaapi"));
    }

    #[test]
    fn an_encoder_that_is_not_there_is_missing() {
        let absent = Encoder::ALL.into_iter().find(|encoder| !Encoder::available().contains(encoder)).unwrap();
        let error = Templates::load_for(None, absent).unwrap_err();
        let Error::Missing(missing) = error else { panic!("{error}") };
        assert_eq!(missing[0].element, absent.element());
        assert_eq!(missing[0].template, absent.template());
        assert!(missing[0].package.is_some());
    }

    #[test]
    fn a_template_of_the_operator_wins() {
        let folder = folder("rung.gst", "raw. ! fakesink name=rung{index}");
        fs::write(folder.path().join("notes.txt"), "not ours").unwrap();
        let templates = Templates::load(Some(folder.path())).unwrap();
        assert!(templates.ladder(VideoCodec::H264, &[(854, 480, 1)]).contains("fakesink name=rung0"));
    }

    #[test]
    fn a_codec_that_nothing_decodes_passes_through() {
        let folder = folder("decode-hevc.gst", "vaapinevermadedec");
        let templates = Templates::load(Some(folder.path())).unwrap();
        assert_eq!(templates.undecodable(), [VideoCodec::Hevc]);
        assert_eq!(Templates::load(None).unwrap().undecodable(), [], "this machine decodes every codec");
    }

    #[test]
    fn what_another_process_tried_is_the_same() {
        let folder = folder("decode-hevc.gst", "vaapinevermadedec");
        let templates = Templates::load(Some(folder.path())).unwrap();
        let said = serde_json::to_string(&templates.verdict()).unwrap();
        let again = Templates::tried(Some(folder.path()), serde_json::from_str(&said).unwrap()).unwrap();
        assert_eq!((again.verdict(), &again.texts), (templates.verdict(), &templates.texts));
    }

    #[test]
    fn templates_that_are_none_are_refused_by_name() {
        for (text, part) in [
            ("appsrc name=src !! appsink", "tap.gst"),
            ("appsrc name=mine ! appsink name=sink", "name=src"),
            ("appsrc name=src ! audioresample speed={speed} ! appsink name=sink", "{speed}"),
            ("appsrc name=src ! audioresample nonsense=1 ! appsink name=sink", "nonsense"),
            ("", "tap.gst"),
        ] {
            let folder = folder("tap.gst", text);
            let error = Templates::load(Some(folder.path())).unwrap_err().to_string();
            assert!(error.contains(part), "{text:?} gives {error:?}");
        }
    }

    #[test]
    fn lists_in_caps_are_no_placeholders() {
        assert_eq!(placeholder("video/x-raw,format={I420,NV12},width=[1,2]"), None);
        assert_eq!(placeholder("x264enc bitrate={bitrate}"), Some("bitrate"));
    }
}
