//! Who may speak, what is accepted, and how it reads for the model.

pub mod envelope;
