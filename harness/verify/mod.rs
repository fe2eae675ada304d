//! Pure: ledger, events and readings in; fates, marks, loss and times out.
