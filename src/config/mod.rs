//! `tieline.toml`, read and checked.
