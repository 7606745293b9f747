//! Errors as HTTP shows them: the only place that maps one to the other (RFC 9457).

use std::{borrow::Cow, error::Error};

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::captions::CorrectError;
use crate::hls::Refused;
use crate::model::Chain;

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

    /// 406: nothing in it can be had here.
    pub fn not_acceptable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, "/problems/not-acceptable", "Not acceptable", detail)
    }

    /// 415: the body is of another kind.
    pub fn unsupported_media_type(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "/problems/unsupported-media-type",
            "Unsupported media type",
            detail,
        )
    }

    /// 422: it is understood, and not done here.
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

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
