//! The only place that knows the Codex app-server: its process, its socket, its protocol.
