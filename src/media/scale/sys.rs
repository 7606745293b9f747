//! libswscale, which FFmpeg scales with and `avdec_h264` has loaded already: `libswscale/swscale.h`.

// The library is C.
#![allow(unsafe_code)]

use std::{
    ffi::{c_double, c_int, c_void},
    ptr::{self, NonNull},
};

/// `AV_PIX_FMT_YUV420P` of `libavutil/pixfmt.h`.
const YUV420P: c_int = 0;
/// `SWS_BILINEAR`: as many taps as what becomes one sample has samples, so that nothing aliases.
const BILINEAR: c_int = 2;

/// Width and height in pixels.
pub type Size = (u32, u32);

/// Rows of samples that are read.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    pub samples: &'a [u8],
    /// From the beginning of one row to that of the next, in samples.
    pub stride: usize,
}

/// Rows of samples that are written; what lies between rows may be, too.
#[derive(Debug)]
pub struct PlaneMut<'a> {
    pub samples: &'a mut [u8],
    pub stride: usize,
}

/// Makes 4:2:0 pictures of one size of those of another.
#[derive(Debug)]
pub struct Scaler {
    context: NonNull<c_void>,
    from: Size,
    into: Size,
}

// SAFETY: a context belongs to no thread; it is used through `&mut` alone.
unsafe impl Send for Scaler {}

impl Scaler {
    /// None for sizes that the library does not take.
    pub fn new(from: Size, into: Size) -> Option<Self> {
        let pixels = |length: u32| c_int::try_from(length).ok();
        let (width, height) = (pixels(from.0)?, pixels(from.1)?);
        let (to_width, to_height) = (pixels(into.0)?, pixels(into.1)?);
        let none = ptr::null_mut();
        // SAFETY: filters and parameters may be null, and a size it does not take gives null.
        let context = unsafe {
            sws_getContext(width, height, YUV420P, to_width, to_height, YUV420P, BILINEAR, none, none, ptr::null())
        };
        NonNull::new(context).map(|context| Self { context, from, into })
    }

    /// Scales luma and both chroma planes of a picture. False where a plane is too small for the size, or the library
    /// refuses.
    pub fn scale(&mut self, from: [Plane<'_>; 3], into: [PlaneMut<'_>; 3]) -> bool {
        let held = (0..3).all(|nth| {
            holds(from[nth].samples.len(), from[nth].stride, self.from, nth)
                && holds(into[nth].samples.len(), into[nth].stride, self.into, nth)
        });
        if !held {
            return false;
        }
        // Four of each: the fourth is transparency.
        let (mut read, mut written) = ([ptr::null(); 4], [ptr::null_mut(); 4]);
        let (mut strides, mut to_strides) = ([0; 4], [0; 4]);
        for (nth, (from, into)) in from.iter().zip(into).enumerate() {
            (read[nth], written[nth]) = (from.samples.as_ptr(), into.samples.as_mut_ptr());
            (strides[nth], to_strides[nth]) = (from.stride as c_int, into.stride as c_int);
        }
        let rows = self.from.1 as c_int;
        // SAFETY: every plane has all the rows of its size, each as wide as that or wider.
        let scaled = unsafe {
            let (read, strides) = (read.as_ptr(), strides.as_ptr());
            sws_scale(self.context.as_ptr(), read, strides, 0, rows, written.as_ptr(), to_strides.as_ptr())
        };
        scaled == self.into.1 as c_int
    }
}

impl Drop for Scaler {
    fn drop(&mut self) {
        // SAFETY: it came from `sws_getContext` and goes but once.
        unsafe { sws_freeContext(self.context.as_ptr()) };
    }
}

/// Whether so many samples are the rows of the luma (0) or of a chroma plane of a picture.
fn holds(samples: usize, stride: usize, size: Size, plane: usize) -> bool {
    let length = |pixels: u32| if plane == 0 { pixels } else { pixels.div_ceil(2) } as usize;
    let (width, rows) = (length(size.0), length(size.1));
    let needed = rows.checked_sub(1).and_then(|rows| rows.checked_mul(stride)?.checked_add(width));
    stride >= width && c_int::try_from(stride).is_ok() && needed.is_some_and(|needed| samples >= needed)
}

// Linked by `build.rs`.
unsafe extern "C" {
    fn sws_getContext(
        width: c_int,
        height: c_int,
        format: c_int,
        to_width: c_int,
        to_height: c_int,
        to_format: c_int,
        flags: c_int,
        source_filter: *mut c_void,
        target_filter: *mut c_void,
        parameters: *const c_double,
    ) -> *mut c_void;
    fn sws_freeContext(context: *mut c_void);
    fn sws_scale(
        context: *mut c_void,
        planes: *const *const u8,
        strides: *const c_int,
        first_row: c_int,
        rows: c_int,
        to_planes: *const *mut u8,
        to_strides: *const c_int,
    ) -> c_int;
}
