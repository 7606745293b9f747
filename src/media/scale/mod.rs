//! `amphiscale`, the element of our own that makes pictures smaller: a third of what `videoconvertscale` takes.
//!
//! 4:2:0 pictures of one size enter and leave in another, on the thread that pushes them; a picture that leaves lies in
//! memory of this element's pool. Interlaced pictures are scaled field by field.

mod sys;

use std::sync::{Mutex, PoisonError};

use gst::{glib, prelude::*, subclass::prelude::*};
use gst_video::{
    VideoCapsBuilder, VideoFormat, VideoFrameExt, VideoFrameFlags, VideoFrameRef, VideoInfo, prelude::*,
    subclass::prelude::*,
};
use gstreamer as gst;
use gstreamer_video as gst_video;
use gstreamer_video::gst_base::subclass::BaseTransformMode;

use self::sys::{Plane, PlaneMut, Scaler, Size};

/// What pipelines call it.
const ELEMENT: &str = "amphiscale";
/// Bytes that every row begins at a multiple of, less one: the widest registers that read and write them.
const ALIGNMENT: u32 = 63;

glib::wrapper! {
    /// The element.
    pub struct Scale(ObjectSubclass<Filter>)
        @extends gst_video::VideoFilter, gst_video::gst_base::BaseTransform, gst::Element, gst::Object;
}

/// Makes the element known in this process, for pipelines that name it.
///
/// # Errors
/// What GStreamer says.
pub fn register() -> Result<(), glib::BoolError> {
    gst::Element::register(None, ELEMENT, gst::Rank::NONE, Scale::static_type())
}

/// What it scales with, once it knows the sizes.
#[derive(Debug, Default)]
pub struct Filter {
    scalers: Mutex<Option<Scalers>>,
}

#[derive(Debug)]
struct Scalers {
    picture: Scaler,
    /// For one of the two fields of a picture, where both sizes have fields of the same height.
    field: Option<Scaler>,
}

#[glib::object_subclass]
impl ObjectSubclass for Filter {
    const NAME: &'static str = "AmphiScale";
    type Type = Scale;
    type ParentType = gst_video::VideoFilter;
}

impl ObjectImpl for Filter {}

impl GstObjectImpl for Filter {}

impl ElementImpl for Filter {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: std::sync::LazyLock<gst::subclass::ElementMetadata> = std::sync::LazyLock::new(|| {
            let class = "Filter/Converter/Video/Scaler";
            gst::subclass::ElementMetadata::new("Scaler", class, "Makes pictures of another size", "Amphi")
        });
        Some(&*METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: std::sync::LazyLock<Vec<gst::PadTemplate>> = std::sync::LazyLock::new(|| {
            let caps = VideoCapsBuilder::new().format(VideoFormat::I420).build();
            [("sink", gst::PadDirection::Sink), ("src", gst::PadDirection::Src)]
                .into_iter()
                .filter_map(|(name, side)| gst::PadTemplate::new(name, side, gst::PadPresence::Always, &caps).ok())
                .collect()
        });
        &TEMPLATES
    }
}

impl BaseTransformImpl for Filter {
    const MODE: BaseTransformMode = BaseTransformMode::NeverInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = true;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn transform_caps(&self, _: gst::PadDirection, caps: &gst::Caps, filter: Option<&gst::Caps>) -> Option<gst::Caps> {
        let mut other = caps.clone();
        for structure in other.make_mut().iter_mut() {
            structure.set("width", gst::IntRange::new(1, i32::MAX));
            structure.set("height", gst::IntRange::new(1, i32::MAX));
            let least = gst::Fraction::new(1, i32::MAX);
            structure.set("pixel-aspect-ratio", gst::FractionRange::new(least, gst::Fraction::new(i32::MAX, 1)));
        }
        Some(filter.map_or(other.clone(), |filter| filter.intersect_with_mode(&other, gst::CapsIntersectMode::First)))
    }

    /// What nobody asks for stays as it is.
    fn fixate_caps(&self, _: gst::PadDirection, caps: &gst::Caps, mut other: gst::Caps) -> gst::Caps {
        other.truncate();
        if let (Some(given), Some(open)) = (caps.structure(0), other.make_mut().structure_mut(0)) {
            for length in ["width", "height"] {
                open.fixate_field_nearest_int(length, given.get(length).unwrap_or(1));
            }
            let square = gst::Fraction::new(1, 1);
            let pixel = given.get("pixel-aspect-ratio").unwrap_or(square);
            if open.has_field("pixel-aspect-ratio") {
                open.fixate_field_nearest_fraction("pixel-aspect-ratio", pixel);
            }
        }
        other.fixate();
        other
    }

    /// Rows that begin where registers do, if whoever takes the pictures can be told so.
    fn decide_allocation(&self, query: &mut gst::query::Allocation) -> Result<(), gst::LoggableError> {
        let info = query.get_owned().0.and_then(|caps| VideoInfo::from_caps(&caps).ok());
        if let Some(info) = info.filter(|_| query.find_allocation_meta::<gst_video::VideoMeta>().is_some()) {
            let pool = gst_video::VideoBufferPool::new();
            let mut config = pool.config();
            let size = u32::try_from(info.size()).unwrap_or(u32::MAX);
            config.set_params(info.to_caps().ok().as_ref(), size, 0, 0);
            config.add_option(gst_video::BUFFER_POOL_OPTION_VIDEO_META);
            config.add_option(gst_video::BUFFER_POOL_OPTION_VIDEO_ALIGNMENT);
            config.set_video_alignment(&gst_video::VideoAlignment::new(0, 0, 0, 0, &[ALIGNMENT; 4]));
            if pool.set_config(config).is_ok() {
                if query.allocation_pools().next().is_some() {
                    query.set_nth_allocation_pool(0, Some(&pool), size, 0, 0);
                } else {
                    query.add_allocation_pool(Some(&pool), size, 0, 0);
                }
            }
        }
        self.parent_decide_allocation(query)
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *self.scalers.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }
}

impl VideoFilterImpl for Filter {
    fn set_info(
        &self,
        _: &gst::Caps,
        from: &VideoInfo,
        _: &gst::Caps,
        into: &VideoInfo,
    ) -> Result<(), gst::LoggableError> {
        let Some(picture) = Scaler::new(size(from), size(into)) else {
            return Err(gst::loggable_error!(gst::CAT_RUST, "no {:?} of {:?}", size(into), size(from)));
        };
        // Their chroma has fields as well.
        let fielded = from.height().is_multiple_of(4) && into.height().is_multiple_of(4);
        let field = |info: &VideoInfo| (info.width(), info.height() / 2);
        let field = fielded.then(|| Scaler::new(field(from), field(into))).flatten();
        *self.scalers.lock().unwrap_or_else(PoisonError::into_inner) = Some(Scalers { picture, field });
        Ok(())
    }

    fn transform_frame(
        &self,
        from: &VideoFrameRef<&gst::BufferRef>,
        into: &mut VideoFrameRef<&mut gst::BufferRef>,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let mut scalers = self.scalers.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Scalers { picture, field }) = scalers.as_mut() else { return Err(gst::FlowError::NotNegotiated) };
        let scaled = match field {
            Some(field) if from.flags().contains(VideoFrameFlags::INTERLACED) => {
                (0..2).all(|first| rows(field, from, into, first, 2))
            }
            _ => rows(picture, from, into, 0, 1),
        };
        if scaled { Ok(gst::FlowSuccess::Ok) } else { Err(gst::FlowError::Error) }
    }
}

fn size(info: &VideoInfo) -> Size {
    (info.width(), info.height())
}

/// Scales every `step`th row from the `first` on.
fn rows(
    scaler: &mut Scaler,
    from: &VideoFrameRef<&gst::BufferRef>,
    into: &mut VideoFrameRef<&mut gst::BufferRef>,
    first: usize,
    step: usize,
) -> bool {
    // Of no length where there is none; the scaler refuses it.
    let strides = |strides: &[i32]| {
        [0, 1, 2].map(|nth| strides.get(nth).and_then(|stride| usize::try_from(*stride).ok()).unwrap_or_default())
    };
    let ([luma, blue, red, _], [y, u, v]) = (from.planes_data(), strides(from.plane_stride()));
    let read = [(luma, y), (blue, u), (red, v)].map(|(samples, stride)| Plane {
        samples: samples.get(first * stride..).unwrap_or_default(),
        stride: step * stride,
    });
    let [y, u, v] = strides(into.plane_stride());
    let [luma, blue, red, _] = into.planes_data_mut();
    let written = [(luma, y), (blue, u), (red, v)].map(|(samples, stride)| PlaneMut {
        samples: samples.get_mut(first * stride..).unwrap_or_default(),
        stride: step * stride,
    });
    scaler.scale(read, written)
}
