//! Which pages may read a response (OPS-033).

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The headers of a source that are passed on.
const PASSED_ON: [HeaderName; 3] = [
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    HeaderName::from_static("timing-allow-origin"),
    HeaderName::from_static("cross-origin-resource-policy"),
];

/// Where the headers for pages of other origins come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cors {
    Off,
    /// From the source's response, if the source was reached.
    Source,
    /// Every page may read every response.
    Any,
}

impl Cors {
    /// # Errors
    /// For another word.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "source" => Ok(Self::Source),
            "*" => Ok(Self::Any),
            _ => Err(format!("unsupported value '{text}' (expected off, source or *)")),
        }
    }

    /// Adds the headers to a response. `source` is the header of the source's response.
    pub(crate) fn add(self, response: &mut HeaderMap, source: &HeaderMap) {
        match self {
            Self::Off => {}
            Self::Source => {
                for name in PASSED_ON {
                    for value in source.get_all(&name) {
                        response.append(name.clone(), value.clone());
                    }
                }
            }
            Self::Any => {
                for (name, value) in PASSED_ON.into_iter().zip(["*", "*", "cross-origin"]) {
                    response.insert(name, HeaderValue::from_static(value));
                }
            }
        }
    }
}

impl fmt::Display for Cors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Source => "source",
            Self::Any => "*",
        })
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::Cors;

    // OPS-033
    #[test]
    fn the_headers_are_those_of_the_source_or_of_everybody() {
        let source = HeaderMap::from_iter([
            (
                HeaderName::from_static("access-control-allow-origin"),
                HeaderValue::from_static("https://a.example"),
            ),
            (HeaderName::from_static("access-control-allow-credentials"), HeaderValue::from_static("true")),
        ]);
        let of = |cors: Cors, source: &HeaderMap| {
            let mut response = HeaderMap::new();
            cors.add(&mut response, source);
            let value = response.get("access-control-allow-origin").map(|v| v.to_str().unwrap().to_owned());
            (response.len(), value)
        };
        assert_eq!(of(Cors::Off, &source), (0, None));
        assert_eq!(of(Cors::Source, &source), (1, Some("https://a.example".to_owned())));
        assert_eq!(of(Cors::Source, &HeaderMap::new()), (0, None));
        assert_eq!(of(Cors::Any, &HeaderMap::new()), (3, Some("*".to_owned())));
        for text in ["off", "source", "*"] {
            assert_eq!(Cors::parse(text).unwrap().to_string(), text);
        }
        assert!(Cors::parse("https://a.example").is_err());
    }
}
