//! The bearer token of the purge API.

use std::path::Path;

use http::{HeaderMap, header};
use sha2::{Digest, Sha256};

/// A token, kept as its digest.
#[derive(Debug, Clone)]
pub(crate) struct AdminToken([u8; 32]);

/// What a request says of its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenCheck {
    Right,
    /// Missing, empty or another scheme.
    Missing,
    Wrong,
}

impl AdminToken {
    /// # Errors
    /// A message that names the setting.
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        let text = read_token(file).map_err(|problem| format!("admin-token-file: {problem}"))?;
        Ok(Self(Sha256::digest(text.as_bytes()).into()))
    }

    pub(crate) fn check(&self, headers: &HeaderMap) -> TokenCheck {
        let value = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let (scheme, token) = value.trim().split_once(' ').unwrap_or((value, ""));
        let token = token.trim();
        if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
            return TokenCheck::Missing;
        }
        // Digests are compared, so that the time says nothing about the token.
        let found: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if found == self.0 { TokenCheck::Right } else { TokenCheck::Wrong }
    }
}

/// The token in a file, without the white space around it.
pub(super) fn read_token(file: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let token = text.trim();
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err(format!("{}: expected one token", file.display()));
    }
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};

    use super::{AdminToken, TokenCheck};

    // CAC-043
    #[test]
    fn only_the_right_bearer_token_is_right() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "secret-1\n").unwrap();
        let token = AdminToken::read(&file).unwrap();
        let check = |value: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
            }
            token.check(&headers)
        };
        assert_eq!(check(Some("Bearer secret-1")), TokenCheck::Right);
        assert_eq!(check(Some("bearer  secret-1 ")), TokenCheck::Right);
        for missing in
            [None, Some(""), Some("Bearer"), Some("Bearer "), Some("Basic secret-1"), Some("secret-1")]
        {
            assert_eq!(check(missing), TokenCheck::Missing, "{missing:?}");
        }
        for wrong in ["Bearer secret-2", "Bearer secret-1x", "Bearer secret-1 secret-1"] {
            assert_eq!(check(Some(wrong)), TokenCheck::Wrong, "{wrong}");
        }
        for bad in ["", " \n", "two tokens"] {
            std::fs::write(&file, bad).unwrap();
            assert!(AdminToken::read(&file).unwrap_err().starts_with("admin-token-file: "));
        }
    }
}
