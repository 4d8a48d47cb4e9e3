//! The dialects that parse into a [`crate::Recipe`].
