//! HTTP on a Unix socket: looks at everything, owns nothing.
