//! Pixel operations, one file each.
