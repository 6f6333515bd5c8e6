//! The header `Authorization: Bearer crk_…` (RFC 6750).

use http::{HeaderMap, HeaderValue, StatusCode, header};
use shared::http::Problem;

use super::record::Scope;

/// The longest token that is looked up. A key is much shorter.
const MAX_TOKEN_BYTES: usize = 256;

/// What a request has in its header `Authorization`.
#[derive(Debug, PartialEq, Eq)]
pub enum Credential<'a> {
    /// There is no such header.
    Absent,
    /// A bearer token.
    Bearer(&'a str),
    /// Something else: another scheme, no token, several headers.
    Malformed,
}

/// Reads the credential of a request.
///
/// Attack: two headers, of which a proxy checks one and the server uses the other → several headers
/// are malformed. Test: `only_one_plain_bearer_token_is_a_credential`.
pub fn credential(headers: &HeaderMap) -> Credential<'_> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Credential::Absent };
    let token = value.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        let token = token.trim_matches(' ');
        let plain = token.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
        (scheme.eq_ignore_ascii_case("bearer")
            && (1..=MAX_TOKEN_BYTES).contains(&token.len())
            && plain)
            .then_some(token)
    });
    match (token, values.next()) {
        (Some(token), None) => Credential::Bearer(token),
        _ => Credential::Malformed,
    }
}

/// The challenge of a 401 (RFC 6750).
const CHALLENGE: &str = "Bearer realm=\"crucible\"";

/// The one problem of a missing, wrong, revoked or expired key.
pub fn unauthorized() -> Problem {
    let detail = "send a valid key, as Authorization: Bearer crk_...";
    let problem = Problem::new(StatusCode::UNAUTHORIZED, detail);
    problem.with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE))
}

/// The problem of a key without this scope.
pub fn insufficient(scope: Scope) -> Problem {
    let problem =
        Problem::new(StatusCode::FORBIDDEN, format!("this needs a key with the scope {scope}"));
    let challenge = format!("{CHALLENGE}, error=\"insufficient_scope\", scope=\"{scope}\"");
    match HeaderValue::try_from(challenge) {
        Ok(challenge) => problem.with_header(header::WWW_AUTHENTICATE, challenge),
        Err(_) => problem, // the name of a scope is a valid header value
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn only_one_plain_bearer_token_is_a_credential() {
        assert_eq!(credential(&headers(&[])), Credential::Absent);
        for text in ["Bearer crk_1", "bearer crk_1", "BEARER   crk_1 "] {
            assert_eq!(credential(&headers(&[text.as_bytes()])), Credential::Bearer("crk_1"));
        }
        let long = format!("Bearer {}", "x".repeat(MAX_TOKEN_BYTES + 1));
        for text in [
            &b""[..],
            b"Bearer",
            b"Bearer ",
            b"crk_1",
            b"Basic Y3JrXzE6",
            b"Bearer crk_1 crk_2",
            b"Bearer crk_1,crk_2",
            b"Bearer\tcrk_1",
            b"Bearer crk_\xe9",
            long.as_bytes(),
        ] {
            assert_eq!(credential(&headers(&[text])), Credential::Malformed, "{text:?}");
        }
        let twice = headers(&[b"Bearer crk_1", b"Bearer crk_1"]);
        assert_eq!(credential(&twice), Credential::Malformed);
    }
}
