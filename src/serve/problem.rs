//! Errors as HTTP shows them: the only place that maps one to the other (RFC 9457).

use std::{borrow::Cow, error::Error};

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    captions::CorrectError,
    hls::Refused,
    ingest::{self, whip},
    model::Chain,
    rtc,
};

/// Seconds until what is not possible now may be.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// What handlers return.
pub type Result<T> = std::result::Result<T, Problem>;

/// An `application/problem+json` document (RFC 9457 §3).
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    /// A relative URI that names the kind of problem.
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    /// What was wrong and what to do next.
    detail: Cow<'static, str>,
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, title, status: status.as_u16(), detail: detail.into() }
    }

    /// 404: no such thing, or not now.
    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "/problems/not-found", "Not found", detail)
    }

    /// 400: the request itself is wrong.
    pub fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "/problems/bad-request", "Bad request", detail)
    }

    /// 401: a token is needed, or this one is not valid.
    pub fn unauthorized(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "/problems/unauthorized", "Unauthorized", detail)
    }

    /// 406: nothing in it can be taken.
    pub fn not_acceptable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, "/problems/not-acceptable", "Not acceptable", detail)
    }

    /// 412: it has changed meanwhile.
    pub fn precondition(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "/problems/precondition", "Precondition failed", detail)
    }

    /// 428: it has to be said what of it is known.
    pub fn precondition_required(detail: impl Into<Cow<'static, str>>) -> Self {
        let (status, kind) = (StatusCode::PRECONDITION_REQUIRED, "/problems/precondition-required");
        Self::new(status, kind, "Precondition required", detail)
    }

    /// 413: larger than any client has reason to send.
    pub fn too_large(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "/problems/too-large", "Payload too large", detail)
    }

    /// 415: the body is of another kind than this takes.
    pub fn media_type(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "/problems/media-type", "Unsupported media type", detail)
    }

    /// 422: understood, and not done here.
    pub fn unprocessable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "/problems/unprocessable", "Unprocessable", detail)
    }

    /// 409: it is there already, or in a state that forbids this.
    pub fn conflict(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, "/problems/conflict", "Conflict", detail)
    }

    /// 416: the range lies outside.
    pub fn range(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "/problems/range", "Range not satisfiable", detail)
    }

    /// 503: not now; trying again may help.
    pub fn unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "/problems/unavailable", "Unavailable", detail)
    }

    /// 500: the details go to the log, not to the client.
    pub fn internal(error: impl Error + 'static) -> Self {
        tracing::error!(error = %Chain(&error), "request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "/problems/internal",
            "Internal error",
            "the server failed; its log says why",
        )
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotFound => Self::not_found(refused.to_string()),
            Refused::BadRequest(why) => Self::bad_request(why),
            Refused::Stalled => Self::unavailable(refused.to_string()),
        }
    }
}

impl From<CorrectError> for Problem {
    fn from(error: CorrectError) -> Self {
        match error {
            CorrectError::Unknown { .. } => Self::not_found(error.to_string()),
            CorrectError::Open(_) | CorrectError::Over => Self::conflict(error.to_string()),
            CorrectError::Empty => Self::bad_request(error.to_string()),
        }
    }
}

impl From<whip::Error> for Problem {
    fn from(error: whip::Error) -> Self {
        match error {
            whip::Error::Offer(refused) => refused.into(),
            whip::Error::Door(refusal) => refusal.into(),
        }
    }
}

impl From<whip::Denied> for Problem {
    fn from(denied: whip::Denied) -> Self {
        match denied {
            whip::Denied::Unknown => Self::not_found(denied.to_string()),
            whip::Denied::Key => Self::unauthorized(denied.to_string()),
        }
    }
}

impl From<rtc::Refused> for Problem {
    fn from(refused: rtc::Refused) -> Self {
        match refused {
            rtc::Refused::Malformed(_) => Self::bad_request(refused.to_string()),
            rtc::Refused::Unacceptable(_) => Self::not_acceptable(refused.to_string()),
            rtc::Refused::Full => Self::unavailable(refused.to_string()),
        }
    }
}

impl From<ingest::Refusal> for Problem {
    fn from(refusal: ingest::Refusal) -> Self {
        match refusal {
            ingest::Refusal::Unknown => Self::not_found("no such channel: check the address in the encoder"),
            ingest::Refusal::WrongKey(_) => Self::unauthorized(refusal.to_string()),
            ingest::Refusal::Busy(_) => Self::conflict(refusal.to_string()),
            ingest::Refusal::Unavailable(_) => Self::unavailable(refusal.to_string()),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_try_again_is_told_when() {
        let full = Problem::from(rtc::Refused::Full).into_response();
        assert_eq!((full.status(), &full.headers()["retry-after"]), (StatusCode::SERVICE_UNAVAILABLE, &RETRY_AFTER));
        let wrong = Problem::from(rtc::Refused::Unacceptable("x")).into_response();
        assert_eq!((wrong.status(), wrong.headers().get("retry-after")), (StatusCode::NOT_ACCEPTABLE, None));
    }
}
