//! From an experiment file to a trained, evaluated, resumable run
