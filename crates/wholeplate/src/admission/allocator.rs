//! How the C library's allocator keeps what has been freed.

#![allow(unsafe_code)]

/// Buffers of so many bytes and more are mapped, and go back to the system when they are freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED: i32 = 1 << 20;
/// Free bytes at the end of an arena that are kept.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT: i32 = 4 << 20;
/// Arenas: threads share them, of which most wait most of the time.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const ARENAS: i32 = 4;

/// Fixes what glibc would otherwise learn: after the first free of a mapped buffer it keeps buffers of that size, up to
/// 32 MiB, in its arenas, one for each of many threads. Pictures are of that size, and a service that has met a burst of them
/// would hold several times what it uses, for good. Call this before there are threads.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn give_back_large_buffers() {
    // SAFETY: these are documented parameters, set while there is one thread only. A refusal, which is a result of 0, leaves
    // the defaults.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
        libc::mallopt(libc::M_ARENA_MAX, ARENAS);
    }
}

/// Gives free pages back that lie between pages in use. A thousand requests at once leave many of them: a small buffer that
/// is still in use at the end of an arena keeps all that was freed before it. Takes milliseconds, and the locks of arenas.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn give_back_free_pages() {
    // SAFETY: it has no preconditions and may be called by any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Bytes that are free and may not have been given back.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn free_bytes() -> usize {
    // SAFETY: it has no preconditions and may be called by any thread.
    unsafe { libc::mallinfo2() }.fordblks
}

/// Other allocators are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back_large_buffers() {}
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back_free_pages() {}
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn free_bytes() -> usize {
    0
}
