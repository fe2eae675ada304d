//! Scenario files: text, spanned tree, validated plan, or all errors at once.
