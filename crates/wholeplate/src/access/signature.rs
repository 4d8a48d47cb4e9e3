//! Signed transformation URLs (OPS-021): `…,exp=<unix seconds>,sig=<hex HMAC-SHA-256>` at the end of the options.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use recipe::dialect::url::PREFIX;
use sha2::Sha256;

/// Which URLs have to be signed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Signing {
    /// Every one.
    Required,
    /// A signature has to be right where there is one.
    Optional,
    /// Signatures are not looked at.
    #[default]
    Off,
}

/// Why a signature does not let a request in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignatureError {
    #[error("the URL is not signed")]
    Missing,
    #[error("the signature of the URL is wrong")]
    Wrong,
    #[error("the URL has expired")]
    Expired,
}

/// The keys of signatures. Several make a rotation: the first signs, all verify.
#[derive(Clone, Default)]
pub(crate) struct SigningKeys(Vec<Vec<u8>>);

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

impl SigningKeys {
    /// Reads the text of a key file: one `name:key` a line.
    ///
    /// # Errors
    /// The number of the line that is wrong; a file without keys.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut keys = vec![];
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim().is_empty() {
                continue;
            }
            match line.split_once(':') {
                Some((name, key)) if !name.trim().is_empty() && !key.is_empty() => {
                    keys.push(key.as_bytes().to_vec());
                }
                _ => return Err(format!("line {number} is not of the form name:key")),
            }
        }
        if keys.is_empty() { Err("there is no key in it".to_owned()) } else { Ok(Self(keys)) }
    }

    /// Signs a request target, `exp` added where it is given; `None` when it is not a transformation URL with a source, or
    /// signed already.
    pub(crate) fn sign(&self, target: &str, expires: Option<u64>) -> Option<String> {
        let (options, rest) = split(target)?;
        if options.split(',').any(is_signing) || !rest.starts_with('/') || rest.len() < 2 {
            return None;
        }
        let mut options = options.to_owned();
        if let Some(seconds) = expires {
            let _ = write!(options, ",exp={seconds}");
        }
        let mac = mac(self.0.first()?, &options, rest)?.finalize().into_bytes();
        let mut signature = String::with_capacity(64);
        for byte in mac {
            let _ = write!(signature, "{byte:02x}");
        }
        Some(format!("{PREFIX}{options},sig={signature}{rest}"))
    }

    /// Checks the signature of a target, and gives the target without `sig` and `exp`.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub(crate) fn verify<'a>(
        &self,
        target: &'a str,
        signing: Signing,
        now: SystemTime,
    ) -> Result<Cow<'a, str>, SignatureError> {
        let Some((all, rest)) = split(target).filter(|_| signing != Signing::Off) else {
            return Ok(Cow::Borrowed(target));
        };
        let Some((options, signature)) = all.rsplit_once(",sig=").filter(|(_, sig)| !sig.contains(','))
        else {
            // A signature elsewhere is none.
            let has_one = all.split(',').any(|option| option.starts_with("sig="));
            return match (signing, has_one) {
                (Signing::Optional, false) => Ok(Cow::Borrowed(target)),
                (_, true) => Err(SignatureError::Wrong),
                (_, false) => Err(SignatureError::Missing),
            };
        };
        let signature = unhex(signature).ok_or(SignatureError::Wrong)?;
        // Each comparison takes the same time, whatever differs.
        let is_right = self.0.iter().fold(false, |right, key| {
            right | mac(key, options, rest).is_some_and(|mac| mac.verify_slice(&signature).is_ok())
        });
        if !is_right {
            return Err(SignatureError::Wrong);
        }
        // Wherever it stands: a time that was signed counts.
        for expires in options.split(',').filter_map(|option| option.strip_prefix("exp=")) {
            // What is signed but not a number lets nobody in.
            let expires: u64 = expires.parse().map_err(|_| SignatureError::Expired)?;
            if now >= UNIX_EPOCH.checked_add(Duration::from_secs(expires)).unwrap_or(now) {
                return Err(SignatureError::Expired);
            }
        }
        Ok(Cow::Owned(format!("{PREFIX}{}{rest}", without_signing(options))))
    }
}

fn is_signing(option: &str) -> bool {
    option.starts_with("sig=") || option.starts_with("exp=")
}

fn without_signing(options: &str) -> String {
    options.split(',').filter(|option| !is_signing(option)).collect::<Vec<_>>().join(",")
}

/// A target without `sig` and `exp`, wherever they stand; nothing is checked.
pub(super) fn unsigned(target: &str) -> Cow<'_, str> {
    let Some((options, rest)) = split(target).filter(|(options, _)| options.split(',').any(is_signing))
    else {
        return Cow::Borrowed(target);
    };
    Cow::Owned(format!("{PREFIX}{}{rest}", without_signing(options)))
}

/// The options of a target, and its source with the slash before it.
fn split(target: &str) -> Option<(&str, &str)> {
    let rest = target.strip_prefix(PREFIX)?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    Some(rest.split_at(end))
}

fn mac(key: &[u8], options: &str, rest: &str) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    for part in [PREFIX, options, rest] {
        mac.update(part.as_bytes());
    }
    Some(mac)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len() == 64)?;
    Some(digits.as_chunks::<2>().0.iter().map(|[high, low]| (high << 4) | low).collect())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use hmac::Mac;

    use super::{SignatureError, Signing, SigningKeys};

    fn keys(text: &str) -> SigningKeys {
        SigningKeys::parse(text).unwrap()
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    const TARGET: &str = "/cdn-cgi/image/width=80,format=auto/a%20b.jpg?v=1,2";

    // OPS-021: computed with `printf %s "$target" | openssl dgst -sha256 -hmac key`.
    #[test]
    fn the_signature_is_the_hmac_of_the_target_as_sent() {
        let signed = keys("a:key").sign("/cdn-cgi/image/width=80/a.jpg", None).unwrap();
        let signature = SIGNATURE_OF_WIDTH_80;
        assert_eq!(signed, format!("/cdn-cgi/image/width=80,sig={signature}/a.jpg"));
        for other in [
            "/a.jpg",
            "/cdn-cgi/image/width=80",
            "/cdn-cgi/image/width=80/",
            "/cdn-cgi/image/width=80?a/b",
            signed.as_str(),
            "/cdn-cgi/image/exp=9,width=80/a.jpg",
        ] {
            assert_eq!(keys("a:key").sign(other, None), None, "{other}");
        }
    }

    /// Of `/cdn-cgi/image/width=80/a.jpg` by the key `key`.
    const SIGNATURE_OF_WIDTH_80: &str = "95bcf98b282910b4ff22671196f1b29c585a8cfbfde2e01799499ca7046c463f";

    // OPS-021
    #[test]
    fn what_was_signed_is_let_in_and_nothing_else() {
        let keys = keys("new:k2\nold:k1");
        let signed = keys.sign(TARGET, Some(1000)).unwrap();
        for signing in [Signing::Required, Signing::Optional] {
            assert_eq!(keys.verify(&signed, signing, at(999)).unwrap(), TARGET);
            assert_eq!(keys.verify(&signed, signing, at(1000)), Err(SignatureError::Expired));
        }
        // A time that was signed counts wherever it stands.
        for options in ["exp=1000,width=80", "width=80,exp=1000,exp=2000", "width=80,exp=1000,format=auto"] {
            let mac = super::mac(b"k1", options, "/a.jpg").unwrap().finalize().into_bytes();
            let signature: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
            let target = format!("/cdn-cgi/image/{options},sig={signature}/a.jpg");
            let found = keys.verify(&target, Signing::Required, at(999)).unwrap();
            assert!(found.contains("width=80") && !found.contains("exp="), "{found}");
            assert_eq!(
                keys.verify(&target, Signing::Required, at(1000)),
                Err(SignatureError::Expired),
                "{options}"
            );
        }
        // Each byte counts: options, signature, source and query.
        for position in "/cdn-cgi/image/".len()..signed.len() {
            let mut changed = signed.clone().into_bytes();
            changed[position] = if changed[position] == b'1' { b'2' } else { b'1' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(keys.verify(&changed, Signing::Required, at(999)).is_err(), "{changed}");
        }
        let old = super::tests::keys("old:k1").sign(TARGET, None).unwrap();
        assert_eq!(keys.verify(&old, Signing::Required, at(0)).unwrap(), TARGET);
        let foreign = super::tests::keys("x:other").sign(TARGET, None).unwrap();
        assert_eq!(keys.verify(&foreign, Signing::Required, at(0)), Err(SignatureError::Wrong));
        assert_eq!(keys.verify(&foreign, Signing::Off, at(0)).unwrap(), foreign);
    }

    // OPS-020
    #[test]
    fn without_signing_the_rest_of_a_signed_url_is_used() {
        for signed in [
            "/cdn-cgi/image/preset=hero,exp=1,sig=00/a.jpg?sig=1,exp=2",
            "/cdn-cgi/image/sig=00,preset=hero/a.jpg?sig=1,exp=2",
            "/cdn-cgi/image/exp=1,preset=hero,sig=/a.jpg?sig=1,exp=2",
            "/cdn-cgi/image/preset=hero/a.jpg?sig=1,exp=2",
        ] {
            assert_eq!(super::unsigned(signed), "/cdn-cgi/image/preset=hero/a.jpg?sig=1,exp=2");
        }
        assert_eq!(super::unsigned("/cdn-cgi/image/preset=hero,/a"), "/cdn-cgi/image/preset=hero,/a");
        assert_eq!(super::unsigned("/a,sig=1/b"), "/a,sig=1/b");
    }

    // OPS-021
    #[test]
    fn unsigned_urls_pass_where_signatures_are_optional() {
        let keys = keys("a:k");
        assert_eq!(keys.verify(TARGET, Signing::Required, at(0)), Err(SignatureError::Missing));
        assert_eq!(keys.verify(TARGET, Signing::Optional, at(0)).unwrap(), TARGET);
        for wrong in [
            "/cdn-cgi/image/sig=00,width=80/a.jpg",
            "/cdn-cgi/image/width=80,sig=00/a.jpg",
            "/cdn-cgi/image/width=80,sig=/a.jpg",
        ] {
            assert_eq!(keys.verify(wrong, Signing::Optional, at(0)), Err(SignatureError::Wrong), "{wrong}");
        }
    }

    #[test]
    fn a_bad_line_of_a_key_file_is_named_by_number() {
        assert_eq!(SigningKeys::parse("a:1\n\nb\n").unwrap_err(), "line 3 is not of the form name:key");
        assert_eq!(SigningKeys::parse(":1").unwrap_err(), "line 1 is not of the form name:key");
        assert_eq!(SigningKeys::parse("\n").unwrap_err(), "there is no key in it");
        assert!(!format!("{:?}", keys("a:secret")).contains("secret"));
        // The key is all after the colon.
        assert_ne!(keys("a:k").sign(TARGET, None), keys("a:k ").sign(TARGET, None));
        assert_eq!(keys("a:k:l").sign(TARGET, None), keys("b:k:l").sign(TARGET, None));
    }
}
