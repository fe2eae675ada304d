//! The load: what is sent when (pure), sending it, and reading back what it wrote.
