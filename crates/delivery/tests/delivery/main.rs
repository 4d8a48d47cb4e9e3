//! The delivery layer through its public doors. Test names and comments carry the numbers of the
//! delivery statements (DLV-nnn) that they cover.

mod early;
mod model;
mod support;
