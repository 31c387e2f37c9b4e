//! One agent: its lanes, its Codex child, recovery and notices.
