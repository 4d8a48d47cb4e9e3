//! Options that depend on the client: `width=auto`, `slow-connection-quality`, `format=auto`.

use super::{
    request_options::RequestOptions,
    value::{Dialect, OptionValue},
};
use crate::{
    Extent, FormatChoice, Recipe, Warnings,
    choices::{DEFAULT_BREAKPOINTS, DEFAULT_WIDTH_DESKTOP, DEFAULT_WIDTH_MOBILE, WILDCARDS_ACCEPT_ALL},
};

/// The request headers that options such as `format=auto` depend on, as received.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClientHints<'a> {
    pub accept: Option<&'a str>,
    /// `sec-ch-viewport-width`.
    pub viewport_width: Option<&'a str>,
    pub user_agent: Option<&'a str>,
    pub rtt: Option<&'a str>,
    pub save_data: Option<&'a str>,
    pub ect: Option<&'a str>,
    pub downlink: Option<&'a str>,
}

/// The options of one request, with its client's hints applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    pub recipe: Recipe,
    /// Warnings for the client, including [`Recipe::warnings`].
    pub warnings: Warnings,
    pub onerror_redirect: bool,
    /// Request header names for `vary`; `accept` is always among them.
    pub varies_on: Vec<&'static str>,
}

impl RequestOptions {
    /// Applies the client's hints to `width=auto`, `slow-connection-quality` and `format=auto`.
    #[must_use]
    pub fn resolve(&self, hints: &ClientHints<'_>) -> Resolved {
        let mut transform = self.transform.clone();
        let mut output = self.output.clone();
        let mut varies_on = vec!["accept"];
        if self.auto_width {
            // Both, whichever decided: `vary` is for requests that may say something else (CAC-006).
            varies_on.extend(["sec-ch-viewport-width", "user-agent"]);
            let width = match hints.viewport() {
                Some(viewport) => self.breakpoint(viewport),
                None => self.width_by_device(hints.user_agent.unwrap_or_default()),
            };
            transform.width = Some(Extent::Pixels(width));
        }
        if let Some(quality) = self.slow_quality {
            varies_on.extend(["rtt", "save-data", "ect", "downlink"]);
            if hints.slow_connection() {
                output.quality = Some(quality);
            }
        }
        if let FormatChoice::Auto { .. } = output.format {
            output.format =
                FormatChoice::Auto { avif: hints.accepts("image/avif"), webp: hints.accepts("image/webp") };
        }
        let recipe = Recipe::single(transform, output);
        Resolved { warnings: recipe.warnings(), recipe, onerror_redirect: self.onerror_redirect, varies_on }
    }

    /// The smallest breakpoint that is at least as wide as the viewport, else the largest.
    fn breakpoint(&self, viewport: f64) -> u32 {
        let widths: &[u32] =
            if self.breakpoints.is_empty() { &DEFAULT_BREAKPOINTS } else { &self.breakpoints };
        let enough = widths.iter().copied().filter(|&width| f64::from(width) >= viewport).min();
        enough.or_else(|| widths.iter().copied().max()).unwrap_or(DEFAULT_WIDTH_DESKTOP)
    }

    fn width_by_device(&self, user_agent: &str) -> u32 {
        if user_agent.contains("iPhone") || user_agent.contains("Android") {
            self.mobile_width.unwrap_or(DEFAULT_WIDTH_MOBILE)
        } else {
            self.desktop_width.unwrap_or(DEFAULT_WIDTH_DESKTOP)
        }
    }
}

impl ClientHints<'_> {
    fn viewport(&self) -> Option<f64> {
        number(self.viewport_width).filter(|&width| width > 0.0)
    }

    /// Whether a header indicates a slow connection; a missing header does not.
    fn slow_connection(&self) -> bool {
        number(self.rtt).is_some_and(|rtt| rtt > 150.0)
            || number(self.downlink).is_some_and(|downlink| downlink < 5.0)
            || self.save_data.is_some_and(|on| on.trim().eq_ignore_ascii_case("on"))
            || self.ect.is_some_and(|ect| matches!(ect.trim(), "slow-2g" | "2g" | "3g"))
    }

    /// Whether `Accept` names the media type. Wildcards count by [`WILDCARDS_ACCEPT_ALL`] only.
    fn accepts(&self, media_type: &str) -> bool {
        self.accept.unwrap_or_default().split(',').any(|range| {
            let mut parts = range.split(';').map(str::trim);
            parts.next().is_some_and(|name| {
                name.eq_ignore_ascii_case(media_type)
                    || (WILDCARDS_ACCEPT_ALL && matches!(name, "image/*" | "*/*"))
            }) && !parts.any(|parameter| {
                parameter.split_once('=').is_some_and(|(name, weight)| {
                    name.trim().eq_ignore_ascii_case("q") && weight.trim().parse() == Ok(0.0)
                })
            })
        })
    }
}

fn number(header: Option<&str>) -> Option<f64> {
    OptionValue::from_text(header?.trim(), Dialect::Url).number().ok()
}
