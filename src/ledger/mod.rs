//! The durable record of every message, turn and reply: the only place that knows the database.
