//! Choices about HTTP where the published behaviour is silent or contradicts itself, one constant each: to choose
//! otherwise, change the constant. `docs/compatibility.md` lists every one with its evidence. The numbers of errors
//! stand in `error.rs`.

/// Redirects of a source that are followed unless the configuration says otherwise.
pub(crate) const DEFAULT_REDIRECTS: usize = 5;
/// Status of the redirect to the source with `onerror=redirect`.
pub(crate) const ONERROR_STATUS: u16 = 307;
/// Whether `onerror=redirect` also redirects to sources on subdomains of the request's host.
pub(crate) const ONERROR_SUBDOMAINS: bool = true;
/// Lifetime of an error in caches, in seconds.
pub(crate) const ERROR_LIFETIME: u32 = 10;
/// The shortest lifetime of a result, in seconds, unless the source forbids it; also that of a result whose source
/// gives no lifetime.
pub(crate) const LEAST_LIFETIME: u64 = 3600;
