//! Who may change things: whoever holds the admin token.

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};

use super::{Server, problem::Problem};

/// Proof that the request carries the admin token (`Authorization: Bearer …`, RFC 6750 §2.1).
#[derive(Debug, Clone, Copy)]
pub struct Admin;

impl FromRequestParts<Server> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Server) -> Result<Self, Problem> {
        let token = parts
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        match token {
            Some(token) if server.secrets.is_admin(token) => Ok(Self),
            Some(_) => Err(Problem::unauthorized(
                "this is not the admin token: it stands in admin.token in the data directory",
            )),
            None => Err(Problem::unauthorized(
                "send the admin token as `Authorization: Bearer TOKEN`; it stands in admin.token in the data directory",
            )),
        }
    }
}
