//! How much of each response went out. Not built yet.
