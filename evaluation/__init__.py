"""The paper's protocols and its rivals, by `saft evaluate`: data sets, splits, methods, protocols, reports."""
