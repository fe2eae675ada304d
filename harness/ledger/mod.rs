//! The durable record of intents and outcomes, and its reader.
